//! Messages over TLS arrive whole, however they are cut into records, and answers leave in order.

use std::fmt::Write;

use crate::harness::{Gate, Request};

#[test]
fn many_requests_in_one_record_are_answered_in_order() {
    let gate = Gate::start();
    let (mut line, _tunnel) = gate.client().open();
    let requests: Vec<_> =
        (0..100).map(|_| Request::over("TLS", line.port(), "OPTIONS", "sip:ping@localhost")).collect();
    line.send(requests.iter().map(Request::text).collect::<String>());
    for request in &requests {
        assert_eq!(line.expect_status(200).header("Call-ID"), Some(&*request.call_id));
    }
    gate.server.stop();
}

#[test]
fn a_message_of_many_records_is_one_message() {
    let gate = Gate::start();
    for version in ["tls1_2", "tls1_3"] {
        let (mut line, _tunnel) = gate.client().version(version).open();
        let mut body = String::new();
        for number in 0..5_000 {
            writeln!(body, "{number:07}").unwrap();
        }
        let request = Request::over("TLS", line.port(), "OPTIONS", "sip:ping@localhost").body(body);
        line.send(request.text());
        assert_eq!(line.expect_status(200).header("Call-ID"), Some(&*request.call_id));
    }
    gate.server.stop();
}

#[test]
fn a_message_may_come_byte_by_byte() {
    let gate = Gate::start();
    let (mut line, _tunnel) = gate.client().with(&["-split_send_frag", "1", "-max_send_frag", "512"]).open();
    let request = Request::over("TLS", line.port(), "OPTIONS", "sip:ping@localhost");
    for byte in request.text().bytes() {
        line.send([byte]);
    }
    assert_eq!(line.expect_status(200).header("Call-ID"), Some(&*request.call_id));
    gate.server.stop();
}

#[test]
fn what_follows_a_good_bye_is_not_waited_for() {
    let gate = Gate::start();
    let (mut line, tunnel) = gate.client().open();
    let request = Request::over("TLS", line.port(), "OPTIONS", "sip:ping@localhost");
    line.send(request.text());
    line.finish_sending();
    // The request was whole before the end: whether its answer still finds the way is the client's matter.
    line.read_to_end();
    gate.told_once([(tunnel.port(), gate.tls, "tls")]);
    gate.server.stop();
}

#[test]
fn thirty_handshakes_at_once_and_then_thirty_requests() {
    let gate = Gate::start();
    let client = gate.client();
    let mut started: Vec<_> = (0..30).map(|_| client.begin()).collect();
    for (line, tunnel) in &mut started {
        tunnel.until_established();
        line.ping();
    }
    gate.until_connections(30);
    let ports: Vec<_> = started.iter().map(|(_, tunnel)| (tunnel.port(), gate.tls, "tls")).collect();
    drop(started);
    gate.told_once(<[_; 30]>::try_from(ports).unwrap());
    gate.server.stop();
}

#[test]
fn many_messages_in_one_go_are_all_answered_in_their_order() {
    let gate = Gate::start();
    let (mut line, _tunnel) = gate.client().open();
    let requests: Vec<_> = (0..500)
        .map(|_| Request::over("TLS", line.port(), "OPTIONS", &format!("sip:ping@{}", gate.tls)))
        .collect();
    let all: String = requests.iter().map(|request| format!("\r\n\r\n{}", request.text())).collect();
    line.send(all);
    for request in &requests {
        assert_eq!(line.receive_bytes(2), b"\r\n");
        let answer = line.expect_status(200);
        assert_eq!(answer.header("Call-ID"), Some(request.call_id.as_str()), "{}", answer.text);
    }
    gate.server.stop();
}

#[test]
fn who_pings_all_the_time_holds_up_nobody() {
    const PINGS: usize = 100_000;
    // One worker, which has to serve both.
    let gate = Gate::start_with("tcp_workers=1\n");
    let (mut line, _tunnel) = gate.client().open();
    let (mut other, _other_tunnel) = gate.client().open();
    for _ in 0..10 {
        line.send("\r\n".repeat(2 * PINGS / 10));
        other.ping();
    }
    assert_eq!(line.receive_bytes(2 * PINGS), "\r\n".repeat(PINGS).as_bytes());
    line.ping();
    other.ping();
    gate.server.stop();
}
