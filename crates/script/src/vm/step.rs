//! How far a run got: to its end, or to something that it waits for.

use crate::call::Waiting;

/// What a script came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The last return code.
    pub rc: i64,
    /// It ended by `exit`, `drop` or a return code of 0 rather than at the end of its route.
    pub exit: bool,
    /// It ended by `drop`: what would follow is not done.
    pub drop: bool,
    /// It was ended in the middle, as it ran for too long.
    pub cut: bool,
}

/// How far a script got.
pub enum Step<C> {
    /// To its end.
    Done(Verdict),
    /// To a function that waits: keep the message, and [`Execution::resume`](super::Execution::resume) when the future is ready.
    Wait(Pause<C>),
}

/// A script that waits.
pub struct Pause<C> {
    /// What for.
    pub waiting: Waiting<C>,
    /// By which statement.
    pub kind: PauseKind,
}

/// By which statement a script waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseKind {
    /// A plain call: the script goes on behind it.
    Call,
    /// `async()`: the transaction is kept meanwhile, and the resume route runs after it. When the timeout in
    /// seconds is over, drop the future and resume with `Outcome::Done(-2)`.
    Async {
        /// Seconds, if the script says so.
        timeout: Option<u32>,
    },
}
