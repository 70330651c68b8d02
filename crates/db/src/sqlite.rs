//! A file of SQLite. Its queries run in a thread of the library; one that is not wanted any more is stopped.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteQueryResult, SqliteRow};
use sqlx::{ConnectOptions, Executor, Row, Sqlite, TypeInfo, ValueRef};

use crate::answers::{MAX_STATEMENTS, collect, has_columns, query, shown, text_or_blob};
use crate::error::Failure;
use crate::limits::Limits;
use crate::statement::Statement;
use crate::value::{Rows, Value};

/// Steps of SQLite between two looks at whether its query is still wanted.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// An open file.
pub(crate) struct SqliteFile {
    connection: SqliteConnection,
    unwanted: Arc<AtomicBool>,
}

impl Drop for SqliteFile {
    fn drop(&mut self) {
        self.unwanted.store(true, Ordering::Relaxed);
    }
}

impl SqliteFile {
    pub(crate) async fn open(path: &Path, limits: &Limits) -> Result<Self, String> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .busy_timeout(limits.busy_timeout)
            .statement_cache_capacity(MAX_STATEMENTS)
            .disable_statement_logging();
        let mut connection = options.connect().await.map_err(|cause| shown(&cause))?;
        let unwanted = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&unwanted);
        connection
            .lock_handle()
            .await
            .map_err(|cause| shown(&cause))?
            .set_progress_handler(STEPS_BETWEEN_LOOKS, move || !seen.load(Ordering::Relaxed));
        Ok(Self { connection, unwanted })
    }

    pub(crate) async fn run(&mut self, statement: &Statement, limits: &Limits) -> Result<Rows, Failure> {
        let stream = self.connection.fetch_many(query!(statement));
        let affected = |done: &SqliteQueryResult| done.rows_affected();
        let mut rows = collect::<Sqlite>(stream, sqlite_value, affected, statement, limits).await?;
        if statement.asks.is_none() && !rows.is_result {
            rows.is_result = has_columns(&mut self.connection, &statement.text).await;
        }
        Ok(rows)
    }
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
