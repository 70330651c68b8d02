//! One connection in the hands of its owner: its task, its limits in time, its end.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

use tocsin_net::Protocol;
use tocsin_net::connections::{ConnectionId, Own, View, marks};
use tocsin_net::stream::{self, KeepAlive};
use tocsin_net::tls::{Facts, Session};
use tocsin_net::websocket;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::decoder::{StreamDecoder, mask_to};
use super::end::End;
use super::output::{Output, Timed};
use super::pending::PendingTable;
use crate::flow::BranchRef;
use crate::flow::Received;
use crate::local::Local;
use crate::machine::{Deadlines, Stage, TimeLimits};
use crate::slow_send;
use crate::sockets::SocketId;
use crate::stream_options::StreamOptions;
use crate::tcp_profile::TcpProfile;
use tocsin_telemetry::time::{now_ms, now_ns};

/// How long a connection that has ended waits for the peer to end it too.
const LINGER: Duration = Duration::from_secs(1);

/// What stops a connection's task.
#[derive(Debug)]
pub(super) enum Stop {
    /// The connection ends.
    End(End),
    /// Another worker goes on with it.
    Move,
}

/// A connection of this process.
pub(crate) struct Connection {
    pub(super) local: &'static Local,
    pub(super) own: Own,
    pub(super) stream: TcpStream,
    pub(super) protocol: Protocol,
    pub(super) profile: TcpProfile,
    pub(super) received: Received,
    pub(super) decoder: RefCell<StreamDecoder>,
    /// TLS, where the protocol wants it.
    pub(super) session: RefCell<Option<Box<Session>>>,
    /// Bytes that were taken out of the kernel and not served yet: decrypted ones, and the begin of a long message.
    pub(super) held: RefCell<Vec<u8>>,
    /// Some of them are whole, and wait for the next turn.
    pub(super) has_unserved: Cell<bool>,
    pub(super) output: RefCell<Output>,
    facts: RefCell<Option<Rc<Facts>>>,
    wake: Notify,
    stop: RefCell<Option<Stop>>,
    /// It has something to write, and the process knows.
    is_dirty: Cell<bool>,
    time_limits: TimeLimits,
    deadlines: RefCell<Deadlines>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({:?} {})", self.own.id(), self.received.source)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Connection {
    /// The connection of the row `own`, which `view` shows, over `stream`.
    pub(crate) fn new(
        local: &'static Local,
        own: Own,
        view: &View,
        stream: std::net::TcpStream,
    ) -> std::io::Result<Rc<Self>> {
        let network = local.network;
        let profile = network.profile_of(view);
        let keep_alive = profile.keepalive.on.then(|| KeepAlive {
            idle: profile.keepalive.idle_s.map(|s| Duration::from_secs(s.into())),
            interval: profile.keepalive.interval_s.map(|s| Duration::from_secs(s.into())),
            probes: profile.keepalive.probes,
        });
        stream::prepare(&stream, keep_alive.as_ref())?;
        let limits = &network.limits;
        let accepting = view.protocol.is_websocket() && view.marks & marks::READY == 0;
        let time_limits = TimeLimits::new(&profile, &network.options[view.protocol]);
        let deadlines = Deadlines::new(now_ms(), view.idle_until, &time_limits);
        let connection = Self {
            local,
            own,
            stream: TcpStream::from_std(stream)?,
            protocol: view.protocol,
            profile,
            received: Received { source: view.remote, socket: SocketId(view.listener), connection: own.id() },
            decoder: RefCell::new(match view.protocol {
                _ if accepting => StreamDecoder::Accepting,
                Protocol::Ws | Protocol::Wss => StreamDecoder::web(view.marks & marks::OUTGOING != 0, limits),
                _ => StreamDecoder::sip(limits),
            }),
            session: RefCell::new(None),
            held: RefCell::default(),
            has_unserved: Cell::new(false),
            output: RefCell::default(),
            facts: RefCell::default(),
            wake: Notify::new(),
            stop: RefCell::default(),
            is_dirty: Cell::new(false),
            time_limits,
            deadlines: RefCell::new(deadlines),
        };
        connection.own.idle_until(deadlines.lives_until());
        Ok(Rc::new(connection))
    }

    /// Which connection it is.
    pub(crate) fn id(&self) -> ConnectionId {
        self.own.id()
    }

    /// The far end.
    pub(super) fn remote(&self) -> SocketAddr {
        self.received.source
    }

    /// The options of its protocol.
    pub(super) fn options(&self) -> &'static StreamOptions {
        &self.local.network.options[self.protocol]
    }

    /// What TLS agreed on, once it has.
    pub(crate) fn facts(&self) -> Option<Rc<Facts>> {
        self.facts.borrow().clone()
    }

    /// Serves an accepted or adopted connection until it stops.
    pub(crate) async fn serve(&self) -> Stop {
        if self.protocol.is_secure() {
            *self.session.borrow_mut() = Some(Box::new(Session::accepting()));
            // What TLS knows lies in this process: nobody else can go on.
            self.own.mark(0, marks::MOVABLE);
        } else if !self.protocol.is_websocket() || self.own.marks() & marks::READY != 0 {
            self.become_ready();
        }
        if let Err(end) = self.skip_served() {
            self.stop_with(Stop::End(end));
        }
        self.live().await
    }

    /// Serves the connection until it stops.
    pub(super) async fn live(&self) -> Stop {
        let mut alarm_at = u64::MAX;
        let alarm = tokio::time::sleep(Duration::MAX);
        let mut alarm = std::pin::pin!(alarm);
        loop {
            match self.stop.take() {
                // What was queued meanwhile has to leave first.
                Some(Stop::Move) if !self.can_move() => {}
                Some(stop) => break stop,
                None => {}
            }
            let (due, end) = self.due();
            let now = now_ms();
            if due <= now {
                break Stop::End(end);
            }
            // A later deadline is noticed when the alarm rings: most of them move with every message.
            if due < alarm_at || alarm.is_elapsed() {
                alarm_at = due;
                alarm.as_mut().reset(tokio::time::Instant::now() + Duration::from_millis(due - now));
            }
            let writing = !self.output.borrow().unwritten().is_empty();
            let interest = if writing { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            tokio::select! {
                biased;
                () = self.wake.notified() => {}
                ready = self.stream.ready(interest) => match ready {
                    Ok(ready) => {
                        if ready.is_writable() {
                            self.write_out();
                        }
                        if ready.is_readable() {
                            match self.take_in(ready.is_read_closed()) {
                                Ok(more) => {
                                    self.local.owner.flush();
                                    self.local.owner.safe_point();
                                    if more {
                                        tokio::task::yield_now().await;
                                    }
                                }
                                Err(end) => break Stop::End(end),
                            }
                        }
                    }
                    Err(cause) => break Stop::End(End::Broken(cause)),
                },
                () = &mut alarm => {}
            }
        }
    }

    /// When something is due at the earliest, in milliseconds of the monotonic clock, and what that would end.
    fn due(&self) -> (u64, End) {
        let stage = if self.own.marks() & marks::READY != 0 {
            Stage::Messages
        } else if self.protocol.is_secure() && self.facts.borrow().is_none() {
            Stage::TlsHandshake
        } else {
            Stage::WebSocketHandshake
        };
        self.deadlines.borrow().due(stage, self.output.borrow().stalled_since(), &self.time_limits)
    }

    /// Handshakes are done: messages that waited for that go out.
    pub(super) fn become_ready(&self) {
        self.own.mark(marks::READY, 0);
        self.settle();
        loop {
            let next = self.output.borrow_mut().take_held();
            let Some((message, branch_ref)) = next else { break };
            self.append(&message, branch_ref);
        }
        self.mark_dirty();
    }

    /// TLS is done: what it agreed on is kept for scripts.
    pub(super) fn become_secure(&self) {
        let facts = self.session.borrow().as_ref().map(|session| Rc::new(session.facts()));
        *self.facts.borrow_mut() = facts;
        self.deadlines.borrow_mut().begin_handshake(now_ms());
    }

    /// Says whether another process could go on from here.
    pub(super) fn settle(&self) {
        // A WebSocket is not ready while the request for it is answered and not taken: a successor would answer again.
        let movable = !self.protocol.is_secure()
            && self.own.marks() & marks::READY != 0
            && self.held.borrow().is_empty()
            && self.decoder.borrow().is_between_messages()
            && self.output.borrow().unwritten().is_empty();
        let (set, clear) = if movable { (marks::MOVABLE, 0) } else { (0, marks::MOVABLE) };
        self.own.mark(set, clear);
    }

    /// Something came or went.
    pub(super) fn touch(&self, now: u64) {
        let mut deadlines = self.deadlines.borrow_mut();
        deadlines.touch(now, &self.time_limits);
        self.own.idle_until(deadlines.lives_until());
    }

    /// Lets it live `seconds` from now, whatever happens on it.
    pub(crate) fn keep(&self, seconds: u32) {
        let mut deadlines = self.deadlines.borrow_mut();
        deadlines.keep(now_ms().saturating_add(u64::from(seconds) * 1000));
        self.own.idle_until(deadlines.lives_until());
    }

    /// A message has begun to arrive, or (`false`) none is under way. `anew`: others were whole before it.
    pub(super) fn note_partial(&self, partial: bool, anew: bool) {
        let mut deadlines = self.deadlines.borrow_mut();
        if partial {
            deadlines.note_partial(now_ms(), anew);
        } else {
            deadlines.note_whole();
        }
    }

    /// Queues a message. It leaves at the next flush of this process, or once the handshakes are done.
    pub(crate) fn push(&self, message: Vec<u8>, branch_ref: Option<BranchRef>) {
        if self.own.marks() & marks::READY == 0 {
            let mut output = self.output.borrow_mut();
            if output.hold(message, branch_ref, self.options().max_postponed) {
                branch_ref
                    .into_iter()
                    .for_each(|branch_ref| output.keep_guard(self.pending().note(branch_ref)));
            } else {
                branch_ref.into_iter().for_each(|branch_ref| self.local.owner.not_sent(branch_ref));
            }
            return;
        }
        self.append(&message, branch_ref);
        self.mark_dirty();
    }

    /// Puts a message into frames and records as the protocol wants it, behind what waits to be written.
    fn append(&self, message: &[u8], branch_ref: Option<BranchRef>) {
        let mut framed = Vec::new();
        let bytes = match self.decoder.borrow().frames() {
            None => message,
            Some(peer) => {
                websocket::write_message(&mut framed, message, mask_to(peer));
                &framed
            }
        };
        self.say(bytes);
        let mut output = self.output.borrow_mut();
        output.note(branch_ref);
        if self.profile.threshold_us != 0 {
            output.time(Timed { since: now_ns(), message: message.to_vec() });
        }
    }

    fn pending(&self) -> &'static PendingTable {
        &self.local.network.shared.pending
    }

    /// Queues bytes, encrypted where the protocol wants it.
    pub(super) fn say(&self, bytes: &[u8]) {
        let mut output = self.output.borrow_mut();
        match self.session.borrow_mut().as_mut() {
            None => output.bytes().extend_from_slice(bytes),
            Some(session) => {
                if let Err(cause) = session.send(bytes, output.bytes()) {
                    self.stop_with(Stop::End(End::Tls(cause)));
                }
            }
        }
    }

    /// It has something to write at the next flush of this process.
    pub(super) fn mark_dirty(&self) {
        if !self.is_dirty.replace(true) {
            self.local.mark_dirty(self.id());
        }
    }

    /// Writes what waits, as far as the kernel takes it.
    pub(crate) fn write_out(&self) {
        self.is_dirty.set(false);
        let waiting = self.output.borrow().unwritten().len();
        if !stream::takes_at_once(&self.stream, waiting) {
            // A process that dies with half a message written leaves a stream that nobody can go on with.
            self.own.mark(0, marks::MOVABLE);
        }
        let now = now_ms();
        let mut wrote = false;
        loop {
            let mut output = self.output.borrow_mut();
            let waiting = output.unwritten();
            if waiting.is_empty() {
                break;
            }
            match self.stream.try_io(Interest::WRITABLE, || stream::write(&self.stream, waiting)) {
                Ok(count) => {
                    output.took(count, now);
                    wrote = true;
                    let left = output.take_left();
                    drop(output);
                    self.note_left(&left);
                }
                Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => {
                    output.took(0, now);
                    output.note_unsent(self.pending());
                    let over = output.is_over();
                    drop(output);
                    if over {
                        self.stop_with(Stop::End(End::Stalled));
                    }
                    self.wake.notify_one();
                    break;
                }
                Err(cause) => {
                    drop(output);
                    self.stop_with(Stop::End(End::Broken(cause)));
                    break;
                }
            }
        }
        if wrote {
            self.touch(now);
            let sent = self.output.borrow_mut().take_sent();
            for sent in sent {
                slow_send::check(&self.local.network.events, self.profile.threshold_us, &sent);
            }
        }
        self.settle();
    }

    /// The requests of `left` have just been written: a successor of this process must not send them again. Nothing stands
    /// between the system call and this note.
    fn note_left(&self, left: &[BranchRef]) {
        left.iter().for_each(|branch_ref| self.local.owner.note_left(*branch_ref));
    }

    /// Ends the task; the first reason counts.
    pub(super) fn stop_with(&self, stop: Stop) {
        self.stop.borrow_mut().get_or_insert(stop);
        self.wake.notify_one();
    }

    /// Whether it is to end, and nothing more is to be read.
    pub(super) fn stops(&self) -> bool {
        self.stop.borrow().is_some()
    }

    /// Lets another worker go on with it, if that is possible.
    pub(crate) fn move_on(&self) {
        if self.can_move() {
            self.stop_with(Stop::Move);
        }
    }

    /// Whether another worker could go on with it at this moment.
    fn can_move(&self) -> bool {
        self.own.marks() & marks::MOVABLE != 0 && self.output.borrow().is_empty()
    }

    /// Lets another worker go on with it, if that is possible; else it ends. `soon`: what only has to be written first is
    /// let go later, or ended by the next call.
    pub(crate) fn hand_over(&self, soon: bool) {
        if self.can_move() {
            self.stop_with(Stop::Move);
        } else if !soon || self.protocol.is_secure() || self.output.borrow().is_empty() {
            self.stop_with(Stop::End(End::WorkerEnded));
        }
    }

    /// Says good-bye, and reports the end.
    pub(super) fn finish(&self, end: &End) {
        if !matches!(end, End::Broken(_) | End::Stalled | End::Refused(_) | End::ConnectTimeout(_)) {
            self.say_good_bye(end);
            self.write_out();
        }
        stream::shut_writing(&self.stream);
        self.local.network.report(self.id(), end);
    }

    /// Lets the peer read our last words, if it ended here: what it sends meanwhile is thrown away, for as long as it may
    /// take. A socket that is closed before that answers with a reset, which may overtake them.
    pub(super) async fn linger(&self, end: &End) {
        if matches!(end, End::Closed | End::Broken(_)) {
            return;
        }
        let Some(_place) = self.local.lingering.take() else { return };
        let read_on = async {
            while self.stream.readable().await.is_ok() {
                let thrown = self.stream.try_io(Interest::READABLE, || stream::drain(&self.stream));
                match thrown {
                    Ok(true) => {}
                    Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => {}
                    _ => return,
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, read_on).await;
    }

    fn say_good_bye(&self, end: &End) {
        /// RFC 6455 section 7.4.1: the endpoint goes away.
        const GOING_AWAY: u16 = 1001;
        if matches!(end, End::Idle | End::WorkerEnded)
            && let Some(peer) = self.decoder.borrow().frames()
        {
            let mut frame = Vec::new();
            websocket::write_close(&mut frame, GOING_AWAY, "", mask_to(peer));
            self.say(&frame);
        }
        if let Some(session) = self.session.borrow_mut().as_mut() {
            session.close_notify(self.output.borrow_mut().bytes());
        }
    }
}

impl From<End> for Stop {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}
