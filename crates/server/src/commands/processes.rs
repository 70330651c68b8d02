//! `ps`, `kill`, `autoscale_explain`.

use std::sync::atomic::Ordering::Relaxed;

use tocsin_json::Value;
use tocsin_mi::MiError;
use tocsin_shm::Slot;

use crate::module::CommandRow;
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

pub(super) const COMMANDS: &[CommandRow] = &[
    CommandRow::new("ps", &[&[]], "Lists the processes.", |worker, _| {
        let rows = living(worker.server.table).map(|(id, slot)| {
            Value::object([
                ("ID", Value::Int(id as i64)),
                ("PID", Value::Int(slot.pid.load(Relaxed).into())),
                ("Type", Value::from(slot.description())),
            ])
        });
        Ok(Value::object([("Processes", Value::Array(rows.collect()))]))
    }),
    // Where nothing is scaled, `which` shows what clients of OpenSIPS expect.
    CommandRow::new(
        "autoscale_explain",
        &[&[]],
        "Shows the load and size of each scaled group, and what it needs to grow or shrink.",
        |worker, _| Ok(scaling::explain(worker.server)),
    )
    .only_if(|worker| !worker.server.scaling.is_empty()),
    CommandRow::new("kill", &[&[]], "Ends the server.", |worker, _| {
        let supervisor = worker.server.table.slot(0).pid.load(Relaxed);
        tocsin_process::ask_to_end(supervisor).map_err(|e| MiError::server_error(e.to_string()))?;
        Ok(Value::from("OK"))
    }),
];
