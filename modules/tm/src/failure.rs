//! Failure routes: all branches have failed, and the script may try others.

use tocsin_script::{RouteId, RouteKind};
use tocsin_server::avps::Avps;
use tocsin_server::{Context, Received, TransactionRef, Worker};

use super::act::{After, AtHand, parse, update};
use super::record::{RouteBits, TransactionId};
use super::{State, failover};

/// Does what is left to do after the lock of a transaction was released.
pub(super) fn follow_up(worker: &'static Worker, id: TransactionId, after: After) {
    for branch in after.failing_over {
        failover::fail_over(worker, id, branch);
    }
    let Some((_, status)) = after.failed else { return };
    match prepare(worker, id, status) {
        Some((cx, route)) => tocsin_server::run::run(cx, route, move |cx, _| {
            store_avps(&cx, id);
            conclude(worker, id);
            tocsin_server::receive::done(cx);
        }),
        None => conclude(worker, id),
    }
}

/// The request of the transaction as a context for its failure route, which is disarmed: the script may arm it again.
fn prepare(worker: &'static Worker, id: TransactionId, status: u16) -> Option<(Context, RouteId)> {
    let server = worker.server;
    let state = server.state::<State>();
    let taken = state.table.update(&id, |t, _| {
        let route = t.failure_route;
        t.failure_route = RouteBits::NONE;
        let received =
            Received { source: t.source, socket: t.upstream.socket, connection: t.upstream.connection };
        (route, received, t.request.to_vec(), t.avps.to_vec(), (t.flags, t.blocklists), t.reply_route)
    });
    let (route, received, request, avps, (flags, blocklists), reply_route) = taken?;
    let route = route.route(&server.program)?;
    let message = parse(server, &request)?;
    let mut cx = Context::new(worker, message, received, RouteKind::Failure);
    cx.transaction = Some(TransactionRef { id: id.0, branch: None, status });
    cx.avps = Avps::decode(&avps);
    cx.flags = flags;
    cx.blocklists = blocklists;
    cx.armed.reply = reply_route.route(&server.program);
    Some((cx, route))
}

/// The failure route has ended: if it did nothing, the best reply goes upstream.
fn conclude(worker: &'static Worker, id: TransactionId) {
    let after = update(worker, id, AtHand::Nothing, |t, now, actions| t.machine.conclude(now, actions));
    worker.flush();
    if let Some(after) = after {
        follow_up(worker, id, after);
    }
}

/// Brings what a route did to `$avp` and the flags back to the transaction.
pub(super) fn store_avps(cx: &Context, id: TransactionId) {
    let state = cx.server().state::<State>();
    let encoded = cx.avps.encode();
    state.table.update(&id, |t, _| {
        if *t.avps != *encoded && t.avps.try_assign(&encoded).is_err() {
            tracing::error!("shared memory is full: changes to AVPs of a transaction are lost");
        }
        t.flags = cx.flags;
    });
}
