//! tls_mgm: the TLS domains - which certificate is shown to whom, and who is trusted.
//!
//! Parameters define the domains ([`parameters`]); their files are read at the start and at each `tls_reload`, checked
//! all together, and shared with every process ([`store`]). The server asks for the configuration of each connection
//! that comes in or is opened; the script asks who is at its other end ([`variables`]).

mod certificate;
mod ciphers;
mod commands;
mod configs;
mod files;
mod matching;
mod parameters;
mod record;
mod store;
#[cfg(test)]
mod tests;
mod variables;
mod verifier;

use std::rc::Rc;

use tocsin_script::ModuleSpec;
use tocsin_server::module::{Module, Setup, SetupError};
use tocsin_server::{Context, Server};

use parameters::Settings;
use store::Store;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct TlsMgm;

impl Module for TlsMgm {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec {
            params: parameters::NAMES,
            functions: variables::functions(),
            variables: variables::variables(),
            ..ModuleSpec::new("tls_mgm")
        }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let settings = Settings::new(&setup.parameters)?;
        let store = Store::create(settings, setup)?;
        setup.states.put(Rc::clone(&store));
        setup.security = Some(store);
        Ok(())
    }

    fn commands(&self, server: &'static Server, registry: &mut tocsin_mi::Registry) {
        commands::add(server, registry);
    }
}
