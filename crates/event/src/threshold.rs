//! When a memory percentage is worth an event: `E_CORE_PKG_THRESHOLD` and `E_CORE_SHM_THRESHOLD`.
//!
//! At or above the threshold every change of the whole percentage is reported, up or down. Below it, one last event says
//! that the usage fell, unless the event before it reported exactly the threshold. With a hysteresis it is reported at the
//! crossing, then only when it has moved by so many percent since, and always once when it has fallen back.
//!
//! [`Edge`] is a plain value: each process keeps one for its private memory, and [`SharedEdge`] keeps the one of the
//! shared memory for all of them.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use tocsin_shm::ShmSafe;

/// When a percentage is reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Percent from which on it is reported; 0 switches it off.
    pub threshold: u8,
    /// Percent by which it must have moved to be reported again; 0: every change is reported.
    pub hysteresis: u8,
}

/// The state of one threshold: the percentage seen last, and the one reported last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    seen: u8,
    reported: u8,
}

impl Edge {
    /// Takes a percentage, and says whether to raise an event.
    pub fn observe(&mut self, rule: Rule, usage: u8) -> bool {
        let changed = usage != self.seen;
        self.seen = usage;
        let report = rule.threshold != 0 && changed && self.is_worth(rule, usage);
        if report {
            self.reported = usage;
        }
        report
    }

    fn is_worth(&self, Rule { threshold, hysteresis }: Rule, usage: u8) -> bool {
        if hysteresis == 0 {
            usage >= threshold || self.reported > threshold
        } else if self.reported < threshold {
            usage >= threshold
        } else {
            usage.abs_diff(self.reported) >= hysteresis || usage < threshold
        }
    }
}

/// One [`Edge`] for all processes; lies in shared memory. One of the processes that see a change reports it.
#[derive(Debug, Default, ShmSafe)]
pub struct SharedEdge(AtomicU32);

impl SharedEdge {
    /// As [`Edge::observe`]; among processes that observe at the same time, one has to raise. `measure` reads the percentage:
    /// it is asked again when another process observes in between, so that no process reports what was true before.
    pub fn observe(&self, rule: Rule, mut measure: impl FnMut() -> u8) -> bool {
        let mut before = self.0.load(Acquire);
        loop {
            let [seen, reported, ..] = before.to_le_bytes();
            let mut edge = Edge { seen, reported };
            let report = edge.observe(rule, measure());
            let after = u32::from_le_bytes([edge.seen, edge.reported, 0, 0]);
            if after == before {
                return report;
            }
            match self.0.compare_exchange_weak(before, after, AcqRel, Acquire) {
                Ok(_) => return report,
                Err(now) => before = now,
            }
        }
    }
}

/// The whole percentage of `used` in `size`, 100 at most; 0 when `size` is 0.
pub fn percentage(used: u64, size: u64) -> u8 {
    if size == 0 {
        return 0;
    }
    // Cannot exceed 100, so the narrowing loses nothing.
    (u128::from(used) * 100 / u128::from(size)).min(100) as u8
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn reported(threshold: u8, usages: &[u8]) -> Vec<u8> {
        reported_by(Rule { threshold, hysteresis: 0 }, usages)
    }

    fn reported_by(rule: Rule, usages: &[u8]) -> Vec<u8> {
        let mut edge = Edge::default();
        let shared = SharedEdge::default();
        usages
            .iter()
            .copied()
            .filter(|&usage| {
                let report = edge.observe(rule, usage);
                assert_eq!(shared.observe(rule, || usage), report, "shared and private differ at {usage}");
                report
            })
            .collect()
    }

    #[test]
    fn shared_memory_rises_and_falls_as_recorded() {
        let usages =
            [10, 11, 12, 13, 13, 14, 15, 15, 16, 17, 18, 18, 17, 16, 15, 15, 14, 13, 13, 12, 11, 10, 10];
        assert_eq!(reported(13, &usages), [13, 14, 15, 16, 17, 18, 17, 16, 15, 14, 13]);
    }

    #[test]
    fn private_memory_falls_past_the_threshold_as_recorded() {
        let usages = [20, 26, 24, 26, 27, 26, 27, 29, 27, 29, 30, 29, 27, 26, 24, 23, 20];
        assert_eq!(reported(25, &usages), [26, 24, 26, 27, 26, 27, 29, 27, 29, 30, 29, 27, 26, 24]);
    }

    #[test]
    fn below_is_told_once() {
        assert_eq!(reported(50, &[60, 40, 39, 41, 49]), [60, 40]);
        // Falling from exactly the threshold is not reported, rising to it again is.
        assert_eq!(reported(50, &[50, 49, 50, 49]), [50, 50]);
    }

    #[test]
    fn with_a_hysteresis_a_pager_rings_at_the_crossing_and_at_the_end() {
        let rule = Rule { threshold: 80, hysteresis: 5 };
        let usages = [79, 80, 81, 82, 84, 85, 86, 85, 91, 90, 87, 86, 85, 81, 80, 79, 78, 79, 80, 79];
        assert_eq!(reported_by(rule, &usages), [80, 85, 91, 86, 81, 79, 80, 79]);
        // A fall from the crossing itself is raised, too: it says that the alarm is over.
        assert_eq!(reported_by(rule, &[80, 79, 70, 85, 10]), [80, 79, 85, 10]);
    }

    proptest! {
        #[test]
        fn with_a_hysteresis_the_last_word_says_the_side(usages in vec(0_u8..=100, 1..200), hysteresis in 1_u8..50) {
            let rule = Rule { threshold: 50, hysteresis };
            let mut edge = Edge::default();
            let mut last = 0;
            for usage in usages {
                if edge.observe(rule, usage) {
                    last = usage;
                }
                prop_assert_eq!(last >= 50, usage >= 50);
                prop_assert!(usage < 50 || usage.abs_diff(last) < hysteresis);
            }
        }
    }

    #[test]
    fn zero_switches_it_off() {
        assert_eq!(reported(0, &[10, 90, 100, 0]), [0_u8; 0]);
    }

    #[test]
    fn percentages_are_cut() {
        for (used, size, percent) in [
            (979_240, 8_388_608, 11),
            (0, 0, 0),
            (99, 100, 99),
            (100, 100, 100),
            (300, 100, 100),
            (u64::MAX, u64::MAX, 100),
        ] {
            assert_eq!(percentage(used, size), percent);
        }
    }
}
