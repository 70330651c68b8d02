//! Lines of the log that a client could cause without end: the same one goes out once a second, with a count.

use std::time::{Duration, Instant};

/// The shortest time between two reports of the same thing.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Tells of the same thing once a second, and how often it happened since the last time.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    reported: Option<Instant>,
    untold: u64,
}

impl Seldom {
    /// It happened again. Returns how often it happened since it was last logged, this time included, if it is time to log it.
    pub(crate) fn happened(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        if self.reported.is_some_and(|reported| now.saturating_duration_since(reported) < REPORT_EVERY) {
            return None;
        }
        self.reported = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_thing_is_told_once_a_second() {
        let (mut seldom, start) = (Seldom::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(seldom.happened(at(0)), Some(1));
        assert_eq!([seldom.happened(at(1)), seldom.happened(at(999))], [None, None]);
        assert_eq!(seldom.happened(at(1000)), Some(3));
        assert_eq!(seldom.happened(at(5000)), Some(1));
    }
}
