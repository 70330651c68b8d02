//! One connection, and a statement run over it: the kinds of database that this build has.

use crate::error::Failure;
use crate::limits::Limits;
#[cfg(feature = "mysql")]
use crate::mysql::MysqlConnection;
#[cfg(feature = "sqlite")]
use crate::sqlite::SqliteFile;
use crate::statement::Statement;
use crate::url::{Target, Url};
use crate::value::Rows;

/// An open connection.
pub(crate) enum Connection {
    #[cfg(feature = "mysql")]
    Mysql(MysqlConnection),
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteFile),
}

impl Connection {
    /// Opens a connection. The cause of a failure is a text for the operator, without a password.
    #[cfg_attr(
        not(feature = "sqlite"),
        expect(unused_variables, reason = "only files have a limit of their own")
    )]
    pub(crate) async fn open(url: &Url, limits: &Limits) -> Result<Self, String> {
        match url.target() {
            #[cfg(feature = "mysql")]
            Target::Mysql(place) => MysqlConnection::open(place).await.map(Self::Mysql),
            #[cfg(not(feature = "mysql"))]
            Target::Mysql(_) => Err("this build has no MySQL".to_owned()),
            #[cfg(feature = "sqlite")]
            Target::Sqlite(path) => SqliteFile::open(path, limits).await.map(Self::Sqlite),
            #[cfg(not(feature = "sqlite"))]
            Target::Sqlite(_) => Err("this build has no SQLite".to_owned()),
        }
    }

    /// Asks whether it lives. The cause of a failure is a text for the operator.
    pub(crate) async fn probe(&mut self) -> Result<(), String> {
        match *self {
            #[cfg(feature = "mysql")]
            Self::Mysql(ref mut connection) => connection.probe().await,
            // A process that has a file open keeps it.
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Ok(()),
        }
    }

    /// Runs a statement to its last row.
    #[cfg_attr(
        not(any(feature = "mysql", feature = "sqlite")),
        expect(unused_variables, reason = "only databases run statements")
    )]
    pub(crate) async fn run(&mut self, statement: &Statement, limits: &Limits) -> Result<Rows, Failure> {
        match *self {
            #[cfg(feature = "mysql")]
            Self::Mysql(ref mut connection) => connection.run(statement, limits).await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(ref mut file) => file.run(statement, limits).await,
        }
    }
}
