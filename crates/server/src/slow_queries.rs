//! Queries that were slow or failed, for every module that speaks to SQL databases: `exec_query_threshold` with its event and
//! its warning, and what the log says of a failure.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use tocsin_db::{Finished, QueryError, Source, Url};

use crate::databases::QueryReports;
use crate::events;

/// Bytes of SQL in an event; the rest is cut off.
const MAX_SQL_BYTES: usize = 60_000;
/// Bytes of SQL that a line of the log about a failure shows.
const MAX_EXCERPT_BYTES: usize = 256;
/// Time between two lines of the log about queries that were not even sent.
const REPORT_EVERY: Duration = Duration::from_secs(1);

thread_local! {
    static REPORTED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// What the sources of `E_CORE_THRESHOLD` are called.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// Of a query as it is written.
    pub plain: &'static str,
    /// Of one whose asker goes on meanwhile.
    pub asynchronous: &'static str,
    /// Of a prepared statement.
    pub prepared: &'static str,
}

/// A query that took longer than it should.
#[derive(Debug)]
pub struct Slow<'a> {
    source: &'static str,
    micros: u64,
    text: Cow<'a, str>,
}

/// Counts a query, and raises the event if it took more than `threshold` microseconds; 0 switches that off. What it
/// returns is for the log.
pub fn measure<'a>(
    reports: QueryReports<'_>,
    names: Names,
    threshold: u64,
    finished: &Finished<'a>,
) -> Option<Slow<'a>> {
    reports.statistics.add(reports.counters.sql_total, 1);
    let slow = Slow::new(names, threshold, finished)?;
    reports.statistics.add(reports.counters.sql_slow, 1);
    events::threshold(reports.events, slow.source, slow.micros, slow.text.as_bytes());
    Some(slow)
}

/// A query that failed, as the log says it.
#[derive(Debug)]
pub struct Complaint<'a> {
    url: &'a Url,
    text: &'a str,
    error: &'a QueryError,
}

/// The beginning of a query, as a line of the log can show it.
#[derive(Debug, Clone, Copy)]
pub struct Excerpt<'a>(pub &'a [u8]);

/// What the log says of a query that failed. Of those that were not even sent for want of a connection it says one a second:
/// there may be thousands.
pub fn complaint<'a>(finished: &Finished<'a>) -> Option<Complaint<'a>> {
    let error = finished.error?;
    if matches!(error, QueryError::Refused(_) | QueryError::Busy(_)) {
        if REPORTED.get().is_some_and(|reported| reported.elapsed() < REPORT_EVERY) {
            return None;
        }
        REPORTED.set(Some(Instant::now()));
    }
    Some(Complaint { url: finished.url, text: finished.text, error })
}

impl fmt::Display for Complaint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "query failed: {} {}: {}", self.url, Excerpt(self.text.as_bytes()), self.error)
    }
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(MAX_EXCERPT_BYTES)];
        let more = if shown.len() < self.0.len() { "..." } else { "" };
        write!(f, "{}{more}", shown.escape_ascii())
    }
}

impl<'a> Slow<'a> {
    fn new(names: Names, threshold: u64, finished: &Finished<'a>) -> Option<Self> {
        let micros = u64::try_from(finished.took.as_micros()).unwrap_or(u64::MAX);
        if threshold == 0 || micros <= threshold {
            return None;
        }
        let source = match finished.source {
            Source::Plain => names.plain,
            Source::Asynchronous => names.asynchronous,
            Source::Prepared => names.prepared,
        };
        let end = finished.text.floor_char_boundary(MAX_SQL_BYTES);
        Some(Self { source, micros, text: Cow::Borrowed(&finished.text[..end]) })
    }
}

impl fmt::Display for Slow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, micros, text } = self;
        write!(f, "threshold exceeded : {source} took too long - {micros} us.Source : {text}")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    const NAMES: Names = Names { plain: "x query", asynchronous: "x async query", prepared: "x prep stmt" };

    fn finished(source: Source, micros: u64, text: &str) -> Finished<'_> {
        static URL: LazyLock<Url> = LazyLock::new(|| Url::parse("sqlite:///x.db").unwrap());
        Finished { url: &URL, source, took: Duration::from_micros(micros), text, error: None }
    }

    #[test]
    fn only_more_than_the_threshold_is_slow() {
        let at = |micros| Slow::new(NAMES, 100, &finished(Source::Plain, micros, "SELECT 1")).is_some();
        assert!(!at(100));
        assert!(at(101));
        assert!(Slow::new(NAMES, 0, &finished(Source::Plain, u64::MAX, "")).is_none());
    }

    #[test]
    fn the_line_is_the_peers() {
        let slow = |source| Slow::new(NAMES, 1, &finished(source, 200_532, "SELECT SLEEP(0.2)")).unwrap();
        assert_eq!(
            slow(Source::Plain).to_string(),
            "threshold exceeded : x query took too long - 200532 us.Source : SELECT SLEEP(0.2)"
        );
        assert!(slow(Source::Prepared).to_string().contains(": x prep stmt took"));
        assert!(slow(Source::Asynchronous).to_string().contains(": x async query took"));
    }

    #[test]
    fn what_is_too_long_is_cut_between_two_characters() {
        let text = "é".repeat(MAX_SQL_BYTES);
        let slow = Slow::new(NAMES, 1, &finished(Source::Plain, 2, &text)).unwrap();
        assert!(slow.text.len() <= MAX_SQL_BYTES && slow.text.len() > MAX_SQL_BYTES - 2);
    }

    #[test]
    fn a_failure_is_one_line_with_its_place_and_the_beginning_of_its_text() {
        let text = format!("SELECT '\r\né', '{}'", "x".repeat(MAX_EXCERPT_BYTES));
        let error = QueryError::Lost("gone".into());
        let line = complaint(&Finished { error: Some(&error), ..finished(Source::Plain, 0, &text) }).unwrap();
        let line = line.to_string();
        assert!(line.starts_with(r"query failed: sqlite:///x.db SELECT \'\r\n\xc3\xa9\', \'"), "{line}");
        assert!(line.ends_with("xxx...: the connection was lost: gone"), "{line}");
        assert!(complaint(&finished(Source::Plain, 0, "SELECT 1")).is_none());
    }

    #[test]
    fn refusals_are_reported_once_in_a_while() {
        REPORTED.set(None);
        let reported = |error: &QueryError| {
            let finished = Finished { error: Some(error), ..finished(Source::Plain, 0, "SELECT 1") };
            (0..1000).filter(|_| complaint(&finished).is_some()).count()
        };
        let began = Instant::now();
        let refused = reported(&QueryError::Refused("down".into())) + reported(&QueryError::Busy(1));
        assert!((1..=1 + began.elapsed().as_secs() as usize).contains(&refused), "{refused}");
        assert_eq!(reported(&QueryError::Several), 1000);
    }
}
