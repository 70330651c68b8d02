//! proto_wss: lets `socket=wss:...` listen (RFC 7118 over TLS), and says how connections of that protocol are served. The
//! server itself opens and serves them; certificates are a matter of tls_mgm.
#![forbid(unsafe_code)]

use tocsin_net::Protocol;
use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::Context;
use tocsin_server::module::{Module, Parameters, Setup, SetupError};
use tocsin_server::parameters::{Reader, number, switch, text};
use tocsin_server::stream_options::StreamOptions;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct ProtoWss;

const NAME: &str = "proto_wss";

const PARAMETERS: &[ModParam] = &[
    number("wss_port"),
    number("wss_max_msg_chunks"),
    text("wss_resource"),
    number("wss_handshake_timeout"),
    number("wss_tls_handshake_timeout"),
    number("wss_send_timeout"),
    switch("cert_check_on_conn_reusage"),
    switch("require_origin"),
    number("trace_on"),
    // No effect: there is no tracing module.
    text("trace_destination"),
    text("trace_filter_route"),
];

impl Module for ProtoWss {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: PARAMETERS, depends: &["tls_mgm"], ..ModuleSpec::new(NAME) }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        apply(&setup.parameters, &mut setup.streams[Protocol::Wss])
    }
}

fn apply(given: &Parameters, options: &mut StreamOptions) -> Result<(), SetupError> {
    let reader = Reader::new(NAME, given);
    reader.port("wss_port", &mut options.default_port)?;
    reader.chunks("wss_max_msg_chunks", &mut options.max_chunks)?;
    reader.resource("wss_resource", &mut options.resource)?;
    reader.millis("wss_handshake_timeout", &mut options.handshake_timeout)?;
    reader.millis("wss_tls_handshake_timeout", &mut options.tls_handshake_timeout)?;
    reader.millis("wss_send_timeout", &mut options.send_timeout)?;
    reader.switch("cert_check_on_conn_reusage", &mut options.match_certificate)?;
    reader.switch("require_origin", &mut options.require_origin)?;
    reader.no_tracing()
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
        apply(&Parameters(given), &mut options).unwrap();
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
