//! The module's variables.

use tocsin_script::{Bytes, Value, Variable};
use tocsin_server::Context;
use tocsin_server::core::computed;
use tocsin_server::reply::hex;

use super::functions::{shown_status, with_transaction};
use super::machine::BranchId;

pub(super) fn all() -> Vec<Variable<Context>> {
    vec![
        computed("T_branch_idx", |cx| {
            cx.transaction.and_then(|t| t.branch).map_or(Value::Null, |b| Value::Int(b.into()))
        }),
        computed("T_reply_code", |cx| Value::Int(shown_status(cx).into())),
        computed("T_id", |cx| cx.transaction.map_or(Value::Null, |t| Value::Str(Bytes::new(&hex(t.id))))),
        computed("T_ruri", |cx| Value::Str(Bytes::new(cx.request_uri()))),
        computed("T_branch_last_reply_code", |cx| {
            let branch = cx.transaction.and_then(|t| t.branch).and_then(|b| BranchId::from_index(b.into()));
            let status = branch.and_then(|b| with_transaction(cx, |t| t.machine.branch_status(b)).flatten());
            status.map_or(Value::Null, |status| Value::Int(status.into()))
        }),
    ]
}
