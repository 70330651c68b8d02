//! Transactions whose callee is reached over TCP: nothing is repeated there, and nothing is lost (RFC 3261 sections 9, 16
//! and 17).

use std::net::SocketAddr;

use crate::harness::{Desk, Line, Phone, Request, Server, Setup};

/// A server that relays by the Request-URI, and a callee that accepts connections.
fn scene() -> (Server, Desk, String) {
    let setup = Setup::new(include_str!("../configs/destinations.cfg")).put("GLOBALS", "").put("A", 5060);
    let setup = setup.put("DNS", "127.0.0.1:53").put("SUBSCRIBER", "udp:127.0.0.1:9");
    let desk = Desk::open();
    let uri = format!("sip:x@127.0.0.1:{};transport=tcp", desk.port());
    (setup.start(), desk, uri)
}

#[test]
fn a_call_over_tcp_is_cancelled() {
    let (server, desk, uri) = scene();
    let caller = Phone::new();
    let invite = Request::new(&caller, "INVITE", &uri);
    caller.send(server.address(), invite.text());
    let mut callee = desk.accept();
    let arrived = callee.expect_request("INVITE");
    callee.send(arrived.response("180 Ringing", "callee", ""));
    caller.expect_status(180);
    caller.send(server.address(), invite.cancel().text());
    assert_eq!(caller.expect_status(200).cseq_method(), "CANCEL");
    let cancel = callee.expect_request("CANCEL");
    assert_eq!(cancel.branch(), arrived.branch());
    callee.send(cancel.response("200 OK", "callee", ""));
    callee.send(arrived.response("487 Request Terminated", "callee", ""));
    assert_eq!(callee.expect_request("ACK").branch(), arrived.branch());
    let ended = caller.expect_status(487);
    caller.send(server.address(), invite.ack(&ended).text());
    server.stop();
}

#[test]
fn a_call_over_tcp_that_nobody_takes_is_acknowledged_and_told() {
    let (server, desk, uri) = scene();
    let caller = Phone::new();
    let invite = Request::new(&caller, "INVITE", &uri);
    caller.send(server.address(), invite.text());
    let mut callee = desk.accept();
    let arrived = callee.expect_request("INVITE");
    callee.send(arrived.response("486 Busy Here", "callee", ""));
    callee.expect_request("ACK");
    caller.expect_status(486);
    assert!(server.log().contains("failure route: 486"));
    server.stop();
}

#[test]
fn a_place_that_refuses_connections_is_a_failure() {
    let (server, desk, uri) = scene();
    drop(desk);
    let caller = Phone::new();
    caller.send(server.address(), Request::new(&caller, "INVITE", &uri).text());
    caller.expect_status(477);
    assert!(server.log().contains("failure route: 477"));
    server.stop();
}

/// A worker that dies in the middle of a request leaves its bytes to the next one, which finds the transaction there: the
/// request to the callee may have died with the first.
#[test]
fn a_request_that_comes_again_over_a_stream_goes_again_to_a_callee_that_is_silent() {
    let (server, desk, uri) = scene();
    let to = SocketAddr::from(([127, 0, 0, 1], server.http_port()));
    let mut caller = Line::open(to);
    let options = Request::over("TCP", caller.port(), "OPTIONS", &uri);
    caller.send(options.text());
    let mut callee = desk.accept();
    let first = callee.expect_request("OPTIONS");
    caller.send(options.text());
    assert_eq!(callee.expect_request("OPTIONS").text, first.text);
    callee.send(first.response("200 OK", "callee", ""));
    caller.expect_status(200);
    server.stop();
}
