//! The streams of one process: the connections that it keeps, and the way to those of others.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use tocsin_net::Hop;
use tocsin_net::connections::{Claim, ConnectionId, Guise, Keeper, View, marks};
use tocsin_net::tls::Facts;
use tocsin_process::Kind;

use super::connection::{Connection, profile_for};
use super::end::{End, report};
use super::exchange::Exchange;
use super::letter::Letter;
use super::lingering::Lingering;
use super::opening::{Errand, Outgoing};
use super::parking::{Parked, Parking};
use super::post_office::{Addressee, Mail, POST_AGAIN, PostOffice, Posted};
use crate::flow::{Envelope, Flow, Ticket};
use crate::security::Wish;
use crate::tcp_profile::AliasMode;
use crate::tcp_profile::Opening::Opened;
use crate::time::now_ms;
use crate::worker::Worker;

/// Looks, one each second, after which a connection that never came is given up.
const LOOKS_MOST: u32 = 2;
/// The same in a process that leaves: what it let go is its own until TCP main has found somebody.
const LOOKS_MOST_LEAVING: u32 = 30;

/// A connection that this process keeps.
#[derive(Debug)]
enum Kept {
    /// Open, or in its handshakes.
    Open(Rc<Connection>),
    /// Not connected yet.
    Outgoing(Rc<Outgoing>),
}

/// The streams of one process.
#[derive(Debug, Default)]
pub struct Switchboard {
    kept: RefCell<HashMap<ConnectionId, Kept>>,
    /// Those with something to write.
    listed: RefCell<Vec<ConnectionId>>,
    parking: Parking,
    /// Connections that are this process's and were not here when it looked, and how often that was so.
    missed: RefCell<HashMap<ConnectionId, u32>>,
    /// All letters were read since the last look.
    has_read_all: Cell<bool>,
    /// This process ends: what it keeps goes to others.
    is_leaving: Cell<bool>,
    /// Those that have ended and are not closed yet.
    pub(super) lingering: Lingering,
    post_office: PostOffice,
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
        let flow = Flow { connection: view.id, ..envelope.flow };
        if !is_of_this_place(worker, view) {
            let wish = envelope.wish.cloned().unwrap_or_default();
            let letter = Letter::Send { flow, ticket, host: envelope.host, wish, bytes: &bytes };
            self.to_worker(worker, view.keeper.index, &letter, ticket);
            return;
        }
        match self.kept(view.id) {
            Some(kept) => self.push(worker, &kept, bytes, ticket),
            // What a predecessor in this place kept comes here, as soon as TCP main brings it.
            None => {
                let (host, wish) = (envelope.host.to_owned(), envelope.wish.cloned());
                let noted = ticket.map(|ticket| worker.server.exchange.ledger.note(ticket));
                let message = Parked { since: now_ms(), flow, host, wish, noted, bytes };
                if let Err(ticket) = self.parking.enter(message) {
                    self.failed(worker, ticket);
                }
            }
        }
    }

    fn push(&self, worker: &'static Worker, kept: &Kept, bytes: Vec<u8>, ticket: Option<Ticket>) {
        match kept {
            Kept::Open(connection) => connection.push(bytes, ticket),
            Kept::Outgoing(opening) => {
                if let Err(ticket) = opening.push(bytes, ticket) {
                    self.failed(worker, ticket);
                }
            }
        }
    }

    fn send_parked(&self, worker: &'static Worker, message: Parked) {
        let ticket = message.ticket();
        let Parked { flow, host, wish, bytes, noted, .. } = message;
        self.send(worker, &Envelope { flow, wish: wish.as_ref(), host: &host, ticket }, bytes);
        drop(noted);
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
        let opening = Rc::new(Outgoing::new(worker.server.exchange.ledger, id, most, errand));
        self.kept.borrow_mut().insert(id, Kept::Outgoing(Rc::clone(&opening)));
        let task = tokio::task::spawn_local(Rc::clone(&opening).run(worker, own, view));
        opening.runs_as(task.abort_handle());
        self.unpark(worker, id);
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
        let due = self.parking.leave(id);
        due.into_iter().for_each(|message| self.send_parked(worker, message));
    }

    /// Sends what waited for connections that do not come here any more: over those they have become, or others.
    pub(crate) fn unpark_lost(&self, worker: &'static Worker) {
        let connections = &worker.server.exchange.connections;
        let lost = self.parking.leave_lost(|id| {
            connections.view(id).is_none_or(|view| view.is_ending() || !is_of_this_place(worker, &view))
        });
        lost.into_iter().for_each(|message| self.send_parked(worker, message));
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
        if let Some(kept) = self.kept(id) {
            // The first message of several that a predecessor left opens it.
            return errand
                .messages
                .into_iter()
                .for_each(|(bytes, ticket)| self.push(worker, &kept, bytes, ticket));
        }
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
        let open: Vec<_> = self.kept.borrow().values().filter_map(Kept::open).collect();
        open.iter().for_each(|connection| self.opened_at_main(worker, connection));
    }

    /// TCP main is to know of `connection`, and to have a duplicate if it can outlive this process.
    pub(super) fn opened_at_main(&self, worker: &'static Worker, connection: &Rc<Connection>) {
        let letter = Letter::Opened { id: connection.id() };
        if connection.protocol.is_secure() {
            self.to_main(worker, &letter);
        } else {
            self.to_main_with(worker, &letter, connection);
        }
    }

    /// Ends connections that were given to this process and never came: whoever gave them died over it.
    fn give_up_missed(&self, worker: &'static Worker) {
        let connections = &worker.server.exchange.connections;
        let Some(me) = keeper_of(worker) else { return };
        // Only who has read every letter knows that one never came.
        let is_read = || {
            let mailbox = worker.server.exchange.workers.get(usize::from(me.index));
            mailbox.is_some_and(|mailbox| matches!(mailbox.is_empty(), Ok(true)))
        };
        if !self.has_read_all.take() && !is_read() {
            return;
        }
        let most = if self.is_leaving.get() { LOOKS_MOST_LEAVING } else { LOOKS_MOST };
        let is_kept = |id| self.kept.borrow().contains_key(&id);
        let before = self.missed.take();
        for view in connections.all().filter(|view| view.keeper == me && !is_kept(view.id)) {
            let looks = before.get(&view.id).map_or(1, |looks| looks + 1);
            if looks < most {
                self.missed.borrow_mut().insert(view.id, looks);
            } else {
                report(worker.server, view.id, &End::WorkerEnded);
                self.forget(worker, view.id);
            }
        }
    }

    /// The mailbox was read to its end.
    pub(crate) fn note_all_read(&self) {
        self.has_read_all.set(true);
    }

    /// Lets a connection live `seconds`, whatever happens on it: a phone is registered over it.
    pub fn keep(&self, worker: &'static Worker, id: ConnectionId, seconds: u32) {
        let Some(view) = worker.server.exchange.connections.view(id) else { return };
        if keeper_of(worker).is_none_or(|me| me.index != view.keeper.index) {
            self.to_worker(worker, view.keeper.index, &Letter::Keep { id, seconds }, None);
            return;
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
    pub(super) fn leave(&self, worker: &'static Worker, connection: &Rc<Connection>) {
        self.kept.borrow_mut().remove(&connection.id());
        // Enclosed, for TCP main may begin anew and have no duplicate before it reads this.
        self.to_main_with(worker, &Letter::Released { id: connection.id() }, connection);
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

    /// Gives up every connection: movable ones go to other workers, the others end; `soon`, not at once, those that only
    /// have something to write.
    pub(crate) fn hand_over(&self, soon: bool) {
        self.is_leaving.set(true);
        let all: Vec<_> = self.kept.borrow().keys().copied().collect();
        for id in all {
            if let Some(Kept::Open(connection)) = self.kept(id) {
                connection.hand_over(soon);
            }
        }
    }

    /// Leaves what waits for connections that are not open, or not here yet, to the successor.
    pub(crate) fn bequeath(&self, worker: &'static Worker) {
        let Some(me) = keeper_of(worker) else { return };
        let openings: Vec<_> = self.kept.borrow().values().filter_map(Kept::outgoing).collect();
        for opening in openings {
            self.opened(&opening);
            let (id, errand) = (opening.id, opening.give_up());
            for (bytes, ticket) in errand.messages {
                let (host, wish) = (errand.host.as_str(), errand.wish.clone());
                self.to_worker(
                    worker,
                    me.index,
                    &Letter::Open { id, ticket, host, wish, bytes: &bytes },
                    ticket,
                );
            }
        }
        for message in self.parking.leave_lost(|_| true) {
            let ticket = message.ticket();
            let Parked { flow, host, wish, bytes, .. } = &message;
            let wish = wish.clone().unwrap_or_default();
            self.to_worker(
                worker,
                me.index,
                &Letter::Send { flow: *flow, ticket, host, wish, bytes },
                ticket,
            );
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

    /// Tells whoever waits for messages that lay in the memory of processes that died.
    pub(crate) fn tell_orphans(&self, worker: &'static Worker) {
        let server = worker.server;
        let Some(layer) = server.transactions.clone() else { return };
        for noted in server.exchange.ledger.take_orphans(|pid| Exchange::runs(server.table, pid)) {
            let layer = layer.clone();
            worker.spawn(async move { layer.send_failed(worker, noted.ticket()) });
        }
    }

    /// Posts a letter to TCP main.
    pub(crate) fn to_main(&self, worker: &'static Worker, letter: &Letter<'_>) {
        self.post(worker, Addressee::Main, letter, None, None);
    }

    fn to_main_with(&self, worker: &'static Worker, letter: &Letter<'_>, connection: &Rc<Connection>) {
        self.post(worker, Addressee::Main, letter, Some(Rc::clone(connection) as _), None);
    }

    fn to_worker(&self, worker: &'static Worker, index: u16, letter: &Letter<'_>, ticket: Option<Ticket>) {
        self.post(worker, Addressee::Worker(index), letter, None, ticket);
    }

    /// Posts a letter, at once or as soon as its mailbox has room. `false` when it was given up; `ticket` knows then.
    pub(crate) fn post(
        &self,
        worker: &'static Worker,
        to: Addressee,
        letter: &Letter<'_>,
        enclosed: Option<Rc<dyn AsFd>>,
        ticket: Option<Ticket>,
    ) -> bool {
        let mut bytes = Vec::new();
        letter.write(&mut bytes);
        self.post_mail(worker, to, Mail::new(bytes, enclosed, ticket))
    }

    /// As [`Self::post`], with a letter that is written already.
    pub(crate) fn post_mail(&self, worker: &'static Worker, to: Addressee, mail: Mail) -> bool {
        // The other process may be faster than this one: what was to be said before is said before.
        worker.flush_datagrams();
        let ticket = mail.ticket;
        match self.post_office.post(&worker.server.exchange, to, mail) {
            Posted::Done | Posted::Kept { first: false } => true,
            Posted::Kept { first: true } => {
                worker.spawn(async move { worker.streams.post_again(worker).await });
                true
            }
            Posted::Refused => {
                self.failed(worker, ticket);
                false
            }
        }
    }

    /// Posts letters that were kept, until none are.
    async fn post_again(&self, worker: &'static Worker) {
        while !self.post_office.is_empty() {
            tokio::time::sleep(POST_AGAIN).await;
            for ticket in self.post_office.post_again(&worker.server.exchange) {
                self.failed(worker, Some(ticket));
            }
        }
    }

    /// Letters of this process that wait for the mailbox of the worker `index`.
    pub(crate) fn waiting_for(&self, index: u16) -> usize {
        self.post_office.waiting_for(Addressee::Worker(index))
    }

    /// Once a second: connections that never came are given up, and messages that wait for them go another way.
    pub(crate) fn tick(&self, worker: &'static Worker) {
        self.give_up_missed(worker);
        for message in self.parking.leave_late(now_ms()) {
            self.failed(worker, message.ticket());
        }
        self.unpark_lost(worker);
        self.tell_orphans(worker);
    }
}

impl Kept {
    fn open(&self) -> Option<Rc<Connection>> {
        match self {
            Self::Open(connection) => Some(Rc::clone(connection)),
            Self::Outgoing(_) => None,
        }
    }

    fn outgoing(&self) -> Option<Rc<Outgoing>> {
        match self {
            Self::Open(_) => None,
            Self::Outgoing(opening) => Some(Rc::clone(opening)),
        }
    }
}

/// Whether the connection is for whoever is in this process's place.
fn is_of_this_place(worker: &Worker, view: &View) -> bool {
    keeper_of(worker).is_some_and(|me| me.index == view.keeper.index)
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
