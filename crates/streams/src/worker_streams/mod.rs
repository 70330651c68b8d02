//! The streams of one process: the connections that it keeps, and the way to those of others.

mod holding;
mod leaving;
mod sending;
mod serving;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use tocsin_net::connections::{ConnectionId, OwnerId, View};
use tocsin_net::tls::Facts;

use crate::connecting::{Connecting, PendingConnect};
use crate::connection::Connection;
use crate::control::ControlMessage;
use crate::end::End;
use crate::flow::{BranchRef, Envelope};
use crate::local::Local;
use crate::network::Network;
use crate::owner::Owner;
use crate::parking::Parking;
use crate::send_queue::{Destination, POST_AGAIN, Posted, QueuedMessage, SendQueue};
use crate::shared::SharedConnections;
use crate::tcp_profile::AliasMode;
use tocsin_telemetry::time::now_ms;

/// Looks, one each second, after which a connection that never came is given up.
const MAX_LOOKS: u32 = 2;
/// The same in a process that leaves: what it let go is its own until TCP main has found somebody.
const LOOKS_MOST_LEAVING: u32 = 30;

/// A connection that this process keeps.
#[derive(Debug)]
enum Kept {
    /// Open, or in its handshakes.
    Open(Rc<Connection>),
    /// Not connected yet.
    Connecting(Rc<Connecting>),
}

/// The streams of one process.
pub struct WorkerStreams {
    /// What its connections share.
    local: Local,
    /// What it is as a owner, if it is a TCP worker.
    me: Option<OwnerId>,
    kept: RefCell<HashMap<ConnectionId, Kept>>,
    /// Duplicates of connections that other workers serve.
    held: RefCell<HashMap<ConnectionId, Rc<OwnedFd>>>,
    parking: Parking,
    /// Connections that are this process's and were not here when it looked, and how often that was so.
    missed: RefCell<HashMap<ConnectionId, u32>>,
    /// All messages were read since the last look.
    has_read_all: Cell<bool>,
    /// This process ends: what it keeps goes to others.
    is_leaving: Cell<bool>,
    send_queue: SendQueue,
}

impl std::fmt::Debug for WorkerStreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerStreams")
            .field("me", &self.me)
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

impl WorkerStreams {
    /// The connections of the process `owner`; `me`: what it is as a owner, if it is a TCP worker.
    pub fn new(network: &'static Network, owner: &'static dyn Owner, me: Option<OwnerId>) -> Self {
        Self {
            local: Local::new(network, owner),
            me,
            kept: RefCell::default(),
            held: RefCell::default(),
            parking: Parking::default(),
            missed: RefCell::default(),
            has_read_all: Cell::new(false),
            is_leaving: Cell::new(false),
            send_queue: SendQueue::default(),
        }
    }

    /// Whether the connection belongs to the process in this process's place.
    fn is_of_this_place(&self, view: &View) -> bool {
        self.me.is_some_and(|me| me.index == view.owner.index)
    }

    fn kept(&self, id: ConnectionId) -> Option<Kept> {
        match self.kept.borrow().get(&id)? {
            Kept::Open(connection) => Some(Kept::Open(Rc::clone(connection))),
            Kept::Connecting(opening) => Some(Kept::Connecting(Rc::clone(opening))),
        }
    }

    /// Opens the connection `id` of this process.
    fn begin(&'static self, id: ConnectionId, pending_connect: PendingConnect) {
        let connections = &self.local.network.shared.connections;
        let Some((own, view)) = connections.own(id).zip(connections.view(id)) else {
            return self.all_failed(pending_connect);
        };
        let most = self.local.network.options[view.protocol].max_postponed;
        let opening = Rc::new(Connecting::new(self.local.network.shared.pending, id, most, pending_connect));
        self.kept.borrow_mut().insert(id, Kept::Connecting(Rc::clone(&opening)));
        let task = tokio::task::spawn_local(self.open_and_serve(Rc::clone(&opening), own, view));
        opening.runs_as(task.abort_handle());
        self.unpark(id);
    }

    /// Serves a connection that was accepted, or that another process kept before.
    pub fn adopt(&'static self, id: ConnectionId, from: OwnerId, stream: OwnedFd) {
        let connections = &self.local.network.shared.connections;
        let Some(me) = self.me else { return };
        if self.kept.borrow().contains_key(&id) || (from != me && !connections.move_to(id, from, me)) {
            return;
        }
        let Some((own, view)) = connections.own(id).zip(connections.view(id)) else { return };
        match Connection::new(&self.local, own, &view, stream.into()) {
            Ok(connection) => {
                self.enter(&connection);
                tokio::task::spawn_local(self.serve(connection));
                self.unpark(id);
            }
            Err(cause) => {
                self.local.network.report(id, &End::Broken(cause));
                self.forget(id);
            }
        }
    }

    /// A connection came without its descriptor: this process has no room for one more.
    fn lost(&'static self, id: ConnectionId, from: OwnerId) {
        tracing::error!("a connection is closed: no descriptor is left for it; raise open_files_limit");
        let connections = &self.local.network.shared.connections;
        let mine = self.me.is_some_and(|me| from == me || connections.move_to(id, from, me));
        if mine {
            self.local.network.report(id, &End::WorkerEnded);
            self.forget(id);
        }
    }

    /// Sends what waited for `id`.
    fn unpark(&'static self, id: ConnectionId) {
        let due = self.parking.leave(id);
        due.into_iter().for_each(|message| self.send_parked(message));
    }

    /// Sends what waited for connections that do not come here any more: over those they have become, or others.
    pub fn unpark_lost(&'static self) {
        let connections = &self.local.network.shared.connections;
        let lost = self.parking.leave_lost(|id| {
            connections.view(id).is_none_or(|view| view.is_ending() || !self.is_of_this_place(&view))
        });
        lost.into_iter().for_each(|message| self.send_parked(message));
    }

    /// Reads one message of this worker's mailbox.
    pub fn read(&'static self, bytes: &[u8], enclosed: Option<OwnedFd>) {
        match ControlMessage::read(bytes) {
            Some(ControlMessage::Adopt { id, from }) => match enclosed {
                Some(stream) => self.adopt(id, from, stream),
                None => self.lost(id, from),
            },
            Some(ControlMessage::Send { branch_ref, .. } | ControlMessage::Open { branch_ref, .. })
                if self.left_before(branch_ref) => {}
            Some(ControlMessage::Send { flow, branch_ref, host, tls_selection, bytes }) => {
                self.send(
                    &Envelope { flow, tls_selection: Some(&tls_selection), host, branch_ref },
                    bytes.to_vec(),
                );
            }
            Some(ControlMessage::Open { id, branch_ref, host, tls_selection, bytes }) => {
                self.begin_adopted(id, PendingConnect::new(host, tls_selection, bytes.to_vec(), branch_ref));
            }
            Some(ControlMessage::Announce) => {
                self.announce();
                self.announce_held();
            }
            Some(ControlMessage::Hold { id }) => self.hold(id, enclosed),
            Some(ControlMessage::Keep { id, seconds }) => self.keep(id, seconds),
            Some(_) | None => tracing::error!("a message that is not for a TCP worker was dropped"),
        }
    }

    /// Whether the request of a message has left already: a predecessor died before it took the message out, or the sender
    /// died and its successor posted the request again.
    fn left_before(&'static self, branch_ref: Option<BranchRef>) -> bool {
        branch_ref.is_some_and(|branch_ref| self.local.owner.has_left(branch_ref))
    }

    /// Opens a connection that another process asked for; it may have been asked of this one's predecessor.
    fn begin_adopted(&'static self, id: ConnectionId, pending_connect: PendingConnect) {
        if let Some(kept) = self.kept(id) {
            // The first message of several that a predecessor left opens it.
            return pending_connect
                .messages
                .into_iter()
                .for_each(|(bytes, branch_ref)| self.push(&kept, bytes, branch_ref));
        }
        let connections = &self.local.network.shared.connections;
        let mine = self
            .me
            .zip(connections.view(id))
            .is_some_and(|(me, view)| view.owner == me || connections.move_to(id, view.owner, me));
        if mine {
            self.begin(id, pending_connect);
        } else {
            self.all_failed(pending_connect);
        }
    }

    /// Gives TCP main a duplicate of each connection that can outlive this process.
    fn announce(&'static self) {
        let open: Vec<_> = self.kept.borrow().values().filter_map(Kept::open).collect();
        open.iter().for_each(|connection| self.opened_at_main(connection));
    }

    /// TCP main is to know of `connection`, and to have a duplicate if it can outlive this process.
    pub(crate) fn opened_at_main(&'static self, connection: &Rc<Connection>) {
        let message = ControlMessage::Opened { id: connection.id() };
        if connection.protocol.is_secure() {
            self.to_main(&message);
        } else {
            self.to_main_with(&message, connection);
        }
    }

    /// Ends connections that were given to this process and never came: the process that gave them died over it.
    fn give_up_missed(&'static self) {
        let connections = &self.local.network.shared.connections;
        let Some(me) = self.me else { return };
        // Only a process that has read every message knows that one never came.
        let is_read = || {
            let mailbox = self.local.network.shared.workers.get(usize::from(me.index));
            mailbox.is_some_and(|mailbox| matches!(mailbox.is_empty(), Ok(true)))
        };
        if !self.has_read_all.take() && !is_read() {
            return;
        }
        let most = if self.is_leaving.get() { LOOKS_MOST_LEAVING } else { MAX_LOOKS };
        let is_kept = |id| self.kept.borrow().contains_key(&id);
        let before = self.missed.take();
        for view in connections.all().filter(|view| view.owner == me && !is_kept(view.id)) {
            let looks = before.get(&view.id).map_or(1, |looks| looks + 1);
            if looks < most {
                self.missed.borrow_mut().insert(view.id, looks);
            } else {
                self.local.network.report(view.id, &End::WorkerEnded);
                self.forget(view.id);
            }
        }
    }

    /// The mailbox was read to its end.
    pub fn note_all_read(&self) {
        self.has_read_all.set(true);
    }

    /// Lets a connection live `seconds`, whatever happens on it: a phone is registered over it.
    pub fn keep(&'static self, id: ConnectionId, seconds: u32) {
        let Some(view) = self.local.network.shared.connections.view(id) else { return };
        if self.me.is_none_or(|me| me.index != view.owner.index) {
            self.to_worker(view.owner.index, &ControlMessage::Keep { id, seconds }, None);
            return;
        }
        match self.kept(id) {
            Some(Kept::Open(connection)) => connection.keep(seconds),
            // It is on its way here, and brings along what its row says.
            _ => {
                if let Some(own) = self.local.network.shared.connections.own(id) {
                    own.idle_until(now_ms() + u64::from(seconds) * 1000);
                }
            }
        }
    }

    /// What TLS agreed on for a connection of this process.
    pub fn facts(&self, id: ConnectionId) -> Option<Rc<Facts>> {
        match self.kept(id)? {
            Kept::Open(connection) => connection.facts(),
            Kept::Connecting(_) => None,
        }
    }

    /// When a connection of this process may carry requests back to another port.
    pub fn alias_mode(&self, id: ConnectionId) -> Option<AliasMode> {
        match self.kept.borrow().get(&id)? {
            Kept::Open(connection) => Some(connection.aliases),
            Kept::Connecting(_) => None,
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
    pub(crate) fn enter(&self, connection: &Rc<Connection>) {
        self.held.borrow_mut().remove(&connection.id());
        self.kept.borrow_mut().insert(connection.id(), Kept::Open(Rc::clone(connection)));
    }

    /// An opening is over, one way or the other.
    pub(crate) fn opened(&self, opening: &Connecting) {
        self.kept.borrow_mut().remove(&opening.id);
    }

    /// Writes what connections have to write.
    pub fn flush(&self) {
        while let Some(id) = self.local.take_dirty() {
            if let Some(Kept::Open(connection)) = self.kept(id) {
                connection.write_out();
            }
        }
    }

    /// A connection of this process has ended, and its end was reported.
    pub(crate) fn ended(&'static self, connection: &Connection) {
        self.forget(connection.id());
        for branch_ref in connection.take_unsent() {
            self.failed(Some(branch_ref));
        }
    }

    /// Takes a connection that has ended out, here and at TCP main.
    pub fn forget(&'static self, id: ConnectionId) {
        self.kept.borrow_mut().remove(&id);
        self.to_main(&ControlMessage::Ended { id });
    }

    /// The messages that waited for a connect could not be sent: their branches hear of it.
    pub(crate) fn all_failed(&'static self, pending_connect: PendingConnect) {
        for (_, branch_ref) in pending_connect.messages {
            self.failed(branch_ref);
        }
    }

    /// A message could not be sent: its branch hears of it.
    pub fn failed(&'static self, branch_ref: Option<BranchRef>) {
        branch_ref.into_iter().for_each(|branch_ref| self.local.owner.not_sent(branch_ref));
    }

    /// Messages that lay in the memory of dead processes were not sent: their branches hear of it.
    pub fn report_orphans(&'static self) {
        for guard in self
            .local
            .network
            .shared
            .pending
            .take_orphans(|pid| SharedConnections::runs(self.local.network.table, pid))
        {
            self.local.owner.not_sent(guard.branch_ref());
        }
    }

    /// Posts a message to TCP main.
    pub fn to_main(&'static self, message: &ControlMessage<'_>) {
        self.post(Destination::Main, message, None, None);
    }

    fn to_main_with(&'static self, message: &ControlMessage<'_>, connection: &Rc<Connection>) {
        self.post(Destination::Main, message, Some(Rc::clone(connection) as _), None);
    }

    fn to_worker(&'static self, index: u16, message: &ControlMessage<'_>, branch_ref: Option<BranchRef>) {
        self.post(Destination::Worker(index), message, None, branch_ref);
    }

    /// Posts a message, at once or as soon as its mailbox has room. `false` when it was given up; the branch hears of it then.
    pub fn post(
        &'static self,
        to: Destination,
        message: &ControlMessage<'_>,
        enclosed: Option<Rc<dyn AsFd>>,
        branch_ref: Option<BranchRef>,
    ) -> bool {
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        ControlMessage::set_number(&mut bytes, self.local.network.shared.messages.number());
        self.post_queued(to, QueuedMessage::new(bytes, enclosed, branch_ref))
    }

    /// As [`Self::post`], with a message that is written already.
    pub fn post_queued(&'static self, to: Destination, mail: QueuedMessage) -> bool {
        // The other process may be faster than this one: what was to be said before is said before.
        self.local.owner.flush_datagrams();
        let branch_ref = mail.branch_ref;
        match self.send_queue.post(&self.local.network.shared, to, mail) {
            Posted::Done | Posted::Kept { first: false } => true,
            Posted::Kept { first: true } => {
                self.local.owner.spawn(Box::pin(self.post_again()));
                true
            }
            Posted::Refused => {
                self.failed(branch_ref);
                false
            }
        }
    }

    /// Posts messages that were kept, until none are.
    async fn post_again(&'static self) {
        while !self.send_queue.is_empty() {
            tokio::time::sleep(POST_AGAIN).await;
            for branch_ref in self.send_queue.post_again(&self.local.network.shared) {
                self.failed(Some(branch_ref));
            }
        }
    }

    /// Messages of this process that wait for the mailbox of the worker `index`.
    pub fn waiting_for(&self, index: u16) -> usize {
        self.send_queue.waiting_for(Destination::Worker(index))
    }

    /// Once a second: connections that never came are given up, and messages that wait for them go another way.
    pub fn tick(&'static self) {
        self.give_up_missed();
        self.drop_ended();
        for message in self.parking.leave_late(now_ms()) {
            self.failed(message.branch_ref());
        }
        self.unpark_lost();
        self.report_orphans();
    }
}

impl Kept {
    fn open(&self) -> Option<Rc<Connection>> {
        match self {
            Self::Open(connection) => Some(Rc::clone(connection)),
            Self::Connecting(_) => None,
        }
    }

    fn connecting(&self) -> Option<Rc<Connecting>> {
        match self {
            Self::Open(_) => None,
            Self::Connecting(opening) => Some(Rc::clone(opening)),
        }
    }
}
