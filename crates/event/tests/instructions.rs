//! What an event costs the process that raises it, in instructions: a count that does not depend on what else the machine does.
//!
//! The test runs itself under callgrind, for many raises and for twice as many, and compares.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::process::Command;

use tocsin_event::{Datagram, EventId, EventOptions, Events, TcpDisconnect, Transport};
use tocsin_shm::{Arena, ArenaOptions};

/// Raises of the shorter run.
const RAISES: u64 = 20_000;
/// Instructions that raising may take while nobody is subscribed, in a build as it is shipped and in one for tests. A
/// processor does them in far less than 5 ns.
const UNHEARD_MOST: u64 = if cfg!(debug_assertions) { 40 } else { 24 };
/// Instructions that raising may take in the raising process when somebody is: less than a microsecond.
const HEARD_MOST: u64 = if cfg!(debug_assertions) { 8_000 } else { 2_000 };

#[test]
fn an_event_that_nobody_hears_costs_a_few_instructions() {
    let cost = instructions("unheard");
    assert!(cost <= UNHEARD_MOST, "{cost} instructions");
}

#[test]
fn an_event_that_is_heard_costs_the_raiser_a_bounded_copy() {
    let cost = instructions("heard");
    assert!((100..=HEARD_MOST).contains(&cost), "{cost} instructions");
}

/// What one raise costs: a run of twice as many costs that many times more.
fn instructions(kind: &str) -> u64 {
    let [short, long] = [RAISES, 2 * RAISES].map(|raises| counted(kind, raises));
    (long - short) / RAISES
}

/// The instructions of the process that runs [`raises`].
fn counted(kind: &str, raises: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "raises", "--ignored", "--test-threads=1"])
        .env("RAISES", raises.to_string())
        .env("KIND", kind)
        .output()
        .expect("valgrind is installed");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let total = told.lines().find_map(|line| line.split_once("Collected :")).expect("a count").1;
    total.trim().parse().unwrap()
}

#[test]
#[ignore = "the others run it under callgrind"]
fn raises() {
    let raises: u64 = std::env::var("RAISES").unwrap().parse().unwrap();
    let bytes = 64 << 20;
    let arena = Arena::create(&ArenaOptions { bytes, boot_bytes: 16 << 20 }).unwrap();
    let (wake_fd, _wake) = std::os::unix::net::UnixStream::pair().unwrap();
    wake_fd.set_nonblocking(true).unwrap();
    let events = Events::create(arena, &EventOptions::for_arena(bytes, 8), wake_fd.into()).unwrap();
    if std::env::var("KIND").unwrap() == "heard" {
        let subscriber = Datagram::default().parse("udp", "127.0.0.1:9").unwrap();
        events.subscribe(EventId::TCP_DISCONNECT, &subscriber, None).unwrap();
    }
    let ip = [192, 0, 2, 17].into();
    for port in 0..raises {
        let event =
            TcpDisconnect { src_ip: ip, src_port: port as u16, dst_ip: ip, dst_port: 5060, proto: "tcp" };
        std::hint::black_box(events.raise_core(std::hint::black_box(EventId::TCP_DISCONNECT), &event));
    }
}
