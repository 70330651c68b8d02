//! proto_udp: lets `socket=udp:...` listen. The server itself opens and serves the sockets; loading the module says that
//! the operator wants UDP.

use tocsin_script::{ModParam, ModParamKind, ModuleSpec};
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};

/// The port of a socket that names none.
const DEFAULT_PORT: i64 = 5060;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct ProtoUdp;

impl Module for ProtoUdp {
    fn spec(&self) -> ModuleSpec<Context> {
        const NAMES: &[ModParam] = &[ModParam { name: "udp_port", kind: ModParamKind::Int }];
        ModuleSpec { params: NAMES, ..ModuleSpec::new("proto_udp") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let port = setup.parameters.number("udp_port", DEFAULT_PORT);
        // The parameter is for sockets that name no port, and those are opened on the default one.
        let portless = setup.settings.sockets.iter().find(|socket| {
            socket.spec.ports.is_none() && matches!(socket.spec.protocol.as_str(), "" | "udp")
        });
        match portless.filter(|_| port != DEFAULT_PORT) {
            None => Ok(()),
            Some(socket) => {
                let host = &socket.spec.host;
                let problem =
                    format!("it cannot move sockets without a port: write socket=udp:{host}:{port} instead");
                Err(SetupError::Parameter { module: "proto_udp", name: "udp_port", problem })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::sl::testing::Bench;

    #[test]
    fn another_default_port_is_only_for_sockets_without_one() {
        let port = "modparam(\"proto_udp\", \"udp_port\", 5080)";
        assert!(Bench::start(port, "route { exit; }").is_ok());
        let problem =
            Bench::start(&format!("socket=udp:127.0.0.1\n{port}"), "route { exit; }").err().unwrap();
        assert!(problem.contains("write socket=udp:127.0.0.1:5080 instead"), "{problem}");
    }
}
