//! The requests that are queued in the memory of one process alone: until a connection opens, until a handshake is done,
//! behind a peer that reads nothing, behind a full mailbox. A process that is killed leaves its entries here, and their
//! branches fail at once.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use tocsin_shm::{Arena, ArenaFull, ShmSafe, identity};

use crate::flow::BranchRef;

/// Entries for the whole server.
const ENTRIES: usize = 4096;
/// Entries that are looked at for a free one.
const TRIES: usize = 64;

#[derive(Debug, ShmSafe)]
struct Entry {
    /// The process that has the message, 0 for none.
    pid: AtomicU32,
    branch: AtomicU32,
    /// 0 while the entry is being written.
    transaction: AtomicU64,
}

/// The table, the same in all processes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PendingTable {
    entries: &'static [Entry],
    /// Where the search for a free entry begins.
    next: &'static AtomicU64,
}

/// A request that is queued in this process: its entry is freed when this is dropped.
#[derive(Debug)]
pub(crate) struct PendingGuard {
    branch_ref: BranchRef,
    entry: Option<&'static Entry>,
}

impl PendingTable {
    /// Makes the table, before the first fork.
    pub(crate) fn create(arena: &'static Arena) -> Result<Self, ArenaFull> {
        let entry =
            |_| Entry { pid: AtomicU32::new(0), branch: AtomicU32::new(0), transaction: AtomicU64::new(0) };
        Ok(Self {
            entries: arena.boot_array(ENTRIES, entry)?,
            next: &arena.boot_array(1, |_| AtomicU64::new(0))?[0],
        })
    }

    /// Notes that the request of a branch is queued in this process. In a full table nothing is noted: should the process die,
    /// the branch ends with its timer.
    pub(crate) fn note(&self, branch_ref: BranchRef) -> PendingGuard {
        let start = self.next.fetch_add(1, Relaxed) as usize;
        let free = (0..TRIES).map(|at| &self.entries[(start + at) % ENTRIES]).find(|entry| {
            entry.pid.load(Relaxed) == 0
                && entry.pid.compare_exchange(0, identity::pid(), Acquire, Relaxed).is_ok()
        });
        if let Some(entry) = free {
            entry.branch.store(branch_ref.branch.into(), Relaxed);
            entry.transaction.store(branch_ref.transaction, Release);
        }
        PendingGuard { branch_ref, entry: free }
    }

    /// Takes the entries of processes that are dead, as `is_alive` says. Each is given to one caller.
    pub(crate) fn take_orphans(&self, is_alive: impl Fn(u32) -> bool) -> Vec<PendingGuard> {
        let own = identity::pid();
        let of_the_dead = |entry: &&'static Entry| {
            let pid = entry.pid.load(Acquire);
            pid != 0
                && pid != own
                && !is_alive(pid)
                && entry.pid.compare_exchange(pid, own, AcqRel, Relaxed).is_ok()
        };
        let orphans = self.entries.iter().filter(of_the_dead).map(|entry| {
            let transaction = entry.transaction.load(Acquire);
            let branch = entry.branch.load(Relaxed) as u8;
            PendingGuard { branch_ref: BranchRef { transaction, branch }, entry: Some(entry) }
        });
        // An entry without a transaction was never written to its end; dropping it frees it.
        orphans.filter(|guard| guard.branch_ref.transaction != 0).collect()
    }
}

impl PendingGuard {
    /// Without an entry, for tests that have no shared memory.
    #[cfg(test)]
    pub(crate) fn unlisted(branch_ref: BranchRef) -> Self {
        Self { branch_ref, entry: None }
    }

    /// The branch that it belongs to.
    pub(crate) fn branch_ref(&self) -> BranchRef {
        self.branch_ref
    }
}

impl Drop for PendingGuard {
    fn drop(&mut self) {
        if let Some(entry) = self.entry {
            entry.transaction.store(0, Relaxed);
            entry.pid.store(0, Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use tocsin_shm::ArenaOptions;

    use super::*;

    fn pending() -> PendingTable {
        let arena = Arena::create(&ArenaOptions { bytes: 16 << 20, boot_bytes: 1 << 20 }).unwrap();
        PendingTable::create(arena).unwrap()
    }

    fn branch_ref(transaction: u64) -> BranchRef {
        BranchRef { transaction, branch: 3 }
    }

    /// The entries as they are when this process was `pid`.
    fn die(pending: &PendingTable, pid: u32) {
        let of_ours = pending.entries.iter().filter(|entry| entry.pid.load(Relaxed) != 0);
        of_ours.for_each(|entry| entry.pid.store(pid, Relaxed));
    }

    #[test]
    fn what_waits_in_a_process_that_dies_is_told_once() {
        let pending = pending();
        drop(pending.note(branch_ref(6)));
        let waiting = pending.note(branch_ref(7));
        assert!(pending.take_orphans(|_| false).is_empty(), "one's own message is no orphan");
        std::mem::forget(waiting);
        die(&pending, 4242);
        assert!(pending.take_orphans(|_| true).is_empty());
        let orphans = pending.take_orphans(|pid| pid != 4242);
        assert_eq!(orphans.iter().map(PendingGuard::branch_ref).collect::<Vec<_>>(), [branch_ref(7)]);
        assert!(pending.take_orphans(|_| false).is_empty());
        drop(orphans);
        assert!(pending.entries.iter().all(|entry| entry.pid.load(Relaxed) == 0));
    }

    #[test]
    fn a_line_that_was_never_written_to_its_end_is_freed() {
        let pending = pending();
        pending.entries[5].pid.store(4242, Relaxed);
        assert!(pending.take_orphans(|_| false).is_empty());
        assert_eq!(pending.entries[5].pid.load(Relaxed), 0);
    }

    #[test]
    fn a_full_ledger_stops_nobody() {
        let pending = pending();
        let all: Vec<_> = (1..=ENTRIES as u64).map(|n| pending.note(branch_ref(n))).collect();
        assert!(all.iter().all(|guard| guard.entry.is_some()));
        let more = pending.note(branch_ref(1));
        assert!(more.entry.is_none());
        assert_eq!(more.branch_ref(), branch_ref(1));
    }
}
