//! Statistics: numbers with a group and a name, read over the management interface.
//!
//! Counters live in shared memory, a row for each process, so that counting is a plain addition. Everything else is
//! computed when asked.

use std::fmt;
use std::sync::OnceLock;

use tocsin_shm::{Arena, ArenaFull, Counters};

/// A registered counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatId(usize);

/// Computes the members of a group, in order.
type Compute = Box<dyn Fn(&mut dyn FnMut(&str, i64)) + Sync + Send>;

enum Source {
    Counter(usize),
    /// Counted up and down by all processes together, or read from somewhere; never reset.
    Computed(Compute),
}

struct Entry {
    group: &'static str,
    name: &'static str,
    source: Source,
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
    pub fn counter(&mut self, group: &'static str, name: &'static str) -> StatId {
        let id = self.counted;
        self.counted += 1;
        self.entries.push(Entry { group, name, source: Source::Counter(id) });
        StatId(id)
    }

    /// Registers a group of computed values: `compute` is called with a function that takes each name and value.
    pub fn computed(
        &mut self,
        group: &'static str,
        compute: impl Fn(&mut dyn FnMut(&str, i64)) + Sync + Send + 'static,
    ) {
        self.entries.push(Entry { group, name: "", source: Source::Computed(Box::new(compute)) });
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

    /// The readings that `wanted` names: `all`, `group:`, `group:name` or `name`. Empty when nothing has that name.
    pub fn read(&self, wanted: &str) -> Vec<Reading> {
        let mut found = Vec::new();
        let (group, name) = match wanted.split_once(':') {
            Some((group, name)) => (Some(group), name),
            None => (None, wanted),
        };
        let all = wanted == "all";
        for entry in self.entries.iter().filter(|e| all || group.is_none_or(|g| g == e.group)) {
            self.readings(entry, |n, value| {
                if all || n == name || (group.is_some() && name.is_empty()) {
                    let incremental = matches!(entry.source, Source::Counter(_));
                    found.push(Reading { name: format!("{}:{n}", entry.group), value, incremental });
                }
            });
        }
        found
    }

    /// Sets the named counters back to zero. `false` when nothing has that name; computed values stay.
    pub fn reset(&self, wanted: &str) -> bool {
        let (group, name) = wanted.split_once(':').map_or((None, wanted), |(g, n)| (Some(g), n));
        let mut found = false;
        for entry in self.entries.iter().filter(|e| group.is_none_or(|g| g == e.group)) {
            match (&entry.source, self.counters.get()) {
                (Source::Counter(id), Some(counters)) if name == entry.name || name.is_empty() => {
                    counters.reset(*id);
                    found = true;
                }
                (Source::Computed(_), _) => self.readings(entry, |n, _| found |= n == name),
                _ => {}
            }
        }
        found
    }

    /// Sets every counter back to zero.
    pub fn reset_all(&self) {
        if let Some(counters) = self.counters.get() {
            (0..self.counted).for_each(|id| counters.reset(id));
        }
    }

    fn readings(&self, entry: &Entry, mut each: impl FnMut(&str, i64)) {
        match &entry.source {
            Source::Counter(id) => each(entry.name, self.counters.get().map_or(0, |c| c.sum(*id) as i64)),
            Source::Computed(compute) => compute(&mut each),
        }
    }
}

/// The core's own counters, in the order in which the peer lists them.
#[derive(Debug, Clone, Copy)]
pub struct CoreCounters {
    /// Requests received.
    pub rcv_requests: StatId,
    /// Replies received.
    pub rcv_replies: StatId,
    /// Requests forwarded without a transaction.
    pub fwd_requests: StatId,
    /// Replies forwarded without a transaction.
    pub fwd_replies: StatId,
    /// Requests dropped by the script or for want of a destination.
    pub drop_requests: StatId,
    /// Replies dropped.
    pub drop_replies: StatId,
    /// Requests that could not be served for an error of theirs.
    pub err_requests: StatId,
    /// Replies with errors.
    pub err_replies: StatId,
    /// URIs that could not be parsed.
    pub bad_uris: StatId,
    /// Messages whose header could not be parsed.
    pub bad_msg_hdr: StatId,
    /// Messages whose processing took longer than `exec_msg_threshold`.
    pub slow_messages: StatId,
    /// DNS questions asked.
    pub dns_total: StatId,
    /// DNS questions answered later than `exec_dns_threshold`.
    pub dns_slow: StatId,
    /// Queries to databases.
    pub sql_total: StatId,
    /// Queries that took longer than the `exec_query_threshold` of their module.
    pub sql_slow: StatId,
}

impl CoreCounters {
    /// Registers the groups core, net, dns, sql and cdb.
    pub fn register(statistics: &mut Statistics) -> Self {
        let mut core = |name| statistics.counter("core", name);
        let (rcv_requests, rcv_replies) = (core("rcv_requests"), core("rcv_replies"));
        let (fwd_requests, fwd_replies) = (core("fwd_requests"), core("fwd_replies"));
        let (drop_requests, drop_replies) = (core("drop_requests"), core("drop_replies"));
        let (err_requests, err_replies) = (core("err_requests"), core("err_replies"));
        let (bad_uris, bad_msg_hdr) = (core("bad_URIs_rcvd"), core("bad_msg_hdr"));
        let slow_messages = core("slow_messages");
        let started = crate::time::unix_seconds();
        statistics.computed("core", move |each| {
            each("timestamp", crate::time::unix_seconds().saturating_sub(started) as i64);
        });
        crate::network_statistics::register(statistics);
        let dns_total = statistics.counter("dns", "dns_total_queries");
        let dns_slow = statistics.counter("dns", "dns_slow_queries");
        let sql_total = statistics.counter("sql", "sql_total_queries");
        let sql_slow = statistics.counter("sql", "sql_slow_queries");
        Self {
            rcv_requests,
            rcv_replies,
            fwd_requests,
            fwd_replies,
            drop_requests,
            drop_replies,
            err_requests,
            err_replies,
            bad_uris,
            bad_msg_hdr,
            slow_messages,
            dns_total,
            dns_slow,
            sql_total,
            sql_slow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Statistics {
        let mut statistics = Statistics::default();
        statistics.counter("core", "rcv_requests");
        statistics.counter("tm", "rcv_requests");
        statistics.computed("load", |each| {
            each("load-proc-1", 3);
            each("load", 5);
        });
        statistics
    }

    fn names(readings: &[Reading]) -> Vec<&str> {
        readings.iter().map(|r| r.name.as_str()).collect()
    }

    #[test]
    fn names_groups_and_all() {
        let s = sample();
        assert_eq!(
            names(&s.read("all")),
            ["core:rcv_requests", "tm:rcv_requests", "load:load-proc-1", "load:load"]
        );
        assert_eq!(names(&s.read("load:")), ["load:load-proc-1", "load:load"]);
        assert_eq!(names(&s.read("load:load")), ["load:load"]);
        assert_eq!(names(&s.read("rcv_requests")), ["core:rcv_requests", "tm:rcv_requests"]);
        assert_eq!(names(&s.read("nosuch")), [""; 0]);
        assert!(!s.read("load:load")[0].incremental);
    }
}
