//! What an event costs the process that raises it, in instructions: a count that does not depend on what else the machine does.
//!
//! The test runs itself under callgrind, for many raises and for twice as many, and compares.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

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
    let [short, long] =
        [RAISES, 2 * RAISES].map(|raises| tocsin_callgrind::instructions("raises", kind, raises));
    (long - short) / RAISES
}

#[test]
#[ignore = "the others run it under callgrind"]
fn raises() {
    let (kind, raises) = tocsin_callgrind::asked_for();
    let bytes = 64 << 20;
    let arena = Arena::create(&ArenaOptions { bytes, boot_bytes: 16 << 20 }).unwrap();
    let (wake_fd, _wake) = std::os::unix::net::UnixStream::pair().unwrap();
    wake_fd.set_nonblocking(true).unwrap();
    let events = Events::create(arena, &EventOptions::for_arena(bytes, 8), wake_fd.into()).unwrap();
    if kind == "heard" {
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
