//! One connection, and a statement run over it.

use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{NaiveDate, NaiveDateTime};
use futures_core::Stream;
use sqlx::mysql::types::MySqlTime;
use sqlx::mysql::{
    MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlQueryResult, MySqlRow, MySqlSslMode,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteQueryResult, SqliteRow};
use sqlx::{
    AssertSqlSafe, Column, ConnectOptions, Connection as _, Database, Either, Executor, Row, SqlSafeStr,
    Statement as _, TypeInfo, ValueRef,
};

use crate::error::QueryError;
use crate::limits::Limits;
use crate::statement::Statement;
use crate::url::{Mysql, Target, Url};
use crate::value::{Rows, Value};

/// Prepared statements that a connection keeps.
const STATEMENTS_KEPT: usize = 64;
/// Where the client libraries of MySQL look for a server on this machine.
const LOCAL_SOCKET: &str = "/run/mysqld/mysqld.sock";
/// MySQL's error for a statement that cannot be prepared.
const NOT_PREPARABLE: &str = "1295";
/// Steps of SQLite between two looks at whether its query is still wanted.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// An open connection.
pub(crate) enum Connection {
    Mysql(MySqlConnection),
    Sqlite(File),
}

/// A file of SQLite. Its queries run in a thread of the library; one that is not wanted any more is stopped.
pub(crate) struct File {
    connection: SqliteConnection,
    unwanted: Arc<AtomicBool>,
}

impl Drop for File {
    fn drop(&mut self) {
        self.unwanted.store(true, Ordering::Relaxed);
    }
}

/// A statement that failed.
pub(crate) struct Failure {
    pub(crate) error: QueryError,
    /// The connection can be used for the next one.
    pub(crate) is_usable: bool,
}

impl Failure {
    fn of_query(error: QueryError) -> Self {
        Self { error, is_usable: true }
    }

    fn of_connection(error: QueryError) -> Self {
        Self { error, is_usable: false }
    }

    fn is_code(&self, wanted: &str) -> bool {
        matches!(&self.error, QueryError::Server { code, .. } if code == wanted)
    }
}

impl Connection {
    /// Opens a connection. The cause of a failure is a text for the operator, without a password.
    pub(crate) async fn open(url: &Url, limits: &Limits) -> Result<Self, String> {
        match url.target() {
            Target::Mysql(place) => {
                let options = mysql_options(place).disable_statement_logging();
                options.connect().await.map(Self::Mysql).map_err(|cause| shown(&cause))
            }
            Target::Sqlite(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(false)
                    .busy_timeout(limits.busy_timeout)
                    .statement_cache_capacity(STATEMENTS_KEPT)
                    .disable_statement_logging();
                let mut connection = options.connect().await.map_err(|cause| shown(&cause))?;
                let unwanted = Arc::new(AtomicBool::new(false));
                let seen = Arc::clone(&unwanted);
                connection
                    .lock_handle()
                    .await
                    .map_err(|cause| shown(&cause))?
                    .set_progress_handler(STEPS_BETWEEN_LOOKS, move || !seen.load(Ordering::Relaxed));
                Ok(Self::Sqlite(File { connection, unwanted }))
            }
        }
    }

    /// Asks whether it lives. The cause of a failure is a text for the operator.
    pub(crate) async fn probe(&mut self) -> Result<(), String> {
        match self {
            Self::Mysql(connection) => connection.ping().await.map_err(|cause| shown(&cause)),
            // A process that has a file open keeps it.
            Self::Sqlite(_) => Ok(()),
        }
    }

    /// Runs a statement to its last row.
    pub(crate) async fn run(&mut self, statement: &Statement, limits: &Limits) -> Result<Rows, Failure> {
        /// Both kinds of query take the same values, but are different types.
        macro_rules! query {
            () => {{
                let text = AssertSqlSafe(statement.text.clone());
                let query = sqlx::query(text).persistent(statement.is_prepared);
                statement.values.iter().fold(query, |query, value| match value {
                    Value::Null => query.bind(None::<String>),
                    Value::Int(number) => query.bind(*number),
                    Value::Double(number) => query.bind(*number),
                    Value::Text(text) => query.bind(text.clone()),
                    Value::Blob(bytes) => query.bind(bytes.clone()),
                    Value::Time(time) => query.bind(*time),
                })
            }};
        }
        match self {
            Self::Mysql(connection) => {
                let affected = |done: &MySqlQueryResult| done.rows_affected();
                // Also one as it was written is prepared: only so does the server refuse a second statement behind it.
                let stream = connection.fetch_many(query!());
                let result = collect::<sqlx::MySql>(stream, mysql_value, affected, statement, limits).await;
                if !result.as_ref().is_err_and(|failure| failure.is_code(NOT_PREPARABLE)) {
                    let mut rows = result?;
                    if statement.asks.is_none() && !rows.is_result {
                        rows.is_result = has_columns(connection, &statement.text).await;
                    }
                    return Ok(rows);
                }
                // The server has read it, and it is a single one.
                let stream = connection.fetch_many(sqlx::raw_sql(AssertSqlSafe(statement.text.clone())));
                collect::<sqlx::MySql>(stream, mysql_value, affected, statement, limits).await
            }
            Self::Sqlite(file) => {
                let stream = file.connection.fetch_many(query!());
                let affected = |done: &SqliteQueryResult| done.rows_affected();
                let mut rows =
                    collect::<sqlx::Sqlite>(stream, sqlite_value, affected, statement, limits).await?;
                if statement.asks.is_none() && !rows.is_result {
                    rows.is_result = has_columns(&mut file.connection, &statement.text).await;
                }
                Ok(rows)
            }
        }
    }
}

/// The session is left as the server makes it: no modes, no time zone of the library's own.
fn mysql_options(place: &Mysql) -> MySqlConnectOptions {
    let mut options = MySqlConnectOptions::new()
        .host(&place.host)
        .username(&place.user)
        .database(&place.database)
        .ssl_mode(MySqlSslMode::Disabled)
        .statement_cache_capacity(STATEMENTS_KEPT)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .set_names(false);
    if let Some(password) = &place.password {
        options = options.password(password);
    }
    if let Some(port) = place.port {
        options = options.port(port);
    }
    match &place.socket {
        Some(path) => options.socket(path),
        None if place.host == "localhost" && place.port.is_none() && Path::new(LOCAL_SOCKET).exists() => {
            options.socket(LOCAL_SOCKET)
        }
        None => options,
    }
}

type Answers<'a, DB> = Pin<
    Box<
        dyn Stream<Item = Result<Either<<DB as Database>::QueryResult, <DB as Database>::Row>, sqlx::Error>>
            + Send
            + 'a,
    >,
>;

async fn collect<DB: Database>(
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
async fn has_columns<'c, E: Executor<'c>>(connection: E, text: &str) -> bool {
    let text = AssertSqlSafe(text.to_owned()).into_sql_str();
    // It has run already. If the connection ended just now, the next one to use it will know.
    connection.prepare(text).await.is_ok_and(|prepared| !prepared.columns().is_empty())
}

fn mysql_value(row: &MySqlRow, at: usize) -> Result<Value, sqlx::Error> {
    let raw = row.try_get_raw(at)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let kind = raw.type_info();
    Ok(match kind.name() {
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => {
            Value::Int(row.try_get_unchecked(at)?)
        }
        "BIGINT UNSIGNED" | "BIT" => match row.try_get_unchecked::<u64, _>(at)? {
            number if number <= i64::MAX as u64 => Value::Int(number as i64),
            number => Value::Text(number.to_string()),
        },
        name if name.ends_with("UNSIGNED") || name == "YEAR" => {
            Value::Int(row.try_get_unchecked::<u64, _>(at)? as i64)
        }
        "FLOAT" => Value::Double(row.try_get_unchecked::<f32, _>(at)?.into()),
        "DOUBLE" => Value::Double(row.try_get_unchecked(at)?),
        "DATETIME" | "TIMESTAMP" => match row.try_get_unchecked::<NaiveDateTime, _>(at) {
            Ok(time) => Value::Time(time),
            // MySQL knows days that the calendar does not.
            Err(_) => Value::Text("0000-00-00 00:00:00".to_owned()),
        },
        "DATE" => match row.try_get_unchecked::<NaiveDate, _>(at) {
            Ok(date) => Value::Text(date.to_string()),
            Err(_) => Value::Text("0000-00-00".to_owned()),
        },
        "TIME" => Value::Text(row.try_get_unchecked::<MySqlTime, _>(at)?.to_string()),
        "BINARY" | "VARBINARY" | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" | "GEOMETRY" => {
            Value::Blob(row.try_get_unchecked(at)?)
        }
        _ => text_or_blob(row.try_get_unchecked(at)?),
    })
}

fn sqlite_value(row: &SqliteRow, at: usize) -> Result<Value, sqlx::Error> {
    let raw = row.try_get_raw(at)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let kind = raw.type_info();
    Ok(match kind.name() {
        "INTEGER" | "BOOLEAN" => Value::Int(row.try_get_unchecked(at)?),
        "REAL" => Value::Double(row.try_get_unchecked(at)?),
        "BLOB" => Value::Blob(row.try_get_unchecked(at)?),
        _ => text_or_blob(row.try_get_unchecked(at)?),
    })
}

fn text_or_blob(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Ok(text) => Value::Text(text),
        Err(not_text) => Value::Blob(not_text.into_bytes()),
    }
}

/// Errors of a server that is about to close the connection: it shuts down, or was told to end this session.
const LAST_WORDS: &[u16] = &[1053, 1077, 1079, 1152, 1184, 1927, 3168, 4031];

fn failure(cause: sqlx::Error) -> Failure {
    let error = match cause {
        sqlx::Error::Database(error) => error,
        sqlx::Error::Io(_) => return Failure::of_connection(QueryError::Lost(shown(&cause))),
        _ => return Failure::of_connection(QueryError::Unexpected(shown(&cause))),
    };
    let mysql = error.try_downcast_ref::<MySqlDatabaseError>();
    if mysql.is_some_and(|error| LAST_WORDS.contains(&error.number())) {
        return Failure::of_connection(QueryError::Lost(error.message().to_owned()));
    }
    let code = match mysql {
        Some(error) => error.number().to_string(),
        None => error.code().unwrap_or_default().into_owned(),
    };
    Failure::of_query(QueryError::Server { code, text: error.message().to_owned() })
}

/// An error of the library, in the words of what is beneath it.
fn shown(cause: &sqlx::Error) -> String {
    match cause {
        sqlx::Error::Database(error) => match error.try_downcast_ref::<MySqlDatabaseError>() {
            Some(mysql) => format!("({}) {}", mysql.number(), mysql.message()),
            None => error.message().to_owned(),
        },
        sqlx::Error::Io(cause) => cause.to_string(),
        other => other.to_string(),
    }
}
