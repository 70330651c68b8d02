//! The interface through which a caller learns what happens to queries and connections.

use std::time::Duration;

use crate::error::QueryError;
use crate::url::Url;

/// How a query was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// As text, by someone who waits for the result.
    Plain,
    /// As text, by someone who goes on meanwhile.
    Asynchronous,
    /// As a prepared statement with its values apart.
    Prepared,
}

/// A query that ended.
#[derive(Debug)]
pub struct Finished<'a> {
    /// Where.
    pub url: &'a Url,
    /// How it was asked.
    pub source: Source,
    /// From its being sent to its result; nothing for one that never got that far, for want of a connection.
    pub took: Duration,
    /// The SQL.
    pub text: &'a str,
    /// Why it has no result.
    pub error: Option<&'a QueryError>,
}

/// Receives what happens, in the process that sent the query. Must not wait.
pub trait Observer {
    /// A query ended, well or not.
    fn finished(&self, finished: &Finished<'_>) {
        let _ = finished;
    }

    /// The first connection was lost or could not be had (`false`), or there is one again (`true`).
    fn connected(&self, url: &Url, connected: bool) {
        let _ = (url, connected);
    }
}

/// Observes nothing.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl Observer for Unobserved {}
