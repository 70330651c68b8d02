//! The transport `xmlrpc:`: a connection for each subscriber, and when a server that is gone is tried again.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::Bytes;
use tocsin_event::{Address, AddressError, Attempts, Endpoint, Event, Outlet, Receipts, Sending, Transport};
use tocsin_shm::monotonic_micros;
use tokio::time::{Instant, sleep_until};

use super::address::{Place, parse};
use super::call::write_call;
use super::connection::{Connection, Failure};

/// How long events wait for a server that cannot be reached, before those raised before the last attempt are dropped.
const PATIENCE: Duration = Duration::from_secs(1);

/// Delivers to `xmlrpc:` sockets.
pub(crate) struct Xmlrpc {
    with_structs: bool,
}

impl Xmlrpc {
    pub(crate) fn new(with_structs: bool) -> Self {
        Self { with_structs }
    }
}

impl Transport for Xmlrpc {
    fn schemes(&self) -> &[&'static str] {
        &["xmlrpc"]
    }

    fn parse(&self, scheme: &'static str, address: &str) -> Result<Address, AddressError> {
        parse(scheme, address)
    }

    fn open(&self, address: &Address, receipts: Rc<dyn Receipts>) -> io::Result<Box<dyn Outlet>> {
        let Endpoint::Socket(to) = address.endpoint else {
            return Err(io::Error::new(ErrorKind::InvalidInput, "host not resolved"));
        };
        let text = address.socket.strip_prefix("xmlrpc:").ok_or(ErrorKind::InvalidInput)?;
        let Place { authority, path, method } = Place::read(text).map_err(io::Error::other)?;
        Ok(Box::new(XmlrpcOutlet {
            to,
            authority: authority.into(),
            path: path.into(),
            method: method.into(),
            with_structs: self.with_structs,
            connection: None,
            attempts: Attempts::new(PATIENCE),
            receipts,
        }))
    }
}

struct XmlrpcOutlet {
    to: SocketAddr,
    authority: Box<str>,
    path: Box<str>,
    method: Box<str>,
    with_structs: bool,
    connection: Option<Connection>,
    attempts: Attempts,
    receipts: Rc<dyn Receipts>,
}

impl Outlet for XmlrpcOutlet {
    fn send<'a>(&'a mut self, events: &'a [Rc<Event>]) -> Sending<'a> {
        Box::pin(async move {
            for event in events {
                let result = self.deliver(event).await;
                self.receipts.report(result);
            }
        })
    }
}

impl XmlrpcOutlet {
    async fn deliver(&mut self, event: &Event) -> io::Result<()> {
        let body = Bytes::from(write_call(&self.method, event, self.with_structs));
        loop {
            if let Some((raised, why)) = self.attempts.over(Instant::now())
                && event.time <= raised
            {
                return Err(why);
            }
            if let Some(again) = self.attempts.again() {
                sleep_until(again).await;
            }
            let attempt = monotonic_micros();
            let result = self.call(&body).await;
            if let Err(broken @ Failure::Broken(..)) = &result {
                self.attempts.failed(attempt, Instant::now(), ErrorKind::NotConnected, broken.to_string());
                continue;
            }
            self.attempts.succeeded();
            return result.map_err(|why| io::Error::other(why.to_string()));
        }
    }

    /// One call. A connection that was kept may have been closed at the other end meanwhile: then over a new one.
    async fn call(&mut self, body: &Bytes) -> Result<(), Failure> {
        if let Some(connection) = self.connection.take().filter(Connection::is_open) {
            match self.call_over(connection, body).await {
                Err(Failure::Broken(..)) => {}
                other => return other,
            }
        }
        let connection = Connection::open(self.to, self.receipts.own_ports()).await?;
        self.call_over(connection, body).await
    }

    async fn call_over(&mut self, mut connection: Connection, body: &Bytes) -> Result<(), Failure> {
        let is_kept = connection.call(&self.authority, &self.path, body.clone()).await?;
        self.connection = Some(connection).filter(|_| is_kept);
        Ok(())
    }
}
