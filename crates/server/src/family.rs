//! The family as the supervisor sees it: what a member runs, and what a death is told as.

use std::cell::RefCell;

use tocsin_process::{Cause, Decision, Detached, Exit, Family, Member};

use crate::memory::PrivateWatch;
use crate::server::Server;
use crate::{events, memory, roles};

/// The server's processes.
#[derive(Debug)]
pub struct ServerFamily {
    server: &'static Server,
    waiting: Option<Detached>,
    private: RefCell<PrivateWatch>,
}

impl ServerFamily {
    /// The family of `server`. `waiting`: whoever has to be told that the server serves.
    pub fn new(server: &'static Server, waiting: Option<Detached>) -> Self {
        Self { server, waiting, private: RefCell::default() }
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
            Cause::Signal(signal) => tracing::error!(
                "process {pid} ({what}) was ended by signal {signal}, {} records lost; {follows}",
                exit.records_lost
            ),
            Cause::Code(tocsin_process::REPLACE_ME) => tracing::info!("process {pid} ({what}) makes room; {follows}"),
            Cause::Code(code) => tracing::error!("process {pid} ({what}) left with code {code}; {follows}"),
        }
        events::process_exit(self.server, exit, group.kind.name());
    }

    fn ready(&mut self) {
        tracing::info!("serving");
        if let Some(waiting) = self.waiting.take() {
            waiting.ready();
        }
        (self.server.on_ready)(self.server);
    }

    fn tick(&self) {
        self.server.arena.recount();
        memory::look_at_shared(self.server);
        self.private.borrow_mut().look(self.server);
    }
}
