//! `ps`, `kill`, `log_level`, `xlog_level`.

use std::sync::atomic::Ordering::Relaxed;

use tocsin_json::Value;
use tocsin_mi::{Command, MiError, Outcome, Params, Registry};

use crate::logging;
use crate::process_statistics::living;
use crate::scaling;
use crate::server::Server;

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
    let forms: &[&[&str]] = &[&[], &["level"], &["level", "pid"]];
    registry.add(Command::new("core", "log_level", forms, "tells or sets the log level", move |params| {
        log_level(server, &params)
    }));
    registry.add(Command::new(
        "core",
        "xlog_level",
        &[&[], &["level"]],
        "tells or sets the level of xlog()",
        move |params: Params| -> Outcome {
            let word = server.words.xlog_level;
            Ok(match params.optional_int("level")? {
                None => Value::object([("xLog level", Value::Int(word.load(Relaxed).into()))]),
                Some(level) => {
                    word.store(level, Relaxed);
                    Value::object([("New xLog level", Value::Int(level.into()))])
                }
            })
        },
    ));
}

fn log_level(server: &'static Server, params: &Params) -> Outcome {
    let Some(level) = params.optional_int("level")? else {
        let rows = living(server.table).map(|(_, slot)| {
            Value::object([
                ("PID", Value::Int(slot.pid.load(Relaxed).into())),
                ("Log level", Value::Int(logging::level().into())),
                ("Type", Value::from(slot.description())),
            ])
        });
        return Ok(Value::object([("Processes", Value::Array(rows.collect()))]));
    };
    if let Some(pid) = params.optional_int("pid")? {
        let known = living(server.table).any(|(_, slot)| i64::from(slot.pid.load(Relaxed)) == i64::from(pid));
        if !known {
            return Err(MiError::invalid_params("Bad PID"));
        }
        logging::set_level(level);
        return Ok(Value::object([("Log level", Value::Int(level.into()))]));
    }
    logging::set_level(level);
    Ok(Value::object([("New global log level", Value::Int(level.into()))]))
}
