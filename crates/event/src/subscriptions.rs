//! Who is subscribed to what: a bounded table in shared memory, keyed by event and socket.
//!
//! Any process may subscribe; the courier delivers, and takes out what expired. A subscription to the same event and the
//! same socket, compared exactly, is a refresh of the first; but what the script subscribed for its routes and what clients
//! subscribed stand beside each other. There is no unsubscribing: an expiry of 0 ends it within a second, as it always did.
//!
//! Subscriptions have a small part of the shared memory for themselves, so that an operator can listen when it is full.

use std::net::SocketAddr;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

use tocsin_shm::{Alloc, Arena, ArenaFull, Full, Map, MapOptions, Millis, ShmBytes, ShmClone, ShmSafe};

use crate::account::{Accounts, Balance};
use crate::address::Address;
use crate::registry::{EventId, Registry};

/// How many subscriptions there may be, unless the maker of the table says otherwise.
pub const MAX_SUBSCRIPTIONS: usize = 4096;

/// How long a subscription lasts when the request to the Management Interface does not say, in seconds.
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
    /// The server itself listens there: an event could be the cause of the next one.
    #[error("the server itself listens there")]
    Own,
}

/// The table of subscriptions. A copy refers to the same table.
#[derive(Clone, Copy, Debug)]
pub struct Subscriptions {
    table: Map<ShmBytes, Record>,
    counters: &'static Counters,
    accounts: Accounts,
    registry: Registry,
}

/// Whose a subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A client's, or a function's of the script.
    Client = 0,
    /// That of a route of the script.
    Script = 1,
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
    owner: Owner,
    /// The index of its account.
    pub(crate) account: usize,
    /// The account is its own while it has this number.
    pub(crate) tenure: u32,
    /// What the account held before it.
    pub(crate) before: Balance,
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
    pub(crate) fn create(
        arena: &'static Arena,
        accounts: Accounts,
        registry: Registry,
    ) -> Result<Self, ArenaFull> {
        let table = Map::create_vital(arena, &MapOptions { name: "subscriptions", shards: 1, buckets: 64 })?;
        let counters = &arena.boot_array(1, |_| Counters::default())?[0];
        Ok(Self { table, counters, accounts, registry })
    }

    /// Subscribes `address` to `event` for `expire` seconds, or for ever; or refreshes that subscription. `head` is where
    /// the event log was before.
    ///
    /// # Errors
    /// [`SubscribeError`]
    pub(crate) fn subscribe(
        &self,
        owner: Owner,
        event: EventId,
        address: &Address,
        expire: Option<u32>,
        now: Millis,
        head: u64,
    ) -> Result<(), SubscribeError> {
        if address.unresolved().is_some() {
            return Err(SubscribeError::Unresolved);
        }
        let key = key(event, owner, &address.socket);
        let (mut account, mut is_full) = (0, false);
        // Replaced whole, so that a process that dies here costs no subscription.
        let stored = self.table.replace(&key[..], |before, alloc| {
            // What ended and was not taken out yet goes on: events that were raised for it may not have been read.
            let kept = before.map(|record| record.kept);
            let kept = kept.or_else(|| {
                let taken = self.accounts.take(head)?;
                let order = self.counters.made.fetch_add(1, Relaxed);
                // At most as many as there are accounts.
                Some(Kept { order, account: taken.index as u32, tenure: taken.tenure, before: taken.balance })
            });
            is_full = kept.is_none();
            let kept = kept.ok_or(Full)?;
            account = kept.account as usize;
            let record = Record::new(address, expire, now, kept, alloc)?;
            Ok((ShmBytes::try_from_slice_in(&key, alloc)?, record))
        });
        if stored.is_err() {
            // An account that was taken is found by the courier, and given back: nobody else does that.
            return Err(if is_full { SubscribeError::Limit } else { SubscribeError::Full });
        }
        self.registry.want(event);
        self.counters.generation.fetch_add(1, AcqRel);
        // The courier can see it: what is raised from now on will be delivered.
        if let Some(account) = self.accounts.get(account) {
            account.open(|| self.registry.raised(event));
        }
        Ok(())
    }

    /// Ends a client's subscription at `now`: what was raised before is still delivered. Returns `false` if there is none.
    pub(crate) fn end(&self, event: EventId, socket: &str, now: Millis) -> bool {
        let key = key(event, Owner::Client, socket);
        let ended = self.table.update(&key[..], |record, _| {
            let is_open = record.end() > now;
            if is_open {
                // What was raised within this millisecond may have been raised before.
                (record.started, record.expire) = ((now + 1).saturating_sub(LAST_SECOND), Some(0));
            }
            is_open
        });
        if ended == Some(true) {
            self.counters.generation.fetch_add(1, AcqRel);
        }
        ended == Some(true)
    }

    /// The subscription of one socket to one event, if anything is left of it at `now`.
    pub fn find(&self, event: EventId, socket: &str, now: Millis) -> Option<Subscription> {
        let found = |owner| {
            let key = key(event, owner, socket);
            let found = self.table.get(&key[..], |record| record.to_subscription(&key))??;
            Some(found).filter(|subscription| subscription.left(now) != Left::Nothing)
        };
        found(Owner::Client).or_else(|| found(Owner::Script))
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
            let key = key(subscription.event, subscription.owner, &subscription.socket);
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

    /// What the supervisor sweeps after a death.
    pub(crate) fn sweeper(&self) -> &'static dyn tocsin_shm::Sweep {
        self.table.sweeper()
    }

    /// All there are, in any order.
    pub(crate) fn all(&self) -> Vec<Subscription> {
        let mut all = Vec::with_capacity(self.table.len());
        self.table.for_each(|key, record| all.extend(record.to_subscription(key.as_bytes())));
        all
    }
}

/// The last second runs to its end.
fn end(started: Millis, expire: Option<u32>) -> Millis {
    expire.map_or(Millis::MAX, |expire| started.saturating_add(u64::from(expire) * 1000 + LAST_SECOND))
}

/// How long a subscription with nothing left but its last second lasts.
const LAST_SECOND: Millis = 1000;

/// The event's id, whose it is, and the socket text.
fn key(event: EventId, owner: Owner, socket: &str) -> Vec<u8> {
    [&event.index().to_ne_bytes(), &[owner as u8][..], socket.as_bytes()].concat()
}

/// A subscription in shared memory.
#[derive(ShmSafe, ShmClone)]
struct Record {
    shown: ShmBytes,
    resolved: Option<SocketAddr>,
    expire: Option<u32>,
    started: Millis,
    kept: Kept,
}

/// What a refresh leaves as it is.
#[derive(Clone, Copy, ShmSafe, ShmClone)]
struct Kept {
    order: u64,
    account: u32,
    tenure: u32,
    before: Balance,
}

impl Record {
    fn new(
        address: &Address,
        expire: Option<u32>,
        started: Millis,
        kept: Kept,
        alloc: Alloc,
    ) -> Result<Self, Full> {
        let resolved = match address.endpoint {
            crate::address::Endpoint::Socket(to) => Some(to),
            _ => None,
        };
        let shown = ShmBytes::try_from_slice_in(address.shown.as_bytes(), alloc)?;
        Ok(Self { shown, resolved, expire, started, kept })
    }

    fn end(&self) -> Millis {
        end(self.started, self.expire)
    }

    fn to_subscription(&self, key: &[u8]) -> Option<Subscription> {
        let (event, rest) = key.split_first_chunk()?;
        let (owner, socket) = rest.split_first()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(Subscription {
            event: EventId::from_kind(u32::from_ne_bytes(*event)).0,
            socket: text(socket),
            shown: text(&self.shown),
            resolved: self.resolved,
            expire: self.expire,
            started: self.started,
            order: self.kept.order,
            owner: if *owner == Owner::Script as u8 { Owner::Script } else { Owner::Client },
            account: self.kept.account as usize,
            tenure: self.kept.tenure,
            before: self.kept.before,
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
        let arena = Arena::create(&ArenaOptions { bytes: 2 << 20, boot_bytes: 256 << 10 }).unwrap();
        Subscriptions::create(arena, Accounts::create(arena, limit).unwrap(), registry(16)).unwrap()
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
        table.subscribe(Owner::Client, EVENT, &udp("127.0.0.1:1"), Some(2), start, 0).unwrap();
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
        table.subscribe(Owner::Client, EVENT, &udp("127.0.0.1:1"), Some(0), 5_000, 0).unwrap();
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
            table
                .subscribe(Owner::Client, EVENT, &udp(&format!("127.0.0.1:{port}")), None, 1000, port)
                .unwrap();
        }
        let generation = table.generation();
        table.subscribe(Owner::Client, EVENT, &udp("127.0.0.1:2"), Some(30), 9000, 77).unwrap();
        let list = table.list(9000);
        assert_eq!(shown(&list), ["udp:127.0.0.1:3", "udp:127.0.0.1:2", "udp:127.0.0.1:1"]);
        assert_eq!(list[1].left(9000), Left::Seconds(30));
        assert_eq!((list[1].account, list[1].before.next), (1, 2), "with the account it had");
        assert_eq!(list[0].left(u64::MAX), Left::Always);
        assert!(table.generation() > generation);
    }

    #[test]
    fn sockets_are_compared_exactly() {
        let table = subscriptions(8);
        for address in ["127.0.0.10:22185", "127.0.0.1:22185", "127.0.0.100:22185", "localhost:22185"] {
            table.subscribe(Owner::Client, EVENT, &udp(address), None, 0, 0).unwrap();
        }
        table.subscribe(Owner::Client, EventId::TCP_DISCONNECT, &udp("127.0.0.1:22185"), None, 0, 0).unwrap();
        assert_eq!(table.list(0).len(), 5);
        assert_eq!(table.find(EVENT, "udp:127.0.0.1:22185", 0).unwrap().shown, "udp:127.0.0.1:22185");
    }

    #[test]
    fn the_table_is_bounded() {
        let table = subscriptions(2);
        let subscribe =
            |port| table.subscribe(Owner::Client, EVENT, &udp(&format!("127.0.0.1:{port}")), Some(1), 0, 0);
        assert_eq!([subscribe(1), subscribe(2), subscribe(3)], [Ok(()), Ok(()), Err(SubscribeError::Limit)]);
        assert_eq!(subscribe(1), Ok(()), "a refresh needs no room");
        assert_eq!(table.expire(10_000), 2);
        assert_eq!(subscribe(3), Err(SubscribeError::Limit), "their last events may be on their way");
        table.accounts.touched().iter().for_each(crate::account::Account::free);
        assert_eq!(subscribe(3), Ok(()));
        let named = udp("host.example:5");
        assert_eq!(
            table.subscribe(Owner::Client, EVENT, &named, None, 0, 0),
            Err(SubscribeError::Unresolved)
        );
        let resolved = named.resolved("192.0.2.1:5".parse().unwrap());
        assert_eq!(table.subscribe(Owner::Client, EVENT, &resolved, None, 0, 0), Ok(()));
        assert_eq!(table.list(0)[0].resolved, Some("192.0.2.1:5".parse().unwrap()));
    }

    #[test]
    fn taking_stock_corrects_what_is_wanted() {
        let table = subscriptions(8);
        table.subscribe(Owner::Client, EVENT, &udp("127.0.0.1:1"), Some(1), 0, 0).unwrap();
        let wants = table.registry.wants(EVENT);
        table.registry.unwant(EVENT, wants);
        assert_eq!(table.take_stock().len(), 1);
        assert!(table.registry.is_wanted(EVENT), "a subscriber that died before saying so");
        table.expire(10_000);
        table.take_stock();
        assert!(!table.registry.is_wanted(EVENT));
    }

    #[test]
    fn the_scripts_route_and_a_clients_stand_beside_each_other() {
        let table = subscriptions(8);
        let route = Address::new("route", "E_X", crate::address::Endpoint::Text);
        table.subscribe(Owner::Script, EVENT, &route, None, 0, 0).unwrap();
        table.subscribe(Owner::Client, EVENT, &route, Some(1), 0, 0).unwrap();
        assert_eq!(shown(&table.list(0)), ["route:E_X", "route:E_X"]);
        assert_eq!(table.find(EVENT, "route:E_X", 0).unwrap().expire, Some(1));
        assert_eq!(table.expire(10_000), 1);
        assert_eq!(table.find(EVENT, "route:E_X", 10_000).unwrap().left(10_000), Left::Always);
    }

    #[test]
    fn a_subscription_is_made_when_shared_memory_is_full() {
        let arena = Arena::create(&ArenaOptions { bytes: 2 << 20, boot_bytes: 256 << 10 }).unwrap();
        let accounts = Accounts::create(arena, 64).unwrap();
        let table = Subscriptions::create(arena, accounts, registry(16)).unwrap();
        let other: Map<u64, ShmBytes> =
            Map::create(arena, &MapOptions { name: "other", shards: 1, buckets: 8 }).unwrap();
        let fill = |n: u64| {
            other.insert(&n, |alloc| Ok((n, ShmBytes::try_from_slice_in(&[0; 1000], alloc)?))).is_ok()
        };
        assert!((0..).take_while(|n| fill(*n)).count() > 1000);
        for port in 1..20 {
            table.subscribe(Owner::Client, EVENT, &udp(&format!("127.0.0.1:{port}")), None, 0, 0).unwrap();
        }
    }
}
