//! Statuses and reports in shared memory.
//!
//! The status of an identifier stands twice: with its details in a record, which is changed in place, and alone in a word
//! that outlives the record. So a process that dies while it sets a status costs the details, never the status. A report
//! is a record of its own that takes the place of the oldest one in one step.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI32, AtomicU32};

use tocsin_shm::{Alloc, Arena, ArenaFull, Full, Map, MapOptions, ShmBytes, ShmClone, ShmSafe, Sweep};

/// The most identifiers, of all groups together.
pub const MAX_IDENTIFIERS: usize = 1024;

/// The status of an identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The number: negative for "not ready", never 0.
    pub status: i32,
    /// What was said about it, which may be an empty text.
    pub details: Option<Vec<u8>>,
}

impl State {
    /// Whether the status says "ready".
    pub fn is_ready(&self) -> bool {
        self.status > 0
    }
}

/// A report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// When it was made, in seconds since 1970.
    pub at: u64,
    /// What it says.
    pub text: Vec<u8>,
}

/// What all processes share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared {
    words: &'static [Words],
    states: Map<u16, Kept>,
    reports: Map<Place, Told>,
}

/// What an identifier has whatever happens to its record.
#[derive(Debug, Default, ShmSafe)]
struct Words {
    status: AtomicI32,
    /// Reports so far; wraps.
    reports: AtomicU32,
}

#[derive(ShmSafe, ShmClone)]
struct Kept {
    status: i32,
    /// 1 if there are details, though they may be empty.
    has_details: u32,
    /// Empty for none.
    details: ShmBytes,
}

/// Where a report lies: the next one of the same place takes it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ShmSafe, ShmClone)]
struct Place {
    identifier: u16,
    place: u16,
}

#[derive(ShmSafe, ShmClone)]
struct Told {
    number: u32,
    at: u64,
    text: ShmBytes,
}

impl Shared {
    pub(super) fn create(arena: &'static Arena) -> Result<Self, ArenaFull> {
        let states = MapOptions { name: "statuses", shards: 1, buckets: 64 };
        let reports = MapOptions { name: "reports", shards: 4, buckets: 256 };
        Ok(Self {
            words: arena.boot_array(MAX_IDENTIFIERS, |_| Words::default())?,
            states: Map::create(arena, &states)?,
            reports: Map::create(arena, &reports)?,
        })
    }

    /// Gives an identifier its first status.
    pub(super) fn begin(&self, id: u16, status: i32, details: Option<&[u8]>) -> Result<(), Full> {
        self.word(id).status.store(status, Relaxed);
        self.states.insert(&id, |alloc| Ok((id, Kept::new(status, details, alloc)?))).map(|_| ())
    }

    /// Sets a status. Returns the one before.
    pub(super) fn set(&self, id: u16, status: i32, details: Option<&[u8]>) -> i32 {
        let word = &self.word(id).status;
        let changed = self.states.update(&id, |kept, _| {
            let old = std::mem::replace(&mut kept.status, status);
            word.store(status, Relaxed);
            kept.has_details = details.is_some().into();
            if let Err(Full) = kept.details.try_assign(details.unwrap_or_default()) {
                // A status without its details is better than an old status.
                kept.details.clear();
                kept.has_details = 0;
            }
            old
        });
        changed.unwrap_or_else(|| {
            let old = word.swap(status, Relaxed);
            if let Err(Full) = self.begin(id, status, details) {
                tracing::warn!("a status is set, but not its details: the shared memory is full");
            }
            old
        })
    }

    pub(super) fn state(&self, id: u16) -> State {
        let kept = self.states.get(&id, |kept| {
            let details = Some(kept.details.as_bytes()).filter(|_| kept.has_details != 0);
            State { status: kept.status, details: details.map(<[u8]>::to_vec) }
        });
        kept.unwrap_or_else(|| State { status: self.word(id).status.load(Relaxed), details: None })
    }

    /// Adds a report of an identifier that keeps `kept` of them.
    pub(super) fn report(&self, id: u16, kept: u16, at: u64, text: &[u8]) -> Result<(), Full> {
        let number = self.word(id).reports.fetch_add(1, Relaxed);
        let place = Place { identifier: id, place: (number % u32::from(kept)) as u16 };
        self.reports
            .insert(&place, |alloc| {
                Ok((place, Told { number, at, text: ShmBytes::try_from_slice_in(text, alloc)? }))
            })
            .map(|_| ())
    }

    /// The reports of an identifier that keeps `kept` of them, the oldest first.
    pub(super) fn reports(&self, id: u16, kept: u16) -> Vec<Report> {
        let next = self.word(id).reports.load(Relaxed);
        let places = (0..kept).map(|place| Place { identifier: id, place });
        let mut found: Vec<(u32, Report)> = places
            .filter_map(|place| {
                self.reports.get(&place, |reported| {
                    let report = Report { at: reported.at, text: reported.text.as_bytes().to_vec() };
                    (next.wrapping_sub(reported.number), report)
                })
            })
            .collect();
        found.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
        found.into_iter().map(|(_, report)| report).collect()
    }

    pub(super) fn sweepers(&self) -> [&'static dyn Sweep; 2] {
        [self.states.sweeper(), self.reports.sweeper()]
    }

    #[cfg(test)]
    pub(super) fn lose(&self, id: u16) {
        self.states.remove(&id, |_| ());
    }

    fn word(&self, id: u16) -> &'static Words {
        &self.words[usize::from(id)]
    }
}

impl Kept {
    fn new(status: i32, details: Option<&[u8]>, alloc: Alloc) -> Result<Self, Full> {
        let text = ShmBytes::try_from_slice_in(details.unwrap_or_default(), alloc)?;
        Ok(Self { status, has_details: details.is_some().into(), details: text })
    }
}
