//! An Event Interface in a fresh arena, with a courier on the test's runtime.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use tocsin_event::{
    Courier, CourierOptions, Datagram, EventCounts, EventId, EventOptions, Events, ParamsWriter, Raised,
    SubscriptionCounts, Transport, Transports,
};
use tocsin_shm::{Arena, ArenaOptions};
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::timeout;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn in_runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(LocalSet::new().run_until(test));
}

pub struct Interface {
    pub events: Events,
    pub transports: Transports,
    wake: UnixStream,
    courier: JoinHandle<()>,
}

impl Interface {
    /// With a courier that runs, and `names` published.
    pub fn start(names: &[&str]) -> Self {
        Self::start_with(names, CourierOptions::default(), Rc::new(Datagram::default()))
    }

    pub fn start_with(names: &[&str], options: CourierOptions, transport: Rc<dyn Transport>) -> Self {
        let bytes = 512 << 20;
        let arena = Arena::create(&ArenaOptions { bytes, boot_bytes: 64 << 20 }).unwrap();
        let (wake_fd, wake) = UnixStream::pair().unwrap();
        wake_fd.set_nonblocking(true).unwrap();
        wake.set_nonblocking(true).unwrap();
        let events = Events::create(arena, &EventOptions::for_arena(bytes, 8), wake_fd.into()).unwrap();
        for name in names {
            events.registry().publish(name.as_bytes()).unwrap();
        }
        events.registry().publish_last().unwrap();
        let transports = Transports::new();
        transports.add(transport);
        let courier = run(events, &transports, &wake, options);
        Self { events, transports, wake, courier }
    }

    /// Ends the courier and the tasks that it began, as if its process had died.
    pub async fn kill_courier(&self) {
        self.courier.abort();
        while !self.courier.is_finished() {
            tokio::task::yield_now().await;
        }
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }

    /// Starts another courier.
    pub fn restart_courier(&mut self) {
        self.restart_courier_with(CourierOptions::default());
    }

    pub fn restart_courier_with(&mut self, options: CourierOptions) {
        self.courier = run(self.events, &self.transports, &self.wake, options);
    }

    pub fn id(&self, name: &str) -> EventId {
        self.events.registry().find(name.as_bytes()).unwrap()
    }

    pub fn subscribe(&self, name: &str, socket: &str, expire: Option<u32>) {
        let address = self.transports.parse(socket.as_bytes()).unwrap();
        self.events.subscribe(self.id(name), &address, expire).unwrap();
    }

    /// The accounts of the subscriptions, the newest first.
    pub fn accounts(&self) -> Vec<SubscriptionCounts> {
        let list = self.events.subscriptions().list(0);
        list.iter().map(|subscription| self.events.counts_of(subscription)).collect()
    }

    /// The account of everything, which must add up.
    pub fn counts(&self) -> EventCounts {
        let counts = self.events.counts();
        assert_eq!(
            counts.due,
            counts.delivered + counts.dropped + counts.lost + counts.waiting,
            "{counts:?}"
        );
        counts
    }

    /// Raises an event with its number for a parameter.
    pub fn raise(&self, name: &str, number: i64) -> Raised {
        self.events.raise(self.id(name), |params: &mut ParamsWriter<'_>| {
            params.int("n", number);
        })
    }
}

fn run(
    events: Events,
    transports: &Transports,
    wake: &UnixStream,
    options: CourierOptions,
) -> JoinHandle<()> {
    let wake = wake.try_clone().unwrap().into();
    tokio::task::spawn_local(Courier::new(events, transports.clone(), wake, options).unwrap().run())
}

/// Waits for what must come, by looking again and again.
pub async fn until(mut condition: impl FnMut() -> bool) {
    let looking = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap();
}

/// The parameter of an event raised by [`Interface::raise`].
pub fn number_of(datagram: &[u8]) -> i64 {
    let event = tocsin_json::parse(datagram, tocsin_json::Limits::default()).unwrap();
    event.member("params").unwrap().member("n").unwrap().as_integer().unwrap()
}
