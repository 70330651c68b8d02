//! A configuration that has been checked: its settings, and the code of its routes.

use std::collections::HashMap;
use std::fmt;

use crate::call::{Host, NamedParams, Place};
use crate::library::RouteKind;
use crate::source::{SourceMap, Span};
use crate::value::{Bytes, Value};
use crate::vars::Mark;
use crate::vm::{Execution, Op};
use std::rc::Rc;
use std::time::Duration;

/// How often a loop runs before it is stopped, unless `max_while_loops` says otherwise (manual, "Core Parameters").
pub const DEFAULT_MAX_WHILE_LOOPS: u32 = 10_000;

/// A route of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub(crate) u32);

impl RouteId {
    /// The route as a function's argument: [`ParamKind::Route`](crate::ParamKind::Route).
    pub fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Int(number) => u32::try_from(*number).ok().map(Self),
            _ => None,
        }
    }

    /// A number to keep where the route itself cannot be kept, such as in a transaction's record.
    pub fn to_bits(self) -> u32 {
        self.0
    }

    /// The route of such a number, if this program has one.
    pub fn from_bits<C: Host>(bits: u32, program: &Program<C>) -> Option<Self> {
        ((bits as usize) < program.entries.len()).then_some(Self(bits))
    }
}

/// The value of a global parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GlobalValue {
    /// A number.
    Int(i64),
    /// A string.
    Str(Bytes),
    /// Yes or no.
    Bool(bool),
    /// An address to listen at, or an alias.
    Socket(SocketSpec),
    /// How many workers, and the profile that scales them.
    Workers {
        /// Number of processes.
        count: u32,
        /// Name of an auto-scaling profile.
        profile: Option<String>,
    },
    /// An auto-scaling profile.
    Profile(ProfileSpec),
}

/// `PROTOCOL:ADDRESS[:PORT[-PORT]]` with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSpec {
    /// In lower case, such as `udp`.
    pub protocol: String,
    /// An IP address (IPv6 without brackets), a host name, an interface, or `*`.
    pub host: String,
    /// First and last port.
    pub ports: Option<(u16, u16)>,
    /// In the order written.
    pub options: Vec<SocketOption>,
}

/// An option of a socket (manual, "Core Parameters", socket).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketOption {
    /// `as HOST[:PORT]`: what is told to others.
    As {
        /// Advertised host.
        host: String,
        /// Advertised port.
        port: Option<u16>,
    },
    /// `use_workers N`
    UseWorkers(u32),
    /// `use_auto_scaling_profile NAME`
    UseAutoScalingProfile(String),
    /// `tag NAME`
    Tag(String),
    /// `tos N`, a number or a name
    TypeOfService(String),
    /// `anycast`
    Anycast,
    /// `frag`
    Fragment,
    /// `reuse_port`
    ReusePort,
    /// `accept_subdomain`
    AcceptSubdomain,
}

/// An auto-scaling profile (manual, "Core Parameters", auto_scaling_profile).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileSpec {
    /// Its name.
    pub name: String,
    /// At most so many processes.
    pub most: u32,
    /// More are forked above this load, in percent ...
    pub up_percent: u32,
    /// ... in so many cycles ...
    pub up_cycles: u32,
    /// ... out of so many.
    pub up_window: u32,
    /// `scale down`: at least so many processes, below this load in percent, for so many cycles.
    pub down: Option<(u32, u32, u32)>,
}

/// A global parameter as it was set.
#[derive(Clone, Debug)]
pub struct GlobalSetting {
    /// The parameter.
    pub name: String,
    /// Its value.
    pub value: GlobalValue,
    /// Where it is named.
    pub span: Span,
}

/// A module parameter as it was set.
#[derive(Clone, Debug)]
pub struct ModuleSetting {
    /// The module.
    pub module: String,
    /// The parameter.
    pub name: String,
    /// A number or a string.
    pub value: Value,
    /// Where the value stands.
    pub span: Span,
}

/// Kind, name and text of each route, the names of the files, and the line of each operation; shared with the scripts
/// that run.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    pub(crate) routes: Vec<RouteName>,
    pub(crate) by_name: HashMap<RouteKind, HashMap<Bytes, RouteId>>,
    pub(crate) files: Vec<String>,
    /// By operation.
    pub(crate) marks: Vec<Mark>,
}

#[derive(Debug)]
pub(crate) struct RouteName {
    pub(crate) kind: RouteKind,
    pub(crate) name: Option<Bytes>,
    pub(crate) text: Bytes,
}

impl RouteTable {
    /// Adds a route; a route of the same name stays as it is and is returned as an error.
    pub(crate) fn add(&mut self, kind: RouteKind, name: Option<Bytes>) -> Result<RouteId, RouteId> {
        let key = name.clone().unwrap_or_default();
        let id = RouteId(self.routes.len() as u32);
        let routes = self.by_name.entry(kind).or_default();
        if let Some(known) = routes.get(&key) {
            return Err(*known);
        }
        routes.insert(key, id);
        let text = match &name {
            Some(name) => Bytes::from([kind.keyword().as_bytes(), b"[", name, b"]"].concat()),
            None => Bytes::from(kind.keyword()),
        };
        self.routes.push(RouteName { kind, name, text });
        Ok(id)
    }

    pub(crate) fn find(&self, kind: RouteKind, name: &[u8]) -> Option<RouteId> {
        self.by_name.get(&kind)?.get(name).copied()
    }

    /// The file and line of an operation.
    pub(crate) fn place(&self, operation: u32) -> Place<'_> {
        let mark = self.marks.get(operation as usize).copied().unwrap_or_default();
        let file = self.files.get(mark.file as usize).map_or("", String::as_str);
        Place { file, line: mark.line }
    }

    pub(crate) fn kind(&self, id: RouteId) -> RouteKind {
        self.routes.get(id.0 as usize).map_or(RouteKind::Request, |route| route.kind)
    }

    pub(crate) fn name(&self, id: RouteId) -> Option<&Bytes> {
        self.routes.get(id.0 as usize)?.name.as_ref()
    }

    pub(crate) fn text(&self, id: RouteId) -> &[u8] {
        self.routes.get(id.0 as usize).map_or(b"", |route| &route.text)
    }
}

/// Where a route's code begins, and what it needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) start: u32,
    /// How deep its loops nest.
    pub(crate) counters: u32,
    /// Seconds, of a timer route.
    pub(crate) interval: Option<u32>,
}

/// A statement of a program; prints as `FILE:LINE in route[NAME]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// Its file and line.
    pub place: Place<'a>,
    /// Type and name of the route it stands in, as `route[NAME]`.
    pub route: &'a [u8],
}

impl fmt::Display for Statement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let route = String::from_utf8_lossy(self.route);
        write!(f, "{}:{} in {route}", self.place.file, self.place.line)
    }
}

/// A configuration, checked and ready to run.
pub struct Program<C: Host> {
    pub(crate) source: SourceMap,
    pub(crate) globals: Vec<GlobalSetting>,
    pub(crate) modules: Vec<String>,
    pub(crate) settings: Vec<ModuleSetting>,
    pub(crate) table: Rc<RouteTable>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) code: Vec<Op<C>>,
    pub(crate) max_while_loops: u32,
    pub(crate) max_operations: u64,
    pub(crate) max_stretch: Duration,
    pub(crate) traced: bool,
}

impl<C: Host> Program<C> {
    /// Has the host told of every function call and how long it took: [`Host::action_done`].
    pub fn trace_actions(&mut self, traced: bool) {
        self.traced = traced;
    }

    /// Ends scripts after so many operations without a wait, instead of
    /// [`DEFAULT_MAX_OPERATIONS`](crate::DEFAULT_MAX_OPERATIONS).
    pub fn limit_operations(&mut self, most: u64) {
        self.max_operations = most;
    }

    /// Ends scripts that run so long without a wait, instead of [`DEFAULT_MAX_STRETCH`](crate::DEFAULT_MAX_STRETCH).
    pub fn limit_stretch(&mut self, most: Duration) {
        self.max_stretch = most;
    }

    /// The global parameters in the order they are set; a later value usually takes the place of an earlier one.
    pub fn globals(&self) -> &[GlobalSetting] {
        &self.globals
    }

    /// The last value of a global parameter.
    pub fn global(&self, name: &str) -> Option<&GlobalValue> {
        self.globals.iter().rev().find(|setting| setting.name == name).map(|setting| &setting.value)
    }

    /// The modules in the order they are loaded.
    pub fn modules(&self) -> &[String] {
        &self.modules
    }

    /// The module parameters in the order they are set.
    pub fn module_settings(&self) -> &[ModuleSetting] {
        &self.settings
    }

    /// A route; the name is empty for `route`, `onreply_route` and those that have none.
    pub fn route(&self, kind: RouteKind, name: &[u8]) -> Option<RouteId> {
        self.table.find(kind, name)
    }

    /// All routes, in the order they are written.
    pub fn routes(&self) -> impl Iterator<Item = RouteId> + use<C> {
        (0..self.table.routes.len() as u32).map(RouteId)
    }

    /// The type of a route.
    pub fn route_kind(&self, route: RouteId) -> RouteKind {
        self.table.kind(route)
    }

    /// The name of a route, if it has one.
    pub fn route_name(&self, route: RouteId) -> Option<&Bytes> {
        self.table.name(route)
    }

    /// The timer routes with their intervals in seconds.
    pub fn timer_routes(&self) -> impl Iterator<Item = (RouteId, u32)> {
        self.routes().filter_map(|route| Some((route, self.entries.get(route.0 as usize)?.interval?)))
    }

    /// The statement that a script is at, from what [`Host::position`] holds in whichever process; `None` if none runs.
    pub fn statement(&self, position: u32) -> Option<Statement<'_>> {
        let operation = position.checked_sub(1)?;
        if operation as usize >= self.code.len() {
            return None;
        }
        // The code of a route goes from its entry to the next one.
        let before = self.routes().filter_map(|route| {
            let start = self.entries.get(route.0 as usize)?.start;
            (start <= operation).then_some((start, route))
        });
        let (_, route) = before.max()?;
        Some(Statement { place: self.table.place(operation), route: self.table.text(route) })
    }

    /// The text of the configuration, for messages about its settings.
    pub fn source(&self) -> &SourceMap {
        &self.source
    }

    /// A run of a route, not yet begun: see [`Execution::run`].
    pub fn start(&self, route: RouteId) -> Execution {
        let mut execution = Execution::new();
        execution.restart(route, NamedParams::new());
        execution
    }
}
