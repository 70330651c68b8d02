//! Whose turn it is: work that is due every so often is done once each time, by one of several processes.
//!
//! Each piece of work has a count of its turns from the start of the server on, the same for all processes. The process that takes
//! a turn first does the work; a process that dies before it takes one leaves it to the others.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::AcqRel;
use std::time::Duration;

use tocsin_shm::{Arena, ArenaFull};

/// How long others wait for the process whose turn it is, for each place that they are behind it.
const STAND_IN: Duration = Duration::from_millis(100);

/// The turns of all periodic work.
#[derive(Debug)]
pub struct Turns(&'static [AtomicU64]);

impl Turns {
    /// For so many pieces of work.
    ///
    /// # Errors
    /// [`ArenaFull`] when there is no room.
    pub(crate) fn create(arena: &'static Arena, pieces: usize) -> Result<Self, ArenaFull> {
        Ok(Self(arena.boot_array(pieces, |_| AtomicU64::new(0))?))
    }

    /// Takes a turn of a piece of work; `false` when another process has it, or a later one.
    pub(crate) fn take(&self, piece: usize, turn: u64) -> bool {
        self.0.get(piece).is_some_and(|latest| latest.fetch_max(turn, AcqRel) < turn)
    }
}

/// The next turn of work that is due every `period`, and when: both counted from the `epoch` on, times in milliseconds.
pub(crate) fn next_turn(epoch: u64, period: u64, now: u64) -> (u64, u64) {
    let period = period.max(1);
    let turn = now.saturating_sub(epoch) / period + 1;
    (turn, epoch + turn * period)
}

/// How long the process of this `rank` among `workers` leaves a turn of `piece` to others: not at all if it is the one
/// whose turn it is.
pub(crate) fn patience(piece: usize, rank: usize, workers: usize, period: Duration) -> Duration {
    let workers = workers.max(1);
    let behind = (rank + workers - piece % workers) % workers;
    STAND_IN.saturating_mul(behind as u32).min(period / 2)
}

#[cfg(test)]
mod tests {
    use tocsin_shm::ArenaOptions;

    use super::*;

    #[test]
    fn a_turn_is_taken_once() {
        let arena = Arena::create(&ArenaOptions { bytes: 2 << 20, boot_bytes: 64 << 10 }).unwrap();
        let turns = Turns::create(arena, 2).unwrap();
        assert!(turns.take(0, 1) && turns.take(1, 1));
        assert!(!turns.take(0, 1));
        assert!(turns.take(0, 3), "nobody had the second");
        assert!(!turns.take(0, 2), "too late");
        assert!(!turns.take(2, 1), "there is no such work");
    }

    #[test]
    fn turns_are_the_same_for_all() {
        assert_eq!(next_turn(500, 1000, 500), (1, 1500));
        assert_eq!(next_turn(500, 1000, 1499), (1, 1500));
        assert_eq!(next_turn(500, 1000, 1500), (2, 2500));
        assert_eq!(next_turn(500, 0, 500), (1, 501));
    }

    #[test]
    fn work_is_divided_and_the_next_stands_in() {
        const SECOND: Duration = Duration::from_secs(1);
        let of = |piece| (0..3).map(|rank| patience(piece, rank, 3, SECOND).as_millis()).collect::<Vec<_>>();
        assert_eq!(of(0), [0, 100, 200]);
        assert_eq!(of(1), [200, 0, 100]);
        assert_eq!(of(5), [100, 200, 0]);
        assert_eq!(patience(0, 99, 100, SECOND), SECOND / 2);
        assert_eq!(patience(7, 0, 0, SECOND), Duration::ZERO);
    }
}
