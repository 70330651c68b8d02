//! Calls of SIPp over TCP, from and to UDP, and while the processes that serve TCP are killed.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::{Caller, Server, Setup, Sipp, Tally, free_tcp_port, pause, until};

const CALLS: u32 = 200;
const PATIENCE: Duration = Duration::from_secs(60);
/// The processes that serve TCP in the configuration.
const RECEIVERS: usize = 4;
/// Time from one kill to the next.
const KILL_EVERY: Duration = Duration::from_millis(300);
const ALL: Tally = Tally { successful: CALLS, failed: 0, retransmissions: 0 };

/// A relay to a callee at `port`, over `to`; and its TCP port.
fn relay(port: u16, to: &str) -> (Server, u16) {
    let tcp = free_tcp_port();
    let setup = Setup::new(include_str!("../configs/relay_streams.cfg"));
    (setup.put("UAS", port).put("TCP", tcp).put("TO", to).alone().start(), tcp)
}

fn calls_to(port: u16) -> Caller<'static> {
    Caller { scenario: "routed_caller.xml", to: port, calls: CALLS, rate: 100 }
}

/// Both sides count all calls, and the server has nothing left of them.
fn all_succeed(caller: Sipp, callee: Sipp, server: Server) {
    assert_eq!(caller.finish(PATIENCE), ALL, "as the caller counts");
    assert_eq!(callee.dismiss(PATIENCE), ALL, "as the callee counts");
    server.until_idle();
    until("no connection is left", || {
        let answer = server.mi().call("list_tcp_conns", Value::Null);
        answer["Connections"].as_array().unwrap().is_empty().then_some(())
    });
    server.stop();
}

#[test]
fn calls_over_one_connection() {
    let callee = Sipp::callee_over_tcp("routed_callee.xml");
    let (server, tcp) = relay(callee.port(), "tcp");
    let caller = Sipp::caller_over("t1", calls_to(tcp));
    all_succeed(caller, callee, server);
}

#[test]
fn calls_over_a_connection_each() {
    let callee = Sipp::callee_over_tcp("routed_callee.xml");
    let (server, tcp) = relay(callee.port(), "tcp");
    let caller = Sipp::caller_over("tn", calls_to(tcp));
    all_succeed(caller, callee, server);
}

#[test]
fn calls_from_tcp_to_udp() {
    let callee = Sipp::callee("routed_callee.xml");
    let (server, tcp) = relay(callee.port(), "udp");
    let caller = Sipp::caller_over("t1", calls_to(tcp));
    all_succeed(caller, callee, server);
}

#[test]
fn calls_from_udp_to_tcp() {
    let callee = Sipp::callee_over_tcp("routed_callee.xml");
    let (server, _) = relay(callee.port(), "tcp");
    let caller = Sipp::caller(calls_to(server.port()));
    all_succeed(caller, callee, server);
}

#[test]
fn no_call_is_lost_when_the_workers_of_tcp_are_killed() {
    kill_under_load("t1");
}

#[test]
fn no_call_over_its_own_connection_is_lost_when_workers_are_killed() {
    kill_under_load("tn");
}

/// Kills after which a call that has not ended never will: its branches have timed out long before.
const KILLS_MOST: usize = 150;

/// Places calls over TCP while one TCP receiver after the other is killed.
fn kill_under_load(mode: &str) {
    const UNDER_FIRE: u32 = 600;
    let callee = Sipp::callee_over_tcp("routed_callee.xml");
    let (server, tcp) = relay(callee.port(), "tcp");
    let mut caller = Sipp::caller_over(mode, Caller { calls: UNDER_FIRE, ..calls_to(tcp) });
    let mut kills = 0;
    while caller.is_running() {
        assert!(kills < KILLS_MOST, "a call does not end: {}", server.log());
        pause(KILL_EVERY);
        let receivers: Vec<_> =
            server.ps().into_iter().filter(|process| process.kind == "TCP receiver").collect();
        // In turn, so that each lives for more than a second: shorter lives are taken for a fault. There may be a gap until
        // a successor is there.
        if let Some(process) = receivers.get(kills % RECEIVERS) {
            kills += usize::from(kill(Pid::from_raw(process.pid), Signal::SIGKILL).is_ok());
        }
    }
    assert!(kills > 5, "{kills} kills prove nothing");
    let counted = caller.finish(PATIENCE);
    assert_eq!((counted.successful, counted.failed), (UNDER_FIRE, 0), "after {kills} kills");
    server.until_idle();
    server.stop();
}
