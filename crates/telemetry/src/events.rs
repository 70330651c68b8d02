//! The core events, as this server raises them.

use tocsin_event::{
    CoreEvent, EventId, Events, PkgThreshold, ProcAutoScale, ProcExit, Raised, ShmThreshold, SrStatusChanged,
    TcpDisconnect, Threshold,
};
use tocsin_net::connections::View;
use tocsin_process::{Cause, Exit};

/// `E_CORE_THRESHOLD`: `source` took `micros` for `extra`.
pub fn threshold(events: &Events, source: &str, micros: u64, extra: &[u8]) -> Raised {
    events.raise_core(EventId::THRESHOLD, &Threshold { source, time: micros, extra })
}

/// `E_CORE_PKG_THRESHOLD`: a process's private memory.
pub fn private_memory(events: &Events, event: &PkgThreshold) -> Raised {
    events.raise_core(EventId::PKG_THRESHOLD, event)
}

/// `E_CORE_SHM_THRESHOLD`: the shared memory.
pub fn shared_memory(events: &Events, event: &ShmThreshold) -> Raised {
    events.raise_core(EventId::SHM_THRESHOLD, event)
}

/// `E_CORE_TCP_DISCONNECT`: a connection ended. The far end is the source, also of one that this server opened.
pub fn disconnected(events: &Events, view: &View) -> Raised {
    let event = TcpDisconnect {
        src_ip: view.remote.ip(),
        src_port: view.remote.port(),
        dst_ip: view.local.ip(),
        dst_port: view.local.port(),
        proto: view.protocol.name(),
    };
    events.raise_core(EventId::TCP_DISCONNECT, &event)
}

/// `E_CORE_PROC_AUTO_SCALE`: a process was forked (`up`) or asked to leave (`down`).
pub fn auto_scaled(events: &Events, event: &ProcAutoScale<'_>) -> Raised {
    events.raise_core(EventId::PROC_AUTO_SCALE, event)
}

/// `E_CORE_SR_STATUS_CHANGED`: the status of an identifier went from one number to another.
pub fn status_changed(events: &Events, event: &SrStatusChanged<'_>) -> Raised {
    events.raise_core(EventId::SR_STATUS_CHANGED, event)
}

/// `E_CORE_PROC_EXIT`: a child ended, and what that cost.
pub fn process_exit(events: &Events, exit: &Exit, group: &str) -> Raised {
    let Some(id) = events.registry().find(ProcExit::DESCRIPTION.name.as_bytes()) else {
        return Raised::Unheard;
    };
    let (signal, code) = match exit.cause {
        Cause::Signal(signal) => (Some(signal), None),
        Cause::Code(code) => (None, Some(code)),
    };
    let event = ProcExit {
        process_id: exit.member.slot.into(),
        pid: exit.pid,
        signal,
        code,
        group,
        records_lost: exit.records_lost.into(),
    };
    events.raise_core(id, &event)
}
