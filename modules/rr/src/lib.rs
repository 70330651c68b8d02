//! rr: record routing and loose routing (RFC 3261 sections 16.4, 16.6 and 16.12).
//!
//! [`record`] puts this server into the route set of a dialog; [`loose`] follows a route set that comes back in Route
//! header fields; [`local`] reads what the part of it that names this server carries. Nothing is kept: what a function
//! needs to know of an earlier one is in the message and its edits.
#![forbid(unsafe_code)]

mod local;
mod loose;
mod record;
mod settings;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use tocsin_script::ModuleSpec;
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};

use settings::{PARAMETERS, Settings};

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct Rr;

impl Module for Rr {
    fn spec(&self) -> ModuleSpec<Context> {
        let mut functions = record::functions();
        functions.push(loose::function());
        functions.extend(local::functions());
        ModuleSpec {
            params: PARAMETERS,
            functions,
            variables: vec![local::variable()],
            ..ModuleSpec::new("rr")
        }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let settings = Settings::new(&setup.parameters);
        setup.registered.states.put(settings);
        setup.registered.on_leaving.push(Rc::new(record::complete));
        Ok(())
    }
}

/// Whether a request within a dialog goes from the callee to the caller: known from the From tag that `append_fromtag` notes in
/// Record-Route, and false if that is not there.
pub fn is_upstream(cx: &Context) -> bool {
    local::is_upstream(cx)
}
