//! The supervisor's side: once a cycle it looks at the load of each scaled group, and reports what it decided.

use std::time::Duration;

use tocsin_event::ProcAutoScale;
use tocsin_process::{Change, Member, Scaler, Step};
use tocsin_shm::Slot;

use super::history::Done;
use super::{Cycle, ScaledGroup};
use crate::events;
use crate::logging::{self, Level};
use crate::server::Server;
use crate::time::now_ns;

/// When nothing is scaled, nobody has to be woken for it.
const NEVER: Duration = Duration::from_secs(3600);

/// The scaled groups, each with its state.
#[derive(Debug)]
pub(crate) struct Cycles {
    server: &'static Server,
    groups: Vec<Round>,
    cycle: Duration,
    /// When the present cycle ends, in nanoseconds of the monotonic clock; 0: none has begun.
    due: u64,
}

#[derive(Debug)]
struct Round {
    scaled: &'static ScaledGroup,
    scaler: Scaler,
    /// The slots of its members, by index.
    slots: Vec<u16>,
    /// The load in the latest cycle, and the step that it asked for.
    load: u8,
    step: Step,
}

impl Cycles {
    pub(crate) fn new(server: &'static Server) -> Self {
        let members = server.plan.members();
        let groups = server.scaling.iter().filter_map(|scaled| {
            let profile = server.plan.groups[scaled.group].profile.clone()?;
            let slots = members.iter().filter(|m| m.group == scaled.group).map(|m| m.slot).collect();
            Some(Round { scaled, scaler: Scaler::new(profile), slots, load: 0, step: Step::Stay })
        });
        let cycle = Duration::from_secs(server.settings.scaling.cycle_s().into());
        Self { server, groups: groups.collect(), cycle, due: 0 }
    }

    /// How long until the present cycle ends.
    pub(crate) fn next_look(&self) -> Duration {
        if self.groups.is_empty() { NEVER } else { Duration::from_nanos(self.due.saturating_sub(now_ns())) }
    }

    /// If a cycle is over: what the groups need.
    pub(crate) fn look(&mut self) -> Vec<Change> {
        let now = now_ns();
        let cycle = self.cycle.as_nanos() as u64;
        if self.groups.is_empty() || now < self.due {
            return Vec::new();
        }
        let is_first = self.due == 0;
        // A supervisor that was held up does not make up for the cycles that it missed.
        self.due = if is_first || now - self.due >= cycle { now + cycle } else { self.due + cycle };
        if is_first {
            return Vec::new();
        }
        let server = self.server;
        self.groups.iter_mut().filter_map(|round| round.look(server, self.cycle, now)).collect()
    }

    /// Whether the number of processes of the group follows their load.
    pub(crate) fn scales(&self, group: usize) -> bool {
        self.groups.iter().any(|round| round.scaled.group == group)
    }

    /// A change was made: it is logged, noted for a report, and raised as `E_CORE_PROC_AUTO_SCALE`.
    pub(crate) fn changed(&mut self, change: Change, member: Member, pid: u32) {
        let server = self.server;
        if let Some(round) = self.groups.iter_mut().find(|round| round.scaled.group == member.group) {
            round.changed(server, change, member, pid);
        }
    }
}

impl Round {
    fn serving(&self, server: &Server) -> usize {
        self.slots.iter().filter(|slot| !server.table.slot(**slot).is_vacant()).count()
    }

    fn look(&mut self, server: &Server, cycle: Duration, now: u64) -> Option<Change> {
        let seconds = cycle.as_secs() as u32;
        let serving: Vec<_> =
            self.slots.iter().map(|slot| server.table.slot(*slot)).filter(|slot| !slot.is_vacant()).collect();
        let average = |load: fn(&Slot, u32, u64) -> u8| {
            let sum: u32 = serving.iter().map(|slot| u32::from(load(slot, seconds, now))).sum();
            (sum / serving.len().max(1) as u32) as u8
        };
        let (occupation, processor) = (average(Slot::occupation_over), average(Slot::load_over));
        let step = self.scaler.cycle(serving.len(), occupation.into());
        let processes = u16::try_from(serving.len()).unwrap_or(u16::MAX);
        self.scaled.history.note(Cycle { processes, occupation, processor }, self.scaler.standing());
        (self.load, self.step) = (occupation, step);
        match step {
            Step::Stay => None,
            Step::Up { .. } => Some(Change::Grow(self.scaled.group)),
            Step::Down { .. } => Some(Change::Shrink(self.scaled.group)),
        }
    }

    fn changed(&mut self, server: &Server, change: Change, member: Member, pid: u32) {
        let ScaledGroup { group, kind, filter, history, .. } = self.scaled;
        let profile = self.scaler.profile();
        let (score, of, estimated) = match self.step {
            Step::Up { score } => (score, profile.up_window, 0),
            Step::Down { score, estimated } => {
                (score, profile.down.map_or(score, |down| down.cycles), estimated)
            }
            Step::Stay => (0, 0, 0),
        };
        let small = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        let now = self.serving(server) as u32;
        let grows = matches!(change, Change::Grow(_));
        let done = Done {
            grows,
            load: self.load,
            slot: member.slot,
            pid,
            before: small(if grows { now.saturating_sub(1) } else { now + 1 }),
            score: small(score),
            of: small(of),
            estimated: small(estimated),
        };
        if grows {
            self.scaler.grew();
        } else {
            self.scaler.shrank();
        }
        history.stand(self.scaler.standing());
        history.step(&done);
        let text = done.text(*group);
        logging::line(Level::Notice, &format!("core:auto_scaling: {kind} {filter}: {text}"));
        let event = ProcAutoScale {
            group_type: kind,
            group_filter: filter,
            group_load: self.load.into(),
            scale: if grows { "up" } else { "down" },
            process_id: member.slot.into(),
            pid,
        };
        events::auto_scaled(&server.events, &event);
    }
}

/// Reports the steps of the groups that nobody has reported yet. Any process but the supervisor may.
pub(crate) fn report(server: &Server) {
    for scaled in &server.scaling {
        while let Some(done) = scaled.history.next_unreported() {
            // A report that finds no room is lost; the event and the log say the same.
            let _ = server.registered.status.report(scaled.identifier, done.text(scaled.group).as_bytes());
        }
    }
}
