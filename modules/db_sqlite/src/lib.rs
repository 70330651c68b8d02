//! db_sqlite: lets modules use files of SQLite (`sqlite://` URLs). A query runs beside the process's own work, in a
//! thread of the library's, and is stopped when its time is over.
#![forbid(unsafe_code)]

use std::rc::Rc;
use tocsin_db::{BUSY_TIMEOUT, Finished, Limits, Scheme};
use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::Context;
use tocsin_server::databases::{Engine, QueryReports};
use tocsin_server::module::{Module, Parameters, Setup, SetupError};
use tocsin_server::shared_parameters::EXEC_QUERY_THRESHOLD;
use tocsin_server::slow_queries::{self, Names};

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct DbSqlite;

const NAME: &str = "db_sqlite";
/// Milliseconds of `busy_timeout` at the most.
const MAX_WAIT_MS: i64 = 60_000;
const ALLOC_LIMIT: ModParam =
    ModParam::number("alloc_limit", 10, "How many rows there is room for when a result is read.")
        .within(1, i64::MAX, "rows")
        .without_effect("results take the memory that they need");
const LOAD_EXTENSION: ModParam = ModParam::text(
    "load_extension",
    "",
    "A library with an extension of SQLite. It is always refused.",
)
.unset("no extension is loaded")
.check(|_| {
    Err("extensions of SQLite are code of others in every process, and are not loaded: take the line out"
        .to_owned())
});
const BUSY: ModParam = ModParam::number(
    "busy_timeout",
    BUSY_TIMEOUT.as_millis() as i64,
    "How long a query waits for a lock of another connection on the file.",
)
.within(0, MAX_WAIT_MS, "milliseconds");

const PARAMETERS: &[ModParam] = &[ALLOC_LIMIT, LOAD_EXTENSION, BUSY, EXEC_QUERY_THRESHOLD];

const NAMES: Names =
    Names { plain: "sqlite query", asynchronous: "sqlite async query", prepared: "sqlite prep stmt" };

impl Module for DbSqlite {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: PARAMETERS, ..ModuleSpec::new(NAME) }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let sqlite = Sqlite::new(&setup.parameters);
        setup.registered.databases.offer(Rc::new(sqlite));
        Ok(())
    }
}

#[derive(Debug)]
struct Sqlite {
    threshold_us: u64,
    limits: Limits,
}

impl Sqlite {
    fn new(given: &Parameters) -> Self {
        let limits = Limits { busy_timeout: given.millis(&BUSY), ..Limits::default() };
        Self { threshold_us: given.int(&EXEC_QUERY_THRESHOLD).unsigned_abs(), limits }
    }
}

impl Engine for Sqlite {
    fn scheme(&self) -> Scheme {
        Scheme::Sqlite
    }

    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    fn finished(&self, reports: QueryReports<'_>, finished: &Finished<'_>) {
        if let Some(complaint) = slow_queries::complaint(finished) {
            tracing::error!("{complaint}");
        }
        if let Some(slow) = slow_queries::measure(reports, NAMES, self.threshold_us, finished) {
            tracing::warn!("{slow}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tocsin_script::Value;

    use super::*;

    fn given(name: &str, value: impl Into<Value>) -> Result<Sqlite, String> {
        Parameters::checked(PARAMETERS, &[(name, value.into())]).map(|given| Sqlite::new(&given))
    }

    #[test]
    fn values_are_taken() {
        let sqlite = Sqlite::new(&Parameters::default());
        assert_eq!((sqlite.threshold_us, sqlite.limits.busy_timeout), (0, Duration::from_millis(500)));
        assert_eq!(given("exec_query_threshold", 5).unwrap().threshold_us, 5);
        let sqlite = given("busy_timeout", 20).unwrap();
        assert_eq!(sqlite.limits.busy_timeout, Duration::from_millis(20));
        assert!(given("alloc_limit", 25).is_ok());
    }

    #[test]
    fn wrong_values_are_named() {
        for (name, value) in [
            ("alloc_limit", Value::Int(0)),
            ("load_extension", Value::str("/usr/lib/sqlite3/pcre.so")),
            ("busy_timeout", Value::Int(-1)),
            ("exec_query_threshold", Value::Int(-1)),
        ] {
            let problem = given(name, value).unwrap_err();
            assert!(problem.starts_with(&format!("{name}: ")), "{problem}");
        }
    }
}
