//! Which letter each TCP worker has served last. A worker takes a letter out of its mailbox once it is served; one that is
//! killed between the two leaves a letter that its successor must not serve again.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use tocsin_shm::{Arena, ArenaFull};

/// The numbers of letters, the same in all processes.
#[derive(Debug, Clone, Copy)]
pub struct ServedLetters {
    next: &'static AtomicU64,
    /// The number of the letter that the worker of this index has served last.
    served: &'static [AtomicU64],
}

impl ServedLetters {
    /// For `workers` TCP workers, before the first fork.
    pub fn create(arena: &'static Arena, workers: usize) -> Result<Self, ArenaFull> {
        Ok(Self {
            next: &arena.boot_array(1, |_| AtomicU64::new(1))?[0],
            served: arena.boot_array(workers, |_| AtomicU64::new(0))?,
        })
    }

    /// A number that no other letter has.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Relaxed)
    }

    /// The worker of `index` has served the letter `number`, and takes it out now.
    pub fn note(&self, index: u16, number: u64) {
        if let Some(served) = self.served.get(usize::from(index)) {
            served.store(number, Release);
        }
    }

    /// Whether the worker of `index`, or its predecessor, has served the letter `number` last. No letter without a number
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
    fn a_letter_is_served_once_by_the_worker_it_was_for() {
        let arena = Arena::create(&ArenaOptions { bytes: 16 << 20, boot_bytes: 1 << 20 }).unwrap();
        let letters = ServedLetters::create(arena, 2).unwrap();
        let (first, second) = (letters.number(), letters.number());
        assert!(first != second && first != 0);
        letters.note(1, first);
        assert!(letters.is_served(1, first) && !letters.is_served(0, first));
        letters.note(1, second);
        assert!(letters.is_served(1, second) && !letters.is_served(1, first));
        assert!(!letters.is_served(0, 0));
        letters.note(7, first);
        assert!(!letters.is_served(7, first));
    }
}
