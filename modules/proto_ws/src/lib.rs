//! proto_ws: lets `socket=ws:...` listen (RFC 7118), and says how connections of that protocol are served. The server
//! itself opens and serves them.
#![forbid(unsafe_code)]

use tocsin_net::Protocol;
use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::Context;
use tocsin_server::module::{Module, Parameters, Setup, SetupError};
use tocsin_server::shared_parameters::{
    REQUIRE_ORIGIN, TRACE_DESTINATION, TRACE_FILTER_ROUTE, TRACE_ON, max_chunks, port, resource,
    send_timeout, time_limit,
};
use tocsin_server::stream_options::StreamOptions;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct ProtoWs;

const WS_PORT: ModParam = port("ws_port", Protocol::Ws);
const SEND_TIMEOUT: ModParam = send_timeout("ws_send_timeout");
const MAX_MSG_CHUNKS: ModParam = max_chunks("ws_max_msg_chunks");
const RESOURCE: ModParam = resource("ws_resource");
const HANDSHAKE_TIMEOUT: ModParam =
    time_limit("ws_handshake_timeout", "How long the whole WebSocket handshake may take.");

const PARAMETERS: &[ModParam] = &[
    WS_PORT,
    SEND_TIMEOUT,
    MAX_MSG_CHUNKS,
    RESOURCE,
    HANDSHAKE_TIMEOUT,
    REQUIRE_ORIGIN,
    TRACE_ON,
    TRACE_DESTINATION,
    TRACE_FILTER_ROUTE,
];

impl Module for ProtoWs {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: PARAMETERS, ..ModuleSpec::new("proto_ws") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        apply(&setup.parameters, &mut setup.streams[Protocol::Ws]);
        Ok(())
    }
}

fn apply(given: &Parameters, options: &mut StreamOptions) {
    options.default_port = given.int(&WS_PORT) as u16;
    options.send_timeout = given.millis(&SEND_TIMEOUT);
    options.max_chunks = given.int(&MAX_MSG_CHUNKS) as u32;
    options.resource = given.string(&RESOURCE);
    options.handshake_timeout = given.millis(&HANDSHAKE_TIMEOUT);
    options.require_origin = given.on(&REQUIRE_ORIGIN);
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
        assert!(
            problem("\"ws_port\", 70000")
                .contains("<ws_port> of module <proto_ws>: 70000 is out of range: give 1 to 65535")
        );
        assert!(problem("\"trace_on\", 1").contains("proto_hep"));
        assert!(problem("\"ws_resource\", \"sip\"").contains("`sip` is no path"));
    }
}
