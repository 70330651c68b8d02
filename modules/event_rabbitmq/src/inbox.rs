//! The next events of one subscriber, between its outlet and its task. A channel of the runtime would take three times the
//! memory of everything else that is kept for a subscriber, of which there may be thousands.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tocsin_event::Event;
use tokio::sync::Notify;

/// Room for one batch of events.
#[derive(Default)]
pub(super) struct Inbox {
    batch: RefCell<Vec<Rc<Event>>>,
    closed: Cell<bool>,
    /// Rings when there are events, or never will be any.
    changed: Notify,
    /// Rings when there is room.
    emptied: Notify,
}

impl Inbox {
    /// Puts events in when those before are taken.
    pub(super) async fn put(&self, events: &[Rc<Event>]) {
        while !self.batch.borrow().is_empty() {
            self.emptied.notified().await;
        }
        self.batch.borrow_mut().extend_from_slice(events);
        self.changed.notify_one();
    }

    /// Takes the events that are there.
    pub(super) fn take(&self) -> Vec<Rc<Event>> {
        self.emptied.notify_one();
        self.batch.take()
    }

    /// Waits until there is something to do: events, if there is room for them, or an end. That does not depend on when
    /// they came: what found no room before is there still.
    pub(super) async fn wait(&self, has_room: bool) {
        while !self.is_closed() && (!has_room || self.batch.borrow().is_empty()) {
            self.changed.notified().await;
        }
    }

    /// Nobody puts anything in any more.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.changed.notify_one();
    }

    /// Whether nobody does.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }
}

#[cfg(test)]
mod tests {
    use tocsin_event::EventId;

    use super::*;

    #[test]
    fn a_batch_waits_for_the_one_before() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let event = |number| Rc::new(Event::new(EventId::THRESHOLD, (*b"E_X").into(), number, 0, &[]));
            let inbox = Inbox::default();
            let giving = async {
                for number in 0..3 {
                    inbox.put(&[event(number), event(number)]).await;
                }
                inbox.close();
            };
            let taking = async {
                let mut numbers = Vec::new();
                while !inbox.is_closed() || numbers.len() < 6 {
                    inbox.wait(true).await;
                    let taken = inbox.take();
                    assert!(taken.len() <= 2);
                    numbers.extend(taken.iter().map(|event| event.number));
                }
                numbers
            };
            assert_eq!(tokio::join!(taking, giving).0, [0, 0, 1, 1, 2, 2]);
        });
    }

    #[test]
    fn what_found_no_room_is_there_when_there_is_room() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let inbox = Inbox::default();
            inbox.put(&[Rc::new(Event::new(EventId::THRESHOLD, (*b"E_X").into(), 1, 0, &[]))]).await;
            tokio::select! {
                biased;
                () = inbox.wait(false) => panic!("there is no room"),
                () = tokio::task::yield_now() => {}
            }
            inbox.wait(true).await;
            assert_eq!(inbox.take().len(), 1);
        });
    }
}
