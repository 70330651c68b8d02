//! Which events wait for which members, and what became of each: for PARALLEL and ROUND-ROBIN, without sockets and clocks.
//!
//! An event is kept once, however many members there are. It is settled when every member that it is for has reported:
//! delivered if all of them took it, else dropped.

use std::collections::VecDeque;
use std::rc::Rc;

use tocsin_event::Event;

use super::socket::Policy;

/// How many events a member is given at once.
const BATCH: usize = 64;

/// One part in this many of what may wait for the subscription is how far a member may be behind the others.
const LAG_SHARE: usize = 2;

/// How many bytes of events a member is given at once. A larger event is given alone.
const BATCH_BYTES: usize = 128 << 10;

/// The events that are not settled, in the order in which they came.
pub(crate) struct Board {
    policy: Policy,
    entries: VecDeque<Entry>,
    /// How many events were settled before those.
    first: u64,
    members: Vec<Progress>,
    /// Whose turn is next.
    turn: usize,
    /// How many events and bytes a member may be behind.
    limits: (usize, usize),
}

struct Entry {
    event: Rc<Event>,
    /// The only member that it is for; none if it is for all.
    only: Option<usize>,
    /// How many members have not reported yet.
    open: usize,
    /// Why a member did not take it.
    failed: Option<String>,
}

#[derive(Default)]
struct Progress {
    /// The first event that was not looked at for it.
    next: u64,
    /// Bytes of the events from there on.
    behind: usize,
    /// The events that it was given and has not reported.
    given: VecDeque<u64>,
}

/// What became of events, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Settled {
    /// So many were delivered.
    Delivered(usize),
    /// One was dropped, and why.
    Dropped(String),
}

impl Board {
    /// A member that is more than half of `limits`, events and bytes, behind the others loses what is oldest, so that what
    /// waits for it costs the others nothing.
    pub(crate) fn new(policy: Policy, members: usize, limits: (usize, usize)) -> Self {
        Self {
            policy,
            entries: VecDeque::new(),
            first: 0,
            members: (0..members).map(|_| Progress::default()).collect(),
            turn: 0,
            limits: (limits.0 / LAG_SHARE, limits.1 / LAG_SHARE),
        }
    }

    /// An event comes.
    pub(crate) fn push(&mut self, event: &Rc<Event>) {
        let only = (self.policy == Policy::RoundRobin).then_some(self.turn);
        self.turn = (self.turn + 1) % self.members.len().max(1);
        let open = only.map_or(self.members.len(), |_| 1);
        self.entries.push_back(Entry { event: Rc::clone(event), only, open, failed: None });
        let weight = event.weight();
        for member in 0..self.members.len() {
            self.members[member].behind += weight;
            self.leave_behind(member);
        }
    }

    /// The next events for a member.
    pub(crate) fn take(&mut self, member: usize) -> Vec<Rc<Event>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some((number, entry)) = self.peek(member) {
            let (event, is_its) = (Rc::clone(&entry.event), entry.is_for(member));
            bytes += if is_its { event.weight() } else { 0 };
            if batch.len() >= BATCH || (bytes > BATCH_BYTES && !batch.is_empty()) {
                break;
            }
            self.pass(member);
            if is_its {
                self.members[member].given.push_back(number);
                batch.push(event);
            }
        }
        batch
    }

    /// A member reports the next `count` events that it was given: taken, or why not.
    pub(crate) fn report(&mut self, member: usize, count: usize, failed: Option<&str>) {
        for _ in 0..count {
            let Some(number) = self.members.get_mut(member).and_then(|member| member.given.pop_front())
            else {
                return;
            };
            self.settle(number, failed);
        }
    }

    /// What is known of the oldest events; they are taken out.
    pub(crate) fn settled(&mut self) -> Vec<Settled> {
        let mut settled = Vec::new();
        while self.entries.front().is_some_and(|entry| entry.open == 0) {
            // In a round-robin it may not have been looked at for those that it is not for.
            for member in 0..self.members.len() {
                if self.members[member].next == self.first {
                    self.pass(member);
                }
            }
            let Some(entry) = self.entries.pop_front() else { break };
            self.first += 1;
            match (entry.failed, settled.last_mut()) {
                (Some(why), _) => settled.push(Settled::Dropped(why)),
                (None, Some(Settled::Delivered(count))) => *count += 1,
                (None, _) => settled.push(Settled::Delivered(1)),
            }
        }
        settled
    }

    fn leave_behind(&mut self, member: usize) {
        let (events, bytes) = self.limits;
        loop {
            let Some((number, entry)) = self.peek(member) else { return };
            let is_its = entry.is_for(member);
            let waiting = self.first + self.entries.len() as u64 - number;
            if waiting <= events as u64 && self.members[member].behind <= bytes {
                return;
            }
            self.pass(member);
            if is_its {
                self.settle(number, Some("it does not keep up"));
            }
        }
    }

    /// The first event that was not looked at for a member, and its number.
    fn peek(&self, member: usize) -> Option<(u64, &Entry)> {
        let next = self.members.get(member)?.next;
        let at = usize::try_from(next.checked_sub(self.first)?).ok()?;
        self.entries.get(at).map(|entry| (next, entry))
    }

    fn pass(&mut self, member: usize) {
        let weight = self.peek(member).map_or(0, |(_, entry)| entry.event.weight());
        if let Some(progress) = self.members.get_mut(member) {
            progress.next += 1;
            progress.behind = progress.behind.saturating_sub(weight);
        }
    }

    fn settle(&mut self, number: u64, failed: Option<&str>) {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        let Some(entry) = at.and_then(|at| self.entries.get_mut(at)) else { return };
        entry.open = entry.open.saturating_sub(1);
        if let Some(why) = failed {
            entry.failed.get_or_insert_with(|| why.to_owned());
        }
    }
}

impl Entry {
    fn is_for(&self, member: usize) -> bool {
        self.only.is_none_or(|only| only == member)
    }
}

#[cfg(test)]
mod tests {
    use super::super::transport::tests::event;
    use super::*;

    fn board(policy: Policy, members: usize, limits: (usize, usize)) -> Board {
        Board::new(policy, members, limits)
    }

    fn numbers(board: &mut Board, member: usize) -> Vec<u64> {
        board.take(member).iter().map(|event| event.number).collect()
    }

    fn push(board: &mut Board, numbers: std::ops::Range<u64>) {
        numbers.for_each(|number| board.push(&event(number)));
    }

    #[test]
    fn in_parallel_an_event_is_settled_when_all_have_reported() {
        let mut board = board(Policy::Parallel, 2, (100, 1 << 20));
        push(&mut board, 0..3);
        assert_eq!((numbers(&mut board, 0), numbers(&mut board, 1)), (vec![0, 1, 2], vec![0, 1, 2]));
        board.report(0, 3, None);
        assert!(board.settled().is_empty());
        board.report(1, 1, None);
        board.report(1, 1, Some("no"));
        assert_eq!(board.settled(), [Settled::Delivered(1), Settled::Dropped("no".into())]);
        board.report(1, 5, None);
        board.report(1, 1, Some("too late"));
        assert_eq!(board.settled(), [Settled::Delivered(1)], "what was not given is not reported");
    }

    #[test]
    fn in_turn_each_has_its_own_and_reports_are_in_order() {
        let mut board = board(Policy::RoundRobin, 3, (100, 1 << 20));
        push(&mut board, 0..7);
        assert_eq!(numbers(&mut board, 1), [1, 4]);
        board.report(1, 2, None);
        assert!(board.settled().is_empty(), "the first is not settled");
        assert_eq!(numbers(&mut board, 0), [0, 3, 6]);
        board.report(0, 3, None);
        assert_eq!(board.settled(), [Settled::Delivered(2)]);
        assert_eq!(numbers(&mut board, 2), [2, 5]);
        board.report(2, 2, None);
        assert_eq!(board.settled(), [Settled::Delivered(5)]);
        push(&mut board, 7..9);
        assert_eq!(numbers(&mut board, 1), [7]);
        board.report(1, 1, None);
        assert_eq!(board.settled(), [Settled::Delivered(1)]);
        assert_eq!(numbers(&mut board, 0), Vec::<u64>::new());
        assert_eq!(numbers(&mut board, 2), [8]);
    }

    #[test]
    fn a_member_that_is_far_behind_loses_what_is_oldest() {
        let mut board = board(Policy::Parallel, 2, (20, 1 << 20));
        push(&mut board, 0..10);
        assert_eq!(numbers(&mut board, 0).len(), 10);
        board.report(0, 10, None);
        push(&mut board, 10..12);
        let why = "it does not keep up".to_owned();
        assert_eq!(board.settled(), [Settled::Dropped(why.clone()), Settled::Dropped(why)]);
        assert_eq!(numbers(&mut board, 1), (2..12).collect::<Vec<_>>());
        let weight = event(0).weight();
        let mut board = Board::new(Policy::Parallel, 1, (1000, 2 * 3 * weight));
        push(&mut board, 0..5);
        assert_eq!((board.settled().len(), numbers(&mut board, 0)), (2, vec![2, 3, 4]));
    }
}
