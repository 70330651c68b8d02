//! When a dead process is forked again: pure, in the time that the caller gives.

use std::time::Duration;

/// A life shorter than this counts as a failed start.
const SHORT_LIFE: Duration = Duration::from_secs(1);
/// Wait after the first short life; it doubles with each one that follows.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The longest wait between two tries.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// Short lives in a row after which the slot is given up.
const GIVE_UP_AFTER: u32 = 10;

/// What to do about a process that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Fork its successor after this wait (zero: now).
    ForkAfter(Duration),
    /// It dies as soon as it starts, again and again: forking it does not help.
    GiveUp,
}

/// The history of one slot.
#[derive(Debug, Clone, Copy, Default)]
pub struct Backoff {
    short_lives: u32,
}

impl Backoff {
    /// A process of this slot ended after `lived`.
    pub fn ended(&mut self, lived: Duration) -> Decision {
        if lived >= SHORT_LIFE {
            self.short_lives = 0;
            return Decision::ForkAfter(Duration::ZERO);
        }
        self.short_lives += 1;
        match self.short_lives {
            GIVE_UP_AFTER.. => Decision::GiveUp,
            n => Decision::ForkAfter(FIRST_WAIT.saturating_mul(1 << (n - 1)).min(MAX_WAIT)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_life_is_followed_at_once() {
        let mut slot = Backoff::default();
        for _ in 0..100 {
            assert_eq!(slot.ended(Duration::from_secs(1)), Decision::ForkAfter(Duration::ZERO));
        }
    }

    #[test]
    fn short_lives_wait_longer_and_longer_and_end() {
        let mut slot = Backoff::default();
        let waits: Vec<_> = (0..GIVE_UP_AFTER).map(|_| slot.ended(Duration::from_millis(3))).collect();
        assert_eq!(waits[0], Decision::ForkAfter(Duration::from_millis(50)));
        assert_eq!(waits[1], Decision::ForkAfter(Duration::from_millis(100)));
        assert_eq!(waits[8], Decision::ForkAfter(MAX_WAIT));
        assert_eq!(waits[9], Decision::GiveUp);
    }

    #[test]
    fn a_long_life_forgives() {
        let mut slot = Backoff::default();
        for _ in 0..9 {
            slot.ended(Duration::ZERO);
        }
        slot.ended(Duration::from_secs(60));
        assert_eq!(slot.ended(Duration::ZERO), Decision::ForkAfter(FIRST_WAIT));
    }
}
