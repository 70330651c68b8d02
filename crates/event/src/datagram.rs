//! The datagram transport: `udp:host:port` and `unix:path`, one JSON text a datagram.
//!
//! A UDP subscriber is paced ([`crate::pace`]). A UNIX one has back-pressure: when its queue is full the outlet waits
//! until it reads, while its events queue up to the courier's limit.

use std::cell::{OnceCell, RefCell};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::net::{UdpSocket, UnixDatagram};
use tokio::time::Instant;

use crate::address::{Address, AddressError, Endpoint};
use crate::pace::{BYTES_PER_MS, Pacer};
use crate::transport::{Event, Outlet, Receipts, Sending, Transport};

/// How many bytes the path of a UNIX socket may have: all of `sun_path`.
const MAX_PATH_BYTES: usize = 108;

/// How many datagrams are sent before others have their turn.
const TURN: usize = 64;

/// Delivers to `udp:` and `unix:` sockets.
#[derive(Debug)]
pub struct Datagram {
    /// Bytes of its buffer that a UDP subscriber is taken to read in a millisecond.
    rate: u64,
    /// The one UDP socket that all `udp:` subscribers are sent from; opened in the courier.
    socket: OnceCell<Rc<UdpSocket>>,
}

impl Transport for Datagram {
    fn schemes(&self) -> &[&'static str] {
        &["udp", "unix"]
    }

    fn parse(&self, scheme: &'static str, address: &str) -> Result<Address, AddressError> {
        if scheme == "unix" { parse_path(scheme, address) } else { parse_host_port(scheme, address) }
    }

    fn open(&self, address: &Address, receipts: Rc<dyn Receipts>) -> io::Result<Box<dyn Outlet>> {
        match &address.endpoint {
            Endpoint::Socket(to) => {
                let pacer = Pacer::new(self.rate, Instant::now());
                Ok(Box::new(UdpOutlet { socket: self.udp_socket()?, to: *to, pacer, receipts }))
            }
            Endpoint::Path(path) => {
                Ok(Box::new(UnixOutlet { path: path.clone(), socket: RefCell::new(None), receipts }))
            }
            Endpoint::Name { .. } | Endpoint::Several(_) | Endpoint::Text => {
                Err(io::Error::new(ErrorKind::InvalidInput, "host not resolved"))
            }
        }
    }
}

impl Default for Datagram {
    fn default() -> Self {
        Self::at_rate(BYTES_PER_MS)
    }
}

impl Datagram {
    /// A transport that takes UDP subscribers to read so many bytes of their buffer in a millisecond ([`crate::pace`]).
    pub fn at_rate(bytes_per_ms: u64) -> Self {
        Self { rate: bytes_per_ms, socket: OnceCell::new() }
    }

    fn udp_socket(&self) -> io::Result<Rc<UdpSocket>> {
        if let Some(socket) = self.socket.get() {
            return Ok(Rc::clone(socket));
        }
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_nonblocking(true)?;
        let socket = Rc::new(UdpSocket::from_std(socket)?);
        Ok(Rc::clone(self.socket.get_or_init(|| socket)))
    }
}

/// Reads `host:port` with an IPv4 address or a host name.
///
/// # Errors
/// The host or the port is missing or malformed; a port beyond 65535 is refused.
pub fn parse_host_port(scheme: &'static str, address: &str) -> Result<Address, AddressError> {
    let (host, port) = address.rsplit_once(':').ok_or_else(|| AddressError::Port(address.into()))?;
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|&port: &u16| digits && port != 0);
    let port = port.ok_or_else(|| AddressError::Port(address.into()))?;
    let endpoint = match host.parse() {
        Ok(ip) => Endpoint::Socket(SocketAddr::new(IpAddr::V4(ip), port)),
        Err(_) if host.eq_ignore_ascii_case("localhost") => {
            Endpoint::Socket(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
        }
        Err(_) if is_host_name(host) => Endpoint::Name { host: host.into(), port },
        Err(_) => return Err(AddressError::Host(address.into())),
    };
    Ok(Address::new(scheme, &format!("{host}:{port}"), endpoint))
}

fn is_host_name(host: &str) -> bool {
    let fits = (1..=253).contains(&host.len()) && !host.starts_with(['-', '.']);
    // What is all digits and dots but no IPv4 address is a slip, not a name.
    let letters = host.bytes().any(|byte| byte.is_ascii_alphabetic());
    fits && letters && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

fn parse_path(scheme: &'static str, path: &str) -> Result<Address, AddressError> {
    if path.is_empty() || path.len() > MAX_PATH_BYTES || path.contains('\0') {
        return Err(AddressError::Path);
    }
    Ok(Address::new(scheme, path, Endpoint::Path(PathBuf::from(path))))
}

struct UdpOutlet {
    socket: Rc<UdpSocket>,
    to: SocketAddr,
    pacer: Pacer,
    receipts: Rc<dyn Receipts>,
}

impl Outlet for UdpOutlet {
    fn send<'a>(&'a mut self, events: &'a [Rc<Event>]) -> Sending<'a> {
        Box::pin(async move {
            for (n, event) in events.iter().enumerate() {
                if n % TURN == TURN - 1 {
                    // However long this takes, what was sent can be read meanwhile.
                    tokio::task::yield_now().await;
                }
                let json = event.json();
                while let Err(wait) = self.pacer.take(json.len(), Instant::now()) {
                    tokio::time::sleep(wait).await;
                }
                self.receipts.report(self.socket.send_to(json, self.to).await.map(drop));
            }
        })
    }
}

struct UnixOutlet {
    path: PathBuf,
    socket: RefCell<Option<UnixDatagram>>,
    receipts: Rc<dyn Receipts>,
}

impl Outlet for UnixOutlet {
    fn send<'a>(&'a mut self, events: &'a [Rc<Event>]) -> Sending<'a> {
        Box::pin(async move {
            for event in events {
                let result = self.send_one(event.json()).await;
                self.receipts.report(result);
            }
        })
    }
}

impl UnixOutlet {
    /// Sends over the connected socket; once more over a new one when the subscriber has bound its path anew.
    async fn send_one(&mut self, json: &[u8]) -> io::Result<()> {
        if let Some(socket) = self.socket.get_mut() {
            match socket.send(json).await {
                Err(error) if is_gone(&error) => {}
                other => return other.map(drop),
            }
        }
        let result = match connect(&self.path) {
            Ok(socket) => self.socket.get_mut().insert(socket).send(json).await.map(drop),
            Err(error) => Err(error),
        };
        if result.as_ref().is_err_and(is_gone) {
            *self.socket.get_mut() = None;
        }
        result
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::NotFound
            | ErrorKind::NotConnected
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pace::BURST_BYTES;
    use crate::registry::EventId;
    use crate::transport::Sent;

    fn parse(scheme: &'static str, address: &str) -> Result<Address, AddressError> {
        Datagram::default().parse(scheme, address)
    }

    #[test]
    fn udp_addresses() {
        let address = parse("udp", "127.0.0.1:21104").unwrap();
        assert_eq!(address.socket, "udp:127.0.0.1:21104");
        assert_eq!(address.endpoint, Endpoint::Socket("127.0.0.1:21104".parse().unwrap()));

        let address = parse("udp", "localhost:21104").unwrap();
        assert_eq!((address.shown.as_str(), address.unresolved()), ("udp:localhost:21104", None));

        let address = parse("udp", "no.such.host.invalid:21104").unwrap();
        assert_eq!(address.unresolved(), Some(("no.such.host.invalid", 21104)));

        assert_eq!(parse("udp", "127.0.0.1:021104").unwrap().socket, "udp:127.0.0.1:21104");
    }

    /// Each is refused as recorded; a port beyond 65535 is not taken modulo 65536.
    #[test]
    fn malformed_udp_addresses() {
        for address in [
            "",
            "127.0.0.1",
            "127.0.0.1:0",
            "127.0.0.1:65536",
            "127.0.0.1:70000",
            "127.0.0.1:abc",
            "127.0.0.1:21104x",
            "127.0.0.1:",
            ":21104",
            "[::1]:21104",
            "::1:21104",
            "127.0.0.1:21104 ",
            " 127.0.0.1:21104",
            "127.0.0.1:+21104",
            "127.0.0.256:21104",
            "a b:1",
            "-a:1",
            "127.0.0.1:99999999999999999999",
        ] {
            assert!(parse("udp", address).is_err(), "{address}");
        }
    }

    #[test]
    fn unix_paths() {
        assert_eq!(parse("unix", "ev.sock").unwrap().socket, "unix:ev.sock");
        assert!(parse("unix", &"p".repeat(108)).is_ok());
        for path in ["", "a\0b", &"p".repeat(109)] {
            assert_eq!(parse("unix", path), Err(AddressError::Path));
        }
    }

    fn event(number: u64) -> Rc<Event> {
        Rc::new(Event::new(EventId::THRESHOLD, Rc::from(&b"E_TEST"[..]), number, 0, &[]))
    }

    fn in_runtime(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), test).await.expect("an event was lost");
        });
    }

    #[test]
    fn a_thousand_udp_events_reach_a_reader_that_comes_later() {
        in_runtime(async {
            let reader = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let address = parse("udp", &reader.local_addr().unwrap().to_string()).unwrap();
            let sent = Rc::new(Sent::default());
            let mut outlet = Datagram::default().open(&address, Rc::clone(&sent) as _).unwrap();
            let events: Vec<_> = (0..1000).map(event).collect();
            let reading = async {
                let mut buffer = [0; 2048];
                for _ in 0..1000 {
                    let length = reader.recv(&mut buffer).await.unwrap();
                    assert_eq!(&buffer[..length], br#"{"jsonrpc":"2.0","method":"E_TEST"}"#);
                }
            };
            let sending = outlet.send(&events);
            let ((), ()) = both(sending, reading).await;
            assert_eq!(sent.counts(), (1000, 0));
        });
    }

    #[test]
    fn no_more_leaves_at_once_than_a_default_buffer_holds() {
        in_runtime(async {
            let reader = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            reader.set_nonblocking(true).unwrap();
            let address = parse("udp", &reader.local_addr().unwrap().to_string()).unwrap();
            let sent = Rc::new(Sent::default());
            let mut outlet = Datagram::default().open(&address, Rc::clone(&sent) as _).unwrap();
            let events: Vec<_> = (0..10_000).map(event).collect();
            // After the first one the runtime knows that the socket takes datagrams.
            outlet.send(&events[..1]).await;
            assert!(reader.recv(&mut [0; 100]).is_ok());
            let start = std::time::Instant::now();
            let mut sending = outlet.send(&events);
            for _ in 0..20 {
                let polled =
                    std::future::poll_fn(|cx| std::task::Poll::Ready(sending.as_mut().poll(cx))).await;
                assert!(polled.is_pending(), "10,000 datagrams at once");
            }
            let allowed = BURST_BYTES + start.elapsed().as_micros() as u64 * BYTES_PER_MS / 1000;
            let mut buffer = [0; 2048];
            let received = std::iter::from_fn(|| reader.recv(&mut buffer).ok()).count() as u64;
            assert!(
                received > 50 && received * 768 <= allowed,
                "{received} datagrams, {allowed} bytes allowed"
            );
        });
    }

    #[test]
    fn a_unix_reader_that_comes_late_gets_every_event() {
        in_runtime(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("ev.sock");
            let reader = UnixDatagram::bind(&path).unwrap();
            let address = parse("unix", path.to_str().unwrap()).unwrap();
            let sent = Rc::new(Sent::default());
            let mut outlet = Datagram::default().open(&address, Rc::clone(&sent) as _).unwrap();
            let events: Vec<_> = (0..3000).map(event).collect();
            let sending = outlet.send(&events);
            let reading = async {
                let mut buffer = [0; 2048];
                for _ in 0..3000 {
                    reader.recv(&mut buffer).await.unwrap();
                }
            };
            let ((), ()) = both(sending, reading).await;
            assert_eq!(sent.counts(), (3000, 0));
        });
    }

    #[test]
    fn a_unix_reader_that_binds_anew_is_found_again() {
        in_runtime(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("ev.sock");
            let sent = Rc::new(Sent::default());
            let address = parse("unix", path.to_str().unwrap()).unwrap();
            let mut outlet = Datagram::default().open(&address, Rc::clone(&sent) as _).unwrap();
            outlet.send(&[event(1)]).await;
            assert_eq!(sent.counts(), (0, 1));
            for delivered in 1..3 {
                let reader = UnixDatagram::bind(&path).unwrap();
                outlet.send(&[event(2)]).await;
                assert_eq!(sent.counts(), (delivered, 1));
                let mut buffer = [0; 2048];
                reader.recv(&mut buffer).await.unwrap();
                drop(reader);
                std::fs::remove_file(&path).unwrap();
            }
        });
    }

    /// Drives two futures at once.
    async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
        let (mut a, mut b) = (Box::pin(a), Box::pin(b));
        let (mut a_done, mut b_done) = (None, None);
        std::future::poll_fn(move |cx| {
            use std::task::Poll;
            if a_done.is_none()
                && let Poll::Ready(output) = a.as_mut().poll(cx)
            {
                a_done = Some(output);
            }
            if b_done.is_none()
                && let Poll::Ready(output) = b.as_mut().poll(cx)
            {
                b_done = Some(output);
            }
            match (a_done.take(), b_done.take()) {
                (Some(a), Some(b)) => Poll::Ready((a, b)),
                (a, b) => {
                    (a_done, b_done) = (a, b);
                    Poll::Pending
                }
            }
        })
        .await
    }
}
