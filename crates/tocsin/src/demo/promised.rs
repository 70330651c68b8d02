//! The events that the demonstration shows.

use tocsin_event::{CORE_EVENTS, Description};

/// The events that the demo is about: those that operators of OpenSIPS know.
const PROMISED: usize = 6;

/// The six events.
pub(super) fn promised() -> impl Iterator<Item = &'static Description> {
    CORE_EVENTS.iter().take(PROMISED)
}
