//! tls_mgm: the TLS domains - which certificate each peer gets, and which peers are trusted.
//!
//! Parameters define domains ([`parameters`]), and so does a table of a database ([`table`]). The files are read at the
//! start, the table as soon as it can be, both again at each `tls_reload`; they are checked all together, and shared with
//! every process ([`store`]). The server asks for the configuration of each connection
//! that comes in or is opened; the script asks who is at its other end ([`variables`]).
#![forbid(unsafe_code)]

mod certificate;
mod ciphers;
mod commands;
mod configs;
mod definition;
mod files;
mod matching;
mod parameters;
mod record;
mod settings;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod variables;
mod verifier;

use std::rc::Rc;

use tocsin_script::ModuleSpec;
use tocsin_server::module::{Management, Module, Setup, SetupError};
use tocsin_server::{Context, Server, tables};

use settings::Settings;
use store::Store;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct TlsMgm;

impl Module for TlsMgm {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec {
            params: settings::NAMES,
            functions: variables::functions(),
            variables: variables::variables(),
            ..ModuleSpec::new(parameters::MODULE)
        }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let settings = Settings::new(&setup.parameters, &mut setup.registered.databases)?;
        let store = Store::create(settings, setup)?;
        if store.has_table() {
            setup.registered.jobs.push(tables::until_read(
                "tls_mgm",
                |worker| !worker.server.state::<Rc<Store>>().is_waiting(),
                |worker| Box::pin(first_read(worker.server)),
            ));
        }
        setup.registered.states.put(Rc::clone(&store));
        setup.registered.tls_selections = Some(Rc::clone(&store) as _);
        setup.security = Some(store);
        Ok(())
    }

    fn management(&self) -> Management {
        Management { commands: commands::COMMANDS, ..Management::default() }
    }
}

/// Puts the domains of the database in force for the first time.
async fn first_read(server: &'static Server) -> Result<(), String> {
    let read = server.state::<Rc<Store>>().read_database(server).await;
    let count = read.map_err(|cause| cause.to_string())?;
    tracing::info!("tls_mgm: {count} TLS domains of the database are in force");
    Ok(())
}
