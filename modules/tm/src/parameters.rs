//! The module's parameters.

use tocsin_script::{ModParam};
use tocsin_server::module::{Parameters, SetupError};

use super::machine::{Policy, Timers};

const fn number(name: &'static str) -> ModParam {
    ModParam::number(name, 0, "")
}

const fn text(name: &'static str) -> ModParam {
    ModParam::number_or_text(name, "")
}

/// What `modparam("tm", ...)` may set. Those that tune how OpenSIPS matches or allocates have no counterpart here.
pub(super) const NAMES: &[ModParam] = &[
    number("fr_timeout"),
    number("fr_inv_timeout"),
    number("wt_timer"),
    number("delete_timer"),
    number("T1_timer"),
    number("T2_timer"),
    number("ruri_matching"),
    number("via1_matching"),
    number("unix_tx_timeout"),
    number("restart_fr_on_each_reply"),
    text("tw_append"),
    number("pass_provisional_replies"),
    number("syn_branch"),
    number("onreply_avp_mode"),
    number("disable_6xx_block"),
    number("enable_stats"),
    text("minor_branch_flag"),
    number("timer_partitions"),
    number("auto_100trying"),
    number("tm_replication_cluster"),
    text("cluster_param"),
    number("cluster_auto_cancel"),
    number("own_timer_proc"),
    text("local_request_route"),
    text("local_reply_route"),
];

/// The parameters that the module acts on.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(super) timers: Timers,
    pub(super) policy: Policy,
    pub(super) auto_100: bool,
}

impl Settings {
    pub(super) fn new(
        given: &Parameters,
        core: &tocsin_server::settings::Settings,
    ) -> Result<Self, SetupError> {
        let defaults = Timers::default();
        let milliseconds = |name: &'static str, unit: i64, default: u32| match given.value(name) {
            None => Ok(default),
            Some(_) => match u32::try_from(given.number(name, 0).saturating_mul(unit)) {
                Ok(ms) if ms > 0 => Ok(ms),
                _ => Err(SetupError::Parameter {
                    module: "tm",
                    name,
                    problem: "a time of 1 or more is needed".to_owned(),
                }),
            },
        };
        let timers = Timers {
            t1: milliseconds("T1_timer", 1, defaults.t1)?,
            t2: milliseconds("T2_timer", 1, defaults.t2)?,
            fr: milliseconds("fr_timeout", 1000, defaults.fr)?,
            fr_inv: milliseconds("fr_inv_timeout", 1000, defaults.fr_inv)?,
            wait: milliseconds("wt_timer", 1000, defaults.wait)?,
            ..defaults
        };
        let policy = Policy {
            block_on_6xx: given.number("disable_6xx_block", 0) == 0,
            restart_fr_inv: given.number("restart_fr_on_each_reply", 1) != 0,
            forward_503: core.forward_503,
            ..Policy::default()
        };
        Ok(Self { timers, policy, auto_100: given.number("auto_100trying", 1) != 0 })
    }
}
