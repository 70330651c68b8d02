//! sipmsgops: looking at and changing SIP messages, header field by header field.
//!
//! What a function looks at is the message as it came, as scripts have always had it; only where a function builds on
//! what an earlier one did - lists in header fields, bodies - it looks at what would be sent ([`leaving`]).
#![forbid(unsafe_code)]

mod bodies;
mod headers;
mod lists;
mod request_uri;
mod sdp;
mod start_line;
#[cfg(test)]
mod tests;
mod validate;

use std::rc::Rc;

use tocsin_script::{Bytes, Call, Function, ModuleSpec, Param, Routes, Value};
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};
use tocsin_sip::Message;

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

/// Where most functions may be used.
const MESSAGES: Routes =
    Routes::REQUEST.union(Routes::REPLY).union(Routes::FAILURE).union(Routes::BRANCH).union(Routes::LOCAL);
/// Where functions on the Request-URI may be used.
const REQUESTS: Routes = Routes::REQUEST.union(Routes::FAILURE).union(Routes::BRANCH).union(Routes::LOCAL);

/// The arguments of a function as texts: those left out are `None`.
struct Arguments<'a>(&'a [Value]);

impl Arguments<'_> {
    fn text(&self, argument: usize) -> Option<Bytes> {
        self.0.get(argument).and_then(Value::to_bytes)
    }

    fn required(&self, argument: usize) -> Bytes {
        self.text(argument).unwrap_or_default()
    }
}

/// A function that is true or false.
fn function(
    name: &'static str,
    params: &'static [Param],
    routes: Routes,
    act: fn(&mut Context, &Arguments<'_>) -> bool,
) -> Function<Context> {
    Function::new(name, params, routes, move |_| {
        let call: Call<Context> = Rc::new(move |cx, arguments| act(cx, &Arguments(arguments)).into());
        Ok(call)
    })
}

/// The message as it would be sent now. `None` if the script has made something of it that is no message.
fn leaving(cx: &Context) -> Option<Message> {
    let mut printed = Vec::with_capacity(cx.message.bytes().len() + 256);
    cx.message.print_into(&cx.edits, &mut printed);
    Message::parse(printed, cx.message.limits()).ok()
}
