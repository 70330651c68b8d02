//! What the server asks of a transaction layer. The module tm is one; without it everything is stateless.

use tocsin_script::Bytes;
use tocsin_sip::Message;

use crate::context::Context;
use crate::flow::BranchRef;
use crate::notes::Notes;
use crate::worker::Worker;

/// A transaction layer.
pub trait Transactions {
    /// A reply came: match it, run the routes that wait for it, forward it. Gives back one that belongs to no
    /// transaction.
    fn reply_received(&self, cx: Context) -> Option<Context>;

    /// The request of a branch could not be sent, or its connection ended before it was.
    fn send_failed(&self, worker: &'static Worker, branch_ref: BranchRef);

    /// The request of a branch has left whole over its connection: it must not leave again. Not to be called while the
    /// caller holds the lock of a transaction.
    fn request_left(&self, worker: &'static Worker, branch_ref: BranchRef);

    /// Whether the request of a branch has left already.
    fn has_left(&self, worker: &'static Worker, branch_ref: BranchRef) -> bool;

    /// Makes the transaction of the request of `cx`, which has none yet; an ACK or a CANCEL gets none. False if the request ends here: it
    /// has come before.
    fn begin(&self, cx: &mut Context) -> bool;

    /// Answers the request of `cx` through its transaction. `None` when it has none.
    fn reply(&self, cx: &mut Context, status: u16, reason: &[u8]) -> Option<bool>;

    /// The request of the transaction that the reply of `cx` belongs to, as it came, and the Request-URI with which it went to
    /// the branch of the reply.
    fn request_of(&self, cx: &Context) -> Option<(Message, Option<Bytes>)>;

    /// The reply that the failure route of `cx` runs for; `None` if it runs for a time-out.
    fn reply_of(&self, cx: &Context) -> Option<Message>;

    /// Changes the notes that the transaction of `cx` keeps, if it is there.
    fn change_notes(&self, cx: &Context, change: &dyn Fn(&mut Notes));

    /// Whether the request of `cx` has a transaction that will end without its script: one that was answered, or that
    /// has a branch. `None` when it has no transaction.
    fn ends_by_itself(&self, cx: &Context) -> Option<bool>;
}
