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

/// Timer routes that a later version of the script may have at least, however few the first one has.
const MIN_TIMER_ROUTES: usize = 64;
/// Bits of a turn of a timer route; those above are the version of the script.
const TURN_BITS: u32 = 40;

/// The turns of all periodic work.
#[derive(Debug)]
pub struct Turns {
    jobs: &'static [AtomicU64],
    routes: &'static [AtomicU64],
}

impl Turns {
    /// For so many jobs and timer routes.
    ///
    /// # Errors
    /// [`ArenaFull`] when there is no room.
    pub(crate) fn create(arena: &'static Arena, jobs: usize, routes: usize) -> Result<Self, ArenaFull> {
        Ok(Self {
            jobs: arena.boot_array(jobs, |_| AtomicU64::new(0))?,
            routes: arena.boot_array(routes.max(MIN_TIMER_ROUTES), |_| AtomicU64::new(0))?,
        })
    }

    /// The most timer routes that a version of the script may have.
    pub(crate) fn most_routes(&self) -> usize {
        self.routes.len()
    }

    /// Takes a turn of a job; `false` when another process has it, or a later one.
    pub(crate) fn take_job(&self, job: usize, turn: u64) -> bool {
        take(self.jobs, job, turn)
    }

    /// Takes a turn of the timer route at `place` in a version of the script; `false` when another process has it, or a later
    /// one, or one of a later version.
    pub(crate) fn take_route(&self, place: usize, version: u32, turn: u64) -> bool {
        take(self.routes, place, u64::from(version) << TURN_BITS | turn)
    }
}

fn take(turns: &[AtomicU64], piece: usize, turn: u64) -> bool {
    turns.get(piece).is_some_and(|latest| latest.fetch_max(turn, AcqRel) < turn)
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
        let turns = Turns::create(arena, 2, 0).unwrap();
        assert!(turns.take_job(0, 1) && turns.take_job(1, 1));
        assert!(!turns.take_job(0, 1));
        assert!(turns.take_job(0, 3), "nobody had the second");
        assert!(!turns.take_job(0, 2), "too late");
        assert!(!turns.take_job(2, 1), "there is no such work");
    }

    #[test]
    fn turns_of_a_later_version_are_later() {
        let arena = Arena::create(&ArenaOptions { bytes: 2 << 20, boot_bytes: 64 << 10 }).unwrap();
        let turns = Turns::create(arena, 0, 0).unwrap();
        assert_eq!(turns.most_routes(), MIN_TIMER_ROUTES);
        assert!(turns.take_route(0, 0, 1000));
        assert!(turns.take_route(0, 1, 17), "another route, which is due less often");
        assert!(!turns.take_route(0, 0, 1001), "a process that has the older version still");
        assert!(turns.take_route(0, 1, 18) && turns.take_route(MIN_TIMER_ROUTES - 1, 1, 1));
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
