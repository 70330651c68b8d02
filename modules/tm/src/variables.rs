//! The module's variables.

use tocsin_script::{Bytes, RouteKind, Value, Variable, WriteError};
use tocsin_server::Context;
use tocsin_server::core::{branch_avp, readable, refused, settable};
use tocsin_server::reply::hex;
use tocsin_sip::Method;

use super::functions::shown_status;
use super::machine::BranchId;
use super::prepared::with_transaction;
use super::relay::final_timeouts;

pub(super) fn all() -> Vec<Variable<Context>> {
    vec![
        branch_avp(),
        readable(
            "T_branch_idx",
            "The position of the branch that the route is about, from 0; NULL where there is none.",
            |cx| cx.transaction.and_then(|t| t.branch).map_or(Value::Null, |b| Value::Int(b.into())),
        ),
        settable(
            "T_fr_timeout",
            "Seconds that the branches to come may take for their first reply; NULL is what fr_timeout says.",
            |cx| timeout(cx, 0),
            |cx, value| set_timeout(cx, 0, value),
        ),
        settable(
            "T_fr_inv_timeout",
            "Seconds that the branches to come may ring; NULL is what fr_inv_timeout says.",
            |cx| timeout(cx, 1),
            |cx, value| set_timeout(cx, 1, value),
        ),
        readable(
            "T_reply_code",
            "The status of the reply that the route is about; in a failure route the one that will be forwarded.",
            |cx| Value::Int(shown_status(cx).into()),
        ),
        readable("T_id", "The number of the transaction, in hexadecimal; t_reply takes it.", |cx| {
            cx.transaction.map_or(Value::Null, |t| Value::Str(Bytes::new(&hex(t.id))))
        }),
        readable(
            "T_ruri",
            "The Request-URI of the branch that the route is about; in a failure route of the chosen one.",
            branch_uri,
        ),
        readable(
            "T_branch_last_reply_code",
            "The status of the last reply to the branch that the route is about.",
            |cx| {
                let branch =
                    cx.transaction.and_then(|t| t.branch).and_then(|b| BranchId::from_index(b.into()));
                let status =
                    branch.and_then(|b| with_transaction(cx, |t| t.machine.branch_status(b)).flatten());
                status.map_or(Value::Null, |status| Value::Int(status.into()))
            },
        ),
    ]
}

/// The Request-URI of the branch at hand; in a failure route of the one that was chosen.
fn branch_uri(cx: &Context) -> Value {
    match cx.route {
        RouteKind::Branch | RouteKind::Failure => Value::Str(Bytes::new(cx.request_uri())),
        // as recorded of 3.4.18
        RouteKind::Request if cx.message.method() == Method::Ack => Value::Str(Bytes::new(cx.request_uri())),
        _ => {
            let branch = cx.transaction.and_then(|t| t.branch).map(usize::from);
            let uri = with_transaction(cx, |t| {
                let line = t.branches.get(branch?)?.request.split(|byte| *byte == b' ').nth(1)?;
                Some(Value::str(line))
            });
            uri.flatten().unwrap_or(Value::Null)
        }
    }
}

fn timeout(cx: &Context, which: usize) -> Value {
    Value::Int(i64::from(final_timeouts(cx)[which] / 1000))
}

fn set_timeout(cx: &mut Context, which: usize, value: &Value) -> Result<(), WriteError> {
    cx.final_timeouts[which] = match value {
        Value::Null => None,
        Value::Int(seconds) => match u32::try_from(*seconds) {
            Ok(seconds) if seconds > 0 => Some(seconds),
            _ => return Err(refused("a time-out is a number of seconds above 0")),
        },
        Value::Str(_) => return Err(refused("a time-out is a number of seconds")),
    };
    Ok(())
}
