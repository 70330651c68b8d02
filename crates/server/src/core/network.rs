//! Variables that show where the message came from and goes to, and the process it is served in.

use std::net::IpAddr;
use std::rc::Rc;

use tocsin_script::{Accessor, ArgError, Bytes, Index, Naming, Store, Value, VarSite, Variable, WriteError};
use tocsin_shm::identity;

use super::values::{readable, refused};
use crate::context::Context;
use crate::sockets::Listener;

pub(super) fn variables() -> Vec<Variable<Context>> {
    vec![
        readable("si", "The address that the message came from.", |cx| printed(cx.received.source.ip()))
            .also(&["src_ip"]),
        readable("sp", "The port that the message came from.", |cx| {
            Value::Int(cx.received.source.port().into())
        }),
        readable("proto", "The transport protocol that the message came over.", |cx| {
            Value::Str(Bytes::from(received_at(cx).protocol.name()))
        }),
        Variable::declared(
            "socket_in",
            "The socket that received the message; with a name, a part of it: `ip`, `port`, `proto`, `advertised_ip`, \
             `advertised_port`, `tag`, `anycast`, `af`.",
            |site| socket(site, Way::In),
        )
        .named(Naming::Optional("field")),
        Variable::declared(
            "socket_out",
            "The socket that will send the message, the one that received it unless another is assigned; with a name, a part \
             of it as of `$socket_in`.",
            |site| socket(site, Way::Out),
        )
        .named(Naming::Optional("field"))
        .settable(),
        readable("pp", "The ID of the process.", |_| Value::Int(identity::pid().into())),
        readable("version", "The version of the server.", |_| {
            Value::Str(Bytes::from(env!("CARGO_PKG_VERSION")))
        }),
        Variable::declared("argv", "An argument of the command line, by its number from 0.", |site| {
            let at = std::str::from_utf8(&site.literal_sub()?).ok().and_then(|at| at.parse().ok());
            let accessor: Rc<dyn Accessor<Context>> = Rc::new(Argument(at));
            Ok(accessor)
        })
        .named(Naming::Required("number")),
    ]
}

/// What a script wants to know of a listening address.
type SocketField = fn(&Listener) -> Value;

const SOCKET_NAME: SocketField = |listener| Value::Str(Bytes::from(listener.name.as_str()));

/// The fields of `$socket_in(field)` and `$socket_out(field)` (manual, "Core Variables").
const SOCKET_FIELDS: [(&str, SocketField); 9] = [
    ("socket", SOCKET_NAME),
    ("proto", |listener| Value::Str(Bytes::from(listener.protocol.name()))),
    ("ip", |listener| printed(listener.address.ip())),
    ("port", |listener| Value::Int(listener.address.port().into())),
    ("advertised_ip", |listener| match listener.advertised.0 == listener.address.ip().to_string() {
        true => Value::Null,
        false => Value::Str(Bytes::from(listener.advertised.0.as_str())),
    }),
    ("advertised_port", |listener| match listener.advertised.1 == listener.address.port() {
        true => Value::Null,
        false => Value::Int(listener.advertised.1.into()),
    }),
    ("tag", |listener| listener.tag.as_deref().map_or(Value::Null, |tag| Value::Str(Bytes::from(tag)))),
    ("anycast", |_| Value::Int(0)),
    ("af", |listener| Value::Str(Bytes::from(if listener.address.is_ipv4() { "INET" } else { "INET6" }))),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

/// `$socket_in` or `$socket_out` and their fields.
struct Socket {
    way: Way,
    read: SocketField,
    whole: bool,
}

fn socket(site: &VarSite<'_, Context>, way: Way) -> Result<Rc<dyn Accessor<Context>>, ArgError> {
    let Some(_) = site.sub() else { return Ok(Rc::new(Socket { way, read: SOCKET_NAME, whole: true })) };
    let name = site.literal_sub()?;
    let name = name.lossy();
    let field = SOCKET_FIELDS.iter().find(|(field, _)| *field == name).map(|(_, read)| *read);
    let read = field.ok_or_else(|| {
        ArgError::new(format!("${} has no field `{name}`", site.name()))
            .suggest(&name, SOCKET_FIELDS.iter().map(|(field, _)| *field))
    })?;
    Ok(Rc::new(Socket { way, read, whole: false }))
}

impl Accessor<Context> for Socket {
    fn read(&self, cx: &mut Context, _: Index) -> Value {
        // what came from nowhere has no socket
        if cx.received.source.ip().is_unspecified() {
            return Value::Null;
        }
        let listener = match (self.way, cx.targets.main.socket) {
            (Way::Out, Some(id)) => cx.server().network.sockets.listener(id),
            _ => received_at(cx),
        };
        (self.read)(listener)
    }

    /// A name that no socket has changes nothing, and is said in the log; NULL takes back what was chosen.
    fn write(&self, cx: &mut Context, _: Index, value: Value, _: Store) -> Result<(), WriteError> {
        let name = match value {
            Value::Null => {
                cx.targets.main.socket = None;
                return Ok(());
            }
            Value::Str(name) if !name.is_empty() => name,
            _ => return Err(refused("a socket is named by a text, such as udp:192.0.2.1:5060")),
        };
        match super::routing::listener_named(cx.server(), &name.lossy()) {
            Some(listener) => cx.targets.main.socket = Some(listener.id),
            None => tracing::warn!("$socket_out: there is no socket `{}`", name.lossy()),
        }
        Ok(())
    }

    fn writable(&self) -> bool {
        self.way == Way::Out && self.whole
    }
}

fn received_at(cx: &Context) -> &'static Listener {
    cx.server().network.sockets.listener(cx.received.socket)
}

/// `$argv(n)`
struct Argument(Option<usize>);

impl Accessor<Context> for Argument {
    fn read(&self, _: &mut Context, _: Index) -> Value {
        let argument = self.0.and_then(|at| std::env::args().nth(at));
        argument.map_or(Value::Null, |argument| Value::Str(Bytes::from(argument)))
    }
}

/// Bytes of the longest address of IPv4.
const MAX_V4_BYTES: usize = 15;

fn printed(address: IpAddr) -> Value {
    let mut text = Vec::with_capacity(MAX_V4_BYTES);
    tocsin_sip::write_address(address, &mut text);
    Value::Str(Bytes::from(text))
}
