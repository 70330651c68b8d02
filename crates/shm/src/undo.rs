//! The blocks of the edit under way in this process, for the case that it dies in the middle of it.
//!
//! A shard keeps a copy of the bytes of the value that is open. What the value owns is not copied: during an edit, memory
//! that the record had before is neither freed nor written over. A collection that is to change in place moves to a buffer
//! of its own first, and what is freed is noted here and freed when the edit has ended.

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

thread_local! {
    /// The heap of the record that is open; null if none is.
    static OPEN: Cell<*const ()> = const { Cell::new(ptr::null()) };
    /// Emptied, and never freed: so it has no destructor and can be asked for at any time.
    static BLOCKS: RefCell<ManuallyDrop<Blocks>> =
        const { RefCell::new(ManuallyDrop::new(Blocks { taken: Vec::new(), freed: Vec::new() })) };
}

struct Blocks {
    /// Those that the edit took: the record did not have them before.
    taken: Vec<NonNull<u8>>,
    /// Those that it gave back.
    freed: Vec<(NonNull<u8>, Layout)>,
}

/// An edit under way. If it is dropped before its end, its closure has panicked: the repair of the shard follows.
#[derive(Debug)]
pub(crate) struct Undo(());

impl Undo {
    /// An edit begins of a record in this heap, whose lock is held. One is under way at a time.
    #[inline]
    pub(crate) fn begin(heap: *const ()) -> Self {
        debug_assert!(OPEN.get().is_null(), "one record is open at a time");
        OPEN.set(heap);
        Self(())
    }

    /// The edit is complete: what it freed may be freed.
    #[inline]
    pub(crate) fn end(self, free: impl FnMut(NonNull<u8>, Layout)) {
        OPEN.set(ptr::null());
        free_all(free);
    }
}

impl Drop for Undo {
    #[inline]
    fn drop(&mut self) {
        OPEN.set(ptr::null());
        BLOCKS.with_borrow_mut(|blocks| {
            blocks.taken.clear();
            blocks.freed.clear();
        });
    }
}

/// Whether the edit is of a record in this heap.
#[inline]
pub(crate) fn is_open(heap: *const ()) -> bool {
    ptr::eq(OPEN.get(), heap)
}

/// Notes that the edit took a block.
#[inline]
pub(crate) fn note_taken(block: NonNull<u8>) {
    BLOCKS.with_borrow_mut(|blocks| blocks.taken.push(block));
}

/// Whether the edit took this block.
pub(crate) fn is_taken(block: NonNull<u8>) -> bool {
    // The one that it took last is asked for most.
    BLOCKS.with_borrow(|blocks| blocks.taken.iter().rev().any(|taken| *taken == block))
}

/// Notes that the edit gave a block back.
#[inline]
pub(crate) fn note_freed(block: NonNull<u8>, layout: Layout) {
    BLOCKS.with_borrow_mut(|blocks| blocks.freed.push((block, layout)));
}

/// Frees what the edit gave back up to now. True if that is anything.
pub(crate) fn free_all(mut free: impl FnMut(NonNull<u8>, Layout)) -> bool {
    BLOCKS.with_borrow_mut(|blocks| {
        let any = !blocks.freed.is_empty();
        blocks.freed.drain(..).for_each(|(block, layout)| free(block, layout));
        any
    })
}
