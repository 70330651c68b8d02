//! db_sqlite: lets modules use files of SQLite (`sqlite://` URLs). A query runs beside the process's own work, in a
//! thread of the library's, and is stopped when its time is over.
#![forbid(unsafe_code)]

use std::rc::Rc;
use std::time::Duration;

use tocsin_db::{Finished, Limits, Scheme};
use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::Context;
use tocsin_server::databases::{Engine, QueryReports};
use tocsin_server::module::{Module, Parameters, Setup, SetupError};
use tocsin_server::parameters::{number, text};
use tocsin_server::slow_queries::{self, Names};

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct DbSqlite;

const NAME: &str = "db_sqlite";
/// Milliseconds of `busy_timeout` at the most.
const LONGEST_WAIT: i64 = 60_000;
const NAMES: Names =
    Names { plain: "sqlite query", asynchronous: "sqlite async query", prepared: "sqlite prep stmt" };

impl Module for DbSqlite {
    fn spec(&self) -> ModuleSpec<Context> {
        const PARAMETERS: &[ModParam] = &[
            number("alloc_limit"),
            text("load_extension"),
            number("busy_timeout"),
            number("exec_query_threshold"),
        ];
        ModuleSpec { params: PARAMETERS, ..ModuleSpec::new(NAME) }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let sqlite = Sqlite::new(&setup.parameters)?;
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
    fn new(given: &Parameters) -> Result<Self, SetupError> {
        let wrong = |name, problem: String| SetupError::Parameter { module: NAME, name, problem };
        if given.number("alloc_limit", 10) < 1 {
            return Err(wrong("alloc_limit", "give a number of rows".to_owned()));
        }
        if given.value("load_extension").is_some() {
            let problem = "extensions of SQLite are code of others in every process, and are not loaded: \
                           take the line out";
            return Err(wrong("load_extension", problem.to_owned()));
        }
        let mut limits = Limits::default();
        let busy = given.number("busy_timeout", limits.busy_timeout.as_millis() as i64);
        if !(0..=LONGEST_WAIT).contains(&busy) {
            return Err(wrong("busy_timeout", format!("give milliseconds from 0 to {LONGEST_WAIT}")));
        }
        limits.busy_timeout = Duration::from_millis(busy.unsigned_abs());
        let threshold_us = u64::try_from(given.number("exec_query_threshold", 0)).map_err(|_| {
            wrong("exec_query_threshold", "give microseconds, or 0 to switch it off".to_owned())
        })?;
        Ok(Self { threshold_us, limits })
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
    use tocsin_script::Value;

    use super::*;

    fn given(name: &str, value: impl Into<Value>) -> Parameters {
        Parameters(vec![(name.to_owned(), value.into())])
    }

    #[test]
    fn values_are_taken() {
        let sqlite = Sqlite::new(&Parameters::default()).unwrap();
        assert_eq!((sqlite.threshold_us, sqlite.limits.busy_timeout), (0, Duration::from_millis(500)));
        assert_eq!(Sqlite::new(&given("exec_query_threshold", 5)).unwrap().threshold_us, 5);
        let sqlite = Sqlite::new(&given("busy_timeout", 20)).unwrap();
        assert_eq!(sqlite.limits.busy_timeout, Duration::from_millis(20));
        assert!(Sqlite::new(&given("alloc_limit", 25)).is_ok());
    }

    #[test]
    fn wrong_values_are_named() {
        for (name, value) in [
            ("alloc_limit", Value::Int(0)),
            ("load_extension", Value::str("/usr/lib/sqlite3/pcre.so")),
            ("busy_timeout", Value::Int(-1)),
            ("exec_query_threshold", Value::Int(-1)),
        ] {
            let problem = Sqlite::new(&given(name, value)).unwrap_err().to_string();
            assert!(problem.starts_with(&format!("modparam db_sqlite:{name}: ")), "{problem}");
        }
    }
}
