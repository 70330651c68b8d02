//! How scripts run, and where modules are.

use tocsin_script::{DEFAULT_MAX_WHILE_LOOPS, MAX_WHILE_LOOPS};

use super::values::Parameter;
use crate::declared::DefaultValue::{Number, Switch};
use crate::declared::Effect::{Language, Sets};
use crate::declared::{Kind, set, truth};

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        MAX_WHILE_LOOPS,
        Kind::AnyNumber,
        Number(DEFAULT_MAX_WHILE_LOOPS as i64),
        "How often a loop may run before it is ended with an error in the log.",
        Language,
    ),
    Parameter::new(
        "enable_asserts",
        Kind::Switch,
        Switch(false),
        "Lets assert() end the script, and run the error route, if its condition is false.",
        Sets(|settings, value| set(&mut settings.enable_asserts, truth(value))),
    ),
    Parameter::without_effect(
        "abort_on_assert",
        Kind::Switch,
        "Ends the server when an assert() fails.",
        "a failed assert() ends its script, not the server",
    ),
    Parameter::without_effect("mpath", Kind::Text, "The folder of the modules.", "the modules are built in"),
];
