//! One connection as a pure state machine.
//!
//! In flow bytes, messages to send, the kernel's answers and the time; out flow [`Step`]s, and what the connection's task
//! does [`Next`]. The machine has no socket, reads no clock and knows no process around it: all that is done to the world
//! is a step, so that a test can carry the steps out in virtual time and let the process die between any two of them.
//!
//! # What the caller does
//!
//! 1. [`Machine::new`], then [`begin`](Machine::begin) for a connection that was accepted or comes from another process, or
//!    [`open`](Machine::open) for one that this server opened.
//! 2. Its task asks [`next`](Machine::next): the connection ends, goes to another worker, or waits for its socket and a
//!    deadline.
//! 3. When bytes have come, [`wants`](Machine::wants) says how they are read, and [`received`](Machine::received) takes
//!    them. Then [`proceed`](Machine::proceed) until the bytes are served, one message each time.
//! 4. [`push`](Machine::push) queues a message. At the next flush of the process the caller begins to write
//!    ([`begin_write`](Machine::begin_write)) the [`unwritten`](Machine::unwritten) bytes, and says how far that went:
//!    [`wrote`](Machine::wrote), [`stuck`](Machine::stuck), [`write_failed`](Machine::write_failed).
//! 5. After each input it carries out the steps in their order. A step may lead to further inputs: a message that is
//!    served is answered over the same connection.
//!
//! # Looked at, served, taken
//!
//! Plain bytes are looked at in the kernel's queue and taken out once they are served, so that the successor of a worker
//! that dies finds what was not. For each message the steps are: [`Step::Serve`]; [`Step::Flush`], so that what came of it
//! has left; [`Step::NoteServed`], which notes for a successor that the bytes are served; [`Step::Take`]. Bytes that cannot stay
//! in the kernel - those of TLS, and the begin of a message longer than the kernel holds - lie in the machine, and
//! [`Step::Movable`] says that the connection ends with this process.

mod deadlines;
mod handshakes;
mod input;
mod moment;
mod reading;
mod state;
mod step;
mod writing;

#[cfg(test)]
mod tests;

pub(crate) use input::{Arrival, Turn, Want};
pub(crate) use moment::Moment;
pub(crate) use state::{Machine, Policy};
pub(crate) use step::{Next, Step, Steps, Stop};
