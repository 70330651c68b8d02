//! What can be changed about the log while the server runs: words that all processes share.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64};

use tocsin_shm::{ProcessTable, ShmSafe, Slot, identity};

use super::level::Level;

/// What takes lines of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consumer {
    /// Standard error.
    StdError,
    /// The log of the system.
    Syslog,
    /// The event `E_CORE_LOG`.
    Event,
}

/// The words of the log, in shared memory.
#[derive(Debug, ShmSafe)]
pub struct LogControl {
    level: AtomicI32,
    std_error: Intake,
    syslog: Intake,
    event: Intake,
    /// Lines that the system's log did not take and that no line has reported yet.
    lost: AtomicU64,
}

/// Which lines a consumer takes.
#[derive(Debug, ShmSafe)]
struct Intake {
    muted: AtomicBool,
    /// Lines above this level are left out; 0 is no filter.
    filter: AtomicI32,
}

impl Intake {
    const fn new(muted: bool) -> Self {
        Self { muted: AtomicBool::new(muted), filter: AtomicI32::new(0) }
    }

    fn copy(&self, from: &Self) {
        self.muted.store(from.muted.load(Relaxed), Relaxed);
        self.filter.store(from.filter.load(Relaxed), Relaxed);
    }
}

impl LogControl {
    /// As it is before the configuration is known: everything goes to standard error.
    pub const fn new() -> Self {
        Self {
            level: AtomicI32::new(Level::Notice as i32),
            std_error: Intake::new(false),
            syslog: Intake::new(true),
            event: Intake::new(true),
            lost: AtomicU64::new(0),
        }
    }

    fn intake(&self, consumer: Consumer) -> &Intake {
        match consumer {
            Consumer::StdError => &self.std_error,
            Consumer::Syslog => &self.syslog,
            Consumer::Event => &self.event,
        }
    }
}

impl Default for LogControl {
    fn default() -> Self {
        Self::new()
    }
}

/// Before the arena is there, and in tools that have none.
static EARLY: LogControl = LogControl::new();
static SHARED: OnceLock<(&'static LogControl, &'static ProcessTable)> = OnceLock::new();

/// From here on the words are read from shared memory, and a process may have a level of its own. Call before the first
/// fork.
pub fn share(control: &'static LogControl, table: &'static ProcessTable) {
    control.level.store(EARLY.level.load(Relaxed), Relaxed);
    for consumer in [Consumer::StdError, Consumer::Syslog, Consumer::Event] {
        control.intake(consumer).copy(EARLY.intake(consumer));
    }
    // Set once: there is one arena.
    let _ = SHARED.set((control, table));
}

fn words() -> &'static LogControl {
    SHARED.get().map_or(&EARLY, |(control, _)| control)
}

/// The level in force where a process has none of its own.
pub fn level() -> i32 {
    words().level.load(Relaxed)
}

/// Sets the level for every process.
pub fn set_level(new: i32) {
    words().level.store(new, Relaxed);
    if let Some((_, table)) = SHARED.get() {
        table.slots().iter().for_each(|slot| slot.set_log_level(None));
    }
}

/// The level of the process of `slot`.
pub fn level_of(slot: &Slot) -> i32 {
    slot.log_level().unwrap_or_else(level)
}

/// The level that a script set for this process; `i32::MIN` if none.
static SCRIPT_LEVEL: AtomicI32 = AtomicI32::new(i32::MIN);

/// Sets a level for this process, or lets the usual one count again.
pub fn set_own_level(new: Option<i32>) {
    SCRIPT_LEVEL.store(new.unwrap_or(i32::MIN), Relaxed);
}

/// The level in force in this process: that of its script, that of the process, or the one for all.
pub fn own_level() -> i32 {
    match SCRIPT_LEVEL.load(Relaxed) {
        i32::MIN => match SHARED.get() {
            Some((control, table)) => {
                let own = table.slot(identity::slot()).log_level();
                own.unwrap_or_else(|| control.level.load(Relaxed))
            }
            None => EARLY.level.load(Relaxed),
        },
        own => own,
    }
}

/// Whether lines of `level` are written.
pub fn wanted(level: Level) -> bool {
    level as i32 <= own_level()
}

impl Consumer {
    /// Reads `stderror`, `syslog` or `event`.
    pub fn parse(name: &[u8]) -> Option<Self> {
        match name {
            b"stderror" => Some(Self::StdError),
            b"syslog" => Some(Self::Syslog),
            b"event" => Some(Self::Event),
            _ => None,
        }
    }

    /// Lines above this level are left out; 0 is no filter.
    pub fn filter(self) -> i32 {
        words().intake(self).filter.load(Relaxed)
    }

    /// Changes [`filter`](Self::filter) for every process.
    pub fn set_filter(self, level: i32) {
        words().intake(self).filter.store(level, Relaxed);
    }

    /// Whether it takes no line at all.
    pub fn is_muted(self) -> bool {
        words().intake(self).muted.load(Relaxed)
    }

    /// Changes [`is_muted`](Self::is_muted) for every process.
    pub fn set_muted(self, muted: bool) {
        words().intake(self).muted.store(muted, Relaxed);
    }

    /// Whether it takes lines of `level`.
    pub(super) fn takes(self, level: Level) -> bool {
        let intake = words().intake(self);
        let filter = intake.filter.load(Relaxed);
        !intake.muted.load(Relaxed) && (filter == 0 || level as i32 <= filter)
    }
}

/// A line for the system's log was lost.
pub(super) fn count_lost() {
    words().lost.fetch_add(1, Relaxed);
}

/// How many lines were lost since this was asked last, by any process.
pub(super) fn take_lost() -> u64 {
    let lost = &words().lost;
    if lost.load(Relaxed) == 0 { 0 } else { lost.swap(0, Relaxed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_takes_what_its_filter_lets_through_unless_it_is_muted() {
        assert!(Consumer::StdError.takes(Level::Debug) && !Consumer::Syslog.takes(Level::Alert));
        Consumer::Syslog.set_muted(false);
        Consumer::Syslog.set_filter(Level::Warning as i32);
        assert!(Consumer::Syslog.takes(Level::Warning) && !Consumer::Syslog.takes(Level::Notice));
        Consumer::Syslog.set_filter(0);
        assert!(Consumer::Syslog.takes(Level::Debug));
        assert_eq!(Consumer::parse(b"event"), Some(Consumer::Event));
        assert_eq!(Consumer::parse(b"stderr"), None);
    }
}
