//! What a process does for the connections that it owns.

use std::future::Future;
use std::pin::Pin;

use crate::flow::{BranchRef, Received};

/// The process around the connections: it takes their messages, and sends what those lead to. It lives as long as the
/// process.
pub trait Owner {
    /// A message arrived whole.
    fn received(&'static self, message: Vec<u8>, from: Received);

    /// A message could not be sent. Its transaction hears of it later, as the caller may be in the middle of it.
    fn not_sent(&'static self, branch_ref: BranchRef);

    /// The request of a branch has left whole: it must not leave again. Nothing stands between the system call that wrote
    /// its last byte and this call.
    fn note_left(&'static self, branch_ref: BranchRef);

    /// Whether the request of a branch has left already.
    fn has_left(&'static self, branch_ref: BranchRef) -> bool;

    /// Sends all that is queued in this process.
    fn flush(&'static self);

    /// Sends the datagrams that are queued.
    fn flush_datagrams(&'static self);

    /// A safe point between two messages: no lock is held.
    fn safe_point(&'static self);

    /// A buffer for a message, large enough for any.
    fn lend_buffer(&'static self) -> Vec<u8>;

    /// Takes back a buffer that was lent.
    fn recycle(&'static self, buffer: Vec<u8>);

    /// A number that no other process will make and nobody can guess.
    fn unique(&'static self) -> u64;

    /// Runs a task of the connections.
    fn spawn(&'static self, task: Pin<Box<dyn Future<Output = ()>>>);
}
