//! How busy a process is: bookkeeping that the process writes and everybody reads.
//!
//! Time is cut into buckets of a second, a ring of them holds busy nanoseconds, and each bucket is stamped with the
//! second it belongs to: a process that sleeps for a minute leaves stale buckets, which readers recognise by their stamp and
//! count as idle. A process that is busy right now shows since when, so readers add what is not yet booked.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::ShmSafe;

const SECOND: u64 = 1_000_000_000;
/// Seconds of a coarse bucket.
const COARSE: u64 = 10;
const FINE_BUCKETS: usize = 64;
const COARSE_BUCKETS: usize = 64;

/// The busy time of one process.
#[derive(Debug)]
pub(crate) struct Load {
    /// Since when the process is busy, in nanoseconds of the monotonic clock; 0 while it is idle.
    busy_since: AtomicU64,
    seconds: Ring<1, FINE_BUCKETS>,
    tens: Ring<COARSE, COARSE_BUCKETS>,
}

// SAFETY: atomics only.
unsafe impl ShmSafe for Load {}

impl Load {
    pub(crate) fn new() -> Self {
        Self { busy_since: AtomicU64::new(0), seconds: Ring::new(), tens: Ring::new() }
    }

    pub(crate) fn reset(&self) {
        self.busy_since.store(0, Relaxed);
        self.seconds.reset();
        self.tens.reset();
    }

    /// The process goes to sleep: what it was busy with is booked.
    pub(crate) fn idle_begin(&self, now: u64) {
        let since = self.busy_since.swap(0, Relaxed);
        if since != 0 && since < now {
            self.seconds.book(since, now);
            self.tens.book(since, now);
        }
    }

    /// The process woke up.
    pub(crate) fn idle_end(&self, now: u64) {
        self.busy_since.store(now.max(1), Release);
    }

    /// Whether the process sleeps.
    pub(crate) fn is_idle(&self) -> bool {
        self.busy_since.load(Relaxed) == 0
    }

    pub(crate) fn last_second(&self, now: u64) -> u8 {
        self.last_seconds(1, now)
    }

    pub(crate) fn last_minute(&self, now: u64) -> u8 {
        self.last_seconds(60, now)
    }

    pub(crate) fn last_seconds(&self, seconds: u32, now: u64) -> u8 {
        let window = u64::from(seconds.clamp(1, 60)) * SECOND;
        self.percent(now, window, self.seconds.busy(now, window))
    }

    pub(crate) fn last_ten_minutes(&self, now: u64) -> u8 {
        self.percent(now, 600 * SECOND, self.tens.busy(now, 600 * SECOND))
    }

    fn percent(&self, now: u64, window: u64, booked: u64) -> u8 {
        let since = self.busy_since.load(Acquire);
        let running = if since == 0 { 0 } else { now.saturating_sub(since.max(now.saturating_sub(window))) };
        (((booked + running) * 100 + window / 2) / window).min(100) as u8
    }
}

/// Busy nanoseconds by buckets of `S` seconds, of which `N` are kept. Only the process itself writes.
#[derive(Debug)]
struct Ring<const S: u64, const N: usize>([AtomicU64; N]);

impl<const S: u64, const N: usize> Ring<S, N> {
    const SPAN: u64 = S * SECOND;
    /// Bits of a bucket that hold its busy time; above them stands its number.
    const BITS: u32 = 64 - Self::SPAN.leading_zeros();

    fn new() -> Self {
        Self([const { AtomicU64::new(0) }; N])
    }

    fn reset(&self) {
        self.0.iter().for_each(|bucket| bucket.store(0, Relaxed));
    }

    fn book(&self, since: u64, now: u64) {
        let last = now / Self::SPAN;
        let first = (since / Self::SPAN).max(last.saturating_sub(N as u64 - 1));
        for number in first..=last {
            let start = since.max(number * Self::SPAN);
            let end = now.min((number + 1) * Self::SPAN);
            let busy = (self.bucket(number) + end.saturating_sub(start)).min(Self::SPAN);
            self.0[number as usize % N].store(number << Self::BITS | busy, Relaxed);
        }
    }

    /// Busy time of the last `window` nanoseconds. Of the bucket in which the window begins, the share that is inside.
    fn busy(&self, now: u64, window: u64) -> u64 {
        let last = now / Self::SPAN;
        let buckets = window / Self::SPAN;
        let inside: u64 = (0..buckets).map_while(|back| last.checked_sub(back)).map(|n| self.bucket(n)).sum();
        let oldest = last.checked_sub(buckets).map_or(0, |number| self.bucket(number));
        inside + oldest / 1000 * ((Self::SPAN - now % Self::SPAN) / 1000) / (Self::SPAN / 1_000_000)
    }

    fn bucket(&self, number: u64) -> u64 {
        let bucket = self.0[number as usize % N].load(Relaxed);
        if bucket >> Self::BITS == number { bucket & ((1 << Self::BITS) - 1) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_000_000 * SECOND;

    #[test]
    fn half_busy() {
        let load = Load::new();
        let mut now = START;
        for _ in 0..6000 {
            load.idle_end(now);
            load.idle_begin(now + SECOND / 20);
            now += SECOND / 10;
        }
        assert_eq!((load.last_second(now), load.last_minute(now), load.last_ten_minutes(now)), (50, 50, 50));
    }

    #[test]
    fn a_long_sleep_is_idle_though_nothing_is_written() {
        let load = Load::new();
        load.idle_end(START);
        load.idle_begin(START + 30 * SECOND);
        let at = |s| START + s * SECOND;
        assert_eq!(
            (load.last_second(at(30)), load.last_minute(at(30)), load.last_ten_minutes(at(30))),
            (100, 50, 5)
        );
        assert_eq!((load.last_seconds(5, at(32)), load.last_seconds(1000, at(30))), (60, 50));
        assert_eq!(
            (load.last_second(at(32)), load.last_minute(at(75)), load.last_ten_minutes(at(75))),
            (0, 25, 5)
        );
        assert_eq!(
            (load.last_second(at(700)), load.last_minute(at(700)), load.last_ten_minutes(at(700))),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_process_that_never_sleeps_is_busy_now() {
        let load = Load::new();
        load.idle_end(START);
        let at = |s| START + s * SECOND;
        assert_eq!(
            (load.last_second(at(6)), load.last_minute(at(6)), load.last_ten_minutes(at(6))),
            (100, 10, 1)
        );
        assert_eq!(load.last_ten_minutes(at(6000)), 100);
        load.idle_begin(at(6000));
        assert_eq!((load.last_minute(at(6000)), load.last_ten_minutes(at(6000))), (100, 100));
        load.reset();
        assert_eq!(load.last_minute(at(6000)), 0);
    }

    #[test]
    fn the_second_slides() {
        let load = Load::new();
        load.idle_end(START);
        load.idle_begin(START + SECOND);
        assert_eq!(load.last_second(START + SECOND * 5 / 4), 75);
        assert_eq!(load.last_second(START + SECOND * 2), 0);
    }
}
