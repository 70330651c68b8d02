//! A moment of the monotonic clock.

/// A moment: nanoseconds of the monotonic clock, of which most deadlines need only the milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// From nanoseconds.
    pub(crate) fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// In nanoseconds.
    pub(crate) fn ns(self) -> u64 {
        self.0
    }

    /// In milliseconds.
    pub(crate) fn ms(self) -> u64 {
        self.0 / 1_000_000
    }
}
