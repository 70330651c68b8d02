//! A destination's next hop: RFC 3263 section 4.3. A branch whose hop does not answer, or cannot be sent to, or says 503,
//! gives its place to another branch, and neither the failure route nor the caller hears of it.

use super::action::{Actions, Refused};
use super::state::{Alarm, Branch, BranchId, Kind, MAX_BRANCHES, Machine, Spare, Tick};

impl Machine {
    /// The branch's destination has another hop, should this one fail.
    pub fn mark_spare(&mut self, branch: BranchId) {
        if let Some(branch) = self.branches.get_mut(branch.index())
            && branch.is_pending()
        {
            branch.spare = Spare::There;
        }
    }

    /// Adds a branch in the place of one whose hop has failed; the caller sends its request at once. Late replies to the
    /// former are dealt with as those of any branch that has ended.
    ///
    /// # Errors
    /// [`Refused::NotFailed`], or as [`add_branch`](Self::add_branch). Then call [`keep_failure`](Self::keep_failure).
    pub fn replace(&mut self, failed: BranchId, reliable: bool, now: u64) -> Result<BranchId, Refused> {
        let at = failed.index();
        if !self.branches.get(at).is_some_and(Branch::wants_hop) {
            return Err(Refused::NotFailed);
        }
        let id = self.add_branch(reliable, now)?;
        let minor = self.branches.get_mut(at).is_some_and(|branch| {
            branch.spare = Spare::Taken;
            branch.minor
        });
        if minor {
            self.mark_minor(id);
        }
        self.wait_no_longer_than_needed();
        Ok(id)
    }

    /// No other hop will do: the failure counts after all. At other times it does nothing.
    pub fn keep_failure(&mut self, branch: BranchId, now: u64, out: &mut Actions) {
        let Some(branch) = self.branches.get_mut(branch.index()).filter(|branch| branch.wants_hop()) else {
            return;
        };
        branch.spare = Spare::None;
        self.wait_no_longer_than_needed();
        let now = self.tick(now);
        self.resolve(now, out);
        self.settle(out);
    }

    /// Whether another hop may be tried: not for a caller who has an answer, has cancelled, or has given up himself.
    pub(super) fn may_fail_over(&self, now: Tick) -> bool {
        let gone = self.rules.kind == Kind::NonInvite && now >= self.rules.timers.client_lifetime();
        !(self.is_answered() || self.cancelled || self.declined || gone)
            && usize::from(self.count) < MAX_BRANCHES
    }

    /// No branch waits for another hop any more; `change` is done to those that did.
    pub(super) fn drop_failovers(&mut self, change: impl Fn(&mut Branch)) {
        self.failing_over = Alarm::NEVER;
        for branch in self.branches.iter_mut().filter(|branch| branch.wants_hop()) {
            branch.spare = Spare::None;
            change(branch);
        }
    }

    fn wait_no_longer_than_needed(&mut self) {
        if !self.branches.iter().any(Branch::wants_hop) {
            self.failing_over = Alarm::NEVER;
        }
    }
}
