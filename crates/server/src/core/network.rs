//! Variables that show where the message came from, and the process and time it is served in.

use tocsin_script::{Bytes, Value, Variable};
use tocsin_shm::identity;

use super::{computed, refused, settable};
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
        computed("socket_in", |cx| Value::Str(Bytes::from(listener(cx).name.as_str()))),
        settable(
            "socket_out",
            |cx| match cx.targets.main.socket {
                Some(id) => Value::Str(Bytes::from(cx.server().sockets.listener(id).name.as_str())),
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

fn listener(cx: &Context) -> &'static Listener {
    cx.server().sockets.listener(cx.received.socket)
}

fn printed(thing: impl std::fmt::Display) -> Value {
    Value::Str(Bytes::from(thing.to_string()))
}
