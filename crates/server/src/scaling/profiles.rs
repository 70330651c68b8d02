//! The profiles of the configuration, and which group is scaled by which.

use tocsin_process::{Profile, Shrink};
use tocsin_script::{GlobalSetting, GlobalValue, ProfileSpec, SocketOption, SocketSpec};

/// The longest cycle, in seconds: as far back as the load of a process is known by the second.
const CYCLE_MOST: u32 = 60;

/// `auto_scaling_cycle`, `auto_scaling_profile`, and the profiles of groups that are no sockets.
#[derive(Debug, Clone, Default)]
pub struct ScalingSettings {
    /// The profile of `tcp_workers`.
    pub tcp: Option<Profile>,
    /// The profile of `timer_workers`.
    pub timer: Option<Profile>,
    cycle_s: Option<u32>,
    profiles: Vec<Profile>,
}

impl ScalingSettings {
    /// Reads the profiles among `globals`; they may stand behind their use.
    pub(crate) fn new(globals: &[GlobalSetting]) -> Self {
        let profiles = globals.iter().filter_map(|global| match &global.value {
            GlobalValue::Profile(spec) => Some(profile(spec)),
            _ => None,
        });
        Self { profiles: profiles.collect(), ..Self::default() }
    }

    /// Takes a global whose value is a number; others are left alone.
    ///
    /// # Errors
    /// What is wrong with the value, and what would be right.
    pub(crate) fn number(&mut self, name: &str, number: i64) -> Result<(), String> {
        if name == "auto_scaling_cycle" {
            let cycle = u32::try_from(number).ok().filter(|cycle| (1..=CYCLE_MOST).contains(cycle));
            let wrong = || format!("{number} seconds are no cycle: give 1 to {CYCLE_MOST}");
            self.cycle_s = Some(cycle.ok_or_else(wrong)?);
        }
        Ok(())
    }

    /// The profile of this name. The compiler has seen that there is one.
    pub(crate) fn named(&self, name: Option<&str>) -> Option<Profile> {
        self.profiles.iter().find(|profile| Some(profile.name.as_str()) == name).cloned()
    }

    /// The profile that a socket asks for itself.
    pub(crate) fn of_socket(&self, spec: &SocketSpec) -> Option<Profile> {
        let name = spec.options.iter().find_map(|option| match option {
            SocketOption::UseAutoScalingProfile(name) => Some(name.as_str()),
            _ => None,
        });
        self.named(name)
    }

    /// Seconds between two looks at the load. Default 1.
    pub fn cycle_s(&self) -> u32 {
        self.cycle_s.unwrap_or(1)
    }

    /// Groups keep the size they start with.
    pub(crate) fn off(&mut self) {
        (self.tcp, self.timer) = (None, None);
    }
}

fn profile(spec: &ProfileSpec) -> Profile {
    Profile {
        name: spec.name.clone(),
        most: spec.most as usize,
        up_percent: spec.up_percent,
        up_cycles: spec.up_cycles,
        up_window: spec.up_window,
        down: spec.down.map(|(least, percent, cycles)| Shrink { least: least as usize, percent, cycles }),
    }
}
