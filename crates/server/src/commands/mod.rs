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
use tocsin_mi::{MiError, Registry, Room};

use crate::module::CommandRow;
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

/// The core's commands, a table for each topic, in OpenSIPS's order.
pub const COMMANDS: &[&[CommandRow]] = &[
    statistics::COMMANDS,
    GENERAL,
    processes::COMMANDS,
    logs::COMMANDS,
    memory::CHECK,
    caches::COMMANDS,
    events::COMMANDS,
    streams::COMMANDS,
    memory::DUMPS,
    reload::COMMANDS,
    status_report::COMMANDS,
    &[CommandRow::HELP],
    blocklists::COMMANDS,
];

/// All commands, as the process of `worker` does them: the core's, then those of the loaded modules.
pub fn registry(worker: &'static Worker) -> Registry {
    let mut registry = Registry::new();
    COMMANDS.iter().for_each(|rows| registry.add_rows("core", rows, worker));
    for module in &worker.server.modules {
        registry.add_rows(module.spec().name, module.management().commands, worker);
    }
    registry
}

const GENERAL: &[CommandRow] = &[
    CommandRow::new("uptime", &[&[]], "Shows since when the server runs.", |worker, _| {
        let (now, start) = (time::unix_seconds(), worker.server.started_at);
        Ok(Value::object([
            ("Now", Value::from(time::calendar(now))),
            ("Up since", Value::from(time::calendar(start))),
            ("Up time", Value::from(format!("{} [sec]", now.saturating_sub(start)))),
        ]))
    }),
    CommandRow::new("version", &[&[]], "Shows the name and version of the server.", |_, _| {
        let own = concat!("Tocsin ", env!("CARGO_PKG_VERSION"));
        let server = format!("{COMPATIBLE} ({}/linux)) {own}", std::env::consts::ARCH);
        Ok(Value::object([("Server", Value::from(server))]))
    }),
    CommandRow::new("pwd", &[&[]], "Shows the working directory.", |_, _| {
        let directory = std::env::current_dir().map_err(|e| MiError::server_error(e.to_string()))?;
        Ok(Value::object([("WD", Value::from(directory.to_string_lossy().into_owned()))]))
    }),
    CommandRow::new("arg", &[&[]], "Shows the command line of the server.", |worker, _| {
        Ok(Value::array(worker.server.arguments.iter().map(|argument| Value::from(argument.clone()))))
    }),
    CommandRow::WHICH,
];
