//! The heap of a shard: a TLSF allocator over chunks of the arena, used under the shard's lock only.
//!
//! Because each shard has its own, no lock of an allocator can be held by a dead process except the shard's, and the
//! repair of a shard throws its whole heap away instead of trusting what the dead process left in it.

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, compiler_fence};

use allocator_api2::alloc::{AllocError, Allocator};
use rlsf::Tlsf;

use crate::arena::{Arena, Purpose};
use crate::lock::RobustLock;
use crate::undo::{self, Undo};

/// A heap is sparse when it holds this many times what is used.
const SPARSE: usize = 3;
/// Size classes up to one chunk of 64 KiB.
type Blocks = Tlsf<'static, u16, u8, 11, 8>;

/// Shared memory has no room for a value. A normal state of a busy server: new work is refused, work under way goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, thiserror::Error)]
#[error("shared memory is full")]
pub struct Full;

/// A heap and what it owns. All fields but `used` and `pooled` are for the holder of the lock.
pub(crate) struct Heap {
    arena: &'static Arena,
    lock: AtomicPtr<RobustLock>,
    owner: u32,
    /// What its chunks are for, other than a repair.
    purpose: Purpose,
    blocks: UnsafeCell<Blocks>,
    /// Bytes of live values.
    used: AtomicUsize,
    /// Of these, bytes in chunks of their own.
    used_apart: AtomicUsize,
    /// Chunks from which blocks are cut.
    pooled: AtomicUsize,
    /// Chunks that hold one large value.
    apart: AtomicUsize,
    /// One more than the index of the first pooled chunk.
    first: AtomicU32,
    repairing: AtomicBool,
    /// The record that is open is changed without a way back.
    exposed: AtomicBool,
}

impl Heap {
    pub(crate) fn new(arena: &'static Arena, purpose: Purpose) -> Self {
        Self {
            arena,
            lock: AtomicPtr::default(),
            owner: arena.new_owner(),
            purpose,
            blocks: UnsafeCell::new(Blocks::new()),
            used: AtomicUsize::new(0),
            used_apart: AtomicUsize::new(0),
            pooled: AtomicUsize::new(0),
            apart: AtomicUsize::new(0),
            first: AtomicU32::new(0),
            repairing: AtomicBool::new(false),
            exposed: AtomicBool::new(false),
        }
    }

    /// Names the lock under which this heap is used. Called once, before the heap is.
    pub(crate) fn guard_by(&self, lock: &'static RobustLock) {
        self.lock.store(std::ptr::from_ref(lock).cast_mut(), Relaxed);
    }

    /// Bytes of live values.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Chunks held.
    pub(crate) fn chunks(&self) -> usize {
        self.pooled.load(Relaxed) + self.apart.load(Relaxed)
    }

    /// Whether the chunks from which blocks are cut hold far more than is used of them.
    pub(crate) fn is_sparse(&self) -> bool {
        let pooled = self.pooled.load(Relaxed);
        let used = self.used().saturating_sub(self.used_apart.load(Relaxed));
        pooled > 2 && pooled * self.arena.chunk_bytes() as usize / SPARSE > used
    }

    /// Chunks that carry this heap's tag in the arena's table.
    pub(crate) fn owned(&self) -> usize {
        self.arena.owned_by(self.owner)
    }

    /// Whether the reserve of the arena may be used.
    pub(crate) fn set_repairing(&self, repairing: bool) {
        self.repairing.store(repairing, Relaxed);
    }

    /// Begins an edit of a record: until [`Heap::end_edit`], what the record has now stays as it is.
    #[inline]
    pub(crate) fn begin_edit(&self) -> Undo {
        self.exposed.store(false, Relaxed);
        Undo::begin(self.identity())
    }

    #[inline]
    pub(crate) fn end_edit(&self, undo: Undo) {
        undo.end(|block, layout| self.free(block, layout));
    }

    /// Whether the edit under way had no memory and writes over what was: a death now costs the record.
    pub(crate) fn is_exposed(&self) -> bool {
        self.exposed.load(Relaxed)
    }

    /// Lets an edit write over what was. True if that has freed memory.
    #[cold]
    fn expose(&self) -> bool {
        if !undo::is_open(self.identity()) {
            return false;
        }
        self.exposed.store(true, Relaxed);
        compiler_fence(SeqCst);
        undo::free_all(|block, layout| self.free(block, layout))
    }

    fn identity(&self) -> *const () {
        std::ptr::from_ref(self).cast()
    }

    /// Forgets everything, reading none of it. The caller holds the lock and has nothing left that points in here.
    pub(crate) fn reset(&self) {
        debug_assert!(self.is_held());
        // SAFETY: under the lock, nobody else uses the allocator. What was there needs no drop: it owns nothing.
        unsafe { self.blocks.get().write(Blocks::new()) };
        for count in [&self.used, &self.used_apart, &self.pooled, &self.apart] {
            count.store(0, Relaxed);
        }
        self.first.store(0, Relaxed);
        self.repairing.store(false, Relaxed);
        self.exposed.store(false, Relaxed);
        self.arena.release_all(self.owner);
    }

    /// Gives all chunks but one back if no value lives here. The caller holds the lock, marked as written.
    pub(crate) fn trim(&self) {
        if self.used() != 0 || self.pooled.load(Relaxed) < 2 {
            return;
        }
        let first = self.first.load(Relaxed);
        let Some(kept) = (first as usize).checked_sub(1) else { return };
        let mut next = self.arena.link(kept).load(Relaxed);
        // SAFETY: as in `reset`; no block of the old allocator is in use.
        unsafe { self.blocks.get().write(Blocks::new()) };
        self.pooled.store(0, Relaxed);
        self.first.store(0, Relaxed);
        while let Some(index) = (next as usize).checked_sub(1) {
            next = self.arena.link(index).load(Relaxed);
            if let Some(chunk) = self.arena.chunk(index) {
                self.arena.release(chunk, 1);
            }
        }
        if let Some(chunk) = self.arena.chunk(kept) {
            self.pool_chunk(chunk);
        }
    }

    #[inline]
    fn is_held(&self) -> bool {
        // SAFETY: null or the lock named at the start, which lives for ever.
        unsafe { self.lock.load(Relaxed).as_ref() }.is_some_and(RobustLock::is_mine)
    }

    fn purpose(&self) -> Purpose {
        if self.repairing.load(Relaxed) { Purpose::Repair } else { self.purpose }
    }

    #[inline]
    fn take(&self, layout: Layout) -> Option<NonNull<u8>> {
        if self.is_apart(layout) {
            return self.take_apart(layout);
        }
        if let Some(block) = blocks_of(self).allocate(layout) {
            return Some(block);
        }
        self.pool_chunk(self.arena.claim(1, self.owner, self.purpose())?);
        blocks_of(self).allocate(layout)
    }

    #[cold]
    fn take_apart(&self, layout: Layout) -> Option<NonNull<u8>> {
        let n = layout.size().div_ceil(self.arena.chunk_bytes() as usize);
        let block = self.arena.claim(n, self.owner, self.purpose())?;
        add(&self.apart, n);
        add(&self.used_apart, layout.size());
        Some(block)
    }

    #[inline]
    fn free(&self, block: NonNull<u8>, layout: Layout) {
        self.give(block, layout);
        subtract(&self.used, layout.size());
    }

    #[inline]
    fn give(&self, block: NonNull<u8>, layout: Layout) {
        if self.is_apart(layout) {
            let n = layout.size().div_ceil(self.arena.chunk_bytes() as usize);
            self.arena.release(block, n);
            subtract(&self.apart, n);
            subtract(&self.used_apart, layout.size());
        } else {
            // SAFETY: the block came from this allocator with this alignment, and the lock is held.
            unsafe { blocks_of(self).deallocate(block, layout.align()) };
        }
    }

    fn pool_chunk(&self, chunk: NonNull<u8>) {
        let index = self.arena.index_of(chunk);
        self.arena.link(index).store(self.first.load(Relaxed), Relaxed);
        self.first.store(index as u32 + 1, Relaxed);
        add(&self.pooled, 1);
        let block = NonNull::slice_from_raw_parts(chunk, self.arena.chunk_bytes() as usize);
        // SAFETY: a chunk that this heap alone owns, and gives back only when no block of it is in use.
        unsafe { blocks_of(self).insert_free_block_ptr(block) };
    }

    /// Whether a value gets chunks of its own, which go back to the arena when it is freed.
    #[inline]
    fn is_apart(&self, layout: Layout) -> bool {
        layout.size().max(layout.align()) >= self.arena.chunk_bytes() as usize / 2
    }
}

/// The allocator of a heap whose lock the caller holds.
#[expect(
    clippy::mut_from_ref,
    reason = "the lock, not the borrow, keeps others out; no two results live at a time"
)]
fn blocks_of(heap: &Heap) -> &mut Blocks {
    // SAFETY: the lock is held, and no other reference to the allocator is live.
    unsafe { &mut *heap.blocks.get() }
}

/// A plain add: the lock is held, so nobody else writes.
#[inline]
fn add(count: &AtomicUsize, n: usize) {
    count.store(count.load(Relaxed) + n, Relaxed);
}

#[inline]
fn subtract(count: &AtomicUsize, n: usize) {
    count.store(count.load(Relaxed).saturating_sub(n), Relaxed);
}

/// The way to a shard's memory, kept inside every collection that lies there (8 bytes).
///
/// It works under the shard's lock only, that is inside the closures of a [`Map`](crate::Map). Outside, taking memory
/// fails, and freeing leaks and is counted ([`Arena::leaked_bytes`]).
#[derive(Clone, Copy)]
pub struct Alloc(NonNull<Heap>);

impl std::fmt::Debug for Alloc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Alloc")
    }
}

impl Alloc {
    pub(crate) fn new(heap: &'static Heap) -> Self {
        Self(NonNull::from(heap))
    }

    /// Whether the block may not be written, as the record that is open had it before.
    #[inline]
    pub(crate) fn is_kept(&self, block: NonNull<u8>) -> bool {
        let heap = self.heap();
        undo::is_open(heap.identity()) && !heap.is_exposed() && !undo::is_taken(block)
    }

    /// What is kept may be written from here on: there is no memory for a copy.
    pub(crate) fn expose(&self) {
        self.heap().expose();
    }

    fn heap(&self) -> &Heap {
        // SAFETY: heaps lie in boot memory and live for ever.
        unsafe { self.0.as_ref() }
    }
}

// SAFETY: the heap is in the arena and used under its lock only, whichever thread or process that is.
unsafe impl Send for Alloc {}
// SAFETY: as above.
unsafe impl Sync for Alloc {}

// SAFETY: blocks are valid until they are freed, copies of the handle are the same allocator, and both operations
// do nothing unless the lock is held.
unsafe impl Allocator for Alloc {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if layout.size() == 0 {
            let dangling =
                NonNull::new(std::ptr::without_provenance_mut(layout.align())).ok_or(AllocError)?;
            return Ok(NonNull::slice_from_raw_parts(dangling, 0));
        }
        let heap = self.heap();
        if !heap.is_held() {
            return Err(AllocError);
        }
        let block = heap.take(layout).or_else(|| heap.expose().then(|| heap.take(layout)).flatten());
        let block = block.ok_or(AllocError)?;
        add(&heap.used, layout.size());
        if undo::is_open(heap.identity()) {
            undo::note_taken(block);
        }
        Ok(NonNull::slice_from_raw_parts(block, layout.size()))
    }

    #[inline]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() == 0 {
            return;
        }
        let heap = self.heap();
        if !heap.is_held() {
            heap.arena.count_leak(layout.size());
            return;
        }
        if undo::is_open(heap.identity()) {
            undo::note_freed(block, layout);
        } else {
            heap.free(block, layout);
        }
    }
}
