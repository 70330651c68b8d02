//! A connection to a server of MySQL or MariaDB.

use std::path::Path;

use chrono::{NaiveDate, NaiveDateTime};
use sqlx::mysql::types::MySqlTime;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlQueryResult, MySqlRow, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Executor, MySql, Row, TypeInfo, ValueRef};

use crate::answers::{MAX_STATEMENTS, collect, has_columns, query, shown, text_or_blob};
use crate::error::Failure;
use crate::limits::Limits;
use crate::statement::Statement;
use crate::url::Mysql;
use crate::value::{Rows, Value};

/// Where the client libraries of MySQL look for a server on this machine.
const LOCAL_SOCKET: &str = "/run/mysqld/mysqld.sock";
/// MySQL's error for a statement that cannot be prepared.
const NOT_PREPARABLE: &str = "1295";

/// An open connection.
pub(crate) struct MysqlConnection(MySqlConnection);

impl MysqlConnection {
    pub(crate) async fn open(place: &Mysql) -> Result<Self, String> {
        let options = mysql_options(place).disable_statement_logging();
        options.connect().await.map(Self).map_err(|cause| shown(&cause))
    }

    pub(crate) async fn probe(&mut self) -> Result<(), String> {
        self.0.ping().await.map_err(|cause| shown(&cause))
    }

    pub(crate) async fn run(&mut self, statement: &Statement, limits: &Limits) -> Result<Rows, Failure> {
        let affected = |done: &MySqlQueryResult| done.rows_affected();
        // A statement is prepared even if it runs once: only then does the server refuse a second one behind it.
        let stream = self.0.fetch_many(query!(statement));
        let result = collect::<MySql>(stream, mysql_value, affected, statement, limits).await;
        if !result.as_ref().is_err_and(|failure| failure.is_code(NOT_PREPARABLE)) {
            let mut rows = result?;
            if statement.asks.is_none() && !rows.is_result {
                rows.is_result = has_columns(&mut self.0, &statement.text).await;
            }
            return Ok(rows);
        }
        // The server has read it, and it is a single one.
        let stream = self.0.fetch_many(sqlx::raw_sql(AssertSqlSafe(statement.text.clone())));
        collect::<MySql>(stream, mysql_value, affected, statement, limits).await
    }
}

/// The session is left as the server makes it: no modes, no time zone of the library's own.
fn mysql_options(place: &Mysql) -> MySqlConnectOptions {
    let mut options = MySqlConnectOptions::new()
        .host(&place.host)
        .username(&place.user)
        .database(&place.database)
        .ssl_mode(MySqlSslMode::Disabled)
        .statement_cache_capacity(MAX_STATEMENTS)
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
