//! What all processes share of the streams: the table of connections, and a mailbox for each process that serves them.

use std::sync::atomic::Ordering::Relaxed;

use thiserror::Error;
use tocsin_net::connections::{Connections, OwnerId};
use tocsin_net::{Mailbox, Protocol};
use tocsin_process::{Kind, Plan};
use tocsin_shm::{Arena, ArenaFull, ProcessTable, SlotState};

use super::pending::PendingTable;
use super::served::ServedMessages;
use tocsin_telemetry::statistic_row::StatRow;
use tocsin_telemetry::statistics::{StatId, Statistics};

/// Why streams cannot be served.
#[derive(Debug, Error)]
pub enum SharedConnectionsError {
    /// Shared memory is too small for the table of connections.
    #[error(transparent)]
    Memory(#[from] ArenaFull),
    /// The system gives no mailboxes.
    #[error("no descriptors for the mailboxes of the TCP workers: {0}")]
    Mailbox(#[from] std::io::Error),
}

/// The group is for all stream protocols.
const GROUP: &str = "tcp";
const CONNECTIONS: StatRow = StatRow::value(
    GROUP,
    "<protocol>_connections",
    "Connections of a protocol: `tcp`, `tls`, `ws` or `wss`.",
);
const ACCEPTED: StatRow = StatRow::counter(GROUP, "accepted", "Connections accepted.");
const REFUSED: StatRow =
    StatRow::counter(GROUP, "refused", "Connections refused because `tcp_max_connections` were open.");
const OPENED: StatRow = StatRow::counter(GROUP, "opened", "Connections that this server opened.");
const FAILED: StatRow = StatRow::counter(GROUP, "failed", "Connections that this server could not open.");
const ENDED: StatRow = StatRow::counter(GROUP, "ended", "Connections that ended.");

/// The group tcp.
pub const STREAM_STATISTICS: &[StatRow] = &[CONNECTIONS, ACCEPTED, REFUSED, OPENED, FAILED, ENDED];

/// Registered counters of [`STREAM_STATISTICS`], which says what each counts.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each is documented in its row")]
pub struct StreamCounters {
    pub accepted: StatId,
    pub refused: StatId,
    pub opened: StatId,
    pub failed: StatId,
    pub ended: StatId,
}

impl StreamCounters {
    fn register(statistics: &mut Statistics, connections: Connections) -> Self {
        statistics.computed(GROUP, move |each| {
            for protocol in Protocol::ALL.into_iter().filter(|protocol| protocol.is_stream()) {
                let count = connections.all().filter(|view| view.protocol == protocol).count();
                each(&CONNECTIONS.of(protocol.name()), count as i64);
            }
        });
        Self {
            accepted: statistics.counter(&ACCEPTED),
            refused: statistics.counter(&REFUSED),
            opened: statistics.counter(&OPENED),
            failed: statistics.counter(&FAILED),
            ended: statistics.counter(&ENDED),
        }
    }
}

/// The shared part. Made before the first fork.
#[derive(Debug)]
pub struct SharedConnections {
    /// Every connection.
    pub connections: Connections,
    /// What is counted of them.
    pub counters: StreamCounters,
    /// Messages to the process that accepts.
    pub main: Mailbox,
    /// Messages to each TCP worker, by its index in the group.
    pub workers: Vec<Mailbox>,
    /// Requests that are queued in one process alone.
    pub(super) pending: PendingTable,
    /// Which messages were served.
    pub messages: ServedMessages,
    /// The process slot of each TCP worker.
    slots: Vec<u16>,
}

impl SharedConnections {
    /// The shared part for `most` connections and `workers` TCP workers.
    pub fn create(
        arena: &'static Arena,
        most: usize,
        workers: usize,
        statistics: &mut Statistics,
    ) -> Result<Self, SharedConnectionsError> {
        let connections = Connections::create(arena, most)?;
        Ok(Self {
            connections,
            counters: StreamCounters::register(statistics, connections),
            main: Mailbox::open()?,
            workers: (0..workers).map(|_| Mailbox::open()).collect::<Result<_, _>>()?,
            pending: PendingTable::create(arena)?,
            messages: ServedMessages::create(arena, workers)?,
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
    pub fn owner(&self, table: &ProcessTable, index: u16) -> Option<OwnerId> {
        let slot = table.slot(*self.slots.get(usize::from(index))?);
        slot.serves().then(|| OwnerId { index, generation: slot.generation.load(Relaxed) })
    }

    /// Whether nobody is meant to be the worker that has index `index`.
    pub fn is_vacant(&self, table: &ProcessTable, index: u16) -> bool {
        self.slots.get(usize::from(index)).is_some_and(|slot| table.slot(*slot).is_vacant())
    }

    /// The mailboxes that nobody reads: their workers have left, and have no successors.
    pub fn unread<'a>(&'a self, table: &'a ProcessTable) -> impl Iterator<Item = &'a Mailbox> {
        self.workers.iter().zip(&self.slots).filter_map(|(mailbox, slot)| {
            let slot = table.slot(*slot);
            (slot.is_vacant() && slot.state() == SlotState::Free).then_some(mailbox)
        })
    }

    /// Whether the worker that has index `index` has stopped coming back to its main loop.
    pub fn is_stalled(&self, table: &ProcessTable, index: u16) -> bool {
        self.slots.get(usize::from(index)).is_some_and(|slot| table.slot(*slot).is_stalled())
    }

    /// Private memory of the worker that has index `index` now.
    pub fn private_bytes(&self, table: &ProcessTable, index: u16) -> u64 {
        let slot = self.slots.get(usize::from(index)).map(|slot| table.slot(*slot));
        slot.map_or(0, |slot| u64::try_from(slot.private_bytes.load(Relaxed)).unwrap_or(0))
    }

    /// Whether `owner` is alive: starting, serving or finishing.
    pub fn is_alive(&self, table: &ProcessTable, owner: OwnerId) -> bool {
        self.slots.get(usize::from(owner.index)).is_some_and(|slot| {
            let slot = table.slot(*slot);
            slot.pid.load(Relaxed) != 0 && slot.generation.load(Relaxed) == owner.generation
        })
    }

    /// Whether the process `pid` of the family is alive.
    pub fn runs(table: &ProcessTable, pid: u32) -> bool {
        table.living().any(|(_, slot)| slot.pid.load(Relaxed) == pid)
    }
}
