//! Requests of transactions that exist: retransmissions, ACK, CANCEL.

use std::sync::atomic::Ordering::Relaxed;

use tocsin_script::Outcome;
use tocsin_server::{Context, forward};
use tocsin_sip::{HeaderName, Method};

use super::act::{AtHand, update};
use super::failure::follow_up;
use super::machine::{Actions, BranchId};
use super::matching::{of_method, of_request, tag_of};
use super::observers;
use super::record::{Transaction, TransactionId};
use super::state::State;

/// Methods of requests that a CANCEL does not end, though it is answered.
const CANCELLED_IN_VAIN: [Method; 10] = [
    Method::Message,
    Method::Options,
    Method::Register,
    Method::Subscribe,
    Method::Notify,
    Method::Publish,
    Method::Info,
    Method::Refer,
    Method::Update,
    Method::Bye,
];

/// Whether a transaction is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It is, and has done what had to be done.
    Absorbed,
    /// It was there, but the process whose script worked on it died before it was sent anywhere: it is gone now.
    Orphan,
    /// It is not.
    No,
}

/// The request of `cx` has come again, or belongs to a transaction that is there.
pub(super) fn retransmission(cx: &Context, id: TransactionId) -> Known {
    let server = cx.server();
    let state = server.state::<State>();
    let lives = |slot: u16, generation: u32| server.table.slot(slot).generation.load(Relaxed) == generation;
    let orphan = state.table.remove_if(&id, |t| {
        t.branches.is_empty() && !t.machine.is_answered() && !lives(t.owner.slot, t.owner.generation)
    });
    if orphan {
        return Known::Orphan;
    }
    let again = |t: &mut Transaction, _, actions: &mut Actions| {
        let has_left = |branch: BranchId| t.branches.get(branch.index()).is_some_and(|b| b.left.is_set());
        t.machine.request_retransmission(has_left, actions);
    };
    match update(cx.worker, id, AtHand::Nothing, again) {
        Some(_) => Known::Absorbed,
        None => Known::No,
    }
}

/// `t_check_trans()`: true for an ACK or CANCEL whose INVITE is known; ends the script for what the transaction
/// takes care of itself; false for what belongs to none. True where the request has its transaction already, but for a
/// CANCEL, which is asked about its INVITE.
pub(super) fn check(cx: &mut Context) -> Outcome<Context> {
    if cx.transaction.is_some() && cx.message.method() != Method::Cancel {
        return Outcome::TRUE;
    }
    let Some(id) = of_request(cx.server(), &cx.message) else { return Outcome::FALSE };
    match cx.message.method() {
        Method::Ack => absorb_ack(cx, id).map_or(Outcome::FALSE, |()| Outcome::Exit),
        Method::Cancel => of_cancelled(cx).is_some().into(),
        _ => match retransmission(cx, id) {
            Known::Absorbed => Outcome::Exit,
            Known::Orphan | Known::No => Outcome::FALSE,
        },
    }
}

/// The ACK for a final reply other than 2xx ends here.
pub(super) fn absorb_ack(cx: &mut Context, id: TransactionId) -> Option<()> {
    update(cx.worker, id, AtHand::Nothing, |t, now, actions| t.machine.ack(now, actions))?;
    cx.served = true;
    Some(())
}

/// An ACK: absorbed if it is for a failure, else forwarded to the callee.
pub(super) fn relay_ack(cx: &mut Context) -> Outcome<Context> {
    let known = of_request(cx.server(), &cx.message).and_then(|id| absorb_ack(cx, id));
    match known {
        Some(()) => Outcome::Exit,
        None => forward::stateless(cx),
    }
}

/// A CANCEL: answered with `answer`, which gets the To tag, and sent on to the branches that wait for an answer (RFC 3261
/// section 16.10).
pub(super) fn relay_cancel(
    cx: &mut Context,
    passes_reason: bool,
    answer: fn(&mut Context, &[u8]),
) -> Outcome<Context> {
    let Some(id) = of_cancelled(cx) else { return forward::stateless(cx) };
    // Before the 487 that may follow at once.
    let tag = tag_of(cx.server(), id);
    answer(cx, &tag);
    observers::notify_of_cancel(cx);
    let worker = cx.worker;
    let lines = cancel_lines(cx, passes_reason);
    let after = update(worker, id, AtHand::Nothing, |t, now, actions| {
        if !lines.is_empty() && t.cancel_lines.try_assign(&lines).is_err() {
            tracing::error!("shared memory is full: a CANCEL goes on without its Reason");
        }
        t.machine.cancel(now, actions);
    });
    if let Some(after) = after {
        follow_up(worker, id, after);
    }
    Outcome::TRUE
}

/// The transaction that the CANCEL of `cx` is for, if it is there. That of a request other than INVITE is not ended by it,
/// but the CANCEL is answered.
fn of_cancelled(cx: &Context) -> Option<TransactionId> {
    let table = &cx.server().state::<State>().table;
    let of = |method: Method| of_method(cx.server(), &cx.message, method.text().as_bytes());
    std::iter::once(Method::Invite)
        .chain(CANCELLED_IN_VAIN)
        .find_map(|method| of(method).filter(|id| table.contains(id)))
}

/// The header lines that the CANCEL of `cx` hands on: those of the script, or its Reason.
fn cancel_lines(cx: &Context, passes_reason: bool) -> Vec<u8> {
    let mut lines = cx.cancel_lines.clone();
    if lines.is_empty() && passes_reason {
        for reason in cx.message.headers(HeaderName::Reason) {
            lines.extend_from_slice(b"Reason: ");
            lines.extend_from_slice(reason.value);
            lines.extend_from_slice(b"\r\n");
        }
    }
    lines
}
