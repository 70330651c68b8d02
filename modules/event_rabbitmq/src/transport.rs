//! The transport `rabbitmq:`.

use std::io::{self, ErrorKind};
use std::rc::Rc;

use tocsin_event::{Address, AddressError, Endpoint, Event, Outlet, Receipts, Sending, Transport};
use tocsin_server::security::Security;

use super::broker::Plan;
use super::carrier::carry;
use super::frames::Envelope;
use super::inbox::Inbox;
use super::options::Options;
use super::socket::parse;

/// The scheme of its sockets.
const SCHEME: &str = "rabbitmq";

/// Publishes at brokers.
pub(super) struct RabbitMq {
    options: Rc<Options>,
    /// What knows the TLS domains.
    security: Option<Rc<dyn Security>>,
}

impl RabbitMq {
    pub(super) fn new(options: Options, security: Option<Rc<dyn Security>>) -> Self {
        Self { options: Rc::new(options), security }
    }
}

impl Transport for RabbitMq {
    fn schemes(&self) -> &[&'static str] {
        &[SCHEME]
    }

    fn parse(&self, scheme: &'static str, address: &str) -> Result<Address, AddressError> {
        parse(scheme, address, self.options.use_tls).map(|(address, _)| address)
    }

    // As OpenSIPS was recorded to do.
    fn keeps_subscriptions(&self) -> bool {
        true
    }

    fn open(&self, address: &Address, receipts: Rc<dyn Receipts>) -> io::Result<Box<dyn Outlet>> {
        let Endpoint::Socket(to) = address.endpoint else {
            return Err(io::Error::new(ErrorKind::InvalidInput, "host not resolved"));
        };
        let text = address.socket.split_once(':').map_or("", |(_, text)| text);
        let (_, target) = parse(SCHEME, text, self.options.use_tls).map_err(io::Error::other)?;
        let plan = Rc::new(Plan {
            to,
            envelope: Envelope::new(&target.exchange, &target.routing_key, target.persistent)
                .map_err(io::Error::other)?,
            target,
            shown: address.shown.clone(),
            options: Rc::clone(&self.options),
            security: self.security.clone(),
        });
        let inbox = Rc::new(Inbox::default());
        tokio::task::spawn_local(carry(plan, receipts, Rc::clone(&inbox)));
        Ok(Box::new(BrokerOutlet { inbox }))
    }
}

struct BrokerOutlet {
    inbox: Rc<Inbox>,
}

impl Drop for BrokerOutlet {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

impl Outlet for BrokerOutlet {
    fn send<'a>(&'a mut self, events: &'a [Rc<Event>]) -> Sending<'a> {
        Box::pin(self.inbox.put(events))
    }
}
