//! Waiting in a test: there is no runtime, and a thread may sleep.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Lets others run for this long.
#[expect(clippy::disallowed_methods, reason = "a test has no runtime; it looks again after a moment")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Looks every other millisecond whether something has happened. Returns whether it has within `patience`.
pub(crate) fn within(patience: Duration, mut happened: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if happened() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        pause(Duration::from_millis(2));
    }
}

/// Milliseconds as a [`Duration`].
pub(crate) fn millis(value: &serde_json::Value, otherwise: u64) -> Duration {
    Duration::from_millis(value.as_u64().unwrap_or(otherwise))
}

/// Waits until one of these has something to read, for at most `time`.
pub(crate) fn readable(sockets: &[BorrowedFd<'_>], time: Duration) {
    if sockets.is_empty() {
        pause(time);
        return;
    }
    let mut waiting: Vec<_> = sockets.iter().map(|socket| PollFd::new(*socket, PollFlags::POLLIN)).collect();
    let time = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
    // An interrupted wait is as good as one that found something: the caller looks.
    let _ = poll(&mut waiting, time);
}
