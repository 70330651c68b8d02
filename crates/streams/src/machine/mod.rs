//! One connection as a pure state machine.
mod deadlines;

#[cfg(test)]
mod tests;

pub(crate) use deadlines::{Deadlines, Stage, TimeLimits};
