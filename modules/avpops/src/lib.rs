//! avpops: databases and AVPs. A query goes to the database whose URL a parameter gives ([`parameters`]), its result into
//! AVPs of the message ([`query`]).
#![forbid(unsafe_code)]

mod parameters;
mod query;
#[cfg(test)]
mod tests;

use tocsin_script::ModuleSpec;
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};

use parameters::Urls;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct Avpops;

const NAME: &str = "avpops";

impl Module for Avpops {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: parameters::NAMES, functions: query::functions(), ..ModuleSpec::new(NAME) }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let urls = Urls::new(&setup.parameters, &mut setup.registered.databases)?;
        setup.registered.states.put(urls);
        Ok(())
    }
}
