//! How deep events lie in each other: an event route may raise events, whose routes may raise events.
//!
//! An event that was raised for no other one has the depth 0; what its route raises, or what is raised for what that does,
//! has 1, and so on. An event route that raises its own event would never end; beyond [`MAX_DEPTH`] nothing is raised.
//! The depth travels with the event, and belongs to the process while the route runs.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How deep events may lie in each other.
pub const MAX_DEPTH: u8 = 10;

/// Time between two lines of the log about events that lie too deep.
const REPORT_EVERY: Duration = Duration::from_secs(1);

thread_local! {
    static DEPTH: Cell<u8> = const { Cell::new(0) };
    static REPORTED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The depth that an event raised now will have.
pub fn depth() -> u8 {
    DEPTH.get()
}

/// Gives events that are raised from now on this depth, until what is returned is dropped.
pub fn nest(depth: u8) -> Nested {
    Nested(DEPTH.replace(depth))
}

/// The depth before [`nest`], which comes back when this is dropped.
#[derive(Debug)]
pub struct Nested(u8);

impl Drop for Nested {
    fn drop(&mut self) {
        DEPTH.set(self.0);
    }
}

/// Says that an event lies too deep; not for each one, as there may be thousands.
pub(crate) fn report_too_deep(name: &[u8]) {
    if REPORTED.get().is_none_or(|reported| reported.elapsed() >= REPORT_EVERY) {
        REPORTED.set(Some(Instant::now()));
        tracing::error!(
            "{} is not raised: event routes raise events for each other more than {MAX_DEPTH} deep",
            name.escape_ascii()
        );
    }
}
