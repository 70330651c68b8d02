//! `route:E_NAME`: events go to the script's route of that name.

use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use tocsin_event::{Address, AddressError, Endpoint, Event, Outlet, Receipts, Sending, Transport};

use super::{EventRoutes, home};

/// Time between two tries to post a message.
const AGAIN: Duration = Duration::from_millis(2);

/// Delivers to `route:` sockets.
struct RouteTransport(Rc<EventRoutes>);

/// The way for events to the routes.
pub fn transport(routes: &Rc<EventRoutes>) -> Rc<dyn Transport> {
    Rc::new(RouteTransport(Rc::clone(routes)))
}

impl Transport for RouteTransport {
    fn schemes(&self) -> &[&'static str] {
        &["route"]
    }

    fn parse(&self, scheme: &'static str, address: &str) -> Result<Address, AddressError> {
        if self.0.has(address.as_bytes()) {
            Ok(Address::new(scheme, address, Endpoint::Text))
        } else {
            Err(AddressError::Other(format!("the script has no event_route[{address}]")))
        }
    }

    fn open(&self, address: &Address, receipts: Rc<dyn Receipts>) -> io::Result<Box<dyn Outlet>> {
        let name = address.socket.strip_prefix("route:").ok_or(ErrorKind::InvalidInput)?;
        let home = home(name.as_bytes());
        Ok(Box::new(RouteOutlet { routes: Rc::clone(&self.0), name: name.into(), home, receipts }))
    }
}

struct RouteOutlet {
    routes: Rc<EventRoutes>,
    name: Box<str>,
    home: usize,
    receipts: Rc<dyn Receipts>,
}

impl Outlet for RouteOutlet {
    fn send<'a>(&'a mut self, events: &'a [Rc<Event>]) -> Sending<'a> {
        Box::pin(async move {
            for event in events {
                self.receipts.report(self.post(event).await);
            }
        })
    }
}

impl RouteOutlet {
    /// Waits for room in the mailbox, and for a worker that serves.
    async fn post(&self, event: &Event) -> io::Result<()> {
        loop {
            match self.routes.post(self.home, self.name.as_bytes(), event) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::time::sleep(AGAIN).await,
                result => return result,
            }
        }
    }
}
