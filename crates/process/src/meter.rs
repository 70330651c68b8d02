//! The private heap of this process, metered where memory is taken.
//!
//! Each allocation adds to a thread-local sum, and the sum goes to the process's row of the shared table once it
//! passes [`BATCH`] bytes: about a nanosecond for an allocation, and a figure that is at most one batch old.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr};

/// Bytes that a thread gathers before it updates the table. Signed, as freeing counts down.
const BATCH: i64 = 16 * 1024;

static BEFORE_FORK: AtomicI64 = AtomicI64::new(0);
static TOTAL: AtomicPtr<AtomicI64> = AtomicPtr::new((&raw const BEFORE_FORK).cast_mut());
static BUDGET: AtomicI64 = AtomicI64::new(i64::MAX);
/// Set when the total moved; read and cleared at a safe point, where an event can be raised.
static MOVED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// `const` and without a destructor, so that it may be touched from inside the allocator.
    static PENDING: Cell<i64> = const { Cell::new(0) };
}

/// A global allocator that meters another.
#[derive(Debug)]
pub struct Meter<A>(pub A);

// SAFETY: every call goes to the inner allocator unchanged; the meter only counts.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Meter<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is the inner allocator's.
        let block = unsafe { self.0.alloc(layout) };
        if !block.is_null() {
            add(layout.size() as i64);
        }
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { self.0.dealloc(block, layout) };
        add(-(layout.size() as i64));
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let block = unsafe { self.0.alloc_zeroed(layout) };
        if !block.is_null() {
            add(layout.size() as i64);
        }
        block
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        let moved = unsafe { self.0.realloc(block, layout, size) };
        if !moved.is_null() {
            add(size as i64 - layout.size() as i64);
        }
        moved
    }
}

/// Bytes of private heap in use by this process, exact to a batch for each of its threads.
pub fn private_bytes() -> u64 {
    let pending = PENDING.try_with(Cell::get).unwrap_or(0);
    (total().load(Relaxed) + pending).max(0) as u64
}

/// Bytes that this process should keep below (`-M`).
pub fn set_private_budget(bytes: u64) {
    BUDGET.store(i64::try_from(bytes).unwrap_or(i64::MAX), Relaxed);
}

/// Whether the bytes in use moved by a batch since the last [`take_private_change`].
#[inline]
pub fn has_private_change() -> bool {
    MOVED.load(Relaxed)
}

/// At a safe point: the bytes in use, if they moved by a batch since the last call.
#[inline]
pub fn take_private_change() -> Option<u64> {
    if !has_private_change() {
        return None;
    }
    MOVED.store(false, Relaxed);
    Some(private_bytes())
}

/// In a child, right after the fork: carries the inherited total over to its own row of the process table.
pub(crate) fn count_into(row: &'static AtomicI64) {
    row.store(total().load(Relaxed), Relaxed);
    TOTAL.store((&raw const *row).cast_mut(), Relaxed);
}

#[inline]
fn add(bytes: i64) {
    // A thread that is being torn down no longer counts: it is about to end.
    let _ = PENDING.try_with(|pending| {
        let sum = pending.get() + bytes;
        if sum.abs() < BATCH {
            pending.set(sum);
        } else {
            pending.set(0);
            publish(sum);
        }
    });
}

#[cold]
fn publish(bytes: i64) {
    total().fetch_add(bytes, Relaxed);
    MOVED.store(true, Relaxed);
}

fn total() -> &'static AtomicI64 {
    // SAFETY: points to `BEFORE_FORK` or to a row of the shared process table; both live as long as the process.
    unsafe { &*TOTAL.load(Relaxed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::System;

    #[test]
    fn what_is_taken_counts_and_what_is_given_back_does_not() {
        let meter = Meter(System);
        let before = private_bytes();
        let layout = Layout::from_size_align(1 << 20, 8).unwrap();
        // SAFETY: a valid layout; the block is freed once, with the layout it was taken with.
        unsafe {
            let block = meter.alloc(layout);
            assert_eq!(private_bytes() - before, 1 << 20);
            assert!(take_private_change().is_some());
            let block = meter.realloc(block, layout, 3 << 20);
            assert_eq!(private_bytes() - before, 3 << 20);
            meter.dealloc(block, Layout::from_size_align(3 << 20, 8).unwrap());
        }
        assert_eq!(private_bytes(), before);
    }
}
