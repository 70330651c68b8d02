//! Who waits for messages that lie in the memory of one process alone: in its openings, its handshakes, behind a peer that
//! takes nothing, behind a full mailbox. A process that is killed leaves its lines here, and the transactions are told.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use tocsin_shm::{Arena, ArenaFull, ShmSafe, identity};

use crate::flow::Ticket;

/// Messages of the whole server that can stand in the ledger.
const LINES: usize = 4096;
/// Lines that are looked at for a free one.
const TRIES: usize = 64;

#[derive(Debug, ShmSafe)]
struct Line {
    /// The process that has the message, 0 for none.
    pid: AtomicU32,
    branch: AtomicU32,
    /// 0 while the line is being written.
    transaction: AtomicU64,
}

/// The ledger, the same in all processes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ledger {
    lines: &'static [Line],
    /// Where the search for a free line begins.
    next: &'static AtomicU64,
}

/// A message that waits in this process, and who is told if it cannot be sent, whatever becomes of the process.
#[derive(Debug)]
pub(crate) struct Noted {
    ticket: Ticket,
    line: Option<&'static Line>,
}

impl Ledger {
    /// Makes the ledger, before the first fork.
    pub(crate) fn create(arena: &'static Arena) -> Result<Self, ArenaFull> {
        let line =
            |_| Line { pid: AtomicU32::new(0), branch: AtomicU32::new(0), transaction: AtomicU64::new(0) };
        Ok(Self {
            lines: arena.boot_array(LINES, line)?,
            next: &arena.boot_array(1, |_| AtomicU64::new(0))?[0],
        })
    }

    /// Notes that a message of `ticket` waits in this process. A full ledger notes nothing: then only this process can tell.
    pub(crate) fn note(&self, ticket: Ticket) -> Noted {
        let start = self.next.fetch_add(1, Relaxed) as usize;
        let free = (0..TRIES).map(|at| &self.lines[(start + at) % LINES]).find(|line| {
            line.pid.load(Relaxed) == 0
                && line.pid.compare_exchange(0, identity::pid(), Acquire, Relaxed).is_ok()
        });
        if let Some(line) = free {
            line.branch.store(ticket.branch.into(), Relaxed);
            line.transaction.store(ticket.transaction, Release);
        }
        Noted { ticket, line: free }
    }

    /// Takes the lines of processes that are dead, as `is_alive` says. Each is given to one caller.
    pub(crate) fn take_orphans(&self, is_alive: impl Fn(u32) -> bool) -> Vec<Noted> {
        let own = identity::pid();
        let of_the_dead = |line: &&'static Line| {
            let pid = line.pid.load(Acquire);
            pid != 0
                && pid != own
                && !is_alive(pid)
                && line.pid.compare_exchange(pid, own, AcqRel, Relaxed).is_ok()
        };
        let orphans = self.lines.iter().filter(of_the_dead).map(|line| {
            let transaction = line.transaction.load(Acquire);
            let branch = line.branch.load(Relaxed) as u8;
            Noted { ticket: Ticket { transaction, branch }, line: Some(line) }
        });
        // A line without a transaction was never written to its end; dropping it frees it.
        orphans.filter(|noted| noted.ticket.transaction != 0).collect()
    }
}

impl Noted {
    /// Who is told.
    pub(crate) fn ticket(&self) -> Ticket {
        self.ticket
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        if let Some(line) = self.line {
            line.transaction.store(0, Relaxed);
            line.pid.store(0, Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use tocsin_shm::ArenaOptions;

    use super::*;

    fn ledger() -> Ledger {
        let arena = Arena::create(&ArenaOptions { bytes: 16 << 20, boot_bytes: 1 << 20 }).unwrap();
        Ledger::create(arena).unwrap()
    }

    fn ticket(transaction: u64) -> Ticket {
        Ticket { transaction, branch: 3 }
    }

    /// The lines as they are when this process was `pid`.
    fn die(ledger: &Ledger, pid: u32) {
        let of_ours = ledger.lines.iter().filter(|line| line.pid.load(Relaxed) != 0);
        of_ours.for_each(|line| line.pid.store(pid, Relaxed));
    }

    #[test]
    fn what_waits_in_a_process_that_dies_is_told_once() {
        let ledger = ledger();
        drop(ledger.note(ticket(6)));
        let waiting = ledger.note(ticket(7));
        assert!(ledger.take_orphans(|_| false).is_empty(), "one's own message is no orphan");
        std::mem::forget(waiting);
        die(&ledger, 4242);
        assert!(ledger.take_orphans(|_| true).is_empty());
        let orphans = ledger.take_orphans(|pid| pid != 4242);
        assert_eq!(orphans.iter().map(Noted::ticket).collect::<Vec<_>>(), [ticket(7)]);
        assert!(ledger.take_orphans(|_| false).is_empty());
        drop(orphans);
        assert!(ledger.lines.iter().all(|line| line.pid.load(Relaxed) == 0));
    }

    #[test]
    fn a_line_that_was_never_written_to_its_end_is_freed() {
        let ledger = ledger();
        ledger.lines[5].pid.store(4242, Relaxed);
        assert!(ledger.take_orphans(|_| false).is_empty());
        assert_eq!(ledger.lines[5].pid.load(Relaxed), 0);
    }

    #[test]
    fn a_full_ledger_stops_nobody() {
        let ledger = ledger();
        let all: Vec<_> = (1..=LINES as u64).map(|n| ledger.note(ticket(n))).collect();
        assert!(all.iter().all(|noted| noted.line.is_some()));
        let more = ledger.note(ticket(1));
        assert!(more.line.is_none());
        assert_eq!(more.ticket(), ticket(1));
    }
}
