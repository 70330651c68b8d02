//! One branch: the client transactions of RFC 3261 section 17.1 with RFC 6026, and the CANCEL of section 9.1 as a
//! sub-state, for a CANCEL has no life apart from the INVITE it ends.

use super::action::{Action, Actions};
use super::state::{Alarm, Branch, BranchId, BranchState, Cancel, CancelCause, Kind, Rules, Spare, Tick};

/// What a step of a branch is given: which one it is, when, by which rules, and where actions go.
pub(super) struct Step<'a> {
    pub(super) id: BranchId,
    pub(super) now: Tick,
    pub(super) rules: &'a Rules,
    pub(super) out: &'a mut Actions,
}

/// What a final reply was to a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Its outcome.
    Outcome,
    /// A 2xx to an INVITE after the outcome.
    AnswerAgain,
    /// Nothing that anybody else should know.
    Absorbed,
}

impl Branch {
    /// What fills the places of branches not made.
    pub(super) const NONE: Branch = Branch {
        state: BranchState::Terminated,
        cancel: Cancel::No,
        cause: CancelCause::Server,
        reliable: true,
        local: false,
        heard: false,
        minor: false,
        spare: Spare::None,
        status: 0,
        interval: 0,
        retransmit: Alarm::NEVER,
        limit: Alarm::NEVER,
    };

    /// A branch whose request the caller sends now.
    pub(super) fn start(reliable: bool, now: Tick, rules: &Rules) -> Self {
        let mut branch = Branch {
            state: BranchState::Calling,
            reliable,
            limit: Alarm::after(now, rules.timers.fr),
            ..Self::NONE
        };
        branch.start_retransmission(now, rules);
        branch
    }

    pub(super) fn is_pending(&self) -> bool {
        matches!(self.state, BranchState::Calling | BranchState::Proceeding)
    }

    /// No reply of any kind has come.
    pub(super) fn is_unheard(&self) -> bool {
        self.state == BranchState::Calling
    }

    /// Its hop has failed, and there is another one.
    pub(super) fn wants_hop(&self) -> bool {
        self.spare == Spare::Wanted
    }

    /// A 1xx.
    pub(super) fn provisional(&mut self, status: u16, step: &mut Step<'_>) {
        let timers = &step.rules.timers;
        match (self.state, step.rules.kind) {
            (BranchState::Calling, Kind::Invite) => {
                self.state = BranchState::Proceeding;
                self.retransmit = Alarm::NEVER;
                self.limit = Alarm::after(step.now, timers.fr_inv);
            }
            (BranchState::Calling, Kind::NonInvite) => self.state = BranchState::Proceeding,
            // RFC 3261 section 16.7 step 2: a 100 does not count.
            (BranchState::Proceeding, Kind::Invite)
                if status > 100 && step.rules.policy.restart_fr_inv && self.cancel == Cancel::No =>
            {
                self.limit = Alarm::after(step.now, timers.fr_inv);
            }
            _ => {}
        }
        if self.cancel == Cancel::Wanted {
            self.send_cancel(step);
        }
    }

    /// A 2xx to 6xx.
    pub(super) fn final_reply(&mut self, status: u16, step: &mut Step<'_>) -> Received {
        match step.rules.kind {
            Kind::Invite if status < 300 => self.answered(status, step),
            Kind::Invite => {
                step.out.push(Action::SendAck(step.id));
                let awaited = self.state == BranchState::Completed && self.local;
                let outcome = self.is_pending().then(|| self.conclude(status, false));
                if outcome.is_some() || awaited {
                    self.linger(step.rules.timers.wait, step.now);
                }
                if outcome.is_some() { Received::Outcome } else { Received::Absorbed }
            }
            Kind::NonInvite if self.is_pending() => {
                self.conclude(status, false);
                self.linger(step.rules.timers.t4, step.now);
                Received::Outcome
            }
            Kind::NonInvite => Received::Absorbed,
        }
    }

    /// A reply to this branch's CANCEL.
    pub(super) fn cancel_reply(&mut self, status: u16, step: &Step<'_>) {
        if self.cancel != Cancel::Sent {
            return;
        }
        if status < 200 {
            self.interval = step.rules.timers.t2;
        } else {
            self.cancel = Cancel::Over;
            self.retransmit = Alarm::NEVER;
        }
    }

    /// Sends a CANCEL as soon as that is allowed; to a branch that has ended, or not an INVITE's, it does nothing.
    pub(super) fn request_cancel(&mut self, cause: CancelCause, step: &mut Step<'_>) {
        if step.rules.kind == Kind::NonInvite {
            return;
        }
        if self.cancel == Cancel::No {
            self.cause = cause;
        }
        match (self.state, self.cancel) {
            (BranchState::Calling, Cancel::No) => self.cancel = Cancel::Wanted,
            (BranchState::Proceeding, Cancel::No) => self.send_cancel(step),
            _ => {}
        }
    }

    /// Ends a pending branch with a status of our own, and what it began downstream with a CANCEL. True if it was
    /// pending.
    pub(super) fn give_up(&mut self, status: u16, step: &mut Step<'_>) -> bool {
        if !self.is_pending() {
            return false;
        }
        let (before, retransmit) = (self.state, self.retransmit);
        self.conclude(status, true);
        match (step.rules.kind, before, self.cancel) {
            (Kind::NonInvite, ..) => self.terminate(),
            // The CANCEL goes on, and the final reply that it brings wants its ACK.
            (Kind::Invite, _, Cancel::Sent) => {
                self.retransmit = retransmit;
                self.limit = Alarm::after(step.now, step.rules.timers.client_lifetime());
            }
            (Kind::Invite, _, Cancel::Over) => {
                self.limit = Alarm::after(step.now, step.rules.timers.wait);
            }
            (Kind::Invite, BranchState::Proceeding, _) => self.send_cancel(step),
            // The callee may yet wake up: it is cancelled then.
            (Kind::Invite, ..) => {
                self.cancel = Cancel::Wanted;
                self.limit = Alarm::after(step.now, step.rules.timers.wait);
            }
        }
        true
    }

    /// Ends a pending branch whose request never left, or whose connection is gone. True if it was pending.
    pub(super) fn abort(&mut self, status: u16) -> bool {
        let pending = self.is_pending();
        if pending {
            self.conclude(status, true);
            self.terminate();
        }
        pending
    }

    /// Serves what is due. True if the branch timed out, and so has its outcome.
    pub(super) fn expire(&mut self, step: &mut Step<'_>) -> bool {
        let timed_out = self.limit.is_due(step.now) && self.time_out(step);
        if self.retransmit.is_due(step.now) {
            self.send_again(step);
        }
        timed_out
    }

    /// The state has lasted long enough. True if the branch was pending.
    fn time_out(&mut self, step: &mut Step<'_>) -> bool {
        if self.cancel == Cancel::No {
            self.cause = CancelCause::NoAnswer;
        }
        let was_pending = self.give_up(408, step);
        if !was_pending {
            self.terminate();
        }
        was_pending
    }

    /// The next moment `expire` has work.
    pub(super) fn alarm(&self) -> Alarm {
        self.retransmit.min(self.limit)
    }

    fn answered(&mut self, status: u16, step: &Step<'_>) -> Received {
        if self.is_pending() {
            self.conclude(status, false);
            self.state = BranchState::Accepted;
            self.limit = Alarm::after(step.now, step.rules.timers.wait);
            return Received::Outcome;
        }
        // An answer after the branch has failed or timed out is dropped, as recorded: the caller has another answer.
        if self.state == BranchState::Accepted { Received::AnswerAgain } else { Received::Absorbed }
    }

    fn conclude(&mut self, status: u16, local: bool) {
        let is_wanted = self.cancel == Cancel::No && status != 487;
        let hop_failed = if local { self.is_unheard() && is_wanted } else { status == 503 };
        self.spare = match self.spare {
            Spare::There if hop_failed => Spare::Wanted,
            Spare::Taken => Spare::Taken,
            _ => Spare::None,
        };
        self.heard = !local || self.state == BranchState::Proceeding;
        self.status = status;
        self.local = local;
        self.state = BranchState::Completed;
        self.retransmit = Alarm::NEVER;
        self.limit = Alarm::NEVER;
        if !local {
            self.forget_cancel();
        }
    }

    /// Timers D and K.
    fn linger(&mut self, time: u32, now: Tick) {
        self.forget_cancel();
        self.retransmit = Alarm::NEVER;
        if self.reliable || time == 0 {
            self.terminate();
        } else {
            self.limit = Alarm::after(now, time);
        }
    }

    fn forget_cancel(&mut self) {
        if self.cancel != Cancel::No {
            self.cancel = Cancel::Over;
        }
    }

    fn terminate(&mut self) {
        self.state = BranchState::Terminated;
        self.forget_cancel();
        self.retransmit = Alarm::NEVER;
        self.limit = Alarm::NEVER;
    }

    /// RFC 3261 section 9.1: it is retransmitted until answered, and the INVITE is given 64·T1 to end by it, or what is
    /// left of its own time if that is less.
    fn send_cancel(&mut self, step: &mut Step<'_>) {
        step.out.push(Action::SendCancel(step.id));
        self.cancel = Cancel::Sent;
        self.start_retransmission(step.now, step.rules);
        self.limit = self.limit.min(Alarm::after(step.now, step.rules.timers.client_lifetime()));
    }

    fn start_retransmission(&mut self, now: Tick, rules: &Rules) {
        if !self.reliable {
            self.interval = rules.timers.t1;
            self.retransmit = Alarm::after(now, self.interval);
        }
    }

    /// Timers A and E, and the CANCEL's E.
    fn send_again(&mut self, step: &mut Step<'_>) {
        let t2 = step.rules.timers.t2;
        let doubled = self.interval.saturating_mul(2);
        if self.cancel == Cancel::Sent {
            step.out.push(Action::ResendCancel(step.id));
            self.interval = doubled.min(t2);
        } else {
            step.out.push(Action::SendRequest(step.id));
            self.interval = match (step.rules.kind, self.state) {
                (Kind::Invite, _) => doubled,
                (Kind::NonInvite, BranchState::Proceeding) => t2,
                (Kind::NonInvite, _) => doubled.min(t2),
            };
        }
        self.retransmit = Alarm::after(step.now, self.interval);
    }
}
