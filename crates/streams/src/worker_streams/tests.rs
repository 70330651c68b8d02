//! Connections over real sockets, with a fake process around them. What can be said in virtual time is in
//! [`crate::machine`]; here its steps meet the kernel, the row and the mailboxes.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};
use tocsin_event::{EventOptions, Events};
use tocsin_net::connections::{Claim, ConnectionId, OwnerId, TlsIdentity, marks};
use tocsin_net::{MAX_MAILBOX_MESSAGE_BYTES, Protocol, stream};
use tocsin_shm::{Arena, ArenaOptions, ProcessTable};
use tocsin_telemetry::statistics::Statistics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::WorkerStreams;
use crate::control::ControlMessage;
use crate::flow::{BranchRef, Envelope, Flow, Received};
use crate::keyed_hash::KeyedHash;
use crate::network::Network;
use crate::owner::Owner;
use crate::shared::SharedConnections;
use crate::sockets::{Endpoint, Listener, SocketId, Sockets};

/// A process that notes what its connections do, and answers each message with its first line.
struct FakeOwner {
    /// The connection over which it answers; none: the one that the message came by.
    answers_over: Cell<ConnectionId>,
    me: OwnerId,
    streams: OnceCell<WorkerStreams>,
    served: RefCell<Vec<String>>,
    left: RefCell<Vec<u64>>,
    not_sent: RefCell<Vec<u64>>,
    numbers: Cell<u64>,
}

impl FakeOwner {
    /// The TCP worker `index` of `network`, in its generation `generation`.
    fn start(network: &'static Network, index: u16, generation: u32) -> &'static Self {
        let owner = Box::leak(Box::new(Self {
            answers_over: Cell::new(ConnectionId::NONE),
            me: OwnerId { index, generation },
            streams: OnceCell::new(),
            served: RefCell::default(),
            left: RefCell::default(),
            not_sent: RefCell::default(),
            numbers: Cell::new(0),
        }));
        let owner: &'static Self = owner;
        owner.streams.get_or_init(|| WorkerStreams::new(network, owner, Some(owner.me)));
        owner
    }

    fn streams(&self) -> &WorkerStreams {
        self.streams.get().unwrap()
    }

    /// Takes over the connection `id`, which was `from`'s.
    fn adopt(&'static self, id: ConnectionId, from: OwnerId, stream: OwnedFd) {
        self.streams.get().unwrap().adopt(id, from, stream);
    }

    /// Sends `message` of the transaction to `peer`.
    fn send(&'static self, peer: SocketAddr, message: &str, transaction: u64) {
        let branch_ref = Some(BranchRef { transaction, branch: 0 });
        let envelope = Envelope { branch_ref, ..Envelope::from(Flow::new(SocketId(0), peer)) };
        self.streams.get().unwrap().send(&envelope, message.as_bytes().to_vec());
        Owner::flush(self);
    }
}

impl Owner for FakeOwner {
    fn received(&'static self, message: Vec<u8>, from: Received) {
        let text = String::from_utf8(message).unwrap();
        let line = text.lines().next().unwrap().to_owned();
        let answer = format!("{line}\r\n");
        self.served.borrow_mut().push(line);
        let mut flow = from.flow();
        if self.answers_over.get().is_some() {
            flow.connection = self.answers_over.get();
        }
        self.streams.get().unwrap().send(&flow.into(), answer.into_bytes());
    }

    fn not_sent(&'static self, branch_ref: BranchRef) {
        self.not_sent.borrow_mut().push(branch_ref.transaction);
    }

    fn note_left(&'static self, branch_ref: BranchRef) {
        self.left.borrow_mut().push(branch_ref.transaction);
    }

    fn has_left(&'static self, branch_ref: BranchRef) -> bool {
        self.left.borrow().contains(&branch_ref.transaction)
    }

    fn flush(&'static self) {
        self.streams().flush();
    }

    fn flush_datagrams(&'static self) {}

    fn safe_point(&'static self) {}

    fn lend_buffer(&'static self) -> Vec<u8> {
        Vec::with_capacity(64 * 1024)
    }

    fn recycle(&'static self, _buffer: Vec<u8>) {}

    fn unique(&'static self) -> u64 {
        self.numbers.replace(self.numbers.get() + 1)
    }

    fn spawn(&'static self, task: Pin<Box<dyn Future<Output = ()>>>) {
        tokio::task::spawn_local(task);
    }
}

/// A network with one TCP listener, and two TCP workers.
fn network() -> &'static Network {
    const ARENA: u64 = 64 << 20;
    const SLOTS: u16 = 4;
    let arena = Arena::create(&ArenaOptions { bytes: ARENA, boot_bytes: 16 << 20 }).unwrap();
    let wake_fd = EventFd::from_flags(EfdFlags::EFD_NONBLOCK).unwrap();
    let mut statistics = Statistics::default();
    let shared = SharedConnections::create(arena, 64, 2, &mut statistics).unwrap();
    statistics.share(arena, SLOTS).unwrap();
    let listener = stream::listen("127.0.0.1:0".parse().unwrap(), 10).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = Listener {
        id: SocketId(0),
        protocol: Protocol::Tcp,
        address,
        advertised: (address.ip().to_string(), address.port()),
        name: format!("tcp:{address}"),
        tag: None,
        workers: 0,
        profile: None,
        endpoint: Endpoint::Stream(listener),
        via_prefix: Vec::new(),
    };
    let network = Network {
        sockets: Sockets::new(vec![listener], vec![]),
        shared,
        security: None,
        options: Default::default(),
        paths: None,
        tcp: Default::default(),
        limits: Default::default(),
        table: ProcessTable::create(arena, SLOTS).unwrap(),
        statistics: Rc::new(statistics),
        events: Events::create(arena, &EventOptions::for_arena(ARENA, SLOTS), wake_fd.into()).unwrap(),
        hash: KeyedHash::of(arena),
        ending: &arena.boot_array(1, |_| AtomicU32::new(0)).unwrap()[0],
    };
    Box::leak(Box::new(network))
}

/// Runs a test; the tasks of each worker are in a set of their own, which ends with the worker.
fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// Lets the tasks run until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it never came");
}

/// A client, the row that TCP main claimed for `owner`, and what TCP main accepted.
async fn accept(network: &'static Network, owner: OwnerId) -> (TcpStream, ConnectionId, OwnedFd) {
    let listener = &network.sockets.all()[0];
    let client = TcpStream::connect(listener.address).await.unwrap();
    let accepting = listener.stream().unwrap();
    let (stream, remote) = loop {
        match accepting.accept() {
            Ok(accepted) => break accepted,
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    };
    let claim = Claim {
        protocol: Protocol::Tcp,
        remote,
        local: listener.address,
        listener: 0,
        marks: marks::OPEN | marks::MOVABLE,
        idle_until: 0,
        tls_identity: TlsIdentity::NONE,
    };
    let connections = &network.shared.connections;
    let id = connections.claim(owner, &claim).unwrap();
    connections.lead(id);
    (client, id, stream.into())
}

fn options(n: usize) -> String {
    format!("OPTIONS sip:{n} SIP/2.0\r\nContent-Length: 0\r\n\r\n")
}

/// The first lines of the messages `numbers`.
fn lines(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|n| format!("OPTIONS sip:{n} SIP/2.0")).collect()
}

/// The answers to the messages `numbers`, read by the client.
async fn expect(client: &mut TcpStream, numbers: std::ops::Range<usize>) {
    let expected: String = lines(numbers).iter().map(|line| format!("{line}\r\n")).collect();
    let mut bytes = vec![0; expected.len()];
    let read = tokio::time::timeout(Duration::from_secs(20), client.read_exact(&mut bytes));
    read.await.expect("no answer").unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

/// The next message in the mailbox of TCP main, by its name, and what is enclosed.
fn at_main(network: &Network) -> Option<(&'static str, ConnectionId, Option<OwnedFd>)> {
    let mut buffer = vec![0; MAX_MAILBOX_MESSAGE_BYTES];
    let message = network.shared.main.take(&mut buffer).unwrap()?;
    let (name, id) = match ControlMessage::read(&buffer[..message.length]).unwrap() {
        ControlMessage::Opened { id } => ("opened", id),
        ControlMessage::Ended { id } => ("ended", id),
        ControlMessage::Released { id } => ("released", id),
        other => panic!("{other:?}"),
    };
    Some((name, id, message.enclosed))
}

#[test]
fn a_message_is_served_answered_and_taken_out_of_the_kernel() {
    run(async {
        let network = network();
        let worker = FakeOwner::start(network, 0, 1);
        let (mut client, id, stream) = accept(network, worker.me).await;
        let duplicate = stream.try_clone().unwrap();
        let tasks = LocalSet::new();
        let served = async {
            worker.adopt(id, worker.me, stream);
            client.write_all((options(0) + &options(1) + &options(2)[..9]).as_bytes()).await.unwrap();
            expect(&mut client, 0..2).await;
        };
        tasks.run_until(served).await;
        assert_eq!(*worker.served.borrow(), lines(0..2));
        let taken = 2 * options(0).len();
        assert_eq!(stream::consumed(&duplicate), Some(taken as u64), "half a message stays queued");
        assert_ne!(network.shared.connections.view(id).unwrap().marks & marks::MOVABLE, 0);
    });
}

#[test]
fn a_successor_goes_on_with_the_half_that_a_dead_worker_left() {
    run(async {
        let network = network();
        let (dead, successor) = (FakeOwner::start(network, 0, 1), FakeOwner::start(network, 0, 2));
        let (mut client, id, stream) = accept(network, dead.me).await;
        let duplicate = stream.try_clone().unwrap();
        let tasks = LocalSet::new();
        let served = async {
            dead.adopt(id, dead.me, stream);
            client.write_all((options(0) + &options(1)[..9]).as_bytes()).await.unwrap();
            expect(&mut client, 0..1).await;
        };
        tasks.run_until(served).await;
        drop(tasks);
        let served = async {
            successor.adopt(id, dead.me, duplicate);
            client.write_all(&options(1).as_bytes()[9..]).await.unwrap();
            expect(&mut client, 1..2).await;
        };
        LocalSet::new().run_until(served).await;
        assert_eq!(
            (dead.served.borrow().clone(), successor.served.borrow().clone()),
            (lines(0..1), lines(1..2))
        );
    });
}

#[test]
fn what_a_dead_worker_has_served_and_not_taken_is_skipped() {
    run(async {
        let network = network();
        let (dead, successor) = (FakeOwner::start(network, 0, 1), FakeOwner::start(network, 0, 2));
        let (mut client, id, stream) = accept(network, dead.me).await;
        client.write_all((options(0) + &options(1)).as_bytes()).await.unwrap();
        network.shared.connections.own(id).unwrap().serves(options(0).len());
        let served = async {
            successor.adopt(id, dead.me, stream);
            expect(&mut client, 1..2).await;
        };
        LocalSet::new().run_until(served).await;
        assert_eq!(*successor.served.borrow(), lines(1..2));
    });
}

#[test]
fn a_worker_that_leaves_gives_its_connection_to_another_one() {
    run(async {
        let network = network();
        let (one, other) = (FakeOwner::start(network, 0, 1), FakeOwner::start(network, 1, 1));
        let (mut client, id, stream) = accept(network, one.me).await;
        let moved = async {
            one.adopt(id, one.me, stream);
            client.write_all(options(0).as_bytes()).await.unwrap();
            expect(&mut client, 0..1).await;
            one.streams().let_go();
            until(|| one.streams().is_empty()).await;
            let (name, released, enclosed) = at_main(network).unwrap();
            assert_eq!((name, released), ("released", id));
            other.adopt(id, one.me, enclosed.unwrap());
            client.write_all(options(1).as_bytes()).await.unwrap();
            expect(&mut client, 1..2).await;
        };
        LocalSet::new().run_until(moved).await;
        assert_eq!(*other.served.borrow(), lines(1..2));
        assert_eq!(network.shared.connections.view(id).unwrap().owner, other.me);
    });
}

#[test]
fn the_end_of_a_connection_is_reported_and_its_row_is_free() {
    run(async {
        let network = network();
        let worker = FakeOwner::start(network, 0, 1);
        let (client, id, stream) = accept(network, worker.me).await;
        let ended = async {
            worker.adopt(id, worker.me, stream);
            drop(client);
            until(|| worker.streams().is_empty()).await;
        };
        LocalSet::new().run_until(ended).await;
        assert!(network.shared.connections.view(id).is_none());
        assert!(matches!(at_main(network), Some(("ended", ended, None)) if ended == id));
        assert!(at_main(network).is_none(), "once");
    });
}

#[test]
fn what_the_last_message_of_a_connection_leads_to_leaves_at_once() {
    run(async {
        let network = network();
        let worker = FakeOwner::start(network, 0, 1);
        let (mut last, last_id, last_stream) = accept(network, worker.me).await;
        let (mut other, other_id, other_stream) = accept(network, worker.me).await;
        worker.answers_over.set(other_id);
        // So long that it is taken out of the kernel before it is whole; the end of the stream is there with it.
        let message = format!("OPTIONS sip:0 SIP/2.0\r\nContent-Length: 40000\r\n\r\n{}", "x".repeat(40_000));
        last.write_all(&message.as_bytes()[..20_000]).await.unwrap();
        let served = async {
            worker.adopt(other_id, worker.me, other_stream);
            worker.adopt(last_id, worker.me, last_stream.try_clone().unwrap());
            until(|| stream::consumed(&last_stream) == Some(20_000)).await;
            last.write_all(&message.as_bytes()[20_000..]).await.unwrap();
            drop(last);
            expect(&mut other, 0..1).await;
        };
        LocalSet::new().run_until(served).await;
    });
}

#[test]
fn a_connection_is_opened_for_a_message_or_its_branch_hears_why_not() {
    run(async {
        let network = network();
        let worker = FakeOwner::start(network, 0, 1);
        let there = stream::listen("127.0.0.1:0".parse().unwrap(), 10).unwrap();
        let nowhere = {
            let closed = stream::listen("127.0.0.1:0".parse().unwrap(), 10).unwrap();
            closed.local_addr().unwrap()
        };
        let sent = async {
            worker.send(there.local_addr().unwrap(), &options(1), 1);
            worker.send(nowhere, &options(2), 2);
            until(|| !worker.left.borrow().is_empty() && !worker.not_sent.borrow().is_empty()).await;
        };
        LocalSet::new().run_until(sent).await;
        assert_eq!((worker.left.borrow().clone(), worker.not_sent.borrow().clone()), (vec![1], vec![2]));
        let (accepted, _) = there.accept().unwrap();
        let mut bytes = Vec::with_capacity(1000);
        assert!(stream::read(&accepted, &mut bytes).unwrap());
        assert_eq!(bytes, options(1).as_bytes());
    });
}
