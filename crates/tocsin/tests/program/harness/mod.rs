//! What the tests share: a server of their own, SIP phones, subscribers, management clients, and the tools they run.

mod authority;
mod browser;
mod chance;
mod crowd;
mod diagnose;
mod gate;
mod kamailio;
mod mariadb;
mod mi;
mod names;
mod phone;
mod rabbitmq;
mod secure;
mod server;
mod sipp;
mod stream;
mod streams;
mod subscriber;
mod tools;
mod tracer;

pub(crate) use authority::Authority;
pub(crate) use browser::Browser;
pub(crate) use chance::Chance;
pub(crate) use crowd::{Crowd, Kind, Member};
pub(crate) use diagnose::Diagnose;
pub(crate) use gate::Gate;
pub(crate) use kamailio::Kamailio;
pub(crate) use mariadb::MariaDb;
pub(crate) use mi::{Fifo, Http, Mi, UnixMi};
pub(crate) use names::{Names, Zone};
pub(crate) use phone::{Message, Phone, Request};
pub(crate) use rabbitmq::RabbitMq;
pub(crate) use secure::{SecureClient, SlowClient, SlowClients, Tunnel};
pub(crate) use server::{Ended, Process, Server, Setup, free_tcp_port};
pub(crate) use sipp::{Caller, Sipp, Tally};
pub(crate) use stream::{A_MOMENT, Desk, Line, Web, descriptors, web_frame, web_handshake};
pub(crate) use streams::{Streams, disconnected};
pub(crate) use subscriber::{Subscriber, UnixSubscriber};
pub(crate) use tools::{python, run_tool};
pub(crate) use tracer::Tracer;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// How long a test waits for something that must come. Nothing that works takes this long, however busy the machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `look` finds something.
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, look)
}

/// The same with another patience, for what takes its time by design.
pub(crate) fn until_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain until {what}");
        pause(Duration::from_millis(10));
    }
}

/// Lets others run between two looks at a condition.
#[expect(clippy::disallowed_methods, reason = "a test has no runtime; it looks again after a moment")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A UDP port of 127.0.0.1 that nobody uses.
pub(crate) fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
