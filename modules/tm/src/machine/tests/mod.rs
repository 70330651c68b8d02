//! Tests in virtual time, filed by what they hold the machine to.

mod client;
mod context;
mod failover;
mod failure_route;
mod pair;
mod random;
mod server;

use super::{Action, Actions, BranchId, Kind, Machine, Timers};

/// The letter of the RFC: B, F, D, J, L and M are 64·T1.
const RFC: Timers = Timers { t1: 500, t2: 4_000, t4: 5_000, fr: 32_000, fr_inv: 180_000, wait: 32_000 };

/// An arbitrary moment of birth, to find what counts from zero.
const BIRTH: u64 = 7_000_000;

/// A machine, its clock in milliseconds since its birth, and all it did, when.
struct Run {
    machine: Machine,
    now: u64,
    log: Vec<(u64, Action)>,
}

impl Run {
    fn new(kind: Kind, reliable: bool, timers: &Timers) -> Self {
        Run { machine: Machine::new(kind, reliable, BIRTH, timers), now: 0, log: Vec::new() }
    }

    /// One INVITE over UDP, relayed over UDP to `branches` destinations.
    fn invite(branches: usize) -> Self {
        Self::relayed(Kind::Invite, false, &RFC, branches)
    }

    fn relayed(kind: Kind, reliable: bool, timers: &Timers, branches: usize) -> Self {
        let mut run = Self::new(kind, reliable, timers);
        for _ in 0..branches {
            run.add(reliable);
        }
        run
    }

    fn add(&mut self, reliable: bool) -> BranchId {
        self.machine.add_branch(reliable, BIRTH + self.now).unwrap()
    }

    /// Lets time pass to `time`, serving every deadline on its way.
    fn until(&mut self, time: u64) -> &mut Self {
        while let Some(deadline) = self.machine.deadline().filter(|&deadline| deadline <= BIRTH + time) {
            assert!(deadline >= BIRTH + self.now, "deadline {deadline} has passed");
            self.now = deadline - BIRTH;
            self.step(Machine::expire);
        }
        self.now = time;
        self
    }

    /// One input at the present time; what it caused, also logged.
    fn step(&mut self, input: impl FnOnce(&mut Machine, u64, &mut Actions)) -> Vec<Action> {
        let mut out = Actions::new();
        input(&mut self.machine, BIRTH + self.now, &mut out);
        self.log.extend(out.iter().map(|&action| (self.now, action)));
        if let Some(deadline) = self.machine.deadline() {
            assert!(deadline > BIRTH + self.now, "deadline not in the future after {out:?}");
        }
        out.to_vec()
    }

    fn reply(&mut self, branch: usize, status: u16) -> Vec<Action> {
        self.step(|machine, now, out| machine.reply(id(branch), status, now, out))
    }

    fn cancel(&mut self) -> Vec<Action> {
        self.step(Machine::cancel)
    }

    fn ack(&mut self) -> Vec<Action> {
        self.step(Machine::ack)
    }

    fn again(&mut self) -> Vec<Action> {
        self.again_but_for(&[])
    }

    /// The request comes again, after that of some branches has left.
    fn again_but_for(&mut self, left: &[usize]) -> Vec<Action> {
        let has_left = |branch: BranchId| left.contains(&branch.index());
        self.step(|machine, _, out| machine.request_retransmission(has_left, out))
    }

    fn local(&mut self, status: u16) -> Vec<Action> {
        self.step(|machine, now, out| machine.local_reply(status, now, out).unwrap())
    }

    fn conclude(&mut self) -> Vec<Action> {
        self.step(Machine::conclude)
    }

    /// When this was done.
    fn times(&self, action: Action) -> Vec<u64> {
        self.log.iter().filter(|(_, done)| *done == action).map(|(time, _)| *time).collect()
    }

    /// The time of the end, which must come.
    fn end(&mut self) -> u64 {
        self.until(self.now + 10_000_000);
        assert!(self.machine.is_destroyed() && self.machine.deadline().is_none());
        let times = self.times(Action::Destroy);
        assert_eq!(times.len(), 1, "{:?}", self.log);
        assert_eq!(self.log.last().map(|(_, action)| *action), Some(Action::Destroy));
        times[0]
    }
}

fn id(branch: usize) -> BranchId {
    BranchId::from_index(branch).unwrap()
}

fn forward(branch: usize, status: u16) -> Action {
    Action::ForwardReply { branch: id(branch), status }
}

fn pass(branch: usize, status: u16) -> Action {
    Action::PassReply { branch: id(branch), status }
}

fn ended(branch: usize, status: u16) -> Action {
    Action::BranchEnded { branch: id(branch), status, local: false }
}

fn ended_here(branch: usize, status: u16) -> Action {
    Action::BranchEnded { branch: id(branch), status, local: true }
}

fn failed(branch: usize, status: u16) -> Action {
    Action::Failed { branch: id(branch), status, local: false }
}

fn failed_here(branch: usize, status: u16) -> Action {
    Action::Failed { branch: id(branch), status, local: true }
}

#[test]
fn a_machine_is_small() {
    assert!(size_of::<Machine>() <= 384, "{}", size_of::<Machine>());
    assert!(size_of::<Action>() <= 8, "{}", size_of::<Action>());
}
