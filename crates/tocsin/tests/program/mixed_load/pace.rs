//! When a client does the next thing, and how it learns that the load is over.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::harness::pause;

/// How far a client may be behind and still make up for it.
const BEHIND_MOST: Duration = Duration::from_secs(1);

/// What the clients of a load share.
#[derive(Debug, Default)]
pub(super) struct Run {
    over: AtomicBool,
    failures: Mutex<Vec<String>>,
    /// The number of the next event.
    pub(super) raised: AtomicU64,
}

impl Run {
    pub(super) fn end(&self) {
        self.over.store(true, Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    /// Notes that a client did not get what it has to get.
    pub(super) fn fails(&self, failure: String) {
        eprintln!("{failure}");
        self.failures.lock().unwrap().push(failure);
    }

    pub(super) fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap().clone()
    }

    /// Does `one` so many times a second until the load is over; returns how often it was done.
    pub(super) fn repeat(&self, rate: f64, mut one: impl FnMut(u64)) -> u64 {
        let between = Duration::from_secs_f64(1.0 / rate);
        let mut next = Instant::now();
        let mut count = 0;
        loop {
            let left = next.saturating_duration_since(Instant::now());
            if self.is_over() {
                return count;
            }
            if left.is_zero() {
                one(count);
                count += 1;
                let earliest = Instant::now().checked_sub(BEHIND_MOST).unwrap_or(next);
                next = (next + between).max(earliest);
            } else {
                pause(left.min(Duration::from_millis(50)));
            }
        }
    }
}
