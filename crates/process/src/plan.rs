//! Which processes the family has.

use std::ops::Range;

use crate::scaling::Profile;

/// Places of a group beside those for the processes it may have: a process that is full has its successor there while it
/// finishes what it has.
const SPARE: usize = 1;

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
    /// How many places there are for them.
    pub capacity: usize,
    /// How their number follows their load; `None`: it does not.
    pub profile: Option<Profile>,
}

impl Group {
    /// A group of a fixed size, without a spare place.
    pub fn fixed(kind: Kind, description: impl Into<String>, processes: usize) -> Self {
        Self { kind, description: description.into(), processes, capacity: processes, profile: None }
    }

    /// The same group with a place for the successor of a full process, scaled by `profile` if there is one.
    pub fn scaled(self, profile: Option<&Profile>) -> Self {
        Self { capacity: capacity(self.processes, profile), profile: profile.cloned(), ..self }
    }

    /// Whether a process that is full gets a successor beside it.
    pub fn has_spare(&self) -> bool {
        self.capacity > self.processes
    }
}

/// Places that a group needs that begins with `processes` and is scaled by `profile`.
pub fn capacity(processes: usize, profile: Option<&Profile>) -> usize {
    profile.map_or(0, |profile| profile.most).max(processes) + SPARE
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

    /// The members forked at the start, then those that scaling may add, then the spare ones, each with its slot.
    pub fn members(&self) -> Vec<Member> {
        let each = |of: fn(&Group) -> Range<usize>| {
            let groups = self.groups.iter().enumerate();
            groups.flat_map(move |(group, g)| of(g).map(move |index| (group, index)))
        };
        let first = each(|g| 0..g.processes);
        let later = each(|g| g.processes..g.capacity.saturating_sub(SPARE));
        let spare = each(|g| g.capacity.saturating_sub(SPARE).max(g.processes)..g.capacity);
        first
            .chain(later)
            .chain(spare)
            .enumerate()
            .map(|(at, (group, index))| Member { slot: at as u16 + 1, generation: 0, group, index })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_members_have_the_low_slots_and_spare_ones_the_last() {
        let udp = Group { capacity: 5, ..Group::fixed(Kind::Udp, "u", 2) };
        let plan = Plan {
            groups: vec![
                Group::fixed(Kind::Mi, "MI FIFO", 1),
                udp,
                Group::fixed(Kind::Timer, "Timer handler", 1).scaled(None),
            ],
        };
        assert_eq!(plan.slots(), 9);
        let members: Vec<_> = plan.members().iter().map(|m| (m.slot, m.group, m.index)).collect();
        assert_eq!(
            members,
            [(1, 0, 0), (2, 1, 0), (3, 1, 1), (4, 2, 0), (5, 1, 2), (6, 1, 3), (7, 1, 4), (8, 2, 1)]
        );
    }
}
