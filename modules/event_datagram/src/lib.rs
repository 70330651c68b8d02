//! event_datagram: subscribers at `udp:host:port` and `unix:path`.
#![forbid(unsafe_code)]

use std::rc::Rc;

use tocsin_event::Datagram;
use tocsin_script::ModuleSpec;
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct EventDatagram;

impl Module for EventDatagram {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec::new("event_datagram")
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        setup.registered.transports.add(Rc::new(Datagram::default()));
        Ok(())
    }
}
