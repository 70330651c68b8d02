//! How full memory is: noted where memory is taken, told at the next safe point of whoever took it.

use std::sync::atomic::Ordering::Relaxed;

use tocsin_event::{Edge, PkgThreshold, ShmThreshold, percentage};
use tocsin_shm::identity;

use crate::events;
use crate::server::Server;

/// Watches the private memory of this process against its budget (`-M`).
#[derive(Debug, Default)]
pub struct PrivateWatch {
    edge: Edge,
    over: bool,
}

impl PrivateWatch {
    /// Raises the event if the percentage moved so that it should.
    pub fn look(&mut self, server: &Server) {
        // What a process took to start is told when the startup route is over: before, nobody could be subscribed.
        if server.words.started.load(Relaxed) == 0 {
            return;
        }
        let Some(used) = tocsin_process::take_private_change() else { return };
        let budget = server.settings.private_bytes;
        let usage = percentage(used, budget);
        let rule = server.settings.private_rule();
        self.over = used > budget;
        if self.edge.observe(rule, usage) {
            let (threshold, pid) = (rule.threshold, identity::pid());
            events::private_memory(server, &PkgThreshold { usage, threshold, used, size: budget, pid });
        }
    }

    /// Whether this process was over its budget at the last look: it should make room for a successor.
    pub fn is_over(&self) -> bool {
        self.over
    }
}

/// Raises the event for shared memory if this process sees a change that nobody told yet.
#[inline]
pub fn look_at_shared(server: &Server) {
    if server.arena.take_usage_change() {
        tell_shared(server);
    }
}

#[cold]
fn tell_shared(server: &Server) {
    let size = server.arena.size_bytes();
    let (mut used, mut usage) = (0, 0);
    let rule = server.settings.shared_rule();
    let measure = || {
        used = server.arena.used_bytes();
        usage = percentage(used, size);
        usage
    };
    if server.shared_edge.observe(rule, measure) {
        events::shared_memory(server, &ShmThreshold { usage, threshold: rule.threshold, used, size });
    }
}
