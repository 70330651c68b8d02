//! Who gets traffic: the supervisor looks for processes that stall, and lets each listening address use as many of its
//! other workers as their load needs.

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering::Relaxed;

use tocsin_event::percentage;
use tocsin_process::{Kind, Member};
use tocsin_shm::{Slot, SlotState};

use crate::server::Server;
use crate::spreading::Spreading;
use crate::stalls::{Finding, Stall};
use crate::time::{now_ms, now_ns};

/// Time between two looks at the load, in nanoseconds.
const LOOK_EVERY_NS: u64 = 1_000_000_000;

/// Private memory of a worker, in percent of its budget, from which on others are preferred.
const ROOMY_PERCENT: u8 = 30;

/// The supervisor's view of the traffic.
#[derive(Debug)]
pub(crate) struct Traffic {
    server: &'static Server,
    members: Vec<Member>,
    /// Of each UDP address, in the order of their groups.
    spreading: RefCell<Vec<Spreading>>,
    /// Of each member that serves messages, by its place in `members`.
    stalls: RefCell<Vec<Stall>>,
    looked: Cell<u64>,
}

impl Traffic {
    pub(crate) fn new(server: &'static Server) -> Self {
        let members = server.plan.members();
        let stalls = RefCell::new(vec![Stall::default(); members.len()]);
        let spreading = RefCell::new(server.network.sockets.datagrams().map(|_| Spreading::new()).collect());
        Self { server, members, spreading, stalls, looked: Cell::new(0) }
    }

    /// Looks for stalls, and once a second at the load. `is_scaled`: whether the number of workers of a group follows their
    /// load.
    pub(crate) fn look(&self, is_scaled: impl Fn(usize) -> bool) {
        if self.look_for_stalls() {
            self.settle();
        }
        let now = now_ns();
        if now.saturating_sub(self.looked.get()) < LOOK_EVERY_NS {
            return;
        }
        self.looked.set(now);
        self.each_address(|spreading, group| {
            // Where the number of workers follows their occupation, so does their share: messages that wait in one worker
            // cost it no time, but would leave those beside it idle.
            let load = if is_scaled(group) { Slot::occupation_1s } else { Slot::load_1s };
            let of = |slot: &Slot| u32::from(load(slot, now)).max(self.crowding(slot));
            spreading.observe(self.slots(group).map(|(_, slot)| of(slot)).sum());
        });
    }

    /// Messages that wait cost memory and no time: what a worker has in use beyond [`ROOMY_PERCENT`] counts as load, so that
    /// others take the next ones.
    fn crowding(&self, slot: &Slot) -> u32 {
        let used = u64::try_from(slot.private_bytes.load(Relaxed)).unwrap_or(0);
        let percent = percentage(used, self.server.settings.private_bytes);
        u32::from(percent.saturating_sub(ROOMY_PERCENT)) * 2
    }

    /// Takes workers that can no longer be used out of the traffic at once.
    pub(crate) fn settle(&self) {
        self.each_address(|_, _| {});
    }

    fn each_address(&self, mut observe: impl FnMut(&mut Spreading, usize)) {
        let groups = self.server.plan.groups.iter().enumerate().filter(|(_, group)| group.kind == Kind::Udp);
        let addresses = groups.zip(self.server.network.sockets.datagrams());
        for (((group, _), (listener, sockets)), spreading) in
            addresses.zip(self.spreading.borrow_mut().iter_mut())
        {
            observe(spreading, group);
            let Some(active) = spreading.settle(&self.available(group)) else { continue };
            if let Err(cause) = sockets.spread(active) {
                tracing::error!(
                    "{}: traffic cannot be spread over workers {active:?}: {cause}",
                    listener.name
                );
            }
        }
    }

    /// The workers of a group that can be used, by their index: those that serve; failing that those that stall or are
    /// full; failing that those that will serve.
    fn available(&self, group: usize) -> Vec<usize> {
        let usable: [fn(&Slot) -> bool; 3] = [
            |slot| slot.serves() && !slot.is_stalled() && !slot.wants_relief(),
            Slot::serves,
            |slot| !slot.is_vacant() && slot.state() != SlotState::Draining,
        ];
        let of = |is_usable: &fn(&Slot) -> bool| {
            let found = self.slots(group).filter(|(_, slot)| is_usable(slot)).map(|(index, _)| index);
            let mut found: Vec<_> = found.collect();
            found.sort_unstable();
            found
        };
        usable.iter().map(of).find(|found| !found.is_empty()).unwrap_or_default()
    }

    fn slots(&self, group: usize) -> impl Iterator<Item = (usize, &'static Slot)> {
        let own = self.members.iter().filter(move |member| member.group == group);
        own.map(|member| (member.index, self.server.table.slot(member.slot)))
    }

    /// Returns whether a process began to stall, or came back.
    fn look_for_stalls(&self) -> bool {
        let now = now_ms();
        let mut is_news = false;
        for (member, stall) in self.members.iter().zip(self.stalls.borrow_mut().iter_mut()) {
            let group = &self.server.plan.groups[member.group];
            let slot = self.server.table.slot(member.slot);
            if !matches!(group.kind, Kind::Udp | Kind::Tcp | Kind::Timer)
                || slot.state() != SlotState::Running
            {
                continue;
            }
            let pid = slot.pid.load(Relaxed);
            let finding = stall.look(pid, slot.turns(), slot.is_idle(), now);
            slot.set_stalled(stall.is_stalled());
            is_news |= finding.is_some();
            match finding {
                Some(Finding::Stalls(ms)) => {
                    let line = self.server.script_line(member.slot);
                    let place = line.map_or(String::new(), |line| format!(", it is at {line}"));
                    tracing::warn!(
                        "process {pid} ({}) has not come back to its main loop for {ms} ms{place}: others get its \
                         traffic",
                        group.description
                    );
                }
                Some(Finding::IsBack(ms)) => tracing::warn!(
                    "process {pid} ({}) is back in its main loop after {ms} ms",
                    group.description
                ),
                None => {}
            }
        }
        is_news
    }
}
