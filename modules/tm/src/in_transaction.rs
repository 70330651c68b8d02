//! The functions that change a transaction there is: header lines of what is made for it, branches to come, flags.

use std::rc::Rc;

use tocsin_script::{ArgError, Bytes, Call, Function, Outcome, Param, ParamKind, Routes, Value};
use tocsin_server::Context;
use tocsin_server::core::as_text;
use tocsin_server::time::now_ms;

use super::act::{AtHand, update};
use super::failure::follow_up;
use super::machine::{BranchId, Kind};
use super::prepared::{plain, with_transaction};
use super::record::{Transaction, TransactionId};
use super::relay;
use super::state::State;

pub(super) fn functions() -> Vec<Function<Context>> {
    const LINES: &[Param] = &[Param::required("sip_hdrs", ParamKind::Str)];
    const INJECT: &[Param] =
        &[Param::required("source", ParamKind::Str), Param::optional("flags", ParamKind::Str)];
    const BRANCHES: &[Param] = &[Param::optional("branches", ParamKind::Int)];
    vec![
        Function::new("t_add_hdrs", LINES, Routes::ANY, |_| {
            let call: Call<Context> = Rc::new(|cx, arguments| {
                let lines = as_text(&arguments[0]).unwrap_or_default();
                change(cx, |t| t.extra_lines.try_assign(&lines).is_ok()).into()
            });
            Ok(call)
        })
        .doc(
            "Gives the ACKs and CANCELs that the server makes for the transaction these header lines. 1: done; \
             -1: there is no transaction, or no memory for them.",
        ),
        Function::new("t_wait_for_new_branches", BRANCHES, Routes::REQUEST, |_| {
            let call: Call<Context> = Rc::new(|cx, arguments| wait_for_branches(cx, &arguments[0]).into());
            Ok(call)
        })
        .doc(
            "Keeps the transaction open for branches to come, though all branches fail: for as many as the \
             argument says, until `fr_inv_timeout` has passed. 1: done; -1: there is no transaction of an INVITE.",
        ),
        Function::new("t_inject_branches", INJECT, Routes::REQUEST | Routes::FAILURE, |site| {
            let is_event = match site.constant_str(0).map(Bytes::as_slice) {
                Some(b"msg") => false,
                Some(b"event") => true,
                _ => return Err(ArgError::at(0, "the source is \"msg\" or \"event\"")),
            };
            let call: Call<Context> = Rc::new(move |cx, arguments| {
                if is_event {
                    tracing::error!("t_inject_branches: a route that event_routing runs knows no transaction yet");
                    return Outcome::FALSE;
                }
                let flags = as_text(&arguments[1]).unwrap_or_default();
                let has = |name: &[u8]| flags.split(|byte| *byte == b',').any(|flag| flag.trim_ascii() == name);
                inject(cx, has(b"cancel"), has(b"last"))
            });
            Ok(call)
        })
        .doc(
            "Adds the destinations that the script has gathered as branches to the transaction. Flags: `cancel` \
             cancels those there are, `last` waits for no others. 1: done; -1: there is no transaction; -2: it is \
             answered, or there is no destination; others as of t_relay(). The source `event` gives -1: the routes of \
             notify_on_event() know no transaction yet.",
        )
        .asynchronous(),
        plain("t_wait_no_more_branches", Routes::ANY, |cx| {
            let Some(id) = cx.transaction.map(|t| TransactionId(t.id)) else { return false.into() };
            let mut has_waited = false;
            let after = update(cx.worker, id, AtHand::Nothing, |t, now, actions| {
                has_waited = t.machine.awaits_branches();
                t.machine.await_no_more(now, actions);
            });
            if let Some(after) = after {
                follow_up(cx.worker, id, after);
            }
            has_waited.into()
        })
        .doc("Takes t_wait_for_new_branches() back. 1: done; -1: no transaction waits."),
        plain("t_flush_flags", Routes::REQUEST | Routes::BRANCH, |cx| {
            let flags = cx.flags;
            change(cx, |t| {
                t.flags = flags;
                true
            })
            .into()
        })
        .doc(
            "Gives the transaction the message flags that were set since it was created. 1: done; -1: there is \
             no transaction.",
        ),
    ]
}

fn inject(cx: &mut Context, cancels: bool, is_last: bool) -> Outcome<Context> {
    let before = with_transaction(cx, |t| t.machine.branch_count()).unwrap_or(0);
    let outcome = relay::inject(cx);
    let Some(id) = cx.transaction.map(|t| TransactionId(t.id)) else { return outcome };
    let after = update(cx.worker, id, AtHand::Nothing, |t, now, actions| {
        for branch in (0..before).filter_map(BranchId::from_index).filter(|_| cancels) {
            t.machine.cancel_branch(branch, now, actions);
        }
        if is_last {
            t.machine.await_no_more(now, actions);
        }
    });
    if let Some(after) = after.filter(|_| cancels || is_last) {
        follow_up(cx.worker, id, after);
    }
    outcome
}

/// Changes the transaction of `cx`; false if there is none, or it cannot be changed.
fn change(cx: &Context, change: impl FnOnce(&mut Transaction) -> bool) -> bool {
    let Some(id) = cx.transaction.map(|t| TransactionId(t.id)) else { return false };
    cx.server().state::<State>().table.update(&id, |t, _| change(t)).unwrap_or(false)
}

fn wait_for_branches(cx: &Context, count: &Value) -> bool {
    let count = count.to_int().and_then(|count| u8::try_from(count).ok());
    let Some(id) = cx.transaction.map(|t| TransactionId(t.id)) else { return false };
    let waits = cx.server().state::<State>().table.update(&id, |t, edit| {
        t.machine.await_branches(count, now_ms());
        edit.set_deadline(t.machine.deadline());
        t.machine.kind() == Kind::Invite
    });
    waits.unwrap_or(false)
}
