//! `shm_check`, `mem_pkg_dump`, `mem_shm_dump`, `mem_rpm_dump`: what memory is used for, written into the log.

use std::sync::atomic::Ordering::Relaxed;

use tocsin_json::Value;
use tocsin_mi::{Command, Outcome, Params, Registry};
use tocsin_shm::{Slot, TableUsage};

use super::processes::slot_of;
use crate::logging::{self, Level};
use crate::server::Server;

pub(super) fn add_check(server: &'static Server, registry: &mut Registry) {
    registry.add(Command::new(
        "core",
        "shm_check",
        &[&[]],
        "counts the shared memory anew and tells in how many pieces it is",
        move |_| {
            server.arena.recount();
            Value::object([("Fragments", Value::Int(server.arena.fragments() as i64))])
        },
    ));
}

pub(super) fn add_dumps(server: &'static Server, registry: &mut Registry) {
    registry.add(Command::new(
        "core",
        "mem_pkg_dump",
        &[&["pid"], &["pid", "log_level"]],
        "logs how much private memory a process uses",
        move |params: Params| -> Outcome {
            let level = level(server, &params)?;
            let pid = params.optional_int("pid")?.unwrap_or_default();
            let (id, slot) = slot_of(server, pid)?;
            Ok(write(level, &[private(server, id, slot)]))
        },
    ));
    registry.add(Command::new(
        "core",
        "mem_shm_dump",
        &[&[], &["log_level"]],
        "logs what the shared memory is used for",
        move |params: Params| -> Outcome { Ok(write(level(server, &params)?, &shared(server))) },
    ));
    registry.add(Command::new(
        "core",
        "mem_rpm_dump",
        &[&[], &["log_level"]],
        "logs what is kept in memory over a restart: nothing",
        move |params: Params| -> Outcome {
            let line = "memory that is kept over a restart: there is none".to_owned();
            Ok(write(level(server, &params)?, &[line]))
        },
    ));
}

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
