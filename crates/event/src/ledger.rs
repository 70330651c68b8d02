//! The courier's side of a subscription's account: it alone changes it, and writes down what belongs together as one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::account::{Account, Balance};

/// A stretch of the log without events of a subscription that is worth noting: a successor need not read it.
const IDLE_STRETCH: u64 = 1024;

/// What an event of the log is to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It comes for the first time.
    New,
    /// It waited when the former courier ended, and is counted as waiting.
    Again,
    /// It was delivered or given up by the former courier.
    Done,
}

/// The account of one subscription, in the courier.
#[derive(Debug)]
pub(crate) struct Ledger {
    account: &'static Account,
    balance: Cell<Balance>,
    /// Whether `balance` is not written down yet.
    changed: Cell<bool>,
    /// The numbers of the events that wait in the outbox.
    numbers: RefCell<VecDeque<u64>>,
    /// Events that the former courier had waiting and that this one has not read again yet.
    owed: Cell<u64>,
}

impl Ledger {
    /// Goes on with `account` as the former courier, or the process that subscribed, left it.
    pub(crate) fn resume(account: &'static Account) -> Self {
        let balance = account.balance();
        Self {
            account,
            balance: Cell::new(balance),
            changed: Cell::new(false),
            numbers: RefCell::default(),
            owed: Cell::new(balance.waiting),
        }
    }

    pub(crate) fn account(&self) -> &'static Account {
        self.account
    }

    /// The first number of the log that has to be read for it.
    pub(crate) fn first(&self) -> u64 {
        let balance = self.balance.get();
        if balance.waiting > 0 { balance.first } else { balance.next }
    }

    /// What the event with this number is to the subscription. Numbers come in their order.
    ///
    /// Of the events that the former courier had looked at, those that waited cannot be distinguished from those that were given up in
    /// between for want of room: as many as waited are taken again, the oldest first.
    pub(crate) fn turn(&self, number: u64) -> Turn {
        let balance = self.balance.get();
        if number >= balance.next {
            Turn::New
        } else if number >= balance.first && self.owed.get() > 0 {
            Turn::Again
        } else {
            Turn::Done
        }
    }

    /// An event waits in the outbox. True if there was nothing to be written down before.
    pub(crate) fn queue(&self, number: u64, turn: Turn) -> bool {
        let is_new = !self.changed.get();
        self.numbers.borrow_mut().push_back(number);
        self.look_at(number, turn);
        self.change(|balance| balance.waiting += u64::from(turn == Turn::New));
        is_new
    }

    /// An event found no room in the outbox. True if there was nothing to be written down before.
    pub(crate) fn refuse(&self, number: u64, turn: Turn) -> bool {
        let is_new = !self.changed.get();
        self.look_at(number, turn);
        self.change(|balance| {
            balance.waiting -= u64::from(turn == Turn::Again).min(balance.waiting);
            balance.dropped += 1;
        });
        is_new
    }

    /// The event that waited longest was taken by the subscriber's side, or is given up.
    pub(crate) fn settle(&self, delivered: bool) {
        let number = self.numbers.borrow_mut().pop_front();
        let next = self.numbers.borrow().front().copied();
        self.change(|balance| {
            balance.waiting = balance.waiting.saturating_sub(1);
            *if delivered { &mut balance.delivered } else { &mut balance.dropped } += 1;
            let behind = number.map_or(balance.next, |number| number + 1);
            balance.first = next.unwrap_or(if self.owed.get() > 0 { behind } else { balance.next });
        });
    }

    /// An event came for the first time, and after the end of the subscription. True if there was nothing to be written down
    /// before.
    pub(crate) fn late(&self, number: u64) -> bool {
        let is_new = !self.changed.get();
        self.look_at(number, Turn::New);
        self.change(|balance| balance.late += 1);
        is_new
    }

    /// Everything up to the number `head` of the log was read, and `raised` events were raised since the subscription
    /// began, when `before` were settled on its account: what was not seen is lost. Returns how many that are.
    pub(crate) fn close(&self, head: u64, raised: u64, before: u64) -> u64 {
        let queued = self.numbers.borrow().len() as u64;
        let balance = self.balance.get();
        let seen = balance.settled().saturating_sub(before) + queued + balance.late;
        let lost = raised.saturating_sub(seen);
        self.owed.set(0);
        let next = balance.next.max(head);
        if lost > 0 || balance.waiting != queued || next - balance.next >= IDLE_STRETCH {
            self.change(|balance| {
                balance.lost += lost;
                balance.waiting = queued;
                balance.next = next;
                balance.first = self.numbers.borrow().front().copied().unwrap_or(balance.next);
            });
            self.write_down();
        }
        lost
    }

    /// Whether nothing of it is on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.numbers.borrow().is_empty()
    }

    /// Makes the changes since the last time visible to others and to a successor, all at once.
    pub(crate) fn write_down(&self) {
        if self.changed.replace(false) {
            self.account.write(&self.balance.get());
        }
    }

    fn look_at(&self, number: u64, turn: Turn) {
        match turn {
            Turn::New => {
                let is_first = self.balance.get().waiting == 0;
                self.change(|balance| {
                    balance.next = number + 1;
                    if is_first {
                        balance.first = number;
                    }
                });
            }
            Turn::Again => self.owed.set(self.owed.get().saturating_sub(1)),
            Turn::Done => {}
        }
    }

    fn change(&self, change: impl FnOnce(&mut Balance)) {
        let mut balance = self.balance.get();
        change(&mut balance);
        self.balance.set(balance);
        self.changed.set(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::tests::accounts;

    fn ledger() -> Ledger {
        let accounts = accounts(1);
        let taken = accounts.take(100).unwrap();
        Ledger::resume(accounts.get(taken.index).unwrap())
    }

    fn written(ledger: &Ledger) -> Balance {
        ledger.write_down();
        ledger.account().balance()
    }

    fn figures(balance: Balance) -> [u64; 4] {
        [balance.waiting, balance.delivered, balance.dropped, balance.lost]
    }

    #[test]
    fn what_belongs_together_is_written_down_at_once() {
        let ledger = ledger();
        for number in [100, 103, 104] {
            assert_eq!(ledger.turn(number), Turn::New);
            assert_eq!(ledger.queue(number, Turn::New), number == 100, "one note for all of it");
        }
        ledger.refuse(107, Turn::New);
        assert_eq!(figures(ledger.account().balance()), [0; 4], "nothing was written down yet");
        let balance = written(&ledger);
        assert_eq!((figures(balance), balance.first, balance.next), ([3, 0, 1, 0], 100, 108));
        ledger.settle(true);
        ledger.settle(false);
        let balance = written(&ledger);
        assert_eq!((figures(balance), balance.first, balance.next), ([1, 1, 2, 0], 104, 108));
        ledger.settle(true);
        let balance = written(&ledger);
        assert_eq!((figures(balance), balance.first), ([0, 2, 2, 0], 108), "not behind what was given up");
    }

    #[test]
    fn a_successor_takes_again_what_waited_and_nothing_else() {
        let former = ledger();
        for number in 100..104 {
            former.queue(number, Turn::New);
        }
        former.refuse(104, Turn::New);
        former.settle(true);
        let balance = written(&former);
        let ledger = Ledger::resume(former.account());
        assert_eq!(ledger.first(), 101);
        let turns: Vec<_> = (98..107)
            .map(|number| {
                let turn = ledger.turn(number);
                if turn != Turn::Done {
                    ledger.queue(number, turn);
                }
                turn
            })
            .collect();
        assert_eq!(
            turns,
            [
                Turn::Done,
                Turn::Done,
                Turn::Done,
                Turn::Again,
                Turn::Again,
                Turn::Again,
                Turn::Done,
                Turn::New,
                Turn::New
            ]
        );
        assert_eq!(figures(written(&ledger)), [balance.waiting + 2, 1, 1, 0]);
    }

    #[test]
    fn a_successor_that_dies_too_while_it_reads_again() {
        let former = ledger();
        for number in 100..104 {
            former.queue(number, Turn::New);
        }
        former.write_down();
        let second = Ledger::resume(former.account());
        second.queue(100, second.turn(100));
        second.settle(true);
        second.write_down();
        let third = Ledger::resume(second.account());
        assert_eq!(third.first(), 101);
        for number in 101..104 {
            assert_eq!(third.turn(number), Turn::Again);
            third.queue(number, Turn::Again);
        }
        assert_eq!(figures(written(&third)), [3, 1, 0, 0]);
    }

    #[test]
    fn what_was_raised_and_never_seen_is_lost() {
        let former = ledger();
        for number in 100..104 {
            former.queue(number, Turn::New);
        }
        former.settle(true);
        former.write_down();
        // Two of the three that waited are gone from the log, and two that nobody has read.
        let ledger = Ledger::resume(former.account());
        ledger.queue(103, ledger.turn(103));
        ledger.queue(110, ledger.turn(110));
        ledger.late(111);
        assert_eq!(ledger.close(112, 8, 0), 4);
        assert_eq!(figures(ledger.account().balance()), [2, 1, 0, 4]);
        assert_eq!(ledger.close(112, 8, 0), 0);
    }

    #[test]
    fn what_came_late_is_seen_once() {
        let former = ledger();
        former.queue(100, Turn::New);
        former.write_down();
        assert!(former.late(101));
        let balance = written(&former);
        assert_eq!((figures(balance), balance.late, balance.next), ([1, 0, 0, 0], 1, 102));
        let ledger = Ledger::resume(former.account());
        assert_eq!([100, 101].map(|number| ledger.turn(number)), [Turn::Again, Turn::Again]);
        ledger.queue(100, Turn::Again);
        assert_eq!(ledger.turn(101), Turn::Done);
        assert_eq!(ledger.close(102, 2, 0), 0, "neither lost nor waiting");
    }
}
