//! The map: records by key, in shards that fail alone.
//!
//! A shard is a lock, a heap, chains of records and a wheel of their deadlines. A process that dies while it holds a
//! shard leaves it marked; the next one that comes copies the records into a fresh heap and goes on: each is as its last
//! completed operation left it. A change in place that a death interrupts is undone; only if there was no memory for that
//! ([`undo`](crate::undo)) is the record lost.
//!
//! Closures run under the lock: they copy in or out what is needed and return. They must not touch a map (a process
//! holds one lock at a time), and not wait. What they carry out is a copy: a shared value taken out of its record owns
//! memory that the next repair of the shard takes away.

mod edit;
mod expire;
mod repair;
mod shard;
mod wheel;

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::Ordering::Relaxed;

use siphasher::sip::SipHasher13;

pub use self::edit::Edit;
pub use self::repair::REPAIR_ATTEMPTS;
pub use self::wheel::Millis;

use self::shard::{Held, Shard};
use crate::arena::{Arena, ArenaFull, Purpose};
use crate::heap::{Alloc, Full, Heap};
use crate::{Dead, ShmClone, Sweep, Swept, TableUsage};

/// How a map is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapOptions {
    /// The table's name in statistics and logs.
    pub name: &'static str,
    /// Shards, rounded up to a power of two. Each takes 2.5 KiB and the size of a value of fixed tables, and a chunk once
    /// it has a record.
    pub shards: usize,
    /// Chains of each shard, rounded up to a power of two. 16 bytes each.
    pub buckets: usize,
}

/// Records by key, shared by all processes. A handle to copy; what it names lives as long as the arena.
pub struct Map<K: 'static, V: 'static> {
    table: &'static Table<K, V>,
}

struct Table<K: 'static, V: 'static> {
    name: &'static str,
    hash_key: [u64; 2],
    chunk_bytes: u64,
    shards: &'static [Shard<K, V>],
}

// SAFETY: a table is used under the locks of its shards only, and what it holds may be shared between processes.
unsafe impl<K, V> Sync for Table<K, V> {}
// SAFETY: as above.
unsafe impl<K, V> Send for Map<K, V> {}
// SAFETY: as above.
unsafe impl<K, V> Sync for Map<K, V> {}

impl<K, V> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Map<K, V> {}

impl<K, V> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("name", &self.name()).field("len", &self.len()).finish()
    }
}

impl<K: ShmClone + Hash + Eq, V: ShmClone> Map<K, V> {
    /// Makes an empty map. To be called before the first fork.
    ///
    /// # Errors
    /// [`ArenaFull`] when there is no room for its fixed tables.
    pub fn create(arena: &'static Arena, options: &MapOptions) -> Result<Self, ArenaFull> {
        Self::create_for(arena, options, Purpose::Work)
    }

    /// As [`Self::create`], for records that operators must be able to make while the arena is full:
    /// [`VITAL_BYTES`](crate::VITAL_BYTES) are kept for all such maps together.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_vital(arena: &'static Arena, options: &MapOptions) -> Result<Self, ArenaFull> {
        Self::create_for(arena, options, Purpose::Vital)
    }

    fn create_for(arena: &'static Arena, options: &MapOptions, purpose: Purpose) -> Result<Self, ArenaFull> {
        let buckets = options.buckets.max(1).next_power_of_two();
        let shards = 0..options.shards.max(1).next_power_of_two();
        let shards = shards.map(|_| Shard::create(arena, buckets, purpose));
        let mut shards = shards.collect::<Result<Vec<_>, _>>()?.into_iter();
        let shards = arena.boot_array_of(shards.len(), &mut |_| {
            shards.next().unwrap_or_else(|| unreachable!("as many as were asked for"))
        })?;
        for shard in shards {
            shard.heaps.iter().for_each(|heap| heap.guard_by(&shard.lock));
        }
        let chunk_bytes = arena.chunk_bytes();
        let table = Table { name: options.name, hash_key: arena.hash_key(), chunk_bytes, shards };
        Ok(Self { table: arena.boot(table)? })
    }

    /// Calls `read` with the record of `key`.
    #[inline]
    pub fn get<Q, R>(&self, key: &Q, read: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let held = self.hold(hash);
        // SAFETY: found under the lock, which is still held.
        let record = unsafe { held.find(hash, key).record.as_ref() }?;
        // SAFETY: under the lock, nobody changes the value.
        Some(read(unsafe { &*record.value.get() }))
    }

    /// Whether there is a record of `key`.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.get(key, |_| ()).is_some()
    }

    /// The deadline of the record of `key`, if there are both.
    pub fn deadline<Q>(&self, key: &Q) -> Option<Millis>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let held = self.hold(hash);
        // SAFETY: found under the lock, which is still held.
        let record = unsafe { held.find(hash, key).record.as_ref() }?;
        Some(record.timer.deadline()).filter(|deadline| *deadline != wheel::NEVER)
    }

    /// Puts the record that `build` makes in, or in the place of the one that is there; one store makes the change.
    /// `build` makes key and value of the memory it is given, and the key equal to `key`. Returns whether the key is
    /// new. The record has no deadline.
    ///
    /// # Errors
    /// [`Full`] when there is no room: the map is as it was.
    pub fn insert<Q>(&self, key: &Q, build: impl FnOnce(Alloc) -> Result<(K, V), Full>) -> Result<bool, Full>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.insert_due(key, None, build)
    }

    /// As [`Self::insert`], with a deadline.
    pub fn insert_due<Q>(
        &self,
        key: &Q,
        deadline: Option<Millis>,
        build: impl FnOnce(Alloc) -> Result<(K, V), Full>,
    ) -> Result<bool, Full>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.put(key, deadline, true, |_, alloc| build(alloc))
    }

    /// As [`Self::insert`], and `build` sees the value that is replaced, under the same lock.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn replace<Q>(
        &self,
        key: &Q,
        build: impl FnOnce(Option<&V>, Alloc) -> Result<(K, V), Full>,
    ) -> Result<bool, Full>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.put(key, None, true, build)
    }

    /// Puts the record that `build` makes in, unless there is one: then `build` is not called and `false` returned.
    ///
    /// # Errors
    /// As [`Self::insert`].
    pub fn insert_new<Q>(
        &self,
        key: &Q,
        build: impl FnOnce(Alloc) -> Result<(K, V), Full>,
    ) -> Result<bool, Full>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.insert_new_due(key, None, build)
    }

    /// As [`Self::insert_new`], with a deadline.
    pub fn insert_new_due<Q>(
        &self,
        key: &Q,
        deadline: Option<Millis>,
        build: impl FnOnce(Alloc) -> Result<(K, V), Full>,
    ) -> Result<bool, Full>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.put(key, deadline, false, |_, alloc| build(alloc))
    }

    /// Changes a record in place; the change is made when `change` has returned. A process that dies before leaves the
    /// record as it was.
    pub fn update<Q, R>(&self, key: &Q, change: impl FnOnce(&mut V, &mut Edit<'_>) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let mut held = self.hold(hash);
        let found = held.find(hash, key);
        // SAFETY: found under the lock, which is still held.
        let deadline = unsafe { found.record.as_ref() }?.timer.deadline();
        Some(held.edit(&found, deadline, |_, value, edit| change(value, edit)))
    }

    /// Takes the record of `key` out, after `read` has seen it.
    pub fn remove<Q, R>(&self, key: &Q, read: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut result = None;
        self.remove_if(key, |value| {
            result = Some(read(value));
            true
        });
        result
    }

    /// Takes the record of `key` out if `condition` holds for it. Returns whether it did.
    pub fn remove_if<Q>(&self, key: &Q, condition: impl FnOnce(&V) -> bool) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let mut held = self.hold(hash);
        let found = held.find(hash, key);
        // SAFETY: found under the lock, which is still held.
        let Some(record) = (unsafe { found.record.as_ref() }) else { return false };
        // SAFETY: under the lock, nobody changes the value.
        let wanted = condition(unsafe { &*record.value.get() });
        if wanted {
            held.begin_write();
            held.unhang(&found);
            held.trim();
        }
        wanted
    }

    /// Calls `read` for each record, one shard after another: no picture of one moment.
    pub fn for_each(&self, mut read: impl FnMut(&K, &V)) {
        (0..self.shards()).for_each(|shard| self.for_each_in(shard, &mut read));
    }

    /// Calls `read` for each record of one shard.
    pub fn for_each_in(&self, shard: usize, mut read: impl FnMut(&K, &V)) {
        let Some(shard) = self.table.shards.get(shard) else { return };
        // SAFETY: under the lock, nobody changes the value.
        Held::take(shard).for_each(|_, record| read(&record.key, unsafe { &*record.value.get() }));
    }

    /// Takes all records out.
    pub fn clear(&self) {
        for shard in self.table.shards {
            let mut held = Held::take(shard);
            held.begin_write();
            repair::empty(shard);
        }
    }

    /// Copies the records of a shard close together when it holds far more memory than they use. To be called now and
    /// then. Returns the bytes that were given back.
    ///
    /// # Errors
    /// [`Full`] when there is no room for the copy: the shard is as it was.
    pub fn compact(&self, shard: usize) -> Result<u64, Full> {
        let Some(shard) = self.table.shards.get(shard) else { return Ok(0) };
        let mut held = Held::take(shard);
        let before = held.heap().chunks();
        if !held.heap().is_sparse() {
            return Ok(0);
        }
        held.begin_write();
        repair::compact(shard)?;
        let after: usize = shard.heaps.iter().map(Heap::chunks).sum();
        Ok(before.saturating_sub(after) as u64 * self.table.chunk_bytes)
    }

    fn put<Q>(
        &self,
        key: &Q,
        deadline: Option<Millis>,
        replace: bool,
        build: impl FnOnce(Option<&V>, Alloc) -> Result<(K, V), Full>,
    ) -> Result<bool, Full>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let mut held = self.hold(hash);
        let found = held.find(hash, key);
        let new = found.record.is_null();
        if !new && !replace {
            return Ok(false);
        }
        // SAFETY: found under the lock, which is still held.
        let before = unsafe { found.record.as_ref() };
        held.begin_write();
        // SAFETY: under the lock, nobody changes the value.
        let before = before.map(|record| unsafe { &*record.value.get() });
        let (built, value) = build(before, held.alloc())?;
        debug_assert!(built.borrow() == key, "a record goes by its own key");
        held.put(&found, hash, deadline, built, value)?;
        Ok(new)
    }

    #[inline]
    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        let [a, b] = self.table.hash_key;
        let mut hasher = SipHasher13::new_with_keys(a, b);
        key.hash(&mut hasher);
        hasher.finish()
    }

    #[inline]
    fn hold(&self, hash: u64) -> Held<K, V> {
        Held::take(&self.table.shards[(hash >> 32) as usize & (self.table.shards.len() - 1)])
    }
}

impl<K, V> Map<K, V> {
    /// The table's name.
    pub fn name(&self) -> &'static str {
        self.table.name
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.table.shards.len()
    }

    /// How many records there are. Reads a word of each shard, without a lock.
    pub fn len(&self) -> usize {
        self.sum(|shard| shard.len.load(Relaxed) as u64) as usize
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the records.
    pub fn used_bytes(&self) -> u64 {
        self.sum(|shard| shard.heaps.iter().map(|heap| heap.used() as u64).sum())
    }

    /// Bytes of the chunks that the shards hold.
    pub fn held_bytes(&self) -> u64 {
        self.sum(|shard| shard.heaps.iter().map(|heap| heap.chunks() as u64).sum()) * self.table.chunk_bytes
    }

    /// Shards repaired after a death.
    pub fn repairs(&self) -> u64 {
        self.sum(|shard| shard.repairs.load(Relaxed))
    }

    /// Records lost by deaths.
    pub fn lost(&self) -> u64 {
        self.sum(|shard| shard.lost.load(Relaxed))
    }

    /// How often a process slept for a shard.
    pub fn contended(&self) -> u64 {
        self.sum(|shard| shard.lock.contended().into())
    }

    /// What the supervisor sweeps after a death.
    pub fn sweeper(&self) -> &'static dyn Sweep {
        self.table
    }

    /// Chunks that carry the tags of this map in the arena's table, and chunks that its heaps know of. For tests: the
    /// two are equal when no process is in the middle of a change.
    #[doc(hidden)]
    pub fn chunks_by_tag_and_by_heap(&self) -> (u64, u64) {
        let by_tag = self.sum(|shard| shard.heaps.iter().map(|heap| heap.owned() as u64).sum());
        (by_tag, self.sum(|shard| shard.heaps.iter().map(|heap| heap.chunks() as u64).sum()))
    }

    /// Switches repair off, so that a test can show that it would find what a repair prevents.
    #[doc(hidden)]
    pub fn without_repair(&self) {
        self.table.shards.iter().for_each(|shard| shard.no_repair.store(true, Relaxed));
    }

    fn sum(&self, of: impl Fn(&Shard<K, V>) -> u64) -> u64 {
        self.table.shards.iter().map(of).sum()
    }
}

impl<K, V> Sweep for Map<K, V> {
    fn sweep(&self, dead: Dead) -> Swept {
        self.table.sweep(dead)
    }
}

impl<K, V> Sweep for Table<K, V> {
    fn sweep(&self, dead: Dead) -> Swept {
        let mut swept = Swept::default();
        for shard in self.shards {
            if shard.lock.holder() == dead.pid && shard.lock.is_dirty() {
                let is_exposed = shard.heaps[shard.live.load(Relaxed) & 1].is_exposed();
                swept.records_lost += u32::from(is_exposed && !shard.editing.load(Relaxed).is_null());
                // The process that expires records comes by at once, and repairs.
                shard.wheel.make_due();
            }
            if let Some(dirty) = shard.lock.sweep(dead.pid) {
                swept += Swept { held: 1, dirty: dirty.into(), records_lost: 0 };
            }
        }
        swept
    }

    fn usage(&self) -> Option<TableUsage> {
        let sum = |of: fn(&Shard<K, V>) -> u64| self.shards.iter().map(of).sum();
        let chunks: u64 = sum(|shard| shard.heaps.iter().map(|heap| heap.chunks() as u64).sum());
        Some(TableUsage {
            name: self.name,
            records: sum(|shard| shard.len.load(Relaxed) as u64),
            used_bytes: sum(|shard| shard.heaps.iter().map(|heap| heap.used() as u64).sum()),
            held_bytes: chunks * self.chunk_bytes,
            repairs: sum(|shard| shard.repairs.load(Relaxed)),
            lost: sum(|shard| shard.lost.load(Relaxed)),
        })
    }
}

#[cfg(test)]
mod tests;
