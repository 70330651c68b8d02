//! The events that a broker has not confirmed yet, in their order.
//!
//! A broker may confirm messages in any order, but receipts are given in that of the events: what was confirmed early waits
//! for those before it. When a connection ends, what was not confirmed is published again over the next one.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use tocsin_event::{Event, Receipts};

use super::session::Confirmation;

/// Events of one subscriber that are published, or about to be, and not confirmed.
pub(super) const MAX_UNCONFIRMED: usize = 1_024;

/// The events, and whom to report to.
pub(super) struct Window {
    entries: VecDeque<Entry>,
    /// How many of them, from the front on, were published over this connection or need not be.
    published: usize,
    receipts: Rc<dyn Receipts>,
}

struct Entry {
    event: Rc<Event>,
    /// Its number on this connection; 0 if it was not published over it.
    tag: u64,
    /// Whether the broker has taken it, if it said so.
    taken: Option<bool>,
}

impl Window {
    pub(super) fn new(receipts: Rc<dyn Receipts>) -> Self {
        Self { entries: VecDeque::new(), published: 0, receipts }
    }

    /// Whether further events may come.
    pub(super) fn has_room(&self) -> bool {
        self.entries.len() < MAX_UNCONFIRMED
    }

    /// Whether there are no events.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the broker owes a confirmation.
    pub(super) fn awaits_confirmation(&self) -> bool {
        self.entries.iter().take(self.published).any(|entry| entry.taken.is_none())
    }

    pub(super) fn take(&mut self, events: Vec<Rc<Event>>) {
        self.entries.extend(events.into_iter().map(|event| Entry { event, tag: 0, taken: None }));
    }

    /// Has the next event published that is not yet; `publish` returns its number. False if there is none.
    pub(super) fn publish(&mut self, publish: impl FnOnce(&Event) -> u64) -> bool {
        while let Some(entry) = self.entries.get_mut(self.published) {
            self.published += 1;
            if entry.taken.is_none() {
                entry.tag = publish(&entry.event);
                return true;
            }
        }
        false
    }

    /// Takes what the broker says, and reports what is clear by that. Returns whether it was about any event.
    pub(super) fn confirm(&mut self, confirmations: &[Confirmation]) -> bool {
        let mut any = false;
        for confirmation in confirmations {
            let published = self.entries.iter_mut().take(self.published).filter(|entry| entry.tag != 0);
            let meant = published.take_while(|entry| entry.tag <= confirmation.tag);
            for entry in meant.filter(|entry| confirmation.multiple || entry.tag == confirmation.tag) {
                if entry.taken.is_none() {
                    entry.taken = Some(confirmation.taken);
                    any = true;
                }
            }
        }
        self.settle();
        any
    }

    fn settle(&mut self) {
        while let Some(taken) = self.entries.front().and_then(|entry| entry.taken) {
            let count = self.entries.iter().take_while(|entry| entry.taken == Some(taken)).count();
            self.remove(count);
            match taken {
                true => self.receipts.delivered(count),
                false => {
                    let why = io::Error::other("the broker did not take it (basic.nack)");
                    self.receipts.dropped(count, &why);
                }
            }
        }
    }

    /// The connection is over: what was not confirmed is to be published again.
    pub(super) fn restart(&mut self) {
        self.published = 0;
        self.entries.iter_mut().for_each(|entry| entry.tag = 0);
    }

    /// Gives up the first events, as long as they were raised before `time`, in microseconds of the monotonic clock.
    pub(super) fn give_up(&mut self, time: u64, why: &io::Error) {
        let is_over = |entry: &&Entry| entry.taken.is_none() && entry.event.time < time;
        let count = self.entries.iter().take_while(is_over).count();
        if count > 0 {
            self.remove(count);
            self.receipts.dropped(count, why);
            self.settle();
        }
    }

    /// Forgets everything, if nobody waits for it any more.
    pub(super) fn forget_closed(&mut self) {
        if self.receipts.is_closed() {
            self.remove(self.entries.len());
        }
    }

    fn remove(&mut self, count: usize) {
        self.entries.drain(..count);
        self.published = self.published.saturating_sub(count);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tocsin_event::{EventId, Sent};

    use super::*;

    fn event(time: u64) -> Rc<Event> {
        Rc::new(Event::new(EventId::THRESHOLD, (*b"E_TEST").into(), 1, time, &[]))
    }

    fn window(count: u64) -> (Window, Rc<Sent>) {
        let sent = Rc::new(Sent::default());
        let mut window = Window::new(Rc::clone(&sent) as _);
        window.take((0..count).map(event).collect());
        (window, sent)
    }

    /// Publishes what is left, with numbers from `first` on; returns the times of those events.
    fn publish(window: &mut Window, first: u64) -> Vec<u64> {
        let mut times = Vec::new();
        let mut tag = first;
        while window.publish(|event| {
            times.push(event.time);
            tag += 1;
            tag - 1
        }) {}
        times
    }

    fn one(tag: u64, taken: bool) -> Confirmation {
        Confirmation { tag, multiple: false, taken }
    }

    #[test]
    fn receipts_come_in_the_order_of_the_events() {
        let (mut window, sent) = window(4);
        assert_eq!(publish(&mut window, 1), [0, 1, 2, 3]);
        assert!(window.confirm(&[one(2, true), one(3, false)]));
        assert_eq!(sent.counts(), (0, 0));
        window.confirm(&[one(1, true)]);
        assert_eq!(sent.counts(), (2, 1));
        assert!(window.awaits_confirmation());
        assert!(!window.confirm(&[one(1, true), one(9, true)]), "these are not on their way");
        window.confirm(&[Confirmation { tag: 4, multiple: true, taken: true }]);
        assert_eq!(sent.counts(), (3, 1));
        assert!(window.is_empty() && !window.awaits_confirmation());
    }

    #[test]
    fn what_was_not_confirmed_goes_again_in_its_order() {
        let (mut window, sent) = window(4);
        publish(&mut window, 1);
        window.confirm(&[one(1, true), one(3, true)]);
        window.restart();
        assert!(!window.awaits_confirmation());
        assert_eq!(publish(&mut window, 1), [1, 3]);
        window.confirm(&[Confirmation { tag: 2, multiple: true, taken: true }]);
        assert_eq!((sent.counts(), window.is_empty()), ((4, 0), true));
    }

    #[test]
    fn what_is_too_old_is_given_up() {
        let (mut window, sent) = window(4);
        publish(&mut window, 1);
        window.confirm(&[one(3, true)]);
        window.restart();
        window.give_up(2, &io::ErrorKind::ConnectionRefused.into());
        assert_eq!(sent.counts(), (1, 2), "the third was confirmed before");
        assert_eq!(publish(&mut window, 1), [3]);
        sent.close();
        window.forget_closed();
        assert!(window.is_empty());
    }

    proptest! {
        #[test]
        fn each_event_is_reported_once(
            steps in proptest::collection::vec((0..4_u8, 1..12_u64, any::<bool>()), 0..60),
        ) {
            let (mut window, sent) = window(8);
            for (step, number, flag) in steps {
                match step {
                    0 => drop(publish(&mut window, 1)),
                    1 => window.restart(),
                    2 => window.give_up(number, &io::ErrorKind::TimedOut.into()),
                    _ => drop(window.confirm(&[Confirmation { tag: number, multiple: flag, taken: true }])),
                }
                let (delivered, dropped) = sent.counts();
                prop_assert_eq!(delivered + dropped + window.entries.len(), 8);
            }
        }
    }
}
