//! A process that ends gives what it keeps to others.

use std::rc::Rc;

use super::{Kept, WorkerStreams};
use crate::connection::Connection;
use crate::letter::Letter;
use crate::parking::Parked;

impl WorkerStreams {
    /// Another worker is to go on with `connection`.
    pub(crate) fn leave(&'static self, connection: &Rc<Connection>) {
        self.kept.borrow_mut().remove(&connection.id());
        // Enclosed, for TCP main may begin anew and have no duplicate before it reads this.
        self.to_main_with(&Letter::Released { id: connection.id() }, connection);
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
        let openings: Vec<_> = self.kept.borrow().values().filter_map(Kept::outgoing).collect();
        for opening in openings {
            self.opened(&opening);
            let (id, errand) = (opening.id, opening.give_up());
            for (bytes, ticket) in errand.messages {
                let (host, wish) = (errand.host.as_str(), errand.wish.clone());
                self.to_worker(me.index, &Letter::Open { id, ticket, host, wish, bytes: &bytes }, ticket);
            }
        }
        for message in self.parking.leave_lost(|_| true) {
            let ticket = message.ticket();
            let Parked { flow, host, wish, bytes, .. } = &message;
            let wish = wish.clone().unwrap_or_default();
            self.to_worker(me.index, &Letter::Send { flow: *flow, ticket, host, wish, bytes }, ticket);
        }
    }
}
