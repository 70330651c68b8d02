//! Doing what a transaction's machine says: the bytes of the record go to the outbox, and back into it.
//!
//! Runs under the lock of the record's shard, so it only copies. What takes longer - a failure route, another hop - is
//! returned to the caller, which does it afterwards; and what goes over a stream is sent afterwards, because the table of
//! connections has locks of its own.

use smallvec::SmallVec;
use tocsin_server::avps::Avps;
use tocsin_server::flow::{BranchRef, Envelope, Flow};
use tocsin_server::forward::tls_selection_for;
use tocsin_server::notes::Stage;
use tocsin_server::reply::{self, Response};
use tocsin_server::security::TlsSelection;
use tocsin_server::{Server, Worker};
use tocsin_shm::{Edit, ShmBytes};
use tocsin_sip::{Message, ack_into, cancel_into};

use super::machine::{Action, Actions, BranchId, CancelCause};
use super::observers::{self, Observed};
use super::record::{Branch, Transaction, TransactionId};
use super::state::State;

/// What a branch ends with whose request could not be sent, and what the caller reads then.
pub(super) const SEND_FAILED: u16 = 477;
const SEND_FAILED_REASON: &[u8] = b"Send failed (477/TM)";

/// The message that made the machine speak, if one did.
#[derive(Clone, Copy)]
pub(super) enum AtHand<'a> {
    /// None: time has passed.
    Nothing,
    /// A reply from downstream on a branch, and its bytes as they go upstream.
    Reply { branch: BranchId, message: &'a Message, upstream: &'a [u8] },
    /// A reply made by the script.
    Local(&'a [u8]),
}

/// What is left to do once the lock is released.
#[derive(Debug, Default)]
pub(super) struct After {
    /// All branches failed, and a failure route waits.
    pub(super) failed: Option<Failed>,
    /// Branches that want another hop.
    pub(super) failing_over: SmallVec<[BranchId; 2]>,
    /// The record is gone.
    pub(super) destroyed: bool,
    /// Messages over streams.
    unsent: Vec<Unsent>,
    /// What modules want to know.
    observed: Option<Box<Observed>>,
}

/// The branch that counts when all have failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed {
    pub(super) branch: BranchId,
    pub(super) status: u16,
    /// No reply says so.
    pub(super) is_local: bool,
}

/// A message over a stream, and what has to be known for opening one.
#[derive(Debug)]
struct Unsent {
    flow: Flow,
    tls_selection: Option<TlsSelection>,
    host: String,
    branch_ref: Option<BranchRef>,
    bytes: Vec<u8>,
}

impl After {
    /// Sends what goes over streams, and notifies observers. Call it first, and without a lock.
    pub(super) fn send(&mut self, worker: &'static Worker, id: TransactionId) {
        for Unsent { flow, tls_selection, host, branch_ref, bytes } in self.unsent.drain(..) {
            let envelope = Envelope { flow, tls_selection: tls_selection.as_ref(), host: &host, branch_ref };
            worker.send(&envelope, |out| out.extend_from_slice(&bytes));
        }
        let changes = self.observed.take().map(|observed| observed.notify(worker)).unwrap_or_default();
        if !changes.is_empty() {
            let table = &worker.server.state::<State>().table;
            table.update(&id, |t, _| changes.iter().for_each(|change| observers::change(t, change)));
        }
    }

    /// Whether nothing is left to do.
    pub(super) fn is_nothing(&self) -> bool {
        self.failed.is_none()
            && self.failing_over.is_empty()
            && self.unsent.is_empty()
            && self.observed.is_none()
    }
}

/// Carries `actions` out for the transaction `t`, then sets the record's deadline, or removes it.
pub(super) fn carry_out(
    worker: &'static Worker,
    id: TransactionId,
    t: &mut Transaction,
    edit: &mut Edit<'_>,
    actions: &mut Actions,
    at_hand: AtHand<'_>,
    now: u64,
) -> After {
    let mut doing = Doing { worker, server: worker.server, id, at_hand, after: After::default() };
    let mut at = 0;
    while let Some(action) = actions.get(at).copied() {
        at += 1;
        match action {
            Action::Failed { branch, status, local } => {
                doing.observe(t, Stage::Failed, status, |t| reply_of(t, branch, local));
                let failed = Failed { branch, status, is_local: local };
                match t.failure_route.route(&worker.server.script().program) {
                    Some(_) => doing.after.failed = Some(failed),
                    None => t.machine.conclude(now, actions),
                }
            }
            Action::FailOver(branch) => doing.after.failing_over.push(branch),
            Action::Destroy => doing.after.destroyed = true,
            other => doing.carry_out(t, other),
        }
        if t.is_own && t.machine.is_answered() {
            // Nobody else acknowledges the failure of an INVITE.
            t.machine.ack(now, actions);
        }
    }
    if doing.after.destroyed {
        edit.remove();
    } else {
        edit.set_deadline(t.machine.deadline());
    }
    doing.after
}

/// The reply of a branch, empty if it was made here.
fn reply_of(t: &Transaction, branch: BranchId, local: bool) -> Vec<u8> {
    let received = t.branches.get(branch.index()).filter(|_| !local);
    received.map_or_else(Vec::new, |branch| branch.reply.to_vec())
}

struct Doing<'a> {
    worker: &'static Worker,
    server: &'static Server,
    id: TransactionId,
    at_hand: AtHand<'a>,
    after: After,
}

impl Doing<'_> {
    fn carry_out(&mut self, t: &mut Transaction, action: Action) {
        match action {
            Action::SendRequest(branch) => {
                self.send_request(t, branch);
                self.count(|c| c.retransmission_req);
            }
            Action::SendAck(branch) => self.send_ack(t, branch),
            Action::SendCancel(branch) | Action::ResendCancel(branch) => self.send_cancel(t, branch),
            Action::ForwardReply { branch, status } => self.forward_reply(t, branch, status),
            Action::ForwardUnavailable(branch) => self.forward_unavailable(t, branch),
            Action::PassReply { .. } => {
                if let AtHand::Reply { upstream, .. } = self.at_hand {
                    self.send_up(t, upstream);
                    self.count(|c| c.relayed_replies);
                }
            }
            Action::SendReply(status) => {
                if let AtHand::Local(bytes) = self.at_hand {
                    self.send_up(t, bytes);
                    keep(&mut t.reply, bytes);
                    self.observe(t, Stage::Responded { local: true }, status, |t| t.reply.to_vec());
                    self.count_reply(status, true);
                }
            }
            Action::GenerateReply(status) => self.generate_reply(t, status),
            Action::ResendReply => {
                self.send_up(t, &t.reply);
                self.count(|c| c.retransmission_rpl);
            }
            Action::BranchEnded { local: true, status: 408, .. } => self.count(|c| c.timeout_finalresponse),
            Action::BranchEnded { .. } | Action::FailOver(_) | Action::Failed { .. } | Action::Destroy => {}
        }
    }

    /// Sends a reply upstream. That to a request of this server's own stays here.
    fn send_up(&mut self, t: &Transaction, bytes: &[u8]) {
        if !t.is_own {
            self.send(t.upstream, bytes);
        }
    }

    fn send(&mut self, flow: Flow, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.is_stream(flow) {
            let bytes = bytes.to_vec();
            self.after.unsent.push(Unsent {
                flow,
                tls_selection: None,
                host: String::new(),
                branch_ref: None,
                bytes,
            });
        } else {
            self.worker.send(&flow.into(), |out| out.extend_from_slice(bytes));
        }
    }

    fn is_stream(&self, flow: Flow) -> bool {
        self.server.network.sockets.listener(flow.socket).protocol.is_stream()
    }

    fn send_request(&mut self, t: &Transaction, branch: BranchId) {
        let Some(b) = t.branches.get(branch.index()) else { return };
        let branch_ref = Some(BranchRef { transaction: self.id.0, branch: branch.index() as u8 });
        self.send_down(t, b, &b.request, branch_ref);
    }

    /// Sends a request where that of the branch `b` goes. Over TLS it goes in the same tls_identity: the next hop takes a
    /// CANCEL from nobody else.
    fn send_down(&mut self, t: &Transaction, b: &Branch, bytes: &[u8], branch_ref: Option<BranchRef>) {
        if !self.is_stream(b.flow) {
            return self.send(b.flow, bytes);
        }
        let hop = b.flow.hop(&self.server.network.sockets);
        self.after.unsent.push(Unsent {
            flow: b.flow,
            tls_selection: tls_selection_for(self.server, &hop, || Avps::decode(&t.avps)),
            host: String::from_utf8_lossy(&b.host).into_owned(),
            branch_ref,
            bytes: bytes.to_vec(),
        });
    }

    fn forward_reply(&mut self, t: &mut Transaction, branch: BranchId, status: u16) {
        match self.at_hand {
            AtHand::Reply { branch: of, message, upstream }
                if of == branch && message.status() == Some(status) =>
            {
                self.send_up(t, upstream);
                keep(&mut t.reply, upstream);
                if status < 200 {
                    // It leaves before the lock is released: no other worker's final reply can overtake it.
                    self.worker.flush_datagrams();
                }
            }
            _ => {
                let Some(kept) = t.branches.get_mut(branch.index()).map(|b| &mut b.reply) else { return };
                std::mem::swap(kept, &mut t.reply);
                self.send_up(t, &t.reply);
            }
        }
        self.observe(t, Stage::Responded { local: false }, status, |t| t.reply.to_vec());
        self.count_reply(status, false);
    }

    /// The reply of the branch lies in its record, also if it is the one at hand.
    fn forward_unavailable(&mut self, t: &mut Transaction, branch: BranchId) {
        const UNAVAILABLE: &[u8] = b"SIP/2.0 503";
        let Some(kept) = t.branches.get_mut(branch.index()).map(|b| &mut b.reply) else { return };
        std::mem::swap(kept, &mut t.reply);
        if let Some(rest) = t.reply.strip_prefix(UNAVAILABLE) {
            let bytes = [b"SIP/2.0 500", rest].concat();
            keep(&mut t.reply, &bytes);
        }
        self.send_up(t, &t.reply);
        self.observe(t, Stage::Responded { local: false }, 500, |t| t.reply.to_vec());
        self.count_reply(500, false);
    }

    fn generate_reply(&mut self, t: &mut Transaction, status: u16) {
        let Some(request) = parse(self.server, &t.request) else { return };
        let reason: &[u8] =
            if status == SEND_FAILED { SEND_FAILED_REASON } else { reply::default_reason(status).as_bytes() };
        let response = Response { status, reason, tag: &t.tag, lines: b"", body: b"" };
        let mut bytes = Vec::new();
        reply::write(&request, None, &response, self.server.settings.server_header(), &mut bytes);
        self.send_up(t, &bytes);
        keep(&mut t.reply, &bytes);
        let local = t.machine.branch_count() == 0;
        self.observe(t, Stage::Responded { local }, status, |t| t.reply.to_vec());
        self.count_reply(status, true);
    }

    fn send_ack(&mut self, t: &Transaction, branch: BranchId) {
        let AtHand::Reply { message, .. } = self.at_hand else { return };
        let mut lines = t.extra_lines.to_vec();
        self.server.settings.write_user_agent(&mut lines);
        self.hop_by_hop(t, branch, |request, out| ack_into(request, message, &lines, out).is_ok());
    }

    fn send_cancel(&mut self, t: &Transaction, branch: BranchId) {
        let mut lines = match t.machine.cancel_cause(branch) {
            CancelCause::Caller if !t.cancel_lines.is_empty() => t.cancel_lines.to_vec(),
            CancelCause::Caller => b"Reason: SIP;cause=487;text=\"ORIGINATOR_CANCEL\"\r\n".to_vec(),
            CancelCause::NoAnswer => b"Reason: SIP;cause=480;text=\"NO_ANSWER\"\r\n".to_vec(),
            CancelCause::Elsewhere => b"Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n".to_vec(),
            CancelCause::Server => Vec::new(),
        };
        lines.extend_from_slice(&t.extra_lines);
        self.server.settings.write_user_agent(&mut lines);
        self.hop_by_hop(t, branch, |request, out| cancel_into(request, &lines, out).is_ok());
    }

    /// Sends a request that follows the one of `branch` over the same hop.
    fn hop_by_hop(
        &mut self,
        t: &Transaction,
        branch: BranchId,
        write: impl Fn(&Message, &mut Vec<u8>) -> bool,
    ) {
        let Some(b) = t.branches.get(branch.index()) else { return };
        let Some(request) = parse(self.server, &b.request) else { return };
        let mut bytes = Vec::new();
        if write(&request, &mut bytes) {
            self.send_down(t, b, &bytes, None);
        }
    }

    /// Notes for the modules what has become of a transaction with notes. `response` copies the response.
    fn observe(
        &mut self,
        t: &Transaction,
        stage: Stage,
        status: u16,
        response: impl FnOnce(&Transaction) -> Vec<u8>,
    ) {
        if observers::are_interested(self.server, t, status) {
            let observed = self.after.observed.get_or_insert_with(|| Box::new(Observed::of(t)));
            observed.push(stage, status, response(t));
        }
    }

    fn count(&self, which: impl Fn(&super::statistics::Counters) -> tocsin_server::statistics::StatId) {
        let id = which(&self.server.state::<State>().counters);
        self.server.statistics.add(id, 1);
    }

    fn count_reply(&self, status: u16, local: bool) {
        self.count(|c| if local { c.local_replies } else { c.relayed_replies });
        if status >= 200 {
            self.count(|c| c.finals[usize::from(status / 100).clamp(2, 6) - 2]);
        }
    }
}

/// Keeps a reply for retransmissions. A full arena keeps the one before it: a reply that cannot be repeated is
/// repeated by its sender.
fn keep(place: &mut ShmBytes, bytes: &[u8]) {
    if place.try_assign(bytes).is_err() {
        place.clear();
    }
}

/// Reads a message that lies in a record.
pub(super) fn parse(server: &Server, bytes: &[u8]) -> Option<Message> {
    Message::parse(bytes.to_vec(), &server.settings.limits).ok()
}

/// Changes a transaction under its lock: `input` passes to the machine what happened, and what it says is carried out.
/// `None` when there is no such transaction.
pub(super) fn update(
    worker: &'static Worker,
    id: TransactionId,
    at_hand: AtHand<'_>,
    input: impl FnOnce(&mut Transaction, u64, &mut Actions),
) -> Option<After> {
    let state = worker.server.state::<State>();
    let now = tocsin_server::time::now_ms();
    let mut actions = Actions::new();
    let mut after = state.table.update(&id, |t, edit| {
        input(t, now, &mut actions);
        carry_out(worker, id, t, edit, &mut actions, at_hand, now)
    })?;
    after.send(worker, id);
    Some(after)
}
