//! What is due in the table of transactions: retransmissions, time-outs, the end of their lives.

use tocsin_server::Worker;
use tocsin_server::module::Deadlines;
use tocsin_shm::Map;

use super::act::{AtHand, carry_out};
use super::failure::follow_up;
use super::machine::Actions;
use super::record::{Transaction, TransactionId};

/// Transactions served under one hold of a shard's lock.
const AT_ONCE: usize = 32;

/// Milliseconds by which everything here is late on purpose. A callee whose answer was lost repeats it after the same T1
/// after which it would be asked again: let its answer come first, and there is nothing to ask.
const LATE: u64 = 50;

/// The table as something with deadlines.
#[derive(Debug)]
pub(super) struct Expiry(pub(super) Map<TransactionId, Transaction>);

impl Deadlines for Expiry {
    fn shards(&self) -> usize {
        self.0.shards()
    }

    fn next_due(&self, shard: usize) -> u64 {
        self.0.next_due(shard).saturating_add(LATE)
    }

    fn expire(&self, worker: &'static Worker, shard: usize, now: u64) {
        loop {
            let mut later = Vec::new();
            let mut actions = Actions::new();
            let served = self.0.expire(shard, now.saturating_sub(LATE), AT_ONCE, |id, t, edit| {
                actions.clear();
                t.machine.expire(now, &mut actions);
                let after = carry_out(worker, *id, t, edit, &mut actions, AtHand::Nothing, now);
                if !after.is_nothing() {
                    later.push((*id, after));
                }
            });
            for (id, after) in &mut later {
                after.send(worker, *id);
            }
            worker.flush();
            for (id, after) in later {
                follow_up(worker, id, after);
            }
            if served < AT_ONCE {
                break;
            }
        }
    }
}
