//! proto_tls: lets `socket=tls:...` listen, and says how connections of that protocol are served. The server itself opens
//! and serves them; certificates are a matter of tls_mgm.
#![forbid(unsafe_code)]

use tocsin_net::Protocol;
use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::Context;
use tocsin_server::module::{Module, Parameters, Setup, SetupError};
use tocsin_server::parameters::{Reader, number, switch, text};
use tocsin_server::stream_options::StreamOptions;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct ProtoTls;

const NAME: &str = "proto_tls";

const PARAMETERS: &[ModParam] = &[
    number("tls_port"),
    switch("tls_crlf_pingpong"),
    switch("tls_crlf_drop"),
    number("tls_max_msg_chunks"),
    switch("cert_check_on_conn_reusage"),
    number("tls_handshake_timeout"),
    number("tls_send_timeout"),
    switch("tls_async"),
    number("tls_async_max_postponed_chunks"),
    // No effect: connecting and writing hold up nobody.
    number("tls_async_local_connect_timeout"),
    number("tls_async_local_write_timeout"),
    number("trace_on"),
    // No effect: there is no tracing module.
    text("trace_destination"),
    text("trace_filter_route"),
];

impl Module for ProtoTls {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: PARAMETERS, depends: &["tls_mgm"], ..ModuleSpec::new(NAME) }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        apply(&setup.parameters, &mut setup.streams[Protocol::Tls])
    }
}

fn apply(given: &Parameters, options: &mut StreamOptions) -> Result<(), SetupError> {
    let reader = Reader::new(NAME, given);
    reader.port("tls_port", &mut options.default_port)?;
    reader.switch("tls_crlf_pingpong", &mut options.crlf_pingpong)?;
    reader.switch("tls_crlf_drop", &mut options.crlf_drop)?;
    reader.chunks("tls_max_msg_chunks", &mut options.max_chunks)?;
    reader.switch("cert_check_on_conn_reusage", &mut options.match_certificate)?;
    reader.millis("tls_handshake_timeout", &mut options.tls_handshake_timeout)?;
    reader.millis("tls_send_timeout", &mut options.send_timeout)?;
    reader.switch("tls_async", &mut options.asynchronous)?;
    reader.chunks("tls_async_max_postponed_chunks", &mut options.max_postponed)?;
    reader.needless_millis("tls_async_local_connect_timeout")?;
    reader.needless_millis("tls_async_local_write_timeout")?;
    reader.no_tracing()
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
        apply(&Parameters(given), &mut options).unwrap();
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
