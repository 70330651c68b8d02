//! The inputs of a machine, and the response context of RFC 3261 sections 16.7 to 16.10: what a reply on one branch
//! means for the caller and for the other branches.

use super::action::{Action, Actions, Refused};
use super::branch::{Received, Step};
use super::state::{
    Alarm, Branch, BranchId, BranchState, CancelCause, Kind, MAX_BRANCHES, Machine, Policy, Rules, Server,
    ServerState, Spare, Tick, Timers,
};

impl Machine {
    /// The transaction of a request received at `now`, without branches. `reliable`: it came over TCP, TLS, WS or
    /// WSS, so its replies are not repeated. `timers` are copied.
    pub fn new(kind: Kind, reliable: bool, now: u64, timers: &Timers) -> Self {
        let rules = Rules { kind, timers: *timers, policy: Policy::default() };
        Machine {
            born: now,
            rules,
            server: Server::start(reliable, &rules),
            branches: [Branch::NONE; MAX_BRANCHES],
            count: 0,
            round: 0,
            awaited: 0,
            awaiting: Alarm::NEVER,
            failing_over: Alarm::NEVER,
            undecided: false,
            cancelled: false,
            declined: false,
            destroyed: false,
        }
    }

    /// The same with another policy than the default one.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.rules.policy = policy;
        self
    }

    /// Changes the policy from here on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.rules.policy = policy;
    }

    /// Changes `fr` and `fr_inv`, in milliseconds, for what is started from here on: new branches, and the first
    /// provisional reply of those there are (`$T_fr_timeout`, `$T_fr_inv_timeout`).
    pub fn set_final_timeouts(&mut self, fr: u32, fr_inv: u32) {
        self.rules.timers.fr = fr;
        self.rules.timers.fr_inv = fr_inv;
    }

    /// Adds a branch, whose request the caller sends at once. In the failure route this starts a new round: the
    /// failures before it no longer count for the best reply.
    ///
    /// # Errors
    /// [`Refused::Answered`], [`Refused::Cancelled`], [`Refused::Declined`] or [`Refused::Full`].
    pub fn add_branch(&mut self, reliable: bool, now: u64) -> Result<BranchId, Refused> {
        if self.is_answered() {
            return Err(Refused::Answered);
        }
        if self.cancelled {
            return Err(Refused::Cancelled);
        }
        if self.declined {
            return Err(Refused::Declined);
        }
        let now = self.tick(now);
        let id = BranchId(self.count);
        let place = self.branches.get_mut(id.index()).ok_or(Refused::Full)?;
        *place = Branch::start(reliable, now, &self.rules);
        if self.undecided {
            self.undecided = false;
            self.round = self.count;
        }
        self.count += 1;
        self.server.limit = Alarm::NEVER;
        Ok(id)
    }

    /// Adds a branch from outside the transaction (`t_inject_branches`): one less is awaited.
    ///
    /// # Errors
    /// As [`add_branch`](Self::add_branch).
    pub fn inject_branch(&mut self, reliable: bool, now: u64) -> Result<BranchId, Refused> {
        let id = self.add_branch(reliable, now)?;
        if self.awaiting.is_armed() && self.awaited != u8::MAX {
            self.awaited = self.awaited.saturating_sub(1);
            if self.awaited == 0 {
                self.awaiting = Alarm::NEVER;
            }
        }
        Ok(id)
    }

    /// Keeps the transaction open though all branches fail, until `branches` were injected (`None`: without limit),
    /// a success came, or `fr_inv` has passed (`t_wait_for_new_branches`).
    pub fn await_branches(&mut self, branches: Option<u8>, now: u64) {
        if !self.is_answered() && !self.cancelled && branches != Some(0) {
            self.awaited = branches.unwrap_or(u8::MAX);
            self.awaiting = Alarm::after(self.tick(now), self.rules.timers.fr_inv);
        }
    }

    /// Branches may still be injected.
    pub fn awaits_branches(&self) -> bool {
        self.awaiting.is_armed()
    }

    /// Takes [`await_branches`](Self::await_branches) back (`t_wait_no_more_branches`).
    pub fn await_no_more(&mut self, now: u64, out: &mut Actions) {
        if self.awaiting.is_armed() {
            self.awaiting = Alarm::NEVER;
            self.resolve(self.tick(now), out);
        }
    }

    /// The branch's failure is neither waited for nor chosen if others can be: when those have failed it is
    /// cancelled (`minor_branch_flag`).
    pub fn mark_minor(&mut self, branch: BranchId) {
        if let Some(branch) = self.branches.get_mut(branch.index()) {
            branch.minor = true;
        }
    }

    /// The request has come again. Pushes [`Action::ResendReply`] if there is one to send; and [`Action::SendRequest`] for
    /// branches over streams that have not been heard of and whose request has not left, as `has_left` says: no timer
    /// repeats what was lost with its sender. What has left leaves once (RFC 3261 section 17.1.1.2).
    pub fn request_retransmission(&self, has_left: impl Fn(BranchId) -> bool, out: &mut Actions) {
        self.server.request_retransmission(out);
        if self.is_answered() {
            return;
        }
        let unheard = self.made().iter().enumerate().filter(|(_, b)| b.reliable && b.is_unheard());
        let unheard = unheard.filter_map(|(at, _)| BranchId::from_index(at));
        out.extend(unheard.filter(|branch| !has_left(*branch)).map(Action::SendRequest));
    }

    /// The ACK for our final reply has come: the one of this hop for a non-2xx, or the end-to-end one for a 2xx
    /// of our own, which the caller knows by its dialog.
    pub fn ack(&mut self, now: u64, out: &mut Actions) {
        self.server.ack(self.tick(now), &self.rules);
        self.settle(out);
    }

    /// A CANCEL for the INVITE has come (RFC 3261 section 16.10). Pending branches are cancelled, those without any
    /// reply as soon as one comes; an INVITE still in the script's hands gets its 487 now. It changes nothing once
    /// a final reply was sent.
    pub fn cancel(&mut self, now: u64, out: &mut Actions) {
        if self.rules.kind == Kind::NonInvite || self.is_answered() {
            return;
        }
        let now = self.tick(now);
        self.cancelled = true;
        self.awaiting = Alarm::NEVER;
        if self.count == 0 {
            self.generate(487, now, out);
        } else {
            self.cancel_pending(CancelCause::Caller, now, out);
            self.drop_failovers(|branch| (branch.status, branch.local) = (487, true));
            self.resolve(now, out);
        }
        self.settle(out);
    }

    /// Cancels one branch (`t_cancel_branch`).
    pub fn cancel_branch(&mut self, branch: BranchId, now: u64, out: &mut Actions) {
        let now = self.tick(now);
        if let Some((branch, mut step)) = self.step(branch, now, out) {
            branch.request_cancel(CancelCause::Server, &mut step);
        }
    }

    /// A reply of `status` has come on a branch. A status outside 100 to 699 and a branch never made are ignored.
    pub fn reply(&mut self, branch: BranchId, status: u16, now: u64, out: &mut Actions) {
        let now = self.tick(now);
        match status {
            100..200 => self.provisional(branch, status, now, out),
            200..700 => self.final_reply(branch, status, now, out),
            _ => {}
        }
        self.settle(out);
    }

    /// A reply to the CANCEL we sent on a branch has come.
    pub fn cancel_reply(&mut self, branch: BranchId, status: u16, now: u64, out: &mut Actions) {
        let now = self.tick(now);
        if let Some((branch, step)) = self.step(branch, now, out) {
            branch.cancel_reply(status, &step);
        }
    }

    /// The branch's request could not be sent, or its connection is gone: the branch ends with `status` as if that had
    /// come (RFC 3261 section 16.9 says 503; OpenSIPS says 477). Nothing happens if it has ended already, or if the
    /// status is no failure.
    pub fn fail_branch(&mut self, branch: BranchId, status: u16, now: u64, out: &mut Actions) {
        let now = self.tick(now);
        if !(300..700).contains(&status) {
            return;
        }
        let aborted = self.step(branch, now, out).is_some_and(|(branch, _)| branch.abort(status));
        if aborted {
            self.failed(branch, now, out);
        }
        self.settle(out);
    }

    /// The script replies (`t_reply`): pushes [`Action::SendReply`]. A final reply to an INVITE cancels its pending
    /// branches.
    ///
    /// # Errors
    /// [`Refused::Answered`] after a final reply, [`Refused::Late`], [`Refused::BadStatus`]: then nothing may be
    /// sent.
    pub fn local_reply(&mut self, status: u16, now: u64, out: &mut Actions) -> Result<(), Refused> {
        let now = self.tick(now);
        if !(100..700).contains(&status) {
            return Err(Refused::BadStatus);
        }
        if self.is_answered() {
            return Err(Refused::Answered);
        }
        if self.is_late(status, now) {
            return Err(Refused::Late);
        }
        out.push(Action::SendReply(status));
        self.sent(status, true, now);
        if status >= 200 {
            self.cancel_pending(CancelCause::Server, now, out);
        } else if status > 100 && self.count == 0 {
            self.server.hold_for_script(now, &self.rules);
        }
        self.settle(out);
        Ok(())
    }

    /// The failure route has ended, or there is none: if it neither added a branch nor replied, the best reply goes
    /// upstream. Call it after each [`Action::Failed`]; at other times it does nothing.
    pub fn conclude(&mut self, now: u64, out: &mut Actions) {
        let now = self.tick(now);
        self.decide(now, out);
        self.settle(out);
    }

    /// Serves all that is due at `now`; the deadline is in the future afterwards.
    pub fn expire(&mut self, now: u64, out: &mut Actions) {
        let now = self.tick(now);
        for index in 0..usize::from(self.count) {
            let Some(id) = BranchId::from_index(index) else { break };
            let timed_out =
                self.step(id, now, out).is_some_and(|(branch, mut step)| branch.expire(&mut step));
            if timed_out {
                self.failed(id, now, out);
            }
        }
        if self.awaiting.is_due(now) {
            self.awaiting = Alarm::NEVER;
            self.resolve(now, out);
        }
        if self.failing_over.is_due(now) {
            self.drop_failovers(|_| {});
            self.resolve(now, out);
        }
        if self.server.expire(now, &self.rules, out) {
            if self.undecided {
                self.decide(now, out);
            } else {
                self.generate(408, now, out);
            }
        }
        self.settle(out);
    }

    /// The earliest moment [`expire`](Self::expire) has work; `None` when it never will, which is after
    /// [`Action::Destroy`] only.
    pub fn deadline(&self) -> Option<u64> {
        let made = self.branches.iter().take(usize::from(self.count));
        let own = self.server.alarm().min(self.awaiting).min(self.failing_over);
        let earliest = made.map(Branch::alarm).fold(own, Alarm::min);
        earliest.tick().map(|tick| self.born.saturating_add(u64::from(tick)))
    }

    /// The method, as given to [`new`](Self::new).
    pub fn kind(&self) -> Kind {
        self.rules.kind
    }

    /// A final reply has been sent, or will never be.
    pub fn is_answered(&self) -> bool {
        self.server.is_answered()
    }

    /// The final reply was made by this server.
    pub fn is_reply_local(&self) -> bool {
        self.server.local
    }

    /// The status of the last reply sent upstream, if any was.
    pub fn last_status(&self) -> Option<u16> {
        (self.server.status != 0).then_some(self.server.status)
    }

    /// A failure route is to decide: [`Action::Failed`] was said, and since then no branch was added, no reply sent.
    pub fn is_undecided(&self) -> bool {
        self.undecided
    }

    /// The caller has cancelled the INVITE (`t_was_cancelled`).
    pub fn was_cancelled(&self) -> bool {
        self.cancelled
    }

    /// The transaction is over: [`Action::Destroy`] was said.
    pub fn is_destroyed(&self) -> bool {
        self.destroyed
    }

    /// How many branches were made.
    pub fn branch_count(&self) -> usize {
        usize::from(self.count)
    }

    /// A branch's final status; `None` while it has none, or for a branch never made.
    pub fn branch_status(&self, branch: BranchId) -> Option<u16> {
        self.branches.get(branch.index()).map(|branch| branch.status).filter(|&status| status != 0)
    }

    /// Why the branch is cancelled.
    pub fn cancel_cause(&self, branch: BranchId) -> CancelCause {
        self.branches.get(branch.index()).map_or(CancelCause::Server, |branch| branch.cause)
    }

    /// The branch ended without any reply, not even a provisional one (`t_local_replied("all")`).
    pub fn is_branch_local(&self, branch: BranchId) -> bool {
        self.branches.get(branch.index()).is_some_and(|branch| branch.local && !branch.heard)
    }

    /// The last reply was made by this server: that of the branch that counts, or, before there are branches, one that
    /// was sent (`t_local_replied("last")`).
    pub fn is_last_reply_local(&self) -> bool {
        match self.best() {
            Some((_, branch)) => branch.local,
            None => self.branch_count() == 0 && self.last_status().is_some(),
        }
    }

    fn provisional(&mut self, id: BranchId, status: u16, now: Tick, out: &mut Actions) {
        let open = !self.is_answered();
        let invite = self.rules.kind == Kind::Invite;
        let Some((branch, mut step)) = self.step(id, now, out) else { return };
        let pending = branch.is_pending();
        branch.provisional(status, &mut step);
        // A 100 is for one hop; RFC 4320 section 4.1 knows no other 1xx to a non-INVITE.
        if open && pending && invite && status > 100 {
            out.push(Action::ForwardReply { branch: id, status });
            self.sent(status, false, now);
        }
    }

    fn final_reply(&mut self, id: BranchId, status: u16, now: Tick, out: &mut Actions) {
        let Some((branch, mut step)) = self.step(id, now, out) else { return };
        let received = branch.final_reply(status, &mut step);
        match received {
            Received::Absorbed => {}
            Received::Outcome if status >= 300 => self.failed(id, now, out),
            Received::Outcome => {
                out.push(Action::BranchEnded { branch: id, status, local: false });
                self.answer(id, status, now, out);
            }
            Received::AnswerAgain => self.answer(id, status, now, out),
        }
    }

    /// A 2xx goes upstream at once (RFC 3261 section 16.7 step 5), to an INVITE each of them.
    fn answer(&mut self, branch: BranchId, status: u16, now: Tick, out: &mut Actions) {
        if !self.is_answered() {
            out.push(Action::ForwardReply { branch, status });
            self.sent(status, false, now);
            if self.rules.policy.cancel_on_answer {
                self.cancel_pending(CancelCause::Elsewhere, now, out);
            }
        } else if self.rules.kind == Kind::Invite {
            out.push(Action::PassReply { branch, status });
        }
    }

    /// A branch has got a status that is no success.
    fn failed(&mut self, id: BranchId, now: Tick, out: &mut Actions) {
        let may_fail_over = self.may_fail_over(now);
        let Some(branch) = self.branches.get_mut(id.index()) else { return };
        let Branch { status, local, .. } = *branch;
        out.push(Action::BranchEnded { branch: id, status, local });
        if branch.wants_hop() {
            if may_fail_over {
                self.failing_over = self.failing_over.min(Alarm::after(now, self.rules.timers.t2));
                out.push(Action::FailOver(id));
                return;
            }
            branch.spare = Spare::None;
        }
        if status >= 600 && self.rules.policy.block_on_6xx {
            self.declined = true;
            self.awaiting = Alarm::NEVER;
            self.cancel_pending(CancelCause::Server, now, out);
        }
        self.resolve(now, out);
    }

    /// If nothing is left to wait for and nothing was sent, the failure route has the word.
    pub(super) fn resolve(&mut self, now: Tick, out: &mut Actions) {
        let round = self.made().get(usize::from(self.round)..).unwrap_or_default();
        // Where all branches are minor, none is.
        let all_minor = round.iter().all(|branch| branch.minor);
        let goes_on = |branch: &Branch| branch.is_pending() || branch.wants_hop();
        let waits = round.iter().any(|branch| goes_on(branch) && (all_minor || !branch.minor));
        if waits || self.is_answered() || self.undecided || self.awaiting.is_armed() || self.count == 0 {
            return;
        }
        self.give_up_minor(now, out);
        if let Some((branch, Branch { status, local, .. })) = self.best() {
            self.undecided = true;
            self.server.limit = Alarm::after(now, self.rules.timers.client_lifetime());
            out.push(Action::Failed { branch, status, local });
        }
    }

    /// What is still pending when the others have failed is minor.
    fn give_up_minor(&mut self, now: Tick, out: &mut Actions) {
        self.drop_failovers(|_| {});
        for index in 0..usize::from(self.count) {
            let Some(id) = BranchId::from_index(index) else { break };
            let ended =
                self.step(id, now, out).is_some_and(|(branch, mut step)| branch.give_up(487, &mut step));
            if ended {
                out.push(Action::BranchEnded { branch: id, status: 487, local: true });
            }
        }
    }

    /// The best reply goes upstream: the failure route has had its say.
    fn decide(&mut self, now: Tick, out: &mut Actions) {
        if !self.undecided {
            return;
        }
        let Some((branch, Branch { status, local, .. })) = self.best() else { return };
        let branch = self.first_like(branch, status);
        if local {
            self.generate(status, now, out);
        } else if status == 503 && !self.rules.policy.forward_503 {
            out.push(Action::ForwardUnavailable(branch));
            self.sent(500, false, now);
        } else if self.is_late(status, now) {
            self.give_up_answering();
        } else {
            out.push(Action::ForwardReply { branch, status });
            self.sent(status, false, now);
        }
    }

    fn generate(&mut self, status: u16, now: Tick, out: &mut Actions) {
        if self.is_late(status, now) {
            self.give_up_answering();
        } else {
            out.push(Action::GenerateReply(status));
            self.sent(status, true, now);
        }
    }

    fn sent(&mut self, status: u16, local: bool, now: Tick) {
        self.server.sent(status, local, now, &self.rules);
        if status >= 200 {
            self.undecided = false;
            self.awaiting = Alarm::NEVER;
            self.drop_failovers(|_| {});
        }
    }

    /// RFC 4320 section 4.2: no reply at all.
    fn give_up_answering(&mut self) {
        self.undecided = false;
        self.awaiting = Alarm::NEVER;
        self.drop_failovers(|_| {});
        self.server.terminate();
    }

    /// The client of a non-INVITE request gives up after 64·T1; a 408 then would only be a stray reply, and taken
    /// for this server's failure by proxies before it.
    fn is_late(&self, status: u16, now: Tick) -> bool {
        status == 408 && self.rules.kind == Kind::NonInvite && now >= self.rules.timers.client_lifetime()
    }

    fn cancel_pending(&mut self, cause: CancelCause, now: Tick, out: &mut Actions) {
        for index in 0..usize::from(self.count) {
            let Some(id) = BranchId::from_index(index) else { break };
            if let Some((branch, mut step)) = self.step(id, now, out) {
                branch.request_cancel(cause, &mut step);
            }
        }
    }

    /// Ends the machine when nothing keeps it.
    pub(super) fn settle(&mut self, out: &mut Actions) {
        let over = self.server.state == ServerState::Terminated
            && self.made().iter().all(|branch| branch.state == BranchState::Terminated);
        if over && !self.destroyed {
            self.destroyed = true;
            out.push(Action::Destroy);
        }
    }

    /// A branch that was made, while the machine lives, with what it needs for a step.
    fn step<'a>(
        &'a mut self,
        id: BranchId,
        now: Tick,
        out: &'a mut Actions,
    ) -> Option<(&'a mut Branch, Step<'a>)> {
        if self.destroyed || id.0 >= self.count {
            return None;
        }
        let branch = self.branches.get_mut(id.index())?;
        Some((branch, Step { id, now, rules: &self.rules, out }))
    }

    pub(super) fn made(&self) -> &[Branch] {
        self.branches.get(..usize::from(self.count)).unwrap_or(&self.branches)
    }

    pub(super) fn tick(&self, now: u64) -> Tick {
        Tick::try_from(now.saturating_sub(self.born)).unwrap_or(Alarm::LAST).min(Alarm::LAST)
    }
}
