//! The choice of the best reply, RFC 3261 section 16.7 step 6, as OpenSIPS 3.4 was recorded to make it.

use super::state::{Branch, BranchId, MAX_BRANCHES, Machine, Spare};

impl Machine {
    /// The best failure of the present round: `None` before a branch has failed.
    pub(super) fn best(&self) -> Option<(BranchId, Branch)> {
        self.best_of(|branch| !branch.minor).or_else(|| self.best_of(|_| true))
    }

    /// The first branch of all rounds that failed as `best` did: its reply goes upstream, as recorded of branches that were
    /// tried one after the other.
    pub(super) fn first_like(&self, best: BranchId, status: u16) -> BranchId {
        let alike =
            |branch: &Branch| branch.status == status && !branch.local && branch.spare != Spare::Taken;
        self.made().iter().position(alike).and_then(BranchId::from_index).unwrap_or(best)
    }

    fn best_of(&self, counts: impl Fn(&Branch) -> bool) -> Option<(BranchId, Branch)> {
        let round = usize::from(self.round)..usize::from(self.count).min(MAX_BRANCHES);
        round
            .filter_map(|index| Some((BranchId::from_index(index)?, *self.branches.get(index)?)))
            .filter(|(_, branch)| branch.status >= 300 && branch.spare != Spare::Taken && counts(branch))
            .min_by_key(|(_, branch)| rank(branch.status, self.cancelled))
    }
}

/// Smaller is better: 6xx, then the lowest status. But a 408 loses to every other 3xx and 4xx, a 503 to everything else, and
/// when the caller has cancelled, a 487 confirms that. Of equal ones the first branch wins.
fn rank(status: u16, cancelled: bool) -> (u8, u16) {
    match status {
        600.. => (0, 0),
        487 if cancelled => (1, 0),
        408 => (3, 0),
        503 => (5, 0),
        300..500 => (2, status),
        _ => (4, status),
    }
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn the_order_is_the_recorded_one() {
        let from_best = [603, 300, 302, 400, 401, 404, 407, 480, 486, 487, 408, 500, 504, 503];
        assert!(from_best.is_sorted_by_key(|&status| rank(status, false)));
        let from_best = [603, 487, 300, 486, 408, 500, 503];
        assert!(from_best.is_sorted_by_key(|&status| rank(status, true)));
        assert_eq!(rank(603, false), rank(600, false));
    }
}
