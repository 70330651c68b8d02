//! Which processes there will be.

use tocsin_process::{Group, Kind, Plan, Profile};
use tocsin_script::SocketOption;

use super::StartError;
use crate::module::ProcessGroup;
use crate::settings::{Settings, SocketSetting};
use crate::sockets::Sockets;

/// Processes that modules may have, all together.
const MAX_MODULE_PROCESSES: usize = 64;

/// The most processes this server will have.
pub(super) fn slots(settings: &Settings) -> u16 {
    let udp: usize = settings.sockets.iter().map(|s| capacity(workers(s), s.profile.as_ref())).sum();
    // A wildcard address becomes one listener for each interface.
    let tcp = 1 + capacity(settings.tcp.workers, settings.scaling.tcp.as_ref());
    let timers = capacity(settings.timer_workers, settings.scaling.timer.as_ref());
    let all = 1 + udp * 8 + tcp + timers + 1 + MAX_MODULE_PROCESSES;
    u16::try_from(all).unwrap_or(u16::MAX)
}

/// Places for the processes of a group that begins with `workers`.
pub(super) fn capacity(workers: u32, profile: Option<&Profile>) -> usize {
    tocsin_process::capacity(workers as usize, profile)
}

/// Groups in the order of their slots: processes of modules, the courier, UDP workers, TCP main and its workers, TIMER
/// workers.
pub(super) fn plan(
    processes: &[ProcessGroup],
    sockets: &Sockets,
    settings: &Settings,
    slots: u16,
) -> Result<Plan, StartError> {
    let mut groups: Vec<Group> =
        processes.iter().map(|p| Group::fixed(p.kind, p.description.clone(), p.processes)).collect();
    groups.push(Group::fixed(Kind::Courier, "event courier", 1));
    for (listener, _) in sockets.datagrams() {
        let group = Group::fixed(Kind::Udp, format!("SIP receiver {}", listener.name), listener.workers);
        groups.push(group.scaled(listener.profile.as_ref()));
    }
    if sockets.streams().next().is_some() {
        groups.push(Group::fixed(Kind::TcpMain, "TCP main", 1));
        let group = Group::fixed(Kind::Tcp, "TCP receiver", settings.tcp.workers as usize);
        groups.push(group.scaled(settings.scaling.tcp.as_ref()));
    }
    let group = Group::fixed(Kind::Timer, "Timer handler", settings.timer_workers as usize);
    groups.push(group.scaled(settings.scaling.timer.as_ref()));
    let plan = Plan { groups };
    if plan.slots() > usize::from(slots) {
        return Err(StartError::Events(format!(
            "modules ask for more than {MAX_MODULE_PROCESSES} processes"
        )));
    }
    Ok(plan)
}

/// UDP processes that a socket begins with.
pub(super) fn workers(setting: &SocketSetting) -> u32 {
    let own = setting.spec.options.iter().find_map(|option| match option {
        SocketOption::UseWorkers(n) => Some(*n),
        _ => None,
    });
    own.unwrap_or(setting.workers).max(1)
}
