//! What a scaled group has come to, for every process to read.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use tocsin_process::Standing;
use tocsin_shm::ShmSafe;

/// Cycles whose loads are kept to be shown.
pub const CYCLES_SHOWN: usize = 10;
/// Steps that are kept until they are reported, which takes a tenth of a second.
const MAX_STEPS: usize = 16;

/// Words that the supervisor writes once a cycle. Each stands for itself: a reader may see some of this cycle and some of
/// the last.
#[derive(Debug, Default, ShmSafe)]
pub struct History {
    /// Cycles so far.
    cycles: AtomicU64,
    up_score: AtomicU32,
    down_score: AtomicU32,
    rest: AtomicU32,
    /// A ring of the latest loads: processes, occupation and load of the processor, a byte or two each.
    loads: [AtomicU32; CYCLES_SHOWN],
    /// Steps so far; those that were reported; a ring of the latest.
    steps: AtomicU64,
    reported: AtomicU64,
    done: [[AtomicU64; 2]; MAX_STEPS],
}

/// A step that a group has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Done {
    /// One more (`true`) or one fewer.
    pub(crate) grows: bool,
    /// The load that led to it, in percent.
    pub(crate) load: u8,
    /// The process's slot and ID.
    pub(crate) slot: u16,
    pub(crate) pid: u32,
    /// Processes of the group before.
    pub(crate) before: u16,
    /// Cycles that asked for it, and out of how many.
    pub(crate) score: u16,
    pub(crate) of: u16,
    /// The load that those who stay will have, in percent.
    pub(crate) estimated: u16,
}

impl Done {
    /// For people; `group` is the group's index.
    pub(crate) fn text(&self, group: usize) -> String {
        let Self { grows, load: _, slot, pid, before, score, of, estimated } = *self;
        let score = format!("score {score}/{of} ->");
        if grows {
            format!("{score} forking new proc in group {group} (with {before} procs): ID {slot}, pid {pid}")
        } else {
            format!(
                "{score} ripping proc {slot} from group {group} (with {before} procs), \
                 estimated load -> {estimated}: pid {pid}"
            )
        }
    }

    fn words(&self) -> [u64; 2] {
        let Self { grows, load, slot, pid, before, score, of, estimated } = *self;
        let first = u64::from(grows) | u64::from(load) << 8 | u64::from(slot) << 16 | u64::from(pid) << 32;
        let second =
            u64::from(before) | u64::from(score) << 16 | u64::from(of) << 32 | u64::from(estimated) << 48;
        [first, second]
    }

    fn from_words([first, second]: [u64; 2]) -> Self {
        let part = |word: u64, at: u32| (word >> at) as u16;
        Self {
            grows: first & 1 != 0,
            load: (first >> 8) as u8,
            slot: part(first, 16),
            pid: (first >> 32) as u32,
            before: part(second, 0),
            score: part(second, 16),
            of: part(second, 32),
            estimated: part(second, 48),
        }
    }
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

impl History {
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

    /// Notes a step, to be reported. Only the supervisor does; it takes no locks, as it is who frees those of the dead.
    pub(crate) fn step(&self, done: &Done) {
        let number = self.steps.load(Relaxed);
        let place = &self.done[number as usize % MAX_STEPS];
        place.iter().zip(done.words()).for_each(|(word, value)| word.store(value, Relaxed));
        self.steps.store(number + 1, Release);
    }

    /// The next step that nobody has reported: it is the caller's to report.
    pub(crate) fn next_unreported(&self) -> Option<Done> {
        let number = self.reported.load(Relaxed);
        if number >= self.steps.load(Acquire) {
            return None;
        }
        let [first, second] = &self.done[number as usize % MAX_STEPS];
        let done = Done::from_words([first.load(Relaxed), second.load(Relaxed)]);
        self.reported.compare_exchange(number, number + 1, AcqRel, Relaxed).ok().map(|_| done)
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
        let history = History::default();
        assert_eq!(history.cycles(), []);
        let cycle = |n: u16| Cycle { processes: n, occupation: n as u8, processor: 100 - n as u8 };
        let standing = Standing { up_score: 1, down_score: 2, rest: 3 };
        (1..=12).for_each(|n| history.note(cycle(n), standing));
        assert_eq!(history.cycles(), (3..=12).rev().map(cycle).collect::<Vec<_>>());
        assert_eq!(history.standing(), standing);
    }

    #[test]
    fn each_step_is_reported_once() {
        let history = History::default();
        let up = Done { grows: true, load: 99, slot: 8, pid: 6446, before: 1, score: 2, of: 3, estimated: 0 };
        let down = Done { grows: false, load: 3, slot: u16::MAX, pid: u32::MAX, estimated: 7, ..up };
        history.step(&up);
        history.step(&down);
        assert_eq!([history.next_unreported(), history.next_unreported()], [Some(up), Some(down)]);
        assert_eq!(history.next_unreported(), None);
        assert_eq!(up.text(1), "score 2/3 -> forking new proc in group 1 (with 1 procs): ID 8, pid 6446");
        assert_eq!(
            Done { slot: 9, pid: 7, ..down }.text(1),
            "score 2/3 -> ripping proc 9 from group 1 (with 1 procs), estimated load -> 7: pid 7"
        );
    }
}
