//! Rows of parameters that several modules share: under one name, or each under its own. A value that cannot be used is an
//! error of the configuration that says what would be right.

use tocsin_net::Protocol;
use tocsin_script::{ModParam, Value};

use crate::stream_options::{MAX_CHUNKS, MAX_POSTPONED, PATIENCE, RESOURCE, StreamOptions};

/// The longest time-out: an hour. More is a mistake of units.
const MAX_TIME_MS: i64 = 3_600_000;
/// The most reads of one message, and the most messages that wait for one connection.
const MAX_CHUNKS_PARAMETER: i64 = 65_535;
/// Bytes of the resource of a WebSocket.
const MAX_RESOURCE_BYTES: usize = 1024;
/// Milliseconds for which a process of OpenSIPS waits for a connection at the most.
const BLOCKING_MS: i64 = 100;

const UNTRACED: &str = "there is no tracing module (proto_hep) yet";

/// Whether SIP traffic is traced.
pub const TRACE_ON: ModParam = ModParam::switch(
    "trace_on",
    false,
    "Whether connections are traced. Only 0 is possible so far.",
)
.check(|value| match tocsin_script::is_on(value) {
    Some(true) => Err("connections are traced by the module proto_hep, which this version does not have: \
                               take the line out or set it to 0"
        .to_owned()),
    _ => Ok(()),
});
/// Where traces are sent.
pub const TRACE_DESTINATION: ModParam =
    ModParam::text("trace_destination", "", "Where traces are sent.").unset("").without_effect(UNTRACED);
/// The route that decides what is traced.
pub const TRACE_FILTER_ROUTE: ModParam =
    ModParam::text("trace_filter_route", "", "The route that decides which connections are traced.")
        .unset("")
        .without_effect(UNTRACED);
/// The management commands that are traced.
pub const TRACE_BWLIST: ModParam =
    ModParam::text("trace_bwlist", "", "Which management commands are traced.")
        .unset("")
        .without_effect(UNTRACED);

/// The port of a protocol.
pub const fn port(name: &'static str, protocol: Protocol) -> ModParam {
    let doc = "The port of listeners and of destinations that name none.";
    ModParam::number(name, protocol.default_port() as i64, doc).within(1, 65_535, "")
}

/// How long something may take.
pub const fn time_limit(name: &'static str, doc: &'static str) -> ModParam {
    milliseconds(name, PATIENCE.as_millis() as i64, doc)
}

/// A time that is not zero.
pub const fn milliseconds(name: &'static str, default: i64, doc: &'static str) -> ModParam {
    ModParam::number(name, default, doc).within(1, MAX_TIME_MS, "milliseconds")
}

/// How long a connection may take nothing of what is sent.
pub const fn send_timeout(name: &'static str) -> ModParam {
    time_limit(
        name,
        "How long a connection may take none of the bytes that wait to be sent before it is closed.",
    )
}

/// The reads in which a message may arrive.
pub const fn max_chunks(name: &'static str) -> ModParam {
    ModParam::number(name, MAX_CHUNKS as i64, "The most reads in which one message may arrive.")
        .within(1, MAX_CHUNKS_PARAMETER, "reads")
        .without_effect("the core parameter tcp_max_msg_time bounds a slow message instead")
}

/// Whether pings are answered.
pub const fn crlf_pingpong(name: &'static str) -> ModParam {
    let doc = "Whether a ping (CRLF CRLF) is answered by a pong (CRLF), as RFC 5626 section 3.5.1 describes.";
    ModParam::switch(name, StreamOptions::CRLF_PINGPONG, doc)
}

/// Whether single CRLFs are dropped.
pub const fn crlf_drop(name: &'static str) -> ModParam {
    let doc = "Whether a single CRLF between messages is dropped, and not counted as half of a ping.";
    ModParam::switch(name, StreamOptions::CRLF_DROP, doc)
}

/// Whether messages wait for a connection.
pub const fn asynchronous(name: &'static str) -> ModParam {
    let doc = "Whether a message may wait for its connection for longer than the core parameter tcp_connect_timeout.";
    ModParam::switch(name, StreamOptions::ASYNCHRONOUS, doc)
}

/// How many messages wait for a connection.
pub const fn max_postponed(name: &'static str) -> ModParam {
    let doc = "The most messages that may wait for one connection to open; one more is not sent.";
    ModParam::number(name, MAX_POSTPONED as i64, doc).within(1, MAX_CHUNKS_PARAMETER, "messages")
}

/// How long a process of OpenSIPS waits for a connection before the rest is left to another one.
pub const fn blocking_time(name: &'static str, doc: &'static str) -> ModParam {
    ModParam::number(name, BLOCKING_MS, doc)
        .within(0, MAX_TIME_MS, "milliseconds")
        .without_effect("a process does not wait for a connection, it serves other messages meanwhile")
}

/// Whether a connection is reused only for the same certificate.
pub const CERT_CHECK_ON_CONN_REUSAGE: ModParam = ModParam::switch(
    "cert_check_on_conn_reusage",
    StreamOptions::MATCH_CERTIFICATE,
    "Whether a connection is reused only for destinations whose client domain has the certificate that it was opened with.",
);

/// Whether browsers have to name their origin.
pub const REQUIRE_ORIGIN: ModParam = ModParam::switch(
    "require_origin",
    StreamOptions::REQUIRE_ORIGIN,
    "Whether a WebSocket handshake without an Origin header field is refused.",
);

/// The path that a WebSocket is opened with.
pub const fn resource(name: &'static str) -> ModParam {
    ModParam::text(name, RESOURCE, "The path that is requested when a WebSocket is opened by this server.")
        .check(is_path)
}

/// Whether replies of the Management Interface are indented.
pub const PRETTY_PRINTING: ModParam =
    ModParam::switch("pretty_printing", false, "Whether the JSON text of replies is indented.");

/// Below how many microseconds a query is not reported as slow.
pub const EXEC_QUERY_THRESHOLD: ModParam = ModParam::number(
    "exec_query_threshold",
    0,
    "A query that takes longer is logged and raises E_CORE_THRESHOLD; 0 switches that off.",
)
.within(0, i64::MAX, "microseconds");

fn is_path(value: &Value) -> Result<(), String> {
    let path = value.as_str().map_or(&b""[..], |path| path);
    let fits = path.starts_with(b"/")
        && path.len() <= MAX_RESOURCE_BYTES
        && path.iter().all(|byte| (0x21..0x7f).contains(byte) && *byte != b'#');
    if fits { Ok(()) } else { Err(format!("`{}` is no path: give one such as /sip", path.escape_ascii())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_such() {
        let row = port("x_port", Protocol::Tls);
        assert_eq!(row.accepts(&Value::Int(65_535)), Ok(()));
        for bad in [0, 65_536, -1] {
            assert_eq!(row.accepts(&Value::Int(bad)), Err(format!("{bad} is out of range: give 1 to 65535")));
        }
    }

    #[test]
    fn paths_are_such() {
        let row = resource("r");
        assert_eq!(row.accepts(&Value::str("/sip")), Ok(()));
        for bad in ["", "sip", "/a b", "/a#b", "/\u{e9}"] {
            assert!(row.accepts(&Value::str(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn tracing_names_what_is_missing() {
        assert!(TRACE_ON.accepts(&Value::Int(1)).is_err_and(|problem| problem.contains("proto_hep")));
        assert_eq!(TRACE_ON.accepts(&Value::str("no")), Ok(()));
    }
}
