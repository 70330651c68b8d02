//! Repair after a death, and compaction: a copy of every good record into a fresh heap, then one store that makes the
//! copy the shard. What a dead process left in its heap is thrown away unread.

use std::cell::UnsafeCell;
use std::ptr::null_mut;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::compiler_fence;

use allocator_api2::boxed::Box as Block;

use super::shard::{Link, Record, Shard};
use super::wheel::{Millis, Timer};
use crate::heap::{Alloc, Full};
use crate::{ShmClone, ShmSafe};

/// Repairs of one shard that may end in a death; the next one gives the shard up.
pub const REPAIR_ATTEMPTS: u32 = 3;

/// Repairs a shard whose lock is held and whose last writer died. May be interrupted at any instruction and begun
/// again: until the store to `live` nothing old is touched, after it nothing old is needed.
#[cold]
pub(super) fn repair<K: ShmClone, V: ShmClone>(shard: &'static Shard<K, V>) {
    if shard.no_repair.load(Relaxed) {
        shard.lock.mark_clean();
        return;
    }
    if shard.attempts.fetch_add(1, Relaxed) >= REPAIR_ATTEMPTS {
        give_up(shard);
    } else {
        let open = shard.editing.load(Relaxed);
        let copied = copy(shard, open, Loss::Count);
        debug_assert!(copied.is_ok(), "a repair counts what does not fit");
    }
    shard.repairs.fetch_add(1, Relaxed);
    shard.attempts.store(0, Relaxed);
    shard.lock.mark_clean();
}

/// Copies the records of a shard close together. The lock is held, the shard is clean and marked as written. A death
/// in here is repaired like any other.
///
/// # Errors
/// [`Full`] when there is no room for the copy: the shard is as it was.
pub(super) fn compact<K: ShmClone, V: ShmClone>(shard: &'static Shard<K, V>) -> Result<(), Full> {
    copy(shard, null_mut(), Loss::Refuse)
}

/// What becomes of a record for which there is no room.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    Count,
    Refuse,
}

fn copy<K: ShmClone, V: ShmClone>(
    shard: &'static Shard<K, V>,
    open: *mut Record<K, V>,
    loss: Loss,
) -> Result<(), Full> {
    let old = shard.live.load(Relaxed) & 1;
    let new = 1 - old;
    clear_chains(shard, new);
    // What an interrupted copy left.
    shard.heaps[new].reset();
    shard.heaps[new].set_repairing(loss == Loss::Count);
    let (mut kept, mut lost) = (0, 0);
    for (from, to) in shard.chains[old].iter().zip(shard.chains[new]) {
        match copy_chain(shard, from, to, open, loss) {
            Ok((more, fewer)) => (kept, lost) = (kept + more, lost + fewer),
            Err(full) => {
                clear_chains(shard, new);
                shard.heaps[new].reset();
                return Err(full);
            }
        }
    }
    shard.heaps[new].set_repairing(false);
    compiler_fence(SeqCst);
    shard.live.store(new, Release);
    compiler_fence(SeqCst);
    shard.editing.store(null_mut(), Relaxed);
    shard.len.store(kept, Relaxed);
    shard.lost.fetch_add(lost, Relaxed);
    wind_up(shard, new);
    clear_chains(shard, old);
    shard.heaps[old].reset();
    Ok(())
}

/// Copies the records of one chain, in their order. Returns how many were kept and lost.
fn copy_chain<K: ShmClone, V: ShmClone>(
    shard: &'static Shard<K, V>,
    from: &Link<K, V>,
    to: &'static Link<K, V>,
    open: *mut Record<K, V>,
    loss: Loss,
) -> Result<(usize, u64), Full> {
    let alloc = Alloc::new(&shard.heaps[1 - (shard.live.load(Relaxed) & 1)]);
    let (mut kept, mut lost) = (0, 0);
    let mut end = to;
    let mut at = from.load(Acquire);
    // SAFETY: what a chain leads to was complete before it was hung in, and is freed after it was taken out.
    while let Some(record) = unsafe { at.as_ref() } {
        let copied = if at == open {
            // SAFETY: it was open when its process died, and nothing was changed in the heap since.
            unsafe { shard.before() }
                .ok_or(Full)
                .and_then(|(value, due)| copy_record(record, value, due, alloc))
        } else {
            // SAFETY: the lock is held and nobody has the value open.
            copy_record(record, unsafe { &*record.value.get() }, record.timer.deadline(), alloc)
        };
        match copied {
            Ok(copy) => {
                end.store(copy, Release);
                // SAFETY: just made, and lives as long as the new heap.
                end = unsafe { &(*copy).next };
                kept += 1;
            }
            Err(full) if loss == Loss::Refuse => return Err(full),
            Err(_) => lost += 1,
        }
        at = record.next.load(Acquire);
    }
    Ok((kept, lost))
}

fn copy_record<K: ShmClone, V: ShmClone>(
    record: &Record<K, V>,
    value: &V,
    due: Millis,
    alloc: Alloc,
) -> Result<*mut Record<K, V>, Full> {
    let key = record.key.try_clone_in(alloc)?;
    let value = value.try_clone_in(alloc)?;
    let copy = Record {
        timer: Timer::new(due),
        next: AtomicPtr::new(null_mut()),
        hash: record.hash,
        key,
        value: UnsafeCell::new(value),
    };
    let block = Block::try_new_in(copy, alloc).map_err(|_| Full)?;
    Ok(Block::into_raw_with_allocator(block).0)
}

/// Builds the wheel from the records' deadlines.
fn wind_up<K, V>(shard: &'static Shard<K, V>, generation: usize) {
    shard.wheel.reset();
    for first in shard.chains[generation] {
        let mut at = first.load(Relaxed);
        // SAFETY: the records of the copy are valid.
        while let Some(record) = unsafe { at.as_ref() } {
            // SAFETY: it stays valid until it is taken out.
            unsafe { shard.wheel.insert(at.cast()) };
            at = record.next.load(Relaxed);
        }
    }
    // SAFETY: all that is linked was linked above.
    unsafe { shard.wheel.settle() };
}

/// Empties a shard whose repair kills each process that tries it.
fn give_up<K: ShmSafe, V: ShmSafe>(shard: &'static Shard<K, V>) {
    let lost = shard.len.load(Relaxed);
    empty(shard);
    shard.lost.fetch_add(lost as u64, Relaxed);
}

/// Forgets all records, reading none. The lock is held and the shard marked as written.
pub(super) fn empty<K, V>(shard: &'static Shard<K, V>) {
    clear_chains(shard, 0);
    clear_chains(shard, 1);
    compiler_fence(SeqCst);
    shard.editing.store(null_mut(), Relaxed);
    shard.len.store(0, Relaxed);
    shard.wheel.reset();
    // SAFETY: nothing is linked.
    unsafe { shard.wheel.settle() };
    shard.heaps[0].reset();
    shard.heaps[1].reset();
}

fn clear_chains<K, V>(shard: &Shard<K, V>, generation: usize) {
    for first in shard.chains[generation] {
        first.store(null_mut(), Relaxed);
    }
}
