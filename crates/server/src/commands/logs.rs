//! `log_level`, `xlog_level`, `log_level_filter`, `log_mute_state`: what is logged, changed while the server runs.

use std::sync::atomic::Ordering::Relaxed;

use tocsin_json::Value;
use tocsin_mi::{MiError, Outcome, Params};

use super::processes::slot_of;
use crate::logging::{self, Consumer};
use crate::module::CommandRow;
use crate::process_statistics::living;
use crate::server::Server;

pub(super) const COMMANDS: &[CommandRow] = &[
    CommandRow::new(
        "log_level",
        &[&[], &["level"], &["level", "pid"]],
        "Shows or sets the log level, of one process or of all.",
        |worker, params| log_level(worker.server, params),
    ),
    CommandRow::new(
        "xlog_level",
        &[&[], &["level"]],
        "Shows or sets the log level of xlog().",
        |worker, params| {
            let word = worker.server.words.xlog_level;
            Ok(match params.optional_int("level")? {
                None => Value::object([("xLog level", Value::Int(word.load(Relaxed).into()))]),
                Some(level) => {
                    word.store(level, Relaxed);
                    Value::object([("New xLog level", Value::Int(level.into()))])
                }
            })
        },
    ),
    CommandRow::new(
        "log_level_filter",
        &[&["consumer"], &["consumer", "level_filter"], &["consumer", "log_level_filter"]],
        "Shows or sets up to which level stderror, syslog or event takes lines of the log; 0 is no filter.",
        |_, params| level_filter(params),
    ),
    CommandRow::new(
        "log_mute_state",
        &[&["consumer"], &["consumer", "mute_state"]],
        "Shows or sets whether stderror, syslog or event takes no lines of the log: 1 is muted.",
        |_, params| mute_state(params),
    ),
];

fn log_level(server: &'static Server, params: &Params) -> Outcome {
    let Some(level) = params.optional_int("level")? else {
        let rows = living(server.table).map(|(_, slot)| {
            Value::object([
                ("PID", Value::Int(slot.pid.load(Relaxed).into())),
                ("Log level", Value::Int(logging::level_of(slot).into())),
                ("Type", Value::from(slot.description())),
            ])
        });
        return Ok(Value::object([("Processes", Value::Array(rows.collect()))]));
    };
    if let Some(pid) = params.optional_int("pid")? {
        slot_of(server, pid)?.1.set_log_level(Some(level));
        return Ok(Value::object([("Log level", Value::Int(level.into()))]));
    }
    logging::set_level(level);
    Ok(Value::object([("New global log level", Value::Int(level.into()))]))
}

fn level_filter(params: &Params) -> Outcome {
    let consumer = consumer(params)?;
    let name = if params.has("level_filter") { "level_filter" } else { "log_level_filter" };
    Ok(match params.optional_int(name)? {
        None => Value::object([("Log level filter", Value::Int(consumer.filter().into()))]),
        Some(level) => {
            consumer.set_filter(level);
            Value::from("OK")
        }
    })
}

fn mute_state(params: &Params) -> Outcome {
    let consumer = consumer(params)?;
    Ok(match params.optional_int("mute_state")? {
        None => Value::object([("Mute state", Value::Int(consumer.is_muted().into()))]),
        Some(state) => {
            consumer.set_muted(state != 0);
            Value::from("OK")
        }
    })
}

fn consumer(params: &Params) -> Result<Consumer, MiError> {
    Consumer::parse(&params.text("consumer")?).ok_or_else(|| MiError {
        data: Some("the consumers of lines are stderror, syslog and event".into()),
        ..MiError::bad_value()
    })
}
