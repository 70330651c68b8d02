//! Who is subscribed to what: a bounded table in shared memory, keyed by event and socket.
//!
//! Any process may subscribe; the courier delivers, and takes out what expired. A subscription to the same event and the
//! same socket, compared exactly, is a refresh of the first. There is no unsubscribing: an expiry of 0 ends it within a
//! second, as it always did.

use std::net::SocketAddr;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

use tocsin_shm::{Alloc, Arena, ArenaFull, Full, Map, MapOptions, Millis, ShmBytes, ShmClone, ShmSafe};

use crate::registry::{EventId, Registry};
use crate::transport::Address;

/// How many subscriptions there may be, unless the maker of the table says otherwise.
pub const SUBSCRIPTION_LIMIT: usize = 4096;

/// How long a subscription lasts when the Management Interface is not told, in seconds.
pub const DEFAULT_EXPIRE: u32 = 3600;

/// Why a subscription was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// As many as there may be are there.
    #[error("the limit of subscriptions is reached")]
    Limit,
    /// The shared memory has no room.
    #[error("no shared memory for a subscription; the server needs a larger -m")]
    Full,
    /// The address has a host name that nobody resolved.
    #[error("the host name is not resolved")]
    Unresolved,
}

/// The table of subscriptions. A copy refers to the same table.
#[derive(Clone, Copy, Debug)]
pub struct Subscriptions {
    table: Map<ShmBytes, Record>,
    counters: &'static Counters,
    limit: usize,
    registry: Registry,
}

/// Words of the table as a whole.
#[derive(Debug, Default, ShmSafe)]
pub(crate) struct Counters {
    /// Goes up with every change.
    generation: AtomicU64,
    /// How many subscriptions were ever made.
    made: AtomicU64,
}

/// One subscription, as it was when looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// To what.
    pub event: EventId,
    /// The socket text that identifies the subscriber.
    pub socket: String,
    /// What lists show in its place.
    pub shown: String,
    /// Where a host name led when the subscription was made.
    pub resolved: Option<SocketAddr>,
    /// How many seconds it lasts from `started` on; for ever if there is none.
    pub expire: Option<u32>,
    /// When it was made or refreshed.
    pub started: Millis,
    /// How many were made before it.
    pub order: u64,
    /// The first number of the event log that its subscriber may not have been sent.
    pub first: u64,
    /// How many events were handed to the subscriber's socket, those of its other subscriptions included. Brought up to
    /// date every second, as the next two.
    pub delivered: u64,
    /// How many events were given up.
    pub dropped: u64,
    /// How many events wait to be sent.
    pub queued: u64,
}

/// How much of a subscription is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It never ends.
    Always,
    /// So many seconds, at least 1.
    Seconds(u32),
    /// Its last second runs.
    LastSecond,
    /// Nothing.
    Nothing,
}

impl Subscription {
    /// How much is left at `now`.
    pub fn left(&self, now: Millis) -> Left {
        let Some(expire) = self.expire else { return Left::Always };
        let elapsed = now.saturating_sub(self.started) / 1000;
        match u64::from(expire).checked_sub(elapsed) {
            None => Left::Nothing,
            Some(0) => Left::LastSecond,
            // Not more than `expire`.
            Some(seconds) => Left::Seconds(seconds as u32),
        }
    }

    /// When nothing is left; `Millis::MAX` when that never comes.
    pub(crate) fn end(&self) -> Millis {
        end(self.started, self.expire)
    }
}

impl Subscriptions {
    /// An empty table in shared memory. To be called before the first fork.
    ///
    /// # Errors
    /// There is no room for it.
    pub(crate) fn create(arena: &'static Arena, limit: usize, registry: Registry) -> Result<Self, ArenaFull> {
        let table = Map::create(arena, &MapOptions { name: "subscriptions", shards: 1, buckets: 64 })?;
        let counters = &arena.boot_array(1, |_| Counters::default())?[0];
        Ok(Self { table, counters, limit, registry })
    }

    /// Subscribes `address` to `event` for `expire` seconds, or for ever; or refreshes that subscription. Events with
    /// numbers from `first` on will be delivered.
    ///
    /// # Errors
    /// [`SubscribeError`]
    pub fn subscribe(
        &self,
        event: EventId,
        address: &Address,
        expire: Option<u32>,
        now: Millis,
        first: u64,
    ) -> Result<(), SubscribeError> {
        if address.unresolved().is_some() {
            return Err(SubscribeError::Unresolved);
        }
        let key = key(event, &address.socket);
        // What ended and was not yet taken out is no subscription to refresh.
        let known = self.table.get(&key[..], |record| (record.end() > now).then(|| record.figures()));
        if known.is_none() && self.table.len() >= self.limit {
            return Err(SubscribeError::Limit);
        }
        let figures = known.flatten().unwrap_or_else(|| {
            let order = self.counters.made.fetch_add(1, Relaxed);
            Figures { order, first, ..Figures::default() }
        });
        // Replaced whole, so that a process that dies here costs no subscription.
        let stored = self.table.insert(&key[..], |alloc| {
            let record = Record::new(address, expire, now, figures, alloc)?;
            Ok((ShmBytes::try_from_slice_in(&key, alloc)?, record))
        });
        stored.map_err(|Full { .. }| SubscribeError::Full)?;
        self.registry.want(event);
        self.counters.generation.fetch_add(1, AcqRel);
        Ok(())
    }

    /// The subscription of one socket to one event, if anything is left of it at `now`.
    pub fn find(&self, event: EventId, socket: &str, now: Millis) -> Option<Subscription> {
        let key = key(event, socket);
        let found = self.table.get(&key[..], |record| record.to_subscription(&key))??;
        Some(found).filter(|subscription| subscription.left(now) != Left::Nothing)
    }

    /// All subscriptions of which something is left at `now`, the newest first.
    pub fn list(&self, now: Millis) -> Vec<Subscription> {
        let mut list = self.all();
        list.retain(|subscription| subscription.left(now) != Left::Nothing);
        list.sort_unstable_by_key(|subscription| std::cmp::Reverse(subscription.order));
        list
    }

    /// Whether anybody is subscribed to `event` at `now`.
    pub fn any(&self, event: EventId, now: Millis) -> bool {
        self.registry.is_wanted(event)
            && self.list(now).iter().any(|subscription| subscription.event == event)
    }

    /// Takes out what nothing is left of. Returns how many.
    pub(crate) fn expire(&self, now: Millis) -> usize {
        let over = self.all().into_iter().filter(|subscription| subscription.left(now) == Left::Nothing);
        let removed = over.filter(|subscription| {
            let key = key(subscription.event, &subscription.socket);
            // It may have been refreshed meanwhile.
            self.table.remove_if(&key[..], |record| record.end() <= now)
        });
        let removed = removed.count();
        if removed > 0 {
            self.counters.generation.fetch_add(1, AcqRel);
        }
        removed
    }

    /// Goes up with every change of the table, after the change.
    pub(crate) fn generation(&self) -> u64 {
        self.counters.generation.load(Acquire)
    }

    /// All there are, in any order; and corrects for each event whether anybody is subscribed.
    pub(crate) fn take_stock(&self) -> Vec<Subscription> {
        let events: Vec<_> = self.registry.iter().map(|(id, _)| (id, self.registry.wants(id))).collect();
        let all = self.all();
        for (id, wants) in events {
            let any = all.iter().any(|subscription| subscription.event == id);
            match (any, wants) {
                (false, 1..) => self.registry.unwant(id, wants),
                (true, 0) => self.registry.want(id),
                _ => {}
            }
        }
        all
    }

    /// Notes how far the courier has come with a subscription.
    pub(crate) fn note(&self, event: EventId, socket: &str, progress: Progress) {
        self.table.get(&key(event, socket)[..], |record| {
            record.first.store(progress.first, Relaxed);
            record.queued.store(progress.queued, Relaxed);
            record.delivered.fetch_add(progress.delivered, Relaxed);
            record.dropped.fetch_add(progress.dropped, Relaxed);
        });
    }

    /// What the supervisor sweeps after a death.
    pub(crate) fn sweeper(&self) -> &'static dyn tocsin_shm::Sweep {
        self.table.sweeper()
    }

    fn all(&self) -> Vec<Subscription> {
        let mut all = Vec::with_capacity(self.table.len());
        self.table.for_each(|key, record| all.extend(record.to_subscription(key.as_bytes())));
        all
    }
}

/// The last second runs to its end.
fn end(started: Millis, expire: Option<u32>) -> Millis {
    expire.map_or(Millis::MAX, |expire| started.saturating_add((u64::from(expire) + 1) * 1000))
}

/// How far the courier has come with a subscription since it last told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// The first number that may not have been sent.
    pub(crate) first: u64,
    /// How many events wait.
    pub(crate) queued: u64,
    /// How many more were delivered.
    pub(crate) delivered: u64,
    /// How many more were given up.
    pub(crate) dropped: u64,
}

/// The event's id and the socket text.
fn key(event: EventId, socket: &str) -> Vec<u8> {
    [&event.index().to_ne_bytes(), socket.as_bytes()].concat()
}

/// A subscription in shared memory. The numbers that the courier changes are atomic, so that it need not open the record:
/// what is open when its process dies is lost.
#[derive(ShmSafe)]
struct Record {
    shown: ShmBytes,
    resolved: Option<SocketAddr>,
    expire: Option<u32>,
    started: Millis,
    order: u64,
    first: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
    queued: AtomicU64,
}

/// What a refresh leaves as it is.
#[derive(Clone, Copy, Default)]
struct Figures {
    order: u64,
    first: u64,
    delivered: u64,
    dropped: u64,
    queued: u64,
}

impl Record {
    fn new(
        address: &Address,
        expire: Option<u32>,
        started: Millis,
        figures: Figures,
        alloc: Alloc,
    ) -> Result<Self, Full> {
        let resolved = match address.endpoint {
            crate::transport::Endpoint::Socket(to) => Some(to),
            _ => None,
        };
        Ok(Self {
            shown: ShmBytes::try_from_slice_in(address.shown.as_bytes(), alloc)?,
            resolved,
            expire,
            started,
            order: figures.order,
            first: figures.first.into(),
            delivered: figures.delivered.into(),
            dropped: figures.dropped.into(),
            queued: figures.queued.into(),
        })
    }

    fn figures(&self) -> Figures {
        Figures {
            order: self.order,
            first: self.first.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            queued: self.queued.load(Relaxed),
        }
    }

    fn end(&self) -> Millis {
        end(self.started, self.expire)
    }

    fn to_subscription(&self, key: &[u8]) -> Option<Subscription> {
        let (event, socket) = key.split_first_chunk()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let Figures { order, first, delivered, dropped, queued } = self.figures();
        Some(Subscription {
            event: EventId::from_kind(u32::from_ne_bytes(*event)).0,
            socket: text(socket),
            shown: text(&self.shown),
            resolved: self.resolved,
            expire: self.expire,
            started: self.started,
            order,
            first,
            delivered,
            dropped,
            queued,
        })
    }
}

impl ShmClone for Record {
    fn try_clone_in(&self, alloc: Alloc) -> Result<Self, Full> {
        let figures = self.figures();
        Ok(Self {
            shown: self.shown.try_clone_in(alloc)?,
            resolved: self.resolved,
            expire: self.expire,
            started: self.started,
            order: figures.order,
            first: figures.first.into(),
            delivered: figures.delivered.into(),
            dropped: figures.dropped.into(),
            queued: figures.queued.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use tocsin_shm::ArenaOptions;

    use super::*;
    use crate::datagram::Datagram;
    use crate::registry::tests::registry;
    use crate::transport::Transport;

    const EVENT: EventId = EventId::THRESHOLD;

    fn subscriptions(limit: usize) -> Subscriptions {
        let arena = Arena::create(&ArenaOptions { bytes: 2 << 20, boot_bytes: 64 << 10 }).unwrap();
        Subscriptions::create(arena, limit, registry(16)).unwrap()
    }

    fn udp(address: &str) -> Address {
        Datagram::default().parse("udp", address).unwrap()
    }

    fn shown(list: &[Subscription]) -> Vec<&str> {
        list.iter().map(|subscription| subscription.shown.as_str()).collect()
    }

    #[test]
    fn the_seconds_of_a_subscription() {
        let table = subscriptions(8);
        let start = 1_000_500;
        table.subscribe(EVENT, &udp("127.0.0.1:1"), Some(2), start, 0).unwrap();
        let left = |after: u64| {
            table.find(EVENT, "udp:127.0.0.1:1", start + after).map(|found| found.left(start + after))
        };
        for (after, expected) in [
            (0, Some(Left::Seconds(2))),
            (999, Some(Left::Seconds(2))),
            (1000, Some(Left::Seconds(1))),
            (2000, Some(Left::LastSecond)),
            (2999, Some(Left::LastSecond)),
            (3000, None),
        ] {
            assert_eq!(left(after), expected, "after {after} ms");
        }
        assert_eq!(table.expire(start + 2999), 0);
        assert_eq!(table.expire(start + 3000), 1);
        assert_eq!(left(0), None);
    }

    #[test]
    fn expire_zero_lasts_a_second() {
        let table = subscriptions(8);
        table.subscribe(EVENT, &udp("127.0.0.1:1"), Some(0), 5_000, 0).unwrap();
        assert_eq!(
            table.find(EVENT, "udp:127.0.0.1:1", 5_999).map(|found| found.left(5_999)),
            Some(Left::LastSecond)
        );
        assert!(table.any(EVENT, 5_999) && !table.any(EVENT, 6_000));
    }

    #[test]
    fn a_refresh_keeps_its_place_and_starts_the_countdown_anew() {
        let table = subscriptions(8);
        for port in 1..4 {
            table.subscribe(EVENT, &udp(&format!("127.0.0.1:{port}")), None, 1000, port).unwrap();
        }
        let generation = table.generation();
        table.subscribe(EVENT, &udp("127.0.0.1:2"), Some(30), 9000, 77).unwrap();
        let list = table.list(9000);
        assert_eq!(shown(&list), ["udp:127.0.0.1:3", "udp:127.0.0.1:2", "udp:127.0.0.1:1"]);
        assert_eq!((list[1].left(9000), list[1].first), (Left::Seconds(30), 2));
        assert_eq!(list[0].left(u64::MAX), Left::Always);
        assert!(table.generation() > generation);
    }

    #[test]
    fn sockets_are_compared_exactly() {
        let table = subscriptions(8);
        for address in ["127.0.0.10:22185", "127.0.0.1:22185", "127.0.0.100:22185", "localhost:22185"] {
            table.subscribe(EVENT, &udp(address), None, 0, 0).unwrap();
        }
        table.subscribe(EventId::TCP_DISCONNECT, &udp("127.0.0.1:22185"), None, 0, 0).unwrap();
        assert_eq!(table.list(0).len(), 5);
        assert_eq!(table.find(EVENT, "udp:127.0.0.1:22185", 0).unwrap().shown, "udp:127.0.0.1:22185");
    }

    #[test]
    fn the_table_is_bounded() {
        let table = subscriptions(2);
        let subscribe = |port| table.subscribe(EVENT, &udp(&format!("127.0.0.1:{port}")), Some(1), 0, 0);
        assert_eq!([subscribe(1), subscribe(2), subscribe(3)], [Ok(()), Ok(()), Err(SubscribeError::Limit)]);
        assert_eq!(subscribe(1), Ok(()), "a refresh needs no room");
        assert_eq!(table.expire(10_000), 2);
        assert_eq!(subscribe(3), Ok(()));
        let named = udp("host.example:5");
        assert_eq!(table.subscribe(EVENT, &named, None, 0, 0), Err(SubscribeError::Unresolved));
        let resolved = named.resolved("192.0.2.1:5".parse().unwrap());
        assert_eq!(table.subscribe(EVENT, &resolved, None, 0, 0), Ok(()));
        assert_eq!(table.list(0)[0].resolved, Some("192.0.2.1:5".parse().unwrap()));
    }

    #[test]
    fn taking_stock_corrects_what_is_wanted() {
        let table = subscriptions(8);
        table.subscribe(EVENT, &udp("127.0.0.1:1"), Some(1), 0, 0).unwrap();
        let wants = table.registry.wants(EVENT);
        table.registry.unwant(EVENT, wants);
        assert_eq!(table.take_stock().len(), 1);
        assert!(table.registry.is_wanted(EVENT), "a subscriber that died before saying so");
        table.expire(10_000);
        table.take_stock();
        assert!(!table.registry.is_wanted(EVENT));
    }

    #[test]
    fn progress_is_kept_by_a_refresh() {
        let table = subscriptions(8);
        table.subscribe(EVENT, &udp("127.0.0.1:1"), None, 0, 5).unwrap();
        table.note(EVENT, "udp:127.0.0.1:1", Progress { first: 9, queued: 1, delivered: 2, dropped: 3 });
        table.note(EVENT, "udp:127.0.0.1:1", Progress { first: 10, queued: 0, delivered: 2, dropped: 0 });
        table.subscribe(EVENT, &udp("127.0.0.1:1"), Some(5), 0, 50).unwrap();
        let found = &table.list(0)[0];
        assert_eq!((found.first, found.queued, found.delivered, found.dropped), (10, 0, 4, 3));
    }
}
