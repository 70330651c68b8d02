//! Key-value stores (manual, "Key-Value Interface"): modules bring them, core functions use them by their id.

use std::rc::Rc;

use tocsin_script::Bytes;

use crate::statistic_row::StatRow;
use crate::statistics::{StatId, Statistics};

/// One store.
pub trait Cache {
    /// Puts `value` at `key`, for `lifetime` seconds if that is given.
    ///
    /// # Errors
    /// [`CacheError`]
    fn store(&self, key: &[u8], value: &[u8], lifetime: Option<u32>) -> Result<(), CacheError>;

    /// What is at `key`.
    fn fetch(&self, key: &[u8]) -> Option<Bytes>;

    /// Takes out what is at `key`. Returns whether there was anything.
    fn remove(&self, key: &[u8]) -> bool;

    /// Adds `by` to the number at `key`, 0 where there is none, and returns the sum. With `lifetime` it ends so many
    /// seconds from now.
    ///
    /// # Errors
    /// [`CacheError`]
    fn add(&self, key: &[u8], by: i64, lifetime: Option<u32>) -> Result<i64, CacheError>;
}

/// Why a store did not do what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// The memory is full.
    #[error("shared memory is full; start with a larger -m")]
    Full,
    /// The key has a limit.
    #[error("the key is empty or longer than {0} bytes")]
    Key(usize),
    /// There is no key.
    #[error("the key is empty")]
    NoKey,
    /// The value has a limit.
    #[error("the value is longer than {0} bytes")]
    Value(usize),
    /// The stored value is not an integer, or the sum overflows.
    #[error("what is there is no number, or the sum is too large")]
    Number,
}

const TOTAL: StatRow = StatRow::counter("cdb", "cdb_total_queries", "Queries to key-value stores.");
const SLOW: StatRow =
    StatRow::counter("cdb", "cdb_slow_queries", "Queries to key-value stores that took longer than allowed.");

/// The group cdb.
pub(crate) const STATISTICS: &[StatRow] = &[TOTAL, SLOW];

/// The stores of this server.
pub struct Caches {
    by_id: Vec<(Vec<u8>, Rc<dyn Cache>)>,
    /// Queries.
    pub total: StatId,
    /// Queries that took longer than allowed.
    pub slow: StatId,
}

impl std::fmt::Debug for Caches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.by_id.iter().map(|(id, _)| id.escape_ascii().to_string())).finish()
    }
}

impl Caches {
    /// No store yet; registers the statistics of the group `cdb`.
    pub(crate) fn new(statistics: &mut Statistics) -> Self {
        Self { by_id: Vec::new(), total: statistics.counter(&TOTAL), slow: statistics.counter(&SLOW) }
    }

    /// From here on `id` (`local`, `local:group`) stands for `cache`, whatever it stood for before.
    pub fn add(&mut self, id: Vec<u8>, cache: Rc<dyn Cache>) {
        self.by_id.retain(|(known, _)| *known != id);
        self.by_id.push((id, cache));
    }

    /// The store `id`.
    pub fn find(&self, id: &[u8]) -> Option<&Rc<dyn Cache>> {
        self.by_id.iter().find(|(known, _)| known == id).map(|(_, cache)| cache)
    }
}
