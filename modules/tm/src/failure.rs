//! Failure routes: all branches have failed, and the script may try others.

use tocsin_script::{RouteId, RouteKind};
use tocsin_server::avps::Avps;
use tocsin_server::{Context, Received, TransactionRef, Worker};

use super::act::{After, AtHand, Failed, parse, update};
use super::failover;
use super::record::{RouteBits, Transaction, TransactionId};
use super::state::State;

/// Does what is left to do after the lock of a transaction was released.
pub(super) fn follow_up(worker: &'static Worker, id: TransactionId, after: After) {
    for branch in after.failing_over {
        failover::fail_over(worker, id, branch);
    }
    let Some(failed) = after.failed else { return };
    match prepare(worker, id, failed) {
        Some((cx, route)) => tocsin_server::run::run(cx, route, move |cx, _| {
            store_changes(&cx, id, true);
            conclude(worker, id);
            tocsin_server::receive::done(cx);
        }),
        None => conclude(worker, id),
    }
}

/// The request of the transaction as a context for its failure route, which is disarmed: the script may arm it again.
fn prepare(worker: &'static Worker, id: TransactionId, failed: Failed) -> Option<(Context, RouteId)> {
    let server = worker.server;
    let disarm = |t: &mut Transaction| std::mem::replace(&mut t.failure_route, RouteBits::NONE);
    let route =
        server.state::<State>().table.update(&id, |t, _| disarm(t))?.route(&server.script().program)?;
    let mut cx = of_transaction(worker, id)?;
    let Failed { branch, status, is_local } = failed;
    let branch = u8::try_from(branch.index()).ok();
    cx.transaction = Some(TransactionRef { id: id.0, branch, status, is_local });
    Some((cx, route))
}

/// A context for what is done to a transaction once its request has left the script: the request as it was then. `None` if
/// the transaction is gone.
pub(super) fn of_transaction(worker: &'static Worker, id: TransactionId) -> Option<Context> {
    let server = worker.server;
    let taken = server.state::<State>().table.get(&id, |t| {
        let received =
            Received { source: t.source, socket: t.upstream.socket, connection: t.upstream.connection };
        (
            received,
            t.request.to_vec(),
            [t.avps.to_vec(), t.notes.to_vec()],
            (t.flags, t.blocklists),
            t.armed(&server.script().program),
        )
    });
    let (received, request, [avps, notes], (flags, blocklists), armed) = taken?;
    let mut cx = Context::new(worker, parse(server, &request)?, received, RouteKind::Failure);
    cx.transaction = Some(TransactionRef { id: id.0, branch: None, status: 0, is_local: false });
    cx.avps = Avps::decode(&avps);
    cx.notes = Avps::decode(&notes);
    cx.flags = flags;
    cx.blocklists = blocklists;
    cx.armed = armed;
    Some(cx)
}

/// The failure route has ended: if it did nothing, the best reply goes upstream.
fn conclude(worker: &'static Worker, id: TransactionId) {
    let after = update(worker, id, AtHand::Nothing, |t, now, actions| t.machine.conclude(now, actions));
    worker.flush();
    if let Some(after) = after {
        follow_up(worker, id, after);
    }
}

/// Brings what a route did to the flags, and to `$avp` if the route has those of the transaction, back to it.
pub(super) fn store_changes(cx: &Context, id: TransactionId, has_avps: bool) {
    let state = cx.server().state::<State>();
    // a route without the transaction's AVPs has made some of its own, and those of its branch
    let branches = (!has_avps && !cx.avps.is_empty()).then(|| cx.avps.clone().of_branches());
    let branches = branches.filter(|branches| !branches.is_empty());
    let mut encoded = if has_avps { cx.avps.encode() } else { Vec::new() };
    state.table.update(&id, |t, _| {
        if let Some(branches) = &branches {
            let mut all = Avps::decode(&t.avps);
            all.replace_branches(branches);
            encoded = all.encode();
        }
        if (has_avps || branches.is_some()) && *t.avps != *encoded && t.avps.try_assign(&encoded).is_err() {
            tracing::error!("shared memory is full: changes to AVPs of a transaction are lost");
        }
        t.flags = cx.flags;
    });
}
