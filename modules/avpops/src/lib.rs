//! avpops: databases and AVPs. A query goes to the database whose URL a parameter gives ([`parameters`]), its result into
//! AVPs of the message ([`query`]); a table may keep the AVPs of users ([`stored`], [`owner`], [`scheme`]). AVPs are changed ([`values`]), compared and calculated with ([`compared`]), and become
//! part of the request ([`pushed`]); [`written`] reads how functions name them.
#![forbid(unsafe_code)]

mod compared;
mod owner;
mod parameters;
mod pushed;
mod query;
mod scheme;
mod stored;
#[cfg(test)]
mod tests;
mod values;
mod written;

use tocsin_script::ModuleSpec;
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};

use parameters::{Store, Urls};

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct Avpops;

impl Module for Avpops {
    fn spec(&self) -> ModuleSpec<Context> {
        let mut functions = query::functions();
        functions.extend(stored::functions());
        functions.extend(values::functions());
        functions.extend(compared::functions());
        functions.extend(pushed::functions());
        ModuleSpec { params: parameters::NAMES, functions, ..ModuleSpec::new(parameters::NAME) }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let urls = Urls::new(&setup.parameters, &mut setup.registered.databases)?;
        setup.registered.states.put(urls);
        let store = Store::new(&setup.parameters)?;
        setup.registered.states.put(store);
        Ok(())
    }
}
