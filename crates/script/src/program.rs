//! A configuration that has been checked: its settings, and the code of its routes.

use std::fmt;

use crate::call::Host;
use crate::code::Op;
use crate::diagnostics::{Diagnostic, Diagnostics, Errors};
use crate::global::{GlobalSetting, GlobalValue};
use crate::library::Slots;
use crate::route::RouteKind;
use crate::route::{RouteId, RouteTable};
use crate::source::Place;
use crate::source::{SourceMap, Span};
use crate::value::{Bytes, Value};
use crate::vars::ScriptVars;
use std::rc::Rc;
use std::time::Duration;

/// How often a loop runs before it is stopped, unless `max_while_loops` says otherwise (manual, "Core Parameters").
pub const DEFAULT_MAX_WHILE_LOOPS: u32 = 10_000;

/// The low bits of a position are the operation, counted from 1; those above are the version of the program.
const POSITION_BITS: u32 = 24;
const POSITION_MASK: u32 = (1 << POSITION_BITS) - 1;
/// Operations that one program has at most.
pub const MAX_OPERATIONS_OF_PROGRAM: usize = POSITION_MASK as usize;

/// A module parameter as it was set.
#[derive(Clone, Debug)]
pub struct ModuleSetting {
    /// The module.
    pub module: String,
    /// The parameter.
    pub name: String,
    /// A number or a string.
    pub value: Value,
    /// Why nothing comes of it; `None` if something does.
    pub idle: Option<&'static str>,
    /// Where the value stands.
    pub span: Span,
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
    pub(crate) warnings: Vec<String>,
    pub(crate) slots: Slots,
    pub(crate) globals: Vec<GlobalSetting>,
    pub(crate) modules: Vec<String>,
    /// The modules again, with the place of each `loadmodule`.
    pub(crate) loading: Vec<(String, Span)>,
    pub(crate) settings: Vec<ModuleSetting>,
    pub(crate) table: Rc<RouteTable>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) code: Vec<Op<C>>,
    /// What is added to each position: the version.
    pub(crate) positions: u32,
    pub(crate) max_while_loops: u32,
    pub(crate) max_operations: u64,
    pub(crate) max_stretch: Duration,
    pub(crate) traced: bool,
}

impl<C: Host> Program<C> {
    /// Reports every function call, and how long it took, to the host: [`Host::action_done`].
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

    /// Gives `$var(name)` a value before a script runs. Returns `false`, and does nothing, if no script names it: neither this
    /// one nor one that was compiled with the same variables.
    pub fn set_variable(&self, vars: &mut ScriptVars, name: &Bytes, value: Value) -> bool {
        let slots = self.slots.borrow();
        let slot = slots.get(name);
        if let Some(slot) = slot {
            vars.set_slot(*slot, value);
        }
        slot.is_some()
    }

    /// Makes this the version of that number: a process that runs another version does not mistake a position in the one for
    /// a position in the other. The last 8 bits count.
    pub fn set_version(&mut self, version: u32) {
        self.positions = version << POSITION_BITS;
    }

    /// What can be used and is probably not meant so, each with its place, in one line.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The global parameters in the order they are set; a later value usually takes the place of an earlier one.
    pub fn globals(&self) -> &[GlobalSetting] {
        &self.globals
    }

    /// The last value of a global parameter.
    pub fn global(&self, name: &str) -> Option<&GlobalValue> {
        self.globals.iter().rev().find(|setting| setting.name == name).map(|setting| &setting.value)
    }

    /// Refuses this program for what its host finds wrong with values in it: the errors, with the text they point into.
    pub fn refuse(self, errors: impl IntoIterator<Item = Diagnostic>) -> Diagnostics {
        let mut found = Errors::default();
        errors.into_iter().for_each(|error| found.add_with_help(error.span, error.message, error.help));
        found.finish(self.source)
    }

    /// `FILE:LINE:COLUMN` of a place in the configuration.
    pub fn place(&self, span: Span) -> String {
        let at = self.source.position(span);
        format!("{}:{}:{}", self.source.file(span).name(), at.line, at.column)
    }

    /// The modules in the order they are loaded.
    pub fn modules(&self) -> &[String] {
        &self.modules
    }

    /// Where a module is first loaded.
    pub fn module_span(&self, name: &str) -> Option<Span> {
        self.loading.iter().find(|(module, _)| module == name).map(|(_, span)| *span)
    }

    /// The module parameters in the order they are set.
    pub fn module_settings(&self) -> &[ModuleSetting] {
        &self.settings
    }

    /// A route; the name is empty for `route`, `onreply_route` and those that have none.
    pub fn route(&self, kind: RouteKind, name: &[u8]) -> Option<RouteId> {
        self.table.find(kind, name)
    }

    /// The route of the number that [`RouteId::to_bits`] gave, if this program has one of the same type and name.
    pub fn route_from_bits(&self, bits: u32) -> Option<RouteId> {
        self.table.of_key(bits)
    }

    /// All routes, in the order they are written.
    pub fn routes(&self) -> impl Iterator<Item = RouteId> + use<C> {
        self.table.ids()
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
        self.routes().filter_map(|route| Some((route, self.entries.get(route.index as usize)?.interval?)))
    }

    /// The statement that a script is at, from what [`Host::position`] holds in whichever process; `None` if none runs, or
    /// one of another version.
    pub fn statement(&self, position: u32) -> Option<Statement<'_>> {
        if position & !POSITION_MASK != self.positions {
            return None;
        }
        let operation = (position & POSITION_MASK).checked_sub(1)?;
        if operation as usize >= self.code.len() {
            return None;
        }
        // The code of a route goes from its entry to the next one.
        let before = self.routes().filter_map(|route| {
            let start = self.entries.get(route.index as usize)?.start;
            (start <= operation).then_some((start, route))
        });
        let (_, route) = before.max()?;
        Some(Statement { place: self.table.place(operation), route: self.table.text(route) })
    }

    /// The text of the configuration, for messages about its settings.
    pub fn source(&self) -> &SourceMap {
        &self.source
    }
}
