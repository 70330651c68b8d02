//! The family as the supervisor sees it: what a member runs, and what a death is told as.

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering::Release;

use std::time::Duration;

use tocsin_process::{Cause, Change, Decision, Detached, Exit, Family, Kind, Member};

use crate::memory::PrivateWatch;
use crate::scaling::Rounds;
use crate::server::Server;
use crate::spreading::Spreading;
use crate::status_report::CoreState;
use crate::time::now_ns;
use crate::{events, logging, memory, roles};

/// Time between two looks at how traffic is spread, in nanoseconds.
const LOOK_EVERY_NS: u64 = 1_000_000_000;

/// The server's processes.
#[derive(Debug)]
pub struct ServerFamily {
    server: &'static Server,
    waiting: Option<Detached>,
    private: RefCell<PrivateWatch>,
    spreading: RefCell<Vec<Spreading>>,
    rounds: Rounds,
    looked: Cell<u64>,
}

impl ServerFamily {
    /// The family of `server`. `waiting`: whoever has to be told that the server serves.
    pub fn new(server: &'static Server, waiting: Option<Detached>) -> Self {
        let spreading = RefCell::new(server.sockets.datagrams().map(|_| Spreading::new(1)).collect());
        let rounds = Rounds::new(server);
        Self { server, waiting, private: RefCell::default(), spreading, rounds, looked: Cell::new(0) }
    }
}

impl ServerFamily {
    /// Once a second: lets each listening address use as many of its workers as their load needs.
    fn spread(&self) {
        let now = now_ns();
        if now.saturating_sub(self.looked.get()) < LOOK_EVERY_NS {
            return;
        }
        self.looked.set(now);
        let members = self.server.plan.members();
        self.each_address(|group, workers, spreading| {
            let own = members.iter().filter(|member| member.group == group);
            let slots = own.map(|member| self.server.table.slot(member.slot));
            // Where the number of workers follows their occupation, so does their share: messages that wait in one worker
            // cost it no time, but would leave those beside it idle.
            let load = match self.rounds.serving(group) {
                Some(_) => slots.map(|slot| u32::from(slot.occupation_1s(now))).sum(),
                None => slots.map(|slot| u32::from(slot.load_1s(now))).sum(),
            };
            spreading.decide(workers, load)
        });
    }

    /// Lets `decide` say over how many of its workers the traffic of each address is spread; it is told the group, how many
    /// of it serve, and what it is spread over now.
    fn each_address(&self, mut decide: impl FnMut(usize, usize, &mut Spreading) -> Option<usize>) {
        let server = self.server;
        let udp = (0..server.plan.groups.len()).filter(|group| server.plan.groups[*group].kind == Kind::Udp);
        for ((group, (listener, sockets)), spreading) in
            udp.zip(server.sockets.datagrams()).zip(self.spreading.borrow_mut().iter_mut())
        {
            let workers = self.rounds.serving(group).unwrap_or(listener.workers);
            let Some(active) = decide(group, workers, spreading) else { continue };
            if let Err(cause) = sockets.spread(active) {
                tracing::error!("{}: traffic cannot be spread over {active} workers: {cause}", listener.name);
            }
        }
    }
}

impl Family for ServerFamily {
    fn run(&self, member: Member) -> i32 {
        roles::run(self.server, member)
    }

    fn died(&self, exit: &Exit, decision: Decision) {
        let group = &self.server.plan.groups[exit.member.group];
        let (pid, what) = (exit.pid, &group.description);
        let follows = match decision {
            Decision::ForkAfter(wait) if wait.is_zero() => "its successor is forked".to_owned(),
            Decision::ForkAfter(wait) => format!("its successor is forked in {} ms", wait.as_millis()),
            Decision::GiveUp => "it is given up: it ends as soon as it starts".to_owned(),
        };
        match exit.cause {
            Cause::Signal(signal) if exit.cause.is_fault() => tracing::error!(
                "process {pid} ({what}) faulted (signal {signal}), {} records lost; {follows}. It may have written \
                 into shared memory before: watch the log, and restart the server if it tells of damage",
                exit.records_lost
            ),
            Cause::Signal(signal) => tracing::error!(
                "process {pid} ({what}) was ended by signal {signal}, {} records lost; {follows}",
                exit.records_lost
            ),
            Cause::Code(tocsin_process::REPLACE_ME) => {
                tracing::info!("process {pid} ({what}) makes room; {follows}");
            }
            Cause::Code(code) => tracing::error!("process {pid} ({what}) left with code {code}; {follows}"),
        }
        events::process_exit(self.server, exit, group.kind.name());
    }

    fn ready(&mut self) {
        logging::untold(|| tracing::info!("serving"));
        if let Some(waiting) = self.waiting.take() {
            waiting.ready();
        }
        self.server.words.started.store(1, Release);
        self.server.status.set_core(CoreState::Running);
        (self.server.on_ready)(self.server);
    }

    fn ending(&self) {
        self.server.words.ending.store(1, Release);
        self.server.status.set_core(CoreState::Terminating);
    }

    fn tick(&self) {
        self.server.arena.recount();
        memory::look_at_shared(self.server);
        self.private.borrow_mut().look(self.server);
        self.spread();
    }

    fn next_look(&self) -> Duration {
        self.rounds.next_look()
    }

    fn scale(&mut self) -> Vec<Change> {
        self.rounds.look()
    }

    fn lets_go(&mut self, member: Member) {
        self.each_address(
            |group, workers, spreading| {
                if group == member.group { spreading.limit(workers) } else { None }
            },
        );
    }

    fn changed(&mut self, change: Change, member: Member, pid: u32) {
        self.rounds.changed(change, member, pid);
    }

    fn left(&self, exit: &Exit) {
        let what = &self.server.plan.groups[exit.member.group].description;
        tracing::info!("process {} ({what}) has finished what it had, and left", exit.pid);
    }
}
