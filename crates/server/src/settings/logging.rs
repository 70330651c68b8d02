//! What is logged, and where it goes.

use std::borrow::Cow;

use tocsin_script::GlobalValue;

use super::values::Parameter;
use crate::declared::DefaultValue::{Number, Switch, Text, Unset};
use crate::declared::Effect::Sets;
use crate::declared::{Kind, number, set, text, truth};
use crate::logging::{Facility, Level};

/// Why the sizes of buffers do nothing.
const GROWS: &str = "a line is as long as it needs to be";

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "log_level",
        Kind::LogLevel,
        Number(Level::Notice as i64),
        "Lines above this level are not written. The MI command log_level changes it while the server runs.",
        Sets(|settings, value| set(&mut settings.log.level, level(value))),
    )
    .older(&["debug"]),
    Parameter::new(
        "xlog_level",
        Kind::LogLevel,
        Number(Level::Notice as i64),
        "Lines that the script writes with xlog() above this level are not written.",
        Sets(|settings, value| set(&mut settings.xlog_level, level(value))),
    ),
    Parameter::without_effect(
        "log_stdout",
        Kind::Switch,
        "Writes the log to standard output.",
        "the log goes to standard error: stderror_enabled",
    ),
    Parameter::new(
        "stderror_enabled",
        Kind::Switch,
        Switch(false),
        "Writes the log to standard error. The MI command log_mute_state changes it while the server runs.",
        Sets(|settings, value| set(&mut settings.log.stderr, truth(value))),
    )
    .older(&["log_stderror"]),
    Parameter::new(
        "stderror_level_filter",
        Kind::LogLevel,
        Number(0),
        "Lines above this level do not go to standard error; 0 is no filter. The MI command log_level_filter changes it.",
        Sets(|settings, value| set(&mut settings.log.stderr_most, level(value))),
    ),
    Parameter::new(
        "syslog_enabled",
        Kind::Switch,
        Switch(true),
        "Writes the log to the log of the system.",
        Sets(|settings, value| set(&mut settings.log.syslog, truth(value))),
    ),
    Parameter::new(
        "syslog_level_filter",
        Kind::LogLevel,
        Number(0),
        "Lines above this level do not go to the log of the system; 0 is no filter.",
        Sets(|settings, value| set(&mut settings.log.syslog_most, level(value))),
    ),
    Parameter::new(
        "syslog_name",
        Kind::Text,
        Text("tocsin"),
        "The name of the server in the log of the system.",
        Sets(|settings, value| set(&mut settings.log.syslog_name, text(value).map(Cow::into_owned))),
    )
    .older(&["log_name"]),
    Parameter::new(
        "log_prefix",
        Kind::Text,
        Unset("none"),
        "A word in front of each line.",
        Sets(|settings, value| {
            let prefix = text(value)?.into_owned();
            settings.log.prefix = (!prefix.is_empty()).then_some(prefix);
            Ok(())
        }),
    ),
    Parameter::new(
        "log_event_enabled",
        Kind::Switch,
        Switch(false),
        "Raises E_CORE_LOG for each line.",
        Sets(|settings, value| set(&mut settings.log.events, truth(value))),
    ),
    Parameter::new(
        "log_event_level_filter",
        Kind::LogLevel,
        Number(0),
        "Lines above this level raise no E_CORE_LOG; 0 is no filter.",
        Sets(|settings, value| set(&mut settings.log.events_most, level(value))),
    ),
    Parameter::new(
        "xlog_escape_control",
        Kind::Switch,
        Switch(false),
        "Escapes control characters in lines of xlog(), so that a message cannot forge a line. OpenSIPS has no such \
         parameter.",
        Sets(|settings, value| set(&mut settings.xlog_escape_control, truth(value))),
    ),
    Parameter::new(
        "debug_mode",
        Kind::Switch,
        Switch(false),
        "Two workers for each UDP socket and at most two for connections, no scaling, every line of the log, and to \
         standard error, too.",
        Sets(|settings, value| set(&mut settings.debug, truth(value))),
    ),
    Parameter::new(
        "syslog_facility",
        Kind::Text,
        Text("LOG_DAEMON"),
        "The facility in the log of the system, such as LOG_LOCAL0.",
        Sets(|settings, value| {
            set(&mut settings.log.facility, text(value).and_then(|name| Facility::parse(&name)))
        }),
    )
    .older(&["log_facility"]),
    Parameter::without_effect(
        "stderror_log_format",
        Kind::Text,
        "The format of lines on standard error: plain text or JSON.",
        "lines are plain text so far",
    ),
    Parameter::without_effect(
        "syslog_log_format",
        Kind::Text,
        "The format of lines in the log of the system: plain text or JSON.",
        "lines are plain text so far",
    ),
    Parameter::without_effect("log_json_buf_size", Kind::AnyNumber, "The buffer of a JSON line.", GROWS),
    Parameter::without_effect("log_msg_buf_size", Kind::AnyNumber, "The buffer of a line of the log.", GROWS),
    Parameter::without_effect("xlog_buf_size", Kind::AnyNumber, "The buffer of a line of xlog().", GROWS),
    Parameter::without_effect(
        "xlog_force_color",
        Kind::Switch,
        "Lets lines of xlog() carry colours.",
        "the codes for colours are not replaced in lines of xlog() so far",
    ),
    Parameter::without_effect(
        "xlog_print_level",
        Kind::Switch,
        "Puts the level in front of lines of xlog().",
        "lines of xlog() look the same in any case so far",
    ),
];

/// A level. The numbers beyond those that have a name mean all lines, or none.
pub(super) fn level(value: &GlobalValue) -> Result<i32, String> {
    let level: i64 = number(value)?;
    Ok(level.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32)
}
