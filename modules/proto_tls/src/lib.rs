//! proto_tls: lets `socket=tls:...` listen, and says how connections of that protocol are served. The server itself opens
//! and serves them; certificates are a matter of tls_mgm.
#![forbid(unsafe_code)]

use tocsin_net::Protocol;
use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::Context;
use tocsin_server::module::{Module, Parameters, Setup, SetupError};
use tocsin_server::shared_parameters::{
    CERT_CHECK_ON_CONN_REUSAGE, TRACE_DESTINATION, TRACE_FILTER_ROUTE, TRACE_ON, asynchronous, blocking_time,
    crlf_drop, crlf_pingpong, max_chunks, max_postponed, port, send_timeout, time_limit,
};
use tocsin_server::stream_options::StreamOptions;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct ProtoTls;

const TLS_PORT: ModParam = port("tls_port", Protocol::Tls);
const CRLF_PINGPONG: ModParam = crlf_pingpong("tls_crlf_pingpong");
const CRLF_DROP: ModParam = crlf_drop("tls_crlf_drop");
const MAX_MSG_CHUNKS: ModParam = max_chunks("tls_max_msg_chunks");
const HANDSHAKE_TIMEOUT: ModParam =
    time_limit("tls_handshake_timeout", "How long the whole TLS handshake may take.");
const SEND_TIMEOUT: ModParam = send_timeout("tls_send_timeout");
const ASYNC: ModParam = asynchronous("tls_async");
const MAX_POSTPONED: ModParam = max_postponed("tls_async_max_postponed_chunks");
const LOCAL_CONNECT_TIMEOUT: ModParam =
    blocking_time("tls_async_local_connect_timeout", "How long a process waits for a connection to open.");
const LOCAL_WRITE_TIMEOUT: ModParam = blocking_time(
    "tls_async_local_write_timeout",
    "How long a process waits for a connection to take a message.",
);

const PARAMETERS: &[ModParam] = &[
    TLS_PORT,
    CRLF_PINGPONG,
    CRLF_DROP,
    MAX_MSG_CHUNKS,
    CERT_CHECK_ON_CONN_REUSAGE,
    HANDSHAKE_TIMEOUT,
    SEND_TIMEOUT,
    ASYNC,
    MAX_POSTPONED,
    LOCAL_CONNECT_TIMEOUT,
    LOCAL_WRITE_TIMEOUT,
    TRACE_ON,
    TRACE_DESTINATION,
    TRACE_FILTER_ROUTE,
];

impl Module for ProtoTls {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: PARAMETERS, depends: &["tls_mgm"], ..ModuleSpec::new("proto_tls") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        apply(&setup.parameters, &mut setup.streams[Protocol::Tls]);
        Ok(())
    }
}

fn apply(given: &Parameters, options: &mut StreamOptions) {
    options.default_port = given.int(&TLS_PORT) as u16;
    options.crlf_pingpong = given.on(&CRLF_PINGPONG);
    options.crlf_drop = given.on(&CRLF_DROP);
    options.max_chunks = given.int(&MAX_MSG_CHUNKS) as u32;
    options.match_certificate = given.on(&CERT_CHECK_ON_CONN_REUSAGE);
    options.tls_handshake_timeout = given.millis(&HANDSHAKE_TIMEOUT);
    options.send_timeout = given.millis(&SEND_TIMEOUT);
    options.asynchronous = given.on(&ASYNC);
    options.max_postponed = given.int(&MAX_POSTPONED) as u32;
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use std::time::Duration;

    use super::*;
    use tocsin_testbench::TestBed;

    /// The modules that the configurations here load.
    const TEST_BED: TestBed = TestBed::with(|| vec![Rc::new(ProtoTls)]);

    #[test]
    fn parameters_say_how_connections_are_served() {
        let given = [
            ("tls_port", 5062),
            ("tls_crlf_pingpong", 0),
            ("tls_crlf_drop", 1),
            ("tls_max_msg_chunks", 8),
            ("cert_check_on_conn_reusage", 1),
            ("tls_handshake_timeout", 300),
            ("tls_send_timeout", 250),
            ("tls_async", 0),
            ("tls_async_max_postponed_chunks", 5),
        ];
        let given = given.map(|(name, value)| (name.to_owned(), value.into())).to_vec();
        let mut options = StreamOptions::of(Protocol::Tls);
        apply(&Parameters(given), &mut options);
        let expected = StreamOptions {
            default_port: 5062,
            crlf_pingpong: false,
            crlf_drop: true,
            max_chunks: 8,
            match_certificate: true,
            tls_handshake_timeout: Duration::from_millis(300),
            send_timeout: Duration::from_millis(250),
            asynchronous: false,
            max_postponed: 5,
            ..StreamOptions::of(Protocol::Tls)
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn certificates_are_needed() {
        let problem = TEST_BED.try_bench("loadmodule \"proto_tls.so\"", "route { exit; }").err().unwrap();
        assert!(problem.contains("tls_mgm"), "{problem}");
    }
}
