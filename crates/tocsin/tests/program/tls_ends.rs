//! Connections of TLS and WebSocket over TLS end in many ways; each end is told once, with the bytes that OpenSIPS
//! writes.

use std::net::SocketAddr;
use std::time::Instant;

use crate::harness::{
    Authority, Gate, Line, SecureClient, Setup, SlowClient, SlowClients, Subscriber, UnixSubscriber, Web,
    disconnected, free_tcp_port,
};

/// Milliseconds for handshakes that do not come to their end.
const IMPATIENT: u32 = 300;
/// Milliseconds for those that do.
const PATIENT: u32 = 20_000;

/// The cases `tls_client_close`, `tls_garbage` and `wss_client_close` of the recordings, with their configuration.
#[test]
fn ends_are_told_as_they_were_recorded() {
    let authority = Authority::new();
    authority.issue("server", ["localhost"]);
    let (udp, ports) = (Subscriber::new(), [(); 5].map(|()| free_tcp_port()));
    let setup = Setup::new(include_str!("../configs/recorded.cfg"));
    let unix = UnixSubscriber::new(&setup.dir().join("ev.sock"));
    for (from, to) in [("server.pem", "cert.pem"), ("server.key", "key.pem")] {
        std::fs::copy(authority.path(from), setup.dir().join(to)).unwrap();
    }
    let [_, tcp, tls, ws, wss] = ports;
    let (setup, tcp_port) = (setup.put("TLS", tls).put("WS", ws).put("WSS", wss), tcp);
    let server = setup.put("TCP", tcp_port).put("SUBSCRIBER", udp.name()).start();
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let told = |port, listener, proto| {
        let expected = disconnected(at(port), at(listener), proto);
        assert_eq!((udp.raw(), unix.raw()), (expected.clone(), expected));
    };

    let (mut line, tunnel) = SecureClient::new(at(tls)).open();
    line.ping();
    drop(line);
    told(tunnel.port(), tls, "tls");

    let mut line = Line::open(at(tls));
    line.send("garbage\r\n\r\n".repeat(5));
    told(line.port(), tls, "tls");
    drop(line);

    let (line, tunnel) = SecureClient::new(at(wss)).open();
    let mut web = Web::over(line, at(wss));
    web.ping();
    drop(web);
    told(tunnel.port(), wss, "wss");
    server.stop();
}

#[test]
fn a_client_that_says_good_bye() {
    let gate = Gate::start();
    let (mut line, tunnel) = gate.client().open();
    line.ping();
    line.finish_sending();
    line.read_to_end();
    gate.told_once([(tunnel.port(), gate.tls, "tls")]);
    gate.server.stop();
}

#[test]
fn a_client_that_dies() {
    let gate = Gate::start();
    let (mut line, tunnel) = gate.client().open();
    line.ping();
    let port = tunnel.port();
    drop(tunnel);
    gate.told_once([(port, gate.tls, "tls")]);
    gate.server.stop();
}

#[test]
fn bytes_that_are_no_tls_end_the_connection_at_once() {
    let gate = Gate::start();
    let mut line = Line::open(gate.tls);
    line.send("garbage\r\n\r\n".repeat(5));
    line.read_to_end();
    let port = line.port();
    gate.told_once([(port, gate.tls, "tls")]);
    drop(line);
    gate.told_once([]);
    gate.server.stop();
}

#[test]
fn bytes_that_are_no_sip_end_the_connection() {
    let gate = Gate::start();
    let (mut line, tunnel) = gate.client().open();
    line.send("garbage\r\n\r\n".repeat(5));
    line.read_to_end();
    gate.told_once([(tunnel.port(), gate.tls, "tls")]);
    gate.server.stop();
}

#[test]
fn handshakes_that_stop_half_way_are_given_up() {
    let gate = Gate::start_with_timeouts(IMPATIENT, IMPATIENT);
    let begun = Instant::now();
    let mut silent = Line::open(gate.tls);
    let mut half = Line::open(gate.tls);
    // A record of 512 bytes of a handshake, of which 3 come.
    half.send(b"\x16\x03\x01\x02\x00\x01\x00\x01");
    let mut silent_web = Line::open(gate.wss);
    for line in [&mut silent, &mut half, &mut silent_web] {
        line.read_to_end();
    }
    assert!(begun.elapsed().as_millis() >= u128::from(IMPATIENT), "{:?}", begun.elapsed());
    gate.told_once([
        (silent.port(), gate.tls, "tls"),
        (half.port(), gate.tls, "tls"),
        (silent_web.port(), gate.wss, "wss"),
    ]);
    gate.server.stop();
}

#[test]
fn a_handshake_of_tls_has_no_more_time_where_a_websocket_is_to_follow() {
    let gate = Gate::start_with_timeouts(IMPATIENT, PATIENT);
    let begun = Instant::now();
    let mut silent = Line::open(gate.wss);
    silent.read_to_end();
    assert!(begun.elapsed().as_millis() < u128::from(PATIENT) / 2, "{:?}", begun.elapsed());
    gate.told_once([(silent.port(), gate.wss, "wss")]);
    gate.server.stop();
}

#[test]
fn a_record_that_does_not_end_ends_its_connection() {
    let gate = Gate::start_with("tcp_max_msg_time=1");
    let (mut other, tunnel) = gate.client().open();
    // The head of a record, and nearly all of one: nothing of either can be decrypted.
    let clients = [5, 12_000].map(|at_once| SlowClient::start(gate.tls, 1, at_once));
    let mut ends = vec![(tunnel.port(), gate.tls, "tls")];
    for client in clients.into_iter().flat_map(SlowClients::finish) {
        assert!(client.sent > 0, "{client:?}");
        assert!(
            (0.9..5.0).contains(&client.seconds),
            "bytes that come one by one give no more time: {client:?}"
        );
        ends.push((client.port, gate.tls, "tls"));
    }
    other.ping();
    drop(other);
    gate.told_once(<[_; 3]>::try_from(ends).unwrap());
    gate.server.stop();
}

#[test]
fn a_tls_client_that_asks_for_no_websocket_is_given_up() {
    let gate = Gate::start_with_timeouts(PATIENT, 1_000);
    let (mut line, tunnel) = SecureClient::new(gate.wss).open();
    line.send("GET / HTTP/1.1\r\nHost: x\r\n");
    line.read_to_end();
    gate.told_once([(tunnel.port(), gate.wss, "wss")]);
    gate.server.stop();
}

#[test]
fn a_close_frame_is_answered() {
    let gate = Gate::start();
    let (mut web, tunnel) = gate.web();
    web.ping();
    // 1000: the purpose of the connection is fulfilled (RFC 6455 section 7.4.1).
    web.line.send(crate::harness::web_frame(0x88, &1000_u16.to_be_bytes()));
    let (first, payload) = web.receive_frame();
    assert_eq!((first, &payload[..2]), (0x88, &1000_u16.to_be_bytes()[..]));
    web.line.read_to_end();
    gate.told_once([(tunnel.port(), gate.wss, "wss")]);
    gate.server.stop();
}

#[test]
fn the_death_of_its_worker_ends_a_connection() {
    let gate = Gate::start();
    let mut lines: Vec<_> = (0..6).map(|_| gate.client().open()).collect();
    let (mut web, web_tunnel) = gate.web();
    lines.iter_mut().for_each(|(line, _)| line.ping());
    web.ping();
    gate.server.replace("TCP receiver");
    let mut ends = Vec::new();
    for (mut line, tunnel) in lines {
        line.read_to_end();
        ends.push((tunnel.port(), gate.tls, "tls"));
    }
    web.line.read_to_end();
    ends.push((web_tunnel.port(), gate.wss, "wss"));
    gate.told_once(<[_; 7]>::try_from(ends).unwrap());
    let (mut line, _tunnel) = gate.client().open();
    line.ping();
    gate.server.stop();
}
