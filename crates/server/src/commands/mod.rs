//! Management commands of the core, as OpenSIPS names and answers them.

mod blocklists;
mod caches;
mod events;
mod logs;
mod memory;
mod processes;
mod reload;
mod statistics;
mod status_report;
mod streams;

use tocsin_json::Value;
use tocsin_mi::{Command, MiError, Registry, Room};

use crate::server::Server;
use crate::time;
use crate::worker::Worker;

/// What `version` says first, so that existing clients go on; the name of this server follows.
const COMPATIBLE: &str = "OpenSIPS (3.4.18";

/// One long list takes at most one in so many bytes of private memory (`-M`), before it is sent.
const LIST_SHARE: u64 = 4;

/// Room for the rows of one answer.
pub fn list_room(server: &Server) -> Room {
    Room::new(usize::try_from(server.settings.private_bytes / LIST_SHARE).unwrap_or(usize::MAX))
}

/// The answer in place of a list that is too long and has no member that could say that it was cut off.
pub(crate) fn too_long(instead: &str) -> MiError {
    MiError::server_error(format!("The list is too long for the private memory of a process (-M): {instead}"))
}

/// All commands, as the process of `worker` does them: the core's, then those of the loaded modules.
pub fn registry(worker: &'static Worker) -> Registry {
    let server = worker.server;
    let mut registry = Registry::new();
    statistics::add(server, &mut registry);
    general(server, &mut registry);
    memory::add_check(server, &mut registry);
    caches::add(server, &mut registry);
    events::add(worker, &mut registry);
    streams::add(server, &mut registry);
    memory::add_dumps(server, &mut registry);
    reload::add(worker, &mut registry);
    status_report::add(server, &mut registry);
    registry.add(Command::help());
    blocklists::add(server, &mut registry);
    server.modules.iter().for_each(|module| module.commands(worker, &mut registry));
    registry
}

fn general(server: &'static Server, registry: &mut Registry) {
    registry.add(Command::new("core", "uptime", &[&[]], "tells since when the server runs", move |_| {
        let now = time::unix_seconds();
        Value::object([
            ("Now", Value::from(time::calendar(now))),
            ("Up since", Value::from(time::calendar(server.started_at))),
            ("Up time", Value::from(format!("{} [sec]", now.saturating_sub(server.started_at)))),
        ])
    }));
    registry.add(Command::new("core", "version", &[&[]], "tells which server this is", |_| {
        let own = concat!("Tocsin ", env!("CARGO_PKG_VERSION"));
        Value::object([(
            "Server",
            Value::from(format!("{COMPATIBLE} ({}/linux)) {own}", std::env::consts::ARCH)),
        )])
    }));
    registry.add(Command::new(
        "core",
        "pwd",
        &[&[]],
        "tells the working directory",
        |_| -> tocsin_mi::Outcome {
            let directory = std::env::current_dir().map_err(|e| MiError::server_error(e.to_string()))?;
            Ok(Value::object([("WD", Value::from(directory.to_string_lossy().into_owned()))]))
        },
    ));
    registry.add(Command::new("core", "arg", &[&[]], "tells the command line", move |_| {
        Value::Array(server.arguments.iter().map(|a| Value::from(a.clone())).collect())
    }));
    registry.add(Command::which());
    processes::add(server, registry);
    logs::add(server, registry);
}
