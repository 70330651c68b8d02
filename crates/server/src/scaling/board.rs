//! What a scaled group has come to, for every process to read.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use tocsin_process::Standing;
use tocsin_shm::ShmSafe;

/// Cycles whose loads are kept to be shown.
pub const CYCLES_SHOWN: usize = 10;

/// Words that the supervisor writes once a cycle. Each stands for itself: a reader may see some of this cycle and some of
/// the last.
#[derive(Debug, Default, ShmSafe)]
pub struct Board {
    /// Cycles so far.
    cycles: AtomicU64,
    up_score: AtomicU32,
    down_score: AtomicU32,
    rest: AtomicU32,
    /// A ring of the latest loads: processes, occupation and load of the processor, a byte or two each.
    loads: [AtomicU32; CYCLES_SHOWN],
}

/// One cycle of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cycle {
    /// Its processes.
    pub processes: u16,
    /// How occupied they were on average, in percent.
    pub occupation: u8,
    /// How much of a processor each of them used on average, in percent.
    pub processor: u8,
}

impl Board {
    /// Notes a cycle, and how far the group is from its next step. Only the supervisor does.
    pub(crate) fn note(&self, cycle: Cycle, standing: Standing) {
        let number = self.cycles.load(Relaxed);
        let [low, high] = cycle.processes.to_le_bytes();
        let word = u32::from_le_bytes([low, high, cycle.occupation, cycle.processor]);
        self.loads[number as usize % CYCLES_SHOWN].store(word, Relaxed);
        self.stand(standing);
        self.cycles.store(number + 1, Release);
    }

    /// Notes how far the group is from its next step, after one was made.
    pub(crate) fn stand(&self, standing: Standing) {
        self.up_score.store(standing.up_score, Relaxed);
        self.down_score.store(standing.down_score, Relaxed);
        self.rest.store(standing.rest, Relaxed);
    }

    /// How far the group is from its next step.
    pub fn standing(&self) -> Standing {
        Standing {
            up_score: self.up_score.load(Relaxed),
            down_score: self.down_score.load(Relaxed),
            rest: self.rest.load(Relaxed),
        }
    }

    /// The latest cycles, the latest first.
    pub fn cycles(&self) -> Vec<Cycle> {
        let count = self.cycles.load(Acquire);
        (0..count)
            .rev()
            .take(CYCLES_SHOWN)
            .map(|number| {
                let word = self.loads[number as usize % CYCLES_SHOWN].load(Relaxed);
                let [low, high, occupation, processor] = word.to_le_bytes();
                Cycle { processes: u16::from_le_bytes([low, high]), occupation, processor }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_cycles_come_first() {
        let board = Board::default();
        assert_eq!(board.cycles(), []);
        let cycle = |n: u16| Cycle { processes: n, occupation: n as u8, processor: 100 - n as u8 };
        let standing = Standing { up_score: 1, down_score: 2, rest: 3 };
        (1..=12).for_each(|n| board.note(cycle(n), standing));
        assert_eq!(board.cycles(), (3..=12).rev().map(cycle).collect::<Vec<_>>());
        assert_eq!(board.standing(), standing);
    }
}
