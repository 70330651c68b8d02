//! sipmsgops: looking at and changing SIP messages, header field by header field.
//!
//! What a function looks at is the message as it came, as scripts have always had it; only where a function builds on
//! what an earlier one did - lists in header fields, bodies - it looks at what would be sent ([`function::leaving`]).
#![forbid(unsafe_code)]

mod bodies;
mod function;
mod headers;
mod lists;
mod request_uri;
mod sdp;
mod start_line;
#[cfg(test)]
mod tests;
mod validate;

use tocsin_script::ModuleSpec;
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct Sipmsgops;

impl Module for Sipmsgops {
    fn spec(&self) -> ModuleSpec<Context> {
        let functions = [
            headers::functions(),
            lists::functions(),
            start_line::functions(),
            request_uri::functions(),
            bodies::functions(),
            sdp::functions(),
            validate::functions(),
        ];
        ModuleSpec { functions: functions.into_iter().flatten().collect(), ..ModuleSpec::new("sipmsgops") }
    }

    fn start(&self, _: &mut Setup<'_>) -> Result<(), SetupError> {
        Ok(())
    }
}
