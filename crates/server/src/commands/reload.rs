//! `reload_routes`.

use tocsin_json::Value;
use tocsin_mi::{Command, MiError, Registry, Reply};

use crate::reload::reload;
use crate::worker::Worker;

pub(super) fn add(worker: &'static Worker, registry: &mut Registry) {
    let help = "loads the routes of the configuration anew, in all processes or in none";
    registry.add(Command::new("core", "reload_routes", &[&[]], help, move |_| {
        Reply::later(async move {
            let reloaded = reload(worker.server, worker.member.slot).await;
            reloaded.map(|_| Value::from("OK")).map_err(|cause| {
                let data = Some(cause.to_string().into());
                MiError { data, ..MiError::new(500, "reload failed") }
            })
        })
    }));
}
