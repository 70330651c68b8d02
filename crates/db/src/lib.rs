//! SQL databases, as modules and scripts use them.
//!
//! A [`Url`] says which database; a [`Pool`] keeps the connections that one process has to it. In flows the text of a
//! query, or a [`Select`], [`Insert`], [`Update`] or [`Delete`] put together from names and values; out come [`Rows`], or
//! a [`QueryError`] that says whose fault it was. Nothing here blocks: a query waits in the task that asked for it, and
//! never longer than its time budget. A connection is opened when the first query needs it, so never before a fork; one
//! that is lost or too slow is closed, and while none is available, queries fail at once and connecting is tried at ever
//! longer intervals.
//!
//! This crate raises no event and counts nothing: the caller hands over an [`Observer`], which hears of each query
//! that ended and of each connection lost and recovered.
//!
//! The features `mysql` and `sqlite` bring the kinds of database. Without both there is none to connect to, and `sqlx` is
//! left out.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(all(feature = "mysql", feature = "sqlite")),
    expect(dead_code, reason = "what serves a kind of database that this build has not")
)]

#[cfg(any(feature = "mysql", feature = "sqlite"))]
mod answers;
mod breaker;
mod connection;
mod error;
mod limits;
#[cfg(feature = "mysql")]
mod mysql;
mod observer;
mod pool;
#[cfg(feature = "sqlite")]
mod sqlite;
mod statement;
mod url;
mod value;

pub use error::QueryError;
pub use limits::{
    BACKOFF_FIRST, BACKOFF_LONGEST, BUSY_TIMEOUT, CONNECT_TIMEOUT, IDLE_TIME, Limits, MAX_CONNECT_TRIES,
    MAX_CONNECTIONS, MAX_RESULT_BYTES, MAX_RESULT_ROWS, MAX_WAITING_QUERIES, PROBE_AFTER, QUERY_BUDGET,
};
pub use observer::{Finished, Observer, Source, Unobserved};
pub use pool::Pool;
pub use statement::{Condition, Delete, Insert, MAX_NAME_BYTES, Select, Update, is_name};
pub use url::{MAX_URL_BYTES, Scheme, Url, UrlError};
pub use value::{Rows, Value};
