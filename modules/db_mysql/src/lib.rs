//! db_mysql: lets modules use databases of MySQL and MariaDB (`mysql://` URLs). It says what a query may cost
//! ([`parameters`]), and reports slow queries and connections lost and recovered.
#![forbid(unsafe_code)]

mod parameters;

use std::cell::OnceCell;
use std::rc::Rc;

use tocsin_db::{Finished, Limits, Scheme, Url};
use tocsin_event::{Description, EventId, Field};
use tocsin_script::ModuleSpec;
use tocsin_server::Context;
use tocsin_server::databases::{Engine, QueryReports};
use tocsin_server::module::{Management, Module, Setup, SetupError};
use tocsin_server::slow_queries::{self, Names};

use parameters::{NAME, Settings};

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct DbMysql;

/// A connection was lost or recovered (manual, db_mysql, "Exported Events").
const CONNECTION: Description = Description {
    name: "E_MYSQL_CONNECTION",
    cause: "A connection to the database was lost, or is there again.",
    fields: &[URL, STATUS],
};
const URL: Field = Field::text("url", "The URL of the database, without the password.");
const STATUS: Field = Field::text("status", "`connected` or `disconnected`.");
const NAMES: Names =
    Names { plain: "mysql query", asynchronous: "mysql async query", prepared: "mysql prep stmt" };

impl Module for DbMysql {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: parameters::NAMES, ..ModuleSpec::new(NAME) }
    }

    fn management(&self) -> Management {
        Management { events: &[CONNECTION], ..Management::default() }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let settings = Settings::new(&setup.parameters);
        setup.registered.databases.offer(Rc::new(Mysql { settings, event: OnceCell::new() }));
        Ok(())
    }
}

struct Mysql {
    settings: Settings,
    event: OnceCell<EventId>,
}

impl Engine for Mysql {
    fn scheme(&self) -> Scheme {
        Scheme::Mysql
    }

    fn limits(&self) -> Limits {
        self.settings.limits.clone()
    }

    fn finished(&self, reports: QueryReports<'_>, finished: &Finished<'_>) {
        if let Some(complaint) = slow_queries::complaint(finished) {
            tracing::error!("{complaint}");
        }
        if let Some(slow) = slow_queries::measure(reports, NAMES, self.settings.threshold_us, finished) {
            tracing::warn!("{slow}");
        }
    }

    fn connected(&self, reports: QueryReports<'_>, url: &Url, connected: bool) {
        let event = match self.event.get() {
            Some(event) => *event,
            None => match reports.events.registry().find(CONNECTION.name.as_bytes()) {
                Some(event) => *self.event.get_or_init(|| event),
                None => return,
            },
        };
        reports.events.raise(event, |params| {
            params
                .text(URL.name, url.to_string())
                .text(STATUS.name, if connected { "connected" } else { "disconnected" });
        });
    }
}
