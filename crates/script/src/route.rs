//! Routes: their types, their names, and where in the text their code stands.

use std::collections::HashMap;

use bitflags::bitflags;

use crate::source::{Mark, Place};
use crate::value::{Bytes, Value};

/// The types of routes (manual, "Types of routes").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteKind {
    /// `route`: requests, and with a name the sub-routes that any route may call.
    Request,
    /// `branch_route`: each branch of a request before it is sent.
    Branch,
    /// `failure_route`: transactions with negative replies only.
    Failure,
    /// `onreply_route`: replies.
    Reply,
    /// `error_route`: requests that could not be parsed.
    Error,
    /// `local_route`: requests the server itself makes.
    Local,
    /// `startup_route`: once, before any message.
    Startup,
    /// `timer_route`: every so many seconds.
    Timer,
    /// `event_route`: an event was raised.
    Event,
}

impl RouteKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Request,
        Self::Branch,
        Self::Failure,
        Self::Reply,
        Self::Error,
        Self::Local,
        Self::Startup,
        Self::Timer,
        Self::Event,
    ];

    /// The word it is written with.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Request => "route",
            Self::Branch => "branch_route",
            Self::Failure => "failure_route",
            Self::Reply => "onreply_route",
            Self::Error => "error_route",
            Self::Local => "local_route",
            Self::Startup => "startup_route",
            Self::Timer => "timer_route",
            Self::Event => "event_route",
        }
    }
}

bitflags! {
    /// The types of routes a function may be used in.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Routes: u16 {
        /// [`RouteKind::Request`]
        const REQUEST = 1;
        /// [`RouteKind::Branch`]
        const BRANCH = 1 << 1;
        /// [`RouteKind::Failure`]
        const FAILURE = 1 << 2;
        /// [`RouteKind::Reply`]
        const REPLY = 1 << 3;
        /// [`RouteKind::Error`]
        const ERROR = 1 << 4;
        /// [`RouteKind::Local`]
        const LOCAL = 1 << 5;
        /// [`RouteKind::Startup`]
        const STARTUP = 1 << 6;
        /// [`RouteKind::Timer`]
        const TIMER = 1 << 7;
        /// [`RouteKind::Event`]
        const EVENT = 1 << 8;
        /// Everywhere.
        const ANY = 0x1ff;
    }
}

impl Routes {
    /// The keywords of these types of routes, for people.
    pub fn list(self) -> String {
        if self == Self::ANY {
            return "any route".to_owned();
        }
        let kinds = RouteKind::ALL.into_iter().filter(|kind| self.intersects((*kind).into()));
        kinds.map(RouteKind::keyword).collect::<Vec<_>>().join(", ")
    }
}

impl From<RouteKind> for Routes {
    fn from(kind: RouteKind) -> Self {
        Self::from_bits_truncate(1 << kind as u16)
    }
}

/// A route of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId {
    /// Its place in the program.
    pub(crate) index: u32,
    /// What its type and name come to: the same in each program that has such a route.
    key: u32,
}

impl RouteId {
    /// The route as a function's argument: [`ParamKind::Route`](crate::ParamKind::Route).
    pub fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Int(number) => Some(Self { index: *number as u32, key: (number >> 32) as u32 }),
            _ => None,
        }
    }

    /// The inverse of [`Self::from_value`].
    pub(crate) fn to_value(self) -> Value {
        Value::Int(i64::from(self.key) << 32 | i64::from(self.index))
    }

    /// A number to keep where the route itself cannot be kept, such as in a transaction's record. It is made of the type and
    /// the name of the route, so it means the same in a later version of the script; at most 31 bits.
    pub fn to_bits(self) -> u32 {
        self.key
    }
}

/// FNV-1a of the type and the name of a route, in 31 bits.
fn key(kind: RouteKind, name: &[u8]) -> u32 {
    let bytes = std::iter::once(kind as u8).chain(name.iter().copied());
    bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) >> 1
}

/// Kind, name and text of each route, the names of the files, and the line of each operation; shared with the scripts
/// that run.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    pub(crate) routes: Vec<RouteName>,
    pub(crate) by_name: HashMap<RouteKind, HashMap<Bytes, RouteId>>,
    by_key: HashMap<u32, RouteId>,
    pub(crate) files: Vec<String>,
    /// By operation.
    pub(crate) marks: Vec<Mark>,
}

#[derive(Debug)]
pub(crate) struct RouteName {
    pub(crate) kind: RouteKind,
    pub(crate) name: Option<Bytes>,
    pub(crate) text: Bytes,
    key: u32,
}

/// Why a route cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// This one has its name.
    Known(RouteId),
    /// Its key is that of this one, which has another name.
    SameKey(RouteId),
}

impl RouteTable {
    /// Adds a route; those that are there stay as they are.
    pub(crate) fn add(&mut self, kind: RouteKind, name: Option<Bytes>) -> Result<RouteId, NoRoute> {
        let called = name.clone().unwrap_or_default();
        let id = RouteId { index: self.routes.len() as u32, key: key(kind, &called) };
        let routes = self.by_name.entry(kind).or_default();
        if let Some(known) = routes.get(&called) {
            return Err(NoRoute::Known(*known));
        }
        if let Some(known) = self.by_key.get(&id.key) {
            return Err(NoRoute::SameKey(*known));
        }
        routes.insert(called, id);
        self.by_key.insert(id.key, id);
        let text = match &name {
            Some(name) => Bytes::from([kind.keyword().as_bytes(), b"[", name, b"]"].concat()),
            None => Bytes::from(kind.keyword()),
        };
        self.routes.push(RouteName { kind, name, text, key: id.key });
        Ok(id)
    }

    /// All of them, in the order in which they were added.
    pub(crate) fn ids(&self) -> impl Iterator<Item = RouteId> + use<> {
        let keys: Vec<u32> = self.routes.iter().map(|route| route.key).collect();
        keys.into_iter().enumerate().map(|(at, key)| RouteId { index: at as u32, key })
    }

    /// The route here that has the type and the name of `id`, which may be one of another program.
    pub(crate) fn own(&self, id: RouteId) -> Option<RouteId> {
        match self.routes.get(id.index as usize) {
            Some(route) if route.key == id.key => Some(id),
            _ => self.of_key(id.key),
        }
    }

    /// The route of a key.
    pub(crate) fn of_key(&self, key: u32) -> Option<RouteId> {
        self.by_key.get(&key).copied()
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
        self.routes.get(id.index as usize).map_or(RouteKind::Request, |route| route.kind)
    }

    pub(crate) fn name(&self, id: RouteId) -> Option<&Bytes> {
        self.routes.get(id.index as usize)?.name.as_ref()
    }

    pub(crate) fn text(&self, id: RouteId) -> &[u8] {
        self.routes.get(id.index as usize).map_or(b"", |route| &route.text)
    }
}
