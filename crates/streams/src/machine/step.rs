//! What a connection's [`Machine`](super::Machine) asks of its caller.

use smallvec::SmallVec;

use crate::end::End;
use crate::flow::BranchRef;

/// What the inputs of a machine push: to be carried out in order. Eight lie in place: enough for a message that is served.
/// Steps are plain values; what they are about lies in the machine until it is fetched.
pub(crate) type Steps = SmallVec<[Step; 8]>;

/// One thing to be done by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Give the message that [`take_message`](super::Machine::take_message) returns to the process.
    Serve,
    /// Send all that is queued in this process: what came of a message leaves before the message is taken out.
    Flush,
    /// Note in the row that so many bytes at the front of the kernel's queue are served. Always followed by
    /// [`Step::Take`]: a message is served twice only if the process dies before this note.
    NoteServed(usize),
    /// Take so many bytes out of the kernel's queue, and note it in the row.
    Take(usize),
    /// Note in the row that what was being served is served to its end.
    Done,
    /// Note in the row whether another process could go on from here.
    Movable(bool),
    /// Note in the row that the handshakes are done.
    Ready,
    /// Note in the row how long the connection lives if nothing happens on it, in milliseconds of the monotonic clock.
    LiveUntil(u64),
    /// Choose the configuration for a client that asks for [`server_name`](super::Machine::server_name), and answer with
    /// [`answer_hello`](super::Machine::answer_hello).
    Hello,
    /// There is something to write at the next flush of this process.
    MarkDirty,
    /// The request of this branch has left whole.
    NoteLeft(BranchRef),
    /// The message of this branch cannot be sent.
    NotSent(BranchRef),
    /// The messages that [`take_sent`](super::Machine::take_sent) returns have left whole, and how long that took is of
    /// interest.
    Measure,
    /// Wake the connection's task: it may have to stop, or to wait for room to write.
    Wake,
}

/// What stops a connection's task.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The connection ends.
    End(End),
    /// Another worker goes on with it.
    Move,
}

impl From<End> for Stop {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

/// What a connection's task does next.
#[derive(Debug)]
pub(crate) enum Next {
    /// It stops.
    Stop(Stop),
    /// It waits for bytes, and for room to write if `to_write`; until `until` at most, in milliseconds of the monotonic
    /// clock, and then asks again.
    Wait {
        /// The deadline.
        until: u64,
        /// Bytes wait to be written.
        to_write: bool,
    },
}
