//! When something is slow or full enough for an event.

use super::values::Parameter;
use crate::declared::DefaultValue::Number;
use crate::declared::Effect::Sets;
use crate::declared::{Kind, number, set};

const PERCENT: Kind = Kind::number(0, 100, "percent");
const MICROSECONDS: Kind = Kind::number(0, i64::MAX, "microseconds");

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "exec_msg_threshold",
        MICROSECONDS,
        Number(0),
        "Time that the script may take for a message before it is logged with its slowest actions and E_CORE_THRESHOLD is \
         raised; 0 is off.",
        Sets(|settings, value| set(&mut settings.exec_msg_threshold, number(value))),
    )
    .older(&["execmsgthreshold"]),
    Parameter::new(
        "exec_dns_threshold",
        MICROSECONDS,
        Number(0),
        "Time that a look-up in DNS may take before it is logged and E_CORE_THRESHOLD is raised; 0 is off.",
        Sets(|settings, value| set(&mut settings.exec_dns_threshold, number(value))),
    )
    .older(&["execdnsthreshold"]),
    Parameter::new(
        "event_pkg_threshold",
        PERCENT,
        Number(0),
        "Percentage of a process's private memory from which on E_CORE_PKG_THRESHOLD is raised; 0 is off.",
        Sets(|settings, value| set(&mut settings.event_pkg_threshold, number(value))),
    ),
    Parameter::new(
        "event_shm_threshold",
        PERCENT,
        Number(0),
        "Percentage of the shared memory from which on E_CORE_SHM_THRESHOLD is raised; 0 is off.",
        Sets(|settings, value| set(&mut settings.event_shm_threshold, number(value))),
    ),
    Parameter::new(
        "event_threshold_hysteresis",
        PERCENT,
        Number(0),
        "By how many percent memory has to move before its event is raised again; 0 raises one at every percent. OpenSIPS \
         has no such parameter.",
        Sets(|settings, value| set(&mut settings.event_threshold_hysteresis, number(value))),
    ),
];
