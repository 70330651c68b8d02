//! How connections of all stream protocols are accepted, kept and watched.

use std::time::Duration;

use tocsin_script::{GlobalValue, Value};

use super::sockets::profile;
use super::values::{Parameter, Settings};
use crate::declared::DefaultValue::{Number, Switch, Unset};
use crate::declared::Effect::Sets;
use crate::declared::{Kind, number, set, text, truth};
use crate::tcp_settings::{Keepalive, MAX_CONNECTIONS};

/// `tcp_workers` at the most, as on the command line.
const MAX_WORKERS: u32 = 1024;
/// The longest time that a time-out or a lifetime may be set to, in seconds: a year. More is a mistake of units.
const MAX_TIME_S: i64 = 365 * 24 * 3600;
/// The kernel's limits on keep-alive: seconds before and between probes, and the number of them.
const KEEPALIVE_SECONDS: i64 = 32_767;
const KEEPALIVE_PROBES: i64 = 127;

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "tcp_workers",
        Kind::Workers { least: 1, most: MAX_WORKERS },
        Number(8),
        "Processes that serve connections, of all stream protocols together. -N wins.",
        Sets(|settings, value| {
            settings.tcp.workers = number(value)?;
            settings.scaling.tcp = profile(settings, value);
            Ok(())
        }),
    ),
    Parameter::new(
        "tcp_max_connections",
        Kind::number(1, MAX_CONNECTIONS as i64, "connections"),
        Number(2048),
        "Accepted connections at one time; further ones are refused. Those that the server opens are not among them.",
        Sets(|settings, value| set(&mut settings.tcp.max_connections, number(value))),
    ),
    Parameter::new(
        "tcp_max_connections_per_source",
        Kind::number(0, MAX_CONNECTIONS as i64, "connections"),
        Number(0),
        "Accepted connections of one remote address (of IPv6, of one /64) at one time; 0 is no limit. OpenSIPS has no such \
         parameter.",
        Sets(|settings, value| set(&mut settings.tcp.max_connections_per_source, number(value))),
    ),
    Parameter::new(
        "tcp_socket_backlog",
        Kind::number(1, i32::MAX as i64, "connections"),
        Number(1024),
        "Connections that the kernel keeps waiting to be accepted, for each address.",
        Sets(|settings, value| set(&mut settings.tcp.backlog, number(value))),
    ),
    Parameter::new(
        "tcp_connect_timeout",
        Kind::number(1, MAX_TIME_S * 1000, "milliseconds"),
        Unset("4000; 100 for a protocol whose asynchronous mode is off"),
        "Time for a connection that the server opens to be established.",
        Sets(|settings, value| {
            set(&mut settings.tcp.connect_timeout, number(value).map(|ms| Some(Duration::from_millis(ms))))
        }),
    ),
    Parameter::new(
        "tcp_connection_lifetime",
        Kind::number(0, MAX_TIME_S, "seconds"),
        Number(120),
        "Time without traffic after which a connection is closed; 0 closes it as soon as it is found idle.",
        Sets(|settings, value| set(&mut settings.tcp.lifetime, seconds(value))),
    ),
    Parameter::new(
        "tcp_max_msg_time",
        Kind::number(1, MAX_TIME_S, "seconds"),
        Number(4),
        "Time for a message to arrive whole, from its first byte on; the connection of a slower one is closed.",
        Sets(|settings, value| set(&mut settings.tcp.max_message_time, seconds(value))),
    ),
    Parameter::new(
        "tcp_threshold",
        Kind::number(0, i64::MAX, "microseconds"),
        Number(0),
        "Time that sending over a connection may take before it is logged and E_CORE_THRESHOLD is raised; 0 is off.",
        Sets(|settings, value| set(&mut settings.tcp.threshold_us, number(value))),
    )
    .older(&["tcpthreshold"]),
    Parameter::new(
        "tcp_keepalive",
        Kind::Switch,
        Switch(true),
        "The kernel probes idle connections, and closes those whose other end is gone.",
        Sets(|settings, value| set(&mut settings.tcp.keepalive.on, truth(value))),
    ),
    Parameter::new(
        "tcp_keepcount",
        Kind::number(0, KEEPALIVE_PROBES, "probes"),
        Number(0),
        "Probes without an answer before a connection is given up; 0 leaves it to the system. Switches tcp_keepalive on.",
        Sets(|settings, value| probe(settings, value, |probes, number| probes.probes = number)),
    ),
    Parameter::new(
        "tcp_keepidle",
        Kind::number(0, KEEPALIVE_SECONDS, "seconds"),
        Number(0),
        "Time without traffic before the first probe; 0 leaves it to the system. Switches tcp_keepalive on.",
        Sets(|settings, value| probe(settings, value, |probes, number| probes.idle_s = number)),
    ),
    Parameter::new(
        "tcp_keepinterval",
        Kind::number(0, KEEPALIVE_SECONDS, "seconds"),
        Number(0),
        "Time between two probes; 0 leaves it to the system. Switches tcp_keepalive on.",
        Sets(|settings, value| probe(settings, value, |probes, number| probes.interval_s = number)),
    ),
    Parameter::new(
        "tcp_accept_aliases",
        Kind::Switch,
        Switch(false),
        "A connection on which a Via with `;alias` came carries requests back to the port of that Via (RFC 5923). Among \
         clients behind one address it lets one take the calls of another.",
        Sets(|settings, value| set(&mut settings.tcp.accept_aliases, truth(value))),
    ),
    Parameter::new(
        "tcp_no_new_conn_bflag",
        Kind::Flag,
        Unset("none"),
        "The branch flag of requests that only go out over a connection that is there already.",
        Sets(|settings, value| {
            let bit = flag(settings, value);
            set(&mut settings.tcp.no_new_connection_bflag, bit)
        }),
    ),
    Parameter::new(
        "tcp_no_new_conn_rplflag",
        Kind::Flag,
        Unset("none"),
        "The message flag of requests whose responses only go out over a connection that is there already.",
        Sets(|settings, value| {
            let bit = flag(settings, value);
            set(&mut settings.tcp.no_new_connection_rplflag, bit)
        }),
    ),
    Parameter::without_effect(
        "tcp_parallel_read_on_workers",
        Kind::Switch,
        "Lets several workers read one connection.",
        "a message whose script waits does not keep the next one from being read",
    ),
];

fn seconds(value: &GlobalValue) -> Result<Duration, String> {
    number(value).map(Duration::from_secs)
}

/// One of the probes' numbers; 0 leaves it to the system.
fn probe(
    settings: &mut Settings,
    value: &GlobalValue,
    put: fn(&mut Keepalive, Option<u32>),
) -> Result<(), String> {
    let number: u32 = number(value)?;
    put(&mut settings.tcp.keepalive, Some(number).filter(|number| *number > 0));
    settings.tcp.keepalive.on |= number > 0;
    Ok(())
}

/// The bit of a flag, which is named by a word or by its number.
fn flag(settings: &Settings, value: &GlobalValue) -> Result<u32, String> {
    let text = text(value)?;
    settings.flag_names.bit(&text.parse().map_or_else(|_| Value::str(&*text), Value::Int))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{number, switch, with};
    use super::*;
    use crate::tcp_settings::TcpSettings;

    #[test]
    fn numbers_out_of_range_are_refused_not_cut() {
        for (name, bad) in [
            ("tcp_connect_timeout", 0),
            ("tcp_connection_lifetime", -1),
            ("tcp_max_connections", -5),
            ("tcp_max_connections", 0),
            ("tcp_max_connections", 1 << 32),
            ("tcp_max_connections", i64::from(MAX_CONNECTIONS) + 1),
            ("tcp_max_connections_per_source", i64::MAX),
            ("tcp_max_msg_time", 0),
            ("tcp_keepcount", 128),
            ("tcp_keepidle", 40_000),
            ("tcp_socket_backlog", 0),
            ("tcp_threshold", -1),
        ] {
            let problem = number(name, bad).unwrap_err();
            assert!(problem.contains("out of range"), "{name} = {bad}: {problem}");
        }
        for count in [0, 1025] {
            let workers = GlobalValue::Workers { count, profile: None };
            assert!(with("tcp_workers", workers).unwrap_err().contains("1 to 1024 processes"));
        }
        assert_eq!(number("tcp_connection_lifetime", 0).unwrap().tcp.lifetime, Duration::ZERO);
        assert_eq!(number("log_level", 0).unwrap().tcp, TcpSettings::default());
    }

    #[test]
    fn a_number_for_the_probes_switches_them_on() {
        let mut settings = switch("tcp_keepalive", false);
        let mut idle = |seconds| {
            let parameter = super::super::parameter("tcp_keepidle").unwrap();
            parameter.apply(&mut settings, &GlobalValue::Int(seconds)).unwrap();
            settings.tcp.keepalive
        };
        assert!(!idle(0).on);
        assert_eq!(idle(30), Keepalive { on: true, probes: None, idle_s: Some(30), interval_s: None });
    }
}
