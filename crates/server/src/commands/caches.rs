//! `cache_store`, `cache_fetch`, `cache_remove`: the key-value stores that scripts use.

use std::rc::Rc;

use tocsin_json::{Text, Value};
use tocsin_mi::{MiError, Params};

use crate::caches::Cache;
use crate::module::CommandRow;
use crate::server::Server;

pub(super) const COMMANDS: &[CommandRow] = &[
    CommandRow::new(
        "cache_store",
        &[&["system", "attr", "value"], &["system", "attr", "value", "expire"]],
        "Stores a value in a key-value store, for a number of seconds or for good.",
        |worker, params| {
            let lifetime = params.optional_int("expire")?.and_then(|seconds| u32::try_from(seconds).ok());
            let (key, value) = (params.text("attr")?, params.text("value")?);
            let failed = || MiError::new(500, "Cache store command failed");
            let cache = cache(worker.server, params)?.ok_or_else(failed)?;
            let stored = cache.store(&key, &value, lifetime.filter(|seconds| *seconds > 0));
            stored.map_err(|cause| MiError { data: Some(cause.to_string().into()), ..failed() })?;
            Ok(Value::from("OK"))
        },
    ),
    CommandRow::new(
        "cache_fetch",
        &[&["system", "attr"]],
        "Shows a value of a key-value store.",
        |worker, params| {
            let key = params.text("attr")?;
            let failed = || MiError::new(500, "Cache fetch command failed");
            let value = cache(worker.server, params)?.ok_or_else(failed)?.fetch(&key);
            let value = value.ok_or_else(|| MiError::new(400, "Value not found"))?;
            let text = |bytes: &[u8]| Value::Str(Text::copy_of(bytes));
            Ok(Value::object([("key", text(&key)), ("value", text(&value))]))
        },
    ),
    CommandRow::new(
        "cache_remove",
        &[&["system", "attr"]],
        "Removes a value from a key-value store.",
        |worker, params| {
            let key = params.text("attr")?;
            let failed = || MiError::new(500, "Cache remove command failed");
            cache(worker.server, params)?.ok_or_else(failed)?.remove(&key);
            Ok(Value::from("OK"))
        },
    ),
];

/// The store that `system` names; queries are counted.
fn cache(server: &'static Server, params: &Params) -> Result<Option<&'static Rc<dyn Cache>>, MiError> {
    let caches = &server.registered.caches;
    let found = caches.find(&params.text("system")?);
    if found.is_some() {
        server.statistics.add(caches.total, 1);
    }
    Ok(found)
}
