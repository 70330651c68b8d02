//! The mixed load: everything that the server does, at once, while one of its processes is killed every five seconds. No
//! call fails, and in the end the server has what it had before.
//!
//! As part of the tests it takes three minutes at a tenth of the full load. The long form is the same at full load:
//!
//! ```text
//! TOCSIN_SOAK_SECONDS=3600 TOCSIN_SOAK_PERCENT=100 TOCSIN_BIN=target/release/tocsin \
//!     cargo test -p tocsin --test program mixed_load -- --nocapture
//! ```
//!
//! `TOCSIN_SEED` repeats the kills of another run.

mod callers;
mod clients;
mod events;
mod kills;
mod management;
mod measures;
mod pace;
mod traffic;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Authority, Kind, Server, Setup, Sipp, free_tcp_port, pause, until_within};

use events::Listener;
use kills::Kills;
use measures::Measures;
use traffic::{Rates, Traffic};

/// Time of the load that warms the server up.
const WARM_UP: Duration = Duration::from_secs(20);
const KILL_EVERY: Duration = Duration::from_secs(5);
/// Time until everything that the load left has expired: bindings live 20 s, transactions at most half a minute.
const UNTIL_IDLE: Duration = Duration::from_secs(90);
/// Shared memory that may be in use more than before: chunks that tables keep at hand.
const SHARED_SLACK: i64 = 512 << 10;
/// Private memory by which a process may have grown.
const PRIVATE_SLACK: i64 = 1 << 20;

/// The server, and the callees behind it.
struct Scene {
    server: Server,
    authority: Authority,
    addresses: [(Kind, SocketAddr); 4],
    listener: Listener,
    /// Where deaths are sent over UDP. The courier opens its socket for UDP with the first event that goes out over it: so a
    /// new courier has it at once, and as many descriptors as the one before.
    _deaths: UdpSocket,
    /// Of calls over UDP, over TCP, and of all others.
    callees: [Sipp; 3],
}

impl Scene {
    fn start() -> Self {
        let authority = Authority::new();
        authority.issue("usual", ["127.0.0.1", "localhost"]);
        let addresses = Kind::ALL.map(|kind| (kind, SocketAddr::from(([127, 0, 0, 1], free_tcp_port()))));
        let scenario = "mixed_callee.xml";
        let callees = [Sipp::callee(scenario), Sipp::callee_over_tcp(scenario), Sipp::callee(scenario)];
        let listener = Listener::start();
        let deaths = UdpSocket::bind("127.0.0.1:0").unwrap();
        let setup = Setup::new(include_str!("../../configs/mixed_load.cfg"))
            .put("CERTS", authority.dir().display())
            .put("SUBSCRIBER", listener.name())
            .put("DEATHS", deaths.local_addr().unwrap().port())
            .put("UDPCALLEE", callees[0].port())
            .put("TCPCALLEE", callees[1].port())
            .put("CALLEE", callees[2].port());
        let put =
            |setup: Setup, (kind, address): &(Kind, SocketAddr)| setup.put(kind.transport(), address.port());
        let server = addresses.iter().fold(setup, put).beside_all().start();
        Self { server, authority, addresses, listener, _deaths: deaths, callees }
    }

    fn address(&self, kind: Kind) -> SocketAddr {
        self.addresses.iter().find(|(other, _)| *other == kind).unwrap().1
    }

    /// Waits until nothing is left of the load.
    fn until_idle(&self) {
        let server = &self.server;
        let mut left = Value::Null;
        let deadline = Instant::now() + UNTIL_IDLE;
        while Instant::now() < deadline {
            left = measures::left_of_the_load(server);
            if left.as_object().unwrap().values().all(|count| *count == 0) {
                return;
            }
            pause(Duration::from_millis(100));
        }
        panic!("this is left of the load after {UNTIL_IDLE:?}: {left}");
    }

    /// What the server has once nothing is left of the load, and its descriptors stand still: a worker closes duplicates of
    /// connections that have ended once a second.
    fn measures_when_idle(&self) -> Measures {
        self.until_idle();
        let mut last = Measures::take(&self.server);
        until_within(UNTIL_IDLE, "the descriptors stand still", || {
            pause(Duration::from_millis(1500));
            let now = Measures::take(&self.server);
            let stands_still = now.descriptors == last.descriptors;
            last = now;
            stands_still.then_some(())
        });
        last
    }
}

/// The number in the environment variable `name`.
fn given(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: a number")))
}

#[test]
fn no_call_fails_under_the_mixed_load_when_any_process_is_killed() {
    let time = Duration::from_secs(given("TOCSIN_SOAK_SECONDS", 180));
    let rates = Rates::of_full(given("TOCSIN_SOAK_PERCENT", 10));
    let scene = Scene::start();
    let mut kills = Kills::new();

    let warm_up = Traffic::start(&scene, &rates, WARM_UP);
    while warm_up.goes_on() {
        pause(Duration::from_millis(100));
    }
    let before_busy = Measures::take(&scene.server);
    println!("warm-up:\n{}", warm_up.finish());
    let before = scene.measures_when_idle();

    let traffic = Traffic::start(&scene, &rates, time);
    let mut next = Instant::now() + KILL_EVERY;
    while traffic.goes_on() {
        pause(Duration::from_millis(100));
        if Instant::now() >= next {
            kills.kill_one(&scene.server);
            next += KILL_EVERY;
        }
    }
    kills.until_all_serve(&scene.server);
    let busy = Measures::take(&scene.server);
    let counts = traffic.finish();
    println!("{} s, {} kills: {}\n{counts}", time.as_secs(), kills.count(), kills.by_kind());
    let mut after = scene.measures_when_idle();
    let is_back = |after: &Measures| {
        after.shared <= before.shared + SHARED_SLACK && after.descriptors == before.descriptors
    };
    let deadline = Instant::now() + UNTIL_IDLE;
    while !is_back(&after) && Instant::now() < deadline {
        pause(Duration::from_millis(200));
        after = Measures::take(&scene.server);
    }
    println!(
        "under load before\n{before_busy}under load after\n{busy}idle before\n{before}idle after\n{after}"
    );

    counts.no_call_failed(&kills);
    scene.listener.has_heard_all(counts.raised, &kills);
    measures::accounts_add_up(&scene.server);
    assert_eq!(after.descriptors, before.descriptors, "descriptors, by process");
    assert!(
        after.shared <= before.shared + SHARED_SLACK,
        "shared memory: {} -> {}",
        before.shared,
        after.shared
    );
    for growth in [after.growth_since(&before), busy.growth_since(&before_busy)] {
        for (process, bytes) in growth {
            assert!(bytes <= PRIVATE_SLACK, "the private memory of {process} grew by {bytes} bytes");
        }
    }
    let Scene { server, callees, .. } = scene;
    for callee in callees {
        println!("callee: {:?}", callee.dismiss(Duration::from_secs(60)));
    }
    server.stop();
}
