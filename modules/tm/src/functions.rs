//! The module's functions.

use std::rc::Rc;

use tocsin_script::{Bytes, Call, Function, Outcome, Param, ParamKind, RouteId, RouteKind, Routes, Value};
use tocsin_server::Context;
use tocsin_server::core::{check_destination, destination_uri, leaving_status};

use super::act::{AtHand, update};
use super::answers::NoTransaction;
use super::failure::follow_up;
use super::machine::BranchId;
use super::prepared::{plain, relay_flags, with_transaction};
use super::record::TransactionId;
use super::relay;
use super::state::State;
use super::{answers, in_transaction, requests, sending};

pub(super) fn all() -> Vec<Function<Context>> {
    const RELAY: &[Param] =
        &[Param::optional("flags", ParamKind::StrOrInt), Param::optional("outbound_proxy", ParamKind::Str)];
    const STATUS: &[Param] = &[Param::required("expression", ParamKind::Regex)];
    const WHICH: &[Param] = &[Param::required("reply", ParamKind::Str)];
    const REASON: &[Param] = &[Param::required("reason_header", ParamKind::Str)];
    const CANCEL: &[Param] = &[Param::optional("flags", ParamKind::Str)];
    let requests = Routes::REQUEST | Routes::FAILURE;
    let mut all = vec![
        Function::new("t_relay", RELAY, requests, |site| {
            check_destination(site, 1)?;
            let call: Call<Context> = Rc::new(|cx, arguments| {
                if let Value::Str(proxy) = &arguments[1] {
                    if [&b"sip:"[..], b"sips:"].iter().any(|scheme| proxy.starts_with(scheme)) {
                        let proxy = proxy.lossy();
                        tracing::error!(
                            "t_relay: `{proxy}` is no outbound proxy: write it as proto:host:port"
                        );
                        return Outcome::FALSE;
                    }
                    cx.targets.main.next_hop = Some(destination_uri(proxy));
                }
                relay::relay(cx, relay_flags(&arguments[0]))
            });
            Ok(call)
        })
        .doc(
            "Forwards the request and its branches in a transaction, which is created if there is none. \
             1: done; -1: an error; -2: the message is not right; -3: there is no destination; -4: a \
             destination is not right; -5: all destinations are on blocklists; -6: it cannot be sent.",
        )
        .asynchronous(),
        plain("t_newtran", Routes::REQUEST, new_transaction).doc(
            "Creates the transaction of the request, so that retransmissions are absorbed. 1: done, or it is an ACK that \
             belongs to none; -10: there is one already; -1: it cannot be created. The script ends for a retransmission \
             and for the ACK to a failure.",
        ),
        plain("t_check_trans", Routes::REQUEST | Routes::BRANCH, requests::check).doc(
            "Checks whether an ACK or CANCEL belongs to a transaction. 1: it does; -1: it does not. The \
             script ends for a retransmission, and for an ACK that needs nothing more.",
        ),
        Function::new("t_check_status", STATUS, requests | Routes::REPLY | Routes::BRANCH, |site| {
            let fixed = site.regex(0);
            let call: Call<Context> = Rc::new(move |cx, arguments| {
                let status = shown_status(cx).to_string();
                match (&fixed, &arguments[0]) {
                    (Some(regex), _) => regex.is_match(status.as_bytes()).into(),
                    (None, Value::Str(pattern)) => tocsin_script::compile_made_regex(pattern)
                        .is_ok_and(|regex| regex.is_match(status.as_bytes()))
                        .into(),
                    _ => Outcome::FALSE,
                }
            });
            Ok(call)
        })
        .doc(
            "Checks whether the status of the response, or in a failure route of the chosen one, matches \
             an expression. 1: it does; -1: it does not.",
        ),
        Function::new("t_local_replied", WHICH, requests, |_| {
            let call: Call<Context> = Rc::new(|cx, arguments| {
                let asks_last = matches!(&arguments[0], Value::Str(which) if **which == *b"last");
                let local = with_transaction(cx, |t| {
                    if asks_last {
                        return t.machine.is_last_reply_local();
                    }
                    (0..t.machine.branch_count()).all(|at| {
                        BranchId::from_index(at).is_none_or(|branch| t.machine.is_branch_local(branch))
                    })
                });
                local.unwrap_or(false).into()
            });
            Ok(call)
        })
        .doc(
            "Checks whether no branch sent a response, so that 408 or 477 is one of this server's own; with `last`, \
             whether the last response was. 1: it is so; -1: it is not.",
        ),
        plain("t_was_cancelled", requests | Routes::REPLY, |cx| {
            with_transaction(cx, |t| t.machine.was_cancelled()).unwrap_or(false).into()
        })
        .doc("Checks whether the transaction was cancelled. 1: it was; -1: it was not, or there is none."),
        Function::new("t_add_cancel_reason", REASON, Routes::REQUEST, |_| {
            let call: Call<Context> = Rc::new(|cx, arguments| {
                if let Value::Str(lines) = &arguments[0] {
                    cx.cancel_lines = lines.to_vec();
                }
                Outcome::TRUE
            });
            Ok(call)
        })
        .doc(
            "Gives the CANCELs that follow from this CANCEL these header lines, such as a Reason. 1: always.",
        ),
        Function::new("t_cancel_branch", CANCEL, Routes::REPLY, |_| {
            let call: Call<Context> = Rc::new(|cx, arguments| cancel_branches(cx, &arguments[0]));
            Ok(call)
        })
        .doc(
            "Cancels the branch of the response at hand; with the flag `a` all branches, with `o` the \
             others. 1: done; -1: there is no transaction.",
        ),
    ];
    const FAILURE: &[Param] = &[Param::optional("route", ParamKind::Route(RouteKind::Failure))];
    const ON_REPLY: &[Param] = &[Param::optional("route", ParamKind::Route(RouteKind::Reply))];
    const BRANCH: &[Param] = &[Param::optional("route", ParamKind::Route(RouteKind::Branch))];
    all.push(arming("t_on_failure", FAILURE, |cx, route| cx.armed.failure = route).doc(
        "Sets the failure route that runs when the transaction fails; without an argument none runs. \
         1: always.",
    ));
    all.push(arming("t_on_reply", ON_REPLY, |cx, route| cx.armed.reply = route).doc(
        "Sets the onreply route that runs for each response; without an argument none runs. 1: \
         always.",
    ));
    all.push(arming("t_on_branch", BRANCH, |cx, route| cx.armed.branch = route).doc(
        "Sets the branch route that runs for each branch before it is sent; without an argument none \
         runs. 1: always.",
    ));
    all.extend(answers::functions());
    all.extend(in_transaction::functions());
    all.extend(sending::functions());
    all
}

/// A function that arms a route, or disarms it when it is given none.
fn arming(
    name: &'static str,
    params: &'static [Param],
    arm: fn(&mut Context, Option<RouteId>),
) -> Function<Context> {
    let routes = Routes::REQUEST | Routes::FAILURE | Routes::BRANCH | Routes::REPLY | Routes::LOCAL;
    Function::new(name, params, routes, move |_| {
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            arm(cx, RouteId::from_value(&arguments[0]));
            store_armed(cx);
            Outcome::TRUE
        });
        Ok(call)
    })
}

/// The return code of `t_newtran()` where the request has its transaction.
const EXISTS: i64 = -10;

/// `t_newtran()`: the transaction exists from here on, and absorbs retransmissions while the script works.
fn new_transaction(cx: &mut Context) -> Outcome<Context> {
    if cx.transaction.is_some() {
        return Outcome::Done(EXISTS);
    }
    match answers::own_transaction(cx) {
        Ok(_) | Err(NoTransaction::Ack) => Outcome::TRUE,
        Err(NoTransaction::Outcome(outcome)) => outcome,
    }
}

/// Routes armed once the transaction exists are for the transaction.
fn store_armed(cx: &mut Context) {
    let Some(id) = cx.transaction.map(|t| TransactionId(t.id)).filter(|_| cx.route != RouteKind::Branch)
    else {
        return;
    };
    let armed = cx.armed;
    cx.server().state::<State>().table.update(&id, |t, _| t.arm(&armed));
}

/// The status that the script is shown: of the reply at hand, of the failure, or the last one sent.
pub(super) fn shown_status(cx: &Context) -> u16 {
    if let Some(status) = leaving_status(cx) {
        return status;
    }
    let of_failure = cx.transaction.map_or(0, |t| t.status);
    if of_failure > 0 {
        return of_failure;
    }
    with_transaction(cx, |t| t.machine.last_status()).flatten().unwrap_or(0)
}

fn cancel_branches(cx: &mut Context, flags: &Value) -> Outcome<Context> {
    let Some(found) = cx.transaction else { return Outcome::FALSE };
    let flags = if let Value::Str(flags) = flags { flags.clone() } else { Bytes::EMPTY };
    let (all, others) = (flags.contains(&b'a'), flags.contains(&b'o'));
    let id = TransactionId(found.id);
    let own = found.branch.map(usize::from);
    let after = update(cx.worker, id, AtHand::Nothing, |t, now, actions| {
        for at in 0..t.machine.branch_count() {
            let wanted = all || (others != (own == Some(at)));
            if let Some(branch) = BranchId::from_index(at).filter(|_| wanted) {
                t.machine.cancel_branch(branch, now, actions);
            }
        }
    });
    let there = after.is_some();
    if let Some(after) = after {
        follow_up(cx.worker, id, after);
    }
    there.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_set_by_name_or_number() {
        let both = relay::Flags { leaves_failures: true, forbids_failover: true, passes_reason: false };
        assert_eq!(relay_flags(&Value::str("no-auto-477, no-dns-failover")), both);
        assert_eq!(relay_flags(&Value::Int(0x06)), both);
        assert!(relay_flags(&Value::str("pass-reason-hdr")).passes_reason);
        for flags in [Value::Null, Value::str("no-dns"), Value::str(""), Value::Int(0x01)] {
            assert_eq!(relay_flags(&flags), relay::Flags::default(), "{flags:?}");
        }
    }
}
