//! The functions that change a transaction there is: header lines of what is made for it, branches to come, flags.

use std::rc::Rc;

use tocsin_script::{Call, Function, Param, ParamKind, Routes, Value};
use tocsin_server::Context;
use tocsin_server::core::as_text;
use tocsin_server::time::now_ms;

use super::act::{AtHand, update};
use super::failure::follow_up;
use super::functions::plain;
use super::record::{Transaction, TransactionId};
use super::state::State;

pub(super) fn functions() -> Vec<Function<Context>> {
    const LINES: &[Param] = &[Param::required("sip_hdrs", ParamKind::Str)];
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
             argument says, until `fr_inv_timeout` has passed. 1: done; -1: there is no transaction.",
        ),
        plain("t_wait_no_more_branches", Routes::ANY, |cx| {
            let Some(id) = cx.transaction.map(|t| TransactionId(t.id)) else { return false.into() };
            let after =
                update(cx.worker, id, AtHand::Nothing, |t, now, actions| t.machine.await_no_more(now, actions));
            let is_there = after.is_some();
            if let Some(after) = after {
                follow_up(cx.worker, id, after);
            }
            is_there.into()
        })
        .doc("Takes t_wait_for_new_branches() back. 1: done; -1: there is no transaction."),
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
    });
    waits.is_some()
}
