//! The module's parameters.

use tocsin_script::{ModParam, Value};
use tocsin_server::logging::{Facility, Level};
use tocsin_server::module::{Parameters, SetupError};

use super::fields::{Fields, are_fields};

const NO_DATABASES: &str = "accounting to databases is not there yet: do_accounting() takes log and evi";
const NO_AAA: &str = "accounting to AAA servers is not there yet: do_accounting() takes log and evi";

const EARLY_MEDIA: ModParam = ModParam::switch(
    "early_media",
    false,
    "Whether a provisional response with a body is accounted, too, as an answered transaction.",
);
const REPORT_CANCELS: ModParam = ModParam::switch(
    "report_cancels",
    false,
    "Whether do_accounting() accounts a CANCEL. The INVITE that it ends is accounted in any case.",
);
const DETECT_DIRECTION: ModParam = ModParam::switch(
    "detect_direction",
    false,
    "Whether From and To change places in reports on requests that go from the callee to the caller. The direction is \
     known from the `ftag` that rr puts into Record-Route.",
);
const EXTRA_FIELDS: ModParam = ModParam::text(
    "extra_fields",
    "",
    "Further values of a report: a backend, `:`, and tags with `;` between them, each with `->` and the name under which it \
     is written, if that is another: `log: src->source_ip; who`. The script sets them as $acc_extra(tag). It may be given \
     several times.",
)
.unset("there are none")
.check(are_fields);
const LEG_FIELDS: ModParam = ModParam::text(
    "leg_fields",
    "",
    "Values that each leg of a call has, written as in extra_fields. The script sets them as $acc_leg(tag).",
)
.unset("calls have no legs")
.check(are_fields);
const LOG_LEVEL: ModParam =
    ModParam::number("log_level", Level::Notice as i64, "The level of the lines in the log.")
        .within(-3, 4, "")
        .check(is_level);
const LOG_FACILITY: ModParam = ModParam::text(
    "log_facility",
    "",
    "The facility of the lines in the log of the system, such as LOG_LOCAL0.",
)
.unset("that of all other lines, the core's syslog_facility")
.check(is_facility);

/// All rows.
pub(super) const ROWS: &[ModParam] = &[
    EARLY_MEDIA,
    REPORT_CANCELS,
    DETECT_DIRECTION,
    EXTRA_FIELDS,
    LEG_FIELDS,
    LOG_LEVEL,
    LOG_FACILITY,
    ModParam::text("aaa_url", "", "The AAA server.").unset("there is none").without_effect(NO_AAA),
    ModParam::number("service_type", 0, "The AAA service type.").unset("").without_effect(NO_AAA),
    database("db_url", "", "The database.").unset("there is none"),
    database("db_table_acc", "acc", "The table of answered calls."),
    database("db_table_missed_calls", "missed_calls", "The table of missed calls."),
    database("acc_method_column", "method", "The column of the method."),
    database("acc_from_tag_column", "from_tag", "The column of the From tag."),
    database("acc_to_tag_column", "to_tag", "The column of the To tag."),
    database("acc_callid_column", "callid", "The column of the Call-ID."),
    database("acc_sip_code_column", "sip_code", "The column of the status."),
    database("acc_sip_reason_column", "sip_reason", "The column of the reason phrase."),
    database("acc_time_column", "time", "The column of the time at which the transaction ended."),
];

const fn database(name: &'static str, default: &'static str, doc: &'static str) -> ModParam {
    ModParam::text(name, default, doc).without_effect(NO_DATABASES)
}

/// What the parameters say.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) early_media: bool,
    pub(super) report_cancels: bool,
    pub(super) detect_direction: bool,
    pub(super) extra: Fields,
    pub(super) legs: Fields,
    pub(super) level: Level,
    pub(super) facility: Option<Facility>,
}

impl Settings {
    pub(super) fn new(given: &Parameters) -> Result<Self, SetupError> {
        let fields = |row: &ModParam| {
            let wrong = |problem| SetupError::Parameter { module: "acc", name: row.name, problem };
            Fields::new(given.every(row)).map_err(wrong)
        };
        Ok(Self {
            early_media: given.on(&EARLY_MEDIA),
            report_cancels: given.on(&REPORT_CANCELS),
            detect_direction: given.on(&DETECT_DIRECTION),
            extra: fields(&EXTRA_FIELDS)?,
            legs: fields(&LEG_FIELDS)?,
            level: level(given.int(&LOG_LEVEL)).unwrap_or(Level::Notice),
            facility: Facility::parse(&given.string(&LOG_FACILITY)).ok(),
        })
    }
}

fn level(number: i64) -> Option<Level> {
    Level::parse(&number.to_string())
}

fn is_level(value: &Value) -> Result<(), String> {
    let found = value.to_int().and_then(level);
    found.map(drop).ok_or_else(|| "0 is no level: give -3 to -1 or 1 to 4".to_owned())
}

fn is_facility(value: &Value) -> Result<(), String> {
    Facility::parse(&value.to_bytes().unwrap_or_default().lossy()).map(drop)
}
