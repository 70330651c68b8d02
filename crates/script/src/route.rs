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
