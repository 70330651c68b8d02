//! Which routes are to be run when which events come: a table in shared memory.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tocsin_event::{EventId, Params};
use tocsin_shm::{Arena, ArenaFull, Full, Map, MapOptions, Millis, ShmBytes, ShmClone, ShmSafe, Sweep};

use super::filters::{Filters, hold};

/// Notifications that may be ordered at once.
const MAX_NOTIFICATIONS: usize = 4096;

/// The table. A copy refers to the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notifications {
    table: Map<u64, Record>,
    /// How many were ever ordered.
    made: &'static AtomicU64,
}

#[derive(ShmSafe, ShmClone)]
struct Record {
    event: u32,
    until: Millis,
    route: ShmBytes,
    filters: ShmBytes,
}

impl Notifications {
    /// An empty table. To be called before the first fork.
    pub(crate) fn create(arena: &'static Arena) -> Result<Self, ArenaFull> {
        let table = Map::create(arena, &MapOptions { name: "event_routing", shards: 1, buckets: 256 })?;
        Ok(Self { table, made: &arena.boot_array(1, |_| AtomicU64::new(0))?[0] })
    }

    pub(crate) fn sweeper(&self) -> &'static dyn Sweep {
        self.table.sweeper()
    }

    /// Has `route` run for each event that the filters hold for, `until` then.
    ///
    /// # Errors
    /// There are too many, or there is no memory.
    pub(crate) fn add(
        &self,
        event: EventId,
        filters: &Filters,
        route: &[u8],
        now: Millis,
        until: Millis,
    ) -> Result<(), Full> {
        if self.table.len() >= MAX_NOTIFICATIONS {
            self.expire(now);
        }
        if self.table.len() >= MAX_NOTIFICATIONS {
            return Err(Full);
        }
        let key = self.made.fetch_add(1, Relaxed);
        let stored = self.table.insert(&key, |alloc| {
            let route = ShmBytes::try_from_slice_in(route, alloc)?;
            let filters = ShmBytes::try_from_slice_in(filters.as_bytes(), alloc)?;
            Ok((key, Record { event: event.index(), until, route, filters }))
        });
        stored.map(drop)
    }

    /// The routes to run for an event, in the order in which they were ordered.
    pub(crate) fn routes(&self, event: EventId, params: Params<'_>, now: Millis) -> Vec<Vec<u8>> {
        let (mut found, mut is_over) = (Vec::new(), false);
        self.table.for_each(|key, record| {
            is_over |= record.until <= now;
            if record.event == event.index() && record.until > now && hold(&record.filters, params) {
                found.push((*key, record.route.to_vec()));
            }
        });
        if is_over {
            self.expire(now);
        }
        found.sort_unstable();
        found.into_iter().map(|(_, route)| route).collect()
    }

    fn expire(&self, now: Millis) {
        let mut over = Vec::new();
        self.table.for_each(|key, record| over.extend((record.until <= now).then_some(*key)));
        for key in over {
            self.table.remove_if(&key, |record| record.until <= now);
        }
    }
}

#[cfg(test)]
mod tests {
    use tocsin_shm::ArenaOptions;

    use super::*;

    #[test]
    fn routes_in_their_order_until_their_time() {
        let arena = Arena::create(&ArenaOptions { bytes: 32 << 20, boot_bytes: 1 << 20 }).unwrap();
        let all = Notifications::create(arena).unwrap();
        let (event, filters, none) = (EventId::THRESHOLD, Filters::default(), Params::new(&[]));
        for (route, until) in [("one", 100), ("two", 300), ("one", 200)] {
            all.add(event, &filters, route.as_bytes(), 0, until).unwrap();
        }
        let routes = |now| {
            let found = all.routes(event, none, now).into_iter();
            found.map(|route| String::from_utf8(route).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(routes(99), ["one", "two", "one"]);
        assert_eq!((routes(100), all.table.len()), (vec!["two".to_owned(), "one".to_owned()], 2));
        assert!(all.routes(EventId::PKG_THRESHOLD, none, 100).is_empty());
        while all.table.len() < MAX_NOTIFICATIONS {
            all.add(event, &filters, b"more", 100, 400).unwrap();
        }
        assert!(all.add(event, &filters, b"more", 100, 400).is_err());
        all.add(event, &filters, b"last", 300, 500).unwrap();
    }
}
