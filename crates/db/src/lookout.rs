//! Whether it is worth trying to connect. Pure: time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{BACKOFF_FIRST, BACKOFF_LONGEST};

/// What is known about a database, from the tries to reach it.
#[derive(Debug, Default)]
pub(crate) struct Lookout {
    failures: u32,
    /// When the last try ended that told something.
    settled: Option<Instant>,
    /// Why the last try failed, and until when there is no other.
    closed: Option<(Instant, String)>,
    /// It was said that the database is gone, and not yet that it is back.
    missed: bool,
}

impl Lookout {
    /// Why no connection is to be tried now.
    pub(crate) fn closed(&self, now: Instant) -> Option<&str> {
        self.closed.as_ref().filter(|(until, _)| now < *until).map(|(_, cause)| cause.as_str())
    }

    /// A try to connect that had begun at `began` failed. Returns how long there will be no other, and whether this is
    /// news; nothing if another ended after this one had begun, as both say the same.
    pub(crate) fn failed(&mut self, now: Instant, began: Instant, cause: String) -> Option<(Duration, bool)> {
        if self.settled.is_some_and(|settled| began < settled) {
            return None;
        }
        let doublings = self.failures.min(16);
        let wait = BACKOFF_FIRST.saturating_mul(1 << doublings).min(BACKOFF_LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.settled = Some(now);
        self.closed = Some((now + wait, cause));
        Some((wait, self.missing()))
    }

    /// A connection that served was lost. Returns whether this is news.
    pub(crate) fn missing(&mut self) -> bool {
        !std::mem::replace(&mut self.missed, true)
    }

    /// There is a connection. Returns whether this is news.
    pub(crate) fn reached(&mut self, now: Instant) -> bool {
        self.failures = 0;
        self.settled = Some(now);
        self.closed = None;
        std::mem::take(&mut self.missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A try fails at once.
    fn fail(lookout: &mut Lookout, now: Instant) -> (Duration, bool) {
        lookout.failed(now, now, "x".into()).unwrap()
    }

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew() {
        let now = Instant::now();
        let mut lookout = Lookout::default();
        assert_eq!(lookout.closed(now), None);
        assert_eq!(fail(&mut lookout, now), (BACKOFF_FIRST, true));
        assert_eq!(lookout.closed(now), Some("x"));
        assert_eq!(lookout.closed(now + BACKOFF_FIRST), None);
        assert_eq!(fail(&mut lookout, now), (BACKOFF_FIRST * 2, false));
        for _ in 0..100 {
            assert!(fail(&mut lookout, now).0 <= BACKOFF_LONGEST);
        }
        assert_eq!(fail(&mut lookout, now).0, BACKOFF_LONGEST);
        assert!(lookout.reached(now));
        assert!(!lookout.reached(now));
        assert_eq!(lookout.closed(now), None);
        assert_eq!(fail(&mut lookout, now), (BACKOFF_FIRST, true));
    }

    #[test]
    fn tries_at_the_same_time_that_fail_count_once() {
        let began = Instant::now();
        let mut lookout = Lookout::default();
        assert!(lookout.failed(began + BACKOFF_FIRST, began, "x".into()).is_some());
        for after in [BACKOFF_FIRST, BACKOFF_LONGEST] {
            assert_eq!(lookout.failed(began + after, began, "y".into()), None);
        }
        let next = began + BACKOFF_FIRST * 2;
        assert_eq!(lookout.closed(next - Duration::from_millis(1)), Some("x"));
        assert_eq!(lookout.failed(next, next, "z".into()), Some((BACKOFF_FIRST * 2, false)));
        assert!(lookout.reached(next + BACKOFF_LONGEST));
        assert_eq!(lookout.failed(next + BACKOFF_LONGEST, next, "late".into()), None);
        assert_eq!(lookout.closed(next + BACKOFF_LONGEST), None);
    }

    #[test]
    fn a_loss_is_news_once() {
        let mut lookout = Lookout::default();
        assert!(lookout.missing());
        assert!(!lookout.missing());
        assert!(lookout.reached(Instant::now()));
        assert!(lookout.missing());
    }
}
