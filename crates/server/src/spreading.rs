//! Which of its workers share the traffic of a listening address: pure.
//!
//! Few messages are served fastest by few processes: a worker that is awake already has its code and records at hand
//! and takes what arrived meanwhile in one system call, where a sleeping one has to be woken for each message. So the
//! kernel uses as many workers as the load needs, and all of them when it needs all.

/// Load of one worker, in percent, that asks for another one.
const ENOUGH: u32 = 40;
/// Looks in a row that have to ask for fewer workers before there are fewer.
const PATIENCE: u32 = 5;

/// The state of one listening address.
#[derive(Debug, Clone)]
pub(crate) struct Spreading {
    /// How many workers the load needs.
    needed: usize,
    /// Looks in a row that asked for fewer.
    calm: u32,
    /// The workers in use, by their index, in ascending order.
    active: Vec<usize>,
}

impl Spreading {
    /// Begins with the first worker alone.
    pub(crate) fn new() -> Self {
        Self { needed: 1, calm: 0, active: vec![0] }
    }

    /// Takes the load of all workers of the address, summed up, in percent of one: more workers are needed at once, fewer
    /// only when it has been quiet for a while.
    pub(crate) fn observe(&mut self, load: u32) {
        let needed = (load.div_ceil(ENOUGH) as usize).max(1);
        if needed >= self.needed {
            (self.needed, self.calm) = (needed, 0);
            return;
        }
        self.calm += 1;
        if self.calm >= PATIENCE {
            (self.needed, self.calm) = (needed, 0);
        }
    }

    /// Takes the workers that can be used, in ascending order. Returns those to use from now on if they are others than
    /// before: as many as are needed, first those in use already. With nobody to choose from nothing changes.
    pub(crate) fn settle(&mut self, available: &[usize]) -> Option<&[usize]> {
        if available.is_empty() {
            return None;
        }
        let in_use = |index: &&usize| self.active.contains(index);
        let (kept, others): (Vec<usize>, Vec<usize>) = available.iter().partition(in_use);
        let mut active: Vec<usize> = kept.into_iter().chain(others).take(self.needed).collect();
        active.sort_unstable();
        if active == self.active {
            return None;
        }
        self.active = active;
        Some(&self.active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(spreading: &mut Spreading, load: u32, available: &[usize]) -> Option<Vec<usize>> {
        spreading.observe(load);
        spreading.settle(available).map(<[usize]>::to_vec)
    }

    #[test]
    fn more_at_once_and_fewer_after_a_while() {
        const ALL: &[usize] = &[0, 1, 2, 3];
        let mut spreading = Spreading::new();
        assert_eq!(after(&mut spreading, 10, ALL), None);
        assert_eq!(after(&mut spreading, 90, ALL), Some(vec![0, 1, 2]));
        assert_eq!(after(&mut spreading, 1000, ALL), Some(vec![0, 1, 2, 3]));
        for _ in 1..PATIENCE {
            assert_eq!(after(&mut spreading, 10, ALL), None);
        }
        assert_eq!(after(&mut spreading, 10, ALL), Some(vec![0]));
    }

    #[test]
    fn a_short_calm_changes_nothing() {
        let mut spreading = Spreading::new();
        assert_eq!(after(&mut spreading, 70, &[0, 1]), Some(vec![0, 1]));
        for _ in 0..20 {
            assert_eq!(after(&mut spreading, 10, &[0, 1]), None);
            assert_eq!(after(&mut spreading, 70, &[0, 1]), None);
        }
    }

    #[test]
    fn a_worker_that_cannot_be_used_gets_nothing_more_at_once() {
        let mut spreading = Spreading::new();
        assert_eq!(spreading.settle(&[1, 2, 3]), Some(&[1][..]), "the one in use stands still");
        assert_eq!(spreading.settle(&[0, 1, 2, 3]), None, "another one serves just as well");
        assert_eq!(after(&mut spreading, 400, &[0, 1, 2, 3]), Some(vec![0, 1, 2, 3]));
        assert_eq!(spreading.settle(&[0, 1, 3]), Some(&[0, 1, 3][..]));
        assert_eq!(spreading.settle(&[0, 1, 3, 4]), Some(&[0, 1, 3, 4][..]), "a successor beside it");
    }

    #[test]
    fn with_nobody_to_choose_from_nothing_changes() {
        let mut spreading = Spreading::new();
        assert_eq!(after(&mut spreading, 400, &[]), None);
        assert_eq!(spreading.settle(&[2]), Some(&[2][..]));
    }
}
