//! What `sqlx` answers to a statement: rows with a limit, and errors by whose fault they are.

use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream;
use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, Column, Database, Either, Executor, Row, SqlSafeStr, Statement as _};

use crate::error::{Failure, QueryError};
use crate::limits::Limits;
use crate::statement::Statement;
use crate::value::{Rows, Value};

/// Prepared statements that a connection keeps.
pub(crate) const MAX_STATEMENTS: usize = 64;

/// A statement with its values, as `sqlx` takes it. The query types of MySQL and SQLite take the same values, but are different.
macro_rules! query {
    ($statement:expr) => {{
        let statement: &crate::statement::Statement = $statement;
        let text = sqlx::AssertSqlSafe(statement.text.clone());
        let query = sqlx::query(text).persistent(statement.is_prepared);
        statement.values.iter().fold(query, |query, value| match value {
            crate::value::Value::Null => query.bind(None::<String>),
            crate::value::Value::Int(number) => query.bind(*number),
            crate::value::Value::Double(number) => query.bind(*number),
            crate::value::Value::Text(text) => query.bind(text.clone()),
            crate::value::Value::Blob(bytes) => query.bind(bytes.clone()),
            crate::value::Value::Time(time) => query.bind(*time),
        })
    }};
}
pub(crate) use query;

type Answers<'a, DB> = Pin<
    Box<
        dyn Stream<Item = Result<Either<<DB as Database>::QueryResult, <DB as Database>::Row>, sqlx::Error>>
            + Send
            + 'a,
    >,
>;

pub(crate) async fn collect<DB: Database>(
    mut answers: Answers<'_, DB>,
    value: fn(&DB::Row, usize) -> Result<Value, sqlx::Error>,
    affected: impl Fn(&DB::QueryResult) -> u64,
    statement: &Statement,
    limits: &Limits,
) -> Result<Rows, Failure> {
    let mut gathered = Gathered::default();
    let mut results = 0;
    while let Some(answer) = poll_fn(|cx| answers.as_mut().poll_next(cx)).await {
        match answer.map_err(failure)? {
            Either::Left(done) => {
                gathered.rows.affected += affected(&done);
                results += 1;
            }
            // Of several results of one statement, the first counts.
            Either::Right(_) if results > 0 => {}
            Either::Right(row) => gathered.push(&row, value, limits)?,
        }
    }
    let Gathered { mut rows, unreadable, .. } = gathered;
    // Behind the results of a procedure comes how it ended, which is one more.
    rows.is_result = statement.asks.unwrap_or(results > 1) || !rows.columns.is_empty();
    match unreadable {
        None => Ok(rows),
        Some(error) => Err(Failure::of_query(error)),
    }
}

/// The rows of a result that have come so far.
#[derive(Default)]
struct Gathered {
    rows: Rows,
    count: usize,
    /// The size of the values.
    bytes: usize,
    /// The first value that is of no known type: nothing is read behind it.
    unreadable: Option<QueryError>,
}

impl Gathered {
    fn push<R: Row>(
        &mut self,
        row: &R,
        value: fn(&R, usize) -> Result<Value, sqlx::Error>,
        limits: &Limits,
    ) -> Result<(), Failure> {
        let too_large =
            |limit, what| Failure::of_connection(QueryError::TooLarge(format!("more than {limit} {what}")));
        self.count += 1;
        if self.count > limits.rows {
            return Err(too_large(limits.rows, "rows"));
        }
        let width = row.columns().len();
        if self.rows.columns.is_empty() {
            self.rows.columns = row.columns().iter().map(|column| column.name().to_owned()).collect();
        }
        if width != self.rows.columns.len() || self.unreadable.is_some() {
            return Ok(());
        }
        for at in 0..width {
            match value(row, at) {
                Ok(value) => {
                    self.bytes += value.size();
                    self.rows.values.push(value);
                }
                Err(cause) => {
                    self.unreadable = Some(QueryError::Unreadable { column: at + 1, problem: shown(&cause) });
                    break;
                }
            }
        }
        if self.bytes > limits.bytes {
            return Err(too_large(limits.bytes, "bytes"));
        }
        Ok(())
    }
}

/// Whether a statement that had no rows might have had some.
pub(crate) async fn has_columns<'c, E: Executor<'c>>(connection: E, text: &str) -> bool {
    let text = AssertSqlSafe(text.to_owned()).into_sql_str();
    // It has run already. If the connection ended just now, the next one to use it will know.
    connection.prepare(text).await.is_ok_and(|prepared| !prepared.columns().is_empty())
}

pub(crate) fn text_or_blob(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Ok(text) => Value::Text(text),
        Err(not_text) => Value::Blob(not_text.into_bytes()),
    }
}

/// MySQL's errors before it closes the connection: the server shuts down, or somebody ended this session.
const LAST_WORDS: &[u16] = &[1053, 1077, 1079, 1152, 1184, 1927, 3168, 4031];

fn failure(cause: sqlx::Error) -> Failure {
    let error = match cause {
        sqlx::Error::Database(error) => error,
        sqlx::Error::Io(_) => return Failure::of_connection(QueryError::Lost(shown(&cause))),
        _ => return Failure::of_connection(QueryError::Unexpected(shown(&cause))),
    };
    let number = mysql_number(&*error);
    if number.is_some_and(|number| LAST_WORDS.contains(&number)) {
        return Failure::of_connection(QueryError::Lost(error.message().to_owned()));
    }
    let code = match number {
        Some(number) => number.to_string(),
        None => error.code().unwrap_or_default().into_owned(),
    };
    Failure::of_query(QueryError::Server { code, text: error.message().to_owned() })
}

/// An error of the library, in the words of what is beneath it.
pub(crate) fn shown(cause: &sqlx::Error) -> String {
    match cause {
        sqlx::Error::Database(error) => match mysql_number(&**error) {
            Some(number) => format!("({number}) {}", error.message()),
            None => error.message().to_owned(),
        },
        sqlx::Error::Io(cause) => cause.to_string(),
        other => other.to_string(),
    }
}

#[cfg(feature = "mysql")]
fn mysql_number(error: &dyn DatabaseError) -> Option<u16> {
    error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map(sqlx::mysql::MySqlDatabaseError::number)
}

#[cfg(not(feature = "mysql"))]
fn mysql_number(_: &dyn DatabaseError) -> Option<u16> {
    None
}
