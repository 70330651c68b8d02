//! The machine and a caller of it as simple as it can be: what a server has to do around it.

use super::super::super::Refused;
use super::super::{Action, Actions, BranchId, Machine, id};
use super::callee::{Callee, Plan};
use super::link::Link;
use super::{Kind, Message, Party, Timers};

pub(super) struct Proxy {
    kind: Kind,
    reliable: bool,
    timers: Timers,
    parallel: usize,
    /// Destinations still to be tried, the next one last.
    plans: Vec<Plan>,
    machine: Option<Machine>,
    kept: Option<Message>,
    answered_at: Option<u64>,
    failed: Vec<usize>,
    destroyed: bool,
}

impl Proxy {
    pub(super) fn new(kind: Kind, reliable: bool, timers: Timers, parallel: usize, plans: Vec<Plan>) -> Self {
        Proxy {
            kind,
            reliable,
            timers,
            parallel,
            plans,
            machine: None,
            kept: None,
            answered_at: None,
            failed: Vec::new(),
            destroyed: false,
        }
    }

    pub(super) fn receive(
        &mut self,
        from: Party,
        message: Message,
        now: u64,
        link: &mut Link,
        callees: &mut Vec<Callee>,
    ) {
        let mut out = Actions::new();
        let Some(machine) = &mut self.machine else {
            assert_eq!(message, Message::Request);
            self.relay(now, link, callees);
            return;
        };
        match (from, message) {
            (Party::Caller, Message::Request) => machine.request_retransmission(|_| false, &mut out),
            (Party::Caller, Message::Ack) => machine.ack(now, &mut out),
            (Party::Caller, Message::AckAnswer(branch)) => to_callee(branch, message, now, link),
            (Party::Caller, Message::Cancel) => {
                machine.cancel(now, &mut out);
                to_caller(Message::CancelReply, now, link);
            }
            (Party::Callee(_), Message::Reply(200, _))
                if machine.is_destroyed() && self.kind == Kind::Invite =>
            {
                to_caller(message, now, link);
            }
            (Party::Callee(branch), Message::Reply(status, _)) => {
                machine.reply(id(branch), status, now, &mut out);
            }
            (Party::Callee(branch), Message::CancelReply) => {
                machine.cancel_reply(id(branch), 200, now, &mut out);
            }
            _ => panic!("{message:?} from {from:?}"),
        }
        self.act(out, Some(message), now, link, callees);
    }

    pub(super) fn wake(&mut self, now: u64, link: &mut Link, callees: &mut Vec<Callee>) {
        let mut out = Actions::new();
        if let Some(machine) = &mut self.machine {
            machine.expire(now, &mut out);
            assert!(machine.deadline().is_none_or(|deadline| deadline > now));
        }
        self.act(out, None, now, link, callees);
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        self.machine.as_ref().and_then(Machine::deadline)
    }

    /// Whether a branch had failed or timed out before its callee answered: that answer is dropped.
    pub(super) fn has_failed(&self, branch: usize) -> bool {
        self.failed.contains(&branch)
    }

    pub(super) fn answered_at(&self) -> Option<u64> {
        self.answered_at
    }

    pub(super) fn check(&self) {
        assert!(self.destroyed && self.machine.is_some_and(|machine| machine.is_destroyed()));
    }

    fn relay(&mut self, now: u64, link: &mut Link, callees: &mut Vec<Callee>) {
        self.machine = Some(Machine::new(self.kind, self.reliable, now, &self.timers));
        let mut out = Actions::new();
        if let Some(machine) = self.machine.as_mut().filter(|machine| machine.kind() == Kind::Invite) {
            machine.local_reply(100, now, &mut out).unwrap();
        }
        for _ in 0..self.parallel {
            self.try_next(now, link, callees);
        }
        self.act(out, None, now, link, callees);
    }

    fn try_next(&mut self, now: u64, link: &mut Link, callees: &mut Vec<Callee>) -> bool {
        let reliable = self.reliable;
        self.start(|machine| machine.add_branch(reliable, now), now, link, callees)
    }

    fn start(
        &mut self,
        add: impl FnOnce(&mut Machine) -> Result<BranchId, Refused>,
        now: u64,
        link: &mut Link,
        callees: &mut Vec<Callee>,
    ) -> bool {
        let Some(machine) = &mut self.machine else { return false };
        let Some(plan) = self.plans.pop() else { return false };
        let Ok(branch) = add(machine) else { return false };
        if link.below(2) == 0 {
            machine.mark_spare(branch);
        }
        assert_eq!(branch.index(), callees.len());
        callees.push(Callee::new(branch.index(), self.kind, self.reliable, plan));
        to_callee(branch.index(), Message::Request, now, link);
        true
    }

    fn act(
        &mut self,
        actions: Actions,
        at_hand: Option<Message>,
        now: u64,
        link: &mut Link,
        callees: &mut Vec<Callee>,
    ) {
        let mut failing_over = Vec::new();
        for action in actions {
            assert!(!self.destroyed, "{action:?} after Destroy");
            match action {
                Action::SendRequest(branch) => to_callee(branch.index(), Message::Request, now, link),
                Action::SendAck(branch) => to_callee(branch.index(), Message::Ack, now, link),
                Action::SendCancel(branch) | Action::ResendCancel(branch) => {
                    to_callee(branch.index(), Message::Cancel, now, link);
                }
                Action::ForwardReply { branch, status } => {
                    self.keep(Message::Reply(status, Some(branch.index())), now, link);
                }
                Action::ForwardUnavailable(branch) => {
                    self.keep(Message::Reply(500, Some(branch.index())), now, link);
                }
                Action::PassReply { .. } => to_caller(at_hand.unwrap(), now, link),
                Action::SendReply(status) | Action::GenerateReply(status) => {
                    self.keep(Message::Reply(status, None), now, link);
                }
                Action::ResendReply => to_caller(self.kept.unwrap(), now, link),
                Action::BranchEnded { branch, status, .. } if status >= 300 => {
                    self.failed.push(branch.index());
                }
                Action::BranchEnded { .. } => {}
                Action::FailOver(branch) => failing_over.push(branch),
                Action::Failed { .. } => self.failure_route(now, link, callees),
                Action::Destroy => self.destroyed = true,
            }
        }
        for branch in failing_over {
            self.fail_over(branch, now, link, callees);
        }
    }

    fn fail_over(&mut self, failed: BranchId, now: u64, link: &mut Link, callees: &mut Vec<Callee>) {
        // Or the worker died.
        if link.below(8) > 0 {
            let reliable = self.reliable;
            let replaced = self.start(|machine| machine.replace(failed, reliable, now), now, link, callees);
            let mut out = Actions::new();
            if !replaced {
                self.machine.as_mut().unwrap().keep_failure(failed, now, &mut out);
            }
            self.act(out, None, now, link, callees);
        }
    }

    fn failure_route(&mut self, now: u64, link: &mut Link, callees: &mut Vec<Callee>) {
        let mut out = Actions::new();
        match link.below(8) {
            0 => drop(self.machine.as_mut().unwrap().local_reply(480, now, &mut out)),
            // The worker died.
            1 => return,
            _ => drop(self.try_next(now, link, callees)),
        }
        self.machine.as_mut().unwrap().conclude(now, &mut out);
        self.act(out, None, now, link, callees);
    }

    fn keep(&mut self, message: Message, now: u64, link: &mut Link) {
        if matches!(message, Message::Reply(200.., _)) {
            assert_eq!(self.answered_at, None, "a second final reply");
            self.answered_at = Some(now);
        }
        self.kept = Some(message);
        to_caller(message, now, link);
    }
}

fn to_caller(message: Message, now: u64, link: &mut Link) {
    link.send(Party::Proxy(None), Party::Caller, message, now);
}

fn to_callee(branch: usize, message: Message, now: u64, link: &mut Link) {
    link.send(Party::Proxy(Some(branch)), Party::Callee(branch), message, now);
}
