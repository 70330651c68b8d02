//! The circuit breaker of a database: while it is open, no connection is tried. Pure: time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{BACKOFF_FIRST, BACKOFF_LONGEST};

/// What the attempts to connect have shown of a database.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    /// When the last attempt ended that counts.
    settled: Option<Instant>,
    /// Until when it is open, and why the last attempt failed.
    open: Option<(Instant, String)>,
    /// That the database is gone was reported, and that it is back was not yet.
    missed: bool,
}

impl Breaker {
    /// Whether it is open: then the reason, and no connection is tried.
    pub(crate) fn is_open(&self, now: Instant) -> Option<&str> {
        self.open.as_ref().filter(|(until, _)| now < *until).map(|(_, cause)| cause.as_str())
    }

    /// Records a failed connect that was started at `began`. Returns the back-off, and whether the database just went down;
    /// `None` if a newer attempt has already been recorded.
    pub(crate) fn failed(&mut self, now: Instant, began: Instant, cause: String) -> Option<(Duration, bool)> {
        if self.settled.is_some_and(|settled| began < settled) {
            return None;
        }
        let doublings = self.failures.min(16);
        let wait = BACKOFF_FIRST.saturating_mul(1 << doublings).min(BACKOFF_LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.settled = Some(now);
        self.open = Some((now + wait, cause));
        Some((wait, self.missing()))
    }

    /// A connection in use was lost. Returns whether the database just went down.
    pub(crate) fn missing(&mut self) -> bool {
        !std::mem::replace(&mut self.missed, true)
    }

    /// There is a connection. Returns whether the database just came back.
    pub(crate) fn reached(&mut self, now: Instant) -> bool {
        self.failures = 0;
        self.settled = Some(now);
        self.open = None;
        std::mem::take(&mut self.missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An attempt fails at once.
    fn fail(breaker: &mut Breaker, now: Instant) -> (Duration, bool) {
        breaker.failed(now, now, "x".into()).unwrap()
    }

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        assert_eq!(breaker.is_open(now), None);
        assert_eq!(fail(&mut breaker, now), (BACKOFF_FIRST, true));
        assert_eq!(breaker.is_open(now), Some("x"));
        assert_eq!(breaker.is_open(now + BACKOFF_FIRST), None);
        assert_eq!(fail(&mut breaker, now), (BACKOFF_FIRST * 2, false));
        for _ in 0..100 {
            assert!(fail(&mut breaker, now).0 <= BACKOFF_LONGEST);
        }
        assert_eq!(fail(&mut breaker, now).0, BACKOFF_LONGEST);
        assert!(breaker.reached(now));
        assert!(!breaker.reached(now));
        assert_eq!(breaker.is_open(now), None);
        assert_eq!(fail(&mut breaker, now), (BACKOFF_FIRST, true));
    }

    #[test]
    fn tries_at_the_same_time_that_fail_count_once() {
        let began = Instant::now();
        let mut breaker = Breaker::default();
        assert!(breaker.failed(began + BACKOFF_FIRST, began, "x".into()).is_some());
        for after in [BACKOFF_FIRST, BACKOFF_LONGEST] {
            assert_eq!(breaker.failed(began + after, began, "y".into()), None);
        }
        let next = began + BACKOFF_FIRST * 2;
        assert_eq!(breaker.is_open(next - Duration::from_millis(1)), Some("x"));
        assert_eq!(breaker.failed(next, next, "z".into()), Some((BACKOFF_FIRST * 2, false)));
        assert!(breaker.reached(next + BACKOFF_LONGEST));
        assert_eq!(breaker.failed(next + BACKOFF_LONGEST, next, "late".into()), None);
        assert_eq!(breaker.is_open(next + BACKOFF_LONGEST), None);
    }

    #[test]
    fn a_loss_is_news_once() {
        let mut breaker = Breaker::default();
        assert!(breaker.missing());
        assert!(!breaker.missing());
        assert!(breaker.reached(Instant::now()));
        assert!(breaker.missing());
    }
}
