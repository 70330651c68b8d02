//! FAILOVER: an event goes to the first member that takes it. One that did not is left out for a while.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tocsin_event::{Event, Outlet, OwnPorts, Receipts, Sending};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::member::Member;
use super::round::Round;

/// How long a member may say nothing about events that it was given. Then the next one is asked; what the first one has
/// taken without saying so, another one gets too.
const SILENCE: Duration = Duration::from_secs(10);

/// The way to members of which one is enough.
pub(crate) struct Failover {
    members: Vec<Standby>,
    timeout: Duration,
    silence: Duration,
    receipts: Rc<dyn Receipts>,
}

struct Standby {
    member: Member,
    name: String,
    reports: Rc<Reports>,
    failed: Option<Instant>,
}

impl Failover {
    pub(crate) fn new(
        members: impl Iterator<Item = Member>,
        timeout: Duration,
        receipts: Rc<dyn Receipts>,
    ) -> Self {
        let standby = |member: Member| Standby {
            name: member.name(),
            reports: Reports::new(&receipts),
            failed: None,
            member,
        };
        Self { members: members.map(standby).collect(), timeout, silence: SILENCE, receipts }
    }

    async fn deliver(&mut self, events: &[Rc<Event>]) {
        let mut round = Round::new(events);
        let mut why = None;
        for standby in &mut self.members {
            if round.open().is_empty() {
                break;
            }
            if standby.failed.is_some_and(|since| since.elapsed() < self.timeout) {
                continue;
            }
            let failed = standby.offer(&mut round, self.silence, &*self.receipts).await;
            standby.failed = failed.is_some().then(Instant::now);
            why = failed.map(|failed| format!("{}: {failed}", standby.name)).or(why);
        }
        let why = why.unwrap_or_else(|| {
            format!("none of its subscribers took an event within the last {} s", self.timeout.as_secs())
        });
        for (taken, count) in round.rest() {
            match taken {
                true => self.receipts.delivered(count),
                false => self.receipts.dropped(count, &io::Error::other(why.as_str())),
            }
        }
    }
}

impl Outlet for Failover {
    fn send<'a>(&'a mut self, events: &'a [Rc<Event>]) -> Sending<'a> {
        Box::pin(self.deliver(events))
    }
}

impl Standby {
    /// Offers it what nobody took. Returns why it did not take all of it.
    async fn offer(
        &mut self,
        round: &mut Round<'_>,
        silence: Duration,
        receipts: &dyn Receipts,
    ) -> Option<String> {
        let mut open = VecDeque::from(round.open());
        let events: Vec<_> = open.iter().map(|at| Rc::clone(round.event(*at))).collect();
        let (reports, mut failed) = (Rc::clone(&self.reports), None);
        let own: Rc<dyn Receipts> = Rc::clone(&reports) as _;
        let is_over = {
            let mut sending = std::pin::pin!(self.member.send(&events, &own));
            let mut is_sending = true;
            loop {
                while let Some(report) = reports.take() {
                    let Some(at) = open.pop_front() else { break };
                    match report {
                        Ok(()) => receipts.delivered(round.take(at)),
                        Err(why) => failed = Some(why),
                    }
                }
                if open.is_empty() && !is_sending {
                    break true;
                }
                tokio::select! {
                    biased;
                    () = reports.more.notified() => {}
                    () = &mut sending, if is_sending => is_sending = false,
                    () = sleep(silence) => break false,
                }
            }
        };
        if !is_over {
            failed = Some(format!("it said nothing for {} s", silence.as_secs()));
            self.give_up();
        }
        failed
    }

    /// Wants to hear no more of what it was given.
    fn give_up(&mut self) {
        self.reports.is_closed.set(true);
        self.reports = Reports::new(&self.reports.receipts);
        self.member.close();
    }
}

/// What a member has reported.
struct Reports {
    receipts: Rc<dyn Receipts>,
    list: RefCell<VecDeque<Result<(), String>>>,
    /// Rung when there are more.
    more: Notify,
    /// Nobody waits for them.
    is_closed: Cell<bool>,
}

impl Reports {
    fn new(receipts: &Rc<dyn Receipts>) -> Rc<Self> {
        Rc::new(Self {
            receipts: Rc::clone(receipts),
            list: RefCell::default(),
            more: Notify::new(),
            is_closed: Cell::new(false),
        })
    }

    fn take(&self) -> Option<Result<(), String>> {
        self.list.borrow_mut().pop_front()
    }

    fn add(&self, count: usize, report: &Result<(), String>) {
        if !self.is_closed.get() {
            self.list.borrow_mut().extend(std::iter::repeat_n(report.clone(), count));
            self.more.notify_one();
        }
    }
}

impl Receipts for Reports {
    fn delivered(&self, count: usize) {
        self.add(count, &Ok(()));
    }

    fn dropped(&self, count: usize, why: &io::Error) {
        self.add(count, &Err(why.to_string()));
    }

    fn unconfirmed(&self, count: usize) {
        self.receipts.unconfirmed(count);
    }

    fn is_closed(&self) -> bool {
        self.is_closed.get() || self.receipts.is_closed()
    }

    fn limits(&self) -> (usize, usize) {
        self.receipts.limits()
    }

    fn own_ports(&self) -> Option<OwnPorts> {
        self.receipts.own_ports()
    }
}

#[cfg(test)]
mod tests {
    use tocsin_event::{Sent, Transports};

    use super::super::transport::tests::{Mood, events, in_runtime, transports};
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn failover(transports: &Transports, sent: &Rc<Sent>, timeout: Duration) -> Failover {
        let members = ["test:a", "test:b"].map(|socket| Member::new(socket, transports.clone()));
        Failover::new(members.into_iter(), timeout, Rc::clone(sent) as _)
    }

    #[test]
    fn the_first_gets_all_until_it_fails_and_again_after_a_while() {
        in_runtime(async {
            let (transports, test) = transports();
            let sent = Rc::new(Sent::default());
            let mut outlet = failover(&transports, &sent, LONG);
            outlet.send(&events(0..3)).await;
            assert_eq!((test.of("a"), test.of("b"), sent.counts()), (vec![0, 1, 2], vec![], (3, 0)));
            test.mood("a", Mood::Refuses);
            outlet.send(&events(3..5)).await;
            assert_eq!((test.of("b"), sent.counts()), (vec![3, 4], (5, 0)));
            test.mood("a", Mood::Takes);
            outlet.send(&events(5..6)).await;
            assert_eq!(test.of("b"), [3, 4, 5], "the first one is left out");
            outlet.timeout = Duration::ZERO;
            outlet.send(&events(6..7)).await;
            assert_eq!((test.of("a"), sent.counts()), (vec![0, 1, 2, 6], (7, 0)));
        });
    }

    #[test]
    fn what_one_takes_of_several_is_reported_in_order() {
        in_runtime(async {
            let (transports, test) = transports();
            test.mood("a", Mood::TakesOne);
            let sent = Rc::new(Sent::default());
            let mut outlet = failover(&transports, &sent, LONG);
            outlet.send(&events(0..4)).await;
            assert_eq!((test.of("a"), test.of("b"), sent.counts()), (vec![0], vec![1, 2, 3], (4, 0)));
            test.mood("b", Mood::TakesOne);
            outlet.send(&events(4..6)).await;
            assert_eq!((sent.counts(), sent.error().unwrap()), ((5, 1), "test:b: one is enough".to_owned()));
            outlet.send(&events(6..7)).await;
            assert_eq!(sent.counts(), (5, 2));
            assert!(sent.error().unwrap().starts_with("none of its subscribers"));
        });
    }

    #[test]
    fn one_that_says_nothing_is_not_waited_for_for_ever() {
        in_runtime(async {
            let (transports, test) = transports();
            test.mood("a", Mood::Hangs);
            let sent = Rc::new(Sent::default());
            let mut outlet =
                Failover { silence: Duration::from_millis(1), ..failover(&transports, &sent, LONG) };
            outlet.send(&events(0..2)).await;
            assert_eq!((test.of("a"), test.of("b"), sent.counts()), (vec![], vec![0, 1], (2, 0)));
        });
    }
}
