//! Duplicates of connections that another worker serves: kept for the case that their owner and TCP main die together.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use tocsin_net::connections::ConnectionId;

use super::WorkerStreams;
use crate::control::ControlMessage;

impl WorkerStreams {
    /// Keeps a duplicate of a connection until it ends or comes here. Without a descriptor - this process has no room for one
    /// more - nothing is kept, and TCP main and the owner are the only ones to have one.
    pub(super) fn hold(&self, id: ConnectionId, stream: Option<OwnedFd>) {
        if let Some(stream) = stream.filter(|_| !self.kept.borrow().contains_key(&id)) {
            self.held.borrow_mut().insert(id, Rc::new(stream));
        }
    }

    /// Gives TCP main, which has begun anew, the duplicates that are kept here.
    pub(super) fn announce_held(&'static self) {
        let held: Vec<_> = self.held.borrow().iter().map(|(id, stream)| (*id, Rc::clone(stream))).collect();
        for (id, stream) in held {
            self.post(super::Destination::Main, &ControlMessage::Opened { id }, Some(stream as _), None);
        }
    }

    /// Closes the duplicates of connections that have ended.
    pub(super) fn drop_ended(&'static self) {
        let connections = &self.local.network.shared.connections;
        self.held.borrow_mut().retain(|id, _| connections.view(*id).is_some_and(|view| !view.is_ending()));
    }
}
