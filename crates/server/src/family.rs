//! The family as the supervisor sees it: what a member runs, and how a death is reported.

use std::cell::RefCell;
use std::sync::atomic::Ordering::{Relaxed, Release};

use std::time::Duration;

use tocsin_process::{Cause, Change, Decision, Detached, Exit, Family, Member};

use crate::logging::Level;
use crate::memory::PrivateWatch;
use crate::scaling::Cycles;
use crate::server::Server;
use crate::status_report::CoreState;
use crate::traffic::Traffic;
use crate::{events, logging, roles};

/// The server's processes.
#[derive(Debug)]
pub struct ServerFamily {
    server: &'static Server,
    waiting: Option<Detached>,
    /// The name of the configuration.
    configuration: String,
    private: RefCell<PrivateWatch>,
    traffic: Traffic,
    cycles: Cycles,
}

impl ServerFamily {
    /// The family of `server`, which runs the `configuration` of this name. `waiting`: the process that waits until the
    /// server serves.
    pub fn new(server: &'static Server, configuration: String, waiting: Option<Detached>) -> Self {
        let (traffic, cycles) = (Traffic::new(server), Cycles::new(server));
        Self { server, waiting, configuration, private: RefCell::default(), traffic, cycles }
    }

    fn say_where_it_serves(&self) {
        let addresses: Vec<_> =
            self.server.network.sockets.all().iter().map(|listener| &*listener.name).collect();
        let (addresses, pid) = (addresses.join(", "), nix::unistd::getpid());
        let text =
            format!("core:main: serving {addresses}: process {pid}, configuration {}", self.configuration);
        logging::line_untold(Level::Notice, &text);
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
        if decision != Decision::ForkAfter(Duration::ZERO) {
            self.traffic.settle();
        }
        events::process_exit(&self.server.events, exit, group.kind.name());
    }

    fn ready(&mut self) {
        self.say_where_it_serves();
        logging::started();
        logging::limit_floods();
        if let Some(waiting) = self.waiting.take() {
            waiting.ready();
        }
        self.server.words.started.store(1, Release);
        self.server.registered.status.set_core(CoreState::Running);
        (self.server.on_ready)(self.server);
    }

    fn ending(&self) {
        self.server.words.ending.store(1, Release);
        self.server.registered.status.set_core(CoreState::Terminating);
    }

    fn hung_up(&self) {
        tracing::info!("SIGHUP: the routes are loaded anew");
        self.server.versions.ask();
    }

    fn tick(&self) {
        crate::reload::catch_up(self.server);
        logging::report_floods();
        self.server.arena.recount();
        self.server.memory.look_at_shared(&self.server.events);
        self.private.borrow_mut().look(&self.server.memory, &self.server.events);
        self.traffic.look(|group| self.cycles.scales(group));
    }

    fn next_look(&self) -> Duration {
        self.cycles.next_look()
    }

    fn scale(&mut self) -> Vec<Change> {
        self.cycles.look()
    }

    fn relieves(&mut self, full: Member, successor: Member, pid: u32) {
        let what = &self.server.plan.groups[full.group].description;
        let old = self.server.table.slot(full.slot).pid.load(Relaxed);
        tracing::info!("process {old} ({what}) makes room for process {pid}, with the ID {}", successor.slot);
        self.traffic.settle();
    }

    fn lets_go(&mut self, _: Member) {
        self.traffic.settle();
    }

    fn changed(&mut self, change: Change, member: Member, pid: u32) {
        self.cycles.changed(change, member, pid);
    }

    fn left(&self, exit: &Exit, relieved: bool) {
        let group = &self.server.plan.groups[exit.member.group];
        let what = &group.description;
        tracing::info!("process {} ({what}) has finished what it had, and left", exit.pid);
        if relieved {
            events::process_exit(&self.server.events, exit, group.kind.name());
        }
    }
}
