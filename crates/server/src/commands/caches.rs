//! `cache_store`, `cache_fetch`, `cache_remove`: the key-value stores that scripts use.

use std::rc::Rc;

use tocsin_json::{Text, Value};
use tocsin_mi::{Command, MiError, Outcome, Params, Registry};

use crate::caches::Cache;
use crate::server::Server;

pub(super) fn add(server: &'static Server, registry: &mut Registry) {
    registry.add(Command::new(
        "core",
        "cache_store",
        &[&["system", "attr", "value"], &["system", "attr", "value", "expire"]],
        "stores a value in a key-value store, perhaps for some seconds",
        move |params: Params| -> Outcome {
            let lifetime = params.optional_int("expire")?.and_then(|seconds| u32::try_from(seconds).ok());
            let (key, value) = (params.text("attr")?, params.text("value")?);
            let failed = || MiError::new(500, "Cache store command failed");
            let cache = cache(server, &params)?.ok_or_else(failed)?;
            let stored = cache.store(&key, &value, lifetime.filter(|seconds| *seconds > 0));
            stored.map_err(|cause| MiError { data: Some(cause.to_string().into()), ..failed() })?;
            Ok(Value::from("OK"))
        },
    ));
    registry.add(Command::new(
        "core",
        "cache_fetch",
        &[&["system", "attr"]],
        "shows a value of a key-value store",
        move |params: Params| -> Outcome {
            let key = params.text("attr")?;
            let failed = || MiError::new(500, "Cache fetch command failed");
            let value = cache(server, &params)?.ok_or_else(failed)?.fetch(&key);
            let value = value.ok_or_else(|| MiError::new(400, "Value not found"))?;
            let text = |bytes: &[u8]| Value::Str(Text::copy_of(bytes));
            Ok(Value::object([("key", text(&key)), ("value", text(&value))]))
        },
    ));
    registry.add(Command::new(
        "core",
        "cache_remove",
        &[&["system", "attr"]],
        "removes a value from a key-value store",
        move |params: Params| -> Outcome {
            let key = params.text("attr")?;
            let failed = || MiError::new(500, "Cache remove command failed");
            cache(server, &params)?.ok_or_else(failed)?.remove(&key);
            Ok(Value::from("OK"))
        },
    ));
}

/// The store that `system` names; queries are counted.
fn cache(server: &'static Server, params: &Params) -> Result<Option<&'static Rc<dyn Cache>>, MiError> {
    let caches = &server.registered.caches;
    let found = caches.find(&params.text("system")?);
    if found.is_some() {
        server.statistics.add(caches.total, 1);
    }
    Ok(found)
}
