//! What a module is: names for the script, state made before the fork, commands, processes and periodic jobs.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::future::Future;
use std::hash::{BuildHasherDefault, Hasher};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tocsin_event::{OwnListener, Transports};
use tocsin_process::{Kind, MadeFile};
use tocsin_script::{Bytes, ModParam, ModParamDefault, ModuleSpec, Value, is_on};
use tocsin_shm::{Arena, Sweep};
use tocsin_sip::Edits;

use crate::caches::Caches;
use crate::context::Context;
use crate::databases::Databases;
use crate::event_routes::EventRoutes;
use crate::notes::Observer;
use crate::security::Security;
use crate::settings::Settings;
pub use crate::setup_error::SetupError;
use crate::sockets::Listener;
use crate::statistic_row::StatRow;
use crate::statistics::Statistics;
use crate::status_report::StatusReports;
use crate::stream_options::StreamOptionsByProtocol;
use crate::tcp_profile::TcpPaths;
use crate::tls_selections::TlsSelections;
use crate::transaction::Transactions;
use crate::worker::Worker;

/// A module that a configuration can load.
///
/// ```
/// use std::rc::Rc;
///
/// use tocsin_script::{Call, Function, ModuleSpec, Outcome, Routes};
/// use tocsin_server::Context;
/// use tocsin_server::module::{Module, Setup, SetupError};
///
/// /// `loadmodule "mute.so"` brings the function `mute()`: the script ends, and nobody gets an answer.
/// struct Mute;
///
/// impl Module for Mute {
///     fn spec(&self) -> ModuleSpec<Context> {
///         let mute = Function::new("mute", &[], Routes::REQUEST, |_| {
///             let call: Call<Context> = Rc::new(|cx, _| {
///                 cx.answered = true;
///                 Outcome::Exit
///             });
///             Ok(call)
///         });
///         ModuleSpec { functions: vec![mute], ..ModuleSpec::new("mute") }
///     }
///
///     fn start(&self, _: &mut Setup<'_>) -> Result<(), SetupError> {
///         Ok(())
///     }
/// }
/// ```
pub trait Module {
    /// The names it brings to the script: parameters, functions, variables.
    fn spec(&self) -> ModuleSpec<Context>;

    /// Makes its state, before the first fork. Everything that processes share is made here.
    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError>;

    /// What it shows to those who manage the server.
    fn management(&self) -> Management {
        Management::default()
    }
}

/// A management command, declared once: as a process does it that answers management clients.
pub type CommandRow = tocsin_mi::CommandRow<&'static Worker>;

/// What a module shows to those who manage the server: tables of rows, from which it is registered and documented.
#[derive(Debug, Clone, Copy, Default)]
pub struct Management {
    /// Its commands.
    pub commands: &'static [CommandRow],
    /// Its statistics.
    pub statistics: &'static [StatRow],
    /// Its events. They are published in this order.
    pub events: &'static [tocsin_event::Description],
}

/// A future that runs in one process.
pub type Local<T> = Pin<Box<dyn Future<Output = T>>>;

/// Changes a request for the listener that it leaves by. Called for each copy that is sent, with the changes of that copy.
pub type OnLeaving = Rc<dyn Fn(&Context, &Listener, &mut Edits)>;

/// Processes that a module needs for itself.
pub struct ProcessGroup {
    /// What they do.
    pub kind: Kind,
    /// As `ps` shows them.
    pub description: String,
    /// How many.
    pub processes: usize,
    /// What each runs until it is asked to end.
    pub run: Rc<dyn Fn(&'static Worker) -> Local<()>>,
}

impl std::fmt::Debug for ProcessGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ProcessGroup({})", self.description)
    }
}

/// Work that a TIMER process does again and again.
pub struct Job {
    /// For logs.
    pub name: &'static str,
    /// Time between two runs.
    pub every: Duration,
    /// The work; it must not block.
    pub run: Rc<dyn Fn(&'static Worker)>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Job({})", self.name)
    }
}

/// Work that is due when a record's deadline has passed, shard by shard.
pub trait Deadlines {
    /// How many shards there are.
    fn shards(&self) -> usize;
    /// When the shard's next record is due, in milliseconds of the monotonic clock; never too late.
    fn next_due(&self, shard: usize) -> u64;
    /// Does what is due.
    fn expire(&self, worker: &'static Worker, shard: usize, now: u64);
}

/// What modules register while they start, and the server has from then on.
pub struct Registered {
    /// What the parts of the server say about their readiness.
    pub status: StatusReports,
    /// State that functions find again by its type.
    pub states: States,
    /// Ways to deliver events.
    pub transports: Transports,
    /// The workers that run event routes, if a module has them run.
    pub event_routes: Option<Rc<EventRoutes>>,
    /// Key-value stores.
    pub caches: Caches,
    /// Variables of the script, with what each process finds in them at first.
    pub script_variables: Vec<(Bytes, Value)>,
    /// Processes of the modules, by their group.
    pub processes: Vec<ProcessGroup>,
    /// Periodic work.
    pub jobs: Vec<Job>,
    /// Tables with deadlines.
    pub deadlines: Vec<Rc<dyn Deadlines>>,
    /// What is done to a request when it is known which way it leaves.
    pub on_leaving: Vec<OnLeaving>,
    /// Whether an ACK is for a response that was given without a transaction: it goes no further.
    pub is_own_ack: Option<fn(&Context) -> bool>,
    /// The transaction layer, if a module is one.
    pub transactions: Option<Rc<dyn Transactions>>,
    /// What wants to know what becomes of transactions with notes.
    pub observers: Vec<Observer>,
    /// Databases: to offer access to a kind of them, or to name one that is needed.
    pub databases: Databases,
    /// What scripts select of the TLS layer, if a module is one.
    pub tls_selections: Option<Rc<dyn TlsSelections>>,
}

/// What modules find and register before the first fork, one after the other.
pub struct Setup<'a> {
    /// The shared memory.
    pub arena: &'static Arena,
    /// Rows of the process table: the most processes there will be.
    pub slots: u16,
    /// Global parameters.
    pub settings: &'a Settings,
    /// The configuration is only checked: nothing outside of this process may change. No file is made or removed, and no
    /// configured port is taken.
    pub rehearsal: bool,
    /// The `modparam` lines of the module that starts now, in order.
    pub parameters: Parameters,
    /// Statistics.
    pub statistics: Statistics,
    /// Files made for the server, which go when it ends.
    pub files: Vec<MadeFile>,
    /// Tables whose locks the supervisor sweeps after a death.
    pub tables: Vec<&'static dyn Sweep>,
    /// Names of events that modules raise.
    pub(crate) events: Vec<&'static str>,
    /// Where modules listen, beside the `socket=` lines: nobody can subscribe events for these places.
    pub own_listeners: Vec<OwnListener>,
    /// The TLS layer, if a module is one.
    pub security: Option<Rc<dyn Security>>,
    /// How connections of each protocol are served.
    pub streams: StreamOptionsByProtocol,
    /// The module that knows paths of connections, if one does.
    pub tcp_paths: Option<Rc<dyn TcpPaths>>,
    /// What the server has from then on.
    pub registered: Registered,
}

impl Setup<'_> {
    /// The mailboxes of those who run routes for events, made by the first module that needs them.
    ///
    /// # Errors
    /// There is no memory, or there are no descriptors for them.
    pub fn event_routes(&mut self) -> Result<Rc<EventRoutes>, SetupError> {
        if let Some(routes) = &self.registered.event_routes {
            return Ok(Rc::clone(routes));
        }
        let routes = EventRoutes::create(self.arena, self.settings.timer_workers as usize)
            .map_err(|cause| SetupError::Other(cause.to_string()))?;
        self.registered.event_routes = Some(Rc::clone(&routes));
        Ok(routes)
    }
}

/// The `modparam` values of one module.
#[derive(Debug, Clone, Default)]
pub struct Parameters(pub Vec<(String, Value)>);

impl Parameters {
    /// These values, if each fits its row, as in a configuration: what the tests of a module begin with.
    ///
    /// # Errors
    /// The first that does not fit, and why.
    pub fn checked(rows: &[ModParam], given: &[(&str, Value)]) -> Result<Self, String> {
        for (name, value) in given {
            let row = rows.iter().find(|row| row.name == *name);
            let row = row.ok_or_else(|| format!("there is no parameter <{name}>"))?;
            row.accepts(value).map_err(|problem| format!("{name}: {problem}"))?;
        }
        Ok(Self(given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()))
    }

    /// The last value that was given.
    pub fn last(&self, parameter: &ModParam) -> Option<&Value> {
        self.0.iter().rev().find(|(name, _)| name == parameter.name).map(|(_, value)| value)
    }

    /// Every value that was given, in order.
    pub fn every(&self, parameter: &ModParam) -> impl Iterator<Item = &Value> {
        let name = parameter.name;
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value)
    }

    /// The number that holds: the last that was given, or the default; 0 if there is none.
    pub fn int(&self, parameter: &ModParam) -> i64 {
        match (self.last(parameter), parameter.default) {
            (Some(Value::Int(number)), _) => *number,
            (None, ModParamDefault::Number(number)) => number,
            (Some(given), _) => given.to_int().unwrap_or(0),
            (None, _) => 0,
        }
    }

    /// A number of seconds as a time; none if it is less than 0.
    pub fn seconds(&self, parameter: &ModParam) -> Duration {
        Duration::from_secs(u64::try_from(self.int(parameter)).unwrap_or(0))
    }

    /// A number of milliseconds as a time; none if it is less than 0.
    pub fn millis(&self, parameter: &ModParam) -> Duration {
        Duration::from_millis(u64::try_from(self.int(parameter)).unwrap_or(0))
    }

    /// Whether it is on.
    pub fn on(&self, parameter: &ModParam) -> bool {
        match (self.last(parameter), parameter.default) {
            (Some(given), _) => is_on(given).unwrap_or(false),
            (None, default) => default == ModParamDefault::Switch(true),
        }
    }

    /// The text that holds: the last that was given, or the default; empty if there is none.
    pub fn string(&self, parameter: &ModParam) -> String {
        match (self.last(parameter), parameter.default) {
            (Some(Value::Str(text)), _) => text.lossy().into_owned(),
            (Some(Value::Int(number)), _) => number.to_string(),
            (None, ModParamDefault::Text(text)) => text.to_owned(),
            _ => String::new(),
        }
    }
}

/// The state of each module, found by its type.
#[derive(Debug, Default)]
pub struct States(HashMap<TypeId, Box<dyn Any>, BuildHasherDefault<AsItIs>>);

/// A type's identity is a hash already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_ne_bytes(word);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 ^= word;
    }
}

impl States {
    /// Keeps `state`.
    pub fn put<T: 'static>(&mut self, state: T) {
        self.0.insert(TypeId::of::<T>(), Box::new(state));
    }

    /// The state of type `T`, if its module is loaded.
    pub fn find<T: 'static>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>()).and_then(|state| state.downcast_ref())
    }
}
