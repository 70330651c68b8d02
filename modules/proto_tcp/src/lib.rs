//! proto_tcp: lets `socket=tcp:...` listen, and says how connections of that protocol are served. The server itself opens
//! and serves them.
#![forbid(unsafe_code)]

use tocsin_net::Protocol;
use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::Context;
use tocsin_server::module::{Module, Parameters, Setup, SetupError};
use tocsin_server::shared_parameters::{
    TRACE_DESTINATION, TRACE_FILTER_ROUTE, TRACE_ON, asynchronous, blocking_time, crlf_drop, crlf_pingpong,
    max_chunks, max_postponed, port, send_timeout,
};
use tocsin_server::stream_options::StreamOptions;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct ProtoTcp;

const TCP_PORT: ModParam = port("tcp_port", Protocol::Tcp);
const SEND_TIMEOUT: ModParam = send_timeout("tcp_send_timeout");
const MAX_MSG_CHUNKS: ModParam = max_chunks("tcp_max_msg_chunks");
const CRLF_PINGPONG: ModParam = crlf_pingpong("tcp_crlf_pingpong");
const CRLF_DROP: ModParam = crlf_drop("tcp_crlf_drop");
const ASYNC: ModParam = asynchronous("tcp_async");
const MAX_POSTPONED: ModParam = max_postponed("tcp_async_max_postponed_chunks");
const LOCAL_CONNECT_TIMEOUT: ModParam =
    blocking_time("tcp_async_local_connect_timeout", "How long a process waits for a connection to open.");
const LOCAL_WRITE_TIMEOUT: ModParam = blocking_time(
    "tcp_async_local_write_timeout",
    "How long a process waits for a connection to take a message.",
);
const PARALLEL_HANDLING: ModParam = ModParam::switch(
    "tcp_parallel_handling",
    false,
    "Whether the next message of a connection is read while the script works on one.",
)
.without_effect("it always is: a script that waits does not keep the next message from being read");

const PARAMETERS: &[ModParam] = &[
    TCP_PORT,
    SEND_TIMEOUT,
    MAX_MSG_CHUNKS,
    CRLF_PINGPONG,
    CRLF_DROP,
    ASYNC,
    MAX_POSTPONED,
    LOCAL_CONNECT_TIMEOUT,
    LOCAL_WRITE_TIMEOUT,
    PARALLEL_HANDLING,
    TRACE_ON,
    TRACE_DESTINATION,
    TRACE_FILTER_ROUTE,
];

impl Module for ProtoTcp {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: PARAMETERS, ..ModuleSpec::new("proto_tcp") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        apply(&setup.parameters, &mut setup.streams[Protocol::Tcp]);
        Ok(())
    }
}

fn apply(given: &Parameters, options: &mut StreamOptions) {
    options.default_port = given.int(&TCP_PORT) as u16;
    options.send_timeout = given.millis(&SEND_TIMEOUT);
    options.max_chunks = given.int(&MAX_MSG_CHUNKS) as u32;
    options.crlf_pingpong = given.on(&CRLF_PINGPONG);
    options.crlf_drop = given.on(&CRLF_DROP);
    options.asynchronous = given.on(&ASYNC);
    options.max_postponed = given.int(&MAX_POSTPONED) as u32;
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use std::time::Duration;

    use tocsin_script::SourceMap;
    use tocsin_server::settings::Overrides;
    use tocsin_server::startup;

    use super::*;
    use tocsin_testbench::TestBed;

    /// The modules that the configurations here load.
    const TEST_BED: TestBed = TestBed::with(|| vec![Rc::new(ProtoTcp)]);

    const LOAD: &str = "loadmodule \"proto_tcp.so\"\n";

    #[test]
    fn parameters_say_how_connections_are_served() {
        let bench = TEST_BED.bench(
            &format!(
                "{LOAD}modparam(\"proto_tcp\", \"tcp_port\", 5065)
                 modparam(\"proto_tcp\", \"tcp_send_timeout\", 200)
                 modparam(\"proto_tcp\", \"tcp_max_msg_chunks\", 8)
                 modparam(\"proto_tcp\", \"tcp_crlf_pingpong\", 0)
                 modparam(\"proto_tcp\", \"tcp_crlf_drop\", 1)
                 modparam(\"proto_tcp\", \"tcp_async\", 0)
                 modparam(\"proto_tcp\", \"tcp_async_max_postponed_chunks\", 16)
                 modparam(\"proto_tcp\", \"tcp_async_local_connect_timeout\", 200)
                 modparam(\"proto_tcp\", \"tcp_async_local_write_timeout\", 100)
                 modparam(\"proto_tcp\", \"trace_on\", 0)"
            ),
            "route { exit; }",
        );
        let streams = &bench.worker.server.network.options;
        let expected = StreamOptions {
            default_port: 5065,
            send_timeout: Duration::from_millis(200),
            max_chunks: 8,
            crlf_pingpong: false,
            crlf_drop: true,
            asynchronous: false,
            max_postponed: 16,
            ..StreamOptions::of(Protocol::Tcp)
        };
        assert_eq!(streams[Protocol::Tcp], expected);
        assert_eq!(streams[Protocol::Ws], StreamOptions::of(Protocol::Ws));
    }

    #[test]
    fn globals_are_read_and_checked() {
        let bench = TEST_BED.bench(
            "tcp_workers=3\ntcp_connection_lifetime=0\ntcp_connect_timeout=500\ntcp_keepidle=30\n\
             tcp_accept_aliases=yes\ntcp_max_connections_per_source=20\ntcp_no_new_conn_bflag=NO_CONNECT\n\
             tcp_no_new_conn_rplflag=7\n",
            "route { setbflag(\"OTHER\"); setbflag(\"NO_CONNECT\"); exit; }",
        );
        let settings = &bench.worker.server.settings;
        let tcp = &settings.tcp;
        assert_eq!((tcp.workers, tcp.lifetime), (3, Duration::ZERO));
        assert_eq!(tcp.connect_timeout, Some(Duration::from_millis(500)));
        assert_eq!((tcp.keepalive.idle_s, tcp.accept_aliases), (Some(30), true));
        assert_eq!(tcp.max_connections_per_source, 20);
        assert_eq!((tcp.no_new_connection_bflag, tcp.no_new_connection_rplflag), (0b10, 1 << 7));
        let problem = |line: &str| TEST_BED.try_bench(line, "route { exit; }").err().unwrap();
        assert!(problem("tcp_workers=0").contains("tcp_workers: 0 is out of range: 1 to 1024 processes"));
        assert!(problem("tcp_max_connections=-1").contains("1 to 983040 connections"));
        assert!(problem("tcp_no_new_conn_bflag=32").contains("there are 32 flags"));
    }

    #[test]
    fn the_command_line_wins() {
        let text = "tcp_workers=5\nloadmodule \"proto_tcp.so\"\nsocket=tcp:127.0.0.1:0\nroute { exit; }\n";
        let overrides = Overrides { tcp_workers: Some(3), ..Overrides::default() };
        let source = SourceMap::from_text("test.cfg", text.to_owned());
        let (_, settings) =
            startup::check(source, &[Rc::new(ProtoTcp) as Rc<dyn Module>], &overrides).unwrap();
        assert_eq!(settings.tcp.workers, 3);
    }

    #[test]
    fn debug_mode_wins_wherever_it_stands() {
        let bench = TEST_BED.bench("debug_mode=yes\ntcp_workers=5", "route { exit; }");
        assert_eq!(bench.worker.server.settings.tcp.workers, 2);
    }
}
