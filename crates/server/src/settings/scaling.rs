//! How groups of processes grow and shrink.

use tocsin_script::GlobalValue;

use super::values::Parameter;
use crate::declared::DefaultValue::{Number, Unset};
use crate::declared::Effect::Sets;
use crate::declared::{Kind, number};
use crate::scaling::MAX_CYCLE_S;

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "auto_scaling_profile",
        Kind::Profile,
        Unset("none"),
        "Limits between which a group of processes is scaled, and the loads at which it grows and shrinks. A socket or a \
         number of workers names it with `use_auto_scaling_profile`; it may stand behind its use.",
        Sets(|settings, value| {
            if let GlobalValue::Profile(spec) = value {
                settings.scaling.add(spec);
            }
            Ok(())
        }),
    ),
    Parameter::new(
        "auto_scaling_cycle",
        Kind::number(1, MAX_CYCLE_S as i64, "seconds"),
        Number(1),
        "Seconds between two looks at the load of the scaled groups.",
        Sets(|settings, value| {
            settings.scaling.set_cycle(number(value)?);
            Ok(())
        }),
    ),
];
