//! The transport `rabbitmq:`.

use std::io::{self, ErrorKind};
use std::rc::Rc;

use tocsin_event::{Address, AddressError, Endpoint, Event, Outlet, Receipts, Sending, Transport};
use tocsin_server::security::Security;
use tokio::sync::mpsc;

use super::broker::Plan;
use super::carrier::carry;
use super::frames::Envelope;
use super::options::Options;
use super::socket::parse;

/// The scheme of its sockets.
const SCHEME: &str = "rabbitmq";
/// How many batches of events may be on their way to a subscriber's task, beside what it has.
const BATCHES: usize = 2;

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
        let plan = Plan {
            to,
            envelope: Envelope::new(&target.exchange, &target.routing_key, target.persistent),
            target,
            shown: address.shown.clone(),
            options: Rc::clone(&self.options),
            security: self.security.clone(),
        };
        let (batches, received) = mpsc::channel(BATCHES);
        tokio::task::spawn_local(carry(plan, receipts, received));
        Ok(Box::new(BrokerOutlet { batches }))
    }
}

struct BrokerOutlet {
    batches: mpsc::Sender<Vec<Rc<Event>>>,
}

impl Outlet for BrokerOutlet {
    fn send<'a>(&'a mut self, events: &'a [Rc<Event>]) -> Sending<'a> {
        Box::pin(async move {
            // The task ends only after its outlet.
            let _ = self.batches.send(events.to_vec()).await;
        })
    }
}
