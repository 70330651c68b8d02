//! event_datagram: subscribers at `udp:host:port` and `unix:path`.
#![forbid(unsafe_code)]

use std::rc::Rc;

use tocsin_event::{BYTES_PER_MS, Datagram};
use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};

/// The most that `udp_rate` may be: what a fast network carries.
const MAX_RATE: i64 = 1 << 20;

const UDP_RATE: ModParam = ModParam::number(
    "udp_rate",
    BYTES_PER_MS as i64 / 1024,
    "How much of its buffer a UDP subscriber is taken to read. A datagram costs its bytes and 768; what comes faster waits in \
     the queue of the subscriber. The manual does not have this parameter.",
)
.within(1, MAX_RATE, "KiB a millisecond");

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct EventDatagram;

impl Module for EventDatagram {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: &[UDP_RATE], ..ModuleSpec::new("event_datagram") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let rate = setup.parameters.int(&UDP_RATE).unsigned_abs() * 1024;
        setup.registered.transports.add(Rc::new(Datagram::at_rate(rate)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tocsin_script::Value;
    use tocsin_server::module::Parameters;

    use super::*;

    #[test]
    fn a_rate_is_within_bounds() {
        let given = |rate: i64| Parameters::checked(&[UDP_RATE], &[("udp_rate", Value::from(rate))]);
        assert!(given(0).is_err() && given(MAX_RATE + 1).is_err());
        assert_eq!(given(85).unwrap().int(&UDP_RATE), 85);
        assert_eq!(Parameters::default().int(&UDP_RATE), 20);
    }
}
