//! event_virtual: several subscribers that are one, at `virtual:POLICY socket1 socket2 ...`, over any transports.
//!
//! In flow the events of one subscription; out they flow to its members, as the policy says: to all of them (PARALLEL), to
//! the first that takes them (FAILOVER), or to one after the other (ROUND-ROBIN). One report goes back for each event: it is
//! delivered once its policy is satisfied, and dropped otherwise.
#![forbid(unsafe_code)]

mod board;
mod failover;
mod member;
mod round;
mod socket;
mod together;
mod transport;

use std::rc::Rc;

use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};

use self::transport::Virtual;

/// The longest `failover_timeout`: a day.
const MAX_FAILOVER_S: i64 = 86_400;

const FAILOVER_TIMEOUT: ModParam = ModParam::number(
    "failover_timeout",
    30,
    "How long FAILOVER sends nothing to a subscriber that did not take an event.",
)
.within(0, MAX_FAILOVER_S, "seconds");

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct EventVirtual;

impl Module for EventVirtual {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: &[FAILOVER_TIMEOUT], ..ModuleSpec::new("event_virtual") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let transports = &setup.registered.transports;
        let failover_timeout = setup.parameters.seconds(&FAILOVER_TIMEOUT);
        transports.add(Rc::new(Virtual::new(transports.clone(), failover_timeout)));
        Ok(())
    }
}
