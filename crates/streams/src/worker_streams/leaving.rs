//! A process that ends gives what it keeps to others.

use std::rc::Rc;

use super::{Kept, WorkerStreams};
use crate::connection::Connection;
use crate::control::ControlMessage;
use crate::parking::Parked;

impl WorkerStreams {
    /// Another worker is to go on with `connection`.
    pub(crate) fn leave(&'static self, connection: &Rc<Connection>) {
        self.kept.borrow_mut().remove(&connection.id());
        // Enclosed, for TCP main may begin anew and have no duplicate before it reads this.
        self.to_main_with(&ControlMessage::Released { id: connection.id() }, connection);
    }

    /// Lets others go on with the connections that they can go on with now; takes no new ones.
    pub fn let_go(&self) {
        self.is_leaving.set(true);
        for kept in self.kept.borrow().values() {
            if let Kept::Open(connection) = kept {
                connection.move_on();
            }
        }
    }

    /// Gives up every connection: movable ones go to other workers, the others end; `soon`, not at once, those that only
    /// have something to write.
    pub fn hand_over(&self, soon: bool) {
        self.is_leaving.set(true);
        let all: Vec<_> = self.kept.borrow().keys().copied().collect();
        for id in all {
            if let Some(Kept::Open(connection)) = self.kept(id) {
                connection.hand_over(soon);
            }
        }
    }

    /// Leaves what waits for connections that are not open, or not here yet, to the successor.
    pub fn bequeath(&'static self) {
        let Some(me) = self.me else { return };
        let openings: Vec<_> = self.kept.borrow().values().filter_map(Kept::connecting).collect();
        for opening in openings {
            self.opened(&opening);
            let (id, pending_connect) = (opening.id, opening.give_up());
            for (bytes, branch_ref) in pending_connect.messages {
                let (host, tls_selection) =
                    (pending_connect.host.as_str(), pending_connect.tls_selection.clone());
                self.to_worker(
                    me.index,
                    &ControlMessage::Open { id, branch_ref, host, tls_selection, bytes: &bytes },
                    branch_ref,
                );
            }
        }
        for message in self.parking.leave_lost(|_| true) {
            let branch_ref = message.branch_ref();
            let Parked { flow, host, tls_selection, bytes, .. } = &message;
            let tls_selection = tls_selection.clone().unwrap_or_default();
            self.to_worker(
                me.index,
                &ControlMessage::Send { flow: *flow, branch_ref, host, tls_selection, bytes },
                branch_ref,
            );
        }
    }
}
