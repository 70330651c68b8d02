//! What all processes share of the streams: the table of connections, and a mailbox for each process that serves them.

use std::sync::atomic::Ordering::Relaxed;

use thiserror::Error;
use tocsin_net::Mailbox;
use tocsin_net::connections::{Connections, Keeper};
use tocsin_process::{Kind, Plan};
use tocsin_shm::{Arena, ArenaFull, ProcessTable, SlotState};

/// Why streams cannot be served.
#[derive(Debug, Error)]
pub enum ExchangeError {
    /// Shared memory is too small for the table of connections.
    #[error(transparent)]
    Memory(#[from] ArenaFull),
    /// The system gives no mailboxes.
    #[error("no descriptors for the mailboxes of the TCP workers: {0}")]
    Mailbox(#[from] std::io::Error),
}

/// The shared part. Made before the first fork.
#[derive(Debug)]
pub struct Exchange {
    /// Every connection.
    pub connections: Connections,
    /// Letters to the process that accepts.
    pub main: Mailbox,
    /// Letters to each TCP worker, by its index in the group.
    pub workers: Vec<Mailbox>,
    /// The process slot of each TCP worker.
    slots: Vec<u16>,
}

impl Exchange {
    /// An exchange for `most` connections and `workers` TCP workers.
    pub fn create(arena: &'static Arena, most: usize, workers: usize) -> Result<Self, ExchangeError> {
        Ok(Self {
            connections: Connections::create(arena, most)?,
            main: Mailbox::open()?,
            workers: (0..workers).map(|_| Mailbox::open()).collect::<Result<_, _>>()?,
            slots: Vec::new(),
        })
    }

    /// Learns which slots the TCP workers have.
    pub fn seat(&mut self, plan: &Plan) {
        let tcp = plan.members().into_iter().filter(|m| plan.groups[m.group].kind == Kind::Tcp);
        let mut seats: Vec<_> = tcp.map(|member| (member.index, member.slot)).collect();
        seats.sort_unstable();
        self.slots = seats.into_iter().map(|(_, slot)| slot).collect();
    }

    /// The worker that has index `index` now; `None` while there is none that serves.
    pub fn keeper(&self, table: &ProcessTable, index: u16) -> Option<Keeper> {
        let slot = table.slot(*self.slots.get(usize::from(index))?);
        (slot.state() == SlotState::Running)
            .then(|| Keeper { index, generation: slot.generation.load(Relaxed) })
    }

    /// Whether `keeper` is alive: starting, serving or finishing.
    pub fn is_alive(&self, table: &ProcessTable, keeper: Keeper) -> bool {
        self.slots.get(usize::from(keeper.index)).is_some_and(|slot| {
            let slot = table.slot(*slot);
            slot.pid.load(Relaxed) != 0 && slot.generation.load(Relaxed) == keeper.generation
        })
    }
}
