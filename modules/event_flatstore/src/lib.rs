//! event_flatstore: subscribers that are files, at `flatstore:path`: a line an event.
//!
//! Files are written by a thread of the courier's runtime, so that a disk that is slow or gone holds up no other
//! subscriber. `evi_flat_rotate` has a file opened anew.
#![forbid(unsafe_code)]

mod lines;
mod place;
mod store;

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use tocsin_json::Value as Json;
use tocsin_mi::{Command, MiError, Outcome, Params, Registry};
use tocsin_script::{ModParam, ModuleSpec, Value};
use tocsin_server::module::{Module, Parameters, Setup, SetupError};
use tocsin_server::parameters::{Reader, number, switch, text};
use tocsin_server::{Context, Server};
use tocsin_shm::monotonic_millis;

use self::lines::Layout;
use self::place::Place;
use self::store::{FlatStore, Rotations};

/// The module's name.
const NAME: &str = "event_flatstore";
/// The default of `max_open_sockets`.
const OPEN_FILES: usize = 100;
/// The most files that may be open.
const MOST_OPEN_FILES: usize = 10_000;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct EventFlatstore;

impl Module for EventFlatstore {
    fn spec(&self) -> ModuleSpec<Context> {
        const NAMES: &[ModParam] = &[
            number("max_open_sockets"),
            text("delimiter"),
            text("file_permissions"),
            switch("suppress_event_name"),
            // Not of OpenSIPS.
            text("directory"),
            switch("escape"),
        ];
        ModuleSpec { params: NAMES, ..ModuleSpec::new(NAME) }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let options = options(&setup.parameters)?;
        let rotations = Rotations::create(setup.arena)?;
        setup.registered.states.put(rotations);
        setup.registered.transports.add(Rc::new(FlatStore::new(options, rotations)));
        Ok(())
    }

    fn commands(&self, server: &'static Server, registry: &mut Registry) {
        let help = "has the file of an event subscriber opened anew";
        registry.add(Command::new(
            NAME,
            "evi_flat_rotate",
            &[&["path_to_file"]],
            help,
            move |params: Params| rotate(server, &params),
        ));
    }
}

/// What the parameters say.
#[derive(Debug, Clone)]
struct Options {
    layout: Layout,
    /// Access rights of a new file.
    mode: u32,
    open_files: usize,
    place: Arc<Place>,
}

impl Default for Options {
    fn default() -> Self {
        Self { layout: Layout::default(), mode: 0o644, open_files: OPEN_FILES, place: Arc::default() }
    }
}

fn options(parameters: &Parameters) -> Result<Options, SetupError> {
    let wrong = |name, problem: String| SetupError::Parameter { module: NAME, name, problem };
    let mut options = Options::default();
    if let Some(Value::Str(delimiter)) = parameters.value("delimiter") {
        options.layout.delimiter = delimiter.to_vec();
    }
    let mut without_name = false;
    Reader::new(NAME, parameters).switch("suppress_event_name", &mut without_name)?;
    options.layout.with_name = !without_name;
    Reader::new(NAME, parameters).switch("escape", &mut options.layout.escape)?;
    let is_plain = |first: &u8| !first.is_ascii_alphanumeric() && *first != b'\\';
    if options.layout.escape && !options.layout.delimiter.first().is_some_and(is_plain) {
        let problem = "a delimiter that begins with a letter, a digit or a backslash could be a part of what is escaped";
        return Err(wrong("escape", problem.to_owned()));
    }
    if let Some(Value::Str(directory)) = parameters.value("directory") {
        let directory = std::str::from_utf8(directory).unwrap_or_default();
        let place = Place::below(Path::new(directory)).map_err(|problem| wrong("directory", problem))?;
        options.place = Arc::new(place);
    }
    if let Some(rights) = parameters.value("file_permissions") {
        let rights = rights.to_bytes().unwrap_or_default();
        let mode = std::str::from_utf8(&rights).ok().and_then(|rights| u32::from_str_radix(rights, 8).ok());
        let mode = mode.filter(|mode| *mode <= 0o777);
        options.mode = mode.ok_or_else(|| {
            wrong("file_permissions", format!("`{}` is no octal number such as 644", rights.lossy()))
        })?;
    }
    let given = parameters.number("max_open_sockets", OPEN_FILES as i64);
    options.open_files = usize::try_from(given)
        .ok()
        .filter(|most| (1..=MOST_OPEN_FILES).contains(most))
        .ok_or_else(|| wrong("max_open_sockets", format!("give a number from 1 to {MOST_OPEN_FILES}")))?;
    Ok(options)
}

/// `evi_flat_rotate path_to_file`
fn rotate(server: &'static Server, params: &Params) -> Outcome {
    let path = params.text("path_to_file")?;
    let socket = [b"flatstore:", &*path].concat();
    let subscriptions = server.events.subscriptions().list(monotonic_millis());
    if !subscriptions.iter().any(|subscription| subscription.socket.as_bytes() == socket) {
        return Err(MiError::new(400, "File not found"));
    }
    server.state::<Rotations>().rotate(&path);
    Ok(Json::from("OK"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(name: &str, value: impl Into<Value>) -> Result<Options, SetupError> {
        options(&Parameters(vec![(name.to_owned(), value.into())]))
    }

    #[test]
    fn parameters_say_how_files_are_written() {
        let none = options(&Parameters::default()).unwrap();
        assert_eq!((none.mode, none.open_files), (0o644, 100));
        assert_eq!((none.layout.delimiter.as_slice(), none.layout.with_name), (&b","[..], true));
        assert_eq!(given("file_permissions", "664").unwrap().mode, 0o664);
        assert_eq!(given("delimiter", ";").unwrap().layout.delimiter, b";");
        assert!(!given("suppress_event_name", 1).unwrap().layout.with_name);
        assert_eq!(given("max_open_sockets", 200).unwrap().open_files, 200);
        assert!(given("file_permissions", "rw").is_err() && given("file_permissions", "1000").is_err());
        assert!(given("max_open_sockets", 0).is_err());
        assert!(!none.layout.escape && given("escape", "yes").unwrap().layout.escape);
        for delimiter in ["", "n", "\\"] {
            let both = [("delimiter", Value::str(delimiter)), ("escape", Value::Int(1))];
            let both = both.map(|(name, value)| (name.to_owned(), value)).into();
            assert!(options(&Parameters(both)).is_err(), "{delimiter}");
        }
        assert_eq!(*given("directory", "/").unwrap().place, Place::below(Path::new("/")).unwrap());
        assert!(given("directory", "logs").is_err());
    }
}
