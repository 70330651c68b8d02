//! Statistics: numbers with a group and a name, read over the management interface.
//!
//! Counters live in shared memory, a row for each process, so that counting is a plain addition. Everything else is
//! computed when asked, or kept by a module that makes statistics while the server runs.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use tocsin_shm::{Arena, ArenaFull, Counters};

use crate::statistic_row::StatRow;

/// How many different names one request may give.
pub const MAX_NAMES: usize = 4096;

/// A registered counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatId(usize);

/// Computes the members of a group, in order.
type Compute = Box<dyn Fn(&mut dyn FnMut(&str, i64)) + Sync + Send>;

/// The statistics of a group that come into being while the server runs.
pub trait Kept: Sync + Send {
    /// Calls `each` with every name and value, and whether it can be set back to zero.
    fn each(&self, each: &mut dyn FnMut(&str, i64, bool));

    /// The value of one.
    fn value(&self, name: &str) -> Option<i64>;

    /// Sets one back to zero, if that can be. `false` when there is none of this name.
    fn reset(&self, name: &str) -> bool;
}

enum Source {
    Counter(usize),
    /// Counted up and down by all processes together, or read from somewhere; never reset.
    Computed(Compute),
    Kept(Box<dyn Kept>),
}

struct Entry {
    group: Cow<'static, str>,
    name: &'static str,
    source: Source,
}

impl Entry {
    fn is_of(&self, group: Option<&str>) -> bool {
        group.is_none_or(|group| self.group == group)
    }
}

/// One statistic with its present value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// `group:name`.
    pub name: String,
    /// The value.
    pub value: i64,
    /// Whether it only counts up (and can be reset).
    pub incremental: bool,
}

/// All statistics of the server. Registered before the first fork, read by every process.
#[derive(Default)]
pub struct Statistics {
    entries: Vec<Entry>,
    counters: OnceLock<Counters>,
    counted: usize,
}

impl fmt::Debug for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statistics").field("entries", &self.entries.len()).finish()
    }
}

impl Statistics {
    /// Registers a counter.
    pub fn counter(&mut self, row: &StatRow) -> StatId {
        self.counter_named(row, row.name)
    }

    /// Registers one of the counters that `row` stands for.
    pub fn counter_named(&mut self, row: &StatRow, name: &'static str) -> StatId {
        let id = self.counted;
        self.counted += 1;
        self.entries.push(Entry { group: row.group.into(), name, source: Source::Counter(id) });
        StatId(id)
    }

    /// Registers computed values of a group: `compute` is called with a function that takes each name and value.
    pub fn computed(
        &mut self,
        group: &'static str,
        compute: impl Fn(&mut dyn FnMut(&str, i64)) + Sync + Send + 'static,
    ) {
        let source = Source::Computed(Box::new(compute));
        self.entries.push(Entry { group: group.into(), name: "", source });
    }

    /// Registers a group that a module keeps itself.
    pub fn kept(&mut self, group: impl Into<Cow<'static, str>>, kept: impl Kept + 'static) {
        self.entries.push(Entry { group: group.into(), name: "", source: Source::Kept(Box::new(kept)) });
    }

    /// Takes the shared memory that the counters need, for `slots` processes.
    pub fn share(&self, arena: &'static Arena, slots: u16) -> Result<(), ArenaFull> {
        let counters = Counters::create(arena, slots, self.counted)?;
        // Set once: a second call would only lose counts.
        let _ = self.counters.set(counters);
        Ok(())
    }

    /// Adds to a counter, in the row of this process.
    #[inline]
    pub fn add(&self, id: StatId, n: u64) {
        if let Some(counters) = self.counters.get() {
            counters.add(id.0, n);
        }
    }

    /// The readings that were asked for, in the order in which they were first named, each once. Empty when there are
    /// none. A group is computed once, however often it is named.
    pub fn read(&self, wanted: &Wanted<'_>) -> Vec<Reading> {
        let mut found = Vec::new();
        for entry in self.entries.iter().filter(|entry| wanted.may_be_in(&entry.group)) {
            self.readings(entry, |name, value, incremental| {
                if let Some(rank) = wanted.rank(&entry.group, name) {
                    let name = format!("{}:{name}", entry.group);
                    found.push((rank, Reading { name, value, incremental }));
                }
            });
        }
        // Stable: what one name stands for stays in the order of registration.
        found.sort_by_key(|(rank, _)| *rank);
        found.into_iter().map(|(_, reading)| reading).collect()
    }

    /// Sets the counters that were asked for back to zero; computed values stay. `false` when there are none of either
    /// kind.
    pub fn reset(&self, wanted: &Wanted<'_>) -> bool {
        let mut found = false;
        for entry in self.entries.iter().filter(|entry| wanted.may_be_in(&entry.group)) {
            match &entry.source {
                Source::Counter(id) if wanted.rank(&entry.group, entry.name).is_some() => {
                    self.reset_counter(*id);
                    found = true;
                }
                Source::Counter(_) => {}
                Source::Computed(_) => {
                    self.readings(entry, |name, _, _| found |= wanted.rank(&entry.group, name).is_some());
                }
                Source::Kept(kept) => {
                    let names = kept_names(&**kept);
                    let names = names.iter().filter(|name| wanted.rank(&entry.group, name).is_some());
                    found |= names.fold(false, |found, name| kept.reset(name) | found);
                }
            }
        }
        found
    }

    /// Sets every counter back to zero.
    pub fn reset_all(&self) {
        if let Some(counters) = self.counters.get() {
            (0..self.counted).for_each(|id| counters.reset(id));
        }
        for entry in &self.entries {
            if let Source::Kept(kept) = &entry.source {
                for name in kept_names(&**kept) {
                    kept.reset(&name);
                }
            }
        }
    }

    /// One statistic of a group, or the first of this name if no group is given.
    pub fn value(&self, group: Option<&str>, name: &str) -> Option<i64> {
        self.entries.iter().filter(|entry| entry.is_of(group)).find_map(|entry| match &entry.source {
            Source::Counter(id) => (entry.name == name).then(|| self.counted(*id)),
            Source::Kept(kept) => kept.value(name),
            Source::Computed(compute) => {
                let mut found = None;
                compute(&mut |each, value| found = found.or((each == name).then_some(value)));
                found
            }
        })
    }

    /// Sets one statistic back to zero, if that can be. `false` when there is none of this name.
    pub fn reset_one(&self, group: Option<&str>, name: &str) -> bool {
        self.entries.iter().filter(|entry| entry.is_of(group)).any(|entry| match &entry.source {
            Source::Counter(id) if entry.name == name => {
                self.reset_counter(*id);
                true
            }
            Source::Counter(_) => false,
            Source::Kept(kept) => kept.reset(name),
            Source::Computed(compute) => {
                let mut found = false;
                compute(&mut |each, _| found |= each == name);
                found
            }
        })
    }

    /// The counter of this name.
    pub fn find_counter(&self, group: Option<&str>, name: &str) -> Option<StatId> {
        let mut entries = self.entries.iter().filter(|entry| entry.is_of(group) && entry.name == name);
        entries.find_map(|entry| match &entry.source {
            Source::Counter(id) => Some(StatId(*id)),
            _ => None,
        })
    }

    fn counted(&self, id: usize) -> i64 {
        self.counters.get().map_or(0, |counters| counters.sum(id) as i64)
    }

    fn reset_counter(&self, id: usize) {
        if let Some(counters) = self.counters.get() {
            counters.reset(id);
        }
    }

    /// Calls `each` with name, value, and whether it can be set back to zero.
    fn readings(&self, entry: &Entry, mut each: impl FnMut(&str, i64, bool)) {
        match &entry.source {
            Source::Counter(id) => each(entry.name, self.counted(*id), true),
            Source::Computed(compute) => compute(&mut |name, value| each(name, value, false)),
            Source::Kept(kept) => kept.each(&mut each),
        }
    }
}

/// The names of a group: nothing of it is locked while they are used.
fn kept_names(kept: &dyn Kept) -> Vec<String> {
    let mut names = Vec::new();
    kept.each(&mut |name, _, _| names.push(name.to_owned()));
    names
}

/// What a client asks for: `all`, `group:`, `group:name` and `name`. A name counts once, however often it is given.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// The rank of `all`.
    all: Option<usize>,
    /// The rank of each name within its group; one of no name is the group as a whole.
    in_groups: HashMap<&'a str, HashMap<&'a str, usize>>,
    /// The rank of each name that was given without a group.
    anywhere: HashMap<&'a str, usize>,
    names: usize,
}

impl<'a> Wanted<'a> {
    /// Everything.
    pub fn all() -> Self {
        Self { all: Some(0), names: 1, ..Self::default() }
    }

    /// What these names stand for. `None` when there are more different ones than [`MAX_NAMES`].
    pub fn named(names: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut wanted = Self::default();
        names.into_iter().all(|name| wanted.add(name)).then_some(wanted)
    }

    /// The same, but not everything because of the name `all`: what changes statistics wants them named.
    pub fn without_all(self) -> Self {
        Self { all: None, ..self }
    }

    fn add(&mut self, wanted: &'a str) -> bool {
        let rank = self.names;
        let known = match wanted.split_once(':') {
            Some((group, name)) => *self.in_groups.entry(group).or_default().entry(name).or_insert(rank),
            None if wanted == "all" => *self.all.get_or_insert(rank),
            None => *self.anywhere.entry(wanted).or_insert(rank),
        };
        self.names += usize::from(known == rank);
        self.names <= MAX_NAMES
    }

    /// Whether something of the group may have been asked for.
    fn may_be_in(&self, group: &str) -> bool {
        self.all.is_some() || !self.anywhere.is_empty() || self.in_groups.contains_key(group)
    }

    /// The place of the first name that stands for the statistic; `None` when none does.
    fn rank(&self, group: &str, name: &str) -> Option<usize> {
        let in_group = self.in_groups.get(group);
        let ranks = [
            self.all,
            in_group.and_then(|names| names.get("").copied()),
            in_group.and_then(|names| names.get(name).copied()),
            self.anywhere.get(name).copied(),
        ];
        ranks.into_iter().flatten().min()
    }
}

impl<'a> From<&'a str> for Wanted<'a> {
    fn from(name: &'a str) -> Self {
        let mut wanted = Self::default();
        wanted.add(name);
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Statistics {
        let mut statistics = Statistics::default();
        statistics.counter(&StatRow::counter("core", "rcv_requests", ""));
        statistics.counter(&StatRow::counter("tm", "rcv_requests", ""));
        statistics.computed("load", |each| {
            each("load-proc-1", 3);
            each("load", 5);
        });
        statistics
    }

    fn read(statistics: &Statistics, names: &[&str]) -> Vec<String> {
        let wanted = Wanted::named(names.iter().copied()).unwrap();
        statistics.read(&wanted).into_iter().map(|reading| reading.name).collect()
    }

    #[test]
    fn names_groups_and_all() {
        let s = sample();
        let all = ["core:rcv_requests", "tm:rcv_requests", "load:load-proc-1", "load:load"];
        assert_eq!(read(&s, &["all"]), all);
        assert_eq!(read(&s, &["load:"]), ["load:load-proc-1", "load:load"]);
        assert_eq!(read(&s, &["load:load"]), ["load:load"]);
        assert_eq!(read(&s, &["rcv_requests"]), ["core:rcv_requests", "tm:rcv_requests"]);
        for nothing in ["nosuch", "nosuch:", "core:nosuch", ":load", ":", ""] {
            assert_eq!(read(&s, &[nothing]), [""; 0], "{nothing}");
        }
        assert!(!s.read(&"load:load".into())[0].incremental);
    }

    #[test]
    fn what_is_named_twice_is_told_once_and_computed_once() {
        let computed = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let times = std::sync::Arc::clone(&computed);
        let mut s = sample();
        s.computed("slow", move |each| {
            times.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            each("one", 1);
            each("two", 2);
        });
        let mut names = vec!["slow:two", "tm:", "slow:one", "slow:", "two", "load:load"];
        names.extend(vec!["all"; 4000]);
        assert_eq!(
            read(&s, &names),
            ["slow:two", "tm:rcv_requests", "slow:one", "load:load", "core:rcv_requests", "load:load-proc-1"]
        );
        assert_eq!(computed.load(std::sync::atomic::Ordering::Relaxed), 1);
        read(&s, &["core:", "tm:rcv_requests"]);
        assert_eq!(computed.load(std::sync::atomic::Ordering::Relaxed), 1, "nothing of it was asked for");
    }

    #[test]
    fn different_names_have_a_limit() {
        let names: Vec<String> = (0..=MAX_NAMES).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(Wanted::named(names.iter().copied()).is_none());
        assert!(
            Wanted::named(names[..MAX_NAMES].iter().copied().chain(names[..9].iter().copied())).is_some()
        );
    }

    #[test]
    fn single_statistics_are_found_by_group_and_name() {
        let s = sample();
        assert_eq!([s.value(None, "load"), s.value(Some("load"), "load-proc-1")], [Some(5), Some(3)]);
        assert_eq!([s.value(Some("tm"), "load"), s.value(None, "nosuch")], [None; 2]);
        assert_eq!(s.find_counter(Some("tm"), "rcv_requests"), Some(StatId(1)));
        assert_eq!(
            [s.find_counter(None, "rcv_requests"), s.find_counter(None, "load")],
            [Some(StatId(0)), None]
        );
        assert!(
            s.reset_one(None, "load") && s.reset_one(Some("tm"), "rcv_requests") && !s.reset_one(None, "x")
        );
    }

    #[test]
    fn kept_groups_are_read_and_reset_name_by_name() {
        use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
        struct Two(AtomicI64, AtomicI64);
        impl Kept for Two {
            fn each(&self, each: &mut dyn FnMut(&str, i64, bool)) {
                each("one", self.0.load(Relaxed), true);
                each("two", self.1.load(Relaxed), false);
            }
            fn value(&self, name: &str) -> Option<i64> {
                (name == "one").then(|| self.0.load(Relaxed))
            }
            fn reset(&self, name: &str) -> bool {
                if name == "one" {
                    self.0.store(0, Relaxed);
                }
                matches!(name, "one" | "two")
            }
        }
        let mut s = sample();
        s.kept("mine".to_owned(), Two(AtomicI64::new(4), AtomicI64::new(7)));
        assert_eq!(read(&s, &["mine:"]), ["mine:one", "mine:two"]);
        assert_eq!(s.value(None, "one"), Some(4));
        assert!(s.reset(&Wanted::from("mine:one")) && s.reset_one(Some("mine"), "two"));
        let readings = s.read(&"mine:".into());
        let shown: Vec<_> = readings.iter().map(|reading| (reading.value, reading.incremental)).collect();
        assert_eq!(shown, [(0, true), (7, false)]);
    }

    #[test]
    fn computed_values_are_found_and_not_reset() {
        let s = sample();
        let reset = |name: &str| s.reset(&Wanted::from(name).without_all());
        assert!(reset("load:load") && reset("tm:") && reset("rcv_requests"));
        assert!(!reset("nosuch") && !reset("load:nosuch") && !reset("all"));
    }
}
