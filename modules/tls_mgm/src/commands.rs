//! Management commands: `tls_list` and `tls_reload`.

use std::rc::Rc;

use tocsin_json::Value as Json;
use tocsin_mi::{Command, MiError, Printed, Registry, Reply, Rows};
use tocsin_server::Server;
use tocsin_server::commands::list_room;

use super::parameters::Domain;
use super::store::Store;

/// Parameters that are shown as they were written.
const SHOWN: &[(&str, &str)] = &[
    ("match_ip_address", "*"),
    ("match_sip_domain", "*"),
    ("tls_method", "SSLv23"),
    ("verify_cert", "1"),
    ("require_cert", "1"),
    ("crl_check_all", "0"),
    ("crl_dir", ""),
    ("ca_list", ""),
    ("ciphers_list", ""),
    ("dh_params", ""),
    ("ec_curve", ""),
];

pub(super) fn add(server: &'static Server, registry: &mut Registry) {
    let store = || server.state::<Rc<Store>>();
    registry.add(Command::new("tls_mgm", "tls_list", &[&[]], "lists the TLS domains", move |_| {
        Reply::long(async move { Ok(list(server, store()).await) })
    }));
    let help = "reads the TLS domains of the database, and the files of all others, again";
    registry.add(Command::new("tls_mgm", "tls_reload", &[&[]], help, move |_| {
        Reply::later(async move {
            match store().reload(server).await {
                Ok(()) => {
                    tracing::info!("tls_mgm: all TLS domains were read again");
                    Ok(Json::from("OK"))
                }
                Err(cause) => {
                    tracing::error!("tls_mgm: nothing was reloaded: {cause}");
                    Err(MiError::new(500, cause.to_string()))
                }
            }
        })
    }));
}

async fn list(server: &'static Server, store: &Store) -> Printed {
    let (mut room, mut rows) = (list_room(server), Rows::default());
    for domain in &*store.domains() {
        if !room.add(&mut rows, &row(domain)).await {
            break;
        }
    }
    let mut printed = Printed::default();
    printed.text("{\"Domains\":").rows(rows).end(&room);
    printed
}

fn row(domain: &Domain) -> Json {
    let mut row = vec![("name", Json::from(domain.name.clone())), ("type", Json::from(domain.side.name()))];
    for (name, default) in SHOWN {
        row.push((name, Json::from(domain.written(name).unwrap_or(default).to_owned())));
    }
    for (name, place) in [
        ("certificate", &domain.certificate),
        ("private_key", &domain.private_key),
        ("ca_dir", &domain.ca_dir),
    ] {
        row.push((name, Json::from(place.shown.clone())));
    }
    Json::object(row)
}
