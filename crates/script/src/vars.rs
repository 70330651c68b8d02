//! What the machine keeps in the host: the `$var` variables, and the state of the script that is running.

use std::collections::HashMap;
use std::rc::Rc;

use regex::bytes::Regex;
use smallvec::SmallVec;

use crate::ere;
use crate::route::RouteKind;
use crate::route::{RouteId, RouteTable};
use crate::source::Place;
use crate::value::{Bytes, Value};

/// How many regular expressions made at run time are kept compiled. One takes some KiB, and about 640 at the most.
const MAX_CACHED_PATTERNS: usize = 16;
/// A buffer larger than this is given back after a format string.
const KEPT_SCRATCH_BYTES: usize = 64 << 10;

/// The variables of a process. `$var` values stay from one message to the next, as the manual warns.
#[derive(Default)]
pub struct ScriptVars {
    slots: Vec<Value>,
    pub(crate) run: Run,
    scratch: Vec<u8>,
    patterns: HashMap<Bytes, Option<Regex>>,
}

impl ScriptVars {
    /// No variables yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The return code of the last function or route: `$rc`.
    pub fn return_code(&self) -> i64 {
        self.run.rc
    }

    /// The line and file of the statement under way, if a script runs.
    pub fn place(&self) -> Option<(&str, u32)> {
        let place = self.run.table.as_ref()?.place(self.run.at);
        Some((place.file, place.line))
    }

    /// The route under way, if a script runs.
    pub fn route(&self) -> Option<RouteId> {
        self.run.levels.last().map(|level| level.route)
    }

    pub(crate) fn slot(&self, slot: u32) -> Value {
        self.slots.get(slot as usize).cloned().unwrap_or_default()
    }

    pub(crate) fn slot_ref(&self, slot: u32) -> &Value {
        self.slots.get(slot as usize).unwrap_or(&Value::Null)
    }

    pub(crate) fn set_slot(&mut self, slot: u32, value: Value) {
        let slot = slot as usize;
        if slot >= self.slots.len() {
            self.slots.resize(slot + 1, Value::Null);
        }
        self.slots[slot] = value;
    }

    /// An empty buffer to print into; [`ScriptVars::give_back`] keeps it for the next one.
    pub(crate) fn take_scratch(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.scratch)
    }

    pub(crate) fn give_back(&mut self, mut scratch: Vec<u8>) {
        if scratch.capacity() <= KEPT_SCRATCH_BYTES {
            scratch.clear();
            self.scratch = scratch;
        }
    }

    /// The compiled form of a pattern made at run time, if it is one.
    pub(crate) fn pattern(&mut self, pattern: &Bytes) -> Option<&Regex> {
        if !self.patterns.contains_key(pattern) {
            if self.patterns.len() >= MAX_CACHED_PATTERNS {
                self.patterns.clear();
            }
            self.patterns.insert(pattern.clone(), ere::compile_made(pattern).ok());
        }
        self.patterns.get(pattern).and_then(Option::as_ref)
    }
}

/// The state of one script: it changes places with the host's when the script runs or waits.
#[derive(Default)]
pub(crate) struct Run {
    pub(crate) rc: i64,
    /// The operation under way.
    pub(crate) at: u32,
    /// Errors so far, and the operation of the last.
    pub(crate) errors: u64,
    pub(crate) failed_at: u32,
    pub(crate) levels: SmallVec<[Level; 4]>,
    pub(crate) params: Vec<Value>,
    pub(crate) names: Vec<Option<Bytes>>,
    pub(crate) counters: Vec<u32>,
    /// Codes of calls for the expression that follows them.
    pub(crate) kept: SmallVec<[i64; 4]>,
    pub(crate) table: Option<Rc<RouteTable>>,
}

impl Run {
    /// Forgets everything but its buffers.
    pub(crate) fn clear(&mut self) {
        self.rc = 1;
        self.levels.clear();
        self.params.clear();
        self.names.clear();
        self.counters.clear();
        self.kept.clear();
    }

    /// The code that was kept this many places before the last.
    pub(crate) fn kept(&self, from_last: u32) -> i64 {
        self.kept.iter().rev().nth(from_last as usize).copied().unwrap_or(0)
    }

    /// The file and line of the statement under way.
    pub(crate) fn place(&self) -> Place<'_> {
        self.table.as_ref().map_or(Place { file: "", line: 0 }, |table| table.place(self.at))
    }

    /// `$param(n)`, from 1.
    pub(crate) fn param(&self, number: i64) -> Value {
        let base = self.levels.last().map_or(0, |level| level.params as usize);
        usize::try_from(number)
            .ok()
            .filter(|number| *number > 0)
            .and_then(|number| self.params.get(base + number - 1))
            .cloned()
            .unwrap_or_default()
    }

    /// The event whose route asks for a parameter that it was not given.
    pub(crate) fn event_without(&self, wanted: &Value) -> Option<&Bytes> {
        let [level] = &self.levels[..] else { return None };
        let table = self.table.as_ref().filter(|table| table.kind(level.route) == RouteKind::Event)?;
        let given = match wanted.to_int() {
            Some(number) => {
                usize::try_from(number).is_ok_and(|number| (1..=self.params.len()).contains(&number))
            }
            None => self.names.iter().any(|name| name.as_deref() == wanted.as_str()),
        };
        if given { None } else { table.name(level.route) }
    }

    /// `$param(name)` of an event route.
    pub(crate) fn named_param(&self, name: &[u8]) -> Value {
        if self.levels.len() > 1 {
            return Value::Null;
        }
        let at = self.names.iter().position(|known| known.as_deref() == Some(name));
        at.and_then(|at| self.params.get(at)).cloned().unwrap_or_default()
    }
}

/// One route of the call stack.
#[derive(Clone, Copy)]
pub(crate) struct Level {
    pub(crate) route: RouteId,
    /// Where the caller goes on.
    pub(crate) back: u32,
    /// Where its parameters begin.
    pub(crate) params: u32,
    /// Where its loop counters begin.
    pub(crate) counters: u32,
}
