//! Clocks: monotonic milliseconds for deadlines, local time for people.

use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Local};
use nix::time::{ClockId, clock_gettime};

/// Milliseconds of the monotonic clock, the same in every process.
pub fn now_ms() -> u64 {
    now_ns() / 1_000_000
}

/// The same at the kernel's last tick, some milliseconds ago, for a quarter of the price.
pub fn coarse_ms() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE)
        .map_or(0, |t| t.tv_sec() as u64 * 1_000 + t.tv_nsec() as u64 / 1_000_000)
}

/// Nanoseconds of the monotonic clock, the same in every process.
pub fn now_ns() -> u64 {
    // The monotonic clock exists on every Linux.
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64)
}

/// Seconds since 1970.
pub fn unix_seconds() -> u64 {
    unix_ms() / 1000
}

/// Microseconds since 1970.
pub fn unix_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64)
}

/// Milliseconds since 1970.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// A moment as `ctime` writes it: `Sun Nov 22 14:05:41 2026`, local time.
pub fn calendar(unix_seconds: u64) -> String {
    local(unix_seconds).format("%a %b %e %H:%M:%S %Y").to_string()
}

/// A moment as `2026-11-22 14:05:43`, local time.
pub fn sortable(unix_seconds: u64) -> String {
    local(unix_seconds).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// Microseconds within the present second.
pub fn microseconds() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_micros())
}

/// A moment in the format of `strftime`, local time; `None` if that is no format.
pub fn formatted(unix_seconds: u64, format: &str) -> Option<String> {
    use std::fmt::Write;
    let mut text = String::new();
    write!(text, "{}", local(unix_seconds).format(format)).ok()?;
    Some(text)
}

/// The present moment as a log line begins with it: `Nov 22 14:05:41`, local time.
pub fn log_stamp() -> String {
    local(unix_seconds()).format("%b %e %H:%M:%S").to_string()
}

fn local(unix_seconds: u64) -> DateTime<Local> {
    // Out of range only some hundred thousand years from now.
    DateTime::from_timestamp(unix_seconds as i64, 0).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_padded_with_a_blank() {
        let text = calendar(1_793_491_200);
        assert_eq!(text.len(), "Sun Nov 22 14:05:41 2026".len());
        assert!(text.ends_with("2026"), "{text}");
    }
}
