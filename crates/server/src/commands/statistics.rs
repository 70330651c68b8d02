//! `get_statistics`, `list_statistics`, `reset_statistics`.

use std::borrow::Cow;

use tocsin_json::Value;
use tocsin_mi::{Command, MiError, Outcome, Params, Registry};

use crate::server::Server;
use crate::statistics::{NAME_LIMIT, Reading, Wanted};

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
                server.statistics.read(&Wanted::all())
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
            let names = names(&params)?;
            if server.statistics.reset(&named(&names)?.without_all()) {
                Ok(Value::from("OK"))
            } else {
                Err(MiError::new(404, "Statistics Not Found"))
            }
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
    let names = names(params)?;
    Ok(server.statistics.read(&named(&names)?))
}

/// The names in a request. What is not UTF-8 names nothing.
fn names(params: &Params) -> Result<Vec<Cow<'_, str>>, MiError> {
    let names = params.texts("statistics")?.into_iter();
    Ok(names
        .map(|name| match name {
            Cow::Borrowed(name) => String::from_utf8_lossy(name),
            Cow::Owned(name) => Cow::Owned(String::from_utf8_lossy(&name).into_owned()),
        })
        .collect())
}

fn named<'a>(names: &'a [Cow<'_, str>]) -> Result<Wanted<'a>, MiError> {
    Wanted::named(names.iter().map(|name| &**name)).ok_or_else(|| {
        MiError::invalid_params(format!("More than {NAME_LIMIT} names in parameter 'statistics'"))
    })
}

fn object(readings: Vec<Reading>, value: impl Fn(&Reading) -> Value) -> Value {
    Value::object(readings.into_iter().map(|reading| {
        let value = value(&reading);
        (reading.name, value)
    }))
}
