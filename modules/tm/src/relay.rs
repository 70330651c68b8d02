//! `t_relay`: a request goes to its destinations, and a transaction looks after it.
//!
//! Each destination passes the branch route, gets an address - at once, or after a look-up that the worker does not wait
//! for - and is made ready outside of any lock. Only then the transaction is stored, whole, by one insertion: a worker
//! that dies before it has changed nothing, one that dies after it leaves what the timers need to go on.

use std::rc::Rc;

use smallvec::SmallVec;
use tocsin_net::Hop;
use tocsin_script::{Bytes, Execution, Outcome, Resume, RouteId, RouteKind, Step};
use tocsin_server::flow::{BranchRef, Envelope, Flow};
use tocsin_server::forward::{NoWay, first_way, next_hop, tls_selection};
use tocsin_server::reply::{self, Response};
use tocsin_server::resolve;
use tocsin_server::target::{NextHop, NoRoute, Target};
use tocsin_server::time::now_ms;
use tocsin_server::{Context, TransactionRef, Worker};
use tocsin_shm::{Full, ShmBytes, ShmVec};
use tocsin_sip::{Edits, Method};

use super::act::{AtHand, update};
use super::machine::{Actions, Kind, Machine};
use super::matching::{branch_text, of_request, tag_of};
use super::record::{Owner, Prepared, RouteBits, Transaction, TransactionId};
use super::requests;
use super::state::State;

/// Return codes of `t_relay` (manual, section 1.4.1).
pub(super) const ERROR: i64 = -1;
const BAD_MESSAGE: i64 = -2;
const NO_DESTINATION: i64 = -3;
const BAD_DESTINATION: i64 = -4;
const BLOCKED: i64 = -5;
const SEND_FAILED: i64 = -6;

/// Milliseconds for which the final reply to a request of this server's own is kept at least: a process waits for it.
const OWN_WAIT: u32 = 2_000;
/// Seconds after which a client may come back when shared memory is full.
const RETRY_AFTER: &[u8] = b"Retry-After: 5\r\n";

/// What `t_relay` is asked for (manual, the function's `flags`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flags {
    /// A request that can be sent nowhere is not answered here (`no-auto-477`).
    pub(super) leaves_failures: bool,
    /// The request does not go to a destination's next address if the first one fails (`no-dns-failover`).
    pub(super) forbids_failover: bool,
    /// The Reason of a CANCEL goes on with it (`pass-reason-hdr`).
    pub(super) passes_reason: bool,
}

/// `t_relay()`.
pub(super) fn relay(cx: &mut Context, flags: Flags) -> Outcome<Context> {
    match cx.message.method() {
        Method::Ack => return requests::relay_ack(cx),
        Method::Cancel => return requests::relay_cancel(cx, flags.passes_reason, answer_cancel),
        _ => {}
    }
    let Some(id) =
        cx.transaction.map(|t| TransactionId(t.id)).or_else(|| of_request(cx.server(), &cx.message))
    else {
        return Outcome::Done(BAD_MESSAGE);
    };
    let first = match cx.transaction {
        Some(_) => cx.server().state::<State>().table.get(&id, |t| t.machine.branch_count()).unwrap_or(0),
        None => 0,
    };
    // The main destination first, the appended ones in their order: taken from the back.
    let mut pending: SmallVec<[Target; 2]> = cx.targets.others.drain(..).rev().collect();
    pending.push(cx.targets.main.clone());
    let fails_over = !flags.forbids_failover && cx.server().settings.dns.failover;
    let answers = !flags.leaves_failures;
    Relay { first, fails_over, answers, ..Relay::to(pending, id) }.go(cx)
}

/// Answers a CANCEL whose INVITE is there: in its own transaction, if the script has made one.
fn answer_cancel(cx: &mut Context, tag: &[u8]) {
    match cx.transaction {
        Some(own) => answer_with(cx, TransactionId(own.id), 200, b"canceling", tag, b""),
        None => reply::stateless_tagged(cx, 200, b"canceling", tag),
    };
}

/// `t_replicate()`: a copy of the request goes to `next_hop` and the appended branches; what they answer goes nowhere.
pub(super) fn replicate(cx: &mut Context, next_hop: Bytes, flags: Flags) -> Outcome<Context> {
    let id = match of_request(cx.server(), &cx.message) {
        Some(id) if cx.transaction.is_none() => id,
        _ => return Outcome::Done(ERROR),
    };
    let mut pending: SmallVec<[Target; 2]> = cx.targets.others.drain(..).rev().collect();
    pending.push(Target { next_hop: Some(next_hop), ..cx.targets.main.clone() });
    let fails_over = !flags.forbids_failover && cx.server().settings.dns.failover;
    Relay { fails_over, is_own: true, ..Relay::to(pending, id) }.go(cx)
}

/// Return code of `t_inject_branches` where nothing can be injected.
const NOTHING_TO_INJECT: i64 = -2;

/// `t_inject_branches("msg")`: the destinations that the script has gathered since become branches of the transaction there
/// is; the transaction waits for one less.
pub(super) fn inject(cx: &mut Context) -> Outcome<Context> {
    let Some(id) = cx.transaction.map(|t| TransactionId(t.id)) else { return Outcome::Done(ERROR) };
    let look = |t: &Transaction| (!t.machine.is_answered()).then(|| t.machine.branch_count());
    let first = cx.server().state::<State>().table.get(&id, look).flatten();
    let mut pending: SmallVec<[Target; 2]> = cx.targets.others.drain(..).rev().collect();
    if cx.targets.main.uri.is_some() {
        pending.push(cx.targets.main.clone());
    }
    let Some(first) = first.filter(|_| !pending.is_empty()) else { return Outcome::Done(NOTHING_TO_INJECT) };
    let fails_over = cx.server().settings.dns.failover;
    Relay { first, fails_over, injects: true, ..Relay::to(pending, id) }.go(cx)
}

/// Sends the request of `cx`, which this server has made itself, in the transaction `id`.
pub(super) fn originate(cx: &mut Context, id: TransactionId) -> Outcome<Context> {
    // The local route saw the Via of the default listener: the one to send from is known now.
    reply::remove_top_via(&cx.message, &mut cx.edits);
    let pending = std::iter::once(cx.targets.main.clone()).collect();
    let fails_over = cx.server().settings.dns.failover;
    Relay { fails_over, is_own: true, ..Relay::to(pending, id) }.go(cx)
}

/// A request on its way to its destinations.
struct Relay {
    id: TransactionId,
    /// Branches that the transaction has already.
    first: usize,
    pending: SmallVec<[Target; 2]>,
    ready: SmallVec<[Prepared; 1]>,
    /// Whether to keep other addresses.
    fails_over: bool,
    /// Whether a request that can be sent nowhere is answered here.
    answers: bool,
    /// Whether its replies stay here.
    is_own: bool,
    /// Whether the branches are some that the transaction waits for.
    injects: bool,
    /// Why there is no destination, if none is found.
    failed: i64,
}

impl Relay {
    fn to(pending: SmallVec<[Target; 2]>, id: TransactionId) -> Self {
        Self {
            id,
            first: 0,
            pending,
            ready: SmallVec::new(),
            fails_over: false,
            answers: false,
            is_own: false,
            injects: false,
            failed: NO_DESTINATION,
        }
    }

    fn go(mut self, cx: &mut Context) -> Outcome<Context> {
        while let Some(target) = self.pending.pop() {
            match cx.armed.branch {
                Some(route) => match self.branch_route(cx, target, route) {
                    Ok(relay) => self = relay,
                    Err(waiting) => return waiting,
                },
                None => match self.address(cx, target) {
                    Ok(relay) => self = relay,
                    Err(waiting) => return waiting,
                },
            }
        }
        self.store(cx)
    }

    /// Runs the branch route for `target`: what it changes is for this branch alone.
    fn branch_route(
        self,
        cx: &mut Context,
        target: Target,
        route: RouteId,
    ) -> Result<Self, Outcome<Context>> {
        let saved = Saved::take(cx, target, self.first + self.ready.len());
        let script = Rc::clone(&cx.script);
        let mut execution = script.program.start(route);
        let step = execution.run(&script.program, cx);
        self.branch_ran(cx, saved, execution, step)
    }

    fn branch_ran(
        self,
        cx: &mut Context,
        saved: Saved,
        mut execution: Execution,
        step: Step<Context>,
    ) -> Result<Self, Outcome<Context>> {
        match step {
            Step::Done(verdict) if verdict.drop => {
                saved.put_back(cx);
                Ok(self)
            }
            Step::Done(_) => {
                let target = std::mem::take(&mut cx.targets.main);
                let relay = self.address_with(cx, target, Some(saved))?;
                Ok(relay)
            }
            Step::Wait(pause) => Err(Outcome::Wait(Box::pin(async move {
                let resume = pause.waiting.await;
                let rest: Resume<Context> = Box::new(move |cx: &mut Context| {
                    let script = Rc::clone(&cx.script);
                    let step = execution.resume(resume, &script.program, cx);
                    match self.branch_ran(cx, saved, execution, step) {
                        Ok(relay) => relay.go(cx),
                        Err(waiting) => waiting,
                    }
                });
                rest
            }))),
        }
    }

    fn address(self, cx: &mut Context, target: Target) -> Result<Self, Outcome<Context>> {
        self.address_with(cx, target, None)
    }

    /// Finds the address of `target` and makes it ready. `saved` is what the branch route may have changed.
    fn address_with(
        mut self,
        cx: &mut Context,
        target: Target,
        saved: Option<Saved>,
    ) -> Result<Self, Outcome<Context>> {
        match next_hop(cx, &target) {
            Ok(NextHop::Hop(hop)) => {
                self.prepare(cx, &target, &[hop], "");
                restore(cx, saved);
                Ok(self)
            }
            Ok(NextHop::Name(name)) => {
                let worker = cx.worker;
                let wanted = resolve::wanted_hops(cx, self.fails_over);
                Err(Outcome::Wait(Box::pin(async move {
                    let hops = resolve::hops(worker, &name, wanted).await;
                    let rest: Resume<Context> = Box::new(move |cx: &mut Context| {
                        self.prepare(cx, &target, &hops, &name.host);
                        restore(cx, saved);
                        self.go(cx)
                    });
                    rest
                })))
            }
            Err(cause) => {
                tracing::error!("t_relay: {cause}");
                self.failed = match cause {
                    NoRoute::NoHop(_) | NoRoute::Sctp(_) => SEND_FAILED,
                    // The caller is not answered for it, as OpenSIPS 3.4 does not.
                    NoRoute::Malformed(_) => BAD_MESSAGE,
                    _ => BAD_DESTINATION,
                };
                restore(cx, saved);
                Ok(self)
            }
        }
    }

    /// Makes the request ready for the first of `hops` that will do; the ones behind it are kept.
    fn prepare(&mut self, cx: &mut Context, target: &Target, hops: &[Hop], host: &str) {
        let (text, length) = branch_text(self.id, self.first + self.ready.len());
        let mut request = Vec::with_capacity(cx.message.bytes().len() + 256);
        let (at, listener) = match first_way(cx, target, hops, &text[..length], &mut request) {
            Ok(way) => way,
            Err(cause) => {
                self.failed = match cause {
                    NoWay::Nowhere => BAD_DESTINATION,
                    NoWay::NoListener => SEND_FAILED,
                    NoWay::Blocked => BLOCKED,
                };
                return;
            }
        };
        let hop = &hops[at];
        let left = if self.fails_over { &hops[at + 1..] } else { &[] };
        self.ready.push(Prepared {
            flow: Flow::new(listener.id, hop.to)
                .unless(target.flags, cx.server().settings.tcp.no_new_connection_bflag),
            tls_selection: tls_selection(cx, hop),
            host: host.to_owned(),
            reliable: hop.protocol.is_stream(),
            request,
            reply_route: cx.armed.reply,
            flags: target.flags,
            is_minor: target.flags & cx.server().state::<State>().settings.minor_flag != 0,
            hops: left.into(),
        });
    }

    fn store(self, cx: &mut Context) -> Outcome<Context> {
        if self.ready.is_empty() {
            return self.give_up(cx);
        }
        match cx.transaction {
            Some(_) => self.extend(cx),
            None => create_for(cx, self.id, &self.ready, self.is_own),
        }
    }

    /// There is nowhere to send to: the request of a route has its transaction all the same, and its answer unless the
    /// script wants to give it.
    fn give_up(self, cx: &mut Context) -> Outcome<Context> {
        if cx.route != RouteKind::Request || self.failed == BAD_MESSAGE {
            return Outcome::Done(self.failed);
        }
        if cx.transaction.is_none() && !matches!(create(cx, self.id, &[]), Outcome::Done(code) if code > 0) {
            return Outcome::Exit;
        }
        if !self.answers {
            return Outcome::Done(self.failed);
        }
        let (status, reason): (u16, &[u8]) = match self.failed {
            BAD_DESTINATION => (476, b"Unresolvable destination (476/TM)"),
            BLOCKED => (473, b"Filtered destination (473/TM)"),
            SEND_FAILED => (500, b"Server error occurred (7/TM)"),
            _ => (500, b"Server error occurred (1/TM)"),
        };
        answer(cx, self.id, status, reason);
        Outcome::TRUE
    }

    /// Adds the destinations to the transaction that there is: after `t_newtran`, or from a failure route.
    fn extend(self, cx: &mut Context) -> Outcome<Context> {
        let worker = cx.worker;
        let state = cx.server().state::<State>();
        let now = now_ms();
        let [fr, fr_inv] = final_timeouts(cx);
        let added = state.table.update(&self.id, |t, edit| {
            let mut added = 0;
            // The numbers of the branches stand in their requests already.
            t.machine.set_final_timeouts(fr, fr_inv);
            let as_numbered = t.machine.branch_count() == self.first;
            for prepared in self.ready.iter().filter(|_| as_numbered) {
                let Ok(branch) = prepared.store(edit.alloc()) else { break };
                if t.branches.try_reserve(1).is_err()
                    || prepared.enter(&mut t.machine, self.injects, now).is_none()
                {
                    break;
                }
                if t.branches.try_push(branch).is_ok() {
                    added += 1;
                }
            }
            t.arm(&cx.armed);
            t.blocklists = cx.blocklists;
            edit.set_deadline(t.machine.deadline());
            added
        });
        let sent = &self.ready[..added.unwrap_or(0)];
        send(worker, self.id, self.first, sent);
        cx.served = true;
        if sent.is_empty() {
            tracing::error!("t_relay: the transaction takes no more branches");
            return Outcome::Done(NO_DESTINATION);
        }
        Outcome::TRUE
    }
}

fn restore(cx: &mut Context, saved: Option<Saved>) {
    if let Some(saved) = saved {
        saved.put_back(cx);
    }
}

/// What a branch route must not change for the other branches.
struct Saved {
    edits: Edits,
    main: Target,
    route: RouteKind,
    transaction: Option<TransactionRef>,
    armed: tocsin_server::context::Armed,
}

impl Saved {
    fn take(cx: &mut Context, target: Target, branch: usize) -> Self {
        let transaction = cx.transaction;
        let shown = transaction.unwrap_or(TransactionRef { id: 0, branch: None, status: 0, is_local: false });
        let saved = Self {
            edits: cx.edits.clone(),
            main: std::mem::replace(&mut cx.targets.main, target),
            route: std::mem::replace(&mut cx.route, RouteKind::Branch),
            transaction,
            armed: cx.armed,
        };
        cx.transaction = Some(TransactionRef { branch: u8::try_from(branch).ok(), ..shown });
        saved
    }

    fn put_back(self, cx: &mut Context) {
        cx.edits = self.edits;
        cx.targets.main = self.main;
        cx.route = self.route;
        cx.transaction = self.transaction;
        cx.armed.reply = self.armed.reply;
    }
}

/// Makes the transaction of the request with these destinations, and sends. A request that has come before is
/// absorbed; when there is no room for it the client is asked to come back.
pub(super) fn create(cx: &mut Context, id: TransactionId, ready: &[Prepared]) -> Outcome<Context> {
    create_for(cx, id, ready, false)
}

/// The same; the replies to a request of this server's own (`is_own`) stay here.
fn create_for(cx: &mut Context, id: TransactionId, ready: &[Prepared], is_own: bool) -> Outcome<Context> {
    match insert(cx, id, ready, is_own) {
        Ok(true) => {
            let server = cx.server();
            let counters = &server.state::<State>().counters;
            server.statistics.add(if is_own { counters.uac } else { counters.uas }, 1);
            cx.transaction = Some(TransactionRef { id: id.0, branch: None, status: 0, is_local: false });
            cx.served = true;
            send(cx.worker, id, 0, ready);
            Outcome::TRUE
        }
        Ok(false) => match requests::retransmission(cx, id) {
            requests::Known::Absorbed => Outcome::Exit,
            requests::Known::Orphan | requests::Known::No => create_for(cx, id, ready, is_own),
        },
        Err(Full) => {
            cx.worker.report_full("a new transaction");
            cx.reply_lines.extend_from_slice(RETRY_AFTER);
            reply::stateless(cx, 503, b"Service Unavailable");
            Outcome::Exit
        }
    }
}

/// `fr_timeout` and `fr_inv_timeout` in milliseconds, as the script has them.
pub(super) fn final_timeouts(cx: &Context) -> [u32; 2] {
    let timers = &cx.server().state::<State>().settings.timers;
    let [fr, fr_inv] = cx.final_timeouts.map(|seconds| seconds.map(|seconds| seconds.saturating_mul(1000)));
    [fr.unwrap_or(timers.fr), fr_inv.unwrap_or(timers.fr_inv)]
}

fn insert(cx: &mut Context, id: TransactionId, ready: &[Prepared], is_own: bool) -> Result<bool, Full> {
    let server = cx.server();
    let state = server.state::<State>();
    let now = now_ms();
    let kind = if cx.message.method() == Method::Invite { Kind::Invite } else { Kind::NonInvite };
    let protocol = server.network.sockets.listener(cx.received.socket).protocol;
    let mut timers = state.settings.timers;
    if is_own {
        timers.wait = timers.wait.max(OWN_WAIT);
    }
    let mut machine =
        Machine::new(kind, protocol.is_stream() && !is_own, now, &timers).with_policy(state.settings.policy);
    let [fr, fr_inv] = final_timeouts(cx);
    machine.set_final_timeouts(fr, fr_inv);
    for prepared in ready {
        if prepared.enter(&mut machine, false, now).is_none() {
            return Ok(false);
        }
    }
    let tag = tag_of(server, id);
    // nobody waits for that to a request of this server's own, but for that to one that is replicated
    let has_caller = cx.route != RouteKind::Local;
    let trying = if has_caller { trying(cx, &mut machine, &tag, now) } else { Vec::new() };
    let upstream = cx
        .message
        .via()
        .map_or(cx.received.flow(), |via| reply::destination(&via, protocol, &cx.received, cx.symmetric))
        .unless(cx.flags, server.settings.tcp.no_new_connection_rplflag);
    let owner = Owner { slot: cx.worker.member.slot, generation: cx.worker.member.generation };
    let avps = if cx.avps.is_empty() { Vec::new() } else { cx.avps.encode() };
    let notes = if cx.notes.is_empty() { Vec::new() } else { cx.notes.encode() };
    let mut scratch = state.scratch.borrow_mut();
    scratch.clear();
    cx.message.print_into(&cx.edits, &mut scratch);
    let inserted = state.table.insert_new_due(&id, machine.deadline(), |alloc| {
        let mut branches = ShmVec::try_with_capacity_in(ready.len(), alloc)?;
        for prepared in ready {
            branches.try_push(prepared.store(alloc)?)?;
        }
        let transaction = Transaction {
            machine,
            source: cx.received.source,
            upstream,
            tag,
            request: ShmBytes::try_from_slice_in(&scratch, alloc)?,
            reply: ShmBytes::try_from_slice_in(&trying, alloc)?,
            branches,
            failure_route: RouteBits::new(cx.armed.failure),
            reply_route: RouteBits::new(cx.armed.reply),
            branch_route: RouteBits::new(cx.armed.branch),
            avps: ShmBytes::try_from_slice_in(&avps, alloc)?,
            notes: ShmBytes::try_from_slice_in(&notes, alloc)?,
            cancel_lines: ShmBytes::new_in(alloc),
            extra_lines: ShmBytes::new_in(alloc),
            is_own,
            flags: cx.flags,
            blocklists: cx.blocklists,
            owner,
        };
        Ok((id, transaction))
    })?;
    if inserted && !trying.is_empty() {
        server.statistics.add(state.counters.local_replies, 1);
        cx.worker.send(&upstream.into(), |out| out.extend_from_slice(&trying));
    }
    Ok(inserted)
}

/// The 100 that stops the caller from sending its INVITE again; empty for none.
fn trying(cx: &Context, machine: &mut Machine, tag: &[u8], now: u64) -> Vec<u8> {
    let state = cx.server().state::<State>();
    let mut bytes = Vec::new();
    let mut actions = Actions::new();
    if machine.kind() == Kind::Invite
        && state.settings.auto_100
        && machine.local_reply(100, now, &mut actions).is_ok()
    {
        let response =
            Response { status: 100, reason: b"Giving it a try", tag, lines: &cx.reply_lines, body: b"" };
        let source = Some((cx.received.source, cx.symmetric));
        reply::write(&cx.message, source, &response, cx.server().settings.server_header(), &mut bytes);
    }
    bytes
}

/// Sends the requests of the branches from `first` on.
pub(super) fn send(worker: &'static Worker, id: TransactionId, first: usize, ready: &[Prepared]) {
    for (branch, prepared) in (first..).zip(ready) {
        let branch_ref = BranchRef { transaction: id.0, branch: branch as u8 };
        let envelope = Envelope {
            flow: prepared.flow,
            tls_selection: prepared.tls_selection.as_ref(),
            host: &prepared.host,
            branch_ref: Some(branch_ref),
        };
        worker.send(&envelope, |out| out.extend_from_slice(&prepared.request));
    }
}

/// Answers the request of a transaction from the script. `false` when it has its final reply already.
pub(super) fn answer(cx: &mut Context, id: TransactionId, status: u16, reason: &[u8]) -> bool {
    let tag = tag_of(cx.server(), id);
    answer_with(cx, id, status, reason, &tag, b"")
}

/// The same with a To tag of the caller's choice and a body, whose type is among `cx.reply_lines`.
pub(super) fn answer_with(
    cx: &mut Context,
    id: TransactionId,
    status: u16,
    reason: &[u8],
    tag: &[u8],
    body: &[u8],
) -> bool {
    let server = cx.server();
    let response = Response { status, reason, tag, lines: &reply::lines(cx, status), body };
    let mut bytes = Vec::new();
    let source = Some((cx.received.source, cx.symmetric));
    reply::write(&cx.message, source, &response, server.settings.server_header(), &mut bytes);
    let mut taken = false;
    let after = update(cx.worker, id, AtHand::Local(&bytes), |t, now, actions| {
        match t.machine.local_reply(status, now, actions) {
            Ok(()) => taken = true,
            Err(refused) => tracing::error!("the reply {status} is not sent: {refused}"),
        }
    });
    cx.served |= taken;
    after.is_some() && taken
}
