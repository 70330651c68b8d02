//! What one process of the family has for itself: its outbox, its buffers, its variables, its runtime's tasks.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use tocsin_event::percentage;
use tocsin_net::connections::{ConnectionId, OwnerId};
use tocsin_net::{Inbox, Outbox, Resolver};
use tocsin_process::{Kind, Member};
use tocsin_script::{Bytes, RouteKind, ScriptVars};
use tocsin_shm::Slot;
use tocsin_sip::Message;

use crate::context::Context;
use crate::flow::{Envelope, Received};
use crate::memory::PrivateWatch;
use crate::random::Identifiers;
use crate::server::Server;
use crate::sockets::{Endpoint, SocketId};
use tocsin_streams::WorkerStreams;

/// Messages whose script may wait at one time in one process; further ones are refused with 503.
pub const MAX_WAITING: usize = 10_000;
/// Private memory, in percent of its budget (`-M`), from which on no further message may wait: 503 as well. What is left
/// is for the messages that do not wait, so that the process need not be replaced.
pub const MAX_WAITING_PERCENT: u8 = 85;

/// A message for routes that run for none: OpenSIPS uses one of the same shape.
const IDLE_MESSAGE: &[u8] = b"DUMMY sip:user@dummy.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKDUMMY\r\n\
    From: <sip:from@dummy.com>;tag=1\r\n\
    To: <sip:to@dummy.com>\r\n\
    Call-ID: dummy-1\r\n\
    CSeq: 1 DUMMY\r\n\r\n";

/// A process, as the code that runs in it sees it. It lives as long as the process.
pub struct Worker {
    /// The server it belongs to.
    pub server: &'static Server,
    /// Which process this is.
    pub member: Member,
    /// Name look-ups.
    pub resolver: Resolver,
    streams: OnceCell<WorkerStreams>,
    /// Its messages come over connections.
    pub(crate) serves_connections: Cell<bool>,
    pub(crate) inbox: RefCell<Inbox>,
    outbox: RefCell<Outbox>,
    vars: RefCell<ScriptVars>,
    /// Variables with a first value that no script of this process has named yet.
    unnamed: RefCell<Vec<Bytes>>,
    waiting: Cell<usize>,
    /// Rings when what still waits has to be given up.
    give_up: tokio::sync::Notify,
    pub(crate) private: RefCell<PrivateWatch>,
    identifiers: Identifiers,
    /// When it was last logged that shared memory is full, and that no more messages may wait; monotonic milliseconds.
    reported_full: Cell<u64>,
    reported_crowded: Cell<u64>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Worker({:?})", self.member)
    }
}

impl Worker {
    /// The process `member` of `server`, for the rest of its life.
    pub fn new(server: &'static Server, member: Member) -> &'static Self {
        let names = server.registered.script_variables.iter().map(|(name, _)| name.clone());
        let worker = Box::leak(Box::new(Self {
            server,
            member,
            resolver: Resolver::new(server.settings.dns.resolver.clone()),
            streams: OnceCell::new(),
            serves_connections: Cell::new(false),
            inbox: RefCell::new(Inbox::new()),
            outbox: RefCell::new(Outbox::new()),
            vars: RefCell::default(),
            unnamed: RefCell::new(names.collect()),
            waiting: Cell::new(0),
            give_up: tokio::sync::Notify::new(),
            private: RefCell::new(PrivateWatch::default()),
            identifiers: Identifiers::new(member),
            reported_full: Cell::new(0),
            reported_crowded: Cell::new(0),
        }));
        worker.give_first_values();
        worker
    }

    /// Connections of this process, and the way to those of others.
    pub fn streams(&'static self) -> &'static WorkerStreams {
        self.streams.get_or_init(|| WorkerStreams::new(&self.server.network, self, owner_id(self)))
    }

    /// Queues one message. It leaves at the next [`Self::flush`].
    pub fn send(&'static self, envelope: &Envelope<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        let flow = &envelope.flow;
        match &self.server.network.sockets.listener(flow.socket).endpoint {
            Endpoint::Datagrams(group) => {
                self.outbox.borrow_mut().push(group.socket(self.member.index).as_fd(), flow.peer, write);
            }
            Endpoint::Stream(_) => {
                let mut bytes = Vec::new();
                write(&mut bytes);
                self.streams().send(envelope, bytes);
            }
        }
    }

    /// Sends what is queued: first by the way by which its messages come, for a caller's 100 has to leave before the INVITE
    /// that may be answered at once, and whose answers come through another process.
    pub fn flush(&self) {
        let streams_first = self.serves_connections.get();
        if !streams_first {
            self.flush_datagrams();
        }
        if let Some(streams) = self.streams.get() {
            streams.flush();
        }
        if streams_first {
            self.flush_datagrams();
        }
        self.slot().turn();
    }

    /// The process's own row of the process table.
    pub(crate) fn slot(&self) -> &'static Slot {
        self.server.table.slot(self.member.slot)
    }

    /// Sends the datagrams that are queued. May be called where [`Self::flush`] may not: while a lock is held.
    pub fn flush_datagrams(&self) {
        let mut outbox = self.outbox.borrow_mut();
        if !outbox.is_empty() {
            let sent = outbox.flush();
            if sent.refused > 0 {
                tracing::warn!(
                    "{} messages were refused by the network: their destinations cannot be reached",
                    sent.refused
                );
            }
        }
    }

    /// Lets `task` run in this process; what it queued is sent when it ends.
    pub fn spawn(&'static self, task: impl Future<Output = ()> + 'static) {
        self.waiting.set(self.waiting.get() + 1);
        // A future that awaits another one by value has room for it twice.
        let task = Box::pin(task);
        tokio::task::spawn_local(async move {
            task.await;
            self.waiting.set(self.waiting.get() - 1);
            self.flush();
            self.safe_point();
        });
    }

    /// Tasks that have not ended.
    pub fn waiting(&self) -> usize {
        self.waiting.get()
    }

    /// Whether the number of tasks allows another one.
    pub fn has_room(&self) -> bool {
        self.waiting.get() < MAX_WAITING
    }

    /// Whether another request may wait: both its number and the memory that all of them take are limited.
    pub fn may_wait(&self) -> bool {
        let used = percentage(tocsin_process::private_bytes(), self.server.settings.private_bytes);
        let may = self.has_room() && used < MAX_WAITING_PERCENT;
        if !may && self.is_due(&self.reported_crowded) {
            tracing::warn!(
                "requests that have to wait are answered with 503: {} wait, and private memory is at {used} % of its \
                 budget; give processes more (-M), or wait for less",
                self.waiting.get()
            );
        }
        may
    }

    /// Gives up all that waits in this process: requests that nobody else will answer get 503.
    pub(crate) fn give_up(&self) {
        self.give_up.notify_waiters();
    }

    /// Ends when what waits has to be given up.
    pub(crate) async fn given_up(&self) {
        self.give_up.notified().await;
    }

    /// A number that no other process will make and nobody can guess.
    pub fn unique(&self) -> u64 {
        self.identifiers.next()
    }

    /// Logs that `what` was refused for want of shared memory; at most once a second, as there may be thousands.
    pub fn report_full(&self, what: &str) {
        if self.is_due(&self.reported_full) {
            tracing::error!("shared memory is full: {what} is refused; give the server more (-m)");
        }
    }

    /// Whether a line was last logged a second ago or more; then it is noted as logged now.
    fn is_due(&self, last: &Cell<u64>) -> bool {
        let now = crate::time::now_ms();
        let due = now.saturating_sub(last.get()) >= 1000;
        if due {
            last.set(now);
        }
        due
    }

    /// Whether this process should make room for a successor.
    pub fn is_full(&self) -> bool {
        self.private.borrow().is_over()
    }

    /// Safe point, between two messages or two statements of a script: no lock is held here, so pending memory events are
    /// raised.
    #[inline]
    pub fn safe_point(&self) {
        if tocsin_process::has_private_change() {
            self.private.borrow_mut().look(&self.server.memory, &self.server.events);
        }
        self.server.memory.look_at_shared(&self.server.events);
    }

    /// A buffer for a message, large enough for any.
    pub(crate) fn lend_buffer(&self) -> Vec<u8> {
        self.inbox.borrow_mut().lend()
    }

    /// Gives the buffer of a message that is done back to the receive path.
    pub fn recycle(&self, buffer: Vec<u8>) {
        self.inbox.borrow_mut().give_back(buffer);
    }

    /// A context for a route that runs for no message.
    pub fn idle_context(&'static self) -> Option<Context> {
        let message = Message::parse(IDLE_MESSAGE.to_vec(), &self.server.settings.limits).ok()?;
        // it came from nowhere
        let source = SocketAddr::from(([0, 0, 0, 0], 0));
        Some(Context::new(
            self,
            message,
            Received { source, socket: SocketId(0), connection: ConnectionId::NONE },
            RouteKind::Startup,
        ))
    }

    /// Lends the script variables of the process to a context whose script runs now.
    pub fn lend_vars(&self, to: &mut ScriptVars) {
        *to = std::mem::take(&mut self.vars.borrow_mut());
    }

    /// Gives variables their first values, once a version of the script names them.
    pub(crate) fn give_first_values(&self) {
        let program = &self.server.script().program;
        let given = |name: &Bytes| {
            let value = self.server.registered.script_variables.iter().find(|(other, _)| other == name);
            value.is_some_and(|(_, value)| {
                program.set_variable(&mut self.vars.borrow_mut(), name, value.clone())
            })
        };
        self.unnamed.borrow_mut().retain(|name| !given(name));
    }

    /// Takes them back.
    pub fn take_vars(&self, from: &mut ScriptVars) {
        *self.vars.borrow_mut() = std::mem::take(from);
    }
}

/// What this process is to connections, if it is a TCP worker.
pub(crate) fn owner_id(worker: &Worker) -> Option<OwnerId> {
    let member = worker.member;
    (worker.server.plan.groups[member.group].kind == Kind::Tcp)
        .then_some(OwnerId { index: member.index as u16, generation: member.generation })
}
