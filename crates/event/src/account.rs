//! The accounts of subscriptions in shared memory: how many events of each were delivered, given up and lost, how many
//! wait, and how far the courier has come.
//!
//! All of this changes together. An account has two copies of its balance; the older one is overwritten and becomes the
//! valid one with a single store. So a courier may die at any instruction: others see the balance before the change or the
//! one after it, and its successor goes on from the same balance. Nothing is added up elsewhere, so nothing can disagree.
//!
//! Accounts outlive their subscriptions: the next one that gets an account goes on from what it holds. The sum over all
//! of them is what happened since the start.

use std::sync::atomic::{
    AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
    fence,
};

use tocsin_shm::{Arena, ArenaFull, ShmClone, ShmSafe};

/// The start of an account whose subscription is not open yet.
const NOT_OPEN: u64 = u64::MAX;

/// What became of the events of a subscription, and where its courier is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ShmSafe, ShmClone)]
pub(crate) struct Balance {
    /// Events in the log from this number on were not looked at yet.
    pub(crate) next: u64,
    /// No event before this number waits.
    pub(crate) first: u64,
    /// Events between `first` and `next` that are neither delivered nor given up.
    pub(crate) waiting: u64,
    /// Taken by the subscriber's side.
    pub(crate) delivered: u64,
    /// Given up.
    pub(crate) dropped: u64,
    /// Overwritten in the log, or never written to it by a process that died.
    pub(crate) lost: u64,
    /// Raised after the end of the subscription and before it was taken out: nothing of them was due.
    pub(crate) late: u64,
}

impl Balance {
    /// Events about which nothing is left to be decided.
    pub(crate) fn settled(&self) -> u64 {
        self.delivered + self.dropped + self.lost
    }
}

/// The accounts of all subscriptions. A copy refers to the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accounts {
    accounts: &'static [Account],
    /// Accounts from here on were never taken.
    untouched: &'static AtomicUsize,
}

/// The account of one subscription.
#[derive(Debug, ShmSafe)]
pub(crate) struct Account {
    copies: [Copies; 2],
    /// What the event's counter was when the subscription began: events from this ordinal on are its events.
    start: AtomicU64,
    /// Goes up by one when a subscription takes it, and when it is free again: odd while it belongs to one, or to one whose
    /// last events are still on their way. So each subscription knows its own time.
    tenure: AtomicU32,
}

/// What an account holds, of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Whose it is: a subscription that has this number.
    pub(crate) tenure: u32,
    /// The first ordinal that belongs to it, if it is open.
    pub(crate) start: Option<u64>,
    pub(crate) balance: Balance,
}

/// An account that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) index: usize,
    pub(crate) tenure: u32,
    /// What it begins with.
    pub(crate) balance: Balance,
}

/// One copy of a balance.
#[derive(Debug, Default, ShmSafe)]
struct Copies {
    /// The copy with the higher one is valid. 0 while it is written; never 0 in both at one time.
    version: AtomicU64,
    next: AtomicU64,
    first: AtomicU64,
    waiting: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
    lost: AtomicU64,
    late: AtomicU64,
}

impl Accounts {
    /// `count` accounts. To be called before the first fork.
    pub(crate) fn create(arena: &'static Arena, count: usize) -> Result<Self, ArenaFull> {
        let account = |_| Account {
            copies: [Copies::default(), Copies { version: AtomicU64::new(1), ..Copies::default() }],
            start: AtomicU64::new(NOT_OPEN),
            tenure: AtomicU32::new(0),
        };
        let accounts = arena.boot_array(count, account)?;
        let untouched = &arena.boot_array(1, |_| AtomicUsize::new(0))?[0];
        Ok(Self { accounts, untouched })
    }

    /// Takes a free account for a subscription to what the log has from `head` on. One process does this at a time.
    pub(crate) fn take(&self, head: u64) -> Option<Taken> {
        let index = self.accounts.iter().position(|account| !account.is_taken())?;
        let account = &self.accounts[index];
        self.untouched.fetch_max(index + 1, Relaxed);
        account.start.store(NOT_OPEN, Relaxed);
        let balance = Balance { next: head, first: head, waiting: 0, late: 0, ..account.balance() };
        account.write(&balance);
        let tenure = account.tenure.fetch_add(1, AcqRel).wrapping_add(1);
        Some(Taken { index, tenure, balance })
    }

    pub(crate) fn get(&self, index: usize) -> Option<&'static Account> {
        self.accounts.get(index)
    }

    /// Those that were ever taken.
    pub(crate) fn touched(&self) -> &'static [Account] {
        let accounts = self.accounts;
        &accounts[..self.untouched.load(Relaxed).min(accounts.len())]
    }

    /// The indices of those that are taken.
    pub(crate) fn taken(&self) -> Vec<usize> {
        let touched = self.touched().iter().enumerate();
        touched.filter(|(_, account)| account.is_taken()).map(|(index, _)| index).collect()
    }
}

impl Account {
    /// Opens it with what the event's counter is now, unless that was done: by the process that subscribed, or by the courier, if
    /// the former died or is slower. The subscription must be visible to the courier before.
    pub(crate) fn open(&self, counter: impl FnOnce() -> u64) {
        if self.start.load(Acquire) == NOT_OPEN {
            // Failing means that the other one was faster.
            let _ = self.start.compare_exchange(NOT_OPEN, counter(), AcqRel, Acquire);
        }
    }

    /// The first ordinal that belongs to it, if it is open.
    pub(crate) fn start(&self) -> Option<u64> {
        Some(self.start.load(Acquire)).filter(|start| *start != NOT_OPEN)
    }

    /// Gives it to the next subscription. The courier alone does this.
    pub(crate) fn free(&self) {
        if self.is_taken() {
            self.tenure.fetch_add(1, AcqRel);
        }
    }

    fn is_taken(&self) -> bool {
        self.tenure.load(Acquire) % 2 == 1
    }

    /// What it holds, and for which subscription.
    pub(crate) fn picture(&self) -> Picture {
        loop {
            let tenure = self.tenure.load(Acquire);
            let (start, balance) = (self.start(), self.balance());
            fence(Acquire);
            if self.tenure.load(Relaxed) == tenure {
                return Picture { tenure, start, balance };
            }
        }
    }

    /// The balance, of one moment.
    pub(crate) fn balance(&self) -> Balance {
        loop {
            let Some((copy, version)) = self.valid() else { continue };
            let balance = copy.read();
            // It is overwritten only after the other one has become valid, so this is rarely repeated.
            fence(Acquire);
            if copy.version.load(Relaxed) == version {
                return balance;
            }
        }
    }

    /// Puts another balance in its place. One process writes at a time.
    pub(crate) fn write(&self, balance: &Balance) {
        let [one, other] = &self.copies;
        let versions = [one, other].map(|copy| copy.version.load(Relaxed));
        let older = if versions[0] <= versions[1] { one } else { other };
        older.version.store(0, Relaxed);
        fence(Release);
        older.store(balance);
        older.version.store(versions[0].max(versions[1]) + 1, Release);
    }

    /// The copy that is valid, and its version. `None` if both seem to be under way: one became valid between the two looks.
    fn valid(&self) -> Option<(&Copies, u64)> {
        let [one, other] = &self.copies;
        let versions = [one, other].map(|copy| copy.version.load(Acquire));
        let newer = if versions[0] >= versions[1] { (one, versions[0]) } else { (other, versions[1]) };
        Some(newer).filter(|(_, version)| *version != 0)
    }
}

impl Copies {
    fn read(&self) -> Balance {
        Balance {
            next: self.next.load(Relaxed),
            first: self.first.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            lost: self.lost.load(Relaxed),
            late: self.late.load(Relaxed),
        }
    }

    fn store(&self, balance: &Balance) {
        self.next.store(balance.next, Relaxed);
        self.first.store(balance.first, Relaxed);
        self.waiting.store(balance.waiting, Relaxed);
        self.delivered.store(balance.delivered, Relaxed);
        self.dropped.store(balance.dropped, Relaxed);
        self.lost.store(balance.lost, Relaxed);
        self.late.store(balance.late, Relaxed);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tocsin_shm::ArenaOptions;

    use super::*;

    pub(crate) fn accounts(count: usize) -> Accounts {
        let arena = Arena::create(&ArenaOptions { bytes: 2 << 20, boot_bytes: 256 << 10 }).unwrap();
        Accounts::create(arena, count).unwrap()
    }

    #[test]
    fn a_balance_half_written_is_as_if_it_had_never_been_begun() {
        let accounts = accounts(1);
        let account = accounts.get(0).unwrap();
        assert_eq!(account.balance(), Balance::default());
        let mut balance = Balance::default();
        for delivered in 1..5 {
            balance.delivered = delivered;
            account.write(&balance);
            assert_eq!(account.balance(), balance);
            // Its writer died: the copy that was to be written is marked, and anything stands in it.
            let older = &account.copies[(delivered % 2) as usize];
            older.version.store(0, Relaxed);
            older.store(&Balance { delivered: 999, waiting: 7, ..balance });
            assert_eq!(account.balance(), balance);
        }
    }

    #[test]
    fn two_looks_that_fall_on_copies_under_way_find_none() {
        let accounts = accounts(1);
        let account = accounts.get(0).unwrap();
        account.write(&Balance { delivered: 1, ..Balance::default() });
        assert_eq!(account.valid().unwrap().1, 2);
        // What is seen if the other copy is written between the look at the first and the look at the second.
        account.copies.iter().for_each(|copy| copy.version.store(0, Relaxed));
        assert!(account.valid().is_none());
    }

    #[test]
    fn a_balance_is_of_one_moment_however_fast_it_changes() {
        const WRITES: u64 = 300_000;
        let accounts = accounts(1);
        let account = accounts.get(0).unwrap();
        let write = |delivered| {
            account.write(&Balance { next: delivered, delivered, late: delivered, ..Balance::default() });
        };
        write(1);
        std::thread::scope(|scope| {
            scope.spawn(|| (2..=WRITES).for_each(write));
            let mut before = 1;
            while before < WRITES {
                let balance = account.balance();
                assert!(balance.delivered >= before, "{balance:?} after {before}");
                assert_eq!([balance.next, balance.late], [balance.delivered; 2]);
                before = balance.delivered;
            }
        });
    }

    #[test]
    fn accounts_are_taken_again_and_keep_what_they_hold() {
        let accounts = accounts(2);
        let Taken { index: one, tenure, balance: begun } = accounts.take(7).unwrap();
        assert_eq!((one, begun), (0, Balance { next: 7, first: 7, ..Balance::default() }));
        assert_eq!(accounts.take(7).unwrap().index, 1);
        assert!(accounts.take(7).is_none());
        let account = accounts.get(one).unwrap();
        assert_eq!(account.start(), None);
        account.open(|| 40);
        account.open(|| 41);
        assert_eq!(account.start(), Some(40));
        account.write(&Balance { next: 9, first: 9, delivered: 2, ..begun });
        account.free();
        assert_eq!(accounts.taken(), [1]);
        let again = accounts.take(20).unwrap();
        assert_eq!((again.index, again.balance.next, again.balance.delivered), (one, 20, 2));
        assert_ne!(again.tenure, tenure, "it is another's now");
        let Picture { tenure, start, balance } = account.picture();
        assert_eq!((tenure, start, balance), (again.tenure, None, again.balance));
    }
}
