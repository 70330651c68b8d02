//! `get_statistics`, `list_statistics`, `reset_statistics`.

use std::borrow::Cow;

use tocsin_json::Value;
use tocsin_mi::{MiError, Params};

use crate::module::CommandRow;
use crate::server::Server;
use crate::statistics::{MAX_NAMES, Reading, Wanted};

pub(super) const COMMANDS: &[CommandRow] = &[
    CommandRow::new(
        "get_statistics",
        &[&["statistics"]],
        "Shows the values of statistics: `all`, a group as `group:`, or single ones.",
        |worker, params| Ok(object(wanted(worker.server, params)?, |r| Value::Int(r.value))),
    ),
    CommandRow::new(
        "list_statistics",
        &[&[], &["statistics"]],
        "Lists statistics with their type.",
        |worker, params| {
            let readings = match params.has("statistics") {
                true => wanted(worker.server, params)?,
                false => worker.server.statistics.read(&Wanted::all()),
            };
            let kind = |r: &Reading| if r.incremental { "incremental" } else { "non-incremental" };
            Ok(object(readings, |r| Value::from(kind(r))))
        },
    ),
    CommandRow::new(
        "reset_statistics",
        &[&["statistics"]],
        "Sets counters back to zero; statistics that do not count up stay.",
        |worker, params| {
            let names = names(params)?;
            match worker.server.statistics.reset(&named(&names)?.without_all()) {
                true => Ok(Value::from("OK")),
                false => Err(MiError::new(404, "Statistics Not Found")),
            }
        },
    ),
    CommandRow::new("reset_all_statistics", &[&[]], "Sets every counter back to zero.", |worker, _| {
        worker.server.statistics.reset_all();
        Ok(Value::from("OK"))
    }),
];

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
        MiError::invalid_params(format!("More than {MAX_NAMES} names in parameter 'statistics'"))
    })
}

fn object(readings: Vec<Reading>, value: impl Fn(&Reading) -> Value) -> Value {
    Value::object(readings.into_iter().map(|reading| {
        let value = value(&reading);
        (reading.name, value)
    }))
}
