//! `ps`, `kill`, `autoscale_explain`.

use std::sync::atomic::Ordering::Relaxed;

use tocsin_json::Value;
use tocsin_mi::{Command, MiError, Outcome, Registry};
use tocsin_shm::Slot;

use crate::process_statistics::living;
use crate::scaling;
use crate::server::Server;

/// The process of `pid`, with its ID.
///
/// # Errors
/// There is none.
pub(super) fn slot_of(server: &Server, pid: i32) -> Result<(usize, &'static Slot), MiError> {
    let mut processes = living(server.table);
    let found = processes.find(|(_, slot)| i64::from(slot.pid.load(Relaxed)) == i64::from(pid));
    found.ok_or_else(|| MiError::invalid_params("Bad PID"))
}

pub(super) fn add(server: &'static Server, registry: &mut Registry) {
    registry.add(Command::new("core", "ps", &[&[]], "lists the processes", move |_| {
        let rows = living(server.table).map(|(id, slot)| {
            Value::object([
                ("ID", Value::Int(id as i64)),
                ("PID", Value::Int(slot.pid.load(Relaxed).into())),
                ("Type", Value::from(slot.description())),
            ])
        });
        Value::object([("Processes", Value::Array(rows.collect()))])
    }));
    let explains = "tells what scaled groups have come to, and what they need to grow or shrink";
    // Where nothing is scaled, `which` shows what clients of OpenSIPS expect.
    if !server.scaling.is_empty() {
        let explain = move |_| scaling::explain(server);
        registry.add(Command::new("core", "autoscale_explain", &[&[]], explains, explain));
    }
    registry.add(Command::new("core", "kill", &[&[]], "ends the server", move |_| -> Outcome {
        let supervisor = server.table.slot(0).pid.load(Relaxed);
        tocsin_process::ask_to_end(supervisor).map_err(|e| MiError::server_error(e.to_string()))?;
        Ok(Value::from("OK"))
    }));
}
