//! event_xmlrpc: subscribers that are XML-RPC servers, at `xmlrpc:host:port[/path]:method`.
//!
//! Each event is one call over HTTP/1.1, and the next follows when it is answered. It is delivered when the server answered
//! with a status of 2xx; what the answer says otherwise is not looked at.
#![forbid(unsafe_code)]

mod address;
mod call;
mod connection;
mod outlet;

use std::rc::Rc;

use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};

use self::outlet::Xmlrpc;

const USE_STRUCT_PARAM: ModParam = ModParam::switch(
    "use_struct_param",
    false,
    "Whether each named parameter of an event is a struct with one member, and not a value beside its name.",
);

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct EventXmlrpc;

impl Module for EventXmlrpc {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: &[USE_STRUCT_PARAM], ..ModuleSpec::new("event_xmlrpc") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let with_structs = setup.parameters.on(&USE_STRUCT_PARAM);
        setup.registered.transports.add(Rc::new(Xmlrpc::new(with_structs)));
        Ok(())
    }
}
