//! event_rabbitmq: subscribers at `rabbitmq:[user[:password]@]host[:port]/[parameters?]routing_key`: each event is a message
//! to a broker that speaks AMQP 0-9-1.
//!
//! An event is delivered when the broker has confirmed it (publisher confirms). What a connection leaves unconfirmed is
//! published again over the next one, in its order: at least once. Each subscriber has a connection of its own, and a task
//! that holds up nobody else ([`carrier`]); the way from the bytes of a broker to confirmations is without sockets and clocks
//! ([`session`], [`window`]).
#![forbid(unsafe_code)]

mod broker;
mod carrier;
mod ended;
mod frames;
mod inbox;
mod link;
mod options;
mod session;
mod socket;
mod transport;
mod window;

use std::rc::Rc;

use tocsin_script::ModuleSpec;
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};

use self::options::{NAME, PARAMETERS, options};
use self::transport::RabbitMq;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct EventRabbitmq;

impl Module for EventRabbitmq {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: PARAMETERS, ..ModuleSpec::new(NAME) }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let options = options(&setup.parameters);
        if options.use_tls && setup.security.is_none() {
            let problem = "there are no TLS domains: load tls_mgm before event_rabbitmq".to_owned();
            return Err(SetupError::Parameter { module: NAME, name: "use_tls", problem });
        }
        let security = setup.security.clone().filter(|_| options.use_tls);
        setup.registered.transports.add(Rc::new(RabbitMq::new(options, security)));
        Ok(())
    }
}
