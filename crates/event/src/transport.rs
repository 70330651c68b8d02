//! What a transport is: it reads the text of a subscriber's socket, and it delivers.
//!
//! A transport module implements [`Transport`] and is put into [`Transports`] before the processes are forked. Reading
//! an address happens in whatever process subscribes and never waits; a host name is left to be resolved by the caller.
//! Delivery happens in the courier alone, through one [`Outlet`] per subscriber.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;

use crate::address::{Address, AddressError, MAX_SOCKET_BYTES};
use crate::events::Events;
use crate::own::OwnPorts;
use crate::params::Params;
use crate::registry::EventId;
use crate::render::write_event;

/// One way to deliver events.
///
/// ```
/// use std::io;
/// use std::rc::Rc;
///
/// use tocsin_event::{Address, AddressError, Endpoint, Event, Outlet, Receipts, Sending, Transport, Transports};
///
/// /// Delivers to `null:`, where every event is welcome.
/// struct Null;
///
/// struct NullOutlet(Rc<dyn Receipts>);
///
/// impl Transport for Null {
///     fn schemes(&self) -> &[&'static str] {
///         &["null"]
///     }
///
///     fn parse(&self, scheme: &'static str, address: &str) -> Result<Address, AddressError> {
///         Ok(Address::new(scheme, address, Endpoint::Text))
///     }
///
///     fn open(&self, _: &Address, receipts: Rc<dyn Receipts>) -> io::Result<Box<dyn Outlet>> {
///         Ok(Box::new(NullOutlet(receipts)))
///     }
/// }
///
/// impl Outlet for NullOutlet {
///     fn send<'a>(&'a mut self, events: &'a [Rc<Event>]) -> Sending<'a> {
///         Box::pin(async move { self.0.delivered(events.len()) })
///     }
/// }
///
/// let transports = Transports::new();
/// transports.add(Rc::new(Null));
/// assert_eq!(transports.parse(b"null:anywhere")?.socket, "null:anywhere");
/// # Ok::<(), AddressError>(())
/// ```
pub trait Transport {
    /// The schemes it serves, in lower case and without the colon, e.g. `udp` and `unix`.
    fn schemes(&self) -> &[&'static str];

    /// Reads what follows the colon of a subscriber's socket.
    ///
    /// # Errors
    /// Why this is not an address of that scheme.
    fn parse(&self, scheme: &'static str, address: &str) -> Result<Address, AddressError>;

    /// Whether a client's subscription that names no time stays for good, where others end after an hour.
    fn keeps_subscriptions(&self) -> bool {
        false
    }

    /// Opens the way to one subscriber, whose events are reported to `receipts`. Called in the courier, inside its runtime;
    /// does not wait.
    ///
    /// # Errors
    /// What the system answered; the courier tries again at the next event.
    fn open(&self, address: &Address, receipts: Rc<dyn Receipts>) -> io::Result<Box<dyn Outlet>>;
}

/// How many events may wait for one subscriber, unless [`crate::CourierOptions`] says otherwise.
pub const QUEUE_EVENTS: usize = 65_536;

/// How many bytes of events may wait for one subscriber, unless [`crate::CourierOptions`] says otherwise.
pub const QUEUE_BYTES: usize = 64 << 20;

/// The way to one subscriber.
pub trait Outlet {
    /// Delivers `events` in order, at the pace the subscriber takes. May wait: only this subscriber is held up. Ends when
    /// more events may be given; what became of these is reported as soon as it is known, before or after that.
    fn send<'a>(&'a mut self, events: &'a [Rc<Event>]) -> Sending<'a>;
}

/// The future of [`Outlet::send`].
pub type Sending<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Where an outlet reports what became of its events: once for each, in the order in which they were given. A report is
/// written down before it returns, so it should follow at once on what it says: between the two, a courier that is killed
/// leaves the event to its successor, which sends it again.
pub trait Receipts {
    /// The next `count` events were taken by the subscriber's side.
    fn delivered(&self, count: usize);

    /// The next `count` events are given up.
    fn dropped(&self, count: usize, why: &io::Error);

    /// So many events that were reported as delivered may not have been read by the subscriber, and do not go again.
    fn unconfirmed(&self, count: usize) {
        let _ = count;
    }

    /// Whether nobody waits for reports any more: what was not delivered may be forgotten.
    fn is_closed(&self) -> bool;

    /// How many events, and bytes of them, may wait for the subscriber before new ones are dropped.
    fn limits(&self) -> (usize, usize) {
        (QUEUE_EVENTS, QUEUE_BYTES)
    }

    /// Where the ports of the courier's own connections are noted, if anybody wants to know.
    fn own_ports(&self) -> Option<OwnPorts> {
        None
    }

    /// Reports one event.
    fn report(&self, result: io::Result<()>) {
        match result {
            Ok(()) => self.delivered(1),
            Err(why) => self.dropped(1, &why),
        }
    }
}

/// Receipts that are counted and nothing else, for who uses a transport without a courier.
#[derive(Debug, Default)]
pub struct Sent {
    delivered: Cell<usize>,
    dropped: Cell<usize>,
    unconfirmed: Cell<usize>,
    error: RefCell<Option<String>>,
    closed: Cell<bool>,
}

impl Sent {
    /// How many events were delivered, and how many given up.
    pub fn counts(&self) -> (usize, usize) {
        (self.delivered.get(), self.dropped.get())
    }

    /// How many of those delivered may not have been read.
    pub fn unconfirmed(&self) -> usize {
        self.unconfirmed.get()
    }

    /// The last reason for giving one up.
    pub fn error(&self) -> Option<String> {
        self.error.borrow().clone()
    }

    /// Nobody waits for reports any more.
    pub fn close(&self) {
        self.closed.set(true);
    }
}

impl Receipts for Sent {
    fn delivered(&self, count: usize) {
        self.delivered.set(self.delivered.get() + count);
    }

    fn dropped(&self, count: usize, why: &io::Error) {
        self.dropped.set(self.dropped.get() + count);
        *self.error.borrow_mut() = Some(why.to_string());
    }

    fn unconfirmed(&self, count: usize) {
        self.unconfirmed.set(self.unconfirmed.get() + count);
    }

    fn is_closed(&self) -> bool {
        self.closed.get()
    }
}

/// The transports of this server. A copy refers to the same list, so that a transport that delivers over others finds those
/// that are put in after it.
#[derive(Clone, Default)]
pub struct Transports {
    shared: Rc<Shared>,
}

#[derive(Default)]
struct Shared {
    list: RefCell<Vec<Rc<dyn Transport>>>,
    resolver: OnceCell<Resolver>,
    events: OnceCell<Events>,
}

/// Resolves host names in the courier: none if there is no such host.
pub type Resolver = Box<dyn Fn(String, u16) -> Resolving>;

/// The future of a [`Resolver`].
pub type Resolving = Pin<Box<dyn Future<Output = Option<SocketAddr>>>>;

impl Transports {
    /// No transport yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts one in. Where two serve the same scheme the first counts.
    pub fn add(&self, transport: Rc<dyn Transport>) {
        self.shared.list.borrow_mut().push(transport);
    }

    /// Reads the text of a subscriber's socket. Schemes are compared exactly, in lower case; an absolute path stands for
    /// itself as a UNIX socket.
    ///
    /// # Errors
    /// [`AddressError`] says what is wrong with it.
    pub fn parse(&self, socket: &[u8]) -> Result<Address, AddressError> {
        let text = std::str::from_utf8(socket).ok().filter(|text| text.len() <= MAX_SOCKET_BYTES);
        let text = text.ok_or(AddressError::Text)?;
        // Some clients give the path of their UNIX socket and no scheme.
        let (scheme, address) = match text.strip_prefix('/') {
            Some(_) => ("unix", text),
            None => text.split_once(':').ok_or(AddressError::NoAddress)?,
        };
        let (transport, scheme) = self.find(scheme).ok_or_else(|| AddressError::Scheme(scheme.into()))?;
        transport.parse(scheme, address)
    }

    /// Whether a client's subscription to `address` that names no time stays for good.
    pub(crate) fn keeps_subscriptions(&self, address: &Address) -> bool {
        self.find(address.scheme).is_some_and(|(transport, _)| transport.keeps_subscriptions())
    }

    /// The transport that serves `scheme`.
    pub(crate) fn find(&self, scheme: &str) -> Option<(Rc<dyn Transport>, &'static str)> {
        self.shared.list.borrow().iter().find_map(|transport| {
            let scheme = *transport.schemes().iter().find(|&&served| served == scheme)?;
            Some((Rc::clone(transport), scheme))
        })
    }

    /// Learns how host names are resolved. To be called once, in the courier's process.
    pub fn resolve_with(&self, resolver: Resolver) {
        let known = self.shared.resolver.set(resolver);
        debug_assert!(known.is_ok(), "called once");
    }

    /// Learns whose transports they are.
    pub(crate) fn know(&self, events: Events) {
        // A second courier of the same process, in a test, has the same events.
        let _ = self.shared.events.set(events);
    }

    /// Opens the way to one subscriber, for a transport that delivers over others: as [`Transport::open`], but resolves a
    /// host name first.
    ///
    /// # Errors
    /// There is no such host, the server itself listens there, or what the system answered.
    pub async fn open(&self, address: Address, receipts: Rc<dyn Receipts>) -> io::Result<Box<dyn Outlet>> {
        let address = match (address.unresolved(), self.shared.resolver.get()) {
            (Some((host, port)), Some(resolver)) => {
                let found = resolver(host.to_owned(), port).await;
                let found = found.ok_or_else(|| io::Error::other("its host name cannot be resolved"))?;
                address.resolved(found)
            }
            _ => address,
        };
        if self.shared.events.get().is_some_and(|events| events.is_own(&address)) {
            return Err(io::Error::other("the server itself listens there"));
        }
        let (transport, _) = self.find(address.scheme).ok_or(io::ErrorKind::Unsupported)?;
        transport.open(&address, receipts)
    }
}

/// One event on its way to its subscribers.
#[derive(Debug)]
pub struct Event {
    /// Which event.
    pub id: EventId,
    /// Its name.
    pub name: Rc<[u8]>,
    /// Its number in the event log.
    pub number: u64,
    /// When it was raised, in microseconds of the monotonic clock.
    pub time: u64,
    /// How deep it lies in other events: see [`crate::nest`].
    pub depth: u8,
    params: Box<[u8]>,
    json: OnceCell<Box<[u8]>>,
}

impl Event {
    /// An event with parameters as [`crate::ParamsWriter`] wrote them.
    pub fn new(id: EventId, name: Rc<[u8]>, number: u64, time: u64, params: &[u8]) -> Self {
        Self { id, name, number, time, depth: 0, params: params.into(), json: OnceCell::new() }
    }

    /// Its parameters.
    pub fn params(&self) -> Params<'_> {
        Params::new(&self.params)
    }

    /// Its JSON text; rendered once, however many subscribers it has.
    pub fn json(&self) -> &[u8] {
        self.json.get_or_init(|| {
            let mut out = Vec::with_capacity(64 + self.name.len() + self.params.len());
            write_event(&self.name, self.params(), &mut out);
            out.into()
        })
    }

    /// About how many bytes it holds in a queue.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + 2 * self.params.len() + 64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Endpoint;

    struct Any;

    impl Transport for Any {
        fn schemes(&self) -> &[&'static str] {
            &["any", "other"]
        }

        fn parse(&self, scheme: &'static str, address: &str) -> Result<Address, AddressError> {
            Ok(Address::new(scheme, address, Endpoint::Text))
        }

        fn open(&self, _: &Address, _: Rc<dyn Receipts>) -> io::Result<Box<dyn Outlet>> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[test]
    fn the_scheme_chooses_the_transport() {
        let transports = Transports::new();
        transports.add(Rc::new(Any));
        assert_eq!(transports.parse(b"other:a:b").unwrap().socket, "other:a:b");
        assert_eq!(transports.parse(b"any:").unwrap().socket, "any:");
        for (text, error) in [
            (&b"any"[..], AddressError::NoAddress),
            (b"", AddressError::NoAddress),
            (b"ANY:x", AddressError::Scheme("ANY".into())),
            (b" any:x", AddressError::Scheme(" any".into())),
            (b"foo:x", AddressError::Scheme("foo".into())),
            (b"any:\xff", AddressError::Text),
        ] {
            assert_eq!(transports.parse(text), Err(error));
        }
        assert_eq!(transports.parse(&[b'a'; MAX_SOCKET_BYTES + 1]), Err(AddressError::Text));
    }
}
