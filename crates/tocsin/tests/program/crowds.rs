//! Ten thousand connections of each kind: what they cost, that calls go through them, and that nothing is left of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;

use crate::harness::{
    Authority, Caller, Crowd, Kind, Member, PATIENCE, Phone, Request, Server, Setup, Sipp, descriptors,
    free_tcp_port, until,
};

const CONFIG: &str = include_str!("../configs/crowd.cfg");
const CROWD: usize = 10_000;
const CALLS: usize = 2_000;
/// What one connection may cost above what the kernel keeps for it, in bytes.
const PLAIN_MOST: u64 = 6 << 10;
const SECURE_MOST: u64 = 40 << 10;

/// The proportional set sizes of all processes, in bytes.
fn memory(server: &Server) -> u64 {
    let of = |pid: i32| {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
    };
    server.ps().iter().map(|process| of(process.pid)).sum()
}

fn descriptors_of_all(server: &Server) -> usize {
    server.ps().iter().map(|process| descriptors(process.pid)).sum()
}

/// Connections that the server knows of.
fn known(server: &Server) -> u64 {
    let names = ["tcp", "tls", "ws", "wss"].map(|kind| format!("tcp:{kind}_connections"));
    let counted = server.mi().call("get_statistics", json!([names]));
    counted.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
}

/// Asks the server something.
fn ask(member: &mut Member, kind: Kind, server: SocketAddr) {
    member.send(&Request::over(kind.transport(), member.port, "OPTIONS", &format!("sip:{server}")).text());
    member.expect_final(200);
}

/// Calls the phone that answers everything, and hangs up.
fn call(member: &mut Member, kind: Kind, server: SocketAddr) {
    let invite = Request::over(kind.transport(), member.port, "INVITE", &format!("sip:callee@{server}"));
    member.send(&invite.text());
    let answer = member.expect_final(200);
    member.send(&invite.ack(&answer).text());
    member.send(&invite.bye(&answer));
    assert_eq!(member.expect_final(200).cseq_method(), "BYE");
}

/// A phone that answers each request but ACK with 200, until it is dropped.
struct Callee {
    port: u16,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Callee {
    #[expect(clippy::disallowed_methods, reason = "a test forks nothing: it may have threads")]
    fn start(server: SocketAddr) -> Self {
        let (phone, is_over) = (Phone::new(), Arc::new(AtomicBool::new(false)));
        let (port, over) = (phone.port(), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            while !over.load(Relaxed) {
                let Some(request) = phone.receive_within(Duration::from_millis(100)) else { continue };
                if request.method() != Some("ACK") {
                    phone.send(server, request.response("200 OK", "callee", ""));
                }
            }
        });
        Self { port, is_over, thread: Some(thread) }
    }
}

impl Drop for Callee {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(())) | None) || std::thread::panicking(), "the callee failed");
    }
}

/// A server with listeners of each kind, whose calls go to `callee`; and the address of the listener for `kind`.
fn serve(setup: Setup, kind: Kind, authority: &Authority, callee: u16) -> (Server, SocketAddr) {
    authority.issue("usual", ["127.0.0.1", "localhost"]);
    let ports = Kind::ALL.map(|kind| (kind, free_tcp_port()));
    let setup = ports.iter().fold(setup, |setup, (kind, port)| setup.put(kind.transport(), port));
    let server = setup
        .put("CERTS", authority.dir().display())
        .put("UAS", callee)
        .put("MOST", CROWD + CROWD / 10)
        .args(["-M", "128"])
        .alone()
        .start();
    let port = ports.iter().find_map(|(other, port)| (*other == kind).then_some(*port)).unwrap();
    (server, SocketAddr::from(([127, 0, 0, 1], port)))
}

#[expect(clippy::print_stdout, reason = "the figure is for docs/performance.md")]
fn crowd(kind: Kind) {
    let authority = Authority::new();
    let setup = Setup::new(CONFIG);
    let callee = Callee::start(SocketAddr::from(([127, 0, 0, 1], setup.port())));
    let (server, to) = serve(setup, kind, &authority, callee.port);
    let crowd = Crowd::new(kind, to, &authority);
    let (bytes, open) = (memory(&server), descriptors_of_all(&server));

    // Few ports of one address are taken, so that other tests find theirs.
    let mut members: Vec<Member> = (0..CROWD).map(|n| crowd.join(2 + (n % 16) as u8)).collect();
    members.iter_mut().for_each(|member| ask(member, kind, to));
    assert_eq!(known(&server), CROWD as u64);
    let each = (memory(&server) - bytes) / CROWD as u64;
    println!("{}: {each} bytes a connection", kind.transport());
    let most = if kind.is_secure() { SECURE_MOST } else { PLAIN_MOST };
    assert!(each <= most, "a connection over {} takes {each} bytes", kind.transport());

    for member in members.iter_mut().step_by(CROWD / CALLS) {
        call(member, kind, server.address());
    }

    drop(members);
    nothing_is_left(&server, open);
    server.stop();
}

fn nothing_is_left(server: &Server, open: usize) {
    until("no connection is left", || (known(server) == 0).then_some(()));
    until("no descriptor is left", || (descriptors_of_all(server) <= open).then_some(()));
}

#[test]
fn handshakes_without_end_keep_no_call_from_its_way() {
    let (authority, callee) = (Authority::new(), Sipp::callee("uas"));
    let (server, to) = serve(Setup::new(CONFIG), Kind::Tls, &authority, callee.port());
    let open = descriptors_of_all(&server);
    let to_server = Caller { scenario: "uac", to: server.port(), calls: 200, rate: 50 };
    let mut caller = Sipp::caller(to_server);
    let crowd = Crowd::new(Kind::Tls, to, &authority);
    let mut handshakes = 0;
    while caller.is_running() {
        drop(crowd.join(2 + (handshakes % 16) as u8));
        handshakes += 1;
    }
    assert!(handshakes > 0);
    let tally = caller.finish(PATIENCE);
    assert_eq!((tally.successful, tally.failed), (200, 0), "beside {handshakes} handshakes");
    nothing_is_left(&server, open);
    server.stop();
}

#[test]
fn ten_thousand_over_tcp() {
    crowd(Kind::Tcp);
}

#[test]
fn ten_thousand_over_tls() {
    crowd(Kind::Tls);
}

#[test]
fn ten_thousand_over_websocket() {
    crowd(Kind::Ws);
}

#[test]
fn ten_thousand_over_secure_websocket() {
    crowd(Kind::Wss);
}
