//! What the supervisor does for a dead process.

use std::ops::AddAssign;

/// A process that ended and is not yet reaped, so that its pid names no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dead {
    /// Its process id.
    pub pid: u32,
    /// Its row of the process table.
    pub slot: u16,
}

/// What a sweep found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Locks that the dead process held.
    pub held: u32,
    /// Of these, locks under which it was changing something.
    pub dirty: u32,
    /// Records that it had open for a change in place without memory for what they were before: they are lost.
    pub records_lost: u32,
}

impl AddAssign for Swept {
    fn add_assign(&mut self, other: Self) {
        self.held += other.held;
        self.dirty += other.dirty;
        self.records_lost += other.records_lost;
    }
}

/// What a table takes of the arena, read without its locks: each number is right for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableUsage {
    /// The table's name.
    pub name: &'static str,
    /// Its records.
    pub records: u64,
    /// Bytes of the records.
    pub used_bytes: u64,
    /// Bytes of the chunks that it holds.
    pub held_bytes: u64,
    /// Shards that were repaired after a death.
    pub repairs: u64,
    /// Records that deaths cost.
    pub lost: u64,
}

/// Something shared that a dead process may have left in the middle of an operation.
///
/// A sweep touches lock words and plain words only: it never follows a pointer that the dead process may have
/// left half-written, so the supervisor may call it.
pub trait Sweep: Sync {
    /// Frees what `dead` held. To be called between its death and its reaping.
    fn sweep(&self, dead: Dead) -> Swept;

    /// What a table takes of the arena; `None` for what is no table.
    fn usage(&self) -> Option<TableUsage> {
        None
    }
}
