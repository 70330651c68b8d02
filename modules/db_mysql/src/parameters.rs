//! The parameters (manual, db_mysql).

use std::time::Duration;

use tocsin_db::{CONNECT_TIMEOUT, CONNECT_TRIES, Limits};
use tocsin_script::ModParam;
use tocsin_server::module::{Parameters, SetupError};
use tocsin_server::parameters::{number, switch};

pub(super) const NAMES: &[ModParam] = &[
    number("exec_query_threshold"),
    number("timeout_interval"),
    number("max_db_queries"),
    number("max_db_retries"),
    number("ps_max_col_size"),
    switch("use_tls"),
];

/// Seconds of `timeout_interval` at the most.
const LONGEST_TIMEOUT: i64 = 3600;
/// Tries of each kind at the most.
const MOST_TRIES: i64 = 100;
/// Times that a query is sent over broken connections, as the manual says. Here it is sent once.
const QUERY_TRIES: u32 = 2;
/// A query may take as many times `timeout_interval`, as the manual says.
const INTERVALS_OF_A_QUERY: u32 = 3;

/// What the parameters come to.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// `exec_query_threshold`, in microseconds; 0 is off.
    pub(super) threshold_us: u64,
    /// How much a database may cost.
    pub(super) limits: Limits,
}

impl Settings {
    pub(super) fn new(given: &Parameters) -> Result<Self, SetupError> {
        let wrong = |name, problem: String| SetupError::Parameter { module: super::NAME, name, problem };
        let threshold_us = u64::try_from(given.number("exec_query_threshold", 0)).map_err(|_| {
            wrong("exec_query_threshold", "give microseconds, or 0 to switch it off".to_owned())
        })?;
        let seconds = given.number("timeout_interval", CONNECT_TIMEOUT.as_secs() as i64);
        if !(1..=LONGEST_TIMEOUT).contains(&seconds) {
            return Err(wrong("timeout_interval", format!("give seconds from 1 to {LONGEST_TIMEOUT}")));
        }
        if given.number("ps_max_col_size", 1024) < 1 {
            return Err(wrong("ps_max_col_size", "give a number of bytes".to_owned()));
        }
        let off = given.value("use_tls").is_none_or(|value| {
            value.to_int() == Some(0) || value.as_str().is_some_and(|word| word.eq_ignore_ascii_case(b"no"))
        });
        if !off {
            let problem = "TLS to databases is not there yet: take the line out or set it to 0, and let the \
                           connection stay on this machine or in a tunnel";
            return Err(wrong("use_tls", problem.to_owned()));
        }
        tries(given, "max_db_queries", QUERY_TRIES);
        let connect_timeout = Duration::from_secs(seconds.unsigned_abs());
        let limits = Limits {
            connect_timeout,
            budget: connect_timeout * INTERVALS_OF_A_QUERY,
            connect_tries: tries(given, "max_db_retries", CONNECT_TRIES),
            ..Limits::default()
        };
        Ok(Self { threshold_us, limits })
    }
}

/// A value that makes no sense is the default, as the manual says.
fn tries(given: &Parameters, name: &str, default: u32) -> u32 {
    let number = given.number(name, default.into());
    if (1..=MOST_TRIES).contains(&number) {
        return number as u32;
    }
    tracing::warn!(
        "modparam {}:{name}: {number} is not from 1 to {MOST_TRIES}; it is {default}",
        super::NAME
    );
    default
}

#[cfg(test)]
mod tests {
    use tocsin_script::Value;

    use super::*;

    fn given(name: &str, value: impl Into<Value>) -> Parameters {
        Parameters(vec![(name.to_owned(), value.into())])
    }

    #[test]
    fn defaults_are_the_manuals() {
        let Settings { threshold_us, limits } = Settings::new(&Parameters::default()).unwrap();
        assert_eq!((threshold_us, limits.connect_tries), (0, 3));
        assert_eq!((limits.connect_timeout, limits.budget), (Duration::from_secs(2), Duration::from_secs(6)));
    }

    #[test]
    fn values_are_taken() {
        let limits = Settings::new(&given("timeout_interval", 5)).unwrap().limits;
        assert_eq!(limits.budget, Duration::from_secs(15));
        assert_eq!(Settings::new(&given("exec_query_threshold", 60_000)).unwrap().threshold_us, 60_000);
        assert_eq!(Settings::new(&given("max_db_retries", 7)).unwrap().limits.connect_tries, 7);
        assert!(Settings::new(&given("max_db_queries", 0)).is_ok());
        assert_eq!(Settings::new(&given("max_db_retries", -1)).unwrap().limits.connect_tries, 3);
        assert!(Settings::new(&given("use_tls", 0)).is_ok());
    }

    #[test]
    fn wrong_values_are_named() {
        for (name, value) in
            [("exec_query_threshold", -1), ("timeout_interval", 0), ("ps_max_col_size", 0), ("use_tls", 1)]
        {
            let problem = Settings::new(&given(name, value)).unwrap_err().to_string();
            assert!(problem.starts_with(&format!("modparam db_mysql:{name}: ")), "{problem}");
        }
    }
}
