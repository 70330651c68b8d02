//! event_stream: subscribers at `tcp:host:port[/method]`.
#![forbid(unsafe_code)]

use std::rc::Rc;

use tocsin_event::{Stream, StreamOptions};
use tocsin_script::{ModParam, ModuleSpec, Value};
use tocsin_server::Context;
use tocsin_server::module::{Module, Parameters, Setup, SetupError};
use tocsin_server::parameters::{Reader, number, switch, text};

/// The module's name.
const NAME: &str = "event_stream";

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct EventStream;

impl Module for EventStream {
    fn spec(&self) -> ModuleSpec<Context> {
        const NAMES: &[ModParam] = &[switch("reliable_mode"), number("timeout"), text("event_param")];
        ModuleSpec { params: NAMES, ..ModuleSpec::new(NAME) }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        setup.registered.transports.add(Rc::new(Stream::new(options(&setup.parameters)?)));
        Ok(())
    }
}

fn options(parameters: &Parameters) -> Result<StreamOptions, SetupError> {
    let reader = Reader::new(NAME, parameters);
    let mut options = StreamOptions::default();
    let mut reliable = false;
    reader.switch("reliable_mode", &mut reliable)?;
    if reliable {
        let problem = "this version sends events as notifications only and takes no answers: \
                       take the line out or set it to 0";
        let problem = problem.to_owned();
        return Err(SetupError::Parameter { module: NAME, name: "reliable_mode", problem });
    }
    reader.millis("timeout", &mut options.patience)?;
    if let Some(Value::Str(name)) = parameters.value("event_param") {
        options.event_param = Some(name.to_vec());
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn given(name: &str, value: impl Into<Value>) -> Result<StreamOptions, SetupError> {
        options(&Parameters(vec![(name.to_owned(), value.into())]))
    }

    #[test]
    fn parameters_say_how_events_are_sent() {
        let options = options(&Parameters::default()).unwrap();
        assert_eq!((options.patience, options.event_param), (Duration::from_secs(1), None));
        assert_eq!(given("timeout", 200).unwrap().patience, Duration::from_millis(200));
        assert_eq!(given("event_param", "name").unwrap().event_param.unwrap(), b"name");
        given("reliable_mode", 0).unwrap();
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_way_out() {
        let refused = given("reliable_mode", "yes").unwrap_err().to_string();
        assert!(refused.starts_with("modparam event_stream:reliable_mode: this version sends"), "{refused}");
        assert!(given("timeout", 0).is_err());
    }
}
