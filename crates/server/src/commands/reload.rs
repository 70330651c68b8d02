//! `reload_routes`.

use tocsin_json::Value;
use tocsin_mi::{MiError, Reply};

use crate::module::CommandRow;
use crate::reload::reload;

pub(super) const COMMANDS: &[CommandRow] = &[CommandRow::replying(
    "reload_routes",
    &[&[]],
    "Loads the routes of the configuration anew, in all processes or in none.",
    |worker, _| {
        Reply::later(async move {
            let reloaded = reload(worker.server, worker.member.slot).await;
            reloaded.map(|_| Value::from("OK")).map_err(|cause| {
                let data = Some(cause.to_string().into());
                MiError { data, ..MiError::new(500, "reload failed") }
            })
        })
    },
)];
