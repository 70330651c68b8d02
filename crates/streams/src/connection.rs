//! One connection in the hands of its owner: its socket, its row and its task, around the [`Machine`] that decides.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tocsin_net::Protocol;
use tocsin_net::connections::{ConnectionId, Own, View, marks};
use tocsin_net::stream::{self, KeepAlive};
use tocsin_net::tls::{Facts, ServerConfig, Session};
use tocsin_net::websocket::Offer;
use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use super::end::End;
use crate::flow::{BranchRef, Received};
use crate::local::Local;
use crate::machine::{Arrival, Machine, Moment, Next, Policy, Step, Steps, Stop, Turn, Want};
use crate::slow_send;
use crate::sockets::SocketId;
use crate::tcp_profile::{AliasMode, TcpProfile};
use tocsin_telemetry::time::{now_ms, now_ns};

/// Reads before other connections get their turn.
const READS_IN_A_ROW: usize = 8;

/// How long a connection that has ended waits for the peer to end it too.
const LINGER: Duration = Duration::from_secs(1);

/// A connection of this process.
pub(crate) struct Connection {
    local: &'static Local,
    own: Own,
    stream: TcpStream,
    pub(super) protocol: Protocol,
    /// When it carries requests back to another port.
    pub(super) aliases: AliasMode,
    /// Microseconds that sending may take before it is reported; 0 is off.
    threshold_us: u64,
    received: Received,
    machine: RefCell<Machine>,
    wake: Notify,
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
        stream::prepare(&stream, keep_alive(&profile).as_ref())?;
        let policy = Policy::new(&profile, &network.options[view.protocol], &network.limits);
        Ok(Rc::new(Self {
            local,
            own,
            stream: TcpStream::from_std(stream)?,
            protocol: view.protocol,
            aliases: profile.aliases,
            threshold_us: profile.threshold_us,
            received: Received { source: view.remote, socket: SocketId(view.listener), connection: own.id() },
            machine: RefCell::new(Machine::new(policy, view, now_ms())),
            wake: Notify::new(),
        }))
    }

    /// Which connection it is.
    pub(crate) fn id(&self) -> ConnectionId {
        self.own.id()
    }

    /// The far end.
    pub(super) fn remote(&self) -> SocketAddr {
        self.received.source
    }

    /// What TLS agreed on, once it has.
    pub(crate) fn facts(&self) -> Option<Rc<Facts>> {
        self.machine.borrow().facts()
    }

    /// Begins a connection that this server opened: with the TLS `session`, and the `offer` of a WebSocket to this host.
    pub(super) fn open(&self, session: Option<Session>, offer: Option<(Offer, Box<str>)>) {
        self.feed(|machine, steps| machine.open(session, offer, now(), steps));
    }

    /// Serves an accepted or adopted connection until it stops.
    pub(crate) async fn serve(&self) -> Stop {
        let left_behind = self.own.left_behind(|| stream::consumed(&self.stream));
        self.feed(|machine, steps| machine.begin(left_behind, now(), steps));
        self.live().await
    }

    /// Serves the connection until it stops.
    pub(super) async fn live(&self) -> Stop {
        let alarm = std::pin::pin!(tokio::time::sleep(Duration::MAX));
        let mut alarm = Alarm { at: u64::MAX, sleep: alarm };
        loop {
            let now = now_ms();
            let next = self.machine.borrow_mut().next(now);
            let (until, to_write) = match next {
                Next::Stop(stop) => break stop,
                Next::Wait { until, to_write } => (until, to_write),
            };
            alarm.ring_at(until, now);
            let interest =
                if to_write { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            let ready = tokio::select! {
                biased;
                () = self.wake.notified() => continue,
                ready = self.stream.ready(interest) => ready,
                () = &mut alarm.sleep => continue,
            };
            match ready {
                Ok(ready) if self.use_readiness(ready) => tokio::task::yield_now().await,
                Ok(_) => {}
                Err(cause) => self.machine.borrow_mut().fail(End::Broken(cause)),
            }
        }
    }

    /// Queues a message. It leaves at the next flush of this process, or once the handshakes are done.
    pub(crate) fn push(&self, message: Vec<u8>, branch_ref: Option<BranchRef>) {
        let since = (self.threshold_us != 0).then(now_ns);
        let pending = &self.local.network.shared.pending;
        let note = |branch_ref| pending.note(branch_ref);
        self.feed(|machine, steps| machine.push(message, branch_ref, since, note, steps));
    }

    /// Writes what waits, as far as the kernel takes it.
    pub(crate) fn write_out(&self) {
        let waiting = self.machine.borrow_mut().begin_write();
        if waiting == 0 {
            return;
        }
        if !stream::takes_at_once(&self.stream, waiting) {
            self.feed(Machine::may_write_half);
        }
        let now = now_ms();
        while self.write_some(now) {}
    }

    /// Lets it live `seconds` from now, whatever happens on it.
    pub(crate) fn keep(&self, seconds: u32) {
        let until = now_ms().saturating_add(u64::from(seconds) * 1000);
        self.feed(|machine, steps| machine.keep(until, steps));
    }

    /// Ends the task; the first reason counts.
    pub(super) fn stop_with(&self, end: End) {
        self.feed(|machine, steps| machine.stop(end.into(), steps));
    }

    /// Lets another worker go on with it, if that is possible.
    pub(crate) fn move_on(&self) {
        self.feed(Machine::move_on);
    }

    /// Lets another worker go on with it, if that is possible; else it ends. `soon`: what only has to be written first is
    /// let go later, or ended by the next call.
    pub(crate) fn hand_over(&self, soon: bool) {
        self.feed(|machine, steps| machine.hand_over(soon, steps));
    }

    /// Says good-bye, and reports the end.
    pub(super) fn finish(&self, end: &End) {
        if self.feed(|machine, steps| machine.say_good_bye(end, steps)) {
            self.write_out();
        }
        stream::shut_writing(&self.stream);
        self.local.network.report(self.id(), end);
    }

    /// The branches whose messages have not left: to be asked at the end.
    pub(super) fn take_unsent(&self) -> impl Iterator<Item = BranchRef> + use<> {
        self.machine.borrow_mut().take_unsent()
    }

    /// Lets the peer read our last words, if it ended here: what it sends meanwhile is thrown away, for as long as it may
    /// take. A socket that is closed before that answers with a reset, which may overtake them.
    pub(super) async fn linger(&self, end: &End) {
        if matches!(end, End::Closed | End::Broken(_)) {
            return;
        }
        let Some(_place) = self.local.lingering.take() else { return };
        let _ = tokio::time::timeout(LINGER, self.throw_away()).await;
    }

    async fn throw_away(&self) {
        while self.stream.readable().await.is_ok() {
            match self.stream.try_io(Interest::READABLE, || stream::drain(&self.stream)) {
                Ok(true) => {}
                Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }

    /// Gives the machine an input, and carries out what it asks for.
    fn feed<T>(&self, input: impl FnOnce(&mut Machine, &mut Steps) -> T) -> T {
        let mut steps = Steps::new();
        let result = input(&mut self.machine.borrow_mut(), &mut steps);
        // What a message leads to may be further inputs: the machine is free by now.
        for step in &steps {
            self.carry_out(*step);
        }
        result
    }

    fn carry_out(&self, step: Step) {
        let owner = self.local.owner;
        match step {
            Step::Serve => {
                let message = self.machine.borrow_mut().take_message();
                self.own.mark(marks::SERVING, 0);
                owner.received(message, self.received);
            }
            Step::Flush => owner.flush(),
            Step::NoteServed(length) => self.own.serves(length),
            Step::Take(length) => self.discard(length),
            Step::Done => self.own.served(),
            Step::Movable(true) => self.own.mark(marks::MOVABLE, 0),
            Step::Movable(false) => self.own.mark(0, marks::MOVABLE),
            Step::Ready => self.own.mark(marks::READY, 0),
            Step::LiveUntil(at) => self.own.idle_until(at),
            Step::Hello => {
                let config = self.server_config();
                self.feed(|machine, steps| machine.answer_hello(config, now(), steps));
            }
            Step::MarkDirty => self.local.mark_dirty(self.id()),
            Step::NoteLeft(branch_ref) => owner.note_left(branch_ref),
            Step::NotSent(branch_ref) => owner.not_sent(branch_ref),
            Step::Measure => self.measure(),
            Step::Wake => self.wake.notify_one(),
        }
    }

    /// Writes and reads, as the socket is ready for. `true`: there may be more to read, after others had their turn.
    fn use_readiness(&self, ready: Ready) -> bool {
        if ready.is_writable() {
            self.write_out();
        }
        if !ready.is_readable() {
            return false;
        }
        let more = self.take_in(ready.is_read_closed());
        self.local.owner.flush();
        self.local.owner.safe_point();
        more
    }

    /// Reads and serves what has come. `true`: there may be more. `is_closed`: the peer sends no more.
    fn take_in(&self, is_closed: bool) -> bool {
        for _ in 0..READS_IN_A_ROW {
            if self.read(is_closed) == Turn::Wait || self.machine.borrow().stops() {
                return false;
            }
        }
        true
    }

    /// Reads once, and serves what came.
    fn read(&self, is_closed: bool) -> Turn {
        let wants = self.machine.borrow().wants();
        let now = now();
        if wants == Want::Nothing {
            self.machine.borrow_mut().resume();
        } else if !self.receive(wants == Want::Look, is_closed, now) {
            return Turn::Wait;
        }
        let turn = self.serve_all(now);
        let buffer = self.machine.borrow_mut().take_buffer();
        self.local.owner.recycle(buffer);
        if turn == Turn::Wait {
            // One that came since the last wait is not missed: it shows at the next one.
            let _ =
                self.stream.try_io::<()>(Interest::READABLE, || Err(std::io::ErrorKind::WouldBlock.into()));
        }
        turn
    }

    /// Serves the bytes at hand, as many as one turn allows.
    fn serve_all(&self, now: Moment) -> Turn {
        loop {
            let turn = self.feed(|machine, steps| machine.proceed(now, steps));
            if turn != Turn::Serving {
                return turn;
            }
        }
    }

    /// Gives the machine what the kernel has. `looks`: the bytes stay queued. `false`: nothing came.
    fn receive(&self, looks: bool, is_closed: bool, now: Moment) -> bool {
        let owner = self.local.owner;
        let mut bytes = owner.lend_buffer();
        let room = bytes.capacity();
        let came = self.stream.try_io(Interest::READABLE, || {
            if looks {
                stream::peek(&self.stream, &mut bytes)
            } else {
                stream::read(&self.stream, &mut bytes)
            }
        });
        match came {
            Ok(true) => {
                if !looks {
                    self.own.took(bytes.len());
                }
                let arrival = Arrival { is_full: bytes.len() == room, bytes, is_closed };
                self.feed(|machine, steps| machine.received(arrival, now, steps));
                return true;
            }
            Ok(false) => self.machine.borrow_mut().fail(End::Closed),
            Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => {
                self.machine.borrow_mut().nothing_came(is_closed);
            }
            Err(cause) => self.machine.borrow_mut().fail(End::Broken(cause)),
        }
        owner.recycle(bytes);
        false
    }

    /// Takes `length` bytes that were looked at out of the kernel's queue.
    fn discard(&self, length: usize) {
        match stream::discard(&self.stream, length) {
            Ok(()) => self.own.took(length),
            Err(cause) => self.machine.borrow_mut().fail(End::Broken(cause)),
        }
    }

    /// Writes as much as the kernel takes at one go. `false`: nothing is left, or nothing more goes for now.
    fn write_some(&self, now: u64) -> bool {
        let machine = self.machine.borrow();
        let waiting = machine.unwritten();
        if waiting.is_empty() {
            return false;
        }
        let written = self.stream.try_io(Interest::WRITABLE, || stream::write(&self.stream, waiting));
        drop(machine);
        match written {
            Ok(count) => {
                self.feed(|machine, steps| machine.wrote(count, now, steps));
                return true;
            }
            Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => {
                let pending = &self.local.network.shared.pending;
                self.feed(|machine, steps| machine.stuck(now, |branch_ref| pending.note(branch_ref), steps));
            }
            Err(cause) => self.feed(|machine, steps| machine.write_failed(cause, steps)),
        }
        false
    }

    /// Reports messages whose sending took too long.
    fn measure(&self) {
        let sent = self.machine.borrow_mut().take_sent();
        for sent in sent {
            slow_send::check(&self.local.network.events, self.threshold_us, &sent);
        }
    }

    /// The TLS configuration for the client's hello.
    fn server_config(&self) -> Result<Arc<ServerConfig>, End> {
        let server_name = self.machine.borrow().server_name();
        let network = self.local.network;
        let security = network.security.as_ref().ok_or(End::NoSecurity)?;
        let local = network.sockets.listener(self.received.socket).address;
        Ok(security.server_config(local, server_name.as_deref())?)
    }
}

/// The timer of a connection's task.
struct Alarm<'a> {
    at: u64,
    sleep: Pin<&'a mut Sleep>,
}

impl Alarm<'_> {
    /// Rings at `at`, or at an earlier time that was asked for before: most deadlines move with every message, and a later
    /// one is noticed when the timer rings.
    fn ring_at(&mut self, at: u64, now: u64) {
        if at < self.at || self.sleep.is_elapsed() {
            self.at = at;
            self.sleep.as_mut().reset(Instant::now() + Duration::from_millis(at - now));
        }
    }
}

fn now() -> Moment {
    Moment::from_ns(now_ns())
}

/// The kernel's probes, as the path of a connection wants them.
fn keep_alive(profile: &TcpProfile) -> Option<KeepAlive> {
    let wanted = profile.keepalive;
    let seconds = |s: u32| Duration::from_secs(s.into());
    wanted.on.then(|| KeepAlive {
        idle: wanted.idle_s.map(seconds),
        interval: wanted.interval_s.map(seconds),
        probes: wanted.probes,
    })
}
