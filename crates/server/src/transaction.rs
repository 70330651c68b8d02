//! What the server asks of a transaction layer. The module tm is one; without it everything is stateless.

use crate::context::Context;

/// What a transaction layer made of a reply from downstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyFate {
    /// It belongs to a transaction and is taken care of.
    Taken,
    /// It belongs to no transaction.
    Stray,
}

/// A transaction layer.
pub trait Transactions {
    /// A reply came: match it, run the routes that wait for it, forward it.
    fn reply_received(&self, cx: Context) -> Result<(), Context>;

    /// Answers the request of `cx` through its transaction. `None` when it has none.
    fn reply(&self, cx: &mut Context, status: u16, reason: &[u8]) -> Option<bool>;
}
