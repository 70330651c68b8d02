//! Who reads a mailbox of event routes: its worker, or while that is away one of the others, and never two at a time.

use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire};

use tocsin_shm::{ProcessTable, ShmSafe};

/// The process that reads a mailbox: its slot and its pid, so that it is known when it is gone. 0 for nobody.
#[derive(Debug, Default, ShmSafe)]
pub(super) struct Reader(AtomicU64);

impl Reader {
    /// Makes the process in `slot` the reader, unless another one is that lives.
    pub(super) fn hold(&self, table: &ProcessTable, slot: u16) -> bool {
        let before = self.0.load(Acquire);
        let own = name(table, slot);
        let is_free = before == own || before == 0 || name(table, (before >> 32) as u16) != before;
        is_free && self.0.compare_exchange(before, own, AcqRel, Acquire).is_ok()
    }

    /// The process in `slot` is no longer the reader.
    pub(super) fn release(&self, table: &ProcessTable, slot: u16) {
        // If it is not, there is nothing to release.
        let _ = self.0.compare_exchange(name(table, slot), 0, AcqRel, Acquire);
    }
}

fn name(table: &ProcessTable, slot: u16) -> u64 {
    u64::from(slot) << 32 | u64::from(table.slot(slot).pid.load(Acquire))
}

#[cfg(test)]
mod tests {
    use tocsin_shm::{Arena, ArenaOptions};

    use super::*;

    #[test]
    fn one_reads_at_a_time_and_the_dead_do_not() {
        let arena = Arena::create(&ArenaOptions { bytes: 4 << 20, boot_bytes: 1 << 20 }).unwrap();
        let table = ProcessTable::create(arena, 4).unwrap();
        table.slot(1).open(101, 0, "one");
        table.slot(2).open(102, 0, "two");
        let reader = Reader::default();
        assert!(reader.hold(table, 1) && reader.hold(table, 1));
        assert!(!reader.hold(table, 2));
        reader.release(table, 2);
        assert!(!reader.hold(table, 2), "only the reader itself lets go");
        table.slot(1).close();
        assert!(reader.hold(table, 2), "the reader died");
        table.slot(1).open(103, 1, "one");
        assert!(!reader.hold(table, 1));
        reader.release(table, 2);
        assert!(reader.hold(table, 1));
    }
}
