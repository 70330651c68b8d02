//! The connections of all processes: who they lead to, who owns each, and how it can be found again.
//!
//! A row of a fixed table for each connection, made of atomic words: no lock stands between a process that reads a row
//! and the one that owns it, and a process that dies at any instruction leaves a row that says how far it was. Beside
//! the rows lies an index from the far end to the connection, for processes that have something to send there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use tocsin_shm::{Arena, ArenaFull, Map, MapOptions, ShmClone, ShmSafe, Sweep, identity};

use crate::address::{Hop, Protocol};

mod key;
#[cfg(test)]
mod tests;

use key::ConnectionKey;
pub use key::TlsIdentity;

/// Low bits of an ID that say which row it is.
const ROW_BITS: u32 = 20;
/// The most rows there can be.
pub const MAX_ROWS: usize = 1 << ROW_BITS;

/// One connection in the life of the server: its row, and how many connections had that row before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ShmSafe, ShmClone)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// No connection: what came as a datagram.
    pub const NONE: Self = Self(0);

    /// The number as management clients see it.
    pub fn number(self) -> u64 {
        self.0
    }

    /// From the number that [`Self::number`] gave.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Whether it names a connection, open or not.
    pub fn is_some(self) -> bool {
        self.0 != 0
    }

    fn row(self) -> usize {
        (self.0 & (MAX_ROWS as u64 - 1)) as usize
    }
}

/// The process that owns a connection: its place in the group of TCP workers, and how many were in that place before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnerId {
    /// Index in the group.
    pub index: u16,
    /// The generation of the process.
    pub generation: u32,
}

impl OwnerId {
    /// The process that closes a connection which no worker can serve any more.
    pub const REAPER: Self = Self { index: u16::MAX >> 1, generation: 0 };

    /// Never 0, which means nobody.
    fn word(self) -> u64 {
        1 << 63 | u64::from(self.index) << 32 | u64::from(self.generation)
    }

    fn of(word: u64) -> Option<Self> {
        (word >> 63 == 1).then_some(Self { index: (word >> 32) as u16, generation: word as u32 })
    }
}

/// What stands for the owner while the process `pid` fills the row in or clears it.
fn passage_word(pid: u32) -> u64 {
    1 << 62 | u64::from(pid)
}

/// Who fills the row in or clears it, if its word for the owner says so.
fn passage_of(word: u64) -> Option<u32> {
    (word >> 62 == 1).then_some(word as u32)
}

/// What a row says besides its addresses; bits of [`View::marks`].
pub mod marks {
    /// The connection is established: its end will be reported. Not yet set while an own connect is under way.
    pub const OPEN: u32 = 1;
    /// We connected; else we accepted.
    pub const OUTGOING: u32 = 2;
    /// TLS or WebSocket handshake is done, or none is needed.
    pub const READY: u32 = 4;
    /// Another process can go on with it: nothing of it lies in the private memory of its owner.
    pub const MOVABLE: u32 = 8;
    /// A message of it is being served at this moment.
    pub const SERVING: u32 = 16;
    /// Its end has been reported: all that is left to do is to free the row.
    pub const REPORTED: u32 = 32;
    /// It is over: nothing may be sent over it any more.
    pub const ENDING: u32 = 64;
}

/// A connection as its row shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Its identity.
    pub id: ConnectionId,
    /// Its protocol.
    pub protocol: Protocol,
    /// The far end.
    pub remote: SocketAddr,
    /// Our end; the unspecified address while an own connect is under way.
    pub local: SocketAddr,
    /// The number of the listener that it belongs to.
    pub listener: u16,
    /// Who owns it.
    pub owner: OwnerId,
    /// See [`marks`].
    pub marks: u32,
    /// When it ends if nothing happens on it, in milliseconds of the monotonic clock.
    pub idle_until: u64,
    /// The port by which it is found beside its own (RFC 5923), or 0.
    pub alias: u16,
    /// Client certificate and server name it was opened with.
    pub tls_identity: TlsIdentity,
}

impl View {
    /// Whether it is over, and what must be sent needs another.
    pub fn is_ending(&self) -> bool {
        self.marks & marks::ENDING != 0 || self.owner == OwnerId::REAPER
    }

    /// All that it may be found by.
    fn keys(&self) -> impl Iterator<Item = ConnectionKey> + use<> {
        self.own_keys().chain(self.keys_by(self.alias))
    }

    /// What it is found by whatever its far end says.
    fn own_keys(&self) -> impl Iterator<Item = ConnectionKey> + use<> {
        self.keys_by(self.remote.port())
    }

    /// What it is found by at `port` of its far end; nothing for port 0.
    fn keys_by(&self, port: u16) -> impl Iterator<Item = ConnectionKey> + use<> {
        let Self { protocol, remote, tls_identity, .. } = *self;
        let hop = Hop { protocol, to: SocketAddr::new(remote.ip(), port) };
        let identities = [
            Some(tls_identity),
            Some(tls_identity.without_server_name()).filter(|other| *other != tls_identity),
        ];
        let some = if port == 0 { [None; 2] } else { identities };
        some.into_iter().flatten().map(move |tls_identity| ConnectionKey::new(&hop, tls_identity))
    }
}

#[derive(Debug, ShmSafe)]
struct Row {
    /// The ID while the row is in use, else 0.
    id: AtomicU64,
    /// The owner while the row is in use; before and after that the process that fills it in or clears it; 0 when it is
    /// free.
    owner: AtomicU64,
    uses: AtomicU64,
    marks: AtomicU32,
    /// Deaths of owners while a message of this connection was being served, in a row.
    deaths: AtomicU32,
    /// Protocol, listener and alias port.
    kind: AtomicU64,
    tls_identity: AtomicU64,
    remote: Address,
    local: Address,
    idle_until: AtomicU64,
    /// Bytes of the stream that were taken out of the kernel.
    taken: AtomicU64,
    /// Bytes of the stream that were served. Ahead of `taken` only between the two.
    served: AtomicU64,
}

/// An address in words that can be read while they are written: a torn one is noticed by the ID around it.
#[derive(Debug, Default, ShmSafe)]
struct Address {
    high: AtomicU64,
    low: AtomicU64,
    /// The port, and above it 1 for IPv6.
    port: AtomicU32,
}

impl Address {
    fn store(&self, address: SocketAddr) {
        let (bits, family) = match address.ip() {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), 0),
            IpAddr::V6(v6) => (u128::from(v6), 1 << 16),
        };
        self.high.store((bits >> 64) as u64, Relaxed);
        self.low.store(bits as u64, Relaxed);
        self.port.store(family | u32::from(address.port()), Relaxed);
    }

    fn load(&self) -> SocketAddr {
        let port = self.port.load(Relaxed);
        let low = self.low.load(Relaxed);
        let ip = if port >> 16 == 0 {
            IpAddr::V4(Ipv4Addr::from(low as u32))
        } else {
            IpAddr::V6(Ipv6Addr::from(u128::from(self.high.load(Relaxed)) << 64 | u128::from(low)))
        };
        SocketAddr::new(ip, port as u16)
    }
}

/// What is known of a connection when its row is claimed.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// Its protocol.
    pub protocol: Protocol,
    /// The far end.
    pub remote: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// The number of the listener.
    pub listener: u16,
    /// See [`marks`].
    pub marks: u32,
    /// See [`View::idle_until`].
    pub idle_until: u64,
    /// See [`View::tls_identity`].
    pub tls_identity: TlsIdentity,
}

/// The table, the same in all processes. A handle to copy.
#[derive(Debug, Clone, Copy)]
pub struct Connections {
    rows: &'static [Row],
    /// Where the search for a free row begins.
    next: &'static AtomicU64,
    by_key: Map<ConnectionKey, ConnectionId>,
}

impl Connections {
    /// Makes a table for `most` connections, before the first fork.
    ///
    /// # Errors
    /// [`ArenaFull`] when there is no room for it.
    pub fn create(arena: &'static Arena, most: usize) -> Result<Self, ArenaFull> {
        let empty = |_| Row {
            id: AtomicU64::new(0),
            owner: AtomicU64::new(0),
            uses: AtomicU64::new(0),
            marks: AtomicU32::new(0),
            deaths: AtomicU32::new(0),
            kind: AtomicU64::new(0),
            tls_identity: AtomicU64::new(0),
            remote: Address::default(),
            local: Address::default(),
            idle_until: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            served: AtomicU64::new(0),
        };
        Ok(Self {
            rows: arena.boot_array(most.clamp(1, MAX_ROWS), empty)?,
            next: &arena.boot_array(1, |_| AtomicU64::new(0))?[0],
            by_key: Map::create(
                arena,
                &MapOptions { name: "connections", shards: 16, buckets: most.div_ceil(16).max(16) },
            )?,
        })
    }

    /// The tables whose locks the supervisor sweeps.
    pub fn sweeper(&self) -> &'static dyn Sweep {
        self.by_key.sweeper()
    }

    /// The most connections there can be.
    pub fn capacity(&self) -> usize {
        self.rows.len()
    }

    /// Takes a row for `owner`. `None` when all are taken.
    pub fn claim(&self, owner: OwnerId, claim: &Claim) -> Option<ConnectionId> {
        let start = self.next.fetch_add(1, Relaxed) as usize % self.rows.len();
        let order = (start..self.rows.len()).chain(0..start);
        // The owner named may live on when this process dies over it.
        let passage = passage_word(identity::pid());
        let taken = order.map(|at| (at, &self.rows[at])).find(|(_, row)| {
            row.owner.load(Relaxed) == 0 && row.owner.compare_exchange(0, passage, Acquire, Relaxed).is_ok()
        });
        let (at, row) = taken?;
        let uses = row.uses.fetch_add(1, Relaxed) + 1;
        row.remote.store(claim.remote);
        row.local.store(claim.local);
        row.kind.store(kind_word(claim.protocol, claim.listener, 0), Relaxed);
        row.tls_identity.store(claim.tls_identity.word(), Relaxed);
        row.marks.store(claim.marks, Relaxed);
        row.deaths.store(0, Relaxed);
        row.idle_until.store(claim.idle_until, Relaxed);
        row.taken.store(0, Relaxed);
        row.served.store(0, Relaxed);
        let id = uses << ROW_BITS | at as u64;
        row.id.store(id, Release);
        row.owner.store(owner.word(), Release);
        Some(ConnectionId(id))
    }

    /// The row of `id`, for the process that keeps it; `None` when the connection is no more.
    pub fn own(&self, id: ConnectionId) -> Option<Own> {
        let row = self.row(id)?;
        Some(Own { row, id })
    }

    /// What is known of `id`; `None` when it is no more.
    pub fn view(&self, id: ConnectionId) -> Option<View> {
        let row = self.row(id)?;
        let (protocol, listener, alias) = kind_parts(row.kind.load(Relaxed))?;
        let view = View {
            id,
            protocol,
            remote: row.remote.load(),
            local: row.local.load(),
            listener,
            owner: OwnerId::of(row.owner.load(Relaxed))?,
            marks: row.marks.load(Relaxed),
            idle_until: row.idle_until.load(Relaxed),
            alias,
            tls_identity: TlsIdentity::of(row.tls_identity.load(Relaxed)),
        };
        std::sync::atomic::fence(Acquire);
        (row.id.load(Relaxed) == id.0).then_some(view)
    }

    /// All connections, in the order of their rows.
    pub fn all(&self) -> impl Iterator<Item = View> {
        let this = *self;
        self.rows.iter().filter_map(move |row| {
            let id = row.id.load(Acquire);
            if id == 0 { None } else { this.view(ConnectionId(id)) }
        })
    }

    /// The connection that leads to `hop` with this TLS identity, or that was opened from there.
    pub fn towards(&self, hop: &Hop, tls_identity: TlsIdentity) -> Option<ConnectionId> {
        self.on(&ConnectionKey::new(hop, tls_identity)).or_else(|| {
            if tls_identity == TlsIdentity::NONE {
                None
            } else {
                self.on(&ConnectionKey::new(hop, TlsIdentity::NONE))
            }
        })
    }

    /// Lets `id` be found by the address of its far end, and, where a server name was asked for, also by those that ask for none.
    /// The connection that is found from now on: `id`, or one that was there before. A full arena leaves `id`
    /// unfindable, not broken.
    pub fn lead(&self, id: ConnectionId) -> ConnectionId {
        let Some(view) = self.view(id) else { return id };
        let mut keys = view.keys();
        let leads = keys.next().map_or(id, |key| self.lay(key, id));
        if leads == id {
            keys.for_each(|key| {
                self.lay(key, id);
            });
        }
        leads
    }

    /// Lets `id` be found by `key`, unless the key belongs to another connection. Returns the one that is found.
    fn lay(&self, key: ConnectionKey, id: ConnectionId) -> ConnectionId {
        for _ in 0..2 {
            if let Some(other) = self.on(&key).filter(|other| self.is_own(*other, &key)) {
                return other;
            }
            // What was promised to an alias gives way to the connection that really comes from there.
            self.by_key.remove_if(&key, |old| !self.is_own(*old, &key));
            if !matches!(self.by_key.insert_new(&key, |_| Ok((key, id))), Ok(false)) {
                break;
            }
        }
        id
    }

    /// Whether `id` has `key` by its own port, not by an alias.
    fn is_own(&self, id: ConnectionId, key: &ConnectionKey) -> bool {
        self.view(id).is_some_and(|view| view.own_keys().any(|own| own == *key))
    }

    fn on(&self, key: &ConnectionKey) -> Option<ConnectionId> {
        self.by_key.get(key, |id| *id).filter(|id| self.row(*id).is_some())
    }

    /// Gives the connection from one owner to another; `false` when it is no longer `from`'s.
    pub fn move_to(&self, id: ConnectionId, from: OwnerId, to: OwnerId) -> bool {
        self.row(id)
            .is_some_and(|row| row.owner.compare_exchange(from.word(), to.word(), AcqRel, Relaxed).is_ok())
    }

    /// Lets the connection be found by `port` of its far end too (RFC 5923), unless another one really leads there.
    pub fn alias(&self, id: ConnectionId, port: u16) {
        let Some((row, view)) = self.row(id).zip(self.view(id)) else { return };
        if port == 0 || port == view.remote.port() || view.alias == port {
            return;
        }
        row.kind.store(kind_word(view.protocol, view.listener, port), Relaxed);
        for key in view.keys_by(view.alias) {
            self.by_key.remove_if(&key, |found| *found == id);
        }
        for key in view.keys_by(port) {
            // Of two that only say so, the newest word counts. A full arena leaves it without one.
            if !self.on(&key).is_some_and(|other| self.is_own(other, &key)) {
                let _ = self.by_key.insert(&key, |_| Ok((key, id)));
            }
        }
    }

    /// Nothing more may be sent over `id`: it is not found any more, though its row is still there.
    pub fn retire(&self, id: ConnectionId) {
        let Some((row, view)) = self.row(id).zip(self.view(id)) else { return };
        row.marks.fetch_or(marks::ENDING, AcqRel);
        for key in view.keys() {
            self.by_key.remove_if(&key, |found| *found == id);
        }
    }

    /// Frees the row. To be called once, by the owner or by the process that closes it for a dead one.
    pub fn release(&self, id: ConnectionId) {
        let Some(row) = self.row(id) else { return };
        if row.marks.load(Relaxed) & marks::ENDING == 0 {
            self.retire(id);
        }
        row.owner.store(passage_word(identity::pid()), Release);
        row.id.store(0, Release);
        row.owner.store(0, Release);
    }

    /// Frees rows that a dead process left half filled in or half cleared. `is_alive` says which processes live. For one
    /// process alone.
    pub fn free_unfinished(&self, is_alive: impl Fn(u32) -> bool) {
        for row in self.rows {
            let word = row.owner.load(Acquire);
            if passage_of(word).is_some_and(|pid| !is_alive(pid)) {
                row.id.store(0, Release);
                let _ = row.owner.compare_exchange(word, 0, AcqRel, Relaxed);
            }
        }
    }

    fn row(&self, id: ConnectionId) -> Option<&'static Row> {
        let row = self.rows.get(id.row())?;
        (id.is_some() && row.id.load(Acquire) == id.0).then_some(row)
    }
}

/// A connection's row in the hands of its owner.
#[derive(Debug, Clone, Copy)]
pub struct Own {
    row: &'static Row,
    id: ConnectionId,
}

impl Own {
    /// Which connection it is.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Sets and takes away marks.
    pub fn mark(&self, set: u32, clear: u32) {
        // One writer, so that no read-modify-write is needed.
        let marks = self.row.marks.load(Relaxed);
        self.row.marks.store(marks & !clear | set, Release);
    }

    /// The marks now.
    pub fn marks(&self) -> u32 {
        self.row.marks.load(Relaxed)
    }

    /// Says how long it may be idle, in milliseconds of the monotonic clock.
    pub fn idle_until(&self, at: u64) {
        self.row.idle_until.store(at, Relaxed);
    }

    /// Our address, known once an own connect has succeeded.
    pub fn local(&self, address: SocketAddr) {
        self.row.local.store(address);
    }

    /// The first `length` bytes in the kernel's queue are served: a successor does not serve them again. To be followed
    /// by [`Self::took`], once they are taken out.
    pub fn serves(&self, length: usize) {
        // One writer, here and below.
        self.row.served.store(self.row.taken.load(Relaxed) + length as u64, Release);
    }

    /// `length` bytes were taken out of the kernel's queue.
    pub fn took(&self, length: usize) {
        let taken = self.row.taken.load(Relaxed) + length as u64;
        if self.row.served.load(Relaxed) < taken {
            self.row.served.store(taken, Relaxed);
        }
        self.row.taken.store(taken, Release);
    }

    /// How many bytes at the front of the kernel's queue a dead predecessor has served and not taken out. `consumed` asks
    /// the kernel how many bytes of the stream have been taken out so far; it may be off by one, as some kernels count the
    /// end of the stream as a byte. Without an answer there is nothing to skip: a message that comes twice is better than one
    /// that is lost.
    pub fn left_behind(&self, consumed: impl FnOnce() -> Option<u64>) -> usize {
        let (taken, served) = (self.row.taken.load(Acquire), self.row.served.load(Acquire));
        if served <= taken {
            return 0;
        }
        let is_taken = consumed().is_none_or(|consumed| consumed.abs_diff(served) < consumed.abs_diff(taken));
        if is_taken {
            // It died before it could say so.
            self.row.taken.store(served, Release);
            return 0;
        }
        usize::try_from(served - taken).unwrap_or(0)
    }

    /// What came of it was served to its end: deaths over that are over.
    pub fn served(&self) {
        self.mark(0, marks::SERVING);
        if self.row.deaths.load(Relaxed) != 0 {
            self.row.deaths.store(0, Relaxed);
        }
    }

    /// A owner died. Returns how many have died over what they were serving of it, one after the other.
    pub fn deaths(&self) -> u32 {
        let serving = self.marks() & marks::SERVING != 0;
        let deaths = self.row.deaths.load(Relaxed) + u32::from(serving);
        self.row.deaths.store(deaths, Relaxed);
        // The next one that dies counts only if it has begun with the message, too.
        self.mark(0, marks::SERVING);
        deaths
    }
}

fn kind_word(protocol: Protocol, listener: u16, alias: u16) -> u64 {
    let protocol = Protocol::ALL.iter().position(|p| *p == protocol).unwrap_or(0) as u64;
    protocol << 32 | u64::from(listener) << 16 | u64::from(alias)
}

fn kind_parts(word: u64) -> Option<(Protocol, u16, u16)> {
    let protocol = *Protocol::ALL.get((word >> 32) as usize)?;
    Some((protocol, (word >> 16) as u16, word as u16))
}
