//! How fast datagrams may leave when the receiver cannot say stop.
//!
//! UDP has no back-pressure: what does not fit the receiver's buffer is gone. The kernel's default buffer is 208 KiB and
//! charges each datagram for its bookkeeping too, so a pacer gives credit in bytes of that buffer: a burst of a third of
//! it at once, and then a steady rate that a reader keeps up with.

use std::time::Duration;

use tokio::time::Instant;

/// How many bytes of the receiver's buffer may be filled at once; where it reads more than half of them in a millisecond, twice
/// what it reads, as a pause lasts a millisecond or two.
pub const BURST_BYTES: u64 = 64 * 1024;

/// How many bytes of the receiver's buffer are taken to be read in a millisecond, unless an operator knows better.
pub const BYTES_PER_MS: u64 = 20 * 1024;

/// What a datagram costs in the receiver's buffer beside its own bytes.
const DATAGRAM_OVERHEAD: u64 = 768;

/// The credit of one receiver.
#[derive(Debug)]
pub struct Pacer {
    /// Bytes that are earned in a millisecond.
    rate: u64,
    /// The most that is earned.
    burst: u64,
    credit: u64,
    counted_until: Instant,
}

impl Pacer {
    /// Full credit at `now`, for a receiver that reads `rate` bytes a millisecond, at least 1.
    pub fn new(rate: u64, now: Instant) -> Self {
        let rate = rate.max(1);
        let burst = rate.saturating_mul(2).max(BURST_BYTES);
        Self { rate, burst, credit: burst, counted_until: now }
    }

    /// Takes the credit for a datagram of `bytes`; or says how long to wait before asking again.
    ///
    /// A datagram that costs more than a whole burst goes when the credit is full.
    pub fn take(&mut self, bytes: usize, now: Instant) -> Result<(), Duration> {
        let elapsed = now.saturating_duration_since(self.counted_until).as_micros();
        let earned = u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_mul(self.rate) / 1000;
        if earned > 0 {
            self.credit = self.credit.saturating_add(earned).min(self.burst);
            self.counted_until = now;
        }
        let cost = (bytes as u64 + DATAGRAM_OVERHEAD).min(self.burst);
        match self.credit.checked_sub(cost) {
            Some(left) => {
                self.credit = left;
                Ok(())
            }
            None => Err(Duration::from_micros((cost - self.credit).div_ceil(self.rate) * 1000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_a_steady_rate() {
        for (rate, burst) in [(BYTES_PER_MS, BURST_BYTES), (100 * 1024, 200 * 1024)] {
            let start = Instant::now();
            let mut now = start;
            let mut pacer = Pacer::new(rate, start);
            let (mut sent, mut in_first_instant) = (0_u64, 0);
            while sent < 20_000 {
                match pacer.take(100, now) {
                    Ok(()) => {
                        sent += 1;
                        in_first_instant += u64::from(now == start);
                    }
                    Err(wait) => {
                        assert!(wait >= Duration::from_millis(1));
                        now += wait;
                    }
                }
            }
            assert_eq!(in_first_instant, burst / 868);
            let millis = (now - start).as_millis() as u64;
            let bytes = (sent - in_first_instant) * 868;
            assert!((bytes / rate..bytes / rate + 50).contains(&millis), "{millis} ms");
        }
    }

    #[test]
    fn the_largest_datagram_goes() {
        let start = Instant::now();
        let mut pacer = Pacer::new(BYTES_PER_MS, start);
        assert_eq!(pacer.take(65_507, start), Ok(()));
        let wait = pacer.take(65_507, start).unwrap_err();
        assert_eq!(pacer.take(65_507, start + wait), Ok(()));
    }

    #[test]
    fn idle_time_earns_no_more_than_a_burst() {
        let start = Instant::now();
        let mut pacer = Pacer::new(BYTES_PER_MS, start);
        let later = start + Duration::from_secs(3600);
        let sent = (0..1000).filter(|_| pacer.take(100, later).is_ok()).count() as u64;
        assert_eq!(sent, BURST_BYTES / 868);
    }
}
