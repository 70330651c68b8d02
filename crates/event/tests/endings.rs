//! A `tcp:` subscriber may end its connection at any moment and in any way: each event arrives at least once, whole, over
//! this connection or the next one, and the accounts add up.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use common::{Interface, PATIENCE, in_runtime, until};
use socket2::{SockFilter, SockRef};
use tocsin_event::{CourierOptions, Stream, StreamOptions};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// How a subscriber ends its connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// In order if it has read everything, else by a reset: the system decides.
    Close,
    /// By a reset.
    Reset,
    /// First both directions in order, whatever it has not read, and then the socket.
    ShutDown,
}

/// When the second batch of events is raised.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Raise {
    BeforeEnd,
    AfterEnd,
}

/// Events of a batch.
const BATCH: i64 = 4;

/// What events with numbers of four digits look like.
const TEXT: usize = r#"{"jsonrpc":"2.0","method":"E_ONE","params":{"n":1000}}"#.len();

#[expect(clippy::needless_pass_by_value, reason = "the connection ends with it")]
fn end(stream: TcpStream, how: End) {
    let socket = SockRef::from(&stream);
    match how {
        End::Close => {}
        End::Reset => socket.set_linger(Some(Duration::ZERO)).unwrap(),
        End::ShutDown => socket.shutdown(std::net::Shutdown::Both).unwrap(),
    }
}

/// The numbers of the events in `bytes`, which begin with a whole one; what is cut off at the end does not count.
fn numbers(bytes: &[u8]) -> Vec<i64> {
    bytes.chunks_exact(TEXT).map(common::number_of).collect()
}

struct Subscriber {
    interface: Interface,
    listener: TcpListener,
    raised: std::ops::Range<i64>,
}

impl Subscriber {
    async fn start() -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn at(listener: TcpListener) -> Self {
        let patience = PATIENCE;
        let stream = Stream::new(StreamOptions { patience, event_param: None, reliable: false });
        let interface = Interface::start_with(&["E_ONE"], CourierOptions::default(), Rc::new(stream));
        interface.subscribe("E_ONE", &format!("tcp:{}", listener.local_addr().unwrap()), None);
        Self { interface, listener, raised: 1000..1000 }
    }

    fn raise(&mut self, count: i64) {
        for number in self.raised.end..self.raised.end + count {
            self.interface.raise("E_ONE", number);
        }
        self.raised.end += count;
        self.account();
    }

    /// What became of the events, which must add up. Returns how many wait.
    fn account(&self) -> u64 {
        let account = self.interface.accounts()[0];
        assert_eq!(account.raised, (self.raised.end - 1000) as u64, "{account:?}");
        assert_eq!(
            account.raised,
            account.delivered + account.waiting,
            "none is dropped or lost: {account:?}"
        );
        account.waiting
    }

    async fn accept(&self) -> TcpStream {
        timeout(PATIENCE, self.listener.accept()).await.expect("the next connection").unwrap().0
    }

    /// Reads so many bytes.
    async fn read(&self, stream: &mut TcpStream, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        timeout(PATIENCE, stream.read_exact(&mut bytes)).await.expect("more bytes").unwrap();
        bytes
    }

    /// The numbers of all events up to the last one that was raised, however long they are.
    async fn read_events(&self, stream: &mut TcpStream) -> Vec<i64> {
        let last = format!("{{\"n\":{}}}}}", self.raised.end - 1);
        let (mut text, mut bytes) = (String::new(), vec![0; 1 << 20]);
        while !text.ends_with(&last) {
            let count = timeout(PATIENCE, stream.read(&mut bytes)).await.expect("more bytes").unwrap();
            text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
        text.split("{\"n\":").skip(1).map(|rest| rest.split_once('}').unwrap().0.parse().unwrap()).collect()
    }

    /// Reads until the last event that was raised.
    async fn read_all(&self, stream: &mut TcpStream) -> Vec<i64> {
        let mut seen = Vec::new();
        while seen.last() != Some(&(self.raised.end - 1)) {
            seen.extend(numbers(&self.read(stream, TEXT).await));
        }
        seen
    }
}

/// A listener whose system holds so many bytes for a connection, or as many as it may.
fn listener(buffer: u32) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(buffer).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket.listen(1).unwrap()
}

async fn end_at(
    subscriber: &mut Subscriber,
    mut stream: TcpStream,
    read: usize,
    how: End,
    raise: Raise,
) -> TcpStream {
    let first = subscriber.raised.end;
    subscriber.raise(BATCH);
    let mut seen = numbers(&subscriber.read(&mut stream, read).await);
    if raise == Raise::BeforeEnd {
        subscriber.raise(BATCH);
    }
    if how == End::ShutDown {
        // Or the reset might answer what is under way as well.
        until(|| subscriber.account() == 0).await;
    }
    end(stream, how);
    if raise == Raise::AfterEnd {
        subscriber.raise(BATCH);
    }
    let mut next = subscriber.accept().await;
    seen.extend(subscriber.read_all(&mut next).await);
    until(|| subscriber.account() == 0).await;
    let missing: Vec<_> = (first..subscriber.raised.end).filter(|number| !seen.contains(number)).collect();
    assert!(
        missing.is_empty(),
        "{how:?} after {read} bytes, {raise:?}: {missing:?} did not arrive, {seen:?} did"
    );
    next
}

#[test]
fn each_event_arrives_however_its_subscriber_ends_the_connection() {
    in_runtime(async {
        let mut subscriber = Subscriber::start().await;
        subscriber.raise(1);
        let mut stream = subscriber.accept().await;
        subscriber.read_all(&mut stream).await;
        let all = TEXT * BATCH as usize;
        for read in [0, 1, TEXT - 1, TEXT, TEXT + 1, 2 * TEXT, all - 1, all] {
            for how in [End::Close, End::Reset, End::ShutDown] {
                for raise in [Raise::BeforeEnd, Raise::AfterEnd] {
                    stream = end_at(&mut subscriber, stream, read, how, raise).await;
                }
            }
        }
    });
}

#[test]
fn a_subscriber_that_ends_each_connection_at_once_costs_no_event() {
    in_runtime(async {
        let mut subscriber = Subscriber::start().await;
        for how in [End::Close, End::Reset, End::ShutDown] {
            subscriber.raise(BATCH);
            // One less than a document is tried.
            for _ in 0..2 {
                end(subscriber.accept().await, how);
                subscriber.account();
            }
            let first = subscriber.raised.end - BATCH;
            let mut stream = subscriber.accept().await;
            let seen = subscriber.read_all(&mut stream).await;
            assert!((first..subscriber.raised.end).all(|number| seen.contains(&number)), "{how:?}: {seen:?}");
            until(|| subscriber.account() == 0).await;
            end(stream, End::Close);
        }
    });
}

/// How many bytes the courier's end of this connection has sent, or is to send, that were not acknowledged.
fn unacknowledged(stream: &TcpStream) -> usize {
    let SocketAddr::V4(courier) = stream.peer_addr().unwrap() else { panic!("127.0.0.1") };
    let address = format!(" {:08X}:{:04X} ", u32::from_ne_bytes(courier.ip().octets()), courier.port());
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    // The two ends, the state, and then the queue to be sent.
    let row = table.lines().find(|row| row.split_at(6).1.starts_with(address.trim_start())).unwrap();
    let queue = row.split_whitespace().nth(4).unwrap().split_once(':').unwrap().0;
    usize::from_str_radix(queue, 16).unwrap()
}

/// The reset that says "left unread" looks as the one that answers what is on its way to a subscriber that has read all: what
/// does not arrive is counted.
#[test]
fn what_is_left_unread_while_more_is_on_its_way_is_counted() {
    in_runtime(async {
        let mut subscriber = Subscriber::start().await;
        let mut seen = Vec::new();
        for read in [0, TEXT - 1, TEXT, 3 * TEXT] {
            for shut in [std::net::Shutdown::Both, std::net::Shutdown::Write] {
                subscriber.raise(BATCH);
                let mut stream = subscriber.accept().await;
                until(|| subscriber.account() == 0).await;
                seen.extend(numbers(&subscriber.read(&mut stream, read).await));
                silence(&stream);
                subscriber.raise(BATCH);
                until(|| unacknowledged(&stream) == TEXT * BATCH as usize).await;
                SockRef::from(&stream).shutdown(shut).unwrap();
                drop(stream);
                let mut next = subscriber.accept().await;
                seen.extend(subscriber.read_all(&mut next).await);
                until(|| subscriber.account() == 0).await;
                end(next, End::Close);
            }
        }
        let missing = (1000..subscriber.raised.end).filter(|number| !seen.contains(number)).count() as u64;
        let unconfirmed = subscriber.interface.counts().unconfirmed;
        // Four are acknowledged each time, of which it has perhaps read some.
        assert_eq!((missing, unconfirmed), (2 * (4 + 4 + 3 + 1), 8 * BATCH as u64));
    });
}

/// A subscriber that does not keep up: its system has no room, so nothing is on its way.
#[test]
fn what_is_left_unread_while_more_waits_goes_again() {
    const MANY: i64 = 3000;
    in_runtime(async {
        let mut subscriber = Subscriber::at(listener(16 << 10));
        for shut in [std::net::Shutdown::Both, std::net::Shutdown::Write] {
            let first = subscriber.raised.end;
            subscriber.raise(MANY);
            let stream = subscriber.accept().await;
            // Its system has taken what it has room for, and the courier's has the rest.
            until(|| subscriber.account() < MANY as u64 && unacknowledged(&stream) > 0).await;
            SockRef::from(&stream).shutdown(shut).unwrap();
            drop(stream);
            let mut next = subscriber.accept().await;
            let seen = subscriber.read_all(&mut next).await;
            assert!((first..subscriber.raised.end).eq(seen), "{shut:?}");
            until(|| subscriber.account() == 0).await;
            assert_eq!(subscriber.interface.counts().unconfirmed, 0);
            end(next, End::Close);
        }
    });
}

/// A subscriber that was quick, then read nothing, and then is killed: its system may hold more than is kept for this case.
/// How much it holds is its own choice, so this is tried until it does.
#[test]
fn what_is_left_unread_beyond_what_is_kept_is_counted() {
    const TRIES: usize = 10;
    in_runtime(async {
        for _ in 0..TRIES {
            let (missing, unconfirmed) = quick_then_killed().await;
            assert!(missing <= unconfirmed, "{missing} are missing, {unconfirmed} are counted");
            if missing > 0 {
                return;
            }
        }
        panic!("the system never held more than is kept");
    });
}

/// How many events such a subscriber misses, and how many of them are counted.
async fn quick_then_killed() -> (u64, u64) {
    const QUICK: i64 = 60_000;
    const STALLED: i64 = 60_000;
    let mut subscriber = Subscriber::at(listener(512 << 10));
    let mut seen = std::collections::HashSet::new();
    subscriber.raise(1);
    let mut stream = subscriber.accept().await;
    seen.extend(subscriber.read_events(&mut stream).await);
    for _ in 0..QUICK / 1000 {
        subscriber.raise(1000);
        seen.extend(subscriber.read_events(&mut stream).await);
    }
    for _ in 0..STALLED / 1000 {
        subscriber.raise(1000);
        tokio::task::yield_now().await;
    }
    // Its system is full.
    until(|| subscriber.account() < STALLED as u64 && unacknowledged(&stream) > 100_000).await;
    end(stream, End::Close);
    let mut next = subscriber.accept().await;
    seen.extend(subscriber.read_events(&mut next).await);
    until(|| subscriber.account() == 0).await;
    let missing = subscriber.raised.clone().filter(|number| !seen.contains(number)).count() as u64;
    (missing, subscriber.interface.counts().unconfirmed)
}

/// Lets the system of this end drop what comes, as if its host had lost power.
fn silence(stream: &TcpStream) {
    // The classic program `ret #0`: no byte of a packet is kept.
    let nothing = SockFilter::new(0x06, 0, 0, 0);
    SockRef::from(stream).attach_filter(&[nothing]).unwrap();
}

#[test]
fn a_subscriber_whose_host_is_silent_is_noticed() {
    in_runtime(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options =
            StreamOptions { patience: Duration::from_millis(100), event_param: None, reliable: false };
        let interface =
            Interface::start_with(&["E_ONE"], CourierOptions::default(), Rc::new(Stream::new(options)));
        interface.subscribe("E_ONE", &format!("tcp:{}", listener.local_addr().unwrap()), None);
        interface.raise("E_ONE", 1000);
        let (mut first, _) = listener.accept().await.unwrap();
        first.read_exact(&mut [0; TEXT]).await.unwrap();
        silence(&first);
        interface.raise("E_ONE", 1001);
        let (mut second, _) = timeout(PATIENCE, listener.accept()).await.expect("it is noticed").unwrap();
        let mut bytes = vec![0; 2 * TEXT];
        second.read_exact(&mut bytes).await.unwrap();
        assert_eq!(numbers(&bytes), [1000, 1001], "as after a reset");
        until(|| interface.accounts()[0].delivered == 2).await;
    });
}
