//! The core events, each with its parameters in the order of the wire.

use tocsin_event::{EventId, Events, Raised};
use tocsin_net::connections::View;

use crate::server::Server;

/// `E_CORE_THRESHOLD`: `source` took `micros` for `extra`.
pub fn threshold(server: &Server, source: &str, micros: u64, extra: &[u8]) -> Raised {
    server.events.raise(EventId::THRESHOLD, |params| {
        params.text("source", source).int("time", micros as i64).text("extra", extra);
    })
}

/// `E_CORE_PKG_THRESHOLD`: a process's private memory. Sizes in bytes.
pub fn private_memory(server: &Server, usage: u8, threshold: u8, used: u64, size: u64, pid: u32) -> Raised {
    server.events.raise(EventId::PKG_THRESHOLD, |params| {
        params
            .int("usage", usage.into())
            .int("threshold", threshold.into())
            .int("used", used as i64)
            .int("size", size as i64)
            .int("pid", pid.into());
    })
}

/// `E_CORE_SHM_THRESHOLD`: the shared memory. Sizes in bytes.
pub fn shared_memory(server: &Server, usage: u8, threshold: u8, used: u64, size: u64) -> Raised {
    server.events.raise(EventId::SHM_THRESHOLD, |params| {
        params
            .int("usage", usage.into())
            .int("threshold", threshold.into())
            .int("used", used as i64)
            .int("size", size as i64);
    })
}

/// `E_CORE_TCP_DISCONNECT`: a connection ended. The far end is the source, also of one that this server opened.
pub fn disconnected(server: &Server, view: &View) -> Raised {
    server.events.raise(EventId::TCP_DISCONNECT, |params| {
        params
            .text("src_ip", view.remote.ip().to_string())
            .int("src_port", view.remote.port().into())
            .text("dst_ip", view.local.ip().to_string())
            .int("dst_port", view.local.port().into())
            .text("proto", view.protocol.name());
    })
}

/// `E_CORE_SR_STATUS_CHANGED`: the status of an identifier went from one number to another.
pub(crate) fn status_changed(
    events: &Events,
    group: &str,
    identifier: &str,
    (old, status): (i32, i32),
    details: Option<&[u8]>,
) -> Raised {
    events.raise(EventId::SR_STATUS_CHANGED, |params| {
        params.text("group", group).text("identifier", identifier).int("status", status.into());
        if let Some(details) = details {
            params.text("details", details);
        }
        params.int("old_status", old.into());
    })
}

/// `E_CORE_PROC_EXIT`: a child ended, and what that cost.
pub fn process_exit(server: &Server, exit: &tocsin_process::Exit, group: &str) -> Raised {
    server.events.raise(server.process_exit_event, |params| {
        params.int("process_id", exit.member.slot.into()).int("pid", exit.pid.into());
        match exit.cause {
            tocsin_process::Cause::Signal(signal) => params.int("signal", signal.into()),
            tocsin_process::Cause::Code(code) => params.int("code", code.into()),
        };
        params.text("group", group).int("records_lost", exit.records_lost.into());
    })
}
