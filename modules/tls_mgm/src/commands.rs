//! Management commands: `tls_list` and `tls_reload`.

use std::rc::Rc;

use tocsin_json::Value as Json;
use tocsin_mi::{MiError, Printed, Reply, Rows};
use tocsin_script::ModParam;
use tocsin_server::Server;
use tocsin_server::commands::list_room;
use tocsin_server::module::CommandRow;

use super::parameters::{
    CA_DIR, CA_LIST, CERTIFICATE, CIPHERS_LIST, CRL_CHECK_ALL, CRL_DIR, DH_PARAMS, Domain, EC_CURVE,
    MATCH_IP_ADDRESS, MATCH_SIP_DOMAIN, PRIVATE_KEY, REQUIRE_CERT, TLS_METHOD, VERIFY_CERT,
};
use super::store::Store;

/// Parameters that are shown as they were written.
const SHOWN: &[ModParam] = &[
    MATCH_IP_ADDRESS,
    MATCH_SIP_DOMAIN,
    TLS_METHOD,
    VERIFY_CERT,
    REQUIRE_CERT,
    CRL_CHECK_ALL,
    CRL_DIR,
    CA_LIST,
    CIPHERS_LIST,
    DH_PARAMS,
    EC_CURVE,
];

pub(super) const COMMANDS: &[CommandRow] = &[
    CommandRow::replying("tls_list", &[&[]], "Lists the TLS domains.", |worker, _| {
        Reply::long(async move { Ok(list(worker.server, store(worker.server)).await) })
    }),
    CommandRow::replying(
        "tls_reload",
        &[&[]],
        "Reads the TLS domains of the database, and the files of all others, again.",
        |worker, _| {
            Reply::later(async move {
                match store(worker.server).reload(worker.server).await {
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
        },
    ),
];

fn store(server: &'static Server) -> &'static Store {
    server.state::<Rc<Store>>()
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
    for shown in SHOWN {
        let written = domain.written(shown.name).unwrap_or(shown.default_text());
        row.push((shown.name, Json::from(written.to_owned())));
    }
    for (name, place) in [
        (CERTIFICATE.name, &domain.certificate),
        (PRIVATE_KEY.name, &domain.private_key),
        (CA_DIR.name, &domain.ca_dir),
    ] {
        row.push((name, Json::from(place.shown.clone())));
    }
    Json::object(row)
}
