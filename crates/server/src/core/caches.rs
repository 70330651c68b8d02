//! `cache_store()`, `cache_fetch()` and the other functions on key-value stores (manual, "Core Functions").

use std::rc::Rc;

use tocsin_script::{Bytes, Call, Function, Outcome, Param, ParamKind, Routes, Value};

use super::values::{as_text, put};
use crate::caches::{Cache, CacheError};
use crate::context::Context;

/// There is nothing at the key.
const NO_SUCH_KEY: i64 = -2;
/// What is at the key is no number.
const NOT_A_COUNTER: i64 = -3;

const ID: Param = Param::required("storage_id", ParamKind::Str);
const KEY: Param = Param::required("attribute_name", ParamKind::Str);

pub(super) fn functions() -> Vec<Function<Context>> {
    vec![
        store(),
        remove(),
        fetch("cache_fetch", |value| Some(Value::Str(value)))
            .doc("Reads a value of a key-value store. 1: found; -2: there is no such key; -1: it failed."),
        fetch("cache_counter_fetch", |value| Value::Str(value).to_int().map(Value::Int)).doc(
            "Reads a value of a key-value store as a number. 1: found; -2: there is no such key; \
             -3: the value is not a number; -1: it failed.",
        ),
        add("cache_add", Some).doc(
            "Adds to a counter in a key-value store and makes it last `expire` seconds; 0 is for \
             good. 1: done; -1: it failed.",
        ),
        add("cache_sub", i64::checked_neg).doc(
            "Subtracts from a counter in a key-value store and makes it last `expire` seconds; 0 \
             is for good. 1: done; -1: it failed.",
        ),
    ]
}

fn store() -> Function<Context> {
    const PARAMS: &[Param] = &[
        ID,
        KEY,
        Param::required("attribute_value", ParamKind::Str),
        Param::optional("timeout", ParamKind::Int),
    ];
    Function::new("cache_store", PARAMS, Routes::ANY, |_| {
        let call: Call<Context> = Rc::new(|cx, arguments| {
            let Some(value) = as_text(&arguments[2]) else { return Outcome::FALSE };
            let lifetime = seconds(&arguments[3]);
            asked(cx, "cache_store", arguments, |cache, key| cache.store(key, &value, lifetime))
                .is_some()
                .into()
        });
        Ok(call)
    })
    .doc(
        "Stores a value in a key-value store, for `timeout` seconds or for good. 1: done; -1: \
             it failed.",
    )
}

fn remove() -> Function<Context> {
    const PARAMS: &[Param] = &[ID, KEY];
    Function::new("cache_remove", PARAMS, Routes::ANY, |_| {
        let call: Call<Context> = Rc::new(|cx, arguments| {
            asked(cx, "cache_remove", arguments, |cache, key| Ok(cache.remove(key))).is_some().into()
        });
        Ok(call)
    })
    .doc("Removes a value from a key-value store. 1: done, whether or not it was there; -1: it failed.")
}

/// `read` is what the value at the key is taken for; `None` if it is no such thing.
fn fetch(name: &'static str, read: fn(Bytes) -> Option<Value>) -> Function<Context> {
    const PARAMS: &[Param] = &[ID, KEY, Param::required("result", ParamKind::Output)];
    Function::new(name, PARAMS, Routes::ANY, move |site| {
        let result = site.variable(2);
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            let fetched = |cache: &dyn Cache, key: &[u8]| {
                if key.is_empty() { Err(CacheError::NoKey) } else { Ok(cache.fetch(key)) }
            };
            let Some(found) = asked(cx, name, arguments, fetched) else {
                return Outcome::FALSE;
            };
            let Some(found) = found else { return Outcome::Done(NO_SUCH_KEY) };
            match read(found) {
                Some(value) => put(cx, result.as_deref(), value).into(),
                None => Outcome::Done(NOT_A_COUNTER),
            }
        });
        Ok(call)
    })
}

/// `sign` makes of the given number the one that is added.
fn add(name: &'static str, sign: fn(i64) -> Option<i64>) -> Function<Context> {
    const PARAMS: &[Param] = &[
        ID,
        KEY,
        Param::required("value", ParamKind::Int),
        Param::required("expire", ParamKind::Int),
        Param::optional("new_value", ParamKind::Output),
    ];
    Function::new(name, PARAMS, Routes::ANY, move |site| {
        let result = site.variable(4);
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            let Some(by) = arguments[2].to_int().and_then(sign) else { return Outcome::FALSE };
            let lifetime = seconds(&arguments[3]);
            match asked(cx, name, arguments, |cache, key| cache.add(key, by, lifetime)) {
                Some(sum) => put(cx, result.as_deref(), Value::Int(sum)).into(),
                None => Outcome::FALSE,
            }
        });
        Ok(call)
    })
}

/// A lifetime; none for 0 and less.
fn seconds(value: &Value) -> Option<u32> {
    value.to_int().filter(|seconds| *seconds > 0).map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// Asks the store that the first argument names about the key that the second one is. What went wrong is in the log.
fn asked<R>(
    cx: &Context,
    function: &str,
    arguments: &[Value],
    ask: impl FnOnce(&dyn Cache, &[u8]) -> Result<R, CacheError>,
) -> Option<R> {
    let (id, key) = (as_text(&arguments[0])?, as_text(&arguments[1])?);
    let server = cx.server();
    let Some(cache) = server.registered.caches.find(&id) else {
        tracing::error!(
            "{function}: there is no key-value store `{}`: load its module and give it that URL",
            id.lossy()
        );
        return None;
    };
    server.statistics.add(server.registered.caches.total, 1);
    match ask(&**cache, &key) {
        Ok(answer) => Some(answer),
        Err(CacheError::Full) => {
            cx.worker.report_full(function);
            None
        }
        Err(cause) => {
            tracing::error!("{function}: {}: {cause}", key.lossy());
            None
        }
    }
}
