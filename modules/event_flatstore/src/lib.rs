//! event_flatstore: subscribers that are files, at `flatstore:path`: a line an event.
//!
//! Files are written by a thread of the courier's runtime, so that a disk that is slow or gone holds up no other
//! subscriber. `evi_flat_rotate` has a file opened anew.
#![forbid(unsafe_code)]

mod lines;
mod options;
mod place;
mod store;

use std::rc::Rc;

use tocsin_json::Value as Json;
use tocsin_mi::{MiError, Outcome, Params};
use tocsin_script::ModuleSpec;
use tocsin_server::module::{CommandRow, Management, Module, Setup, SetupError};
use tocsin_server::{Context, Server};
use tocsin_shm::monotonic_millis;

use self::options::{NAME, PARAMETERS, options};
use self::store::{FlatStore, Rotations};

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct EventFlatstore;

impl Module for EventFlatstore {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: PARAMETERS, ..ModuleSpec::new(NAME) }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let options = options(&setup.parameters)?;
        let rotations = Rotations::create(setup.arena)?;
        setup.registered.states.put(rotations);
        setup.registered.transports.add(Rc::new(FlatStore::new(options, rotations)));
        Ok(())
    }

    fn management(&self) -> Management {
        Management { commands: COMMANDS, ..Management::default() }
    }
}

const COMMANDS: &[CommandRow] = &[CommandRow::new(
    "evi_flat_rotate",
    &[&["path_to_file"]],
    "Opens the file of an event subscriber again, under its name.",
    |worker, params| rotate(worker.server, params),
)];

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
