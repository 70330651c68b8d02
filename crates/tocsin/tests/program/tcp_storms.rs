//! Attacks with many connections at once, of all kinds and against all stream protocols: when they are over, as many
//! descriptors are open as before, in every process, and no connection is left.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::harness::{
    A_MOMENT, Authority, Desk, Line, PATIENCE, Request, SlowClient, Streams, descriptors, free_tcp_port,
    pause, until, web_handshake,
};

/// Clients that send a byte now and then: over TCP, and over TLS.
const SLOW: usize = 2_000;
const SLOW_TLS: usize = 200;
/// Clients that connect and say nothing, at each of two listeners.
const SILENT: usize = 200;
/// Clients that break off, of each kind.
const BROKEN: usize = 150;
/// Clients that ask and do not wait for the answer.
const GONE: usize = 20;
/// Seconds for a message.
const MESSAGE_TIME: f64 = 2.0;

/// A server that is attacked.
struct Victim {
    streams: Streams,
    tls: SocketAddr,
    /// Where its requests for "out" go.
    next: Desk,
    _authority: Authority,
}

impl Victim {
    fn start() -> Self {
        let authority = Authority::new();
        authority.issue("server", ["localhost"]);
        let (next, tls) = (Desk::open(), SocketAddr::from(([127, 0, 0, 1], free_tcp_port())));
        let certs = authority.dir().display();
        let globals = format!(
            "tcp_socket_backlog=4096\ntcp_max_connections=8192\ntcp_max_msg_time={MESSAGE_TIME}\nsocket=tls:{tls}\n\
             loadmodule \"proto_tls.so\"\nloadmodule \"tls_openssl.so\"\nloadmodule \"tls_mgm.so\"\n\
             modparam(\"tls_mgm\", \"server_domain\", \"usual\")\n\
             modparam(\"tls_mgm\", \"certificate\", \"[usual]{certs}/server.pem\")\n\
             modparam(\"tls_mgm\", \"private_key\", \"[usual]{certs}/server.key\")\n\
             modparam(\"tls_mgm\", \"verify_cert\", \"[usual]0\")\n\
             modparam(\"tls_mgm\", \"require_cert\", \"[usual]0\")\n"
        );
        let streams = Streams::start_with(&globals, next.port(), |setup| setup.alone().args(["-M", "64"]));
        Self { streams, tls, next, _authority: authority }
    }

    /// The open descriptors of each process.
    fn descriptors(&self) -> BTreeMap<i32, usize> {
        self.streams.server.ps().iter().map(|process| (process.pid, descriptors(process.pid))).collect()
    }

    /// The same once nothing changes: the connection that asked for something last may not be closed yet.
    fn steady_descriptors(&self) -> BTreeMap<i32, usize> {
        until("no descriptor comes or goes", || {
            let now = self.descriptors();
            pause(A_MOMENT);
            (self.descriptors() == now).then_some(now)
        })
    }

    /// What the statistics say of connections that are there: by protocol, and as the difference of begins and ends.
    fn counted(&self) -> [i64; 5] {
        let of = |name: &str| self.streams.server.statistic(&format!("tcp:{name}"));
        let [tcp, tls, ws, wss] = ["tcp", "tls", "ws", "wss"].map(|name| of(&format!("{name}_connections")));
        [tcp, tls, ws, wss, of("accepted") + of("opened") - of("ended")]
    }

    /// Waits until all is as it was `before`, and nobody is connected.
    fn until_as(&self, before: &BTreeMap<i32, usize>, after_what: &str) {
        let is = || (self.streams.connections().len(), self.counted(), self.descriptors());
        let should = (0, [0; 5], before.clone());
        let deadline = Instant::now() + PATIENCE;
        let mut now = is();
        // A connection that was reset a moment ago may not be accepted yet.
        while now != should && Instant::now() < deadline {
            pause(Duration::from_millis(50));
            now = is();
        }
        assert_eq!(now, should, "connections, statistics and open descriptors after {after_what}");
    }

    /// Sends a byte a time over many connections, while somebody else is served.
    fn is_attacked_slowly(&self) {
        let secure = SlowClient::start(self.tls, SLOW_TLS, 5);
        let begin = "OPTIONS sip:ping@127.0.0.1 SIP/2.0\r\nX-Slow: ";
        let mut lines: Vec<_> = (0..SLOW)
            .map(|at| {
                let mut line = Line::open_from(2 + (at % 8) as u8, self.streams.tcp);
                line.send(begin);
                line
            })
            .collect();
        let mut other = Line::open(self.streams.tcp);
        let begun = Instant::now();
        let mut refused = 0;
        while refused < SLOW && begun.elapsed() < Duration::from_secs(10) {
            refused = lines.iter_mut().map(|line| usize::from(line.try_send("x").is_err())).sum();
            other.ping();
            pause(Duration::from_millis(200));
        }
        assert_eq!(refused, SLOW, "a message may take {MESSAGE_TIME} s, not {:?}", begun.elapsed());
        for client in secure.finish() {
            assert!((MESSAGE_TIME - 0.1..10.0).contains(&client.seconds), "{client:?}");
        }
        other.ping();
    }

    /// Connects, and says nothing where a handshake is due.
    fn hears_nothing(&self) {
        let mut lines: Vec<_> = [self.tls, self.streams.ws]
            .into_iter()
            .flat_map(|to| (0..SILENT).map(move |_| Line::open_from(10, to)))
            .collect();
        self.streams.until_connections(2 * SILENT);
        Line::open(self.streams.tcp).ping();
        lines.iter_mut().for_each(|line| assert!(line.read_to_end().is_empty()));
    }

    /// Breaks connections in the middle of messages and of handshakes.
    fn sees_resets(&self) {
        let request = Request::over("TCP", 9, "OPTIONS", "sip:ping@127.0.0.1").text();
        let hello: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        for _ in 0..BROKEN {
            for (to, bytes) in [
                (self.streams.tcp, &request.as_bytes()[..60]),
                (self.tls, hello),
                (self.streams.ws, &web_handshake(self.streams.ws).as_bytes()[..80]),
            ] {
                let mut line = Line::open_from(11, to);
                line.send(bytes);
                line.reset();
            }
        }
    }

    /// Asks for a call, and is gone before the answer comes.
    fn asks_for_nobody(&self) {
        let mut next = None;
        for _ in 0..GONE {
            let mut caller = Line::open_from(12, self.streams.tcp);
            let invite = Request::over("TCP", 9, "INVITE", &format!("sip:out@{}", self.streams.tcp));
            caller.send(invite.text());
            let next = next.get_or_insert_with(|| self.next.accept());
            let arrived = next.expect_request("INVITE");
            drop(caller);
            self.streams.until_connections(1);
            next.send(arrived.response("486 Busy Here", "callee", ""));
            next.expect_request("ACK");
        }
    }

    /// Says that more than 4 GiB are to come.
    fn is_lied_to(&self) {
        for length in [(1_u64 << 32) + 32, u64::MAX] {
            let request = format!(
                "INVITE sip:ping@127.0.0.1 SIP/2.0\r\nContent-Length: {length}\r\n\r\n{}",
                "x".repeat(32)
            );
            for _ in 0..BROKEN {
                let mut line = Line::open_from(13, self.streams.tcp);
                line.send(&request);
                assert!(line.read_to_end().is_empty());
            }
        }
    }
}

#[test]
fn no_attack_leaves_a_descriptor_or_a_connection_behind() {
    let victim = Victim::start();
    // One connection ends before anything is counted: the process that raises its event has a socket from then on.
    let mut first = Line::open(victim.streams.tcp);
    first.ping();
    let end = victim.streams.end_of_tcp(first.port());
    drop(first);
    victim.streams.told_once([end]);
    let before = victim.steady_descriptors();
    let in_order = |attack: fn(&Victim), what| {
        attack(&victim);
        victim.until_as(&before, what);
    };
    in_order(Victim::is_attacked_slowly, "messages and records that come byte by byte");
    in_order(Victim::hears_nothing, "handshakes that never begin");
    in_order(Victim::sees_resets, "resets in the middle");
    in_order(Victim::asks_for_nobody, "calls that nobody waits for");
    in_order(Victim::is_lied_to, "lengths that cannot be");
    Line::open(victim.streams.tcp).ping();
    victim.streams.server.stop();
}
