//! Each way in which a connection ends is told once, with the bytes that OpenSIPS writes.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{
    A_MOMENT, Desk, Line, Phone, Request, Setup, Streams, Subscriber, Web, disconnected, free_tcp_port,
    pause, web_frame, web_handshake,
};

#[test]
fn a_client_that_closes_is_told_to_every_subscriber() {
    let streams = Streams::start("");
    let udp = Subscriber::new();
    streams.server.subscribe("E_CORE_TCP_DISCONNECT", &udp.name());
    let mut line = Line::open(streams.tcp);
    line.ping();
    let end = streams.end_of_tcp(line.port());
    drop(line);
    assert_eq!(udp.raw(), end);
    streams.told_once([end]);
    streams.server.stop();
}

#[test]
fn a_client_that_says_nothing_and_closes() {
    let streams = Streams::start("");
    let line = Line::open(streams.tcp);
    let port = line.port();
    drop(line);
    streams.told_once([streams.end_of_tcp(port)]);
    streams.server.stop();
}

#[test]
fn a_client_that_resets() {
    let streams = Streams::start("");
    let mut line = Line::open(streams.tcp);
    line.ping();
    let ends = [streams.end_of_tcp(line.port())];
    line.reset();
    streams.told_once(ends);
    streams.server.stop();
}

#[test]
fn a_client_that_closes_in_the_middle_of_a_message() {
    let streams = Streams::start("");
    let mut line = Line::open(streams.tcp);
    line.send("INVITE sip:ping@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/T");
    let ends = [streams.end_of_tcp(line.port())];
    drop(line);
    streams.told_once(ends);
    streams.server.stop();
}

#[test]
fn five_at_the_same_time_are_told_one_by_one() {
    let streams = Streams::start("");
    let mut lines: Vec<_> = (0..5).map(|_| Line::open(streams.tcp)).collect();
    lines.iter_mut().for_each(Line::ping);
    let ends: Vec<_> = lines.iter().map(|line| streams.end_of_tcp(line.port())).collect();
    drop(lines);
    streams.told_once(ends);
    streams.server.stop();
}

#[test]
fn an_idle_connection_is_closed_in_its_time_and_not_told_again() {
    let streams = Streams::start("tcp_connection_lifetime=1");
    let mut silent = Line::open(streams.tcp);
    let mut used = Line::open(streams.tcp);
    let opened = Instant::now();
    used.ping();
    let ends = [streams.end_of_tcp(silent.port()), streams.end_of_tcp(used.port())];
    assert!(silent.read_to_end().is_empty() && used.read_to_end().is_empty());
    let lived = opened.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(4)).contains(&lived), "closed after {lived:?}");
    streams.told_once(ends);
    drop((silent, used));
    pause(A_MOMENT);
    streams.told_once([]);
    streams.server.stop();
}

#[test]
fn traffic_keeps_a_connection_alive() {
    let streams = Streams::start("tcp_connection_lifetime=1");
    let mut line = Line::open(streams.tcp);
    let opened = Instant::now();
    while opened.elapsed() < Duration::from_secs(2) {
        line.ping();
        pause(Duration::from_millis(200));
    }
    assert_eq!(streams.told(), [""; 0]);
    streams.server.stop();
}

#[test]
fn bad_bytes_end_the_connection_once() {
    let streams = Streams::start("");
    let mut ends = Vec::new();
    for bad in [
        &b"\x16\x03\x01\x00\xff\x01\x00\x00\xfb\x03\x03 and no SIP\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"this is no SIP at all\r\n\r\n",
        b"OPTIONS sip:h SIP/2.0\r\nCall-ID: no length\r\nContent-Length: x\r\n\r\n",
        &[0xff; 4096],
    ] {
        let mut line = Line::open(streams.tcp);
        ends.push(streams.end_of_tcp(line.port()));
        line.send(bad);
        line.read_to_end();
    }
    streams.told_once(ends);
    streams.server.stop();
}

#[test]
fn a_message_that_does_not_come_whole_in_time() {
    let streams = Streams::start("tcp_max_msg_time=1");
    let mut line = Line::open(streams.tcp);
    line.ping();
    let begun = Instant::now();
    line.send("OPTIONS sip:ping@127.0.0.1 SIP/2.0\r\n");
    let end = streams.end_of_tcp(line.port());
    line.read_to_end();
    let took = begun.elapsed();
    assert!((Duration::from_millis(900)..Duration::from_secs(4)).contains(&took), "closed after {took:?}");
    streams.told_once([end]);
    streams.server.stop();
}

#[test]
fn a_websocket_that_says_good_bye_is_answered() {
    let streams = Streams::start("");
    let mut web = Web::open(streams.ws);
    web.ping();
    let ends = [streams.end_of_ws(web.port())];
    web.line.send(web_frame(0x88, &1000_u16.to_be_bytes()));
    assert_eq!(web.receive_frame(), (0x88, 1000_u16.to_be_bytes().to_vec()));
    assert!(web.line.read_to_end().is_empty());
    streams.told_once(ends);
    streams.server.stop();
}

#[test]
fn a_websocket_whose_client_only_closes_tcp() {
    let streams = Streams::start("");
    let web = Web::open(streams.ws);
    let ends = [streams.end_of_ws(web.port())];
    drop(web);
    streams.told_once(ends);
    streams.server.stop();
}

#[test]
fn a_frame_that_breaks_the_rules_ends_the_websocket() {
    let streams = Streams::start("");
    let mut web = Web::open(streams.ws);
    let ends = [streams.end_of_ws(web.port())];
    web.line.send(b"\x81\x05hello");
    let (first, code) = web.receive_frame();
    assert_eq!((first, &code[..]), (0x88, &1002_u16.to_be_bytes()[..]));
    web.line.read_to_end();
    streams.told_once(ends);
    streams.server.stop();
}

#[test]
fn half_a_websocket_handshake_ends_in_its_time() {
    let streams = Streams::start_with("", 9, |setup| setup.put("WSHANDSHAKE", 500));
    let mut line = Line::open(streams.ws);
    let ends = [streams.end_of_ws(line.port())];
    let handshake = web_handshake(streams.ws);
    line.send(&handshake[..handshake.len() / 2]);
    assert!(line.read_to_end().is_empty());
    streams.told_once(ends);
    streams.server.stop();
}

#[test]
fn a_websocket_that_is_refused_is_told_why() {
    let streams = Streams::start("");
    let mut line = Line::open(streams.ws);
    let ends = [streams.end_of_ws(line.port())];
    line.send(
        web_handshake(streams.ws).replace("Sec-WebSocket-Protocol: sip", "Sec-WebSocket-Protocol: chat"),
    );
    let answer = String::from_utf8(line.read_to_end()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    streams.told_once(ends);
    streams.server.stop();
}

#[test]
fn an_outgoing_connection_that_the_remote_ends_is_told_with_the_remote_as_its_source() {
    let remote = Desk::open();
    let streams = Streams::start_with("", remote.port(), |setup| setup);
    let mut caller = Line::open(streams.tcp);
    let request = Request::over("TCP", caller.port(), "OPTIONS", &format!("sip:out@{}", streams.tcp));
    caller.send(request.text());
    let mut callee = remote.accept();
    let arrived = callee.expect_request("OPTIONS");
    callee.send(arrived.response("200 OK", "callee", ""));
    caller.expect_status(200);
    let end = disconnected(callee.address(), callee.peer(), "tcp");
    drop(callee);
    streams.until_connections(1);
    assert_eq!(streams.told(), [end]);
    let end = streams.end_of_tcp(caller.port());
    drop(caller);
    streams.told_once([end]);
    streams.server.stop();
}

#[test]
fn a_connection_that_is_refused_never_was() {
    let streams = Streams::start_with("", free_tcp_port(), |setup| setup);
    let mut caller = Line::open(streams.tcp);
    for _ in 0..3 {
        let request = Request::over("TCP", caller.port(), "OPTIONS", &format!("sip:out@{}", streams.tcp));
        caller.send(request.text());
        let answer = loop {
            let answer = caller.receive();
            if answer.status() != Some(100) {
                break answer;
            }
        };
        assert!(answer.status() >= Some(400), "{}", answer.text);
    }
    streams.until_connections(1);
    assert_eq!(streams.told(), [""; 0]);
    streams.server.stop();
}

#[test]
fn a_rule_of_tcp_mgm_may_give_a_connection_less_time_than_others() {
    let streams = Streams::start_with("tcp_connection_lifetime=600\n", 9, |setup| {
        let rule = "id(int,auto) remote_addr(string,null) con_lifetime(int)\n1:127.0.0.9/32:1\n";
        std::fs::write(setup.dir().join("tcp_mgm"), rule).unwrap();
        let load = format!(
            "loadmodule \"tcp_mgm.so\"\nmodparam(\"tcp_mgm\", \"db_url\", \"text://{}\")\n",
            setup.dir().display()
        );
        setup.put_before("loadmodule \"tm.so\"", &load)
    });
    let mut usual = Line::open(streams.tcp);
    let mut short = Line::open_from(9, streams.tcp);
    usual.ping();
    short.ping();
    assert!(short.read_to_end().is_empty());
    streams.until_connections(1);
    assert_eq!(streams.told(), [disconnected(short.address(), streams.tcp, "tcp")]);
    usual.ping();
    streams.server.stop();
}

#[test]
fn the_end_of_the_server_is_no_end_of_a_connection() {
    let streams = Streams::start("");
    let (mut line, mut web) = (Line::open(streams.tcp), Web::open(streams.ws));
    line.ping();
    web.ping();
    let Streams { server, events, .. } = streams;
    server.stop();
    assert!(line.read_to_end().is_empty());
    // The courier is gone with the server: what it sent is here.
    assert_eq!(events.waiting(), [""; 0]);
}

#[test]
fn connections_are_listed_as_the_peer_lists_them() {
    let streams = Streams::start("");
    let list = |id: u32| {
        let request = format!(r#"{{"jsonrpc":"2.0","method":"list_tcp_conns","id":{id}}}"#);
        streams.server.mi().raw(request.as_bytes())
    };
    assert_eq!(list(1), r#"{"jsonrpc":"2.0","result":{"Connections":[]},"id":1}"#);
    let mut line = Line::open(streams.tcp);
    streams.until_connections(1);
    let answer = list(1);
    let row = serde_json::from_str::<Value>(&answer).unwrap()["result"]["Connections"][0].clone();
    let (number, lifetime) = (row["ID"].as_u64().unwrap(), row["Lifetime"].as_str().unwrap());
    let port = line.port();
    assert_eq!(
        answer,
        format!(
            r#"{{"jsonrpc":"2.0","result":{{"Connections":[{{"ID":{number},"Type":"tcp","State":0,"Remote":"127.0.0.1:{port}","Local":"{}","Lifetime":"{lifetime}","Alias port":{port}}}]}},"id":1}}"#,
            streams.tcp
        )
    );
    let form: String = lifetime.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(form, "0000-00-00 00:00:00");
    line.ping();
    assert_eq!(streams.connections()[0]["ID"], row["ID"]);
    let web = Web::open(streams.ws);
    let rows = streams.connections();
    let row = rows.iter().find(|row| row["Type"] == "ws").unwrap();
    assert_eq!(row["Remote"], format!("127.0.0.1:{}", web.port()));
    drop((line, web));
    streams.until_connections(0);
    assert_eq!(list(1), r#"{"jsonrpc":"2.0","result":{"Connections":[]},"id":1}"#);
    streams.server.stop();
}

#[test]
fn without_a_module_for_streams_there_is_no_list() {
    let phone = Phone::new();
    let server = Setup::new(include_str!("../configs/hostile.cfg")).put("A", phone.port()).start();
    assert!(server.mi().call("list_tcp_conns", Value::Null).is_null());
    server.stop();
}
