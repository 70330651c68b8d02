//! Why there is no result.

use std::time::Duration;

use thiserror::Error;

/// What went wrong with a query.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QueryError {
    /// No connection is available, or none was tried because the last ones failed.
    #[error("no connection: {0}")]
    Refused(String),
    /// As many queries wait already as may.
    #[error("{0} queries wait for a connection already")]
    Busy(usize),
    /// It took longer than it may; its connection is closed.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The caller no longer waits; the connection is closed.
    #[error("given up by the caller")]
    Abandoned,
    /// The connection ended while the query was under way; it may have had its effect.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// Something came that cannot be understood; the connection is closed.
    #[error("{0}")]
    Unexpected(String),
    /// The database says no.
    #[error("driver error ({code}): {text}")]
    Server {
        /// Its number for this error.
        code: String,
        /// Its words.
        text: String,
    },
    /// The result has more rows or bytes than it may; the connection is closed.
    #[error("the result is too large: {0}")]
    TooLarge(String),
    /// A second statement follows the first.
    #[error("a query is one statement, and another follows its `;`")]
    Several,
    /// The text of the query is not UTF-8, or holds a NUL byte.
    #[error("the text of the query is not UTF-8, or holds a NUL byte")]
    NotText,
    /// The name of a table or column is empty, too long, or holds a character that none can have.
    #[error("`{0}` is no name of a table or column")]
    BadName(String),
    /// The value of a column cannot be read.
    #[error("column {column}: {problem}")]
    Unreadable {
        /// Its number, from 1.
        column: usize,
        /// What is wrong.
        problem: String,
    },
}

/// A statement that failed.
pub(crate) struct Failure {
    pub(crate) error: QueryError,
    /// The connection can be used for the next one.
    pub(crate) is_usable: bool,
}

#[cfg(any(feature = "mysql", feature = "sqlite"))]
impl Failure {
    pub(crate) fn of_query(error: QueryError) -> Self {
        Self { error, is_usable: true }
    }

    pub(crate) fn of_connection(error: QueryError) -> Self {
        Self { error, is_usable: false }
    }

    #[cfg(feature = "mysql")]
    pub(crate) fn is_code(&self, wanted: &str) -> bool {
        matches!(&self.error, QueryError::Server { code, .. } if code == wanted)
    }
}
