//! A stateful proxy transaction as one pure state machine.
//!
//! In flow requests, replies and the passing of time; out flow [`Action`]s. The machine holds no bytes, reads no
//! clock and sends nothing: the caller keeps the messages, sends what it is asked to send, runs the script, and
//! calls [`Machine::expire`] when [`Machine::deadline`] has come. Time is milliseconds of any monotonic clock,
//! the same one throughout the life of a machine. A [`Machine`] is plain old data and `Copy`, so that it may lie in
//! memory shared by processes and be served by any of them, one at a time.
//!
//! It is the server transaction towards the caller, up to [`MAX_BRANCHES`] client transactions towards the callees,
//! the CANCEL transactions of those, and the response context which binds them together: RFC 3261 sections 16.7 to
//! 16.10 and 17, RFC 6026 (the Accepted state), RFC 4320 (non-INVITE).
//!
//! # What the caller does
//!
//! 1. [`Machine::new`] for a request that matches no transaction; then [`Machine::local_reply`] (the script answers
//!    by itself) or [`Machine::add_branch`] for each destination, *all of them before the first input*, and sends
//!    the request on each branch.
//! 2. Every later message of the transaction is one call: [`request_retransmission`](Machine::request_retransmission),
//!    [`ack`](Machine::ack), [`cancel`](Machine::cancel), [`reply`](Machine::reply),
//!    [`cancel_reply`](Machine::cancel_reply). A request that could not be sent is
//!    [`fail_branch`](Machine::fail_branch). The 200 to a CANCEL is the caller's: stateless, and the same each time.
//! 3. It carries out the actions in their order, and arms its timer for [`deadline`](Machine::deadline).
//!
//! # Failure route
//!
//! When every branch has ended and none was a success, [`Action::Failed`] says so and the machine waits, undecided.
//! The caller runs the failure route, which may add branches (the failures up to now are then spent, as RFC 3261
//! section 16.7 step 4 has it for a redirection acted upon) or call `local_reply`. Afterwards, and also when there is
//! no failure route, the caller calls [`conclude`](Machine::conclude): it sends the best reply upstream, and does
//! nothing if the script has done something. A decision that does not come, because the worker died, is taken by
//! `expire` after 64·T1.
//!
//! # Failover
//!
//! A destination may be more than one hop. A branch that has another one ([`Machine::mark_spare`]) and whose hop fails - no
//! reply at all in time, a request that could not be sent, a 503 - is not a failure yet: [`Action::FailOver`] asks for
//! another hop, and the caller puts a new branch in its place ([`Machine::replace`]) or lets the failure stand
//! ([`Machine::keep_failure`]). If neither comes, because the worker died, the failure stands after T2.
//!
//! # Timers
//!
//! | RFC 3261 | here |
//! |---|---|
//! | A, E, G | from `t1`, doubling; E and G not beyond `t2`; none over reliable transport |
//! | B, F | `fr` |
//! | C | `fr_inv` |
//! | D, J, L, M | `wait` (the RFCs ask for 64·T1, which is 32 s of memory for each transaction); D and J are 0 over reliable transport |
//! | H | 64·T1 |
//! | I, K | `t4`; 0 over reliable transport |

mod action;
mod best;
mod branch;
mod context;
mod failover;
mod server;
mod state;

#[cfg(test)]
mod tests;

pub use action::{Action, Actions, Refused};
pub use state::{BranchId, CancelCause, Kind, MAX_BRANCHES, MAX_TIMER_MS, Machine, Policy, Timers};
