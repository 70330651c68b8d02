//! proto_udp: lets `socket=udp:...` listen. The server itself opens and serves the sockets; loading the module says that
//! the operator wants UDP.
#![forbid(unsafe_code)]

use tocsin_net::Protocol;
use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};
use tocsin_server::shared_parameters::port;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct ProtoUdp;

const UDP_PORT: ModParam = port("udp_port", Protocol::Udp);

impl Module for ProtoUdp {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: &[UDP_PORT], ..ModuleSpec::new("proto_udp") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        setup.streams[Protocol::Udp].default_port = setup.parameters.int(&UDP_PORT) as u16;
        Ok(())
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
        assert!(
            problem
                .contains("parameter <udp_port> of module <proto_udp>: 0 is out of range: give 1 to 65535"),
            "{problem}"
        );
    }
}
