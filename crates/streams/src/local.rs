//! What the connections of one process share.

use std::cell::RefCell;

use tocsin_net::connections::ConnectionId;

use crate::lingering::Lingering;
use crate::network::Network;
use crate::owner::Owner;

/// The surroundings of each connection of this process.
pub(crate) struct Local {
    /// What every process knows.
    pub(crate) network: &'static Network,
    /// This process.
    pub(crate) owner: &'static dyn Owner,
    /// Places for those that have ended and are not closed yet.
    pub(crate) lingering: Lingering,
    /// Those with something to write.
    dirty: RefCell<Vec<ConnectionId>>,
}

impl Local {
    pub(crate) fn new(network: &'static Network, owner: &'static dyn Owner) -> Self {
        Self { network, owner, lingering: Lingering::default(), dirty: RefCell::default() }
    }

    /// The connection has something to write at the next flush of this process.
    pub(crate) fn mark_dirty(&self, id: ConnectionId) {
        self.dirty.borrow_mut().push(id);
    }

    /// The next connection that has something to write.
    pub(crate) fn take_dirty(&self) -> Option<ConnectionId> {
        self.dirty.borrow_mut().pop()
    }
}
