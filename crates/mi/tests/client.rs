//! Our own client asks over each transport, and tells what is wrong when there is no answer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{PATIENCE, Server, in_runtime};
use tocsin_json::Value;
use tocsin_mi::client::{CallError, Place, call};
use tocsin_mi::jsonrpc::Style;
use tocsin_mi::{Command, Registry};
use tokio::time::timeout;

fn commands() -> Registry {
    let mut registry = common::commands();
    registry.add(Command::new("test", "large", &[&["bytes"]], "", |params| {
        let bytes = usize::try_from(params.int("bytes")?).unwrap_or(0);
        Ok(Value::from(vec![b'x'; bytes]))
    }));
    registry
}

fn places(server: &Server) -> [Place; 4] {
    [
        format!("http://{}/mi", server.http).parse().unwrap(),
        Place::Udp(server.udp),
        Place::Unix(server.unix.clone()),
        Place::Fifo(server.fifo.clone()),
    ]
}

#[test]
fn every_transport_brings_the_result() {
    in_runtime(async {
        let server = Server::start(commands, Style::Compact).await;
        for place in places(&server) {
            for bytes in [1, 60_000] {
                let params = Value::object([("bytes", Value::from(bytes))]);
                let result = timeout(PATIENCE, call(&place, "large", params)).await.unwrap().unwrap();
                assert_eq!(result.as_bytes().map(<[u8]>::len), Some(bytes as usize), "{place}");
            }
        }
        let left = std::fs::read_dir(server.folder.path()).unwrap().count();
        assert_eq!(left, 2, "the server's own FIFO and socket, and nothing of the client's");
    });
}

#[test]
fn a_refusal_says_why() {
    in_runtime(async {
        let server = Server::start(commands, Style::Compact).await;
        for place in places(&server) {
            let refused = call(&place, "nonsense", Value::array([0; 0])).await.unwrap_err();
            assert!(matches!(&refused, CallError::Refused { code: -32601, .. }), "{place}: {refused}");
        }
    });
}

#[test]
fn nobody_there_is_said_at_once() {
    in_runtime(async {
        for place in
            ["http://127.0.0.1:1/mi", "udp:127.0.0.1:1", "unix:/nowhere/mi.sock", "fifo:/nowhere/mi.fifo"]
        {
            let error = call(&place.parse().unwrap(), "ps", Value::Null).await.unwrap_err();
            assert!(matches!(error, CallError::Io(_)), "{place}: {error}");
        }
    });
}
