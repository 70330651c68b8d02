//! event_stream: subscribers at `tcp:host:port[/method]`.
#![forbid(unsafe_code)]

use std::rc::Rc;

use tocsin_event::{PATIENCE, Stream, StreamOptions};
use tocsin_script::{ModParam, ModuleSpec, Value};
use tocsin_server::Context;
use tocsin_server::module::{Module, Parameters, Setup, SetupError};
use tocsin_server::shared_parameters::milliseconds;

const RELIABLE_MODE: ModParam = ModParam::switch(
    "reliable_mode",
    false,
    "Whether each event is a request, which is delivered when the subscriber has answered it, and not a notification.",
);
const TIMEOUT: ModParam = milliseconds(
    "timeout",
    PATIENCE.as_millis() as i64,
    "How long an attempt to connect to a subscriber may take, how long events wait for a connection, and in reliable mode how \
     long the next answer may take.",
);
const EVENT_PARAM: ModParam = ModParam::text(
    "event_param",
    "",
    "The name of a parameter that carries the name of the event, before the event's own parameters.",
)
.unset("there is no such parameter");

const PARAMETERS: &[ModParam] = &[RELIABLE_MODE, TIMEOUT, EVENT_PARAM];

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct EventStream;

impl Module for EventStream {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: PARAMETERS, ..ModuleSpec::new("event_stream") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        setup.registered.transports.add(Rc::new(Stream::new(options(&setup.parameters))));
        Ok(())
    }
}

fn options(given: &Parameters) -> StreamOptions {
    let event_param = given.last(&EVENT_PARAM).and_then(Value::as_str).map(<[u8]>::to_vec);
    StreamOptions { patience: given.millis(&TIMEOUT), event_param, reliable: given.on(&RELIABLE_MODE) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn given(name: &str, value: impl Into<Value>) -> Result<StreamOptions, String> {
        Parameters::checked(PARAMETERS, &[(name, value.into())]).map(|given| options(&given))
    }

    #[test]
    fn parameters_say_how_events_are_sent() {
        let options = options(&Parameters::default());
        assert_eq!((options.patience, options.event_param), (Duration::from_secs(1), None));
        assert_eq!(given("timeout", 200).unwrap().patience, Duration::from_millis(200));
        assert_eq!(given("event_param", "name").unwrap().event_param.unwrap(), b"name");
        assert!(!options.reliable && !given("reliable_mode", 0).unwrap().reliable);
        assert!(given("reliable_mode", "yes").unwrap().reliable);
        assert!(given("timeout", 0).is_err());
    }
}
