//! TCP main: accepts connections, gives each to a worker, and keeps a duplicate of those that can outlive their worker.
//! It parses nothing.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::{Rc, Weak};
use std::time::Duration;

use tocsin_net::connections::{Claim, ConnectionId, OwnerId, TlsIdentity, View, marks};
use tocsin_net::{MAX_MAILBOX_MESSAGE_BYTES, Mailbox, Watch};
use tocsin_process::Termination;

use super::tcp_source::Source;
use super::{Stop, running};
use crate::sockets::Listener;
use crate::tcp_profile::Opening;
use crate::time::now_ms;
use crate::worker::Worker;
use tocsin_streams::{ControlMessage, Destination, End, QueuedMessage, SharedConnections};

/// Connections accepted from one listener before the others get their turn.
const ACCEPTS_IN_A_ROW: usize = 64;
/// Messages read before new connections get their turn.
const MESSAGES_IN_A_ROW: usize = 64;
/// Connections that may wait for room in the mailbox of the worker that is the least behind: more wait in the kernel.
const MAX_ON_THE_WAY: usize = 256;
/// How long nothing is accepted when the system has no descriptors left.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);
/// How long nothing is accepted when no worker serves, or all are behind: connections wait in the kernel.
const OUT_OF_WORKERS: Duration = Duration::from_millis(10);
/// Percent of its private memory from which on a worker gets no more connections: one that is over its budget is replaced,
/// and those over TLS would go with it.
const MAX_FULL_PERCENT: u64 = 75;
/// Duplicates that may wait for room in the mailbox of the worker that is to keep them: further ones go a second later.
const HELD_AT_ONCE: usize = 64;
/// Time between two looks at new connections: one that stays for two of them gets a holder.
const LOOK_AT_NEW: Duration = Duration::from_millis(250);
/// Owners that may die in a row while they serve a message of a connection, until it is closed.
const MAX_DEATHS: u32 = 3;

pub(super) async fn serve(worker: &'static Worker, termination: &Termination) -> std::io::Result<Stop> {
    let shared = &worker.server.network.shared;
    super::startup::run_or_await(worker).await;
    let acceptor = Rc::new(RefCell::new(Acceptor::new(worker)));
    // A predecessor had duplicates: the workers make them again.
    for mailbox in &shared.workers {
        tokio::task::spawn_local(announce(mailbox));
    }
    for (listener, socket) in worker.server.network.sockets.streams() {
        tokio::task::spawn_local(accept(Rc::clone(&acceptor), listener, socket));
    }
    let wake_fd = Watch::new(shared.main.wake_fd())?;
    let stop = super::stopping(worker, termination)?;
    let mut stop = std::pin::pin!(stop);
    let mut second = super::each_second();
    let mut look = super::each(LOOK_AT_NEW);
    let mut buffer = vec![0; MAX_MAILBOX_MESSAGE_BYTES];
    running(worker);
    loop {
        // What is rare comes first: messages may never stop coming.
        tokio::select! {
            biased;
            stop = &mut stop => return Ok(stop),
            _ = look.tick() => acceptor.borrow_mut().look_at_new(),
            _ = second.tick() => {
                acceptor.borrow_mut().tick();
                acceptor.borrow().forward(&mut buffer);
            }
            readable = wake_fd.readable() => {
                let readable = readable?;
                let emptied = read_some(&acceptor, &shared.main, &mut buffer)?;
                if emptied { readable.drained() } else { readable.more() }
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Reads messages. `true` when the box was emptied.
fn read_some(acceptor: &RefCell<Acceptor>, mailbox: &Mailbox, buffer: &mut [u8]) -> std::io::Result<bool> {
    for _ in 0..MESSAGES_IN_A_ROW {
        let Some(message) = mailbox.take(buffer)? else { return Ok(true) };
        acceptor.borrow_mut().read(&buffer[..message.length], message.enclosed);
    }
    Ok(false)
}

/// Asks a worker for its duplicates, as soon as its mailbox has room.
async fn announce(mailbox: &'static Mailbox) {
    let mut message = Vec::new();
    ControlMessage::Announce.write(&mut message);
    while mailbox.post(&[&message], None).is_err() {
        tokio::time::sleep(OUT_OF_WORKERS).await;
    }
}

/// Accepts the connections of one listener.
async fn accept(acceptor: Rc<RefCell<Acceptor>>, listener: &'static Listener, socket: &'static TcpListener) {
    let watch = match Watch::new(socket.as_fd()) {
        Ok(watch) => watch,
        Err(cause) => return tracing::error!("{} cannot be watched: {cause}", listener.name),
    };
    loop {
        let Ok(readable) = watch.readable().await else { return };
        let mut drained = false;
        for _ in 0..ACCEPTS_IN_A_ROW {
            let Some(owner) = acceptor.borrow().choose_for_new() else {
                tokio::time::sleep(OUT_OF_WORKERS).await;
                break;
            };
            match socket.accept() {
                Ok((stream, remote)) => acceptor.borrow_mut().welcome(listener, stream.into(), remote, owner),
                Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => {
                    drained = true;
                    break;
                }
                Err(cause) if is_of_the_peer(&cause) => {}
                Err(cause) => {
                    tracing::error!("{}: no connection can be accepted: {cause}", listener.name);
                    tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                    break;
                }
            }
        }
        if drained {
            readable.drained();
        } else {
            readable.more();
        }
        tokio::task::yield_now().await;
    }
}

/// Whether the connection went away before it could be accepted (accept(2)).
fn is_of_the_peer(cause: &std::io::Error) -> bool {
    matches!(
        cause.kind(),
        std::io::ErrorKind::ConnectionAborted
            | std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::Interrupted
    )
}

/// What TCP main knows of one connection.
struct Entry {
    /// Who serves it.
    index: u16,
    /// Where it comes from, if it was accepted.
    source: Option<Source>,
    duplicate: Duplicate,
    /// The worker that keeps another duplicate, for the case that its owner and this process die together.
    holder: Option<OwnerId>,
    /// It was here at the last look at new connections: what ends at once needs no holder.
    has_stayed: bool,
}

impl Entry {
    /// Its duplicate, if it can go on with another worker, has stayed for a while, and no other worker keeps one.
    fn wants_holder(&self, is_alive: impl Fn(OwnerId) -> bool) -> Option<Rc<OwnedFd>> {
        let Duplicate::Kept(stream) = &self.duplicate else { return None };
        let is_held = self.holder.is_some_and(|holder| holder.index != self.index && is_alive(holder));
        (self.has_stayed && !is_held).then(|| Rc::clone(stream))
    }
}

/// What TCP main has of a connection's descriptor.
enum Duplicate {
    /// None.
    Absent,
    /// It is on its way to the worker that alone can serve it, and here as long as the message is.
    Sent(Weak<OwnedFd>),
    /// Another worker could go on with it.
    Kept(Rc<OwnedFd>),
}

impl Duplicate {
    fn of(enclosed: Option<OwnedFd>) -> Self {
        enclosed.map_or(Self::Absent, |stream| Self::Kept(Rc::new(stream)))
    }

    fn here(&self) -> Option<Rc<OwnedFd>> {
        match self {
            Self::Absent => None,
            Self::Sent(stream) => stream.upgrade(),
            Self::Kept(stream) => Some(Rc::clone(stream)),
        }
    }
}

/// The connections of the server, as TCP main sees them.
struct Acceptor {
    worker: &'static Worker,
    entries: HashMap<ConnectionId, Entry>,
    /// Connections of each worker.
    counts: Vec<usize>,
    /// Accepted connections.
    accepted: u32,
    /// The same by where they come from.
    sources: HashMap<Source, u32>,
    /// Connections since the last look at new ones.
    new: Vec<ConnectionId>,
    /// Those between the look before and that one.
    young: Vec<ConnectionId>,
    /// Connections whose owner was dead at the last look, and that nobody has a duplicate of.
    stale: HashSet<ConnectionId>,
    /// When it was last logged that connections are refused.
    reported: u64,
}

impl Acceptor {
    fn new(worker: &'static Worker) -> Self {
        let workers = worker.server.network.shared.workers.len();
        Self {
            worker,
            entries: HashMap::new(),
            counts: vec![0; workers],
            accepted: 0,
            sources: HashMap::new(),
            new: Vec::new(),
            young: Vec::new(),
            stale: HashSet::new(),
            reported: 0,
        }
    }

    /// Takes a new connection in for `owner`, if the limits allow it.
    fn welcome(&mut self, listener: &Listener, stream: OwnedFd, remote: SocketAddr, owner: OwnerId) {
        let server = self.worker.server;
        let local = std::net::TcpStream::from(stream);
        // The address that the peer connected to, where the listener is for more than one.
        let address = local.local_addr().unwrap_or(listener.address);
        if server.events.is_own_connection(remote, address) {
            // An event on its way to the server itself. It ends here, without another one and without a line of the log:
            // either could be its successor.
            return;
        }
        let settings = &server.settings.tcp;
        let source = Source::of(remote.ip());
        let most = settings.max_connections_per_source;
        if most > 0 && self.sources.get(&source).is_some_and(|count| *count >= most) {
            return self.refuse(remote, "its address has too many (tcp_max_connections_per_source)");
        }
        if self.accepted >= settings.max_connections {
            return self.refuse(remote, "there are too many (tcp_max_connections)");
        }
        if self.is_full(owner) {
            return self.refuse(remote, "no TCP worker has private memory left for it (-M)");
        }
        let profile = server.network.profile_for(listener.protocol, remote, address, Opening::Accepted);
        let claim = Claim {
            protocol: listener.protocol,
            remote,
            local: address,
            listener: listener.id.0,
            marks: marks::OPEN | marks::MOVABLE,
            idle_until: now_ms() + profile.lifetime.as_millis() as u64,
            tls_identity: TlsIdentity::NONE,
        };
        let connections = &server.network.shared.connections;
        let Some(id) = connections.claim(owner, &claim) else {
            return self.refuse(remote, "there are too many (tcp_max_connections)");
        };
        server.statistics.add(server.network.shared.counters.accepted, 1);
        connections.lead(id);
        self.enter(id, owner.index, Some(source), Duplicate::of(Some(local.into())));
        self.hand(id, owner);
    }

    fn refuse(&mut self, remote: SocketAddr, why: &str) {
        let server = self.worker.server;
        server.statistics.add(server.network.shared.counters.refused, 1);
        let now = now_ms();
        if now.saturating_sub(self.reported) >= 1000 {
            self.reported = now;
            tracing::warn!("connections are refused, that of {remote} first: {why}");
        }
    }

    /// The worker for a new connection; `None` when it is better to wait.
    fn choose_for_new(&self) -> Option<OwnerId> {
        self.choose(None).filter(|owner| self.behind(*owner) < MAX_ON_THE_WAY)
    }

    /// The worker with the fewest connections, other than `not`; those that are behind with their messages after the others,
    /// full and stalled ones last. `None` when none serves.
    fn choose(&self, not: Option<u16>) -> Option<OwnerId> {
        let server = self.worker.server;
        let serving = (0..self.counts.len() as u16)
            .filter(|index| Some(*index) != not)
            .filter_map(|index| server.network.shared.owner(server.table, index));
        serving.min_by_key(|owner| {
            let is_avoided =
                self.is_full(*owner) || server.network.shared.is_stalled(server.table, owner.index);
            (is_avoided, self.behind(*owner), self.counts[usize::from(owner.index)])
        })
    }

    /// Messages that wait for room in the worker's mailbox.
    fn behind(&self, owner: OwnerId) -> usize {
        self.worker.streams().waiting_for(owner.index)
    }

    /// Whether the worker has too little private memory left for more connections.
    fn is_full(&self, owner: OwnerId) -> bool {
        let server = self.worker.server;
        let most = server.settings.private_bytes / 100 * MAX_FULL_PERCENT;
        server.network.shared.private_bytes(server.table, owner.index) >= most
    }

    fn enter(&mut self, id: ConnectionId, index: u16, source: Option<Source>, duplicate: Duplicate) {
        if let Some(count) = self.counts.get_mut(usize::from(index)) {
            *count += 1;
        }
        if let Some(source) = source {
            self.accepted += 1;
            *self.sources.entry(source).or_default() += 1;
        }
        self.entries.insert(id, Entry { index, source, duplicate, holder: None, has_stayed: false });
        self.new.push(id);
    }

    fn leave(&mut self, id: ConnectionId) {
        let Some(entry) = self.entries.remove(&id) else { return };
        if let Some(count) = self.counts.get_mut(usize::from(entry.index)) {
            *count -= 1;
        }
        let Some(source) = entry.source else { return };
        self.accepted -= 1;
        if let Some(count) = self.sources.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&source);
            }
        }
    }

    /// Posts the connection to the worker that is to serve it, as soon as that has room. One that nobody can go on with is
    /// buried.
    fn hand(&mut self, id: ConnectionId, to: OwnerId) {
        let Some(view) = self.worker.server.network.shared.connections.view(id) else {
            return self.leave(id);
        };
        let found = self.entries.get_mut(&id).and_then(|entry| Some((entry.duplicate.here()?, entry)));
        let Some((stream, entry)) = found else { return self.bury(id, &End::WorkerEnded) };
        if view.protocol.is_secure() {
            // Nobody else will ever be able to serve it.
            entry.duplicate = Duplicate::Sent(Rc::downgrade(&stream));
        }
        if entry.index != to.index {
            self.counts[usize::from(entry.index)] -= 1;
            self.counts[usize::from(to.index)] += 1;
            entry.index = to.index;
        }
        let message = ControlMessage::Adopt { id, from: view.owner };
        if !self.worker.streams().post(Destination::Worker(to.index), &message, Some(stream), None) {
            self.bury(id, &End::WorkerEnded);
        }
    }

    /// Reads one message.
    fn read(&mut self, bytes: &[u8], enclosed: Option<OwnedFd>) {
        match ControlMessage::read(bytes) {
            Some(ControlMessage::Started { owner }) => self.adopt_orphans(owner),
            Some(ControlMessage::Opened { id }) => {
                self.learn(id, enclosed);
                self.rescue_orphan(id);
            }
            Some(ControlMessage::Ended { id }) => self.leave(id),
            Some(ControlMessage::Released { id }) => {
                self.learn(id, enclosed);
                self.pass_on(id);
            }
            Some(_) | None => tracing::error!("a message that is not for TCP main was dropped"),
        }
    }

    /// Enters a connection that is not known yet, or of which there is no duplicate yet.
    fn learn(&mut self, id: ConnectionId, enclosed: Option<OwnedFd>) {
        let Some(view) = self.worker.server.network.shared.connections.view(id) else { return };
        match self.entries.get_mut(&id) {
            None => {
                let source = (view.marks & marks::OUTGOING == 0).then(|| Source::of(view.remote.ip()));
                self.enter(id, view.owner.index, source, Duplicate::of(enclosed));
            }
            Some(entry) if matches!(entry.duplicate, Duplicate::Absent) => {
                entry.duplicate = Duplicate::of(enclosed);
            }
            Some(_) => {}
        }
    }

    /// A duplicate of a connection whose owner is dead came from the worker that held it: another one goes on with it.
    fn rescue_orphan(&mut self, id: ConnectionId) {
        let view =
            self.worker.server.network.shared.connections.view(id).filter(|view| !self.is_alive(view.owner));
        if let Some((view, to)) = view.zip(self.choose(None))
            && self.can_move(&view)
        {
            self.rescue(&view, to);
        }
    }

    /// Finds a connection whose worker lets go of it another one.
    fn pass_on(&mut self, id: ConnectionId) {
        let connections = &self.worker.server.network.shared.connections;
        let Some(view) = connections.view(id) else { return self.leave(id) };
        match self.choose(Some(view.owner.index)).or_else(|| self.choose(None)) {
            // From here on it is that worker's, which misses it if this process dies before the message is posted.
            Some(owner) if connections.move_to(id, view.owner, owner) => self.hand(id, owner),
            Some(_) => {}
            None => self.bury(id, &End::WorkerEnded),
        }
    }

    /// Gives messages for workers that have left to one that serves.
    fn forward(&self, buffer: &mut [u8]) {
        let server = self.worker.server;
        for mailbox in server.network.shared.unread(server.table) {
            while let Ok(Some(length)) = mailbox.look(buffer) {
                let Some(owner) = self.choose(None).filter(|owner| self.behind(*owner) == 0) else {
                    return;
                };
                // Who dies between the two leaves what has no enclosure to be forwarded again.
                let taken = if ControlMessage::has_enclosure(&buffer[..length]) {
                    mailbox.take(buffer)
                } else {
                    Ok(Some(tocsin_net::MailboxMessage { length, enclosed: None }))
                };
                let message = match taken {
                    Ok(Some(message)) => message,
                    Ok(None) => break,
                    Err(cause) => {
                        return tracing::error!("a mailbox that nobody reads cannot be emptied: {cause}");
                    }
                };
                let bytes = &buffer[..message.length];
                if !matches!(ControlMessage::read(bytes), Some(ControlMessage::Announce)) {
                    let enclosed = message.enclosed.map(|stream| Rc::new(stream) as _);
                    let mail = QueuedMessage::new(bytes.to_vec(), enclosed, None);
                    self.worker.streams().post_queued(Destination::Worker(owner.index), mail);
                }
                if !ControlMessage::has_enclosure(bytes) && mailbox.discard().is_err() {
                    return;
                }
            }
        }
    }

    /// A worker has begun: the connections of its predecessor that can go on go on with it, or with another if it only
    /// finishes what is left.
    fn adopt_orphans(&mut self, owner: OwnerId) {
        let server = self.worker.server;
        let is_vacant = server.network.shared.is_vacant(server.table, owner.index);
        let owner_now = if is_vacant { self.choose(None).unwrap_or(owner) } else { owner };
        let of_it: Vec<_> =
            self.entries.iter().filter(|(_, entry)| entry.index == owner.index).map(|(id, _)| *id).collect();
        for id in of_it {
            match self.worker.server.network.shared.connections.view(id) {
                None => self.leave(id),
                Some(view) if self.is_alive(view.owner) => {}
                Some(view) => self.rescue(&view, owner_now),
            }
        }
    }

    fn is_alive(&self, owner: OwnerId) -> bool {
        self.worker.server.network.shared.is_alive(self.worker.server.table, owner)
    }

    /// Whether another worker could go on with the connection.
    fn can_move(&self, view: &View) -> bool {
        let has_duplicate = self.entries.get(&view.id).is_some_and(|entry| entry.duplicate.here().is_some());
        view.marks & marks::MOVABLE != 0 && has_duplicate
    }

    /// Finds the connection of a dead owner a new one, if that is possible.
    fn rescue(&mut self, view: &View, to: OwnerId) {
        let connections = &self.worker.server.network.shared.connections;
        let deaths = connections.own(view.id).map_or(0, |own| own.deaths());
        if !self.can_move(view) {
            self.bury(view.id, &End::WorkerEnded);
        } else if deaths >= MAX_DEATHS {
            tracing::error!(
                "connection with {}:{} is closed: {deaths} workers died over a message of it",
                view.protocol.name(),
                view.remote
            );
            self.bury(view.id, &End::WorkerEnded);
        } else if connections.move_to(view.id, view.owner, to) {
            // From here on it is that worker's: nobody else takes it, and its death is looked at anew.
            self.hand(view.id, to);
        }
    }

    /// Closes a connection that nobody can serve any more, and reports its end.
    fn bury(&mut self, id: ConnectionId, end: &End) {
        let connections = &self.worker.server.network.shared.connections;
        if let Some(view) = connections.view(id)
            && !connections.move_to(id, view.owner, OwnerId::REAPER)
        {
            // A worker took it over at this moment.
            return;
        }
        if let Some(duplicate) = self.entries.get(&id).and_then(|entry| entry.duplicate.here()) {
            tocsin_net::stream::shut(&duplicate);
        }
        self.worker.server.network.report(id, end);
        self.leave(id);
    }

    /// Once a second: what a death at a bad moment left behind is put in order.
    fn tick(&mut self) {
        let server = self.worker.server;
        let shared = &server.network.shared;
        let is_alive = |owner| shared.is_alive(server.table, owner);
        shared.connections.free_unfinished(|pid| SharedConnections::runs(server.table, pid));
        let orphans: Vec<View> = shared.connections.all().filter(|view| !is_alive(view.owner)).collect();
        let mut stale = HashSet::new();
        for view in orphans {
            // Its successor takes what it can when it begins; where there is none yet, others do.
            let has_successor = shared.owner(server.table, view.owner.index).is_some();
            let can_move = self.can_move(&view);
            match self.choose(None) {
                Some(owner) if can_move && (!has_successor || self.stale.contains(&view.id)) => {
                    self.rescue(&view, owner);
                }
                None if can_move => {}
                _ if self.stale.contains(&view.id) => self.bury(view.id, &End::WorkerEnded),
                _ => {
                    stale.insert(view.id);
                }
            }
        }
        self.stale = stale;
        self.entrust_all();
        let gone: Vec<_> =
            self.entries.keys().filter(|id| shared.connections.view(**id).is_none()).copied().collect();
        gone.into_iter().for_each(|id| self.leave(id));
    }

    /// Four times a second: connections that have stayed since the last look get a holder.
    fn look_at_new(&mut self) {
        let new = std::mem::take(&mut self.new);
        for id in std::mem::replace(&mut self.young, new) {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.has_stayed = true;
                self.entrust(id);
            }
        }
    }

    /// Gives a third process duplicates of the connections whose holder has died, or was not to be found.
    fn entrust_all(&mut self) {
        let server = self.worker.server;
        let is_alive = |holder| server.network.shared.is_alive(server.table, holder);
        let wanting = self.entries.iter().filter(|(_, entry)| entry.wants_holder(is_alive).is_some());
        let wanting: Vec<_> = wanting.map(|(id, _)| *id).collect();
        wanting.into_iter().for_each(|id| self.entrust(id));
    }

    /// Gives a third process a duplicate of a connection that can go on with another worker, if it has none there yet.
    fn entrust(&mut self, id: ConnectionId) {
        let server = self.worker.server;
        let is_alive = |holder| server.network.shared.is_alive(server.table, holder);
        let Some(entry) = self.entries.get(&id) else { return };
        let index = entry.index;
        let Some((stream, holder)) = entry.wants_holder(is_alive).zip(self.holder_for(index)) else { return };
        let to = Destination::Worker(holder.index);
        let is_posted = self.worker.streams().post(to, &ControlMessage::Hold { id }, Some(stream as _), None);
        if let Some(entry) = self.entries.get_mut(&id).filter(|_| is_posted) {
            entry.holder = Some(holder);
        }
    }

    /// The worker that keeps duplicates of the connections of worker `index`: the next one that serves and reads its mailbox.
    fn holder_for(&self, index: u16) -> Option<OwnerId> {
        let server = self.worker.server;
        let count = self.counts.len() as u16;
        let others = (1..count).map(|step| (index + step) % count);
        let mut serving = others.filter_map(|other| server.network.shared.owner(server.table, other));
        serving.find(|holder| self.behind(*holder) < HELD_AT_ONCE)
    }
}
