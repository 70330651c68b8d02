//! Whether it is worth trying to connect. Pure: time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{BACKOFF_FIRST, BACKOFF_LONGEST};

/// What is known about a database, from the tries to reach it.
#[derive(Debug, Default)]
pub(crate) struct Lookout {
    failures: u32,
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

    /// A try to connect failed. Returns how long there will be no other, and whether this is news.
    pub(crate) fn failed(&mut self, now: Instant, cause: String) -> (Duration, bool) {
        let doublings = self.failures.min(16);
        let wait = BACKOFF_FIRST.saturating_mul(1 << doublings).min(BACKOFF_LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.closed = Some((now + wait, cause));
        (wait, self.missing())
    }

    /// A connection that served was lost. Returns whether this is news.
    pub(crate) fn missing(&mut self) -> bool {
        !std::mem::replace(&mut self.missed, true)
    }

    /// There is a connection. Returns whether this is news.
    pub(crate) fn reached(&mut self) -> bool {
        self.failures = 0;
        self.closed = None;
        std::mem::take(&mut self.missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew() {
        let now = Instant::now();
        let mut lookout = Lookout::default();
        assert_eq!(lookout.closed(now), None);
        assert_eq!(lookout.failed(now, "x".into()), (BACKOFF_FIRST, true));
        assert_eq!(lookout.closed(now), Some("x"));
        assert_eq!(lookout.closed(now + BACKOFF_FIRST), None);
        assert_eq!(lookout.failed(now, "y".into()), (BACKOFF_FIRST * 2, false));
        for _ in 0..100 {
            assert!(lookout.failed(now, "z".into()).0 <= BACKOFF_LONGEST);
        }
        assert_eq!(lookout.failed(now, "z".into()).0, BACKOFF_LONGEST);
        assert!(lookout.reached());
        assert!(!lookout.reached());
        assert_eq!(lookout.closed(now), None);
        assert_eq!(lookout.failed(now, "x".into()), (BACKOFF_FIRST, true));
    }

    #[test]
    fn a_loss_is_news_once() {
        let mut lookout = Lookout::default();
        assert!(lookout.missing());
        assert!(!lookout.missing());
        assert!(lookout.reached());
        assert!(lookout.missing());
    }
}
