//! The server as every process sees it: made once, before the first fork. Only its script may change.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU32};

use tocsin_event::Events;
use tocsin_process::Plan;
use tocsin_script::SourceMap;
use tocsin_shm::{Arena, ProcessTable, Sweep};
use tocsin_streams::Network;

use crate::blocklist::Blocklists;
use crate::context::Context;
use crate::core_statistics::CoreCounters;
use crate::databases::QueryReports;
use crate::memory::MemoryWatch;
use crate::module::{Module, Registered};
use crate::reload::{AtStart, Versions};
use crate::scaling::ScaledGroup;
use crate::script::Script;
use crate::settings::{Overrides, Settings};
use crate::statistics::Statistics;
use crate::turns::Turns;

/// Words of shared memory that belong to the server as a whole.
#[derive(Debug)]
pub struct SharedWords {
    /// The xlog level in force.
    pub xlog_level: &'static AtomicI32,
    /// 1 once the startup route has ended, or there is none and all processes serve.
    pub started: &'static AtomicU32,
    /// 1 once the server ends.
    pub ending: &'static AtomicU32,
}

/// Reads the configuration again, as at the start; or says why that cannot be done. It may take its time, and runs in a
/// thread of its own.
pub type ReadSource = Arc<dyn Fn() -> Result<SourceMap, String> + Send + Sync>;

/// Where the script comes from: what a reload reads, and what it checks against.
pub struct Configuration {
    /// Reads it.
    pub read: ReadSource,
    /// What the command line says beside it.
    pub overrides: Overrides,
    /// All modules that the program has.
    pub modules: Vec<Rc<dyn Module>>,
    /// What the server was started with.
    pub(crate) at_start: AtStart,
}

/// The running server.
pub struct Server {
    /// The shared memory.
    pub arena: &'static Arena,
    /// Its processes.
    pub table: &'static ProcessTable,
    /// Their groups.
    pub plan: Plan,
    /// Global parameters.
    pub settings: Settings,
    /// The script, which may be loaded anew.
    pub versions: Versions<Context>,
    /// Where it comes from.
    pub configuration: Configuration,
    /// Where the server listens, its connections, and how they are served.
    pub network: Network,
    /// Groups whose size follows their load.
    pub scaling: Vec<ScaledGroup>,
    /// Who does periodic work, each time it is due.
    pub turns: Turns,
    /// What modules registered.
    pub registered: Registered,
    /// The loaded modules, in the order of the configuration.
    pub modules: Vec<Rc<dyn Module>>,
    /// Statistics.
    pub statistics: Rc<Statistics>,
    /// The core's counters among them.
    pub counters: CoreCounters,
    /// The Event Interface.
    pub events: Events,
    /// Becomes readable when the event log has something for the courier.
    pub wake: OwnedFd,
    /// What memory is watched against.
    pub memory: MemoryWatch,
    /// What lies in shared memory.
    pub tables: Vec<&'static dyn Sweep>,
    /// Destinations never to send to.
    pub blocklists: Blocklists,
    /// Shared words.
    pub words: SharedWords,
    /// Called in the supervisor once every process serves.
    pub on_ready: fn(&'static Server),
    /// Seconds since 1970 at the start.
    pub started_at: u64,
    /// The command line, for the management interface.
    pub arguments: Vec<String>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl Server {
    /// The state of a module.
    ///
    /// # Panics
    /// When the module is not loaded. A module's functions exist only where it is, so they may ask for their own; for
    /// another module's state use [`States::find`](crate::module::States::find).
    #[expect(clippy::expect_used, reason = "names of a module exist only once its state does")]
    pub fn state<T: 'static>(&self) -> &T {
        self.registered.states.find().expect("the state of a loaded module")
    }

    /// What a query to a database is counted and reported with.
    pub fn query_reports(&self) -> QueryReports<'_> {
        QueryReports { events: &self.events, statistics: &self.statistics, counters: &self.counters }
    }

    /// Whether the server as a whole is ending: what ends with it is not news.
    pub fn is_ending(&self) -> bool {
        self.words.ending.load(std::sync::atomic::Ordering::Acquire) != 0
    }

    /// Whether the configuration loads a module.
    pub fn has_module(&self, name: &str) -> bool {
        self.configuration.at_start.has_module(name)
    }

    /// The version of the script that is in force in this process.
    pub fn script(&self) -> Rc<Script<Context>> {
        self.versions.current()
    }

    /// The statement of the script that the process of `slot` is at, as `FILE:LINE in route[NAME]`; `None` while no script
    /// runs there. Any process may ask: a supervisor names so the line in which a worker is stuck.
    pub fn script_line(&self, slot: u16) -> Option<String> {
        let position = self.table.slot(slot).position.load(std::sync::atomic::Ordering::Relaxed);
        self.script().program.statement(position).map(|statement| statement.to_string())
    }

    /// See [`KeyedHash::hash`](crate::keyed_hash::KeyedHash::hash).
    pub fn keyed_hash(&self, parts: &[&[u8]]) -> u64 {
        self.network.hash.hash(parts)
    }
}
