//! One run of one case: its actors, the time between its steps, and what was received in the end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::cases::{is_set, list};
use super::super::clock::{millis, readable};
use super::Played;
use super::actor::{Actor, Actors};
use super::fill::Filling;
use super::normal::{Names, Normal};
use super::server::{Command, Server};

/// How long a case goes on after its last step, in milliseconds.
const SETTLE: u64 = 300;
/// How often the end of a wait is looked at.
const LOOK: Duration = Duration::from_millis(50);

static NUMBER: AtomicU32 = AtomicU32::new(1);

pub(super) struct Run<'a> {
    pub(super) case: &'a Value,
    pub(super) server: &'a Server,
    /// A text that no other run has.
    pub(super) id: String,
    /// Ports of the server and of the actors, by name.
    pub(super) ports: HashMap<String, u16>,
    /// What stands for a port in what is compared.
    pub(super) names: HashMap<u16, String>,
    pub(super) actors: Actors,
    /// The management command that is under way.
    pub(super) command: Option<Command>,
    pub(super) answers: Vec<Vec<u8>>,
}

impl<'a> Run<'a> {
    pub(super) fn new(case: &'a Value, server: &'a Server) -> Self {
        let mut ports = server.ports.clone();
        let actors: Actors = case["actors"]
            .as_object()
            .expect("a case has actors")
            .iter()
            .map(|(name, kind)| (name.clone(), Actor::new(name, kind.as_str().unwrap())))
            .collect();
        ports.extend(actors.iter().map(|(name, actor)| (name.clone(), actor.port)));
        let names = ports.iter().map(|(name, port)| (*port, name.clone())).collect();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b1);
        Self {
            case,
            server,
            id: format!("c{number:08x}z"),
            ports,
            names,
            actors,
            command: None,
            answers: Vec::new(),
        }
    }

    /// Takes the steps one after the other, up to the first that is impossible.
    pub(super) fn play(mut self) -> Played {
        let mut problem = None;
        for step in list(self.case, "steps") {
            if let Err(missing) = self.step(step)
                && !is_set(step, "optional")
            {
                problem = Some(missing);
                break;
            }
        }
        self.pump(millis(&self.case["settle_ms"], SETTLE), |_| false);
        let names = Names { id: &self.id, ports: &self.names, dir: &self.server.dir() };
        let mut normal = Normal::new(names, list(self.case, "steps"));
        Played { items: normal.items(self.case, &self.actors, &self.answers), problem }
    }

    /// Takes what comes for some time, or until something is done. Returns whether it was.
    pub(super) fn pump(&mut self, time: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let deadline = Instant::now() + time;
        loop {
            self.actors.values_mut().for_each(Actor::read);
            if let Some(command) = &mut self.command {
                command.read();
            }
            if done(self) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let mut sockets: Vec<_> = self.actors.values().flat_map(Actor::sockets).collect();
            sockets.extend(self.command.as_ref().map(Command::socket));
            readable(&sockets, left.min(LOOK));
        }
    }

    pub(super) fn filling(&self) -> Filling<'_> {
        Filling { id: &self.id, ports: &self.ports, actors: &self.actors }
    }
}
