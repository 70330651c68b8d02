//! The events that wait for one subscriber, and the task that hands them to its outlet.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::transport::{Address, Event, Outlet, Sent, Transport};

/// How many events an outlet is given at once.
const BATCH: usize = 64;

/// How many bytes of events an outlet is given at once: it may make a copy. A larger event is given alone.
const BATCH_BYTES: usize = 128 << 10;

/// How many bytes may wait for a subscriber, whatever waits for others.
const OWN_BYTES: usize = 256 << 10;

/// How many bytes of events may wait for all subscribers together.
#[derive(Debug)]
pub(crate) struct Budget {
    most: usize,
    used: Cell<usize>,
}

impl Budget {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, used: Cell::new(0) }
    }

    /// Whether there are so many bytes left.
    fn has(&self, bytes: usize) -> bool {
        self.used.get() + bytes <= self.most
    }

    fn take(&self, bytes: usize) {
        self.used.set(self.used.get() + bytes);
    }

    fn give(&self, bytes: usize) {
        self.used.set(self.used.get() - bytes);
    }
}

/// The queue of one subscriber's socket. Events of all its subscriptions wait in one line, so they keep their order.
pub(crate) struct Outbox {
    limits: Limits,
    budget: Rc<Budget>,
    queue: RefCell<Queue>,
    /// Of the first event that was given to the outlet and not yet reported.
    under_way: Cell<Option<u64>>,
    more: Notify,
    /// Rung when the line has become empty.
    idle: Rc<Notify>,
    closed: Cell<bool>,
    counts: Cell<Counts>,
    error: RefCell<Option<String>>,
}

/// How much may wait for one subscriber.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Rc<Event>>,
    /// Of the events that wait and of those that the outlet has.
    bytes: usize,
}

/// What became of events since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) delivered: u64,
    pub(crate) dropped: u64,
}

impl Outbox {
    pub(crate) fn new(limits: Limits, budget: Rc<Budget>, idle: Rc<Notify>) -> Self {
        Self {
            limits,
            budget,
            queue: RefCell::default(),
            under_way: Cell::new(None),
            more: Notify::new(),
            idle,
            closed: Cell::new(false),
            counts: Cell::default(),
            error: RefCell::new(None),
        }
    }

    /// Puts an event at the end of the line; drops and counts it when the line is full.
    pub(crate) fn push(&self, event: &Rc<Event>) {
        let mut queue = self.queue.borrow_mut();
        let bytes = queue.bytes + event.weight();
        let is_full = queue.events.len() >= self.limits.events || bytes > self.limits.bytes;
        // Whoever keeps up does not lose anything to those who do not.
        let is_over = bytes > OWN_BYTES && !self.budget.has(event.weight());
        if is_full || is_over {
            drop(queue);
            self.count(0, 1);
            let why = match is_full {
                true => "the subscriber does not keep up and its queue is full",
                false => "the memory for events that wait is full: some subscriber does not keep up",
            };
            *self.error.borrow_mut() = Some(why.into());
            return;
        }
        queue.bytes = bytes;
        self.budget.take(event.weight());
        queue.events.push_back(Rc::clone(event));
        drop(queue);
        self.more.notify_one();
    }

    /// Lets the task end when the line is empty.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.more.notify_one();
    }

    /// How many events wait.
    pub(crate) fn queued(&self) -> u64 {
        self.queue.borrow().events.len() as u64
    }

    /// The number of the first event that is not delivered, if there is one.
    pub(crate) fn first_waiting(&self) -> Option<u64> {
        self.under_way.get().or_else(|| self.queue.borrow().events.front().map(|event| event.number))
    }

    /// What became of events since this was last called, and the last reason for giving one up.
    pub(crate) fn take_counts(&self) -> (Counts, Option<String>) {
        (self.counts.take(), self.error.take())
    }

    /// Hands the events to the subscriber, until the outbox is closed and empty.
    pub(crate) async fn deliver(self: Rc<Self>, transport: Rc<dyn Transport>, address: Address) {
        let mut outlet = None;
        loop {
            let batch = self.take_batch();
            if batch.is_empty() {
                if self.closed.get() {
                    return;
                }
                self.more.notified().await;
                continue;
            }
            let sent = match open(&mut outlet, &*transport, &address) {
                Ok(outlet) => outlet.send(&batch).await,
                Err(error) => Sent { delivered: 0, dropped: batch.len() as u64, error: Some(error) },
            };
            self.under_way.set(None);
            self.give_back(batch.iter().map(|event| event.weight()).sum());
            self.count(sent.delivered, sent.dropped);
            if let Some(error) = sent.error {
                *self.error.borrow_mut() = Some(error.to_string());
            }
            if self.first_waiting().is_none() {
                self.idle.notify_one();
            }
            // A subscriber that always takes its events at once would otherwise keep the others waiting.
            tokio::task::yield_now().await;
        }
    }

    fn take_batch(&self) -> Vec<Rc<Event>> {
        let mut queue = self.queue.borrow_mut();
        let mut bytes = 0;
        let mut fits = |event: &Rc<Event>| {
            bytes += event.weight();
            bytes <= BATCH_BYTES
        };
        let least = queue.events.len().min(1);
        let count = queue.events.iter().take(BATCH).take_while(|event| fits(event)).count().max(least);
        let batch: Vec<_> = queue.events.drain(..count).collect();
        self.under_way.set(batch.first().map(|event| event.number));
        batch
    }

    /// Events of so many bytes are no longer kept.
    fn give_back(&self, bytes: usize) {
        self.queue.borrow_mut().bytes -= bytes;
        self.budget.give(bytes);
    }

    fn count(&self, delivered: u64, dropped: u64) {
        let counts = self.counts.get();
        self.counts
            .set(Counts { delivered: counts.delivered + delivered, dropped: counts.dropped + dropped });
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.budget.give(self.queue.get_mut().bytes);
    }
}

fn open<'o>(
    outlet: &'o mut Option<Box<dyn Outlet>>,
    transport: &dyn Transport,
    address: &Address,
) -> io::Result<&'o mut Box<dyn Outlet>> {
    if outlet.is_none() {
        *outlet = Some(transport.open(address)?);
    }
    outlet.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::EventId;

    fn outbox(budget: &Rc<Budget>) -> Outbox {
        let limits = Limits { events: 1000, bytes: 16 << 20 };
        Outbox::new(limits, Rc::clone(budget), Rc::default())
    }

    fn event(bytes: usize) -> Rc<Event> {
        Rc::new(Event::new(EventId::THRESHOLD, b"E_X"[..].into(), 0, 0, &vec![0; bytes]))
    }

    #[test]
    fn an_outlet_is_given_few_large_events_at_once() {
        let outbox = outbox(&Rc::new(Budget::new(16 << 20)));
        for bytes in [20_000, 20_000, 20_000, 20_000, BATCH_BYTES, 1] {
            outbox.push(&event(bytes));
        }
        let given: Vec<_> = (0..4).map(|_| outbox.take_batch().len()).collect();
        assert_eq!(given, [3, 1, 1, 1]);
        assert!(outbox.take_batch().is_empty());
    }

    #[test]
    fn those_who_do_not_keep_up_share_a_budget_and_the_others_lose_nothing() {
        let budget = Rc::new(Budget::new(1 << 20));
        let (one, two, quick) = (outbox(&budget), outbox(&budget), outbox(&budget));
        for _ in 0..40 {
            one.push(&event(20_000));
            two.push(&event(20_000));
        }
        assert!(one.take_counts().0.dropped > 10 && two.take_counts().0.dropped > 10);
        quick.push(&event(20_000));
        assert_eq!((quick.take_counts().0.dropped, quick.queued()), (0, 1));
        drop((one, two));
        let other = outbox(&budget);
        (0..20).for_each(|_| other.push(&event(20_000)));
        assert_eq!(other.take_counts().0.dropped, 0, "what nobody waits for any more is given back");
    }
}
