//! `routing:EVENT`: the courier brings an event to the routes that are to be notified.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tocsin_event::{
    Address, AddressError, Endpoint, Event, MAX_NAME_BYTES, Outlet, Receipts, Sending, Transport,
};
use tocsin_server::event_routes::EventRoutes;
use tocsin_shm::monotonic_millis;

use super::notifications::Notifications;

/// Time between two tries to post a message.
const AGAIN: Duration = Duration::from_millis(2);

/// The scheme of its sockets.
pub(crate) const SCHEME: &str = "routing";

/// Delivers to `routing:` sockets.
pub(crate) struct Routing {
    routes: Rc<EventRoutes>,
    notifications: Notifications,
}

impl Routing {
    pub(crate) fn new(routes: Rc<EventRoutes>, notifications: Notifications) -> Self {
        Self { routes, notifications }
    }
}

impl Transport for Routing {
    fn schemes(&self) -> &[&'static str] {
        &[SCHEME]
    }

    fn parse(&self, scheme: &'static str, address: &str) -> Result<Address, AddressError> {
        if address.is_empty() || address.len() > MAX_NAME_BYTES {
            return Err(AddressError::Other("no event is named".to_owned()));
        }
        Ok(Address::new(scheme, address, Endpoint::Text))
    }

    fn open(&self, _: &Address, receipts: Rc<dyn Receipts>) -> io::Result<Box<dyn Outlet>> {
        Ok(Box::new(RoutingOutlet {
            routes: Rc::clone(&self.routes),
            notifications: self.notifications,
            receipts,
        }))
    }
}

struct RoutingOutlet {
    routes: Rc<EventRoutes>,
    notifications: Notifications,
    receipts: Rc<dyn Receipts>,
}

impl Outlet for RoutingOutlet {
    fn send<'a>(&'a mut self, events: &'a [Rc<Event>]) -> Sending<'a> {
        Box::pin(async move {
            for event in events {
                let result = self.notify(event).await;
                self.receipts.report(result);
            }
        })
    }
}

impl RoutingOutlet {
    /// Waits for room in the mailbox, and for a worker that serves.
    async fn notify(&self, event: &Event) -> io::Result<()> {
        for route in self.notifications.routes(event.id, event.params(), monotonic_millis()) {
            loop {
                match self.routes.notify(&route, event) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        tokio::time::sleep(AGAIN).await;
                    }
                    result => break result?,
                }
            }
        }
        Ok(())
    }
}
