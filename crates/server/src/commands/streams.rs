//! `list_tcp_conns`.

use tocsin_json::Value;
use tocsin_mi::{Command, Registry};
use tocsin_net::connections::{View, marks};

use crate::server::Server;
use crate::time;

/// The state of a connection that is open, as the peer numbers it.
const OPEN: i64 = 0;
/// The state of one that is being opened.
const CONNECTING: i64 = 1;

pub(super) fn add(server: &'static Server, registry: &mut Registry) {
    registry.add(Command::new("core", "list_tcp_conns", &[&[]], "lists the connections", move |_| {
        let is_stream =
            |name: &String| matches!(name.as_str(), "proto_tcp" | "proto_tls" | "proto_ws" | "proto_wss");
        if !server.program.modules().iter().any(is_stream) {
            return Value::Null;
        }
        let rows = server.exchange.connections.all().map(|view| row(&view));
        Value::object([("Connections", Value::Array(rows.collect()))])
    }));
}

fn row(view: &View) -> Value {
    let left_ms = view.idle_until.saturating_sub(time::now_ms());
    let alias = if view.alias == 0 { view.remote.port() } else { view.alias };
    Value::object([
        ("ID", Value::Int(view.id.number() as i64)),
        ("Type", Value::from(view.protocol.name())),
        ("State", Value::Int(if view.marks & marks::OPEN != 0 { OPEN } else { CONNECTING })),
        ("Remote", Value::from(view.remote.to_string())),
        ("Local", Value::from(view.local.to_string())),
        ("Lifetime", Value::from(time::sortable((time::unix_ms() + left_ms) / 1000))),
        ("Alias port", Value::Int(alias.into())),
    ])
}
