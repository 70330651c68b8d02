//! What the functions have in common.

use std::rc::Rc;

use tocsin_script::{Call, Function, Outcome, Routes, Value};
use tocsin_server::Context;

use super::record::{Transaction, TransactionId};
use super::relay;
use super::state::State;

/// The flags of `t_relay`, by their names or their older numbers.
pub(super) fn relay_flags(flags: &Value) -> relay::Flags {
    let is_set = |name: &[u8], bit: i64| match flags {
        Value::Str(names) => names.split(|byte| *byte == b',').any(|given| given.trim_ascii() == name),
        other => other.to_int().is_some_and(|bits| bits & bit != 0),
    };
    relay::Flags {
        leaves_failures: is_set(b"no-auto-477", 0x02),
        forbids_failover: is_set(b"no-dns-failover", 0x04),
        passes_reason: is_set(b"pass-reason-hdr", 0x08),
    }
}

pub(super) fn plain(
    name: &'static str,
    routes: Routes,
    act: fn(&mut Context) -> Outcome<Context>,
) -> Function<Context> {
    Function::new(name, &[], routes, move |_| {
        let call: Call<Context> = Rc::new(move |cx, _| act(cx));
        Ok(call)
    })
}

/// Reads the transaction of `cx`, if it has one.
pub(super) fn with_transaction<R>(cx: &Context, read: impl FnOnce(&Transaction) -> R) -> Option<R> {
    let id = TransactionId(cx.transaction?.id);
    cx.server().state::<State>().table.get(&id, read)
}
