//! How much a process lets one database cost it.

use std::time::Duration;

/// Connections of a process to one database.
pub const MAX_CONNECTIONS: usize = 10;
/// Queries of a process that wait for one of them; further ones are refused.
pub const MAX_WAITING_QUERIES: usize = 1000;
/// Rows of a result.
pub const MAX_RESULT_ROWS: usize = 10_000;
/// Bytes of a result, as it lies in memory: a process may have one for each of its connections. It is looked at after each
/// row; how large a single row can be is up to the server (`max_allowed_packet`).
pub const MAX_RESULT_BYTES: usize = 1 << 20;
/// Time for opening a connection once.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often opening a connection is tried for one query, if it is refused at once.
pub const MAX_CONNECT_TRIES: u32 = 3;
/// How long a connection may have idled to be used as it is; after longer it is asked first whether it lives.
pub const PROBE_AFTER: Duration = Duration::from_secs(1);
/// Time for a query, from its being asked to its last row.
pub const QUERY_BUDGET: Duration = Duration::from_secs(6);
/// How long a query waits for a lock on an SQLite file, unless a module sets another time.
pub const BUSY_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a connection that nobody needs stays open; one stays for longer.
pub const IDLE_TIME: Duration = Duration::from_secs(30);
/// The wait after the first failure to connect; each further failure doubles it.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// The longest wait between two tries to connect.
pub const BACKOFF_LONGEST: Duration = Duration::from_secs(8);

/// The limits of one pool.
#[derive(Debug, Clone)]
pub struct Limits {
    /// [`MAX_CONNECTIONS`], at least 1.
    pub connections: usize,
    /// [`MAX_WAITING_QUERIES`].
    pub waiting: usize,
    /// [`MAX_RESULT_ROWS`].
    pub rows: usize,
    /// [`MAX_RESULT_BYTES`].
    pub bytes: usize,
    /// [`CONNECT_TIMEOUT`].
    pub connect_timeout: Duration,
    /// [`MAX_CONNECT_TRIES`], at least 1.
    pub connect_tries: u32,
    /// [`PROBE_AFTER`].
    pub probe_after: Duration,
    /// [`QUERY_BUDGET`].
    pub budget: Duration,
    /// [`BUSY_TIMEOUT`].
    pub busy_timeout: Duration,
    /// [`IDLE_TIME`].
    pub idle_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: MAX_CONNECTIONS,
            waiting: MAX_WAITING_QUERIES,
            rows: MAX_RESULT_ROWS,
            bytes: MAX_RESULT_BYTES,
            connect_timeout: CONNECT_TIMEOUT,
            connect_tries: MAX_CONNECT_TRIES,
            probe_after: PROBE_AFTER,
            budget: QUERY_BUDGET,
            busy_timeout: BUSY_TIMEOUT,
            idle_time: IDLE_TIME,
        }
    }
}
