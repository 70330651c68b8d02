//! The module's parameters.

use tocsin_script::{ModParam, Value};
use tocsin_server::module::Parameters;

use super::bindings::Order;

const NO_DATABASE: &str = "locations are kept in memory alone, without database or cluster";
const NO_PINGS: &str = "no contacts are pinged yet";

const USE_DOMAIN: ModParam =
    ModParam::switch("use_domain", false, "Whether an AOR is user and domain, and not the user alone.");
const DESC_TIME_ORDER: ModParam = ModParam::switch(
    "desc_time_order",
    false,
    "Whether the newest contact of an AOR comes first, and not the one with the highest preference.",
);
const DB_MODE: ModParam = ModParam::number(
    "db_mode",
    0,
    "Where locations are kept, by an older number. Only 0, in memory, is possible so far.",
)
.check(in_memory);
const WORKING_MODE_PRESET: ModParam = ModParam::text(
    "working_mode_preset",
    "single-instance-no-db",
    "Where locations are kept. Only `single-instance-no-db`, in memory, is possible so far.",
)
.check(|value| match value.as_str() {
    Some(b"single-instance-no-db") => Ok(()),
    _ => elsewhere(value),
});
const CLUSTER_MODE: ModParam = ModParam::text(
    "cluster_mode",
    "none",
    "How locations are shared in a cluster. Only `none` is possible so far.",
)
.check(in_memory);
const RESTART_PERSISTENCY: ModParam = ModParam::text(
    "restart_persistency",
    "none",
    "Where locations are read from after a restart. Only `none` is possible so far.",
)
.check(in_memory);
const SQL_WRITE_MODE: ModParam = ModParam::text(
    "sql_write_mode",
    "none",
    "When locations are written to a database. Only `none` is possible so far.",
)
.check(in_memory);
const LOCATION_CLUSTER: ModParam = ModParam::number(
    "location_cluster",
    0,
    "The cluster that shares locations. Only 0, none, is possible so far.",
)
.check(in_memory);
const MATCHING_MODE: ModParam = ModParam::number(
    "matching_mode",
    0,
    "When two contacts are the same: 0, their URIs are; 1, their URIs and Call-IDs are.",
)
.within(0, 1, "");
const CSEQ_DELAY: ModParam = ModParam::number(
    "cseq_delay",
    20,
    "How long a REGISTER with a known Call-ID and CSeq counts as a retransmission; 0 is never.",
)
.within(0, u32::MAX as i64, "seconds");
const HASH_SIZE: ModParam = ModParam::number(
    "hash_size",
    9,
    "The table of locations has at least two to the power of this many hash chains.",
)
.within(0, LARGEST_HASH_SIZE, "");

/// What `modparam("usrloc", ...)` may set.
pub(super) const NAMES: &[ModParam] = &[
    ModParam::number_or_text("nat_bflag", "The branch flag of contacts behind a NAT.")
        .without_effect(NO_PINGS),
    idle_text("contact_id_column", "contact_id", "The column with the number of a contact.", NO_DATABASE),
    idle_text("user_column", "username", "The column with the user of an AOR.", NO_DATABASE),
    idle_text("domain_column", "domain", "The column with the domain of an AOR.", NO_DATABASE),
    idle_text("contact_column", "contact", "The column with the URI of a contact.", NO_DATABASE),
    idle_text("expires_column", "expires", "The column with the time when a contact expires.", NO_DATABASE),
    idle_text("q_column", "q", "The column with the preference of a contact.", NO_DATABASE),
    idle_text("callid_column", "callid", "The column with the Call-ID of a registration.", NO_DATABASE),
    idle_text("cseq_column", "cseq", "The column with the CSeq number of a registration.", NO_DATABASE),
    idle_text(
        "methods_column",
        "methods",
        "The column with the methods that a device understands.",
        NO_DATABASE,
    ),
    idle_text("flags_column", "flags", "The column with the flags of a contact.", NO_DATABASE),
    idle_text("cflags_column", "cflags", "The column with the branch flags of a contact.", NO_DATABASE),
    idle_text(
        "user_agent_column",
        "user_agent",
        "The column with the name of the device's software.",
        NO_DATABASE,
    ),
    idle_text(
        "received_column",
        "received",
        "The column with the address that a registration came from.",
        NO_DATABASE,
    ),
    idle_text(
        "socket_column",
        "socket",
        "The column with the socket that a registration came in on.",
        NO_DATABASE,
    ),
    idle_text("path_column", "path", "The column with the Path of a registration.", NO_DATABASE),
    idle_text(
        "sip_instance_column",
        "sip_instance",
        "The column with the instance id of a device.",
        NO_DATABASE,
    ),
    idle_text("kv_store_column", "kv_store", "The column with further values of a contact.", NO_DATABASE),
    idle_text(
        "attr_column",
        "attr",
        "The column with the text that a script attached to a contact.",
        NO_DATABASE,
    ),
    USE_DOMAIN,
    DESC_TIME_ORDER,
    ModParam::number("timer_interval", 60, "Seconds between two searches for expired contacts.")
        .without_effect("a contact is removed at the time when it expires"),
    idle_text("db_url", "", "The database that locations are kept in.", NO_DATABASE),
    idle_text("cachedb_url", "", "The key-value store that locations are kept in.", NO_DATABASE),
    DB_MODE,
    WORKING_MODE_PRESET,
    CLUSTER_MODE,
    RESTART_PERSISTENCY,
    SQL_WRITE_MODE,
    MATCHING_MODE,
    CSEQ_DELAY,
    LOCATION_CLUSTER,
    ModParam::switch(
        "skip_replicated_db_ops",
        false,
        "Whether locations from the cluster are not written again.",
    )
    .without_effect(NO_DATABASE),
    ModParam::number("max_contact_delete", 10, "The most contacts that one query deletes.")
        .without_effect(NO_DATABASE),
    HASH_SIZE,
    ModParam::switch(
        "regen_broken_contactid",
        false,
        "Whether numbers of contacts in a database are made anew.",
    )
    .without_effect(NO_DATABASE),
    ModParam::number(
        "latency_event_min_us",
        0,
        "Microseconds of a ping from which E_UL_LATENCY_UPDATE is raised.",
    )
    .without_effect(NO_PINGS),
    ModParam::number(
        "latency_event_min_us_delta",
        0,
        "Microseconds by which a ping must differ from the last one for E_UL_LATENCY_UPDATE.",
    )
    .without_effect(NO_PINGS),
    idle_text("pinging_mode", "", "Which server of a cluster pings a contact.", NO_PINGS),
    ModParam::switch("shared_pinging", true, "Whether the servers of a cluster share the pings.")
        .without_effect(NO_PINGS),
    ModParam::switch(
        "mi_dump_kv_store",
        false,
        "Whether replies to commands show further values of a contact.",
    )
    .without_effect("no module attaches further values to contacts yet"),
    ModParam::number_or_text(
        "contact_refresh_timer",
        "Whether the end of a contact is announced before it comes.",
    )
    .without_effect("no contact is refreshed by push notification yet"),
];

/// The largest `hash_size` of the manual.
const LARGEST_HASH_SIZE: i64 = 16;

const fn idle_text(
    name: &'static str,
    default: &'static str,
    doc: &'static str,
    why: &'static str,
) -> ModParam {
    let row = ModParam::text(name, default, doc).without_effect(why);
    if default.is_empty() { row.unset("") } else { row }
}

/// Refuses what keeps locations elsewhere than in memory: they would be lost without a word.
fn in_memory(value: &Value) -> Result<(), String> {
    match value {
        Value::Int(0) => Ok(()),
        Value::Str(text) if text.as_slice() == b"none" => Ok(()),
        _ => elsewhere(value),
    }
}

fn elsewhere(value: &Value) -> Result<(), String> {
    let shown = value.to_bytes().unwrap_or_default();
    Err(format!(
        "`{}` is not available: this version keeps locations in memory alone, without database or cluster; use \
         working_mode_preset single-instance-no-db",
        shown.lossy()
    ))
}

/// The parameters that are acted on.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `use_domain`: an AOR is user and domain, not the user alone.
    pub use_domain: bool,
    /// `desc_time_order`.
    pub order: Order,
    /// `matching_mode` 1: a contact is the same if its Call-ID is the same, too.
    pub match_call_id: bool,
    /// `cseq_delay`: seconds in which a request with the same Call-ID and CSeq is a retransmission; 0 is never.
    pub cseq_delay: u64,
    /// Two to the power of `hash_size`: hash chains at least.
    pub hash_size: usize,
}

impl Settings {
    pub(super) fn new(given: &Parameters) -> Self {
        Self {
            use_domain: given.on(&USE_DOMAIN),
            order: if given.on(&DESC_TIME_ORDER) { Order::Newest } else { Order::Preference },
            match_call_id: given.int(&MATCHING_MODE) == 1,
            cseq_delay: given.int(&CSEQ_DELAY).unsigned_abs(),
            hash_size: 1 << given.int(&HASH_SIZE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(given: &[(&str, Value)]) -> Result<Settings, String> {
        Parameters::checked(NAMES, given).map(|given| Settings::new(&given))
    }

    #[test]
    fn defaults_are_those_of_the_manual() {
        let settings = settings(&[]).unwrap();
        assert!(!settings.use_domain && !settings.match_call_id);
        assert_eq!((settings.order, settings.cseq_delay, settings.hash_size), (Order::Preference, 20, 512));
    }

    #[test]
    fn a_database_is_refused_in_words() {
        assert!(settings(&[("working_mode_preset", "single-instance-no-db".into())]).is_ok());
        assert!(settings(&[("db_mode", Value::Int(0)), ("db_url", "mysql://x".into())]).is_ok());
        for (name, value) in [
            ("working_mode_preset", Value::from("sql-only")),
            ("db_mode", Value::Int(2)),
            ("cluster_mode", "full-sharing".into()),
            ("restart_persistency", "load-from-sql".into()),
        ] {
            let problem = settings(&[(name, value)]).unwrap_err();
            assert!(problem.contains(name) && problem.contains("in memory"), "{problem}");
        }
    }

    #[test]
    fn numbers_have_ranges() {
        assert!(settings(&[("hash_size", Value::Int(17))]).is_err());
        assert!(settings(&[("matching_mode", Value::Int(2))]).is_err());
        assert!(settings(&[("cseq_delay", Value::Int(-1))]).is_err());
        assert_eq!(settings(&[("hash_size", Value::Int(4))]).unwrap().hash_size, 16);
    }
}
