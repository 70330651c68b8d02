//! When a group of processes grows or shrinks: pure, in cycles (manual, "Core Parameters", auto_scaling_profile).
//!
//! In flows the load of the group, once a cycle; out flows whether it needs one process more, or can do with one fewer.

use std::collections::VecDeque;

/// The most cycles that a profile may look back.
pub const MAX_CYCLES: u32 = 1_000;
/// A group does not shrink for so many times the cycles of its profile's `scale down` after it has grown.
const REST: u32 = 10;

/// How a group is scaled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// At most so many processes.
    pub most: usize,
    /// One more above this load, in percent ...
    pub up_percent: u32,
    /// ... in so many cycles ...
    pub up_cycles: u32,
    /// ... out of so many.
    pub up_window: u32,
    /// When there may be fewer; `None`: never.
    pub down: Option<Shrink>,
}

/// The `scale down` of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shrink {
    /// At least so many processes.
    pub least: usize,
    /// One fewer below this load, in percent ...
    pub percent: u32,
    /// ... in so many cycles in a row.
    pub cycles: u32,
}

impl Shrink {
    /// Cycles after the group has grown, in which it does not shrink.
    pub fn rest(&self) -> u32 {
        self.cycles.saturating_mul(REST)
    }
}

/// What a group is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Stay,
    /// One process more: its load was too high in `score` cycles.
    Up {
        /// Cycles out of the profile's window.
        score: u32,
    },
    /// One process fewer: its load was low in `score` cycles.
    Down {
        /// Cycles in a row.
        score: u32,
        /// The load that the others will have, in percent.
        estimated: u32,
    },
}

/// How far a group is from its next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Cycles of the window with a load above the profile's.
    pub up_score: u32,
    /// Cycles in a row with a load below that of `scale down`.
    pub down_score: u32,
    /// Cycles in which it does not shrink, because it has grown.
    pub rest: u32,
}

/// The state of one group.
#[derive(Debug, Clone)]
pub struct Scaler {
    profile: Profile,
    /// Whether the load was too high, the latest cycle last.
    window: VecDeque<bool>,
    standing: Standing,
}

impl Scaler {
    /// Begins with no past.
    pub fn new(profile: Profile) -> Self {
        Self { profile, window: VecDeque::new(), standing: Standing::default() }
    }

    /// One cycle is over, in which `processes` had a load of `load` percent on average. Once a step is done,
    /// report it with [`Self::grew`] or [`Self::shrank`]; else it is asked for again.
    pub fn cycle(&mut self, processes: usize, load: u32) -> Step {
        let Self { profile, window, standing } = self;
        let high = load > profile.up_percent;
        window.push_back(high);
        while window.len() > profile.up_window.max(1) as usize {
            window.pop_front();
        }
        standing.up_score = window.iter().filter(|high| **high).count() as u32;
        standing.rest = standing.rest.saturating_sub(1);
        let low = profile.down.is_some_and(|down| load < down.percent);
        standing.down_score = if low { standing.down_score.saturating_add(1) } else { 0 };

        // A load that has gone down meanwhile needs no process more.
        if high && standing.up_score >= profile.up_cycles && processes < profile.most {
            return Step::Up { score: standing.up_score };
        }
        let Some(down) = profile.down else { return Step::Stay };
        let fewer = processes.saturating_sub(1);
        if standing.down_score < down.cycles || standing.rest > 0 || fewer < down.least.max(1) {
            return Step::Stay;
        }
        // What would make the others grow again at once is no gain.
        let estimated = load.saturating_mul(processes as u32) / fewer as u32;
        if estimated > profile.up_percent {
            return Step::Stay;
        }
        Step::Down { score: down.cycles, estimated }
    }

    /// The group has a process more.
    pub fn grew(&mut self) {
        self.standing.rest = self.profile.down.map_or(0, |down| down.rest());
        self.standing.down_score = 0;
    }

    /// The group has a process fewer.
    pub fn shrank(&mut self) {
        self.standing.down_score = 0;
        self.window.clear();
    }

    /// How far it is from its next step.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The profile.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn profile(down: Option<Shrink>) -> Profile {
        Profile { name: "PA".into(), most: 4, up_percent: 30, up_cycles: 2, up_window: 3, down }
    }

    const DOWN: Shrink = Shrink { least: 1, percent: 10, cycles: 2 };

    /// Runs `loads` through a scaler that begins with one process. Returns the cycle of each step, with the processes after
    /// it.
    fn run(profile: Profile, loads: impl IntoIterator<Item = u32>) -> Vec<(usize, usize)> {
        let mut scaler = Scaler::new(profile);
        let mut processes = 1;
        let mut steps = Vec::new();
        for (at, load) in loads.into_iter().enumerate() {
            match scaler.cycle(processes, load) {
                Step::Stay => continue,
                Step::Up { .. } => {
                    processes += 1;
                    scaler.grew();
                }
                Step::Down { .. } => {
                    processes -= 1;
                    scaler.shrank();
                }
            }
            steps.push((at, processes));
        }
        steps
    }

    #[test]
    fn up_once_a_cycle_and_down_after_a_rest() {
        let loads = [99, 99, 99, 74, 50].into_iter().chain(std::iter::repeat_n(0, 40));
        let steps = run(profile(Some(DOWN)), loads);
        // The last `up` is in cycle 3; 10 times 2 cycles later comes the first `down`, then one in 2 cycles.
        assert_eq!(steps, [(1, 2), (2, 3), (3, 4), (23, 3), (25, 2), (27, 1)]);
    }

    #[test]
    fn the_score_counts_the_cycles_of_the_window() {
        let mut scaler = Scaler::new(profile(None));
        assert_eq!(scaler.cycle(1, 31), Step::Stay);
        assert_eq!(scaler.cycle(1, 30), Step::Stay, "30% is not above 30%");
        assert_eq!(scaler.cycle(1, 31), Step::Up { score: 2 });
        assert_eq!(scaler.cycle(2, 99), Step::Up { score: 2 });
        assert_eq!(scaler.cycle(3, 99), Step::Up { score: 3 });
        assert_eq!(scaler.cycle(4, 99), Step::Stay, "four are the most");
    }

    #[test]
    fn without_a_window_all_cycles_have_to_be_high() {
        let loads = [99, 0, 99, 0, 99, 99];
        assert_eq!(run(Profile { up_window: 2, ..profile(None) }, loads), [(5, 2)]);
    }

    #[test]
    fn a_load_that_went_down_needs_no_process_more() {
        assert_eq!(run(profile(None), [99, 0, 0, 99, 0]), []);
        assert_eq!(run(profile(None), [99, 99, 20, 20]), [(1, 2)]);
    }

    #[test]
    fn fewer_that_would_be_too_few_stay() {
        let down = Shrink { least: 1, percent: 25, cycles: 1 };
        let mut scaler = Scaler::new(profile(Some(down)));
        assert_eq!(scaler.cycle(2, 20), Step::Stay, "one alone would have 40%");
        assert_eq!(scaler.cycle(3, 20), Step::Down { score: 1, estimated: 30 });
    }

    #[test]
    fn a_step_that_could_not_be_done_is_asked_for_again() {
        let mut scaler = Scaler::new(profile(Some(DOWN)));
        scaler.cycle(1, 99);
        assert!(matches!(scaler.cycle(1, 99), Step::Up { .. }));
        assert_eq!(scaler.standing().rest, 0);
        assert!(matches!(scaler.cycle(1, 99), Step::Up { .. }));
        scaler.grew();
        assert_eq!(scaler.standing(), Standing { up_score: 3, down_score: 0, rest: 20 });
    }

    prop_compose! {
        fn any_profile()(
            least in 1_usize..6, more in 0_usize..6, up_percent in 1_u32..=100, up_cycles in 1_u32..6,
            wider in 0_u32..4, percent in 1_u32..=100, cycles in 1_u32..6, shrinks: bool,
        ) -> Profile {
            Profile {
                name: "P".into(), most: least + more, up_percent, up_cycles, up_window: up_cycles + wider,
                down: shrinks.then_some(Shrink { least, percent, cycles }),
            }
        }
    }

    proptest! {
        #[test]
        fn the_bounds_hold_whatever_the_load(
            profile in any_profile(),
            start in 1_usize..12,
            loads in prop::collection::vec((0_u32..=100, any::<bool>()), 0..200),
        ) {
            let mut scaler = Scaler::new(profile.clone());
            let mut processes = start;
            let (mut last_up, mut last_down) = (None, None);
            for (at, (load, works)) in loads.into_iter().enumerate() {
                let step = scaler.cycle(processes, load);
                match step {
                    Step::Stay => {}
                    Step::Up { score } => {
                        prop_assert!(processes < profile.most);
                        prop_assert!(load > profile.up_percent);
                        prop_assert!((profile.up_cycles..=profile.up_window).contains(&score));
                    }
                    Step::Down { estimated, .. } => {
                        let down = profile.down.expect("no profile shrinks without saying so");
                        prop_assert!(processes > down.least);
                        prop_assert!(load < down.percent && estimated >= load && estimated <= profile.up_percent);
                        prop_assert!(last_up.is_none_or(|last| at - last >= down.rest() as usize));
                        prop_assert!(last_down.is_none_or(|last| at - last >= down.cycles as usize));
                    }
                }
                match step {
                    Step::Up { .. } if works => {
                        processes += 1;
                        last_up = Some(at);
                        scaler.grew();
                    }
                    Step::Down { .. } if works => {
                        processes -= 1;
                        last_down = Some(at);
                        scaler.shrank();
                    }
                    _ => {}
                }
            }
        }
    }
}
