//! The streams of one process: the connections that it keeps, and the way to those of others.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use tocsin_net::connections::{Claim, ConnectionId, Guise, Keeper, View, marks};
use tocsin_net::tls::Facts;
use tocsin_net::{Hop, Mailbox};
use tocsin_process::Kind;

use super::connection::{Connection, profile_for};
use super::end::{End, report};
use super::letter::Letter;
use super::lingering::Lingering;
use super::opening::{Errand, Outgoing};
use crate::flow::{Envelope, Flow, Ticket};
use crate::security::Wish;
use crate::tcp_profile::AliasMode;
use crate::tcp_profile::Opening::Opened;
use crate::time::now_ms;
use crate::worker::Worker;

/// Bytes of letters that may wait in a process for a full mailbox to empty.
const UNPOSTED_BYTES: usize = 8 << 20;
/// Time between two tries to post them.
const POST_AGAIN: Duration = Duration::from_millis(5);
/// Messages that may wait in a process for connections that are on their way to it.
const PARKED_MOST: usize = 4096;
/// Milliseconds that they may wait.
const PARKED_MOST_MS: u64 = 5000;

/// A connection that this process keeps.
#[derive(Debug)]
enum Kept {
    /// Open, or in its handshakes.
    Open(Rc<Connection>),
    /// Not connected yet.
    Outgoing(Rc<Outgoing>),
}

/// A message for a connection that is on its way to this process.
#[derive(Debug)]
struct Parked {
    since: u64,
    flow: Flow,
    host: String,
    wish: Option<Wish>,
    ticket: Option<Ticket>,
    bytes: Vec<u8>,
}

/// A letter that found a full mailbox.
#[derive(Debug)]
struct Unposted {
    /// Whose mailbox it was.
    index: u16,
    letter: Vec<u8>,
    /// Who waits for what it carries.
    ticket: Option<Ticket>,
}

/// The streams of one process.
#[derive(Debug, Default)]
pub struct Switchboard {
    kept: RefCell<HashMap<ConnectionId, Kept>>,
    /// Those with something to write.
    listed: RefCell<Vec<ConnectionId>>,
    parked: RefCell<Vec<Parked>>,
    /// Connections that are this process's and were not here at the last look.
    missed: RefCell<HashSet<ConnectionId>>,
    /// Connections of which TCP main has no duplicate yet.
    owed: RefCell<Vec<ConnectionId>>,
    /// This process ends: what it keeps goes to others.
    is_leaving: Cell<bool>,
    /// Those that have ended and are not closed yet.
    pub(super) lingering: Lingering,
    /// Letters that found a full mailbox.
    unposted: RefCell<VecDeque<Unposted>>,
    unposted_bytes: Cell<usize>,
}

impl Switchboard {
    /// Sends `bytes` the way that `envelope` says: over its connection, else over one that leads there, else over a new
    /// one.
    pub(crate) fn send(&self, worker: &'static Worker, envelope: &Envelope<'_>, bytes: Vec<u8>) {
        let connections = &worker.server.exchange.connections;
        let flow = envelope.flow;
        let hop = flow.hop(&worker.server.sockets);
        let usable = |id| connections.view(id).filter(|view| !view.is_ending());
        let given = Some(flow.connection).filter(|id| id.is_some()).and_then(usable);
        let leading = || connections.towards(&hop, guise(worker, &hop, envelope));
        let found = given.or_else(|| leading().and_then(usable));
        match found {
            Some(view) => self.send_over(worker, &view, envelope, bytes),
            None if !flow.may_open => self.failed(worker, envelope.ticket),
            // Whoever answers over a WebSocket that is gone has no way left: a browser cannot be called.
            None if flow.connection.is_some() && hop.protocol.is_websocket() => {
                self.failed(worker, envelope.ticket);
            }
            None => self.open(worker, &hop, envelope, bytes),
        }
    }

    fn send_over(&self, worker: &'static Worker, view: &View, envelope: &Envelope<'_>, bytes: Vec<u8>) {
        let ticket = envelope.ticket;
        // What a predecessor in this place kept comes here, as soon as TCP main brings it.
        let mine = keeper_of(worker).is_some_and(|me| me.index == view.keeper.index);
        if !mine || (self.is_leaving.get() && !self.kept.borrow().contains_key(&view.id)) {
            let flow = Flow { connection: view.id, ..envelope.flow };
            let wish = envelope.wish.cloned().unwrap_or_default();
            let letter = Letter::Send { flow, ticket, host: envelope.host, wish, bytes: &bytes };
            return self.to_worker(worker, view.keeper.index, &letter, ticket);
        }
        match self.kept(view.id) {
            Some(Kept::Open(connection)) => connection.push(bytes, ticket),
            Some(Kept::Outgoing(opening)) => {
                if let Err(ticket) = opening.push(bytes, ticket) {
                    self.failed(worker, ticket);
                }
            }
            None => {
                let flow = Flow { connection: view.id, ..envelope.flow };
                let (host, wish) = (envelope.host.to_owned(), envelope.wish.cloned());
                self.park(worker, Parked { since: now_ms(), flow, host, wish, ticket, bytes });
            }
        }
    }

    fn park(&self, worker: &'static Worker, message: Parked) {
        let mut parked = self.parked.borrow_mut();
        let bytes: usize = parked.iter().map(|message| message.bytes.len()).sum();
        if parked.len() < PARKED_MOST && bytes + message.bytes.len() <= UNPOSTED_BYTES {
            parked.push(message);
        } else {
            self.failed(worker, message.ticket);
        }
    }

    fn send_parked(&self, worker: &'static Worker, message: Parked) {
        let Parked { flow, host, wish, ticket, bytes, .. } = message;
        self.send(worker, &Envelope { flow, wish: wish.as_ref(), host: &host, ticket }, bytes);
    }

    fn kept(&self, id: ConnectionId) -> Option<Kept> {
        match self.kept.borrow().get(&id)? {
            Kept::Open(connection) => Some(Kept::Open(Rc::clone(connection))),
            Kept::Outgoing(opening) => Some(Kept::Outgoing(Rc::clone(opening))),
        }
    }

    /// Opens a connection to `hop`: here if this is a TCP worker, else at one of them.
    fn open(&self, worker: &'static Worker, hop: &Hop, envelope: &Envelope<'_>, bytes: Vec<u8>) {
        let server = worker.server;
        let socket = envelope.flow.socket;
        let own = keeper_of(worker).filter(|_| !self.is_leaving.get());
        let keeper = own.or_else(|| some_worker(worker, hop));
        let local = SocketAddr::new(server.sockets.listener(socket).address.ip(), 0);
        let profile = profile_for(worker, hop.protocol, hop.to, local, Opened);
        let claim = Claim {
            protocol: hop.protocol,
            remote: hop.to,
            local,
            listener: socket.0,
            marks: marks::OUTGOING,
            idle_until: now_ms() + profile.lifetime.as_millis() as u64,
            guise: guise(worker, hop, envelope),
        };
        if profile.no_new_connection {
            tracing::info!("{hop} has no connection, and none may be opened");
            return self.failed(worker, envelope.ticket);
        }
        let claimed = keeper.ok_or(End::NoWorker).and_then(|keeper| {
            let id = server.exchange.connections.claim(keeper, &claim).ok_or(End::Full)?;
            Ok((id, keeper))
        });
        let (id, keeper) = match claimed {
            Ok(claimed) => claimed,
            Err(cause) => {
                tracing::error!("no connection to {hop}: {cause}");
                return self.failed(worker, envelope.ticket);
            }
        };
        let leads = server.exchange.connections.lead(id);
        if leads != id {
            // Another process was first: its connection carries this message too.
            server.exchange.connections.release(id);
            return match server.exchange.connections.view(leads) {
                Some(view) => self.send_over(worker, &view, envelope, bytes),
                None => self.failed(worker, envelope.ticket),
            };
        }
        let wish = envelope.wish.cloned().unwrap_or_default();
        if Some(keeper) == keeper_of(worker) {
            self.begin(worker, id, Errand::new(envelope.host, wish, bytes, envelope.ticket));
        } else {
            let letter =
                Letter::Open { id, ticket: envelope.ticket, host: envelope.host, wish, bytes: &bytes };
            self.to_worker(worker, keeper.index, &letter, envelope.ticket);
        }
    }

    /// Opens the connection `id` of this process.
    fn begin(&self, worker: &'static Worker, id: ConnectionId, errand: Errand) {
        let connections = &worker.server.exchange.connections;
        let Some((own, view)) = connections.own(id).zip(connections.view(id)) else {
            return self.all_failed(worker, errand);
        };
        let most = worker.server.streams[view.protocol].max_postponed;
        let opening = Rc::new(Outgoing::new(id, most, errand));
        self.kept.borrow_mut().insert(id, Kept::Outgoing(Rc::clone(&opening)));
        tokio::task::spawn_local(opening.run(worker, own, view));
    }

    /// Serves a connection that was accepted, or that another process kept before.
    pub(crate) fn adopt(&self, worker: &'static Worker, id: ConnectionId, from: Keeper, stream: OwnedFd) {
        let connections = &worker.server.exchange.connections;
        let Some(me) = keeper_of(worker) else { return };
        if self.kept.borrow().contains_key(&id) || (from != me && !connections.move_to(id, from, me)) {
            return;
        }
        let Some((own, view)) = connections.own(id).zip(connections.view(id)) else { return };
        match Connection::new(worker, own, &view, stream.into()) {
            Ok(connection) => {
                self.enter(&connection);
                tokio::task::spawn_local(connection.serve());
                self.unpark(worker, id);
            }
            Err(cause) => {
                report(worker.server, id, &End::Broken(cause));
                self.forget(worker, id);
            }
        }
    }

    /// A connection came without its descriptor: this process has no room for one more.
    fn lost(&self, worker: &'static Worker, id: ConnectionId, from: Keeper) {
        tracing::error!("a connection is closed: no descriptor is left for it; raise open_files_limit");
        let connections = &worker.server.exchange.connections;
        let mine = keeper_of(worker).is_some_and(|me| from == me || connections.move_to(id, from, me));
        if mine {
            report(worker.server, id, &End::WorkerEnded);
            self.forget(worker, id);
        }
    }

    /// Sends what waited for `id`.
    fn unpark(&self, worker: &'static Worker, id: ConnectionId) {
        let mut parked = self.parked.borrow_mut();
        let (due, rest) = parked.drain(..).partition::<Vec<_>, _>(|message| message.flow.connection == id);
        *parked = rest;
        drop(parked);
        due.into_iter().for_each(|message| self.send_parked(worker, message));
    }

    /// Reads one letter of this worker's mailbox.
    pub(crate) fn read(&self, worker: &'static Worker, bytes: &[u8], enclosed: Option<OwnedFd>) {
        match Letter::read(bytes) {
            Some(Letter::Adopt { id, from }) => match enclosed {
                Some(stream) => self.adopt(worker, id, from, stream),
                None => self.lost(worker, id, from),
            },
            Some(Letter::Send { flow, ticket, host, wish, bytes }) => {
                self.send(worker, &Envelope { flow, wish: Some(&wish), host, ticket }, bytes.to_vec());
            }
            Some(Letter::Open { id, ticket, host, wish, bytes }) => {
                self.begin_adopted(worker, id, Errand::new(host, wish, bytes.to_vec(), ticket));
            }
            Some(Letter::Announce) => self.announce(worker),
            Some(Letter::Keep { id, seconds }) => self.keep(worker, id, seconds),
            Some(_) | None => tracing::error!("a letter that is not for a TCP worker was dropped"),
        }
    }

    /// Opens a connection that another process asked for; it may have been asked of this one's predecessor.
    fn begin_adopted(&self, worker: &'static Worker, id: ConnectionId, errand: Errand) {
        let connections = &worker.server.exchange.connections;
        let mine = keeper_of(worker)
            .zip(connections.view(id))
            .is_some_and(|(me, view)| view.keeper == me || connections.move_to(id, view.keeper, me));
        if mine {
            self.begin(worker, id, errand);
        } else {
            self.all_failed(worker, errand);
        }
    }

    /// Gives TCP main a duplicate of each connection that can outlive this process.
    fn announce(&self, worker: &'static Worker) {
        self.owed.replace(self.kept.borrow().keys().copied().collect());
        self.pay(worker);
    }

    /// TCP main is to have a duplicate of `id`.
    pub(super) fn owe(&self, worker: &'static Worker, id: ConnectionId) {
        self.owed.borrow_mut().push(id);
        self.pay(worker);
    }

    /// Posts duplicates that are owed, as many as fit into the mailbox.
    fn pay(&self, worker: &'static Worker) {
        while let Some(id) = { self.owed.borrow_mut().pop() } {
            let Some(Kept::Open(connection)) = self.kept(id) else { continue };
            let duplicate = (!connection.protocol.is_secure()).then(|| connection.stream.as_fd());
            let mut letter = Vec::new();
            Letter::Opened { id }.write(&mut letter);
            if worker.server.exchange.main.post(&[&letter], duplicate).is_err() {
                self.owed.borrow_mut().push(id);
                break;
            }
        }
    }

    /// Ends connections that were given to this process and never came: whoever gave them died over it.
    fn give_up_missed(&self, worker: &'static Worker) {
        let connections = &worker.server.exchange.connections;
        let Some(me) = keeper_of(worker).filter(|_| !self.is_leaving.get()) else { return };
        let is_kept = |id| self.kept.borrow().contains_key(&id);
        let absent: HashSet<_> = connections
            .all()
            .filter(|view| view.keeper == me && !is_kept(view.id))
            .map(|view| view.id)
            .collect();
        let before = self.missed.replace(absent);
        for id in before {
            if self.missed.borrow_mut().remove(&id) {
                report(worker.server, id, &End::WorkerEnded);
                self.forget(worker, id);
            }
        }
    }

    /// Lets a connection live `seconds`, whatever happens on it: a phone is registered over it.
    pub fn keep(&self, worker: &'static Worker, id: ConnectionId, seconds: u32) {
        let Some(view) = worker.server.exchange.connections.view(id) else { return };
        if keeper_of(worker).is_none_or(|me| me.index != view.keeper.index) {
            return self.to_worker(worker, view.keeper.index, &Letter::Keep { id, seconds }, None);
        }
        match self.kept(id) {
            Some(Kept::Open(connection)) => connection.keep(seconds),
            // It is on its way here, and brings along what its row says.
            _ => {
                if let Some(own) = worker.server.exchange.connections.own(id) {
                    own.idle_until(now_ms() + u64::from(seconds) * 1000);
                }
            }
        }
    }

    /// What TLS agreed on for a connection of this process.
    pub fn facts(&self, id: ConnectionId) -> Option<Rc<Facts>> {
        match self.kept(id)? {
            Kept::Open(connection) => connection.facts(),
            Kept::Outgoing(_) => None,
        }
    }

    /// When a connection of this process may carry requests back to another port.
    pub(super) fn alias_mode(&self, id: ConnectionId) -> Option<AliasMode> {
        match self.kept.borrow().get(&id)? {
            Kept::Open(connection) => Some(connection.profile.aliases),
            Kept::Outgoing(_) => None,
        }
    }

    /// Connections of this process.
    pub fn len(&self) -> usize {
        self.kept.borrow().len()
    }

    /// Whether this process keeps no connection.
    pub fn is_empty(&self) -> bool {
        self.kept.borrow().is_empty()
    }

    /// Puts `connection` among those that this process keeps.
    pub(super) fn enter(&self, connection: &Rc<Connection>) {
        self.kept.borrow_mut().insert(connection.id(), Kept::Open(Rc::clone(connection)));
    }

    /// An opening is over, one way or the other.
    pub(super) fn opened(&self, opening: &Outgoing) {
        self.kept.borrow_mut().remove(&opening.id);
    }

    /// `connection` has something to write at the next flush.
    pub(super) fn list(&self, connection: &Connection) {
        if connection.enlist() {
            self.listed.borrow_mut().push(connection.id());
        }
    }

    /// Writes what is listed.
    pub(crate) fn flush(&self) {
        while let Some(id) = { self.listed.borrow_mut().pop() } {
            if let Some(Kept::Open(connection)) = self.kept(id) {
                connection.write_out();
            }
        }
    }

    /// A connection of this process has ended, and that was told.
    pub(super) fn ended(&self, worker: &'static Worker, connection: &Connection) {
        self.forget(worker, connection.id());
        let output = connection.output.take();
        for ticket in output.into_unsent() {
            self.failed(worker, Some(ticket));
        }
    }

    /// Takes a connection that has ended out, here and at TCP main.
    pub(super) fn forget(&self, worker: &'static Worker, id: ConnectionId) {
        self.kept.borrow_mut().remove(&id);
        self.to_main(worker, &Letter::Ended { id });
    }

    /// Another worker is to go on with `connection`.
    pub(super) fn leave(&self, worker: &'static Worker, connection: &Connection) {
        self.kept.borrow_mut().remove(&connection.id());
        self.to_main(worker, &Letter::Released { id: connection.id() });
    }

    /// Lets others go on with the connections that they can go on with now; takes no new ones.
    pub(crate) fn let_go(&self) {
        self.is_leaving.set(true);
        for kept in self.kept.borrow().values() {
            if let Kept::Open(connection) = kept {
                connection.move_on();
            }
        }
    }

    /// Gives up every connection: movable ones go to other workers, the others end.
    pub(crate) fn hand_over(&self) {
        self.is_leaving.set(true);
        let all: Vec<_> = self.kept.borrow().keys().copied().collect();
        for id in all {
            if let Some(Kept::Open(connection)) = self.kept(id) {
                connection.hand_over();
            }
        }
    }

    /// Tells whoever waits for the messages of an errand that they could not be sent.
    pub(super) fn all_failed(&self, worker: &'static Worker, errand: Errand) {
        for (_, ticket) in errand.messages {
            self.failed(worker, ticket);
        }
    }

    /// Tells whoever waits for a message that it could not be sent.
    pub(super) fn failed(&self, worker: &'static Worker, ticket: Option<Ticket>) {
        let Some((ticket, layer)) = ticket.zip(worker.server.transactions.clone()) else { return };
        // Not here and now: the caller may be in the middle of that transaction.
        worker.spawn(async move { layer.send_failed(worker, ticket) });
    }

    /// Posts a letter to TCP main.
    pub(crate) fn to_main(&self, worker: &'static Worker, letter: &Letter<'_>) {
        self.to_worker(worker, TO_MAIN, letter, None);
    }

    fn to_worker(&self, worker: &'static Worker, index: u16, letter: &Letter<'_>, ticket: Option<Ticket>) {
        // The other process may be faster than this one: what was to be said before is said before.
        worker.flush_datagrams();
        let mut bytes = Vec::new();
        letter.write(&mut bytes);
        let Some(mailbox) = mailbox(worker, index) else { return self.failed(worker, ticket) };
        if self.unposted.borrow().iter().any(|waiting| waiting.index == index) {
            // Letters keep their order.
            return self.keep_letter(worker, index, bytes, ticket);
        }
        match mailbox.post(&[&bytes], None) {
            Ok(()) => {}
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => {
                self.keep_letter(worker, index, bytes, ticket);
            }
            Err(cause) => {
                tracing::error!("{} gets no letter: {cause}", reader_of(index));
                self.failed(worker, ticket);
            }
        }
    }

    /// Keeps a letter until its mailbox has room.
    fn keep_letter(&self, worker: &'static Worker, index: u16, letter: Vec<u8>, ticket: Option<Ticket>) {
        if self.unposted_bytes.get() + letter.len() > UNPOSTED_BYTES {
            tracing::error!("{} does not read its letters: one is given up", reader_of(index));
            return self.failed(worker, ticket);
        }
        self.unposted_bytes.set(self.unposted_bytes.get() + letter.len());
        let first = self.unposted.borrow().is_empty();
        self.unposted.borrow_mut().push_back(Unposted { index, letter, ticket });
        if first {
            worker.spawn(async move {
                while worker.streams.post_again(worker) {
                    tokio::time::sleep(POST_AGAIN).await;
                }
            });
        }
    }

    /// Posts letters that were kept. `true` when some are left.
    fn post_again(&self, worker: &'static Worker) -> bool {
        let count = self.unposted.borrow().len();
        let mut full: smallvec::SmallVec<[u16; 4]> = smallvec::SmallVec::new();
        for _ in 0..count {
            let Some(waiting) = self.unposted.borrow_mut().pop_front() else { break };
            if full.contains(&waiting.index) {
                self.unposted.borrow_mut().push_back(waiting);
                continue;
            }
            let posted = mailbox(worker, waiting.index).map(|mailbox| mailbox.post(&[&waiting.letter], None));
            if let Some(Err(cause)) = &posted
                && cause.kind() == ErrorKind::WouldBlock
            {
                full.push(waiting.index);
                self.unposted.borrow_mut().push_back(waiting);
            } else {
                self.unposted_bytes.set(self.unposted_bytes.get() - waiting.letter.len());
                if !matches!(posted, Some(Ok(()))) {
                    self.failed(worker, waiting.ticket);
                }
            }
        }
        !self.unposted.borrow().is_empty()
    }

    /// Once a second: connections that never came are given up, and messages that wait for them go another way.
    pub(crate) fn tick(&self, worker: &'static Worker) {
        self.give_up_missed(worker);
        self.pay(worker);
        let late = now_ms().saturating_sub(PARKED_MOST_MS);
        let mut parked = self.parked.borrow_mut();
        for message in parked.extract_if(.., |message| message.since < late) {
            self.failed(worker, message.ticket);
        }
        let is_lost = |message: &Parked| {
            let view = worker.server.exchange.connections.view(message.flow.connection);
            view.is_none_or(|view| view.is_ending())
        };
        let lost: Vec<_> = parked.extract_if(.., |message| is_lost(message)).collect();
        drop(parked);
        // What they waited for never came: another connection takes them.
        lost.into_iter().for_each(|message| self.send_parked(worker, message));
    }
}

/// The index that means TCP main.
const TO_MAIN: u16 = u16::MAX;

/// Whose mailbox it is, for people.
fn reader_of(index: u16) -> String {
    if index == TO_MAIN { "TCP main".to_owned() } else { format!("TCP worker {index}") }
}

fn mailbox(worker: &'static Worker, index: u16) -> Option<&'static Mailbox> {
    let exchange = &worker.server.exchange;
    if index == TO_MAIN { Some(&exchange.main) } else { exchange.workers.get(usize::from(index)) }
}

/// In which guise a connection to `hop` would be opened for `envelope`, where that is to be told apart.
fn guise(worker: &Worker, hop: &Hop, envelope: &Envelope<'_>) -> Guise {
    let matters = hop.protocol.is_secure() && worker.server.streams[hop.protocol].match_certificate;
    let Some(security) = worker.server.security.as_ref().filter(|_| matters) else { return Guise::NONE };
    let host = Some(envelope.host).filter(|host| !host.is_empty());
    let none = Wish::default();
    security.guise(worker.server, hop.to, envelope.wish.unwrap_or(&none), host)
}

/// This process as a keeper, if it is a TCP worker.
pub(crate) fn keeper_of(worker: &Worker) -> Option<Keeper> {
    let member = worker.member;
    (worker.server.plan.groups[member.group].kind == Kind::Tcp)
        .then_some(Keeper { index: member.index as u16, generation: member.generation })
}

/// A TCP worker to open a connection to `hop`: the same for each process that asks, while it lives.
fn some_worker(worker: &Worker, hop: &Hop) -> Option<Keeper> {
    let server = worker.server;
    let count = server.exchange.workers.len();
    let start = server.keyed_hash(&[hop.to_string().as_bytes()]) as usize;
    (0..count).find_map(|i| server.exchange.keeper(server.table, ((start + i) % count) as u16))
}
