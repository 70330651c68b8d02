//! rr: record routing and loose routing (RFC 3261 sections 16.4, 16.6 and 16.12).
//!
//! [`record`] puts this server into the route set of a dialog; [`loose`] follows a route set that comes back in Route
//! header fields; [`local`] tells what the part of it that names this server carries. Nothing is kept: what a function
//! needs to know of an earlier one is in the message and its edits.
#![forbid(unsafe_code)]

mod local;
mod loose;
mod record;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::module::{Module, Setup, SetupError};
use tocsin_server::{Context, Server};
use tocsin_sip::{Scheme, UriRef};

const APPEND_FROMTAG: ModParam = ModParam::switch(
    "append_fromtag",
    true,
    "Whether Record-Route carries the From tag, so that is_direction() can tell the caller from the callee.",
);
const ENABLE_DOUBLE_RR: ModParam = ModParam::switch(
    "enable_double_rr",
    true,
    "Whether two Record-Route header fields are added where a request leaves by another socket than it arrived on.",
);
const ADD_USERNAME: ModParam =
    ModParam::switch("add_username", false, "Whether Record-Route carries the user of the Request-URI.");
const ENABLE_SOCKET_MISMATCH_WARNING: ModParam = ModParam::switch(
    "enable_socket_mismatch_warning",
    true,
    "Whether it is logged that record_route_preset() names another address than the request leaves by.",
);

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct Rr;

/// The module's parameters.
#[derive(Debug, Clone, Copy)]
struct Settings {
    /// `append_fromtag`: note the From tag, to tell caller from callee later.
    from_tag: bool,
    /// `enable_double_rr`: two entries where a request leaves by another socket than it came by.
    double: bool,
    /// `add_username`: note the user of the Request-URI.
    username: bool,
    /// `enable_socket_mismatch_warning`: tell in the log of presets that name another host.
    mismatch_warning: bool,
}

impl Module for Rr {
    fn spec(&self) -> ModuleSpec<Context> {
        const PARAMETERS: &[ModParam] =
            &[APPEND_FROMTAG, ENABLE_DOUBLE_RR, ADD_USERNAME, ENABLE_SOCKET_MISMATCH_WARNING];
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
        let given = &setup.parameters;
        let settings = Settings {
            from_tag: given.on(&APPEND_FROMTAG),
            double: given.on(&ENABLE_DOUBLE_RR),
            username: given.on(&ADD_USERNAME),
            mismatch_warning: given.on(&ENABLE_SOCKET_MISMATCH_WARNING),
        };
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

/// Whether a URI of a route set names this server.
fn is_own(server: &Server, uri: &UriRef<'_>) -> bool {
    matches!(uri.scheme(), Scheme::Sip | Scheme::Sips)
        && server.network.sockets.is_myself(uri.host(), uri.port())
}
