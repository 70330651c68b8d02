//! When a process no longer comes back to its main loop: pure.
//!
//! A process counts its turns: each time it goes on after a wait, and each time it has sent what a piece of work left. One
//! that is busy and makes no turn is in the middle of a single piece of work, such as a script that does not end. One that
//! is idle makes a turn a second; if it makes none, it was stopped.

/// Milliseconds without a turn after which a busy process counts as stalled.
const MAX_BUSY_MS: u64 = 1_000;
/// Milliseconds without a turn after which an idle process counts as stalled: it makes one each second.
const MAX_IDLE_MS: u64 = 3_000;

/// What is known of one process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stall {
    pid: u32,
    turns: u32,
    /// When the number of turns was first seen, in milliseconds of the monotonic clock.
    since: u64,
    stalled: bool,
}

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It has not come back for so many milliseconds.
    Stalls(u64),
    /// It is back after so many milliseconds.
    IsBack(u64),
}

impl Stall {
    /// Takes the state of the process at `now`, in milliseconds of the monotonic clock. Returns what is new.
    pub(crate) fn look(&mut self, pid: u32, turns: u32, is_idle: bool, now: u64) -> Option<Finding> {
        if (pid, turns) != (self.pid, self.turns) {
            let back = (self.stalled && pid == self.pid).then(|| Finding::IsBack(now - self.since));
            *self = Self { pid, turns, since: now, stalled: false };
            return back;
        }
        let limit = if is_idle { MAX_IDLE_MS } else { MAX_BUSY_MS };
        let gone = now.saturating_sub(self.since);
        if self.stalled || pid == 0 || gone < limit {
            return None;
        }
        self.stalled = true;
        Some(Finding::Stalls(gone))
    }

    /// Whether the process stalls.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_process_without_a_turn_stalls_once_and_comes_back_once() {
        let mut stall = Stall::default();
        assert_eq!(stall.look(7, 10, false, 5_000), None);
        assert_eq!(stall.look(7, 10, false, 5_999), None);
        assert_eq!(stall.look(7, 10, false, 6_000), Some(Finding::Stalls(1_000)));
        assert!(stall.is_stalled());
        assert_eq!(stall.look(7, 10, false, 9_000), None, "said already");
        assert_eq!(stall.look(7, 11, false, 9_500), Some(Finding::IsBack(4_500)));
        assert!(!stall.is_stalled());
        assert_eq!(stall.look(7, 12, false, 11_000), None);
    }

    #[test]
    fn an_idle_process_has_more_time() {
        let mut stall = Stall::default();
        assert_eq!(stall.look(7, 10, true, 5_000), None);
        assert_eq!(stall.look(7, 10, true, 7_999), None, "its turn of the second may be late");
        assert_eq!(stall.look(7, 10, true, 8_000), Some(Finding::Stalls(3_000)));
    }

    #[test]
    fn a_successor_begins_anew() {
        let mut stall = Stall::default();
        stall.look(7, 10, false, 5_000);
        stall.look(7, 10, false, 6_000);
        assert_eq!(stall.look(8, 10, false, 6_100), None, "it is not the one that was stalled");
        assert_eq!(stall.look(0, 10, true, 7_000), None);
        assert_eq!(stall.look(0, 10, true, 70_000), None, "nobody is there");
    }
}
