//! Variables that show where the message came from, and the process and time it is served in.

use std::rc::Rc;

use tocsin_script::{Accessor, ArgError, Bytes, Index, Value, Variable};
use tocsin_shm::identity;

use super::values::{computed, refused, settable};
use crate::context::Context;
use crate::sockets::Listener;

pub(super) fn variables() -> Vec<Variable<Context>> {
    vec![
        computed("si", |cx| printed(cx.received.source.ip())),
        computed("sp", |cx| Value::Int(cx.received.source.port().into())),
        computed("Ri", |cx| printed(listener(cx).address.ip())),
        computed("Rp", |cx| Value::Int(listener(cx).address.port().into())),
        computed("rP", |cx| Value::Str(Bytes::from(listener(cx).protocol.via_name()))),
        computed("proto", |cx| Value::Str(Bytes::from(listener(cx).protocol.name()))),
        Variable::new("socket_in", |site| {
            let field = site.sub().map(|_| site.literal_sub()).transpose()?;
            let read = field.map_or(Ok(SOCKET_NAME), |name| socket_field(&name.lossy()))?;
            let accessor: Rc<dyn Accessor<Context>> = Rc::new(SocketIn(read));
            Ok(accessor)
        }),
        settable(
            "socket_out",
            |cx| match cx.targets.main.socket {
                Some(id) => Value::Str(Bytes::from(cx.server().network.sockets.listener(id).name.as_str())),
                None => Value::Null,
            },
            |cx, value| {
                let name =
                    super::as_text(&value).ok_or_else(|| refused("the sending socket cannot be NULL"))?;
                let found = super::routing::listener_named(cx.server(), &name.lossy());
                cx.targets.main.socket = Some(found.ok_or_else(|| refused("no `socket=` of this name"))?.id);
                Ok(())
            },
        ),
        computed("pp", |_| Value::Int(identity::pid().into())),
        computed("Ts", |_| Value::Int(crate::time::unix_seconds() as i64)),
        computed("Tf", |_| Value::Str(Bytes::from(crate::time::calendar(crate::time::unix_seconds())))),
        computed("TS", |_| Value::Str(Bytes::from(crate::time::calendar(crate::time::unix_seconds())))),
        computed("version", |_| Value::Str(Bytes::from(env!("CARGO_PKG_VERSION")))),
    ]
}

/// What a script wants to know of a listening address.
type SocketField = fn(&Listener) -> Value;

const SOCKET_NAME: SocketField = |listener| Value::Str(Bytes::from(listener.name.as_str()));

/// The fields of `$socket_in(field)` (manual, "Core Variables").
const SOCKET_FIELDS: [(&str, SocketField); 8] = [
    ("socket", SOCKET_NAME),
    ("proto", |listener| Value::Str(Bytes::from(listener.protocol.via_name()))),
    ("ip", |listener| printed(listener.address.ip())),
    ("port", |listener| Value::Int(listener.address.port().into())),
    ("advertised_ip", |listener| Value::Str(Bytes::from(listener.advertised.0.as_str()))),
    ("advertised_port", |listener| Value::Int(listener.advertised.1.into())),
    ("tag", |listener| listener.tag.as_deref().map_or(Value::Null, |tag| Value::Str(Bytes::from(tag)))),
    ("af", |listener| Value::Str(Bytes::from(if listener.address.is_ipv4() { "INET" } else { "INET6" }))),
];

/// The field of that name.
fn socket_field(name: &str) -> Result<SocketField, ArgError> {
    SOCKET_FIELDS.iter().find(|(field, _)| *field == name).map(|(_, read)| *read).ok_or_else(|| {
        ArgError::new(format!("$socket_in has no field `{name}`"))
            .suggest(name, SOCKET_FIELDS.iter().map(|(field, _)| *field))
    })
}

/// `$socket_in` and its fields.
struct SocketIn(SocketField);

impl Accessor<Context> for SocketIn {
    fn read(&self, cx: &mut Context, _: Index) -> Value {
        (self.0)(listener(cx))
    }
}

fn listener(cx: &Context) -> &'static Listener {
    cx.server().network.sockets.listener(cx.received.socket)
}

fn printed(thing: impl std::fmt::Display) -> Value {
    Value::Str(Bytes::from(thing.to_string()))
}
