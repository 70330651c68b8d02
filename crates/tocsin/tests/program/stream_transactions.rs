//! Transactions whose callee is reached over TCP: nothing is repeated there, and nothing is lost (RFC 3261 sections 9, 16
//! and 17).

use std::net::SocketAddr;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Desk, Line, Phone, Request, Server, Setup, Tracer, until};

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

/// A strict callee takes a second INVITE over a stream for an error (RFC 3261 section 17.1.1.2).
#[test]
fn a_request_that_comes_again_leaves_once_over_a_stream() {
    let (server, desk, uri) = scene();
    let to = SocketAddr::from(([127, 0, 0, 1], server.http_port()));
    let mut caller = Line::open(to);
    let options = Request::over("TCP", caller.port(), "OPTIONS", &uri);
    caller.send(options.text());
    let mut callee = desk.accept();
    let first = callee.expect_request("OPTIONS");
    caller.send(options.text());
    // What comes behind it says that it was served.
    caller.ping();
    assert!(callee.is_quiet(), "it has left already");
    callee.send(first.response("200 OK", "callee", ""));
    caller.expect_status(200);
    server.stop();
}

#[test]
fn a_request_for_a_connection_that_its_worker_is_only_asked_to_open_goes_over_it() {
    let (server, desk, uri) = scene();
    let worker = server.ps().into_iter().find(|process| process.kind == "TCP receiver").unwrap();
    let freeze = |signal| kill(Pid::from_raw(worker.pid), signal).unwrap();
    let mut line = Line::open(SocketAddr::from(([127, 0, 0, 1], server.http_port())));
    line.ping();
    let over_udp = |uri: &str| {
        let caller = Phone::new();
        caller.send(server.address(), Request::new(&caller, "INVITE", uri).text());
        assert_eq!(caller.receive().status(), Some(100));
    };
    over_udp(&uri);
    let mut first = desk.accept();
    first.expect_request("INVITE");
    let other = Desk::open();
    let uri_of_other = format!("sip:x@127.0.0.1:{};transport=tcp", other.port());
    freeze(Signal::SIGSTOP);
    line.send(Request::over("TCP", line.port(), "INVITE", &uri_of_other).text());
    // More letters than the worker reads in a row; behind them the one that asks for a connection.
    (0..70).for_each(|_| over_udp(&uri));
    over_udp(&uri_of_other);
    freeze(Signal::SIGCONT);
    let mut callee = other.accept();
    callee.expect_request("INVITE");
    callee.expect_request("INVITE");
    (0..70).for_each(|_| _ = first.expect_request("INVITE"));
    server.stop();
}

/// A message without a transaction, such as the ACK to a 2xx: nothing but the order of the worker's steps says that it has
/// left. A strict callee aborts the call over a second one.
#[test]
fn what_a_killed_worker_has_served_does_not_leave_again() {
    let (server, desk, _) = scene();
    let uri = format!("sip:stateless@127.0.0.1:{};transport=tcp", desk.port());
    let worker = || server.ps().into_iter().find(|process| process.kind == "TCP receiver").map(|it| it.pid);
    let mut line = Line::open(SocketAddr::from(([127, 0, 0, 1], server.http_port())));
    let phone = Phone::new();
    let over_tcp = |line: &mut Line, method| {
        line.send(Request::over("TCP", line.port(), method, &uri).text());
    };
    let over_udp = |method| phone.send(server.address(), Request::new(&phone, method, &uri).text());
    over_tcp(&mut line, "OPTIONS");
    let mut callee = desk.accept();
    callee.expect_request("OPTIONS");
    for through in ["a connection", "a letter"] {
        let killed = worker().unwrap();
        let tracer = Tracer::attach(killed);
        match through {
            "a connection" => over_tcp(&mut line, "ACK"),
            _ => over_udp("ACK"),
        }
        tracer.kill_at_taking_off();
        callee.expect_request("ACK");
        until("the worker has a successor", || worker().filter(|now| *now != killed));
        over_tcp(&mut line, "MESSAGE");
        over_udp("INFO");
        let next = [callee.receive(), callee.receive()];
        let mut methods = next.each_ref().map(|message| message.method().unwrap_or_default());
        methods.sort_unstable();
        assert_eq!(methods, ["INFO", "MESSAGE"], "through {through}");
    }
    server.stop();
}
