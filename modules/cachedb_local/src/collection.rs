//! One collection: values by key, in shared memory.

use tocsin_script::{Bytes, Value};
use tocsin_server::blocklist::pattern;
use tocsin_server::caches::{Cache, CacheError};
use tocsin_shm::{
    Alloc, Arena, ArenaFull, Full, Map, MapOptions, Millis, ShmBytes, ShmClone, ShmSafe, Sweep,
    monotonic_millis,
};

/// How long a key may be, in bytes.
pub(super) const MAX_KEY_BYTES: usize = 1024;
/// How long a value may be, in bytes.
pub(super) const MAX_VALUE_BYTES: usize = 64 << 10;

const SHARDS: usize = 8;
/// The part of the arena that the chains of one collection may take at most: one in so many bytes.
const CHAINS_SHARE: u64 = 256;
/// Bytes of one chain.
const CHAIN_BYTES: u64 = 16;
/// Entries of one shard that are taken out before others have their turn.
const EXPIRED_AT_ONCE: usize = 256;
/// Keys that are gathered before what they name is removed.
const KEYS_AT_ONCE: usize = 10_000;
/// What an entry takes beside its key and value, as text and while it is gathered.
const ENTRY_BYTES: usize = 32;

/// A value.
#[derive(ShmSafe, ShmClone)]
struct Entry {
    stored: Stored,
    /// When its time is over; never for `Millis::MAX`.
    until: Millis,
}

#[derive(ShmSafe, ShmClone)]
enum Stored {
    Text(ShmBytes),
    Number(i64),
}

/// A collection. All processes share it.
#[derive(Debug)]
pub(super) struct Collection {
    pub(super) name: String,
    map: Map<ShmBytes, Entry>,
}

impl Collection {
    /// An empty collection with 2 to the power of `exponent` chains, or as many as are sensible in this arena.
    pub(super) fn create(arena: &'static Arena, name: &str, exponent: u32) -> Result<Self, ArenaFull> {
        let sensible = (arena.size_bytes() / CHAINS_SHARE / CHAIN_BYTES).max(SHARDS as u64);
        let chains = 1_u64.checked_shl(exponent).unwrap_or(u64::MAX).min(sensible);
        let buckets = usize::try_from(chains).unwrap_or(usize::MAX).div_ceil(SHARDS);
        let map = Map::create(arena, &MapOptions { name: "cachedb_local", shards: SHARDS, buckets })?;
        Ok(Self { name: name.to_owned(), map })
    }

    pub(super) fn sweeper(&self) -> &'static dyn Sweep {
        self.map.sweeper()
    }

    /// Takes out of one shard what has a key as the pattern `glob` says, but not all at once. `true`: there may be more.
    pub(super) fn remove_matching(&self, shard: usize, glob: &[u8]) -> bool {
        let mut keys = Vec::new();
        self.map.for_each_in(shard, |key, _| {
            if keys.len() < KEYS_AT_ONCE && pattern::matches(glob, key) {
                keys.push(key.to_vec());
            }
        });
        for key in &keys {
            self.map.remove(&key[..], |_| ());
        }
        keys.len() == KEYS_AT_ONCE
    }

    /// Adds the entries of one shard with a key as the pattern `glob` says to `found`, as long as there is room.
    pub(super) fn matching(&self, shard: usize, glob: &[u8], found: &mut Matching) {
        let now = monotonic_millis();
        self.map.for_each_in(shard, |key, entry| {
            if !found.is_full && entry.until > now && pattern::matches(glob, key) {
                found.add(key, entry.stored.to_bytes());
            }
        });
    }

    pub(super) fn shards(&self) -> usize {
        self.map.shards()
    }

    pub(super) fn next_due(&self, shard: usize) -> Millis {
        self.map.next_due(shard)
    }

    /// Gives the memory of entries back whose time is over at `now`.
    pub(super) fn expire(&self, shard: usize, now: Millis) {
        self.map.expire(shard, now, EXPIRED_AT_ONCE, |_, entry, edit| {
            if entry.until <= now {
                edit.remove();
            } else {
                edit.set_deadline(deadline(entry.until));
            }
        });
    }
}

/// Entries that were asked for.
#[derive(Debug)]
pub(super) struct Matching {
    entries: Vec<(Vec<u8>, Bytes)>,
    bytes_left: usize,
    /// One was left out.
    pub(super) is_full: bool,
}

impl Matching {
    /// Room for so many bytes of entries.
    pub(super) fn new(bytes: usize) -> Self {
        Self { entries: Vec::new(), bytes_left: bytes, is_full: false }
    }

    fn add(&mut self, key: &[u8], value: Bytes) {
        match self.bytes_left.checked_sub(key.len() + value.len() + ENTRY_BYTES) {
            Some(left) => {
                self.bytes_left = left;
                self.entries.push((key.to_vec(), value));
            }
            None => self.is_full = true,
        }
    }

    /// The entries, in the order of their keys.
    pub(super) fn sorted(mut self) -> Vec<(Vec<u8>, Bytes)> {
        self.entries.sort_by(|one, two| one.0.cmp(&two.0));
        self.entries
    }
}

impl Cache for Collection {
    fn store(&self, key: &[u8], value: &[u8], lifetime: Option<u32>) -> Result<(), CacheError> {
        check_key(key)?;
        if value.len() > MAX_VALUE_BYTES {
            return Err(CacheError::Value(MAX_VALUE_BYTES));
        }
        let until = until(lifetime);
        let build = |alloc: Alloc| -> Result<_, Full> {
            let stored = Stored::Text(ShmBytes::try_from_slice_in(value, alloc)?);
            Ok((ShmBytes::try_from_slice_in(key, alloc)?, Entry { stored, until }))
        };
        self.map.insert_due(key, deadline(until), build).map(drop).map_err(|Full| CacheError::Full)
    }

    fn fetch(&self, key: &[u8]) -> Option<Bytes> {
        let now = monotonic_millis();
        self.map.get(key, |entry| (entry.until > now).then(|| entry.stored.to_bytes())).flatten()
    }

    fn remove(&self, key: &[u8]) -> bool {
        self.map.remove(key, |_| ()).is_some()
    }

    fn add(&self, key: &[u8], by: i64, lifetime: Option<u32>) -> Result<i64, CacheError> {
        check_key(key)?;
        let now = monotonic_millis();
        loop {
            let changed = self.map.update(key, |entry, edit| {
                let is_over = entry.until <= now;
                let before = if is_over { Some(0) } else { entry.stored.number() };
                let sum = before.and_then(|before| before.checked_add(by)).ok_or(CacheError::Number)?;
                entry.stored = Stored::Number(sum);
                if lifetime.is_some() || is_over {
                    entry.until = until(lifetime);
                    edit.set_deadline(deadline(entry.until));
                }
                Ok(sum)
            });
            if let Some(result) = changed {
                return result;
            }
            let until = until(lifetime);
            let build = |alloc: Alloc| -> Result<_, Full> {
                let entry = Entry { stored: Stored::Number(by), until };
                Ok((ShmBytes::try_from_slice_in(key, alloc)?, entry))
            };
            // Another process may have put it there in the meantime: then it is changed as above.
            if self.map.insert_new_due(key, deadline(until), build).map_err(|Full| CacheError::Full)? {
                return Ok(by);
            }
        }
    }
}

impl Stored {
    fn to_bytes(&self) -> Bytes {
        match self {
            Self::Text(text) => Bytes::new(text),
            Self::Number(number) => Bytes::decimal(*number),
        }
    }

    fn number(&self) -> Option<i64> {
        match self {
            Self::Text(text) => Value::Str(Bytes::new(text)).to_int(),
            Self::Number(number) => Some(*number),
        }
    }
}

fn check_key(key: &[u8]) -> Result<(), CacheError> {
    if (1..=MAX_KEY_BYTES).contains(&key.len()) { Ok(()) } else { Err(CacheError::Key(MAX_KEY_BYTES)) }
}

/// When the time of what is stored now is over.
fn until(lifetime: Option<u32>) -> Millis {
    lifetime.map_or(Millis::MAX, |seconds| monotonic_millis().saturating_add(u64::from(seconds) * 1000))
}

fn deadline(until: Millis) -> Option<Millis> {
    Some(until).filter(|until| *until != Millis::MAX)
}

#[cfg(test)]
mod tests {
    use tocsin_shm::ArenaOptions;

    use super::*;

    fn collection() -> Collection {
        let arena = Arena::create(&ArenaOptions { bytes: 8 << 20, boot_bytes: 1 << 20 }).unwrap();
        Collection::create(arena, "default", 27).unwrap()
    }

    #[test]
    fn values_are_stored_replaced_fetched_and_removed() {
        let all = collection();
        assert_eq!(all.fetch(b"a"), None);
        for value in [&b"one"[..], b"", b"a\0b"] {
            all.store(b"a", value, None).unwrap();
            assert_eq!(all.fetch(b"a").unwrap().as_slice(), value);
        }
        assert!(all.remove(b"a") && !all.remove(b"a"));
        assert_eq!(all.fetch(b"a"), None);
    }

    #[test]
    fn numbers_are_counted() {
        let all = collection();
        assert_eq!(all.add(b"n", 5, None), Ok(5));
        assert_eq!(all.add(b"n", -7, Some(10)), Ok(-2));
        assert_eq!(all.fetch(b"n").unwrap().as_slice(), b"-2");
        all.store(b"n", b"40", None).unwrap();
        assert_eq!(all.add(b"n", 2, None), Ok(42));
        assert_eq!(all.add(b"n", i64::MAX, None), Err(CacheError::Number));
        assert_eq!(all.add(b"n", 0, None), Ok(42), "as it was");
        all.store(b"n", b"forty", None).unwrap();
        assert_eq!(all.add(b"n", 2, None), Err(CacheError::Number));
    }

    #[test]
    fn what_is_over_is_not_found_and_gives_its_memory_back() {
        let all = collection();
        all.store(b"a", b"x", Some(1)).unwrap();
        all.store(b"b", b"y", None).unwrap();
        let later = monotonic_millis() + 1500;
        (0..all.shards()).for_each(|shard| all.expire(shard, later));
        assert_eq!(all.map.len(), 1);
        assert!(all.fetch(b"b").is_some());
    }

    #[test]
    fn patterns_choose_keys() {
        let all = collection();
        for key in ["info_1", "info_2", "other"] {
            all.store(key.as_bytes(), b"v", None).unwrap();
        }
        let found = |glob: &str, bytes: usize| {
            let mut found = Matching::new(bytes);
            (0..all.shards()).for_each(|shard| all.matching(shard, glob.as_bytes(), &mut found));
            let is_full = found.is_full;
            (found.sorted().into_iter().map(|(key, _)| key).collect::<Vec<_>>(), is_full)
        };
        let keys = |glob: &str| found(glob, 1000).0;
        assert_eq!(keys("info_*"), [b"info_1", b"info_2"]);
        let (some, is_full) = found("*", 2 * (ENTRY_BYTES + 7));
        assert!(some.len() == 2 && is_full, "what does not fit is left out, and the answer says so");
        assert!(
            (0..all.shards()).all(|shard| !all.remove_matching(shard, b"info_?")),
            "few are removed at once"
        );
        assert_eq!(keys("*"), [b"other"]);
    }

    #[test]
    fn limits_and_a_full_memory_are_answers() {
        let all = collection();
        assert_eq!(all.store(b"", b"x", None), Err(CacheError::Key(MAX_KEY_BYTES)));
        assert_eq!(all.store(&[b'k'; MAX_KEY_BYTES + 1], b"x", None), Err(CacheError::Key(MAX_KEY_BYTES)));
        assert_eq!(
            all.store(b"k", &vec![0; MAX_VALUE_BYTES + 1], None),
            Err(CacheError::Value(MAX_VALUE_BYTES))
        );
        let value = vec![b'x'; 60_000];
        let stored = (0..500).take_while(|n: &i32| all.store(&n.to_be_bytes(), &value, None).is_ok()).count();
        assert!((20..500).contains(&stored), "{stored}");
        assert_eq!(all.fetch(&0_i32.to_be_bytes()).unwrap().len(), value.len());
    }
}
