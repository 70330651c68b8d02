//! What the functions have in common: where they may be used, their arguments, and the message that they look at.

use std::rc::Rc;

use tocsin_script::{Bytes, Call, Function, Param, Routes, Value};
use tocsin_server::Context;
use tocsin_sip::Message;

/// Where most functions may be used.
pub(super) const MESSAGES: Routes =
    Routes::REQUEST.union(Routes::REPLY).union(Routes::FAILURE).union(Routes::BRANCH).union(Routes::LOCAL);
/// Where functions on the Request-URI may be used.
pub(super) const REQUESTS: Routes =
    Routes::REQUEST.union(Routes::FAILURE).union(Routes::BRANCH).union(Routes::LOCAL);

/// The arguments of a function as texts: those left out are `None`.
pub(super) struct Arguments<'a>(pub(super) &'a [Value]);

impl Arguments<'_> {
    pub(super) fn text(&self, argument: usize) -> Option<Bytes> {
        self.0.get(argument).and_then(Value::to_bytes)
    }

    pub(super) fn required(&self, argument: usize) -> Bytes {
        self.text(argument).unwrap_or_default()
    }
}

/// A function that is true or false.
pub(super) fn function(
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
pub(super) fn leaving(cx: &Context) -> Option<Message> {
    let mut printed = Vec::with_capacity(cx.message.bytes().len() + 256);
    cx.message.print_into(&cx.edits, &mut printed);
    Message::parse(printed, cx.message.limits()).ok()
}
