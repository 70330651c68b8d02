//! Which processes the family has.

use crate::scaling::Profile;

/// What the members of a group do; the names that auto-scaling and events use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Serve a UDP socket.
    Udp,
    /// Accept connections, and give them to those who serve them.
    TcpMain,
    /// Serve TCP connections.
    Tcp,
    /// Fire timers and periodic jobs.
    Timer,
    /// Answer management clients.
    Mi,
    /// Deliver events.
    Courier,
}

impl Kind {
    /// The group's name in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::TcpMain => "TCP MAIN",
            Self::Tcp => "TCP",
            Self::Timer => "TIMER",
            Self::Mi => "MI",
            Self::Courier => "COURIER",
        }
    }
}

/// Processes that do the same work.
#[derive(Debug, Clone)]
pub struct Group {
    /// What they do.
    pub kind: Kind,
    /// As `ps` shows them, like `SIP receiver udp:127.0.0.1:5060`.
    pub description: String,
    /// How many are forked at the start.
    pub processes: usize,
    /// How many there may ever be at one time.
    pub capacity: usize,
    /// How their number follows their load; `None`: it does not.
    pub profile: Option<Profile>,
}

impl Group {
    /// A group of a fixed size.
    pub fn fixed(kind: Kind, description: impl Into<String>, processes: usize) -> Self {
        Self { kind, description: description.into(), processes, capacity: processes, profile: None }
    }

    /// The same group, scaled by `profile` if there is one.
    pub fn scaled(self, profile: Option<&Profile>) -> Self {
        let capacity = profile.map_or(self.processes, |profile| profile.most.max(self.processes));
        Self { capacity, profile: profile.cloned(), ..self }
    }
}

/// One process of the family, as it sees itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its row of the process table: the ID that `ps` shows.
    pub slot: u16,
    /// How many processes had this slot before.
    pub generation: u32,
    /// Index into the plan's groups.
    pub group: usize,
    /// Its place in the group, from 0.
    pub index: usize,
}

/// All groups, in the order of their slots. Slot 0 is the supervisor's own.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The groups in the order in which they are forked.
    pub groups: Vec<Group>,
}

impl Plan {
    /// Rows that the process table needs, the supervisor's included.
    pub fn slots(&self) -> usize {
        1 + self.groups.iter().map(|g| g.capacity).sum::<usize>()
    }

    /// The members forked at the start, then those that scaling may add, each with its slot.
    pub fn members(&self) -> Vec<Member> {
        let first =
            self.groups.iter().enumerate().flat_map(|(group, g)| (0..g.processes).map(move |i| (group, i)));
        let later = self
            .groups
            .iter()
            .enumerate()
            .flat_map(|(group, g)| (g.processes..g.capacity).map(move |i| (group, i)));
        first
            .chain(later)
            .enumerate()
            .map(|(at, (group, index))| Member { slot: at as u16 + 1, generation: 0, group, index })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_members_have_the_low_slots() {
        let plan = Plan {
            groups: vec![
                Group::fixed(Kind::Mi, "MI FIFO", 1),
                Group { capacity: 4, ..Group::fixed(Kind::Udp, "u", 2) },
                Group::fixed(Kind::Timer, "Timer handler", 1),
            ],
        };
        assert_eq!(plan.slots(), 7);
        let members: Vec<_> = plan.members().iter().map(|m| (m.slot, m.group, m.index)).collect();
        assert_eq!(members, [(1, 0, 0), (2, 1, 0), (3, 1, 1), (4, 2, 0), (5, 1, 2), (6, 1, 3)]);
    }
}
