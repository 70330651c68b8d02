//! Scaling of the groups: more processes where they have much to do, fewer where they have little (manual, "Core
//! Parameters", auto_scaling_profile).
//!
//! What a group is to do is decided by `tocsin_process::Scaler`, once a cycle, from the *occupation* of its processes: the
//! share of time in which a process ran, or had a message or timer route in the middle of its script that waited for
//! something. Processes here do not stand still while a script waits, so the share of the processor alone would not say
//! that a group has much to do. In flow the occupations; out flow the changes for the supervisor, `E_CORE_PROC_AUTO_SCALE`,
//! log lines, reports, and a [`History`] in shared memory for `autoscale_explain`.

mod cycles;
mod explain;
mod history;
mod idle_options;
mod profiles;

use tocsin_process::{Kind, Plan};
use tocsin_shm::{Arena, ArenaFull};

pub(crate) use cycles::{Cycles, report};
pub(crate) use explain::explain;
pub use history::{CYCLES_SHOWN, Cycle, History};
pub(crate) use idle_options::idle_options;
pub(crate) use profiles::MAX_CYCLE_S;
pub use profiles::ScalingSettings;

use crate::sockets::Sockets;
use crate::status_report::{Identifier, IdentifierId, Owner, StatusError, StatusReports};

/// The status/report group, whose identifiers are the scaled groups (manual, "Status/Report Interface", "Core
/// identifiers").
const STATUS_GROUP: &str = "auto-scaling";
/// What stands for the socket in groups that have none of their own.
const NO_FILTER: &str = "none";

/// A group whose size follows its load.
#[derive(Debug)]
pub struct ScaledGroup {
    /// Its index into the plan's groups.
    pub group: usize,
    /// Its name in events: `UDP`, `TCP`, `TIMER`.
    pub kind: &'static str,
    /// The socket that it serves, like `udp:127.0.0.1:5060`, or `none`.
    pub filter: String,
    /// What it has come to.
    pub history: &'static History,
    /// Where its changes are reported.
    pub identifier: IdentifierId,
}

/// The groups of `plan` that have a profile. To be called before the first fork; nothing is made where no group is scaled.
pub(crate) fn groups(
    plan: &Plan,
    sockets: &Sockets,
    arena: &'static Arena,
    status: &mut StatusReports,
) -> Result<Vec<ScaledGroup>, ScalingError> {
    let mut listeners = sockets.datagrams().map(|(listener, _)| listener.name.clone());
    let mut scaled = Vec::new();
    let mut reports = None;
    for (group, own) in plan.groups.iter().enumerate() {
        let socket = if own.kind == Kind::Udp { listeners.next() } else { None };
        let Some(profile) = &own.profile else { continue };
        if profile.most < own.processes {
            let (most, begins) = (profile.most, own.processes);
            let what = &own.description;
            tracing::warn!(
                "{what}: the profile {} allows {most} processes and the group begins with {begins}: it never grows",
                profile.name
            );
        }
        let reports = match reports {
            Some(reports) => reports,
            None => *reports.insert(status.group(STATUS_GROUP, Owner::Server)?),
        };
        let kind = own.kind.name();
        let name = socket.as_deref().unwrap_or(kind);
        let identifier = status.identifier(reports, &Identifier { name, ..Identifier::MAIN })?;
        let history = &arena.boot_array(1, |_| History::default())?[0];
        let filter = socket.unwrap_or_else(|| NO_FILTER.to_owned());
        scaled.push(ScaledGroup { group, kind, filter, history, identifier });
    }
    Ok(scaled)
}

/// Why groups cannot be scaled.
#[derive(Debug, thiserror::Error)]
pub enum ScalingError {
    /// The shared memory has no room for what is shown of them.
    #[error(transparent)]
    Memory(#[from] ArenaFull),
    /// Their changes cannot be reported.
    #[error(transparent)]
    Status(#[from] StatusError),
}
