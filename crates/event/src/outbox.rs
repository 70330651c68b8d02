//! The events that wait for one subscriber, and the task that hands them to its outlet.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::Notify;

use crate::address::Address;
use crate::events::Totals;
use crate::ledger::{Ledger, Turn};
use crate::own::OwnPorts;
use crate::transport::{Event, Outlet, Receipts, Transport};

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
    ports: OwnPorts,
    totals: &'static Totals,
    queue: RefCell<Queue>,
    /// Rung when there is something to do for the task.
    more: Notify,
    /// Nothing is put in any more.
    closed: Cell<bool>,
    /// Nobody waits for what is in it any more.
    given_up: Cell<bool>,
    /// What was given up since that was last told.
    dropped: Cell<u64>,
    /// The last reason for it.
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
    entries: VecDeque<Entry>,
    /// How many of them the outlet has, from the front on.
    handed: usize,
    bytes: usize,
}

/// An event, and the account of the subscription that it is for.
struct Entry {
    event: Rc<Event>,
    ledger: Rc<Ledger>,
}

impl Outbox {
    pub(crate) fn new(limits: Limits, budget: Rc<Budget>, ports: OwnPorts, totals: &'static Totals) -> Self {
        Self {
            limits,
            budget,
            ports,
            totals,
            queue: RefCell::default(),
            more: Notify::new(),
            closed: Cell::new(false),
            given_up: Cell::new(false),
            dropped: Cell::new(0),
            error: RefCell::new(None),
        }
    }

    /// Puts an event at the end of the line; drops it when the line is full. Returns what the ledger says: whether there is
    /// something new to be written down.
    pub(crate) fn push(&self, event: &Rc<Event>, ledger: &Rc<Ledger>, turn: Turn) -> bool {
        let mut queue = self.queue.borrow_mut();
        let bytes = queue.bytes + event.weight();
        let is_full = queue.entries.len() >= self.limits.events || bytes > self.limits.bytes;
        // A subscriber that keeps up loses nothing to those that do not.
        let is_over = bytes > OWN_BYTES && !self.budget.has(event.weight());
        if is_full || is_over {
            self.note_dropped(1, || match is_full {
                true => "the subscriber does not keep up and its queue is full".into(),
                false => "the memory for events that wait is full: some subscriber does not keep up".into(),
            });
            return ledger.refuse(event.number, turn);
        }
        queue.bytes = bytes;
        self.budget.take(event.weight());
        queue.entries.push_back(Entry { event: Rc::clone(event), ledger: Rc::clone(ledger) });
        drop(queue);
        self.more.notify_one();
        ledger.queue(event.number, turn)
    }

    /// Lets the task end when the line is empty.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.more.notify_one();
    }

    /// Drops everything that is left, of which the task must not hand over any more.
    pub(crate) fn give_up(&self, why: &str) {
        self.settle(usize::MAX, false, || why.to_owned());
        self.given_up.set(true);
    }

    /// How many events were given up since this was last called, and the last reason for it.
    pub(crate) fn take_dropped(&self) -> Option<(u64, String)> {
        let count = self.dropped.take();
        let why = self.error.take().unwrap_or_else(|| "the transport gave no reason".into());
        (count > 0).then_some((count, why))
    }

    /// Hands the events to the subscriber, until the outbox is closed and empty.
    pub(crate) async fn deliver(self: Rc<Self>, transport: Rc<dyn Transport>, address: Address) {
        let receipts: Rc<dyn Receipts> = Rc::clone(&self) as Rc<dyn Receipts>;
        let mut outlet = None;
        loop {
            let batch = self.next_batch();
            if batch.is_empty() {
                if self.closed.get() && self.queue.borrow().entries.is_empty() {
                    return;
                }
                self.more.notified().await;
                continue;
            }
            match open(&mut outlet, &*transport, &address, &receipts) {
                Ok(outlet) => outlet.send(&batch).await,
                Err(error) => self.dropped(batch.len(), &error),
            }
            // A subscriber that always takes its events at once would otherwise keep the others waiting.
            tokio::task::yield_now().await;
        }
    }

    /// The next events for the outlet.
    fn next_batch(&self) -> Vec<Rc<Event>> {
        let mut queue = self.queue.borrow_mut();
        let mut bytes = 0;
        let mut fits = |event: &Rc<Event>| {
            bytes += event.weight();
            bytes <= BATCH_BYTES
        };
        let rest = || queue.entries.iter().skip(queue.handed).map(|entry| &entry.event);
        let least = rest().len().min(1);
        let count = rest().take(BATCH).take_while(|event| fits(event)).count().max(least);
        let batch: Vec<_> = rest().take(count).map(Rc::clone).collect();
        queue.handed += count;
        batch
    }

    /// Takes the first `count` events out: they are delivered, or given up.
    fn settle(&self, count: usize, delivered: bool, why: impl FnOnce() -> String) {
        let mut queue = self.queue.borrow_mut();
        let count = count.min(queue.entries.len());
        let mut changed: Option<Rc<Ledger>> = None;
        for _ in 0..count {
            let Some(Entry { event, ledger }) = queue.entries.pop_front() else { break };
            queue.bytes -= event.weight();
            self.budget.give(event.weight());
            ledger.settle(delivered);
            if let Some(other) =
                changed.replace(Rc::clone(&ledger)).filter(|other| !Rc::ptr_eq(other, &ledger))
            {
                other.write_down();
            }
        }
        if let Some(ledger) = changed {
            ledger.write_down();
        }
        queue.handed = queue.handed.saturating_sub(count);
        if !delivered && count > 0 {
            self.note_dropped(count as u64, why);
        }
        if self.closed.get() && queue.entries.is_empty() {
            self.more.notify_one();
        }
    }

    fn note_dropped(&self, count: u64, why: impl FnOnce() -> String) {
        self.dropped.set(self.dropped.get() + count);
        *self.error.borrow_mut() = Some(why());
    }
}

impl Receipts for Outbox {
    fn delivered(&self, count: usize) {
        self.settle(count, true, String::new);
    }

    fn dropped(&self, count: usize, why: &io::Error) {
        self.settle(count, false, || why.to_string());
    }

    fn unconfirmed(&self, count: usize) {
        self.totals.unconfirmed.fetch_add(count as u64, Relaxed);
    }

    fn is_closed(&self) -> bool {
        self.given_up.get()
    }

    fn limits(&self) -> (usize, usize) {
        (self.limits.events, self.limits.bytes)
    }

    fn own_ports(&self) -> Option<OwnPorts> {
        Some(self.ports)
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
    receipts: &Rc<dyn Receipts>,
) -> io::Result<&'o mut Box<dyn Outlet>> {
    if outlet.is_none() {
        *outlet = Some(transport.open(address, Rc::clone(receipts))?);
    }
    outlet.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
}

#[cfg(test)]
mod tests {
    use tocsin_shm::{Arena, ArenaOptions};

    use super::*;
    use crate::account::tests::accounts;
    use crate::registry::EventId;

    fn ledger() -> Rc<Ledger> {
        let accounts = accounts(1);
        accounts.take(0);
        Rc::new(Ledger::resume(accounts.get(0).unwrap()))
    }

    fn outbox(budget: &Rc<Budget>) -> Outbox {
        let arena = Arena::create(&ArenaOptions { bytes: 1 << 20, boot_bytes: 64 << 10 }).unwrap();
        let limits = Limits { events: 1000, bytes: 16 << 20 };
        let totals = &arena.boot_array(1, |_| Totals::default()).unwrap()[0];
        Outbox::new(limits, Rc::clone(budget), OwnPorts::create(arena).unwrap(), totals)
    }

    fn event(bytes: usize) -> Rc<Event> {
        Rc::new(Event::new(EventId::THRESHOLD, b"E_X"[..].into(), 0, 0, &vec![0; bytes]))
    }

    fn figures(ledger: &Ledger) -> [u64; 3] {
        ledger.write_down();
        let balance = ledger.account().balance();
        [balance.waiting, balance.delivered, balance.dropped]
    }

    #[test]
    fn an_outlet_is_given_few_large_events_at_once() {
        let (outbox, ledger) = (outbox(&Rc::new(Budget::new(16 << 20))), ledger());
        for bytes in [20_000, 20_000, 20_000, 20_000, BATCH_BYTES, 1] {
            outbox.push(&event(bytes), &ledger, Turn::New);
        }
        let given: Vec<_> = (0..4).map(|_| outbox.next_batch().len()).collect();
        assert_eq!(given, [3, 1, 1, 1]);
        assert!(outbox.next_batch().is_empty());
        assert_eq!(figures(&ledger), [6, 0, 0], "the outlet has not said what became of them");
    }

    #[test]
    fn those_who_do_not_keep_up_share_a_budget_and_the_others_lose_nothing() {
        let budget = Rc::new(Budget::new(1 << 20));
        let (one, two, quick) = (outbox(&budget), outbox(&budget), outbox(&budget));
        let (first, second, third) = (ledger(), ledger(), ledger());
        for _ in 0..40 {
            one.push(&event(20_000), &first, Turn::New);
            two.push(&event(20_000), &second, Turn::New);
        }
        let [waiting, _, dropped] = figures(&first);
        assert!(waiting + dropped == 40 && dropped > 10 && figures(&second)[2] > 10);
        assert_eq!(one.take_dropped().unwrap().0, dropped);
        quick.push(&event(20_000), &third, Turn::New);
        assert_eq!(figures(&third), [1, 0, 0]);
        drop((one, two));
        let other = outbox(&budget);
        for _ in 0..20 {
            other.push(&event(20_000), &third, Turn::New);
        }
        assert_eq!(figures(&third), [21, 0, 0], "what nobody waits for any more is given back");
    }

    #[test]
    fn reports_go_to_the_accounts_of_the_events_in_their_order() {
        let (outbox, one, other) = (outbox(&Rc::new(Budget::new(16 << 20))), ledger(), ledger());
        for ledger in [&one, &other, &one, &one, &other] {
            outbox.push(&event(10), ledger, Turn::New);
        }
        assert_eq!(outbox.next_batch().len(), 5);
        outbox.delivered(2);
        outbox.dropped(1, &io::ErrorKind::BrokenPipe.into());
        assert_eq!((figures(&one), figures(&other)), ([1, 1, 1], [1, 1, 0]));
        outbox.give_up("nobody wants them");
        assert_eq!((figures(&one), figures(&other)), ([0, 1, 2], [0, 1, 1]));
        assert_eq!(outbox.take_dropped(), Some((3, "nobody wants them".to_owned())));
        outbox.delivered(2);
        assert_eq!(figures(&one), [0, 1, 2], "a report that comes too late changes nothing");
        assert!(outbox.is_closed() && outbox.take_dropped().is_none());
    }
}
