//! The choice of the best reply: RFC 3261 section 16.7 step 6.

use super::state::{Branch, BranchId, MAX_BRANCHES, Machine, Spare};

impl Machine {
    /// The best failure of the present round: `None` before a branch has failed.
    pub(super) fn best(&self) -> Option<(BranchId, Branch)> {
        self.best_of(|branch| !branch.minor).or_else(|| self.best_of(|_| true))
    }

    fn best_of(&self, counts: impl Fn(&Branch) -> bool) -> Option<(BranchId, Branch)> {
        let round = usize::from(self.round)..usize::from(self.count).min(MAX_BRANCHES);
        round
            .filter_map(|index| Some((BranchId::from_index(index)?, *self.branches.get(index)?)))
            .filter(|(_, branch)| branch.status >= 300 && branch.spare != Spare::Taken && counts(branch))
            .min_by_key(|(_, branch)| rank(branch.status))
    }
}

/// Smaller is better: 6xx, then the lowest class; in it those that tell the caller what to change, then the lowest.
fn rank(status: u16) -> (u16, bool, u16) {
    let class = if status >= 600 { 0 } else { status / 100 };
    (class, !matches!(status, 401 | 407 | 415 | 420 | 484), status)
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn rfc3261_16_7_6_order() {
        let from_best =
            [600, 603, 606, 300, 302, 401, 407, 415, 420, 484, 400, 404, 408, 480, 486, 487, 500, 503];
        assert!(from_best.is_sorted_by_key(|&status| rank(status)));
    }
}
