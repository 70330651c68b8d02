//! path: this server in the Path of a registration that it forwards (RFC 3327), and the way back from there.
//!
//! [`entry`] writes the header field; [`outbound`] finds which of the listeners the registrar will see. What is noted of
//! where a registration came from is read again by [`next_hop_noted`], when loose routing meets the entry in a route set.
#![forbid(unsafe_code)]

mod entry;
mod outbound;

use std::rc::Rc;

use tocsin_script::{Bytes, Call, Function, ModParam, ModuleSpec, Param, ParamKind, Routes};
use tocsin_server::core::as_text;
use tocsin_server::module::{Module, Setup, SetupError};
use tocsin_server::{Context, Server};
use tocsin_sip::{HeaderName, UriRef};

use self::entry::{Entry, noted_received};

/// The longest user that an entry may have, in bytes.
const MAX_USER_BYTES: usize = 256;

const USE_RECEIVED: ModParam = ModParam::switch(
    "use_received",
    false,
    "Whether the `received` parameter of a Route header field that loose routing removes names the next hop.",
);
const ENABLE_DOUBLE_PATH: ModParam = ModParam::switch(
    "enable_double_path",
    true,
    "Whether two Path header fields are added where a request leaves by another socket than it arrived on.",
);

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct Path;

/// The module's parameters.
#[derive(Debug, Clone, Copy)]
struct Settings {
    /// `use_received`: what is noted in the entry of a route set is the next hop.
    use_received: bool,
    /// `enable_double_path`: two entries where a request leaves by another socket than it came by.
    double: bool,
}

impl Module for Path {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec {
            params: &[USE_RECEIVED, ENABLE_DOUBLE_PATH],
            functions: vec![
                function("add_path", false).doc(
                    "Adds a Path header field with this server, and the user if it is given. 1: done; \
                         -1: the user is too long.",
                ),
                function("add_path_received", true).doc(
                    "Adds a Path header field with this server, the user and the address that the \
                         request came from. 1: done; -1: the user is too long.",
                ),
            ],
            ..ModuleSpec::new("path")
        }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let given = &setup.parameters;
        let settings =
            Settings { use_received: given.on(&USE_RECEIVED), double: given.on(&ENABLE_DOUBLE_PATH) };
        setup.registered.states.put(settings);
        Ok(())
    }
}

/// Where a request goes on whose route set ends at `entry`, this server's own: to the address that was noted in it, if
/// the module is loaded and `use_received` is on.
pub fn next_hop_noted(server: &Server, entry: &UriRef<'_>) -> Option<Bytes> {
    let settings = server.registered.states.find::<Settings>()?;
    settings.use_received.then(|| noted_received(entry)).flatten()
}

fn function(name: &'static str, notes_received: bool) -> Function<Context> {
    const USER: &[Param] = &[Param::optional("user", ParamKind::Str)];
    Function::new(name, USER, Routes::REQUEST, move |_| {
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            let user = as_text(&arguments[0]).filter(|user| !user.is_empty());
            if user.as_ref().is_some_and(|user| user.len() > MAX_USER_BYTES) {
                tracing::error!("{name}: the user is longer than {MAX_USER_BYTES} bytes");
                return false.into();
            }
            add(cx, user.as_deref(), notes_received);
            true.into()
        });
        Ok(call)
    })
}

fn add(cx: &mut Context, user: Option<&[u8]>, notes_received: bool) {
    let server = cx.server();
    let double = server.state::<Settings>().double;
    let inbound = server.network.sockets.listener(cx.received.socket);
    let outbound = outbound::leaving_by(cx).filter(|id| *id != inbound.id);
    let entry = Entry {
        user,
        received: notes_received.then_some((inbound.protocol, cx.received.source)),
        keeps_flow: notes_received && is_first_hop_of_flow(cx),
    };
    let mut value = Vec::with_capacity(128);
    match outbound.map(|id| server.network.sockets.listener(id)) {
        None => entry.write(inbound.into(), false, &mut value),
        Some(outbound) if double => entry.write_pair(outbound.into(), inbound.into(), &mut value),
        // The registrar must be able to come back.
        Some(outbound) => entry.write(outbound.into(), false, &mut value),
    }
    cx.edits.push_or_append(&cx.message, HeaderName::Path, &value);
}

/// Whether the device itself sent this registration here, and says that it manages its flows (RFC 5626 section 5.1).
fn is_first_hop_of_flow(cx: &Context) -> bool {
    let message = &cx.message;
    let has_reg_id = || message.contacts().flatten().any(|contact| matches!(contact.reg_id(), Ok(Some(1..))));
    message.lists_token(HeaderName::Supported, b"outbound")
        && message.values(HeaderName::Via).nth(1).is_none()
        && has_reg_id()
}
