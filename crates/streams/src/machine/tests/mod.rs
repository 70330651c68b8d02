//! Tests in virtual time, filed by what they hold the machine to. The socket, the row and the process around a connection
//! are plain values here; the process can die before any step.

mod deadlines;
mod death;
mod handover;
mod handshakes;
mod reading;
mod time;
mod writing;

use std::sync::Arc;

use rustls::ServerConfig;
use tocsin_net::Protocol;
use tocsin_net::connections::{ConnectionId, OwnerId, TlsIdentity, View, marks};
use tocsin_net::tls::Session;
use tocsin_net::websocket::{self, Offer};
use tocsin_sip::Limits;

use super::{Arrival, Machine, Moment, Next, Policy, Step, Steps, Stop, Turn, Want};
use crate::end::End;
use crate::flow::BranchRef;
use crate::pending::PendingGuard;
use crate::security::NoDomain;
use crate::stream_options::StreamOptions;
use crate::tcp_profile::TcpProfile;
use crate::tcp_settings::TcpSettings;

/// The moment of birth, to find what counts from zero.
const BIRTH: u64 = 7_000_000;

/// What was done to the world.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Did {
    /// A message was given to the process, by its first line.
    Serve(String),
    Flush,
    NoteServed(usize),
    Take(usize),
    Done,
    Movable(bool),
    Ready,
    /// So many bytes were written.
    Write(usize),
    /// The kernel took nothing.
    Stuck,
    /// The request of a transaction has left, or cannot.
    Left(u64),
    NotSent(u64),
    Measure(u64),
    /// The connection ended, or goes to another worker.
    End(String),
    Move,
}

/// The kernel's side of the connection.
#[derive(Debug, Default)]
struct Socket {
    queue: Vec<u8>,
    /// Bytes that were taken out of the queue.
    consumed: usize,
    /// The peer sends nothing more.
    is_closed: bool,
    /// What the peer was sent.
    sent: Vec<u8>,
    /// How many bytes more can be written at the moment.
    room: usize,
}

/// What shared memory says of the connection.
#[derive(Debug, Default)]
struct Row {
    is_ready: bool,
    is_movable: bool,
    taken: usize,
    served: usize,
    live_until: u64,
}

/// A connection, what is around it, its clock in milliseconds since its birth, and all that was done, when.
struct Run {
    machine: Machine,
    policy: Policy,
    view: View,
    now: u64,
    socket: Socket,
    row: Row,
    /// Bytes that one read brings at most.
    buffer: usize,
    /// The configuration of the TLS server.
    config: Option<Arc<ServerConfig>>,
    /// Each message is answered with [`answer`].
    answers: bool,
    /// The process flushes in the middle of a message.
    flushes: bool,
    is_dirty: bool,
    /// Steps until the process dies.
    life: usize,
    log: Vec<(u64, Did)>,
}

impl Run {
    /// A connection of `protocol` that was accepted at birth, and whose task has begun.
    fn accepted(protocol: Protocol) -> Self {
        Self::with(protocol, |_| {})
    }

    /// The same, with other options.
    fn with(protocol: Protocol, change: impl FnOnce(&mut StreamOptions)) -> Self {
        let mut run = Self::unborn(protocol, marks::OPEN | marks::MOVABLE, change);
        run.row.is_movable = true;
        run.feed(|machine, steps| machine.begin(0, moment(0), steps));
        run.flush();
        run
    }

    /// A connection of `protocol` that was opened from here.
    fn opened(protocol: Protocol, session: Option<Session>, offer: Option<Offer>) -> Self {
        let mut run = Self::unborn(protocol, marks::OPEN | marks::OUTGOING, |_| {});
        let offer = offer.map(|offer| (offer, "h".into()));
        run.feed(|machine, steps| machine.open(session, offer, moment(0), steps));
        run.flush();
        run
    }

    fn unborn(protocol: Protocol, marks: u32, change: impl FnOnce(&mut StreamOptions)) -> Self {
        let mut options = StreamOptions::of(protocol);
        change(&mut options);
        let profile = TcpProfile { threshold_us: 1, ..TcpProfile::new(&TcpSettings::default(), &options) };
        let policy =
            Policy::new(&profile, Box::leak(Box::new(options)), Box::leak(Box::new(Limits::default())));
        let view = View {
            id: ConnectionId::NONE,
            protocol,
            remote: "192.0.2.1:5060".parse().unwrap(),
            local: "192.0.2.2:5060".parse().unwrap(),
            listener: 0,
            owner: OwnerId::REAPER,
            marks,
            idle_until: 0,
            alias: 0,
            tls_identity: TlsIdentity::NONE,
        };
        Self {
            machine: Machine::new(policy, &view, BIRTH),
            policy,
            view,
            now: 0,
            socket: Socket { room: usize::MAX, ..Socket::default() },
            row: Row::default(),
            buffer: 64 * 1024,
            config: None,
            answers: false,
            flushes: false,
            is_dirty: false,
            life: usize::MAX,
            log: Vec::new(),
        }
    }

    /// One input, and the steps that it leads to.
    fn feed<T>(&mut self, input: impl FnOnce(&mut Machine, &mut Steps) -> T) -> T {
        let mut steps = Steps::new();
        let result = input(&mut self.machine, &mut steps);
        steps.into_iter().for_each(|step| self.carry_out(step));
        result
    }

    /// Whether the process lives for one more thing to do.
    fn lives(&mut self) -> bool {
        self.life = self.life.saturating_sub(1);
        self.life > 0
    }

    fn is_dead(&self) -> bool {
        self.life == 0
    }

    fn did(&mut self, did: Did) {
        self.log.push((self.now, did));
    }

    fn carry_out(&mut self, step: Step) {
        if !self.lives() {
            return;
        }
        match step {
            Step::Serve => {
                let message = self.machine.take_message();
                self.serve(&message);
            }
            Step::Flush => {
                self.did(Did::Flush);
                self.flush();
            }
            Step::NoteServed(length) => {
                self.did(Did::NoteServed(length));
                self.row.served = self.row.taken + length;
            }
            Step::Take(length) => {
                self.did(Did::Take(length));
                self.socket.queue.drain(..length);
                self.socket.consumed += length;
                if self.lives() {
                    self.took(length);
                }
            }
            Step::Done => self.did(Did::Done),
            Step::Movable(is_movable) => {
                assert_ne!(self.row.is_movable, is_movable);
                self.row.is_movable = is_movable;
                self.did(Did::Movable(is_movable));
            }
            Step::Ready => {
                self.row.is_ready = true;
                self.did(Did::Ready);
            }
            Step::LiveUntil(at) => self.row.live_until = at - BIRTH,
            Step::Hello => {
                let server_name = self.machine.server_name().map(Into::into);
                let none = End::NoDomain(NoDomain::Server { local: self.view.local, server_name });
                let config = self.config.clone().ok_or(none);
                let now = moment(self.now);
                self.feed(|machine, steps| machine.answer_hello(config, now, steps));
            }
            Step::MarkDirty => self.is_dirty = true,
            Step::NoteLeft(branch_ref) => self.did(Did::Left(branch_ref.transaction)),
            Step::NotSent(branch_ref) => self.did(Did::NotSent(branch_ref.transaction)),
            Step::Measure => {
                for sent in self.machine.take_sent() {
                    self.did(Did::Measure(sent.since));
                }
            }
            Step::Wake => {}
        }
    }

    fn serve(&mut self, message: &[u8]) {
        let line = String::from_utf8_lossy(message.split(|byte| *byte == b'\r').next().unwrap()).into_owned();
        self.did(Did::Serve(line.clone()));
        if self.answers {
            self.push(&answer(&line), None);
        }
        if self.flushes {
            self.flush();
        }
    }

    /// Notes in the row that bytes were taken out of the kernel.
    fn took(&mut self, length: usize) {
        self.row.taken += length;
        self.row.served = self.row.served.max(self.row.taken);
    }

    /// Queues a message of the transaction, if it is of one.
    fn push(&mut self, message: &str, transaction: Option<u64>) {
        let branch_ref = transaction.map(|transaction| BranchRef { transaction, branch: 0 });
        let (message, since) = (message.as_bytes().to_vec(), transaction.map(|_| moment(self.now).ns()));
        self.feed(|machine, steps| machine.push(message, branch_ref, since, PendingGuard::unlisted, steps));
    }

    /// Writes what waits, as the process's next flush does.
    fn flush(&mut self) {
        if std::mem::take(&mut self.is_dirty) && !self.is_dead() {
            self.write();
        }
    }

    fn write(&mut self) {
        let waiting = self.machine.begin_write();
        if waiting > self.socket.room {
            self.feed(Machine::may_write_half);
        }
        let now = BIRTH + self.now;
        while !self.machine.unwritten().is_empty() && self.lives() {
            let count = self.machine.unwritten().len().min(self.socket.room);
            if count == 0 {
                self.did(Did::Stuck);
                return self.feed(|machine, steps| machine.stuck(now, PendingGuard::unlisted, steps));
            }
            self.socket.sent.extend_from_slice(&self.machine.unwritten()[..count]);
            self.socket.room -= if self.socket.room == usize::MAX { 0 } else { count };
            self.did(Did::Write(count));
            self.feed(|machine, steps| machine.wrote(count, now, steps));
        }
    }

    /// The peer takes `count` bytes more.
    fn take(&mut self, count: usize) {
        self.socket.room = self.socket.room.saturating_add(count);
        if !self.machine.unwritten().is_empty() {
            self.write();
        }
        self.ask();
    }

    /// Bytes arrive, and the connection's task reads them.
    fn arrive(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.socket.queue.extend_from_slice(bytes.as_ref());
        self.read();
        self
    }

    /// The connection's task reads until nothing more has come.
    fn read(&mut self) {
        while !self.is_dead() && self.read_once() != Turn::Wait && !self.machine.stops() {}
        self.flush();
        self.ask();
    }

    fn read_once(&mut self) -> Turn {
        let now = moment(self.now);
        match self.machine.wants() {
            Want::Nothing => self.machine.resume(),
            _ if self.socket.queue.is_empty() => {
                match self.socket.is_closed {
                    true => self.machine.fail(End::Closed),
                    false => self.machine.nothing_came(false),
                }
                return Turn::Wait;
            }
            want => {
                let arrival = self.receive(want == Want::Take);
                self.feed(|machine, steps| machine.received(arrival, now, steps));
            }
        }
        loop {
            let turn = self.feed(|machine, steps| machine.proceed(now, steps));
            if turn != Turn::Serving || self.is_dead() {
                return turn;
            }
        }
    }

    fn receive(&mut self, takes: bool) -> Arrival {
        let count = self.buffer.min(self.socket.queue.len());
        let bytes = self.socket.queue[..count].to_vec();
        if takes {
            self.socket.queue.drain(..count);
            self.socket.consumed += count;
            self.took(count);
        }
        Arrival { bytes, is_full: count == self.buffer, is_closed: self.socket.is_closed }
    }

    /// The task asks what is next. The deadline, in milliseconds since birth, unless it stops.
    fn ask(&mut self) -> Option<u64> {
        if self.is_dead() || self.outcome().is_some() {
            return None;
        }
        let stop = match self.machine.next(BIRTH + self.now) {
            Next::Wait { until, to_write } => {
                assert_eq!(to_write, !self.machine.unwritten().is_empty());
                return Some(until - BIRTH);
            }
            Next::Stop(stop) => stop,
        };
        match stop {
            Stop::Move => self.did(Did::Move),
            Stop::End(end) => {
                self.did(Did::End(end.to_string()));
                if self.feed(|machine, steps| machine.say_good_bye(&end, steps)) {
                    self.write();
                }
                for branch_ref in self.machine.take_unsent() {
                    self.did(Did::NotSent(branch_ref.transaction));
                }
            }
        }
        None
    }

    /// Lets time pass to `time`, with each deadline on its way.
    fn until(&mut self, time: u64) -> &mut Self {
        while let Some(deadline) = self.ask().filter(|deadline| *deadline <= time) {
            assert!(deadline >= self.now, "deadline {deadline} has passed");
            self.now = deadline;
        }
        self.now = self.now.max(time);
        self
    }

    /// The process has died: another one goes on, if it can.
    fn succeed(&mut self) -> bool {
        self.succeed_for(usize::MAX)
    }

    /// The same; it dies, too, after so many steps.
    fn succeed_for(&mut self, life: usize) -> bool {
        assert!(self.is_dead());
        self.life = life;
        self.is_dirty = false;
        if !self.row.is_movable {
            return false;
        }
        let ready = if self.row.is_ready { marks::READY } else { 0 };
        self.view.marks = self.view.marks & marks::OUTGOING | marks::OPEN | marks::MOVABLE | ready;
        self.machine = Machine::new(self.policy, &self.view, BIRTH + self.now);
        // As net::connections has it: what the kernel says tells whether the predecessor came to take the bytes out.
        if self.socket.consumed == self.row.served {
            self.row.taken = self.row.served;
        }
        let (left_behind, now) = (self.row.served - self.row.taken, moment(self.now));
        self.feed(|machine, steps| machine.begin(left_behind, now, steps));
        self.flush();
        self.read();
        true
    }

    /// How it stopped, and when.
    fn outcome(&self) -> Option<(u64, String)> {
        self.log.iter().find_map(|(time, did)| match did {
            Did::End(end) => Some((*time, end.clone())),
            Did::Move => Some((*time, "moved".to_owned())),
            _ => None,
        })
    }

    /// The end, which must come by itself.
    fn end(&mut self) -> (u64, String) {
        self.until(self.now + 10_000_000);
        self.outcome().unwrap()
    }

    /// The first lines of the messages that were served.
    fn served(&self) -> Vec<String> {
        let line = |(_, did): &(u64, Did)| match did {
            Did::Serve(line) => Some(line.clone()),
            _ => None,
        };
        self.log.iter().filter_map(line).collect()
    }

    /// What was done since the last call.
    fn steps(&mut self) -> Vec<Did> {
        self.log.drain(..).map(|(_, did)| did).collect()
    }

    /// What the peer was sent since the last call.
    fn sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.socket.sent)
    }
}

/// A moment, so many milliseconds after birth.
fn moment(ms: u64) -> Moment {
    Moment::from_ns((BIRTH + ms) * 1_000_000)
}

/// A request with a body of `length` bytes.
fn request(name: &str, length: usize) -> String {
    format!("{name}\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length))
}

/// The answer to a request with this start line.
fn answer(line: &str) -> String {
    request(&format!("SIP/2.0 200 {line}"), 0)
}

/// A request with the start line `OPTIONS sip:{n} SIP/2.0`.
fn options(n: usize) -> String {
    request(&options_line(n), 0)
}

fn options_line(n: usize) -> String {
    format!("OPTIONS sip:{n} SIP/2.0")
}

/// `message` in a frame of a WebSocket client.
fn frame(message: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    websocket::write_message(&mut frame, message.as_bytes(), Some([1, 2, 3, 4]));
    frame
}

/// `message` in two fragments.
fn fragments(message: &str) -> [Vec<u8>; 2] {
    let (first, rest) = message.split_at(message.len() / 2);
    let (mut first, mut rest) = (frame(first), frame(rest));
    first[0] &= 0x7f;
    rest[0] = 0x80;
    [first, rest]
}

/// The request of a browser for a WebSocket.
const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: sip\r\nOrigin: http://h\r\n\r\n";

/// Carries what each of two ends has sent to the other one, until neither has sent anything.
fn exchange(one: &mut Run, other: &mut Run) {
    loop {
        let (there, back) = (one.sent(), other.sent());
        if there.is_empty() && back.is_empty() {
            return;
        }
        if !there.is_empty() {
            other.arrive(there);
        }
        if !back.is_empty() {
            one.arrive(back);
        }
    }
}
