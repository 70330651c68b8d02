//! When a subscriber that cannot be reached is tried again, and how long events wait for it.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::time::Instant;

/// The pause after the first attempt that failed; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The attempts to reach a subscriber.
#[derive(Debug)]
pub struct Attempts {
    /// How long events wait before those that were raised before the last attempt are given up.
    patience: Duration,
    failed: Option<Failed>,
}

/// What is known while they fail.
#[derive(Debug)]
struct Failed {
    since: Instant,
    /// When the last one began, in microseconds of the monotonic clock.
    last: u64,
    /// When to try again.
    again: Instant,
    pause: Duration,
    kind: ErrorKind,
    why: String,
}

impl Attempts {
    /// None so far.
    pub fn new(patience: Duration) -> Self {
        Self { patience, failed: None }
    }

    /// The subscriber was reached.
    pub fn succeeded(&mut self) {
        self.failed = None;
    }

    /// An attempt failed at `now` that began at `last`, in microseconds of the monotonic clock.
    pub fn failed(&mut self, last: u64, now: Instant, kind: ErrorKind, why: String) {
        let before = self.failed.take().map(|failed| (failed.since, (failed.pause * 2).min(LONGEST_PAUSE)));
        let (since, pause) = before.unwrap_or((now, FIRST_PAUSE));
        // The last attempt that counts is at the end of the patience, not long after it.
        let end = since + self.patience;
        let again = if now < end { (now + pause).min(end) } else { now + pause };
        self.failed = Some(Failed { since, last, again, pause, kind, why });
    }

    /// When to try again; none if that may be done at once.
    pub fn again(&self) -> Option<Instant> {
        self.failed.as_ref().map(|failed| failed.again)
    }

    /// Which events have waited long enough at `now`, and why: those that were raised so early, in microseconds of the
    /// monotonic clock.
    pub fn over(&self, now: Instant) -> Option<(u64, io::Error)> {
        let failed = self.failed.as_ref()?;
        let is_over = now.saturating_duration_since(failed.since) >= self.patience;
        is_over.then(|| (failed.last, io::Error::new(failed.kind, failed.why.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_the_last_attempt_that_counts_is_at_the_end() {
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let mut attempts = Attempts::new(Duration::from_millis(500));
        assert_eq!((attempts.again(), attempts.over(at(9000)).is_none()), (None, true));
        let mut fail = |millis: u64| {
            attempts.failed(millis, at(millis), ErrorKind::ConnectionRefused, "no".into());
            let over = attempts.over(at(millis)).map(|(raised, _)| raised);
            (attempts.again().unwrap() - start, over)
        };
        let ms = Duration::from_millis;
        assert_eq!([fail(0), fail(50), fail(150)], [(ms(50), None), (ms(150), None), (ms(350), None)]);
        assert_eq!([fail(350), fail(500)], [(ms(500), None), (ms(1300), Some(500))]);
        assert_eq!(fail(1300), (ms(2300), Some(1300)));
        attempts.succeeded();
        assert!(attempts.again().is_none() && attempts.over(at(9000)).is_none());
    }
}
