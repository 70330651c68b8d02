//! proto_udp: lets `socket=udp:...` listen. The server itself opens and serves the sockets; loading the module says that
//! the operator wants UDP.
#![forbid(unsafe_code)]

use tocsin_net::Protocol;
use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};
use tocsin_server::parameters::{Reader, number};

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct ProtoUdp;

const NAME: &str = "proto_udp";

impl Module for ProtoUdp {
    fn spec(&self) -> ModuleSpec<Context> {
        const PARAMETERS: &[ModParam] = &[number("udp_port")];
        ModuleSpec { params: PARAMETERS, ..ModuleSpec::new(NAME) }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let port = &mut setup.streams[Protocol::Udp].default_port;
        Reader::new(NAME, &setup.parameters).port("udp_port", port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_testbench::TestBed;

    /// The modules that the configurations here load.
    const TEST_BED: TestBed = TestBed::with(Vec::new);

    #[test]
    fn another_default_port_is_for_sockets_without_one() {
        let bench = TEST_BED.bench("modparam(\"proto_udp\", \"udp_port\", 5080)", "route { exit; }");
        assert_eq!(bench.worker.server.network.options[Protocol::Udp].default_port, 5080);
        let problem =
            TEST_BED.try_bench("modparam(\"proto_udp\", \"udp_port\", 0)", "route { exit; }").err().unwrap();
        assert!(problem.contains("proto_udp:udp_port: give a port from 1 to 65535"), "{problem}");
    }
}
