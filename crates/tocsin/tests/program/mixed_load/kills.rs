//! The kills, of any process but the supervisor.

use std::collections::{BTreeMap, HashMap};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Chance, Process, Server, until};

pub(super) struct Kills {
    chance: Chance,
    killed: Vec<Process>,
}

impl Kills {
    pub(super) fn new() -> Self {
        Self { chance: Chance::new(), killed: Vec::new() }
    }

    /// Kills one process at random.
    pub(super) fn kill_one(&mut self, server: &Server) {
        let killed = until("a process can be killed", || {
            let candidates: Vec<_> = server.ps().into_iter().filter(|process| process.id != 0).collect();
            let process = candidates.get(self.chance.below(candidates.len().max(1)))?.clone();
            kill(Pid::from_raw(process.pid), Signal::SIGKILL).is_ok().then_some(process)
        });
        eprintln!("killed {} {}", killed.kind, killed.pid);
        self.killed.push(killed);
    }

    /// Waits until every process that was killed has a successor. Of each ID only the last kill counts: within an hour the
    /// system gives the numbers of dead processes to new ones.
    pub(super) fn until_all_serve(&self, server: &Server) {
        let last: HashMap<_, _> = self.killed.iter().map(|process| (process.id, process.pid)).collect();
        until("ps shows successors only", || {
            let is_dead = |process: &Process| last.get(&process.id) == Some(&process.pid);
            (!server.ps().iter().any(is_dead)).then_some(())
        });
    }

    pub(super) fn count(&self) -> usize {
        self.killed.len()
    }

    /// How many of a kind were killed.
    pub(super) fn of(&self, kind: &str) -> usize {
        self.killed.iter().filter(|process| process.kind == kind).count()
    }

    pub(super) fn pids(&self) -> impl Iterator<Item = i64> {
        self.killed.iter().map(|process| i64::from(process.pid))
    }

    /// How often each kind was killed, for people.
    pub(super) fn by_kind(&self) -> String {
        let mut kinds = BTreeMap::new();
        for process in &self.killed {
            *kinds.entry(process.kind.as_str()).or_insert(0) += 1;
        }
        kinds.iter().map(|(kind, count)| format!("{count} x {kind}")).collect::<Vec<_>>().join(", ")
    }
}
