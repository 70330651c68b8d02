//! proto_wss: lets `socket=wss:...` listen (RFC 7118 over TLS), and says how connections of that protocol are served. The
//! server itself opens and serves them; certificates are a matter of tls_mgm.
#![forbid(unsafe_code)]

use tocsin_net::Protocol;
use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::Context;
use tocsin_server::module::{Module, Parameters, Setup, SetupError};
use tocsin_server::shared_parameters::{
    CERT_CHECK_ON_CONN_REUSAGE, REQUIRE_ORIGIN, TRACE_DESTINATION, TRACE_FILTER_ROUTE, TRACE_ON, max_chunks,
    port, resource, send_timeout, time_limit,
};
use tocsin_server::stream_options::StreamOptions;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct ProtoWss;

const WSS_PORT: ModParam = port("wss_port", Protocol::Wss);
const MAX_MSG_CHUNKS: ModParam = max_chunks("wss_max_msg_chunks");
const RESOURCE: ModParam = resource("wss_resource");
const HANDSHAKE_TIMEOUT: ModParam =
    time_limit("wss_handshake_timeout", "How long the whole WebSocket handshake may take.");
const TLS_HANDSHAKE_TIMEOUT: ModParam =
    time_limit("wss_tls_handshake_timeout", "How long the whole TLS handshake may take.");
const SEND_TIMEOUT: ModParam = send_timeout("wss_send_timeout");

const PARAMETERS: &[ModParam] = &[
    WSS_PORT,
    MAX_MSG_CHUNKS,
    RESOURCE,
    HANDSHAKE_TIMEOUT,
    TLS_HANDSHAKE_TIMEOUT,
    SEND_TIMEOUT,
    CERT_CHECK_ON_CONN_REUSAGE,
    REQUIRE_ORIGIN,
    TRACE_ON,
    TRACE_DESTINATION,
    TRACE_FILTER_ROUTE,
];

impl Module for ProtoWss {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: PARAMETERS, depends: &["tls_mgm"], ..ModuleSpec::new("proto_wss") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        apply(&setup.parameters, &mut setup.streams[Protocol::Wss]);
        Ok(())
    }
}

fn apply(given: &Parameters, options: &mut StreamOptions) {
    options.default_port = given.int(&WSS_PORT) as u16;
    options.max_chunks = given.int(&MAX_MSG_CHUNKS) as u32;
    options.resource = given.string(&RESOURCE);
    options.handshake_timeout = given.millis(&HANDSHAKE_TIMEOUT);
    options.tls_handshake_timeout = given.millis(&TLS_HANDSHAKE_TIMEOUT);
    options.send_timeout = given.millis(&SEND_TIMEOUT);
    options.match_certificate = given.on(&CERT_CHECK_ON_CONN_REUSAGE);
    options.require_origin = given.on(&REQUIRE_ORIGIN);
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use std::time::Duration;

    use super::*;
    use tocsin_testbench::TestBed;

    /// The modules that the configurations here load.
    const TEST_BED: TestBed = TestBed::with(|| vec![Rc::new(ProtoWss)]);

    #[test]
    fn parameters_say_how_connections_are_served() {
        let numbers = [
            ("wss_port", 44344),
            ("wss_max_msg_chunks", 8),
            ("wss_handshake_timeout", 300),
            ("wss_tls_handshake_timeout", 400),
            ("wss_send_timeout", 200),
            ("cert_check_on_conn_reusage", 1),
            ("require_origin", 0),
        ];
        let mut given = numbers.map(|(name, value)| (name.to_owned(), value.into())).to_vec();
        given.push(("wss_resource".to_owned(), "/wss".into()));
        let mut options = StreamOptions::of(Protocol::Wss);
        apply(&Parameters(given), &mut options);
        let expected = StreamOptions {
            default_port: 44344,
            max_chunks: 8,
            resource: "/wss".to_owned(),
            handshake_timeout: Duration::from_millis(300),
            tls_handshake_timeout: Duration::from_millis(400),
            send_timeout: Duration::from_millis(200),
            match_certificate: true,
            require_origin: false,
            ..StreamOptions::of(Protocol::Wss)
        };
        assert_eq!(options, expected);
    }

    #[test]
    fn certificates_are_needed() {
        let problem = TEST_BED.try_bench("loadmodule \"proto_wss.so\"", "route { exit; }").err().unwrap();
        assert!(problem.contains("tls_mgm"), "{problem}");
    }
}
