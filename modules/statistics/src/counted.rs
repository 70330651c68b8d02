//! The statistics of a group that scripts count up and down. All processes share them.

use tocsin_server::statistics::Kept;
use tocsin_shm::{Alloc, Arena, ArenaFull, Full, Map, MapOptions, ShmBytes, ShmClone, ShmSafe, Sweep};

use super::refusal::{MAX_NAME_BYTES, MAX_STATISTICS, NotCounted};

const SHARDS: usize = 4;
const BUCKETS: usize = 64;

/// One statistic.
#[derive(ShmSafe, ShmClone)]
struct Entry {
    value: i64,
    is_fixed: bool,
}

/// The statistics of one group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted(Map<ShmBytes, Entry>);

impl Counted {
    pub(super) fn create(arena: &'static Arena) -> Result<Self, ArenaFull> {
        let options = MapOptions { name: "statistics", shards: SHARDS, buckets: BUCKETS };
        Map::create(arena, &options).map(Self)
    }

    pub(super) fn sweeper(&self) -> &'static dyn Sweep {
        self.0.sweeper()
    }

    /// Makes a statistic, which begins at 0. It is never set back if `is_fixed`.
    pub(super) fn declare(&self, name: &str, is_fixed: bool) -> Result<(), NotCounted> {
        self.insert(name, Entry { value: 0, is_fixed }).map(drop)
    }

    /// Adds to a statistic, and makes it if there is none.
    pub(super) fn add(&self, name: &str, by: i64) -> Result<(), NotCounted> {
        loop {
            let add = |entry: &mut Entry| entry.value = entry.value.wrapping_add(by);
            if self.0.update(name.as_bytes(), |entry, _| add(entry)).is_some() {
                return Ok(());
            }
            // another process may have made it meanwhile: then it is added there
            if self.insert(name, Entry { value: by, is_fixed: false })? {
                return Ok(());
            }
        }
    }

    fn insert(&self, name: &str, entry: Entry) -> Result<bool, NotCounted> {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(NotCounted::Name);
        }
        if self.0.len() >= MAX_STATISTICS && !self.0.contains(name.as_bytes()) {
            return Err(NotCounted::TooMany);
        }
        let build = |alloc: Alloc| -> Result<_, Full> {
            Ok((ShmBytes::try_from_slice_in(name.as_bytes(), alloc)?, entry))
        };
        self.0.insert_new(name.as_bytes(), build).map_err(|Full| NotCounted::Full)
    }
}

impl Kept for Counted {
    fn each(&self, each: &mut dyn FnMut(&str, i64, bool)) {
        let mut all = Vec::new();
        self.0.for_each(|name, entry| all.push((name.to_vec(), entry.value, !entry.is_fixed)));
        all.sort();
        for (name, value, can_reset) in all {
            each(&String::from_utf8_lossy(&name), value, can_reset);
        }
    }

    fn value(&self, name: &str) -> Option<i64> {
        self.0.get(name.as_bytes(), |entry| entry.value)
    }

    fn reset(&self, name: &str) -> bool {
        let reset = |entry: &mut Entry| {
            if !entry.is_fixed {
                entry.value = 0;
            }
        };
        self.0.update(name.as_bytes(), |entry, _| reset(entry)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_shm::ArenaOptions;

    #[test]
    fn statistics_are_made_counted_and_reset() {
        let arena = Arena::create(&ArenaOptions { bytes: 8 << 20, boot_bytes: 1 << 20 }).unwrap();
        let group = Counted::create(arena).unwrap();
        group.declare("fixed", true).unwrap();
        for (name, by) in [("a", 5), ("a", -2), ("fixed", 4), ("z", 1)] {
            group.add(name, by).unwrap();
        }
        assert!(group.reset("fixed") && group.reset("z") && !group.reset("none"));
        let mut seen = Vec::new();
        group.each(&mut |name, value, can_reset| seen.push((name.to_owned(), value, can_reset)));
        let expected = [("a", 3, true), ("fixed", 4, false), ("z", 0, true)];
        assert_eq!(seen, expected.map(|(name, value, can_reset)| (name.to_owned(), value, can_reset)));
        assert_eq!(group.add("", 1), Err(NotCounted::Name));
        assert_eq!(group.add(&"x".repeat(MAX_NAME_BYTES + 1), 1), Err(NotCounted::Name));
    }

    #[test]
    fn a_group_has_a_limit() {
        let arena = Arena::create(&ArenaOptions { bytes: 16 << 20, boot_bytes: 1 << 20 }).unwrap();
        let group = Counted::create(arena).unwrap();
        (0..MAX_STATISTICS).for_each(|n| group.add(&n.to_string(), 1).unwrap());
        assert_eq!(group.add("more", 1), Err(NotCounted::TooMany));
        assert_eq!(group.add("0", 1), Ok(()));
    }
}
