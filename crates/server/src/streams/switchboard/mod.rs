//! The streams of one process: the connections that it keeps, and the way to those of others.

mod holding;
mod leaving;
mod sending;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use tocsin_net::connections::{ConnectionId, Keeper, View};
use tocsin_net::tls::Facts;
use tocsin_process::Kind;

use super::connection::Connection;
use super::end::{End, report};
use super::exchange::Exchange;
use super::letter::Letter;
use super::lingering::Lingering;
use super::opening::{Errand, Outgoing};
use super::parking::Parking;
use super::post_office::{Addressee, Mail, POST_AGAIN, PostOffice, Posted};
use crate::flow::{Envelope, Ticket};
use crate::tcp_profile::AliasMode;
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
    /// Duplicates of connections that other workers serve.
    held: RefCell<HashMap<ConnectionId, Rc<OwnedFd>>>,
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
    fn kept(&self, id: ConnectionId) -> Option<Kept> {
        match self.kept.borrow().get(&id)? {
            Kept::Open(connection) => Some(Kept::Open(Rc::clone(connection))),
            Kept::Outgoing(opening) => Some(Kept::Outgoing(Rc::clone(opening))),
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
            Some(Letter::Send { ticket, .. } | Letter::Open { ticket, .. })
                if Self::left_before(worker, ticket) => {}
            Some(Letter::Send { flow, ticket, host, wish, bytes }) => {
                self.send(worker, &Envelope { flow, wish: Some(&wish), host, ticket }, bytes.to_vec());
            }
            Some(Letter::Open { id, ticket, host, wish, bytes }) => {
                self.begin_adopted(worker, id, Errand::new(host, wish, bytes.to_vec(), ticket));
            }
            Some(Letter::Announce) => {
                self.announce(worker);
                self.announce_held(worker);
            }
            Some(Letter::Hold { id }) => self.hold(id, enclosed),
            Some(Letter::Keep { id, seconds }) => self.keep(worker, id, seconds),
            Some(_) | None => tracing::error!("a letter that is not for a TCP worker was dropped"),
        }
    }

    /// Whether the request of a letter has left already: a predecessor died before it took the letter out, or the sender
    /// died and its successor posted the request again.
    fn left_before(worker: &'static Worker, ticket: Option<Ticket>) -> bool {
        let layer = worker.server.transactions.as_ref();
        ticket.zip(layer).is_some_and(|(ticket, layer)| layer.has_left(worker, ticket))
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
        self.held.borrow_mut().remove(&connection.id());
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
        Letter::set_number(&mut bytes, worker.server.exchange.letters.number());
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
        self.drop_ended(worker);
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

/// This process as a keeper, if it is a TCP worker.
pub(crate) fn keeper_of(worker: &Worker) -> Option<Keeper> {
    let member = worker.member;
    (worker.server.plan.groups[member.group].kind == Kind::Tcp)
        .then_some(Keeper { index: member.index as u16, generation: member.generation })
}
