//! The profiles of the configuration, and which group is scaled by which.

use tocsin_process::{Profile, Shrink};
use tocsin_script::{ProfileSpec, SocketOption, SocketSpec};

/// The longest cycle, in seconds: as far back as the load of a process is known by the second.
pub(crate) const MAX_CYCLE_S: u32 = 60;

/// `auto_scaling_cycle`, `auto_scaling_profile`, and the profiles of groups that are no sockets.
#[derive(Debug, Clone)]
pub struct ScalingSettings {
    /// The profile of `tcp_workers`.
    pub tcp: Option<Profile>,
    /// The profile of `timer_workers`.
    pub timer: Option<Profile>,
    cycle_s: u32,
    profiles: Vec<Profile>,
}

impl Default for ScalingSettings {
    fn default() -> Self {
        Self { tcp: None, timer: None, cycle_s: 1, profiles: Vec::new() }
    }
}

impl ScalingSettings {
    /// Takes a profile.
    pub(crate) fn add(&mut self, spec: &ProfileSpec) {
        self.profiles.push(profile(spec));
    }

    /// Looks at the load every so many seconds.
    pub(crate) fn set_cycle(&mut self, seconds: u32) {
        self.cycle_s = seconds;
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
        self.cycle_s
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
