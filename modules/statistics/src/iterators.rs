//! `stat_iter_init()` and `stat_iter_next()`: a walk through the names of a group. Each process has its own.

use std::cell::RefCell;
use std::collections::HashMap;

use tocsin_script::Bytes;
use tocsin_server::statistics::{Statistics, Wanted};

/// How many walks a process has under way.
const MAX_ITERATORS: usize = 256;

/// The walks under way, by name.
#[derive(Debug, Default)]
pub(super) struct Iterators(RefCell<HashMap<Bytes, Walk>>);

#[derive(Debug)]
struct Walk {
    group: String,
    /// The names still to come, the next one last.
    names: Vec<String>,
}

impl Iterators {
    /// Begins a walk. `false` when there are too many, or the group has nothing in it.
    pub(super) fn begin(&self, statistics: &Statistics, name: &Bytes, group: &str) -> bool {
        let prefix = format!("{group}:");
        let readings = statistics.read(&Wanted::from(prefix.as_str()));
        let names = readings.iter().rev().filter_map(|reading| reading.name.strip_prefix(&prefix));
        let names: Vec<_> = names.map(str::to_owned).collect();
        let mut walks = self.0.borrow_mut();
        if names.is_empty() || walks.len() >= MAX_ITERATORS && !walks.contains_key(name) {
            walks.remove(name);
            return false;
        }
        walks.insert(name.clone(), Walk { group: group.to_owned(), names });
        true
    }

    /// The next statistic of a walk. One that is gone is passed over.
    pub(super) fn next(&self, statistics: &Statistics, name: &Bytes) -> Option<(String, i64)> {
        let mut walks = self.0.borrow_mut();
        let walk = walks.get_mut(name)?;
        while let Some(next) = walk.names.pop() {
            if let Some(value) = statistics.value(Some(&walk.group), &next) {
                return Some((next, value));
            }
        }
        walks.remove(name);
        None
    }
}
