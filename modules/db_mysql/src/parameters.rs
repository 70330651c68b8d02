//! The parameters (manual, db_mysql).

use tocsin_db::{CONNECT_TIMEOUT, Limits, MAX_CONNECT_TRIES};
use tocsin_script::ModParam;
use tocsin_server::module::Parameters;
use tocsin_server::shared_parameters::EXEC_QUERY_THRESHOLD;

/// The name of the module.
pub(super) const NAME: &str = "db_mysql";

const TIMEOUT_INTERVAL: ModParam = ModParam::number(
    "timeout_interval",
    CONNECT_TIMEOUT.as_secs() as i64,
    "How long opening a connection may take; a query may take three times as long.",
)
.within(1, MAX_TIMEOUT_S, "seconds");
const MAX_DB_QUERIES: ModParam =
    ModParam::number("max_db_queries", 2, "How often a query is sent when its connection breaks.")
        .without_effect("a query is sent once, as it may have had its effect when its connection broke");
const MAX_DB_RETRIES: ModParam = ModParam::number(
    "max_db_retries",
    MAX_CONNECT_TRIES as i64,
    "How often opening a connection is tried for one query, 1 to 100. Another number counts as the default, with a \
     warning.",
);
const PS_MAX_COL_SIZE: ModParam =
    ModParam::number("ps_max_col_size", 1024, "The largest value that a prepared statement gives.")
        .within(1, i64::MAX, "bytes")
        .without_effect("values take the memory that they need");
const USE_TLS: ModParam = ModParam::switch(
    "use_tls",
    false,
    "Whether connections to databases use TLS. Only 0 is possible so far.",
)
.check(|value| match tocsin_script::is_on(value) {
    Some(true) => Err("TLS to databases is not there yet: take the line out or set it to 0, and let the \
                               connection stay on this machine or in a tunnel"
        .to_owned()),
    _ => Ok(()),
});

pub(super) const NAMES: &[ModParam] =
    &[EXEC_QUERY_THRESHOLD, TIMEOUT_INTERVAL, MAX_DB_QUERIES, MAX_DB_RETRIES, PS_MAX_COL_SIZE, USE_TLS];

/// Seconds of `timeout_interval` at the most.
const MAX_TIMEOUT_S: i64 = 3600;
/// Tries of each kind at the most.
const MAX_TRIES: i64 = 100;
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
    pub(super) fn new(given: &Parameters) -> Self {
        tries(given, &MAX_DB_QUERIES);
        let connect_timeout = given.seconds(&TIMEOUT_INTERVAL);
        let limits = Limits {
            connect_timeout,
            budget: connect_timeout * INTERVALS_OF_A_QUERY,
            connect_tries: tries(given, &MAX_DB_RETRIES),
            ..Limits::default()
        };
        Self { threshold_us: given.int(&EXEC_QUERY_THRESHOLD).unsigned_abs(), limits }
    }
}

/// A value that makes no sense is the default, as the manual says.
fn tries(given: &Parameters, row: &ModParam) -> u32 {
    let number = given.int(row);
    if (1..=MAX_TRIES).contains(&number) {
        return number as u32;
    }
    let default = Parameters::default().int(row);
    tracing::warn!("modparam {}:{}: {number} is not from 1 to {MAX_TRIES}; it is {default}", NAME, row.name);
    default as u32
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tocsin_script::Value;

    use super::*;

    fn given(name: &str, value: i64) -> Result<Settings, String> {
        Parameters::checked(NAMES, &[(name, Value::Int(value))]).map(|given| Settings::new(&given))
    }

    #[test]
    fn defaults_are_the_manuals() {
        let Settings { threshold_us, limits } = Settings::new(&Parameters::default());
        assert_eq!((threshold_us, limits.connect_tries), (0, 3));
        assert_eq!((limits.connect_timeout, limits.budget), (Duration::from_secs(2), Duration::from_secs(6)));
    }

    #[test]
    fn values_are_taken() {
        let limits = given("timeout_interval", 5).unwrap().limits;
        assert_eq!(limits.budget, Duration::from_secs(15));
        assert_eq!(given("exec_query_threshold", 60_000).unwrap().threshold_us, 60_000);
        assert_eq!(given("max_db_retries", 7).unwrap().limits.connect_tries, 7);
        assert!(given("max_db_queries", 0).is_ok());
        assert_eq!(given("max_db_retries", -1).unwrap().limits.connect_tries, 3);
        assert!(given("use_tls", 0).is_ok());
    }

    #[test]
    fn wrong_values_are_named() {
        for (name, value) in
            [("exec_query_threshold", -1), ("timeout_interval", 0), ("ps_max_col_size", 0), ("use_tls", 1)]
        {
            let problem = given(name, value).unwrap_err();
            assert!(problem.starts_with(&format!("{name}: ")), "{problem}");
        }
    }
}
