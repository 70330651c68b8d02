//! `list_tcp_conns`.

use tocsin_json::Value;
use tocsin_mi::{MiError, Printed, Reply, Rows};
use tocsin_net::connections::{View, marks};

use super::list_room;
use crate::module::CommandRow;
use crate::server::Server;
use crate::time;

/// The state of a connection that is open, as OpenSIPS numbers it.
const OPEN: i64 = 0;
/// The state of one that is being opened.
const CONNECTING: i64 = 1;

pub(super) const COMMANDS: &[CommandRow] =
    &[CommandRow::replying("list_tcp_conns", &[&[]], "Lists the connections.", |worker, _| {
        let streams = ["proto_tcp", "proto_tls", "proto_ws", "proto_wss"];
        if !streams.into_iter().any(|name| worker.server.has_module(name)) {
            return Value::Null.into();
        }
        Reply::long(list(worker.server))
    })];

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
