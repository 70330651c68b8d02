//! Over how many of its workers the traffic of a listening address is spread: pure.
//!
//! Few messages are served fastest by few processes: a worker that is awake already has its code and records at hand
//! and takes what arrived meanwhile in one system call, where a sleeping one has to be woken for each message. So the
//! kernel is told to use as many workers as the load needs, and all of them when it needs all.

/// Load of one worker, in percent, that asks for another one.
const ENOUGH: u32 = 40;
/// Looks in a row that have to ask for fewer workers before there are fewer.
const PATIENCE: u32 = 5;

/// The state of one listening address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spreading {
    active: usize,
    calm: u32,
}

impl Spreading {
    /// Begins with `active` workers.
    pub(crate) fn new(active: usize) -> Self {
        Self { active, calm: 0 }
    }

    /// Takes the loads of all workers of the address, summed up, in percent of one. Returns the number of workers to
    /// spread over when it is to change: more at once, fewer only when it has been quiet for a while.
    pub(crate) fn decide(&mut self, workers: usize, load: u32) -> Option<usize> {
        let needed = (load.div_ceil(ENOUGH) as usize).clamp(1, workers.max(1));
        if needed >= self.active {
            self.calm = 0;
            return (needed > self.active).then(|| self.become_active(needed));
        }
        self.calm += 1;
        (self.calm >= PATIENCE).then(|| self.become_active(needed))
    }

    /// There are only `workers` left. Returns their number when it was spread over more.
    pub(crate) fn limit(&mut self, workers: usize) -> Option<usize> {
        (self.active > workers.max(1)).then(|| self.become_active(workers.max(1)))
    }

    fn become_active(&mut self, active: usize) -> usize {
        (self.active, self.calm) = (active, 0);
        active
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_at_once_and_fewer_after_a_while() {
        let mut spreading = Spreading::new(1);
        assert_eq!(spreading.decide(4, 10), None);
        assert_eq!(spreading.decide(4, 90), Some(3));
        assert_eq!(spreading.decide(4, 1000), Some(4));
        for _ in 1..PATIENCE {
            assert_eq!(spreading.decide(4, 10), None);
        }
        assert_eq!(spreading.decide(4, 10), Some(1));
    }

    #[test]
    fn a_short_calm_changes_nothing() {
        let mut spreading = Spreading::new(2);
        for _ in 0..20 {
            assert_eq!(spreading.decide(2, 10), None);
            assert_eq!(spreading.decide(2, 70), None);
        }
    }

    #[test]
    fn who_leaves_gets_nothing_more_at_once() {
        let mut spreading = Spreading::new(1);
        assert_eq!(spreading.decide(4, 400), Some(4));
        assert_eq!(spreading.limit(4), None);
        assert_eq!(spreading.limit(3), Some(3));
        assert_eq!(spreading.decide(3, 400), None);
        assert_eq!(spreading.limit(0), Some(1));
    }

    #[test]
    fn there_is_always_one() {
        let mut spreading = Spreading::new(1);
        assert_eq!(spreading.decide(0, 0), None);
    }
}
