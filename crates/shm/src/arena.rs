//! The arena: one shared mapping, cut into chunks of one size.
//!
//! A chunk changes hands by one compare-exchange on its owner word, so nothing here needs a lock and a process may
//! die at any instruction: the table of owners is always valid, and whatever an owner took is found by its tag.

use std::alloc::Layout;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};

use crate::ShmSafe;
use crate::sys;

/// Smallest arena, in bytes.
pub const MIN_BYTES: u64 = 256 << 10;
const MIN_CHUNK: u64 = 4 << 10;
const MAX_CHUNK: u64 = 64 << 10;
/// Chunks that an arena is cut into, where the limits of a chunk's size allow.
const CHUNKS: u64 = 4096;
/// Chunks that an arena has at least.
const LEAST_CHUNKS: u64 = 16;
/// One chunk in this many is kept for repairs.
const RESERVE_SHARE: u64 = 32;
/// Most bytes kept for repairs.
const MAX_RESERVE_BYTES: u64 = 8 << 20;
/// Most bytes kept for what operators need while the arena is full: [`Map::create_vital`](crate::Map::create_vital).
pub const VITAL_BYTES: u64 = 64 << 10;
/// At most one chunk in this many is kept for it.
const VITAL_SHARE: u64 = 64;
const FREE: u32 = 0;
/// Owner of chunks that hold objects of the start.
const BOOT: u32 = 1;

/// How large the arena is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArenaOptions {
    /// Size of the whole, in bytes (the `-m` of the command line). Pages are taken as they are touched.
    pub bytes: u64,
    /// Of these, bytes set aside for objects that live for ever; more are taken from the chunks when needed.
    pub boot_bytes: u64,
}

/// There is no room for an object that lives for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "shared memory of {size} bytes has no room for {needed} bytes of fixed tables: give the server more (-m)"
)]
pub struct ArenaFull {
    /// Bytes asked for.
    pub needed: u64,
    /// Size of the arena in bytes.
    pub size: u64,
}

/// Who asks for chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// New work, which can be refused.
    Work,
    /// What operators need while new work is refused; it has a small part of the arena for itself.
    Vital,
    /// A repair, which may use the reserve.
    Repair,
}

/// The memory that all processes of the family share.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
///
/// use tocsin_shm::{Arena, ArenaOptions, Map, MapOptions};
///
/// // Made before the first fork: every child has it at the same address.
/// let arena = Arena::create(&ArenaOptions { bytes: 4 << 20, boot_bytes: 64 << 10 })?;
/// let calls = &arena.boot_array(1, |_| AtomicU64::new(0))?[0];
/// calls.fetch_add(1, Relaxed);
///
/// // Records lie in maps. Taking memory can fail, and a process that dies while it changes a record costs no other one.
/// let map = Map::<u64, u64>::create(arena, &MapOptions { name: "squares", shards: 4, buckets: 64 })?;
/// map.insert(&7, |_| Ok((7, 49))).expect("there is room");
/// assert_eq!(map.get(&7, |square| *square), Some(49));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[repr(C)]
pub struct Arena {
    bytes: u64,
    chunk_bytes: usize,
    chunks: usize,
    reserve: usize,
    vital: usize,
    page: usize,
    /// First chunk.
    area: usize,
    owners: NonNull<AtomicU32>,
    /// For each chunk, one more than the index of the next one of its owner's list; plain words of the owner.
    links: NonNull<AtomicU32>,
    hash_key: [u64; 2],
    boot_next: AtomicUsize,
    boot_end: usize,
    next_owner: AtomicU32,
    /// Where a search for one free chunk begins.
    search_from: AtomicUsize,
    owned: AtomicUsize,
    peak: AtomicUsize,
    percent: AtomicU32,
    usage_changed: AtomicBool,
    leaked: AtomicU64,
}

// SAFETY: what changes is atomic; the pointers are into the mapping, which is never unmapped.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    /// Maps an arena. It stays for the life of the process and is shared with every process forked from it.
    pub fn create(options: &ArenaOptions) -> io::Result<&'static Self> {
        let plan = Plan::of(options)?;
        let mut hash_key = [0; 2];
        for word in &mut hash_key {
            *word = getrandom::u64().map_err(|cause| io::Error::other(cause.to_string()))?;
        }
        let base = sys::map_shared(plan.bytes as usize)?;
        let at = |offset: usize| base.as_ptr() as usize + offset;
        let table = |offset: usize| {
            // SAFETY: the plan lies within the mapping, which is zeroed: valid words.
            unsafe { base.add(offset).cast::<AtomicU32>() }
        };
        let arena = Self {
            bytes: plan.bytes,
            chunk_bytes: plan.chunk_bytes,
            chunks: plan.chunks,
            reserve: plan.reserve,
            vital: plan.vital,
            page: plan.page,
            area: at(plan.area),
            owners: table(plan.owners),
            links: table(plan.links),
            hash_key,
            boot_next: AtomicUsize::new(at(plan.boot)),
            boot_end: at(plan.area),
            next_owner: AtomicU32::new(BOOT + 1),
            search_from: AtomicUsize::new(0),
            owned: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            percent: AtomicU32::new(0),
            usage_changed: AtomicBool::new(false),
            leaked: AtomicU64::new(0),
        };
        // SAFETY: the mapping is page aligned, larger than the header, and nobody else knows of it yet.
        let arena = unsafe {
            base.cast::<Self>().write(arena);
            base.cast::<Self>().as_ref()
        };
        arena.note_usage();
        arena.usage_changed.store(false, Relaxed);
        Ok(arena)
    }

    /// `n` objects that live for ever, the i-th of them `f(i)`. To be called before the first fork.
    ///
    /// # Errors
    /// [`ArenaFull`] when there is no room.
    pub fn boot_array<T: ShmSafe>(
        &'static self,
        n: usize,
        mut f: impl FnMut(usize) -> T,
    ) -> Result<&'static [T], ArenaFull> {
        self.boot_array_of(n, &mut f)
    }

    /// As [`Self::boot_array`], for the room's own types, which contain pointers.
    pub(crate) fn boot_array_of<T>(
        &'static self,
        n: usize,
        f: &mut dyn FnMut(usize) -> T,
    ) -> Result<&'static [T], ArenaFull> {
        let layout = Layout::array::<T>(n).map_err(|_| self.full(usize::MAX))?;
        let array = self.boot_bytes(layout)?.cast::<T>();
        for i in 0..n {
            // SAFETY: within the block just taken, aligned for T.
            unsafe { array.add(i).write(f(i)) };
        }
        // SAFETY: n initialised values in a block that is never freed.
        Ok(unsafe { std::slice::from_raw_parts(array.as_ptr(), n) })
    }

    /// One object that lives for ever.
    pub(crate) fn boot<T>(&'static self, value: T) -> Result<&'static T, ArenaFull> {
        let block = self.boot_bytes(Layout::new::<T>())?.cast::<T>();
        // SAFETY: a block of the layout of T, just taken and never freed.
        unsafe {
            block.write(value);
            Ok(block.as_ref())
        }
    }

    /// Key for hashes of what lies in the arena: the same in all processes, new with every start.
    pub fn hash_key(&self) -> [u64; 2] {
        self.hash_key
    }

    /// Bytes in use: of chunks that have an owner, and of the fixed tables.
    pub fn used_bytes(&self) -> u64 {
        let owned = self.owned.load(Relaxed).min(self.chunks);
        owned as u64 * self.chunk_bytes as u64 + self.boot_used()
    }

    /// The most that [`Self::used_bytes`] has been.
    pub fn max_used_bytes(&self) -> u64 {
        (self.peak.load(Relaxed) as u64 * self.chunk_bytes as u64 + self.boot_used()).min(self.bytes)
    }

    /// Size of the whole, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.bytes
    }

    /// Size of a chunk, in bytes.
    pub fn chunk_bytes(&self) -> u64 {
        self.chunk_bytes as u64
    }

    /// [`Self::used_bytes`] as a share of the size, in percent.
    pub fn usage_percent(&self) -> u8 {
        (self.used_bytes() * 100 / self.bytes).min(100) as u8
    }

    /// Whether [`Self::usage_percent`] has changed since somebody last asked here. One caller gets each change: it is
    /// to be asked where an event may be raised, never where memory is taken.
    pub fn take_usage_change(&self) -> bool {
        self.usage_changed.load(Relaxed) && self.usage_changed.swap(false, Relaxed)
    }

    /// Runs of free chunks. Walks the table: for a report, not for the way of a message.
    pub fn fragments(&self) -> u64 {
        let free = |i: &usize| self.owner(*i).load(Relaxed) == FREE;
        (0..self.chunks).filter(|i| free(i) && (*i == 0 || !free(&(i - 1)))).count() as u64
    }

    /// Bytes of values that were carried out of their map and dropped outside of its lock: never given back.
    pub fn leaked_bytes(&self) -> u64 {
        self.leaked.load(Relaxed)
    }

    /// Counts the owned chunks anew: a process that died between taking one and counting it left the sum wrong.
    pub fn recount(&self) {
        for _ in 0..8 {
            let before = self.owned.load(Relaxed);
            let counted = (0..self.chunks).filter(|i| self.owner(*i).load(Relaxed) != FREE).count();
            if self.owned.compare_exchange(before, counted, Relaxed, Relaxed).is_ok() {
                break;
            }
        }
        self.note_usage();
    }

    /// A tag that nobody else has.
    pub(crate) fn new_owner(&self) -> u32 {
        self.next_owner.fetch_add(1, Relaxed)
    }

    /// Takes `n` neighbouring chunks for `owner`. A process that dies in here leaves chunks with the owner's tag.
    pub(crate) fn claim(&self, n: usize, owner: u32, purpose: Purpose) -> Option<NonNull<u8>> {
        let keep = match purpose {
            Purpose::Work => self.reserve + self.vital,
            Purpose::Vital => self.reserve,
            Purpose::Repair => 0,
        };
        if n == 0 || self.owned.load(Relaxed) + n + keep > self.chunks {
            return None;
        }
        let first = if n == 1 { self.claim_one(owner) } else { self.claim_run(n, owner) }?;
        let owned = self.owned.fetch_add(n, Relaxed) + n;
        self.peak.fetch_max(owned.min(self.chunks), Relaxed);
        self.note_usage();
        NonNull::new((self.area + first * self.chunk_bytes) as *mut u8)
    }

    /// Gives `n` chunks back, of which `block` is the first.
    pub(crate) fn release(&self, block: NonNull<u8>, n: usize) {
        let first = self.index_of(block);
        self.give_back(first, n);
        self.uncount(n);
    }

    /// Gives back whatever has the tag `owner`. Returns how many chunks that was.
    pub(crate) fn release_all(&self, owner: u32) -> usize {
        let mut released = 0;
        let mut i = 0;
        while i < self.chunks {
            let run = (i..self.chunks).take_while(|k| self.owner(*k).load(Relaxed) == owner).count();
            if run > 0 {
                self.give_back(i, run);
                released += run;
            }
            i += run + 1;
        }
        self.uncount(released);
        released
    }

    /// Chunks that have the tag `owner`.
    pub(crate) fn owned_by(&self, owner: u32) -> usize {
        (0..self.chunks).filter(|i| self.owner(*i).load(Relaxed) == owner).count()
    }

    pub(crate) fn count_leak(&self, bytes: usize) {
        self.leaked.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn index_of(&self, block: NonNull<u8>) -> usize {
        (block.as_ptr() as usize - self.area) / self.chunk_bytes
    }

    pub(crate) fn chunk(&self, index: usize) -> Option<NonNull<u8>> {
        NonNull::new((self.area + index * self.chunk_bytes) as *mut u8)
    }

    pub(crate) fn link(&self, index: usize) -> &AtomicU32 {
        debug_assert!(index < self.chunks);
        // SAFETY: within the table, which lies in the mapping.
        unsafe { self.links.add(index).as_ref() }
    }

    fn owner(&self, index: usize) -> &AtomicU32 {
        debug_assert!(index < self.chunks);
        // SAFETY: within the table, which lies in the mapping.
        unsafe { self.owners.add(index).as_ref() }
    }

    fn try_own(&self, index: usize, owner: u32) -> bool {
        let word = self.owner(index);
        word.load(Relaxed) == FREE && word.compare_exchange(FREE, owner, Acquire, Relaxed).is_ok()
    }

    fn claim_one(&self, owner: u32) -> Option<usize> {
        let from = self.search_from.load(Relaxed).min(self.chunks);
        let found = (from..self.chunks).chain(0..from).find(|i| self.try_own(*i, owner))?;
        self.search_from.store(found + 1, Relaxed);
        Some(found)
    }

    fn claim_run(&self, n: usize, owner: u32) -> Option<usize> {
        let mut first = 0;
        while first + n <= self.chunks {
            let got = (first..first + n).take_while(|i| self.try_own(*i, owner)).count();
            if got == n {
                return Some(first);
            }
            for i in first..first + got {
                self.owner(i).store(FREE, Release);
            }
            first += got + 1;
        }
        None
    }

    fn give_back(&self, first: usize, n: usize) {
        sys::discard(self.area + first * self.chunk_bytes, n * self.chunk_bytes, self.page);
        for i in first..first + n {
            self.owner(i).store(FREE, Release);
        }
        self.search_from.fetch_min(first, Relaxed);
    }

    fn uncount(&self, n: usize) {
        // A sum that a death left too small must not wrap.
        let _ = self.owned.fetch_update(Relaxed, Relaxed, |owned| Some(owned.saturating_sub(n)));
        self.note_usage();
    }

    fn note_usage(&self) {
        let percent = self.usage_percent().into();
        if self.percent.load(Relaxed) != percent && self.percent.swap(percent, Relaxed) != percent {
            self.usage_changed.store(true, Relaxed);
        }
    }

    fn base(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    fn boot_used(&self) -> u64 {
        (self.boot_next.load(Relaxed) - self.base()) as u64
    }

    fn boot_bytes(&self, layout: Layout) -> Result<NonNull<u8>, ArenaFull> {
        // A cache line at least, so that two tables do not share one.
        let align = layout.align().max(64);
        let start = |next: usize| next.next_multiple_of(align);
        let end = |next: usize| start(next).checked_add(layout.size()).filter(|end| *end <= self.boot_end);
        let block = match self.boot_next.fetch_update(Relaxed, Relaxed, end) {
            Ok(next) => NonNull::new(start(next) as *mut u8),
            Err(_) => self.claim(layout.size().div_ceil(self.chunk_bytes), BOOT, Purpose::Work),
        };
        self.note_usage();
        block.ok_or_else(|| self.full(layout.size()))
    }

    fn full(&self, needed: usize) -> ArenaFull {
        ArenaFull { needed: needed as u64, size: self.bytes }
    }
}

/// Where the parts of an arena lie: offsets and sizes in bytes.
#[derive(Debug)]
struct Plan {
    bytes: u64,
    page: usize,
    chunk_bytes: usize,
    chunks: usize,
    reserve: usize,
    vital: usize,
    owners: usize,
    links: usize,
    boot: usize,
    area: usize,
}

impl Plan {
    fn of(options: &ArenaOptions) -> io::Result<Self> {
        let page = sys::page_bytes();
        let refused = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        let no_room = |bytes: u64| {
            format!(
                "shared memory of {bytes} bytes leaves no room beside {} bytes of fixed tables: give the server more (-m)",
                options.boot_bytes
            )
        };
        if options.bytes < MIN_BYTES {
            return refused(format!(
                "shared memory of {} bytes is less than the least, {MIN_BYTES}",
                options.bytes
            ));
        }
        if options.bytes > isize::MAX as u64 - page as u64 {
            return refused(format!(
                "shared memory of {} bytes is more than can be addressed",
                options.bytes
            ));
        }
        if options.boot_bytes >= options.bytes {
            return refused(no_room(options.bytes));
        }
        let bytes = options.bytes.next_multiple_of(page as u64);
        let chunk = (bytes / CHUNKS).next_power_of_two().clamp(MIN_CHUNK, MAX_CHUNK);
        let words = (bytes / chunk) as usize * size_of::<AtomicU32>();
        let owners = size_of::<Arena>().next_multiple_of(64);
        let links = (owners + words).next_multiple_of(64);
        let boot = (links + words).next_multiple_of(64);
        let align = chunk.max(page as u64);
        let area = (boot as u64 + options.boot_bytes).next_multiple_of(align);
        let chunks = bytes.saturating_sub(area) / chunk;
        if chunks < LEAST_CHUNKS {
            return refused(no_room(bytes));
        }
        let reserve = (chunks / RESERVE_SHARE).min(MAX_RESERVE_BYTES / chunk).max(1) as usize;
        Ok(Self {
            bytes,
            page,
            chunk_bytes: chunk as usize,
            chunks: chunks as usize,
            reserve,
            vital: (chunks / VITAL_SHARE).min(VITAL_BYTES / chunk).max(1) as usize,
            owners,
            links,
            boot,
            area: area as usize,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arena(bytes: u64) -> &'static Arena {
        Arena::create(&ArenaOptions { bytes, boot_bytes: 64 << 10 }).unwrap()
    }

    #[test]
    fn sizes_from_two_mebibytes_to_six_gibibytes() {
        for (bytes, chunk) in
            [(2 << 20, 4 << 10), (64 << 20, 16 << 10), (256 << 20, 64 << 10), (6 << 30, 64 << 10)]
        {
            let arena = arena(bytes);
            assert_eq!((arena.size_bytes(), arena.chunk_bytes()), (bytes, chunk));
            let last = arena.claim(arena.chunks - 8 - arena.reserve, 7, Purpose::Work).unwrap();
            // SAFETY: inside of the run just claimed; the last byte of the last chunk of it.
            unsafe { last.add((arena.chunks - 8 - arena.reserve) * arena.chunk_bytes - 1).write(1) };
            assert!(arena.used_bytes() > bytes / 2 && arena.usage_percent() > 50);
            assert_eq!(arena.release_all(7), arena.chunks - 8 - arena.reserve);
            assert_eq!(arena.owned.load(Relaxed), 0);
        }
    }

    #[test]
    fn impossible_sizes_are_refused_with_a_reason() {
        for (bytes, boot_bytes) in
            [(0, 0), (MIN_BYTES - 1, 0), (MIN_BYTES, MIN_BYTES), (2 << 20, u64::MAX), (u64::MAX, 0)]
        {
            let refused = Arena::create(&ArenaOptions { bytes, boot_bytes }).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn chunks_come_back_zeroed_and_counted() {
        let arena = arena(2 << 20);
        let before = arena.used_bytes();
        let a = arena.claim(1, 5, Purpose::Work).unwrap();
        let run = arena.claim(3, 5, Purpose::Work).unwrap();
        // SAFETY: both are ours.
        unsafe { (a.write(9), run.write(9)) };
        assert_eq!(arena.used_bytes() - before, 4 * arena.chunk_bytes());
        arena.release(run, 3);
        arena.release(a, 1);
        assert_eq!(arena.used_bytes(), before);
        assert_eq!(arena.max_used_bytes() - before, 4 * arena.chunk_bytes());
        let again = arena.claim(1, 6, Purpose::Work).unwrap();
        assert_eq!(again, a);
        // SAFETY: ours again.
        assert_eq!(unsafe { again.read() }, 0);
    }

    #[test]
    fn the_reserve_is_for_repairs() {
        let arena = arena(2 << 20);
        while arena.claim(1, 5, Purpose::Work).is_some() {}
        let vital = (0..).take_while(|_| arena.claim(1, 5, Purpose::Vital).is_some()).count();
        assert_eq!((vital, arena.vital), (arena.vital, 7), "what operators need has a part of its own");
        assert!(arena.claim(1, 5, Purpose::Repair).is_some());
        while arena.claim(1, 5, Purpose::Repair).is_some() {}
        assert_eq!(arena.owned_by(5), arena.chunks);
        assert_eq!(arena.fragments(), 0);
        arena.release(arena.chunk(3).unwrap(), 2);
        arena.release(arena.chunk(9).unwrap(), 1);
        assert_eq!(arena.fragments(), 2);
    }

    #[test]
    fn a_wrong_sum_is_counted_anew() {
        let arena = arena(2 << 20);
        arena.claim(2, 5, Purpose::Work).unwrap();
        arena.owned.store(40, Relaxed);
        arena.recount();
        assert_eq!(arena.owned.load(Relaxed), 2);
    }

    #[test]
    fn each_change_of_the_percentage_is_told_once() {
        let arena = arena(2 << 20);
        assert!(!arena.take_usage_change());
        arena.claim(64, 5, Purpose::Work).unwrap();
        assert!(arena.take_usage_change());
        assert!(!arena.take_usage_change());
    }

    #[test]
    fn boot_objects_overflow_into_chunks() {
        let arena = arena(2 << 20);
        let small = arena.boot_array(10, |i| i as u64).unwrap();
        let large = arena.boot_array(20_000, |i| i as u64).unwrap();
        assert_eq!((small[9], large[19_999]), (9, 19_999));
        assert!(arena.boot_array(1 << 20, |_| 0_u64).is_err());
        assert!(arena.boot_array(usize::MAX, |_| 0_u64).is_err());
    }
}
