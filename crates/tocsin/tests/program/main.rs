//! Black-box tests: the real program, started as an operator starts it, and the real clients that talk to it.
//!
//! Each file shows one thing that the server promises. A test starts its own server in its own folder, on ports from the
//! kernel, so that tests run side by side; it waits for conditions, never for a time, and ends by asking its server to
//! end, which it must do with status 0. What a failing test's server logged is printed with the failure.
//!
//! The tests need `sipp` and a Python with the packages `opensips` and `opensipscli`. They never skip what they cannot
//! find: `./test` installs it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod calls;
mod command_line;
mod deaths;
mod event_delivery;
mod harness;
mod hostile;
mod management;
mod memory;
mod python_clients;
mod subscriptions;
mod thresholds;
mod transactions;
