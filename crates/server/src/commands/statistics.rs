//! `get_statistics`, `list_statistics`, `reset_statistics`.

use tocsin_json::Value;
use tocsin_mi::{Command, MiError, Outcome, Params, Registry};

use crate::server::Server;
use crate::statistics::Reading;

pub(super) fn add(server: &'static Server, registry: &mut Registry) {
    registry.add(Command::new(
        "core",
        "get_statistics",
        &[&["statistics"]],
        "tells statistics: all, a group with a colon behind it, or single ones",
        move |params: Params| -> Outcome {
            let readings = wanted(server, &params)?;
            Ok(object(readings, |r| Value::Int(r.value)))
        },
    ));
    registry.add(Command::new(
        "core",
        "list_statistics",
        &[&[], &["statistics"]],
        "lists statistics with their type",
        move |params: Params| -> Outcome {
            let readings = if params.has("statistics") {
                wanted(server, &params)?
            } else {
                server.statistics.read("all")
            };
            Ok(object(readings, |r| {
                Value::from(if r.incremental { "incremental" } else { "non-incremental" })
            }))
        },
    ));
    registry.add(Command::new(
        "core",
        "reset_statistics",
        &[&["statistics"]],
        "sets counters back to zero",
        move |params: Params| -> Outcome {
            let mut found = false;
            for name in params.texts("statistics")? {
                found |= server.statistics.reset(&String::from_utf8_lossy(&name));
            }
            if found { Ok(Value::from("OK")) } else { Err(MiError::new(404, "Statistics Not Found")) }
        },
    ));
    registry.add(Command::new(
        "core",
        "reset_all_statistics",
        &[&[]],
        "sets every counter back to zero",
        move |_| {
            server.statistics.reset_all();
            Value::from("OK")
        },
    ));
}

fn wanted(server: &'static Server, params: &Params) -> Result<Vec<Reading>, MiError> {
    let names = params.texts("statistics")?;
    let found: Vec<Reading> =
        names.iter().flat_map(|name| server.statistics.read(&String::from_utf8_lossy(name))).collect();
    if found.is_empty() { Err(MiError::new(404, "Statistics Not Found")) } else { Ok(found) }
}

fn object(readings: Vec<Reading>, value: impl Fn(&Reading) -> Value) -> Value {
    Value::object(readings.into_iter().map(|reading| {
        let value = value(&reading);
        (reading.name, value)
    }))
}
