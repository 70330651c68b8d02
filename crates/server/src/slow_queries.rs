//! Slow queries: `exec_query_threshold`, its event and its warning, for every module that speaks to SQL databases.

use std::borrow::Cow;
use std::fmt;

use tocsin_db::{Finished, QueryError, Source};

use crate::events;
use crate::server::Server;

/// Bytes of SQL that an event tells; the rest is cut off.
const TEXT_LIMIT: usize = 60_000;

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
    server: &Server,
    names: Names,
    threshold: u64,
    finished: &Finished<'a>,
) -> Option<Slow<'a>> {
    server.statistics.add(server.counters.sql_total, 1);
    let slow = Slow::new(names, threshold, finished)?;
    server.statistics.add(server.counters.sql_slow, 1);
    events::threshold(server, slow.source, slow.micros, slow.text.as_bytes());
    Some(slow)
}

/// Why a query failed, if that was not said when the connection went.
pub fn complaint<'a>(finished: &Finished<'a>) -> Option<&'a QueryError> {
    finished.error.filter(|error| !matches!(error, QueryError::Refused(_)))
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
        let end = finished.text.floor_char_boundary(TEXT_LIMIT);
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
    use std::time::Duration;

    use tocsin_db::Url;

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
        let text = "é".repeat(TEXT_LIMIT);
        let slow = Slow::new(NAMES, 1, &finished(Source::Plain, 2, &text)).unwrap();
        assert!(slow.text.len() <= TEXT_LIMIT && slow.text.len() > TEXT_LIMIT - 2);
    }
}
