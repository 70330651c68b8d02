//! `E_CORE_LOG`: each line of the log as an event, if `log_event_enabled` is set or the command `log_mute_state` wants it.
//!
//! A line never leads to another one by way of its event: raising writes no line, the process that delivers raises
//! nothing for its own lines, and neither do the event routes of the script.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tocsin_event::{EventId, Events, LogLine};
use tocsin_shm::identity;

use super::control::Consumer;
use super::level::Level;
use super::line::Line;

/// Raises the events.
struct Teller {
    events: Events,
    id: EventId,
}

static TELLER: OnceLock<Teller> = OnceLock::new();
static SILENT: AtomicBool = AtomicBool::new(false);

thread_local! {
    static TELLING: Cell<bool> = const { Cell::new(false) };
}

/// From here on each line that [`Consumer::Event`] takes is raised as the event `id`. Call before the first fork.
pub fn raise_lines(events: Events, id: EventId) {
    // Set once: there is one Event Interface.
    let _ = TELLER.set(Teller { events, id });
}

/// From here on no line of this process is raised: it is the one that delivers them.
pub fn raise_no_lines() {
    SILENT.store(true, Relaxed);
}

/// Writes lines that are no events: a subscriber of the startup route did not ask for the rest of the start.
pub fn untold(write: impl FnOnce()) {
    let reported = TELLING.replace(true);
    write();
    TELLING.set(reported);
}

/// Whether a line of `level` is raised that is written now.
pub(super) fn is_raised(level: Level) -> bool {
    // What a route says about an event would lead to the next one.
    let in_route = tocsin_event::depth() > 0;
    TELLER.get().is_some()
        && Consumer::Event.takes(level)
        && !in_route
        && !SILENT.load(Relaxed)
        && !TELLING.get()
}

/// Raises `line`.
pub(super) fn raise(line: &Line<'_>, time: &str, prefix: Option<&str>) {
    let Some(teller) = TELLER.get().filter(|_| is_raised(line.level)) else { return };
    TELLING.set(true);
    let event = LogLine {
        time,
        pid: identity::pid(),
        level: line.level.name(),
        module: line.module,
        function: line.module.and(line.place),
        prefix,
        message: line.text.as_bytes(),
    };
    teller.events.raise_core(teller.id, &event);
    TELLING.set(false);
}
