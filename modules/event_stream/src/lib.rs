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
    "Whether subscribers must answer each event. Only 0 is possible so far.",
)
.check(|value| match tocsin_script::is_on(value) {
    Some(true) => {
        Err("this version sends events as notifications only and takes no answers: take the line out \
                 or set it to 0"
            .to_owned())
    }
    _ => Ok(()),
});
const TIMEOUT: ModParam = milliseconds(
    "timeout",
    PATIENCE.as_millis() as i64,
    "How long an attempt to connect to a subscriber may take, and how long events wait for a connection.",
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
    StreamOptions { patience: given.millis(&TIMEOUT), event_param }
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
        given("reliable_mode", 0).unwrap();
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_way_out() {
        let refused = given("reliable_mode", "yes").unwrap_err();
        assert!(refused.starts_with("reliable_mode: this version sends"), "{refused}");
        assert!(given("timeout", 0).is_err());
    }
}
