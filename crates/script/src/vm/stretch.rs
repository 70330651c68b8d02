//! How long scripts run between two waits. A process does nothing else meanwhile, so there is an end to it.

use std::cell::Cell;
use std::time::Duration;

/// Scripts run at most this long between two waits: to everybody else, their process is out of order meanwhile.
pub const DEFAULT_MAX_STRETCH: Duration = Duration::from_secs(2);

/// Operations between two looks at the clock. Most scripts are shorter.
pub(super) const LOOK_EVERY: u64 = 16;
/// Time between two looks counts at most this much: more than that passes while the process itself stands still, because
/// it was stopped or others have the processor.
const MAX_STEP_MS: u64 = 500;

/// The stretch of script that a process is in. A script that runs within a function of another one belongs to it.
struct Stretch {
    depth: Cell<u32>,
    /// When the clock was last looked at, in milliseconds.
    looked_at: Cell<Option<u64>>,
    ran_ms: Cell<u64>,
}

thread_local! {
    /// A process runs scripts in one thread.
    static STRETCH: Stretch = const {
        Stretch { depth: Cell::new(0), looked_at: Cell::new(None), ran_ms: Cell::new(0) }
    };
}

/// A script runs as long as this lives.
pub(super) struct Running(());

impl Running {
    /// A script begins, or goes on after it has waited - if it has: else the time that is over counts on.
    pub(super) fn begin(has_waited: bool) -> Self {
        STRETCH.with(|stretch| {
            let depth = stretch.depth.get();
            stretch.depth.set(depth + 1);
            if depth == 0 && has_waited {
                stretch.looked_at.set(None);
                stretch.ran_ms.set(0);
            }
        });
        Self(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        STRETCH.with(|stretch| stretch.depth.set(stretch.depth.get().saturating_sub(1)));
    }
}

/// The clock shows `now_ms`. For how long the stretch has run.
pub(super) fn look(now_ms: u64) -> Duration {
    STRETCH.with(|stretch| {
        let step = stretch.looked_at.replace(Some(now_ms)).map_or(0, |before| now_ms.saturating_sub(before));
        let ran = stretch.ran_ms.get() + step.min(MAX_STEP_MS);
        stretch.ran_ms.set(ran);
        Duration::from_millis(ran)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_stopped_has_not_run() {
        let running = Running::begin(true);
        assert_eq!(look(1_000), Duration::ZERO);
        assert_eq!(look(1_400), Duration::from_millis(400));
        assert_eq!(look(61_400), Duration::from_millis(900));
        let within = Running::begin(true);
        assert_eq!(look(61_500), Duration::from_secs(1));
        drop(within);
        assert_eq!(look(61_600), Duration::from_millis(1_100));
        drop(running);
        let at_once = Running::begin(false);
        assert_eq!(look(61_700), Duration::from_millis(1_200));
        drop(at_once);
        let _next = Running::begin(true);
        assert_eq!(look(70_000), Duration::ZERO);
    }
}
