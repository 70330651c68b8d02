//! A shard: a lock, a heap and chains of records; the unit of contention and of damage.
//!
//! Every change commits with one store, so a process that dies leaves each record as it was or as it should be. One that was
//! open for a change in place becomes what it was before ([`undo`](crate::undo)).

use std::borrow::Borrow;
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, compiler_fence};

use allocator_api2::boxed::Box as Block;

use super::repair::repair;
use super::wheel::{Millis, NEVER, Timer, Wheel};
use crate::ShmClone;
use crate::arena::{Arena, ArenaFull, Purpose};
use crate::heap::{Alloc, Full, Heap};
use crate::lock::RobustLock;
use crate::sys;

pub(crate) type Link<K, V> = AtomicPtr<Record<K, V>>;

/// A record in its chain. The timer comes first: the wheel's pointers to it are pointers to the record.
#[repr(C)]
pub(crate) struct Record<K, V> {
    pub(super) timer: Timer,
    pub(super) next: Link<K, V>,
    pub(super) hash: u64,
    pub(super) key: K,
    pub(super) value: UnsafeCell<V>,
}

/// What `find` found: the link that leads to the record, or where it would be hung, and the record.
pub(super) struct Found<'a, K, V> {
    pub(super) link: &'a Link<K, V>,
    pub(super) record: *mut Record<K, V>,
}

#[repr(C, align(128))]
pub(super) struct Shard<K: 'static, V: 'static> {
    pub(super) lock: RobustLock,
    pub(super) len: AtomicUsize,
    /// Which of the two heaps, and of the two arrays of chains, is in use: flipped by one store when a copy is complete.
    pub(super) live: AtomicUsize,
    /// The record that is open for a change.
    pub(super) editing: AtomicPtr<Record<K, V>>,
    /// The bytes of its value and its deadline, from before it was opened.
    before: UnsafeCell<MaybeUninit<V>>,
    before_due: AtomicU64,
    /// First links of the chains, of each generation. Boot memory: never moves.
    pub(super) chains: [&'static [Link<K, V>]; 2],
    pub(super) wheel: Wheel,
    pub(super) heaps: [Heap; 2],
    /// Repairs begun since the last one that was completed.
    pub(super) attempts: AtomicU32,
    pub(super) repairs: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) no_repair: AtomicBool,
}

impl<K: 'static, V: 'static> Shard<K, V> {
    pub(super) fn create(arena: &'static Arena, buckets: usize, purpose: Purpose) -> Result<Self, ArenaFull> {
        let chain = || arena.boot_array_of(buckets, &mut |_| AtomicPtr::new(null_mut()));
        Ok(Self {
            lock: RobustLock::new(),
            len: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
            editing: AtomicPtr::new(null_mut()),
            before: UnsafeCell::new(MaybeUninit::uninit()),
            before_due: AtomicU64::new(NEVER),
            chains: [chain()?, chain()?],
            wheel: Wheel::new(sys::monotonic_millis()),
            heaps: [Heap::new(arena, purpose), Heap::new(arena, purpose)],
            attempts: AtomicU32::new(0),
            repairs: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            no_repair: AtomicBool::new(false),
        })
    }

    /// The value and the deadline that the open record had before, if they are kept.
    ///
    /// # Safety
    /// A record is open, and its heap is as the process left it that opened it.
    pub(super) unsafe fn before(&self) -> Option<(&V, Millis)> {
        if self.heaps[self.live.load(Relaxed) & 1].is_exposed() {
            return None;
        }
        // SAFETY: written before the record was opened; what it owns is neither freed nor written until it is closed.
        let value = unsafe { (*self.before.get()).assume_init_ref() };
        Some((value, self.before_due.load(Relaxed)))
    }
}

/// A shard whose lock is held. Dropping it gives the lock back.
pub(super) struct Held<K: 'static, V: 'static> {
    pub(super) shard: &'static Shard<K, V>,
    generation: usize,
    wrote: bool,
}

impl<K: ShmClone, V: ShmClone> Held<K, V> {
    /// Takes the lock of a shard, and repairs what a dead holder left.
    #[inline]
    pub(super) fn take(shard: &'static Shard<K, V>) -> Self {
        let broken = shard.lock.lock();
        let mut held = Self { shard, generation: shard.live.load(Relaxed) & 1, wrote: broken };
        if broken {
            repair(shard);
            held.wrote = false;
            held.generation = shard.live.load(Relaxed) & 1;
        }
        held
    }
}

impl<K, V> Held<K, V> {
    #[inline]
    pub(super) fn heap(&self) -> &'static Heap {
        &self.shard.heaps[self.generation]
    }

    #[inline]
    pub(super) fn alloc(&self) -> Alloc {
        Alloc::new(self.heap())
    }

    #[inline]
    pub(super) fn chains(&self) -> &'static [Link<K, V>] {
        self.shard.chains[self.generation]
    }

    /// To be called before the first store of a change.
    #[inline]
    pub(super) fn begin_write(&mut self) {
        if !self.wrote {
            self.wrote = true;
            self.shard.lock.begin_write();
        }
    }

    /// Looks a key up.
    #[inline]
    pub(super) fn find<Q: Eq + ?Sized>(&self, hash: u64, key: &Q) -> Found<'static, K, V>
    where
        K: Borrow<Q>,
    {
        self.find_by(hash, |_, record| record.hash == hash && record.key.borrow() == key)
    }

    /// Looks the link to a record up.
    pub(super) fn find_record(&self, wanted: *mut Record<K, V>, hash: u64) -> Found<'static, K, V> {
        self.find_by(hash, |at, _| at == wanted)
    }

    #[inline]
    fn find_by(
        &self,
        hash: u64,
        is_it: impl Fn(*mut Record<K, V>, &Record<K, V>) -> bool,
    ) -> Found<'static, K, V> {
        let chains = self.chains();
        let mut link = &chains[hash as usize & (chains.len() - 1)];
        loop {
            let at = link.load(Acquire);
            // SAFETY: a record that a chain leads to is valid while the lock is held.
            match unsafe { at.as_ref() } {
                Some(record) if !is_it(at, record) => link = &record.next,
                _ => return Found { link, record: at },
            }
        }
    }

    /// Hangs a new record in: instead of the one that was found, or at the end of the chain.
    pub(super) fn put(
        &mut self,
        found: &Found<'_, K, V>,
        hash: u64,
        deadline: Option<Millis>,
        key: K,
        value: V,
    ) -> Result<(), Full> {
        // SAFETY: found under this lock.
        let old = unsafe { found.record.as_ref() };
        let next = old.map_or(null_mut(), |old| old.next.load(Relaxed));
        let timer = Timer::new(deadline.unwrap_or(NEVER));
        let record = Record { timer, next: AtomicPtr::new(next), hash, key, value: UnsafeCell::new(value) };
        let record = self.store(record)?;
        // This store is the change: before it there is the old record, after it the new one.
        found.link.store(record, Release);
        // SAFETY: the record is in its chain and stays valid until `free`.
        unsafe { self.shard.wheel.insert(record.cast()) };
        if old.is_some() {
            self.free(found.record);
        } else {
            self.shard.len.store(self.shard.len.load(Relaxed) + 1, Relaxed);
        }
        Ok(())
    }

    /// Takes a record out of its chain and frees it.
    pub(super) fn unhang(&mut self, found: &Found<'_, K, V>) {
        // SAFETY: found under this lock.
        let Some(record) = (unsafe { found.record.as_ref() }) else { return };
        found.link.store(record.next.load(Relaxed), Release);
        let len = self.shard.len.load(Relaxed).saturating_sub(1);
        self.shard.len.store(len, Relaxed);
        self.free(found.record);
    }

    /// Gives memory back if there is no record. To be called after the last one may have been taken out.
    pub(super) fn trim(&mut self) {
        if self.shard.len.load(Relaxed) == 0 {
            self.heap().trim();
        }
    }

    /// Opens the value of a record for a change in place. A death, or a panic, before `close` undoes it.
    pub(super) fn open<R>(&mut self, record: *mut Record<K, V>, f: impl FnOnce(&K, &mut V) -> R) -> R {
        // SAFETY: the record is in its chain and the lock is held. The copy is bytes: nobody drops it.
        unsafe {
            let value = (*record).value.get().cast::<MaybeUninit<V>>();
            std::ptr::copy_nonoverlapping(value, self.shard.before.get(), 1);
            self.shard.before_due.store((*record).timer.deadline(), Relaxed);
        }
        compiler_fence(SeqCst);
        self.shard.editing.store(record, Relaxed);
        compiler_fence(SeqCst);
        // SAFETY: the record is in its chain and the lock is held, so this is the only reference to its value.
        let result = unsafe { f(&(*record).key, &mut *(*record).value.get()) };
        compiler_fence(SeqCst);
        result
    }

    /// Ends what `open` began.
    pub(super) fn close(&mut self) {
        compiler_fence(SeqCst);
        self.shard.editing.store(null_mut(), Relaxed);
    }

    /// Calls `f` for each record.
    pub(super) fn for_each(&self, mut f: impl FnMut(*mut Record<K, V>, &Record<K, V>)) {
        for first in self.chains() {
            let mut at = first.load(Acquire);
            // SAFETY: a record that a chain leads to is valid while the lock is held.
            while let Some(record) = unsafe { at.as_ref() } {
                f(at, record);
                at = record.next.load(Acquire);
            }
        }
    }

    pub(super) fn store(&self, record: Record<K, V>) -> Result<*mut Record<K, V>, Full> {
        let block = Block::try_new_in(record, self.alloc()).map_err(|_| Full)?;
        Ok(Block::into_raw_with_allocator(block).0)
    }

    fn free(&self, record: *mut Record<K, V>) {
        // SAFETY: no chain leads to it any more; it was made by `store` with this heap, or by a copy into it.
        unsafe {
            self.shard.wheel.remove(record.cast());
            drop(Block::from_raw_in(record, self.alloc()));
        }
    }
}

impl<K, V> Drop for Held<K, V> {
    #[inline]
    fn drop(&mut self) {
        // After a panic the mark stays, and the next one repairs.
        if self.wrote && !std::thread::panicking() {
            self.shard.lock.mark_clean();
        }
        self.shard.lock.unlock();
    }
}
