//! Another WebSocket client speaks SIP: Python's package websockets, over TLS and without.

use std::path::Path;
use std::process::Command;

use crate::harness::{Gate, Streams, python, run_tool};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/websocket.py");

/// What comes of the steps of the client.
const EXPECTED: &str = "\
subprotocol sip
text SIP/2.0 200 OK
binary SIP/2.0 200 OK
fragments SIP/2.0 200 OK
long SIP/2.0 200 OK
pong True
closed 1000
without sip 400
without origin 403
behind no SIP SIP/2.0 200 OK
";

#[test]
fn a_client_over_tls_that_checks_the_certificate() {
    let gate = Gate::start();
    let url = format!("wss://localhost:{}", gate.wss.port());
    assert_eq!(steps(&url, Some(&gate.authority.path("ca.pem"))), EXPECTED);
    gate.until_connections(0);
    gate.server.stop();
}

#[test]
fn a_client_in_the_clear() {
    let streams = Streams::start("");
    assert_eq!(steps(&format!("ws://127.0.0.1:{}", streams.ws.port()), None), EXPECTED);
    streams.until_connections(0);
    streams.server.stop();
}

/// Runs the client; what it wrote.
fn steps(url: &str, authorities: Option<&Path>) -> String {
    let output = run_tool(Command::new(python()).arg(CLIENT).arg(url).args(authorities));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}
