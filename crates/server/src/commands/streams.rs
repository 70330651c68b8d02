//! `list_tcp_conns`.

use tocsin_json::Value;
use tocsin_mi::{Command, MiError, Printed, Registry, Reply, Rows};
use tocsin_net::connections::{View, marks};

use super::list_room;
use crate::server::Server;
use crate::time;

/// The state of a connection that is open, as OpenSIPS numbers it.
const OPEN: i64 = 0;
/// The state of one that is being opened.
const CONNECTING: i64 = 1;

pub(super) fn add(server: &'static Server, registry: &mut Registry) {
    registry.add(Command::new("core", "list_tcp_conns", &[&[]], "lists the connections", move |_| {
        if !["proto_tcp", "proto_tls", "proto_ws", "proto_wss"]
            .into_iter()
            .any(|name| server.has_module(name))
        {
            return Value::Null.into();
        }
        Reply::long(list(server))
    }));
}

async fn list(server: &'static Server) -> Result<Printed, MiError> {
    let (mut room, mut rows) = (list_room(server), Rows::default());
    for view in server.network.shared.connections.all() {
        if !room.add(&mut rows, &row(&view)).await {
            break;
        }
    }
    let mut printed = Printed::default();
    printed.text("{\"Connections\":").rows(rows).end(&room);
    Ok(printed)
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
