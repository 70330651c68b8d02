//! Messages for connections that are on their way to this process.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use tocsin_net::connections::ConnectionId;

use super::pending::PendingGuard;
use crate::flow::{BranchRef, Flow};
use crate::security::TlsSelection;

/// Messages that may wait in a process.
const MAX_MESSAGES: usize = 4096;
/// Their bytes.
const MAX_BYTES: usize = 8 << 20;
/// Milliseconds that one may wait.
const MAX_WAIT_MS: u64 = 5000;

/// A message that waits.
#[derive(Debug)]
pub(super) struct Parked {
    /// Since when, in milliseconds of the monotonic clock.
    pub(super) since: u64,
    /// Its way; the connection is the one that it waits for.
    pub(super) flow: Flow,
    pub(super) host: String,
    pub(super) tls_selection: Option<TlsSelection>,
    /// Who waits for it, even should this process die.
    pub(super) guard: Option<PendingGuard>,
    pub(super) bytes: Vec<u8>,
}

impl Parked {
    pub(super) fn branch_ref(&self) -> Option<BranchRef> {
        self.guard.as_ref().map(PendingGuard::branch_ref)
    }
}

/// The messages that wait, by their connection, each in the order of their coming.
#[derive(Debug, Default)]
pub(super) struct Parking {
    places: RefCell<HashMap<ConnectionId, Vec<Parked>>>,
    messages: Cell<usize>,
    bytes: Cell<usize>,
}

impl Parking {
    /// Lets a message wait. Gives its branch back when there are too many.
    pub(super) fn enter(&self, message: Parked) -> Result<(), Option<BranchRef>> {
        let bytes = self.bytes.get() + message.bytes.len();
        if self.messages.get() >= MAX_MESSAGES || bytes > MAX_BYTES {
            return Err(message.branch_ref());
        }
        self.messages.set(self.messages.get() + 1);
        self.bytes.set(bytes);
        self.places.borrow_mut().entry(message.flow.connection).or_default().push(message);
        Ok(())
    }

    /// What waits for `id`.
    pub(super) fn leave(&self, id: ConnectionId) -> Vec<Parked> {
        if self.messages.get() == 0 {
            return Vec::new();
        }
        let left = self.places.borrow_mut().remove(&id).unwrap_or_default();
        self.left(&left);
        left
    }

    /// What waits for connections that `is_gone` says will not come.
    pub(super) fn leave_lost(&self, is_gone: impl Fn(ConnectionId) -> bool) -> Vec<Parked> {
        let mut places = self.places.borrow_mut();
        let lost: Vec<_> =
            places.extract_if(|id, _| is_gone(*id)).flat_map(|(_, messages)| messages).collect();
        self.left(&lost);
        lost
    }

    /// What has waited for too long at `now`.
    pub(super) fn leave_late(&self, now: u64) -> Vec<Parked> {
        let mut places = self.places.borrow_mut();
        let mut late = Vec::new();
        places.retain(|_, messages| {
            late.extend(messages.extract_if(.., |message| message.since + MAX_WAIT_MS < now));
            !messages.is_empty()
        });
        self.left(&late);
        late
    }

    fn left(&self, messages: &[Parked]) {
        let bytes: usize = messages.iter().map(|message| message.bytes.len()).sum();
        self.messages.set(self.messages.get() - messages.len());
        self.bytes.set(self.bytes.get() - bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::SocketId;

    fn message(connection: u64, since: u64, length: usize) -> Parked {
        let connection = ConnectionId::from_number(connection);
        let flow = Flow { connection, ..Flow::new(SocketId(0), "127.0.0.1:5060".parse().unwrap()) };
        Parked { since, flow, host: String::new(), tls_selection: None, guard: None, bytes: vec![0; length] }
    }

    fn times(messages: &[Parked]) -> Vec<u64> {
        messages.iter().map(|message| message.since).collect()
    }

    #[test]
    fn each_connection_gets_its_own_in_order() {
        let parking = Parking::default();
        for (connection, since) in [(1, 10), (2, 20), (1, 30)] {
            parking.enter(message(connection, since, 5)).unwrap();
        }
        assert_eq!(times(&parking.leave(ConnectionId::from_number(1))), [10, 30]);
        assert_eq!(times(&parking.leave(ConnectionId::from_number(1))), [0; 0]);
        assert_eq!(times(&parking.leave_lost(|id| id.number() == 3)), [0; 0]);
        assert_eq!(times(&parking.leave_lost(|id| id.number() == 2)), [20]);
        assert_eq!((parking.messages.get(), parking.bytes.get()), (0, 0));
    }

    #[test]
    fn nobody_waits_for_ever() {
        let parking = Parking::default();
        parking.enter(message(1, 10, 5)).unwrap();
        parking.enter(message(1, 11, 5)).unwrap();
        assert_eq!(times(&parking.leave_late(10 + MAX_WAIT_MS)), [0; 0]);
        assert_eq!(times(&parking.leave_late(11 + MAX_WAIT_MS)), [10]);
        assert_eq!(times(&parking.leave(ConnectionId::from_number(1))), [11]);
        assert_eq!((parking.messages.get(), parking.bytes.get()), (0, 0));
    }

    #[test]
    fn they_are_bounded_in_number_and_bytes() {
        let parking = Parking::default();
        (0..MAX_MESSAGES as u64).for_each(|n| parking.enter(message(n, 0, 1)).unwrap());
        assert!(parking.enter(message(1, 0, 1)).is_err());
        parking.leave(ConnectionId::from_number(1));
        assert!(parking.enter(message(1, 0, MAX_BYTES)).is_err());
        assert!(parking.enter(message(1, 0, 1)).is_ok());
    }
}
