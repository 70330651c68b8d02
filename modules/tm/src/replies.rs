//! Replies from downstream, and what the server asks of its transaction layer.

use tocsin_script::{Bytes, Outcome, RouteId, RouteKind};
use tocsin_server::avps::Avps;
use tocsin_server::context::Armed;
use tocsin_server::flow::BranchRef;
use tocsin_server::notes::Notes;
use tocsin_server::transaction::Transactions;
use tocsin_server::{Context, Server, TransactionRef, Worker, forward, receive, reply};
use tocsin_sip::{Message, Method};

use super::act::{AtHand, SEND_FAILED, parse, update};
use super::failure::{follow_up, store_changes};
use super::machine::BranchId;
use super::matching::{answers_relayed_invite, of_reply, of_request};
use super::prepared::with_transaction;
use super::record::{Branch, RouteBits, Transaction, TransactionId};
use super::state::State;
use super::{observers, own, relay};

/// tm as the server's transaction layer.
#[derive(Debug)]
pub(super) struct Layer;

impl Transactions for Layer {
    fn request_of(&self, cx: &Context) -> Option<(Message, Option<Bytes>)> {
        let branch = cx.transaction?.branch.map(usize::from);
        let (request, uri) = with_transaction(cx, |t| {
            let of_branch = branch.and_then(|at| t.branches.get(at));
            let uri = of_branch.and_then(|b| b.request.split(|byte| *byte == b' ').nth(1)).map(Bytes::new);
            (t.request.to_vec(), uri)
        })?;
        Some((parse(cx.server(), &request)?, uri))
    }

    fn reply_of(&self, cx: &Context) -> Option<Message> {
        let failed = cx.transaction.filter(|t| t.status > 0 && !t.is_local)?;
        let of_branch = |t: &Transaction| Some(t.branches.get(usize::from(failed.branch?))?.reply.to_vec());
        let reply = with_transaction(cx, of_branch)??;
        parse(cx.server(), &reply)
    }

    fn reply_received(&self, cx: Context) -> Option<Context> {
        let Some((id, branch)) = of_reply(&cx.message) else { return forwarded_or_stray(cx) };
        let state = cx.server().state::<State>();
        cx.server().statistics.add(state.counters.received_replies, 1);
        let method = cx.message.cseq().map_or(&b""[..], |cseq| cseq.method_text);
        if method == Method::Cancel.text().as_bytes() {
            return cancel_answered(cx, id, branch);
        }
        match state.table.get(&id, |t| is_request_of(t, method).then(|| Received::of(cx.server(), t, branch)))
        {
            // RFC 6026 section 7.1: an answer goes on for as long as the callee repeats it.
            None if is_answer(&cx) && answers_relayed_invite(cx.server(), &cx.message, id) => Some(cx),
            // The transaction is over, or the reply is to another request than the one that was sent.
            None | Some(None) => {
                receive::drop_response(cx);
                None
            }
            Some(Some(Received { waiting: None, is_own })) => relay_up(cx, id, branch, is_own),
            Some(Some(Received { waiting: Some(waiting), is_own })) => waiting.run(cx, id, branch, is_own),
        }
    }

    fn send_failed(&self, worker: &'static Worker, branch_ref: BranchRef) {
        let id = TransactionId(branch_ref.transaction);
        let Some(branch) = BranchId::from_index(branch_ref.branch.into()) else { return };
        let after = update(worker, id, AtHand::Nothing, |t, now, actions| {
            t.machine.fail_branch(branch, SEND_FAILED, now, actions);
        });
        if let Some(after) = after {
            follow_up(worker, id, after);
        }
    }

    fn request_left(&self, worker: &'static Worker, branch_ref: BranchRef) {
        with_branch(worker, branch_ref, |branch| branch.left.set());
    }

    fn has_left(&self, worker: &'static Worker, branch_ref: BranchRef) -> bool {
        with_branch(worker, branch_ref, |branch| branch.left.is_set()).unwrap_or(false)
    }

    fn begin(&self, cx: &mut Context) -> bool {
        if matches!(cx.message.method(), Method::Ack | Method::Cancel) {
            return true;
        }
        let Some(id) = of_request(cx.server(), &cx.message) else { return true };
        matches!(relay::create(cx, id, &[]), Outcome::Done(_))
    }

    fn reply(&self, cx: &mut Context, status: u16, reason: &[u8]) -> Option<bool> {
        let id = TransactionId(cx.transaction?.id);
        Some(relay::answer(cx, id, status, reason))
    }

    fn change_notes(&self, cx: &Context, change: &dyn Fn(&mut Notes)) {
        let Some(transaction) = cx.transaction else { return };
        let table = &cx.server().state::<State>().table;
        table.update(&TransactionId(transaction.id), |t, _| observers::change(t, change));
    }

    fn ends_by_itself(&self, cx: &Context) -> Option<bool> {
        let id = TransactionId(cx.transaction?.id);
        let ends = |t: &Transaction| t.machine.is_answered() || t.machine.branch_count() > 0;
        cx.server().state::<State>().table.get(&id, ends)
    }
}

/// A reply whose topmost Via is not of a transaction: it goes on if it is to a request that was forwarded without one. Any
/// other is stray: its sender chooses where it would go (RFC 6026 section 8.9).
fn forwarded_or_stray(cx: Context) -> Option<Context> {
    let is_forwarded =
        cx.message.via().is_ok_and(|via| via.branch().is_some_and(forward::is_stateless_branch));
    if is_forwarded {
        return Some(cx);
    }
    receive::drop_response(cx);
    None
}

fn is_answer(cx: &Context) -> bool {
    cx.message.status().is_some_and(|status| (200..300).contains(&status))
}

/// Whether the transaction is of a request of this method.
fn is_request_of(t: &Transaction, method: &[u8]) -> bool {
    t.request.strip_prefix(method).is_some_and(|rest| rest.starts_with(b" "))
}

/// Looks at a branch under the lock of its record, and does not open that for a change.
fn with_branch<R>(worker: &Worker, branch_ref: BranchRef, look: impl FnOnce(&Branch) -> R) -> Option<R> {
    let state = worker.server.state::<State>();
    let id = TransactionId(branch_ref.transaction);
    state.table.get(&id, |t| t.branches.get(usize::from(branch_ref.branch)).map(look)).flatten()
}

/// What the transaction of a reply says about it.
struct Received {
    waiting: Option<Waiting>,
    /// The request was this server's own: the reply stays here.
    is_own: bool,
}

impl Received {
    fn of(server: &Server, t: &Transaction, branch: BranchId) -> Self {
        Self { waiting: Waiting::of(server, t, branch), is_own: t.is_own }
    }
}

/// A reply route that waits for replies of a branch, and what it has to be given.
struct Waiting {
    route: RouteId,
    armed: Armed,
    avps: Vec<u8>,
    notes: Vec<u8>,
    flags: u32,
    branch_flags: u32,
}

impl Waiting {
    fn of(server: &Server, t: &Transaction, branch: BranchId) -> Option<Self> {
        let of_branch = t.branches.get(branch.index());
        let own = of_branch.map_or(RouteBits::NONE, |b| b.reply_route);
        if own == RouteBits::NONE && t.reply_route == RouteBits::NONE {
            return None;
        }
        let program = &server.script().program;
        let route = own.route(program).or_else(|| t.reply_route.route(program))?;
        Some(Self {
            route,
            armed: t.armed(program),
            avps: t.avps.to_vec(),
            notes: t.notes.to_vec(),
            flags: t.flags,
            branch_flags: of_branch.map_or(0, |b| b.flags),
        })
    }

    fn run(self, mut cx: Context, id: TransactionId, branch: BranchId, is_own: bool) -> Option<Context> {
        let has_avps = cx.server().state::<State>().settings.avps_in_replies;
        cx.route = RouteKind::Reply;
        let branch_index = u8::try_from(branch.index()).ok();
        cx.transaction = Some(TransactionRef { id: id.0, branch: branch_index, status: 0, is_local: false });
        cx.armed = self.armed;
        let avps = Avps::decode(&self.avps);
        cx.avps = if has_avps { avps } else { avps.of_branches() };
        cx.notes = Avps::decode(&self.notes);
        cx.flags = self.flags;
        cx.targets.main.flags = self.branch_flags;
        tocsin_server::run::run(cx, self.route, move |cx, verdict| {
            store_changes(&cx, id, has_avps);
            let provisional = cx.message.status().is_some_and(|status| status < 200);
            if verdict.drop && provisional {
                return receive::done(cx);
            }
            relay_up(cx, id, branch, is_own);
        });
        None
    }
}

/// Tells the machine of the reply, and sends upstream what it says.
fn relay_up(mut cx: Context, id: TransactionId, branch: BranchId, is_own: bool) -> Option<Context> {
    let worker = cx.worker;
    let state = cx.server().state::<State>();
    let status = cx.message.status().unwrap_or(0);
    if !is_own {
        reply::remove_top_via(&cx.message, &mut cx.edits);
    }
    let mut upstream = state.scratch.take();
    upstream.clear();
    if status > 100 {
        cx.message.print_into(&cx.edits, &mut upstream);
    }
    let at_hand = AtHand::Reply { branch, message: &cx.message, upstream: &upstream };
    let after = update(worker, id, at_hand, |t, now, actions| {
        if status >= 300
            && let Some(b) = t.branches.get_mut(branch.index())
            && b.reply.try_assign(&upstream).is_err()
        {
            tracing::error!("shared memory is full: a failure reply is not kept");
        }
        t.machine.reply(branch, status, now, actions);
    });
    state.scratch.replace(upstream);
    match after {
        Some(after) => {
            follow_up(worker, id, after);
            if is_own && is_answer(&cx) {
                own::acknowledge(&cx);
            }
            receive::done(cx);
        }
        // The transaction ended meanwhile: nobody waits for the reply.
        None => receive::drop_response(cx),
    }
    None
}

/// A reply to a CANCEL that we sent.
fn cancel_answered(cx: Context, id: TransactionId, branch: BranchId) -> Option<Context> {
    let worker = cx.worker;
    let status = cx.message.status().unwrap_or(0);
    let after = update(worker, id, AtHand::Nothing, |t, now, actions| {
        t.machine.cancel_reply(branch, status, now, actions);
    });
    if let Some(after) = after {
        follow_up(worker, id, after);
    }
    receive::done(cx);
    None
}
