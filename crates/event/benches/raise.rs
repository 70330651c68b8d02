//! What an event costs: raised with nobody subscribed, raised into the log, and rendered as JSON.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and fails by panicking")]

use std::hint::black_box;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use tocsin_event::{Datagram, EventId, EventOptions, Events, Params, ParamsWriter, Transport, write_event};
use tocsin_shm::{Arena, ArenaOptions};

fn main() {
    let bytes = 512 << 20;
    let arena = Arena::create(&ArenaOptions { bytes, boot_bytes: 64 << 20 }).unwrap();
    let (wake_fd, _wake) = UnixStream::pair().unwrap();
    wake_fd.set_nonblocking(true).unwrap();
    let events = Events::create(arena, &EventOptions::for_arena(bytes, 8), wake_fd.into()).unwrap();
    let raise = || {
        events.raise(black_box(EventId::TCP_DISCONNECT), write);
    };
    print("raise, nobody subscribed", 100_000_000, raise);

    let subscriber = Datagram::default().parse("udp", "127.0.0.1:9").unwrap();
    events.subscribe(EventId::TCP_DISCONNECT, &subscriber, None).unwrap();
    print("raise into the log", 5_000_000, raise);

    let mut params = Vec::new();
    let mut writer = ParamsWriter::new(&mut params);
    write(&mut writer);
    let params = writer.finish().unwrap();
    let mut json = Vec::new();
    print("render as JSON", 5_000_000, || {
        json.clear();
        write_event(b"E_CORE_TCP_DISCONNECT", Params::new(black_box(params)), &mut json);
    });
}

fn write(params: &mut ParamsWriter<'_>) {
    params.text("src_ip", "192.0.2.17").int("src_port", 40_312);
    params.text("dst_ip", "192.0.2.1").int("dst_port", 5060).text("proto", "tcp");
}

/// The best of five rounds.
fn print(what: &str, count: u32, mut operation: impl FnMut()) {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        (0..count / 5).for_each(|_| operation());
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(count / 5));
    }
    println!("{what}: {best:.1} ns");
}
