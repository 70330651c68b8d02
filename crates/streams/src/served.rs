//! Which message each TCP worker has served last. A worker takes a message out of its mailbox once it is served; one that is
//! killed between the two leaves a message that its successor must not serve again.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use tocsin_shm::{Arena, ArenaFull};

/// The numbers of messages, the same in all processes.
#[derive(Debug, Clone, Copy)]
pub struct ServedMessages {
    next: &'static AtomicU64,
    /// The number of the message that the worker of this index has served last.
    served: &'static [AtomicU64],
}

impl ServedMessages {
    /// For `workers` TCP workers, before the first fork.
    pub fn create(arena: &'static Arena, workers: usize) -> Result<Self, ArenaFull> {
        Ok(Self {
            next: &arena.boot_array(1, |_| AtomicU64::new(1))?[0],
            served: arena.boot_array(workers, |_| AtomicU64::new(0))?,
        })
    }

    /// A number that no other message has.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Relaxed)
    }

    /// The worker of `index` has served the message `number`, and takes it out now.
    pub fn note(&self, index: u16, number: u64) {
        if let Some(served) = self.served.get(usize::from(index)) {
            served.store(number, Release);
        }
    }

    /// Whether the worker of `index`, or its predecessor, has served the message `number` last. No message without a number
    /// (0) counts as served.
    pub fn is_served(&self, index: u16, number: u64) -> bool {
        number != 0
            && self.served.get(usize::from(index)).is_some_and(|served| served.load(Acquire) == number)
    }
}

#[cfg(test)]
mod tests {
    use tocsin_shm::ArenaOptions;

    use super::*;

    #[test]
    fn a_message_is_served_once_by_the_worker_it_was_for() {
        let arena = Arena::create(&ArenaOptions { bytes: 16 << 20, boot_bytes: 1 << 20 }).unwrap();
        let messages = ServedMessages::create(arena, 2).unwrap();
        let (first, second) = (messages.number(), messages.number());
        assert!(first != second && first != 0);
        messages.note(1, first);
        assert!(messages.is_served(1, first) && !messages.is_served(0, first));
        messages.note(1, second);
        assert!(messages.is_served(1, second) && !messages.is_served(1, first));
        assert!(!messages.is_served(0, 0));
        messages.note(7, first);
        assert!(!messages.is_served(7, first));
    }
}
