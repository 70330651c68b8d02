//! `shm_check`, `mem_pkg_dump`, `mem_shm_dump`, `mem_rpm_dump`: what memory is used for, written into the log.

use std::sync::atomic::Ordering::Relaxed;

use tocsin_json::Value;
use tocsin_mi::Params;
use tocsin_shm::{Slot, TableUsage};

use super::processes::slot_of;
use crate::logging::{self, Level};
use crate::module::CommandRow;
use crate::server::Server;

pub(super) const CHECK: &[CommandRow] = &[CommandRow::new(
    "shm_check",
    &[&[]],
    "Counts the shared memory anew, and shows in how many pieces it is.",
    |worker, _| {
        let arena = worker.server.arena;
        arena.recount();
        Ok(Value::object([("Fragments", Value::Int(arena.fragments() as i64))]))
    },
)];

pub(super) const DUMPS: &[CommandRow] = &[
    CommandRow::new(
        "mem_pkg_dump",
        &[&["pid"], &["pid", "log_level"]],
        "Logs how much private memory a process uses.",
        |worker, params| {
            let level = level(worker.server, params)?;
            let pid = params.optional_int("pid")?.unwrap_or_default();
            let (id, slot) = slot_of(worker.server, pid)?;
            Ok(write(level, &[private(worker.server, id, slot)]))
        },
    ),
    CommandRow::new(
        "mem_shm_dump",
        &[&[], &["log_level"]],
        "Logs what the shared memory is used for.",
        |worker, params| Ok(write(level(worker.server, params)?, &shared(worker.server))),
    ),
    CommandRow::new(
        "mem_rpm_dump",
        &[&[], &["log_level"]],
        "Logs what is kept in memory over a restart: nothing.",
        |worker, params| {
            let line = "memory that is kept over a restart: there is none".to_owned();
            Ok(write(level(worker.server, params)?, &[line]))
        },
    ),
];

/// The level of the lines: that of the call, or `memdump`.
fn level(server: &Server, params: &Params) -> Result<Level, tocsin_mi::MiError> {
    let number = params.optional_int("log_level")?.unwrap_or(server.settings.memdump);
    Ok(Level::from_number(number))
}

fn write(level: Level, lines: &[String]) -> Value {
    lines.iter().for_each(|line| logging::line(level, &format!("core: {line}")));
    Value::from("OK")
}

fn private(server: &Server, id: usize, slot: &Slot) -> String {
    let (pid, used) = (slot.pid.load(Relaxed), slot.private_bytes.load(Relaxed).max(0) as u64);
    let (most, budget) = (slot.private_peak.load(Relaxed).max(0) as u64, server.settings.private_bytes);
    format!(
        "private memory of process {id}, pid {pid} ({}): {used} of {budget} bytes (-M) used, {} free, {} at most so far",
        slot.description(),
        budget.saturating_sub(used),
        most.max(used)
    )
}

fn shared(server: &Server) -> Vec<String> {
    let arena = server.arena;
    let (size, used) = (arena.size_bytes(), arena.used_bytes());
    let mut lines = vec![format!(
        "shared memory: {used} of {size} bytes (-m) used, {} free, {} at most so far, {} pieces, {} bytes lost by repairs",
        size.saturating_sub(used),
        arena.max_used_bytes(),
        arena.fragments(),
        arena.leaked_bytes()
    )];
    let mut tables: Vec<_> = server.tables.iter().filter_map(|table| table.usage()).collect();
    tables.sort_by_key(|table| std::cmp::Reverse(table.held_bytes));
    lines.extend(tables.iter().map(table));
    lines
}

fn table(usage: &TableUsage) -> String {
    let TableUsage { name, records, used_bytes, held_bytes, repairs, lost } = usage;
    let mut line = format!("table {name}: {records} records of {used_bytes} bytes in {held_bytes}");
    if *repairs > 0 {
        line += &format!("; {repairs} repairs after a death, {lost} records lost");
    }
    line
}
