//! From a raise to a subscriber's socket, with a courier, a log in shared memory and real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io;
use std::rc::Rc;

use common::{Interface, PATIENCE, in_runtime, number_of, until};
use tocsin_event::{
    Address, AddressError, CourierOptions, Datagram, Endpoint, Outlet, Raised, Receipts, SubscriptionCounts,
    Transport,
};
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::time::timeout;

async fn udp_reader() -> (UdpSocket, String) {
    let reader = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let socket = format!("udp:{}", reader.local_addr().unwrap());
    (reader, socket)
}

async fn read_udp(reader: &UdpSocket) -> Vec<u8> {
    let mut bytes = vec![0; 70_000];
    let length = timeout(PATIENCE, reader.recv(&mut bytes)).await.unwrap().unwrap();
    bytes.truncate(length);
    bytes
}

#[test]
fn nobody_is_subscribed() {
    in_runtime(async {
        let interface = Interface::start(&["E_ONE"]);
        let raised =
            interface.events.raise(interface.id("E_ONE"), |_| panic!("parameters written for nobody"));
        assert_eq!((raised, interface.events.counts().raised), (Raised::Unheard, 0));
    });
}

#[test]
fn the_next_event_after_subscribing_is_the_first_delivered() {
    in_runtime(async {
        let interface = Interface::start(&["E_ONE", "E_TWO"]);
        let (early, early_socket) = udp_reader().await;
        let (late, late_socket) = udp_reader().await;
        interface.subscribe("E_ONE", &early_socket, None);
        interface.raise("E_ONE", 1);
        interface.subscribe("E_ONE", &late_socket, None);
        assert_eq!(interface.raise("E_TWO", 0), Raised::Unheard);
        interface.raise("E_ONE", 2);
        assert_eq!(read_udp(&early).await, br#"{"jsonrpc":"2.0","method":"E_ONE","params":{"n":1}}"#);
        assert_eq!(number_of(&read_udp(&early).await), 2);
        assert_eq!(number_of(&read_udp(&late).await), 2);
    });
}

#[test]
fn a_burst_of_20_000_reaches_every_reader_in_order() {
    in_runtime(async {
        let interface = Interface::start(&["E_ONE"]);
        let (udp, udp_socket) = udp_reader().await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ev.sock");
        let unix = UnixDatagram::bind(&path).unwrap();
        interface.subscribe("E_ONE", &udp_socket, None);
        interface.subscribe("E_ONE", &format!("unix:{}", path.display()), None);
        for n in 0..20_000 {
            assert_eq!(interface.raise("E_ONE", n), Raised::Logged(n as u64));
        }
        let unix_reading = tokio::task::spawn_local(async move {
            let mut bytes = [0; 1000];
            for n in 0..20_000 {
                let length = timeout(PATIENCE, unix.recv(&mut bytes)).await.unwrap().unwrap();
                assert_eq!(number_of(&bytes[..length]), n);
            }
        });
        for n in 0..20_000 {
            assert_eq!(number_of(&read_udp(&udp).await), n);
        }
        unix_reading.await.unwrap();
        until(|| interface.events.counts().delivered == 40_000).await;
        let all = SubscriptionCounts { raised: 20_000, delivered: 20_000, ..SubscriptionCounts::default() };
        assert_eq!(interface.accounts(), [all, all]);
    });
}

#[test]
fn a_subscriber_that_does_not_read_holds_up_no_other() {
    in_runtime(async {
        let options = CourierOptions { queue_events: 100, ..CourierOptions::default() };
        let interface = Interface::start_with(&["E_ONE"], options, Rc::new(Datagram::default()));
        let folder = tempfile::tempdir().unwrap();
        let (deaf, absent) = (folder.path().join("deaf.sock"), folder.path().join("absent.sock"));
        let _deaf = UnixDatagram::bind(&deaf).unwrap();
        let (reader, socket) = udp_reader().await;
        for socket in [format!("unix:{}", deaf.display()), format!("unix:{}", absent.display()), socket] {
            interface.subscribe("E_ONE", &socket, None);
        }
        for n in 0..1000 {
            interface.raise("E_ONE", n);
            assert_eq!(number_of(&read_udp(&reader).await), n);
        }
        until(|| interface.accounts()[0].delivered == 1000).await;
        // In the order of listing: the reader, the absent one, the deaf one.
        let list = interface.accounts();
        assert_eq!((list[0].dropped, list[0].waiting), (0, 0));
        assert_eq!((list[1].delivered, list[1].dropped), (0, 1000));
        assert_eq!(list[2].waiting, 100, "{list:?}");
        assert!(list[2].dropped > 700 && list[2].dropped < 900, "{list:?}");
        assert!(list.iter().all(|one| one.raised == 1000), "{list:?}");
    });
}

#[test]
fn an_event_for_two_subscriptions_of_one_socket_keeps_the_order() {
    in_runtime(async {
        let interface = Interface::start(&["E_ONE", "E_TWO"]);
        let (reader, socket) = udp_reader().await;
        interface.subscribe("E_ONE", &socket, None);
        interface.subscribe("E_TWO", &socket, Some(60));
        for n in 0..100 {
            interface.raise(if n % 3 == 0 { "E_ONE" } else { "E_TWO" }, n);
        }
        for n in 0..100 {
            assert_eq!(number_of(&read_udp(&reader).await), n);
        }
    });
}

#[test]
fn expire_zero_gets_the_events_of_its_second_and_is_gone_after() {
    in_runtime(async {
        let interface = Interface::start(&["E_ONE"]);
        let (reader, socket) = udp_reader().await;
        interface.subscribe("E_ONE", &socket, Some(0));
        interface.raise("E_ONE", 1);
        assert_eq!(number_of(&read_udp(&reader).await), 1);
        until(|| !interface.events.is_wanted(interface.id("E_ONE"))).await;
        assert_eq!(interface.raise("E_ONE", 2), Raised::Unheard);
        assert_eq!(interface.events.subscriptions().list(0), []);
    });
}

#[test]
fn a_courier_that_died_is_followed_by_one_that_goes_on() {
    in_runtime(async {
        let mut interface = Interface::start(&["E_ONE"]);
        let (reader, socket) = udp_reader().await;
        interface.subscribe("E_ONE", &socket, None);
        interface.raise("E_ONE", 1);
        assert_eq!(number_of(&read_udp(&reader).await), 1);
        until(|| interface.events.counts().delivered == 1).await;
        interface.kill_courier().await;
        interface.raise("E_ONE", 2);
        interface.raise("E_ONE", 3);
        interface.restart_courier();
        // What the first one sent was noted before it died.
        assert_eq!(number_of(&read_udp(&reader).await), 2);
        assert_eq!(number_of(&read_udp(&reader).await), 3);
    });
}

#[test]
fn an_event_of_60_000_bytes_is_one_datagram() {
    in_runtime(async {
        let interface = Interface::start(&["E_ONE"]);
        let (reader, socket) = udp_reader().await;
        interface.subscribe("E_ONE", &socket, None);
        let id = interface.id("E_ONE");
        interface.events.raise(id, |params| {
            params.text("body", [b'H'; 60_000]);
        });
        assert_eq!(read_udp(&reader).await.len(), 60_055);
        let raised = interface.events.raise(id, |params| {
            params.text("body", [b'H'; 65_000]);
        });
        assert_eq!((raised, interface.events.counts().too_large), (Raised::TooLarge, 1));
    });
}

#[test]
fn an_event_raised_while_another_is_written() {
    in_runtime(async {
        let interface = Interface::start(&["E_ONE", "E_TWO"]);
        let (reader, socket) = udp_reader().await;
        interface.subscribe("E_ONE", &socket, None);
        interface.subscribe("E_TWO", &socket, None);
        interface.events.raise(interface.id("E_ONE"), |params| {
            interface.raise("E_TWO", 1);
            params.int("n", 2);
        });
        assert_eq!(number_of(&read_udp(&reader).await), 1);
        assert_eq!(number_of(&read_udp(&reader).await), 2);
    });
}

/// A transport that cannot be opened.
struct Broken;

impl Transport for Broken {
    fn schemes(&self) -> &[&'static str] {
        &["broken"]
    }

    fn parse(&self, scheme: &'static str, address: &str) -> Result<Address, AddressError> {
        Ok(Address::new(scheme, address, Endpoint::Text))
    }

    fn open(&self, _: &Address, _: Rc<dyn Receipts>) -> io::Result<Box<dyn Outlet>> {
        Err(io::ErrorKind::AddrNotAvailable.into())
    }
}

#[test]
fn what_cannot_be_opened_is_counted() {
    in_runtime(async {
        let interface = Interface::start_with(&["E_ONE"], CourierOptions::default(), Rc::new(Broken));
        interface.subscribe("E_ONE", "broken:x", None);
        for n in 0..10 {
            interface.raise("E_ONE", n);
        }
        until(|| interface.events.counts().dropped == 10).await;
    });
}

#[test]
fn what_was_overwritten_while_no_courier_ran_is_counted_as_lost() {
    in_runtime(async {
        let mut interface = Interface::start(&["E_ONE"]);
        let (_reader, socket) = udp_reader().await;
        interface.subscribe("E_ONE", &socket, None);
        interface.kill_courier().await;
        let long = vec![b'x'; 60_000];
        for _ in 0..1000 {
            interface.events.raise(interface.id("E_ONE"), |params| {
                params.text("long", &long);
            });
        }
        interface.restart_courier();
        until(|| interface.events.counts().lost > 0).await;
        let lost = interface.events.counts().lost;
        until(|| {
            let one = interface.accounts()[0];
            assert_eq!(one.raised, 1000);
            one.delivered + one.dropped + lost == 1000
        })
        .await;
    });
}
