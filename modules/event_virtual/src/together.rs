//! PARALLEL and ROUND-ROBIN: a task for each member, so that none waits for another.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use tocsin_event::{Event, Outlet, OwnPorts, Receipts, Sending};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::board::{Board, Settled};
use super::member::Member;
use super::socket::Policy;

/// The way to members that work side by side.
pub(crate) struct Together {
    shared: Rc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    board: RefCell<Board>,
    /// Rung when there are events for the member.
    more: Vec<Notify>,
    receipts: Rc<dyn Receipts>,
}

impl Together {
    /// Starts a task for each of `members`; to be called inside the runtime.
    pub(crate) fn new(
        policy: Policy,
        members: impl Iterator<Item = Member>,
        receipts: &Rc<dyn Receipts>,
    ) -> Self {
        let members: Vec<_> = members.collect();
        let shared = Rc::new(Shared {
            board: RefCell::new(Board::new(policy, members.len(), receipts.limits())),
            more: members.iter().map(|_| Notify::new()).collect(),
            receipts: Rc::clone(receipts),
        });
        let task = |(at, member)| tokio::task::spawn_local(Rc::clone(&shared).serve(at, member));
        let tasks = members.into_iter().enumerate().map(task).collect();
        Self { shared, tasks }
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Outlet for Together {
    fn send<'a>(&'a mut self, events: &'a [Rc<Event>]) -> Sending<'a> {
        // It waits for nobody: what is not settled counts as waiting, up to the limits of the subscription.
        Box::pin(async move {
            {
                let mut board = self.shared.board.borrow_mut();
                events.iter().for_each(|event| board.push(event));
            }
            self.shared.tell();
            self.shared.more.iter().for_each(Notify::notify_one);
        })
    }
}

impl Shared {
    async fn serve(self: Rc<Self>, at: usize, mut member: Member) {
        let receipts: Rc<dyn Receipts> =
            Rc::new(MemberReceipts { shared: Rc::clone(&self), at, name: member.name() });
        loop {
            let batch = self.board.borrow_mut().take(at);
            if batch.is_empty() {
                if let Some(more) = self.more.get(at) {
                    more.notified().await;
                }
                continue;
            }
            member.send(&batch, &receipts).await;
            // A member that always takes its events at once would otherwise keep the others waiting.
            tokio::task::yield_now().await;
        }
    }

    fn report(&self, at: usize, count: usize, failed: Option<&str>) {
        self.board.borrow_mut().report(at, count, failed);
        self.tell();
    }

    /// Reports what is settled.
    fn tell(&self) {
        let settled = self.board.borrow_mut().settled();
        for one in settled {
            match one {
                Settled::Delivered(count) => self.receipts.delivered(count),
                Settled::Dropped(why) => self.receipts.dropped(1, &io::Error::other(why)),
            }
        }
    }
}

/// Where one member reports.
struct MemberReceipts {
    shared: Rc<Shared>,
    at: usize,
    name: String,
}

impl Receipts for MemberReceipts {
    fn delivered(&self, count: usize) {
        self.shared.report(self.at, count, None);
    }

    fn dropped(&self, count: usize, why: &io::Error) {
        self.shared.report(self.at, count, Some(&format!("{}: {why}", self.name)));
    }

    fn unconfirmed(&self, count: usize) {
        self.shared.receipts.unconfirmed(count);
    }

    fn is_closed(&self) -> bool {
        self.shared.receipts.is_closed()
    }

    fn limits(&self) -> (usize, usize) {
        self.shared.receipts.limits()
    }

    fn own_ports(&self) -> Option<OwnPorts> {
        self.shared.receipts.own_ports()
    }
}

#[cfg(test)]
mod tests {
    use tocsin_event::Sent;

    use super::super::transport::tests::{Mood, events, in_runtime, outlet, transports};
    use super::*;

    /// Lets the tasks of the members work until they wait.
    async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn in_parallel_all_get_it_and_one_that_hangs_holds_up_no_other() {
        in_runtime(async {
            let (transports, test) = transports();
            let sent = Rc::new(Sent::default());
            let mut outlet = outlet(&transports, "virtual:PARALLEL test:a test:b", Rc::clone(&sent) as _);
            outlet.send(&events(0..2)).await;
            settle().await;
            assert_eq!((test.of("a"), test.of("b")), (vec![0, 1], vec![0, 1]));
            assert_eq!(sent.counts(), (2, 0));
            test.mood("b", Mood::TakesOne);
            outlet.send(&events(2..4)).await;
            settle().await;
            assert_eq!(sent.counts(), (3, 1));
            assert_eq!(sent.error().unwrap(), "test:b: one is enough");
            test.mood("b", Mood::Hangs);
            outlet.send(&events(4..5)).await;
            outlet.send(&events(5..6)).await;
            settle().await;
            assert_eq!((test.of("a"), sent.counts()), ((0..6).collect(), (3, 1)));
        });
    }

    #[test]
    fn a_round_robin_goes_around_and_what_its_member_does_not_take_is_dropped() {
        in_runtime(async {
            let (transports, test) = transports();
            test.mood("b", Mood::Refuses);
            let sent = Rc::new(Sent::default());
            let text = "virtual:ROUND-ROBIN test:a test:b foo:c";
            let mut outlet = outlet(&transports, text, Rc::clone(&sent) as _);
            for number in 0..4 {
                outlet.send(&events(number..number + 1)).await;
                settle().await;
            }
            assert_eq!((test.of("a"), sent.counts()), (vec![0, 3], (2, 2)));
            assert_eq!(sent.error().unwrap(), "foo:: no loaded module delivers to `foo:`");
        });
    }

    #[test]
    fn one_virtual_subscriber_is_no_member_of_another() {
        in_runtime(async {
            let (transports, _) = transports();
            let sent = Rc::new(Sent::default());
            let mut outlet = outlet(&transports, "virtual:PARALLEL virtual:PARALLEL", Rc::clone(&sent) as _);
            outlet.send(&events(0..1)).await;
            settle().await;
            assert!(sent.error().unwrap().contains("cannot be part"));
        });
    }
}
