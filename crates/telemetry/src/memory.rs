//! How full memory is: noted where memory is taken, raised as an event at the next safe point of the process that took it.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use tocsin_event::{Edge, Events, PkgThreshold, Rule, SharedEdge, ShmThreshold, percentage};
use tocsin_shm::{Arena, identity};

use crate::events;

/// What memory is watched against: the same in every process.
#[derive(Debug)]
pub struct MemoryWatch {
    /// The shared memory.
    pub arena: &'static Arena,
    /// When it is worth an event.
    pub shared_rule: Rule,
    /// What was last raised about it.
    pub shared_edge: &'static SharedEdge,
    /// The private memory of each process, in bytes (`-M`).
    pub private_bytes: u64,
    /// When it is worth an event.
    pub private_rule: Rule,
    /// 1 once the startup route has ended.
    pub started: &'static AtomicU32,
}

/// Watches the private memory of this process against its budget (`-M`).
#[derive(Debug, Default)]
pub struct PrivateWatch {
    edge: Edge,
    over: bool,
}

impl PrivateWatch {
    /// Raises the event if the percentage moved so that it should.
    pub fn look(&mut self, memory: &MemoryWatch, events: &Events) {
        // The first event waits for the end of the startup route: nobody can have subscribed earlier.
        if memory.started.load(Relaxed) == 0 {
            return;
        }
        let Some(used) = tocsin_process::take_private_change() else { return };
        let budget = memory.private_bytes;
        let usage = percentage(used, budget);
        let rule = memory.private_rule;
        self.over = used > budget;
        if self.edge.observe(rule, usage) {
            let (threshold, pid) = (rule.threshold, identity::pid());
            events::private_memory(events, &PkgThreshold { usage, threshold, used, size: budget, pid });
        }
    }

    /// Whether this process was over its budget at the last look: it should make room for a successor.
    pub fn is_over(&self) -> bool {
        self.over
    }
}

impl MemoryWatch {
    /// Raises the event for shared memory if this process sees a change that no other has reported.
    #[inline]
    pub fn look_at_shared(&self, events: &Events) {
        if self.arena.take_usage_change() {
            self.report_shared(events);
        }
    }

    #[cold]
    fn report_shared(&self, events: &Events) {
        let size = self.arena.size_bytes();
        let (mut used, mut usage) = (0, 0);
        let measure = || {
            used = self.arena.used_bytes();
            usage = percentage(used, size);
            usage
        };
        if self.shared_edge.observe(self.shared_rule, measure) {
            let threshold = self.shared_rule.threshold;
            events::shared_memory(events, &ShmThreshold { usage, threshold, used, size });
        }
    }
}
