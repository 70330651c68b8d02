//! The supervisor: forks, watches, sweeps, replaces, and ends the family in order.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use tocsin_shm::{Dead, ProcessTable, SlotState, Sweep, identity};

use crate::backoff::{Backoff, Decision};
use crate::plan::{Member, Plan};
use crate::reap::{self, Cause, Exit};
use crate::{fork, meter, notify, signals, system};

/// Exit code of a process that asks to be replaced at once: it is full, not broken.
pub const REPLACE_ME: i32 = 75;
/// How long processes may take to finish what they have when the server ends.
const DRAIN: Duration = Duration::from_secs(4);
/// Time between two looks at the family when nothing happens.
const TICK: Duration = Duration::from_millis(500);
/// Time until a fork is tried again that the system refused.
const FORK_AGAIN: Duration = Duration::from_secs(1);
/// The same while members are still starting.
const STARTING_TICK: Duration = Duration::from_millis(5);

/// A group is to have one process more or one fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// One must be forked for the group with this index into the plan.
    Grow(usize),
    /// One of that group is to leave.
    Shrink(usize),
}

/// What the processes of the family do.
pub trait Family {
    /// Runs as `member`, in its own process. Returns the exit code.
    fn run(&self, member: Member) -> i32;
    /// A member ended; its locks are swept and `decision` says what follows. Called in the supervisor.
    fn died(&self, exit: &Exit, decision: Decision);
    /// All members of the start are serving. Called in the supervisor, once.
    fn ready(&mut self);
    /// The server was asked to end, or has to: its processes are asked next. Called in the supervisor, once.
    fn ending(&self);
    /// The server was sent SIGHUP. Called in the supervisor.
    fn hung_up(&self);
    /// Half a second has passed, or a member was reaped: the supervisor's safe point.
    fn tick(&self);
    /// How long from now [`Self::scale`] wants to be called at the latest.
    fn next_look(&self) -> Duration;
    /// Which groups are to grow or to shrink now. Called after every tick, once all members of the start serve.
    fn scale(&mut self) -> Vec<Change>;
    /// `full` asked for a successor beside it: `successor` was forked as `pid`. Called in the supervisor.
    fn relieves(&mut self, full: Member, successor: Member, pid: u32);
    /// `member` is asked to leave next: what is for it has to go elsewhere from here on. Called in the supervisor.
    fn lets_go(&mut self, member: Member);
    /// A change was made: `member` was forked, or was asked to leave. Called in the supervisor.
    fn changed(&mut self, change: Change, member: Member, pid: u32);
    /// A member that was asked to leave has left; `relieved`: another one has taken its place. Called in the supervisor.
    fn left(&self, exit: &Exit, relieved: bool);
}

/// How the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was asked to by the signal of this name, and every process is gone.
    Asked(&'static str),
    /// A process did not get through its start: the reason is in the log.
    StartFailed,
    /// A process dies as soon as it starts, again and again: the server cannot do its work.
    CrashLoop,
}

struct Seat {
    member: Member,
    /// Somebody is meant to be here. Where not, a process that is here leaves, and has a successor only if it did not get
    /// to its end: that one finishes what is left.
    wanted: bool,
    /// The seat of the successor that this process, which is full, has beside it.
    relief: Option<usize>,
    backoff: Backoff,
    pid: Option<u32>,
    since: Instant,
    fork_at: Option<Instant>,
}

/// The supervisor of a family. It has one thread, no runtime, and parses nothing.
pub struct Supervisor<F> {
    family: F,
    plan: Plan,
    table: &'static ProcessTable,
    sweeps: Vec<&'static dyn Sweep>,
    seats: Vec<Seat>,
    ready: bool,
}

impl<F: Family> Supervisor<F> {
    /// A supervisor for `plan`, whose members hold locks of `sweeps` only.
    pub fn new(plan: Plan, table: &'static ProcessTable, sweeps: Vec<&'static dyn Sweep>, family: F) -> Self {
        let seats = plan.members().into_iter().map(|member| {
            let at_start = member.index < plan.groups[member.group].processes;
            table.slot(member.slot).set_vacant(!at_start);
            Seat {
                member,
                wanted: at_start,
                relief: None,
                backoff: Backoff::default(),
                pid: None,
                since: Instant::now(),
                fork_at: at_start.then(Instant::now),
            }
        });
        Self { seats: seats.collect(), family, plan, table, sweeps, ready: false }
    }

    /// Forks the family and looks after it until the server ends.
    pub fn run(mut self) -> io::Result<Ending> {
        let signals = signals::supervisor_signals()?;
        let own = self.table.slot(0);
        identity::set(system::pid(), 0);
        own.open(system::pid(), 0, "attendant");
        own.set_state(SlotState::Running);
        meter::count_into(&own.private_bytes);
        loop {
            self.fork_due()?;
            own.idle_begin(system::monotonic_ns());
            wait_for(&signals, if self.ready { self.next_tick() } else { STARTING_TICK })?;
            own.idle_end(system::monotonic_ns());
            match take_signals(&signals) {
                Some(Signal::SIGHUP) => self.family.hung_up(),
                Some(signal) => {
                    self.end()?;
                    return Ok(Ending::Asked(signal.as_str()));
                }
                None => {}
            }
            if let Some(ending) = self.bury()? {
                self.end()?;
                return Ok(ending);
            }
            self.look_for_readiness();
            self.family.tick();
            if self.ready {
                self.relieve()?;
                for change in self.family.scale() {
                    self.change(change)?;
                }
            }
        }
    }

    fn next_tick(&self) -> Duration {
        let now = Instant::now();
        let due = self
            .seats
            .iter()
            .filter_map(|seat| seat.fork_at)
            .map(|at| at.saturating_duration_since(now))
            .min();
        due.map_or(TICK, |due| due.min(TICK)).min(self.family.next_look())
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        let changed = match change {
            Change::Grow(group) => self.grow(group)?,
            Change::Shrink(group) => self.shrink(group),
        };
        if let Some((member, pid)) = changed {
            self.family.changed(change, member, pid);
        }
        Ok(())
    }

    /// Forks one more member of a group. `None` when there is no room for it now.
    fn grow(&mut self, group: usize) -> io::Result<Option<(Member, u32)>> {
        let free = |seat: &Seat| !seat.wanted && seat.pid.is_none() && seat.fork_at.is_none();
        let Some((at, member)) =
            self.of(group).find(|(_, seat)| free(seat)).map(|(at, seat)| (at, seat.member))
        else {
            return Ok(None);
        };
        let seat = &mut self.seats[at];
        (seat.wanted, seat.relief, seat.backoff) = (true, None, Backoff::default());
        self.table.slot(member.slot).set_vacant(false);
        self.fork(at)?;
        let seat = &mut self.seats[at];
        if seat.pid.is_none() {
            (seat.wanted, seat.fork_at) = (false, None);
            self.table.slot(member.slot).set_vacant(true);
        }
        if seat.pid.is_some() {
            self.table.slot(member.slot).expect(&self.plan.groups[group].description);
        }
        Ok(seat.pid.map(|pid| (seat.member, pid)))
    }

    /// Asks the member of a group that was forked last to leave. `None` when it is not there, or none but it, or when one
    /// that is full hands its work over just now.
    fn shrink(&mut self, group: usize) -> Option<(Member, u32)> {
        let wanted = || self.of(group).filter(|(_, seat)| seat.wanted);
        let (at, seat) = wanted().last()?;
        let (member, pid) = (seat.member, seat.pid?);
        if wanted().count() < 2 || wanted().any(|(_, seat)| seat.relief.is_some()) {
            return None;
        }
        self.let_go(at);
        Some((member, pid))
    }

    /// Asks the process of a seat to leave. It has no successor there.
    fn let_go(&mut self, at: usize) {
        let seat = &mut self.seats[at];
        seat.wanted = false;
        let (member, pid) = (seat.member, seat.pid);
        self.table.slot(member.slot).set_vacant(true);
        self.family.lets_go(member);
        if let Some(pid) = pid {
            system::signal(pid, libc::SIGTERM);
        }
    }

    /// Forks a successor for each process that asks for one beside it, and lets the process go once that one serves.
    fn relieve(&mut self) -> io::Result<()> {
        for at in 0..self.seats.len() {
            let seat = &self.seats[at];
            let member = seat.member;
            if !seat.wanted || seat.pid.is_none() || !self.table.slot(member.slot).wants_relief() {
                continue;
            }
            match seat.relief {
                Some(successor) if self.serves(successor) => self.let_go(at),
                Some(successor) if self.seats[successor].wanted => {}
                Some(_) | None => self.fork_beside(at)?,
            }
        }
        Ok(())
    }

    /// Forks a successor for the process of a seat into a free seat of its group, as soon as there is one.
    fn fork_beside(&mut self, at: usize) -> io::Result<()> {
        let full = self.seats[at].member;
        self.seats[at].relief = None;
        if let Some((successor, pid)) = self.grow(full.group)? {
            self.seats[at].relief = self.seats.iter().position(|seat| seat.member.slot == successor.slot);
            self.family.relieves(full, successor, pid);
        }
        Ok(())
    }

    fn serves(&self, at: usize) -> bool {
        let seat = &self.seats[at];
        seat.pid.is_some() && self.table.slot(seat.member.slot).state() == SlotState::Running
    }

    /// The seats of a group, in the order of their indices.
    fn of(&self, group: usize) -> impl Iterator<Item = (usize, &Seat)> {
        self.seats.iter().enumerate().filter(move |(_, seat)| seat.member.group == group)
    }

    fn fork_due(&mut self) -> io::Result<()> {
        let now = Instant::now();
        for at in 0..self.seats.len() {
            if self.seats[at].fork_at.is_some_and(|due| due <= now) {
                self.fork(at)?;
            }
        }
        Ok(())
    }

    fn fork(&mut self, at: usize) -> io::Result<()> {
        let Self { family, plan, table, seats, .. } = self;
        let seat = &mut seats[at];
        let member = seat.member;
        let slot = table.slot(member.slot);
        let description = &plan.groups[member.group].description;
        let family = &*family;
        let forked = fork::fork(member.slot, || {
            slot.open(identity::pid(), member.generation, description);
            meter::count_into(&slot.private_bytes);
            family.run(member)
        });
        match forked {
            Ok(pid) => {
                // The child writes this, too: whichever is first, the pid is known before its death can be seen.
                slot.pid.store(pid, Relaxed);
                (seat.pid, seat.since, seat.fork_at) = (Some(pid), Instant::now(), None);
                if !seat.wanted {
                    // It only finishes what its predecessor left. The child has the signal blocked, and reads it later.
                    system::signal(pid, libc::SIGTERM);
                }
            }
            Err(cause)
                if cause.raw_os_error() == Some(libc::EAGAIN)
                    || cause.raw_os_error() == Some(libc::ENOMEM) =>
            {
                tracing::error!("fork of {description} failed ({cause}); next try in a second");
                seat.fork_at = Some(Instant::now() + FORK_AGAIN);
            }
            Err(cause) => return Err(cause),
        }
        Ok(())
    }

    /// Sweeps and reaps the children that ended, and plans their successors.
    fn bury(&mut self) -> io::Result<Option<Ending>> {
        let mut ending = None;
        while let Some((pid, cause)) = reap::next_dead()? {
            let Some(at) = self.seats.iter().position(|seat| seat.pid == Some(pid)) else {
                reap::reap(pid);
                continue;
            };
            let exit = self.sweep(at, pid, cause);
            reap::reap(pid);
            if self.seats[at].relief.is_some_and(|successor| self.seats[successor].wanted) {
                // Its place is taken already: who follows here finishes what it left, and leaves as well.
                self.seats[at].wanted = false;
                self.table.slot(exit.member.slot).set_vacant(true);
            }
            let wanted = self.seats[at].wanted;
            if !wanted && matches!(cause, Cause::Code(0 | REPLACE_ME)) {
                let relieved = self.seats[at].relief.take().is_some();
                self.family.left(&exit, relieved);
                continue;
            }
            let decision = self.decide(at, cause);
            self.family.died(&exit, decision);
            if !wanted {
                continue;
            }
            if !self.ready && matches!(cause, Cause::Code(_)) {
                ending = Some(Ending::StartFailed);
            } else if decision == Decision::GiveUp && self.is_extra(at) {
                self.let_go(at);
            } else if decision == Decision::GiveUp {
                // What makes one member die at its start makes its siblings die too, and traffic waits for it.
                ending = ending.or(Some(Ending::CrashLoop));
            }
        }
        Ok(ending)
    }

    /// Whether the group has more members than it began with: it can do without one.
    fn is_extra(&self, at: usize) -> bool {
        let group = self.seats[at].member.group;
        self.of(group).filter(|(_, seat)| seat.wanted).count() > self.plan.groups[group].processes
    }

    /// Frees what the dead process held, before its pid can belong to another.
    fn sweep(&mut self, at: usize, pid: u32, cause: Cause) -> Exit {
        let seat = &mut self.seats[at];
        let member = seat.member;
        let mut exit = Exit { member, pid, cause, locks_held: 0, records_lost: 0 };
        for table in &self.sweeps {
            let swept = table.sweep(Dead { pid, slot: member.slot });
            exit.locks_held += swept.held;
            exit.records_lost += swept.records_lost;
        }
        self.table.slot(member.slot).close();
        seat.pid = None;
        seat.member.generation += 1;
        exit
    }

    fn decide(&mut self, at: usize, cause: Cause) -> Decision {
        let seat = &mut self.seats[at];
        let decision = match cause {
            Cause::Code(REPLACE_ME) if self.ready => Decision::ForkAfter(Duration::ZERO),
            _ => seat.backoff.ended(seat.since.elapsed()),
        };
        match decision {
            Decision::ForkAfter(wait) => seat.fork_at = Some(Instant::now() + wait),
            Decision::GiveUp => {}
        }
        decision
    }

    fn look_for_readiness(&mut self) {
        let serving = |seat: &Seat| {
            !seat.wanted
                || (seat.pid.is_some() && self.table.slot(seat.member.slot).state() == SlotState::Running)
        };
        if !self.ready && self.seats.iter().all(serving) {
            self.ready = true;
            self.family.ready();
            notify::send("READY=1");
        }
    }

    /// Asks every process to finish, waits, and ends those that do not.
    fn end(&mut self) -> io::Result<()> {
        notify::send("STOPPING=1");
        self.family.ending();
        self.seats.iter().filter_map(|seat| seat.pid).for_each(|pid| system::signal(pid, libc::SIGTERM));
        let deadline = Instant::now() + DRAIN;
        let mut killed = false;
        while self.seats.iter().any(|seat| seat.pid.is_some()) {
            while let Some((pid, cause)) = reap::next_dead()? {
                if let Some(at) = self.seats.iter().position(|seat| seat.pid == Some(pid)) {
                    self.sweep(at, pid, cause);
                }
                reap::reap(pid);
            }
            if !killed && Instant::now() >= deadline {
                killed = true;
                self.seats
                    .iter()
                    .filter_map(|seat| seat.pid)
                    .for_each(|pid| system::signal(pid, libc::SIGKILL));
            }
            poll(&mut [], PollTimeout::from(2_u8))?;
        }
        Ok(())
    }
}

fn wait_for(signals: &SignalFd, most: Duration) -> io::Result<()> {
    let mut watched = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    let most = PollTimeout::try_from(most.as_millis().max(1)).unwrap_or(PollTimeout::from(1000_u16));
    match poll(&mut watched, most) {
        Ok(_) | Err(nix::Error::EINTR) => Ok(()),
        Err(cause) => Err(cause.into()),
    }
}

/// Reads what came: the signal that asks the server to end, if one does, or else SIGHUP if it came.
fn take_signals(signals: &SignalFd) -> Option<Signal> {
    let mut came = Vec::new();
    while let Ok(Some(signal)) = signals.read_signal() {
        came.push(signal.ssi_signo);
    }
    let mut known = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter();
    known.find(|signal| came.contains(&(*signal as u32)))
}
