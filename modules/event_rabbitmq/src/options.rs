//! The module's parameters, and what they say.

use std::time::Duration;

use tocsin_script::ModParam;
use tocsin_server::module::Parameters;
use tocsin_server::shared_parameters::milliseconds;

/// The module's name.
pub(super) const NAME: &str = "event_rabbitmq";
/// The most milliseconds that a parameter takes: a day.
const MAX_MILLIS: i64 = 86_400_000;
/// How long events wait for a broker, unless `max_age` says otherwise.
const MAX_AGE: Duration = Duration::from_secs(60);
/// How long an attempt to connect may take, unless `connect_timeout` says otherwise.
const CONNECT_TIME: Duration = Duration::from_millis(500);

const HEARTBEAT: ModParam = ModParam::number(
    "heartbeat",
    0,
    "Seconds between two signs of life on a connection: one over which nothing came for twice as long is closed. 0 for \
     none.",
)
.within(0, u16::MAX as i64, "seconds");
const CONNECT_TIMEOUT: ModParam = milliseconds(
    "connect_timeout",
    CONNECT_TIME.as_millis() as i64,
    "How long an attempt to connect to a broker may take.",
);
const USE_TLS: ModParam = ModParam::switch(
    "use_tls",
    false,
    "Whether connections to brokers may be encrypted: those of subscribers that name a `tls_domain`. Needs tls_mgm, loaded \
     before.",
);
const TIMEOUT: ModParam = ModParam::number(
    "timeout",
    0,
    "How long a broker may take to confirm an event, before it is published again over a new connection. 0 for no limit.",
)
.within(0, MAX_MILLIS, "milliseconds");
// Not of OpenSIPS.
const MAX_AGE_ROW: ModParam = ModParam::number(
    "max_age",
    MAX_AGE.as_millis() as i64,
    "How long an event waits while nothing can be published at its broker, before it is dropped. The manual does not have \
     this parameter.",
)
.within(1, MAX_MILLIS, "milliseconds");

pub(super) const PARAMETERS: &[ModParam] = &[HEARTBEAT, CONNECT_TIMEOUT, USE_TLS, TIMEOUT, MAX_AGE_ROW];

/// What the parameters say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    /// Seconds; 0 for none.
    pub(super) heartbeat: u16,
    pub(super) connect_timeout: Duration,
    pub(super) use_tls: bool,
    /// How long a confirmation may take, if that is limited.
    pub(super) timeout: Option<Duration>,
    pub(super) max_age: Duration,
}

pub(super) fn options(given: &Parameters) -> Options {
    Options {
        heartbeat: u16::try_from(given.int(&HEARTBEAT)).unwrap_or(0),
        connect_timeout: given.millis(&CONNECT_TIMEOUT),
        use_tls: given.on(&USE_TLS),
        timeout: Some(given.millis(&TIMEOUT)).filter(|limit| !limit.is_zero()),
        max_age: given.millis(&MAX_AGE_ROW),
    }
}

#[cfg(test)]
mod tests {
    use tocsin_script::Value;

    use super::*;

    fn given(name: &str, value: impl Into<Value>) -> Result<Options, String> {
        Parameters::checked(PARAMETERS, &[(name, value.into())]).map(|given| options(&given))
    }

    #[test]
    fn parameters_say_how_events_are_published() {
        let none = options(&Parameters::default());
        let millis = Duration::from_millis;
        assert_eq!((none.heartbeat, none.connect_timeout), (0, millis(500)));
        assert_eq!((none.use_tls, none.timeout, none.max_age), (false, None, millis(60_000)));
        assert_eq!(given("heartbeat", 3).unwrap().heartbeat, 3);
        assert_eq!(given("connect_timeout", 1000).unwrap().connect_timeout, millis(1000));
        assert!(given("use_tls", 1).unwrap().use_tls);
        assert_eq!(given("timeout", 1000).unwrap().timeout, Some(millis(1000)));
        assert_eq!(given("max_age", 10).unwrap().max_age, millis(10));
        for (name, value) in
            [("heartbeat", -1), ("heartbeat", 65_536), ("connect_timeout", 0), ("max_age", 0)]
        {
            assert!(given(name, value).is_err(), "{name} {value}");
        }
    }
}
