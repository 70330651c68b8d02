//! proto_ws: lets `socket=ws:...` listen (RFC 7118), and says how connections of that protocol are served. The server
//! itself opens and serves them.
#![forbid(unsafe_code)]

use tocsin_net::Protocol;
use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::Context;
use tocsin_server::module::{Module, Parameters, Setup, SetupError};
use tocsin_server::parameters::{Reader, number, switch, text};
use tocsin_server::stream_options::StreamOptions;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct ProtoWs;

const NAME: &str = "proto_ws";

const PARAMETERS: &[ModParam] = &[
    number("ws_port"),
    number("ws_send_timeout"),
    number("ws_max_msg_chunks"),
    text("ws_resource"),
    number("ws_handshake_timeout"),
    switch("require_origin"),
    number("trace_on"),
    // No effect: there is no tracing module.
    text("trace_destination"),
    text("trace_filter_route"),
];

impl Module for ProtoWs {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: PARAMETERS, ..ModuleSpec::new(NAME) }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        apply(&setup.parameters, &mut setup.streams[Protocol::Ws])
    }
}

fn apply(given: &Parameters, options: &mut StreamOptions) -> Result<(), SetupError> {
    let reader = Reader::new(NAME, given);
    reader.port("ws_port", &mut options.default_port)?;
    reader.millis("ws_send_timeout", &mut options.send_timeout)?;
    reader.chunks("ws_max_msg_chunks", &mut options.max_chunks)?;
    reader.resource("ws_resource", &mut options.resource)?;
    reader.millis("ws_handshake_timeout", &mut options.handshake_timeout)?;
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
    const TEST_BED: TestBed = TestBed::with(|| vec![Rc::new(ProtoWs)]);

    #[test]
    fn parameters_say_how_connections_are_served() {
        let bench = TEST_BED.bench(
            "loadmodule \"proto_ws.so\"
             modparam(\"proto_ws\", \"ws_port\", 8080)
             modparam(\"proto_ws\", \"ws_send_timeout\", 200)
             modparam(\"proto_ws\", \"ws_max_msg_chunks\", 8)
             modparam(\"proto_ws\", \"ws_resource\", \"/sip\")
             modparam(\"proto_ws\", \"ws_handshake_timeout\", 300)
             modparam(\"proto_ws\", \"require_origin\", \"no\")
             modparam(\"proto_ws\", \"trace_destination\", \"hep\")",
            "route { exit; }",
        );
        let expected = StreamOptions {
            default_port: 8080,
            send_timeout: Duration::from_millis(200),
            max_chunks: 8,
            resource: "/sip".to_owned(),
            handshake_timeout: Duration::from_millis(300),
            require_origin: false,
            ..StreamOptions::of(Protocol::Ws)
        };
        assert_eq!(bench.worker.server.network.options[Protocol::Ws], expected);
    }

    #[test]
    fn wrong_parameters_are_named() {
        let problem = |line: &str| {
            let lines = format!("loadmodule \"proto_ws.so\"\nmodparam(\"proto_ws\", {line})");
            TEST_BED.try_bench(&lines, "route { exit; }").err().unwrap()
        };
        assert!(problem("\"ws_port\", 70000").contains("proto_ws:ws_port: give a port from 1 to 65535"));
        assert!(problem("\"trace_on\", 1").contains("proto_hep"));
        assert!(problem("\"ws_resource\", \"sip\"").contains("`sip` is no path"));
    }
}
