//! When a memory percentage is worth an event: `E_CORE_PKG_THRESHOLD` and `E_CORE_SHM_THRESHOLD`.
//!
//! At or above the threshold every change of the whole percentage is told, up or down. Below it, one last event says
//! that the usage fell, unless the event before it told exactly the threshold. [`Edge`] is a plain value: each process
//! keeps one for its private memory, and [`SharedEdge`] keeps the one of the shared memory for all of them.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tocsin_shm::ShmSafe;

/// The state of one threshold: the percentage seen last, and the one told last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    seen: u8,
    told: u8,
}

impl Edge {
    /// Takes a percentage in, and says whether it is to be told. A threshold of 0 is switched off.
    pub fn observe(&mut self, threshold: u8, usage: u8) -> bool {
        let changed = usage != self.seen;
        self.seen = usage;
        let tell = threshold != 0 && changed && (usage >= threshold || self.told > threshold);
        if tell {
            self.told = usage;
        }
        tell
    }
}

/// One [`Edge`] for all processes; lies in shared memory. One of the processes that see a change tells it.
#[derive(Debug, Default, ShmSafe)]
pub struct SharedEdge(AtomicU32);

impl SharedEdge {
    /// As [`Edge::observe`]; among processes that observe at the same time, one is told to raise.
    pub fn observe(&self, threshold: u8, usage: u8) -> bool {
        let mut before = self.0.load(Relaxed);
        loop {
            let [seen, told, ..] = before.to_le_bytes();
            let mut edge = Edge { seen, told };
            let tell = edge.observe(threshold, usage);
            let after = u32::from_le_bytes([edge.seen, edge.told, 0, 0]);
            if after == before {
                return tell;
            }
            match self.0.compare_exchange_weak(before, after, Relaxed, Relaxed) {
                Ok(_) => return tell,
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
    use super::*;

    fn told(threshold: u8, usages: &[u8]) -> Vec<u8> {
        let mut edge = Edge::default();
        let shared = SharedEdge::default();
        usages
            .iter()
            .copied()
            .filter(|&usage| {
                let tell = edge.observe(threshold, usage);
                assert_eq!(shared.observe(threshold, usage), tell, "shared and private differ at {usage}");
                tell
            })
            .collect()
    }

    #[test]
    fn shared_memory_rises_and_falls_as_recorded() {
        let usages =
            [10, 11, 12, 13, 13, 14, 15, 15, 16, 17, 18, 18, 17, 16, 15, 15, 14, 13, 13, 12, 11, 10, 10];
        assert_eq!(told(13, &usages), [13, 14, 15, 16, 17, 18, 17, 16, 15, 14, 13]);
    }

    #[test]
    fn private_memory_falls_past_the_threshold_as_recorded() {
        let usages = [20, 26, 24, 26, 27, 26, 27, 29, 27, 29, 30, 29, 27, 26, 24, 23, 20];
        assert_eq!(told(25, &usages), [26, 24, 26, 27, 26, 27, 29, 27, 29, 30, 29, 27, 26, 24]);
    }

    #[test]
    fn below_is_told_once() {
        assert_eq!(told(50, &[60, 40, 39, 41, 49]), [60, 40]);
        // Falling from exactly the threshold is not told, rising to it again is.
        assert_eq!(told(50, &[50, 49, 50, 49]), [50, 50]);
    }

    #[test]
    fn zero_switches_it_off() {
        assert_eq!(told(0, &[10, 90, 100, 0]), [0_u8; 0]);
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
