//! How scripts run, and where modules are.

use tocsin_script::{DEFAULT_MAX_WHILE_LOOPS, MAX_WHILE_LOOPS};

use super::values::Parameter;
use crate::declared::DefaultValue::Number;
use crate::declared::Effect::Language;
use crate::declared::Kind;

const NO_ASSERT: &str = "there is no assert() so far";

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        MAX_WHILE_LOOPS,
        Kind::AnyNumber,
        Number(DEFAULT_MAX_WHILE_LOOPS as i64),
        "How often a loop may run before it is ended with an error in the log.",
        Language,
    ),
    Parameter::without_effect("enable_asserts", Kind::Switch, "Runs assert().", NO_ASSERT),
    Parameter::without_effect(
        "abort_on_assert",
        Kind::Switch,
        "Ends the server when an assert() fails.",
        NO_ASSERT,
    ),
    Parameter::without_effect("mpath", Kind::Text, "The folder of the modules.", "the modules are built in"),
];
