//! For each subscription and in sum: what was raised is delivered, given up, lost or waiting, at any moment and whatever
//! ended in between.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use common::{Interface, in_runtime, until};
use tocsin_event::{
    Address, AddressError, CourierOptions, Endpoint, Event, Outlet, Receipts, Sending, SubscriptionCounts,
    Transport,
};
use tokio::sync::Notify;

/// A subscriber that takes as many events as it is allowed to, and notes the numbers of those it took.
#[derive(Clone, Default)]
struct Measured {
    allowed: Rc<Cell<usize>>,
    more: Rc<Notify>,
    taken: Rc<std::cell::RefCell<Vec<u64>>>,
}

impl Measured {
    fn allow(&self, count: usize) {
        self.allowed.set(self.allowed.get() + count);
        self.more.notify_waiters();
    }

    async fn take(&self, event: &Event) {
        loop {
            let more = self.more.notified();
            if self.allowed.get() > 0 {
                break;
            }
            more.await;
        }
        self.allowed.set(self.allowed.get() - 1);
        self.taken.borrow_mut().push(event.number);
    }
}

impl Transport for Measured {
    fn schemes(&self) -> &[&'static str] {
        &["measured"]
    }

    fn parse(&self, scheme: &'static str, address: &str) -> Result<Address, AddressError> {
        Ok(Address::new(scheme, address, Endpoint::Text))
    }

    fn open(&self, _: &Address, receipts: Rc<dyn Receipts>) -> io::Result<Box<dyn Outlet>> {
        Ok(Box::new(MeasuredOutlet { measured: self.clone(), receipts }))
    }
}

struct MeasuredOutlet {
    measured: Measured,
    receipts: Rc<dyn Receipts>,
}

impl Outlet for MeasuredOutlet {
    fn send<'a>(&'a mut self, events: &'a [Rc<Event>]) -> Sending<'a> {
        Box::pin(async move {
            for event in events {
                self.measured.take(event).await;
                self.receipts.delivered(1);
            }
        })
    }
}

fn start(options: CourierOptions) -> (Interface, Measured) {
    let measured = Measured::default();
    (Interface::start_with(&["E_ONE", "E_TWO"], options, Rc::new(measured.clone())), measured)
}

fn account(raised: u64, [delivered, dropped, lost, waiting]: [u64; 4]) -> SubscriptionCounts {
    SubscriptionCounts { raised, delivered, dropped, lost, waiting }
}

/// Lets other tasks of the runtime have so many turns.
async fn turns(count: usize) {
    for _ in 0..count {
        let mut passed = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut passed, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

#[test]
fn what_waits_is_owed_to_the_next_courier() {
    in_runtime(async {
        let (mut interface, measured) = start(CourierOptions::default());
        interface.subscribe("E_ONE", "measured:x", None);
        for n in 0..100 {
            interface.raise("E_ONE", n);
        }
        assert_eq!(interface.accounts(), [account(100, [0, 0, 0, 100])], "before the courier had its turn");
        measured.allow(10);
        until(|| interface.accounts() == [account(100, [10, 0, 0, 90])]).await;
        interface.kill_courier().await;
        assert_eq!(interface.accounts(), [account(100, [10, 0, 0, 90])]);
        for n in 100..150 {
            interface.raise("E_ONE", n);
        }
        assert_eq!(interface.accounts(), [account(150, [10, 0, 0, 140])], "while there is no courier");
        interface.restart_courier();
        measured.allow(1000);
        until(|| interface.accounts() == [account(150, [150, 0, 0, 0])]).await;
        assert_eq!(*measured.taken.borrow(), (0..150).collect::<Vec<_>>(), "each once, in order");
    });
}

#[test]
fn a_courier_that_dies_anywhere_changes_no_sum() {
    in_runtime(async {
        let options = CourierOptions { queue_events: 50, ..CourierOptions::default() };
        let (mut interface, measured) = start(options);
        interface.subscribe("E_ONE", "measured:x", None);
        interface.subscribe("E_TWO", "measured:x", None);
        interface.subscribe("E_ONE", "measured:y", None);
        let mut raised = [0_u64; 2];
        for round in 0..300_usize {
            for n in 0..round % 40 {
                let which = (round + n) % 3 % 2;
                interface.raise(["E_ONE", "E_TWO"][which], n as i64);
                raised[which] += 1;
            }
            measured.allow(round % 17);
            turns(round % 23).await;
            interface.kill_courier().await;
            let [y, two, x] = interface.accounts().try_into().unwrap();
            assert_eq!([x.raised, y.raised, two.raised], [raised[0], raised[0], raised[1]], "round {round}");
            assert_eq!(interface.counts().due, 2 * raised[0] + raised[1]);
            interface.restart_courier_with(options);
        }
        measured.allow(1_000_000);
        until(|| interface.counts().waiting == 0).await;
        let counts = interface.counts();
        assert_eq!((counts.due, counts.lost), (2 * raised[0] + raised[1], 0));
        assert!(counts.dropped > 0 && counts.delivered > 0, "{counts:?}");
        assert_eq!(counts.delivered, measured.taken.borrow().len() as u64);
    });
}

#[test]
fn a_subscription_that_ends_with_a_full_queue_drops_it_and_says_so() {
    in_runtime(async {
        let (interface, measured) = start(CourierOptions { queue_events: 50, ..CourierOptions::default() });
        interface.subscribe("E_ONE", "measured:x", None);
        for n in 0..200 {
            interface.raise("E_ONE", n);
        }
        measured.allow(3);
        until(|| interface.counts().delivered == 3).await;
        // Its subscriber ends it.
        interface.subscribe("E_ONE", "measured:x", Some(0));
        until(|| interface.accounts().is_empty()).await;
        let counts = interface.counts();
        assert_eq!((counts.due, counts.raised, counts.delivered), (200, 200, 3));
        until(|| interface.counts().waiting == 0).await;
        let counts = interface.counts();
        assert_eq!((counts.due, counts.delivered, counts.dropped, counts.lost), (200, 3, 197, 0));
        // Its account is used again.
        interface.subscribe("E_ONE", "measured:y", None);
        assert_eq!(interface.accounts(), [account(0, [0; 4])]);
        measured.allow(1);
        interface.raise("E_ONE", 1);
        until(|| interface.accounts() == [account(1, [1, 0, 0, 0])]).await;
        assert_eq!(interface.counts().due, 201);
    });
}

#[test]
fn a_courier_that_dies_while_a_subscription_ends() {
    in_runtime(async {
        let (mut interface, _measured) = start(CourierOptions::default());
        interface.subscribe("E_ONE", "measured:x", Some(0));
        for n in 0..100 {
            interface.raise("E_ONE", n);
        }
        until(|| interface.events.subscriptions().list(u64::MAX).is_empty()).await;
        until(|| !interface.events.is_wanted(interface.id("E_ONE"))).await;
        assert_eq!(
            (interface.counts().due, interface.counts().waiting),
            (100, 100),
            "{:?}",
            interface.counts()
        );
        interface.kill_courier().await;
        interface.restart_courier();
        until(|| interface.counts().waiting == 0).await;
        assert_eq!((interface.counts().due, interface.counts().dropped), (100, 100));
    });
}

#[test]
fn what_comes_after_the_end_is_not_due() {
    in_runtime(async {
        let (mut interface, measured) = start(CourierOptions::default());
        interface.subscribe("E_ONE", "measured:x", Some(0));
        interface.kill_courier().await;
        interface.raise("E_ONE", 1);
        let ended = || interface.events.subscriptions().list(tocsin_shm::monotonic_millis()).is_empty();
        until(ended).await;
        // Nobody has noticed yet that nobody is subscribed.
        interface.raise("E_ONE", 2);
        assert_eq!((interface.counts().due, interface.counts().waiting), (1, 1));
        measured.allow(10);
        interface.restart_courier();
        until(|| interface.counts().delivered == 1).await;
        until(|| !interface.events.is_wanted(interface.id("E_ONE"))).await;
        let counts = interface.counts();
        assert_eq!((counts.due, counts.lost, counts.waiting, counts.raised), (1, 0, 0, 2));
    });
}

#[test]
fn what_was_raised_before_a_subscription_ended_survives_its_return() {
    in_runtime(async {
        let (mut interface, measured) = start(CourierOptions::default());
        interface.subscribe("E_ONE", "measured:x", Some(0));
        interface.kill_courier().await;
        interface.raise("E_ONE", 1);
        let ended = || interface.events.subscriptions().list(tocsin_shm::monotonic_millis()).is_empty();
        until(ended).await;
        interface.raise("E_ONE", 2);
        assert_eq!((interface.counts().due, interface.counts().waiting), (1, 1));
        // It comes back before anybody has read what was raised for it.
        interface.subscribe("E_ONE", "measured:x", None);
        interface.raise("E_ONE", 3);
        assert_eq!(interface.accounts(), [account(3, [0, 0, 0, 3])], "and it gets what came in between");
        measured.allow(10);
        interface.restart_courier();
        until(|| interface.accounts() == [account(3, [3, 0, 0, 0])]).await;
        assert_eq!(interface.counts().due, 3);
    });
}
