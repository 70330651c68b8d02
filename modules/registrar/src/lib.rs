//! registrar: registrations, and the way from an address of record to its devices (RFC 3261 section 10, RFC 3327).
//!
//! [`save`] takes a REGISTER in: [`request`] reads it, [`apply`] makes of it and the bindings that there are what they
//! will be, usrloc keeps them, and [`answer`] tells; [`flow`] is about those that come over a connection. [`lookup`] turns the Request-URI into contacts; [`bound`] asks and
//! removes. The bindings themselves are in the module usrloc.
#![forbid(unsafe_code)]

mod answer;
mod aor;
mod apply;
mod bound;
mod flags;
mod flow;
mod functions;
mod gruu;
mod lookup;
mod parameters;
mod refusal;
mod request;
mod save;
mod state;

#[cfg(test)]
mod tests;

use tocsin_script::ModuleSpec;
use tocsin_server::Context;
use tocsin_server::module::{Management, Module, Setup, SetupError};
use tocsin_server::statistic_row::StatRow;

use functions::Domains;
use parameters::Settings;
use state::State;
use tocsin_usrloc::Locations;

/// The module. It notes the domains that the script names while that is loaded.
#[derive(Debug, Clone, Default)]
pub struct Registrar {
    domains: Domains,
}

const GROUP: &str = "registrar";
const MAX_EXPIRES: StatRow = StatRow::value(GROUP, "max_expires", "The parameter `max_expires`.");
const MAX_CONTACTS: StatRow = StatRow::value(GROUP, "max_contacts", "The parameter `max_contacts`.");
const DEFAULT_EXPIRE: StatRow = StatRow::value(GROUP, "default_expire", "The parameter `default_expires`.");
const ACCEPTED: StatRow = StatRow::counter(GROUP, "accepted_regs", "REGISTER requests accepted.");
const REJECTED: StatRow = StatRow::counter(GROUP, "rejected_regs", "REGISTER requests rejected.");

const STATISTICS: &[StatRow] = &[MAX_EXPIRES, MAX_CONTACTS, DEFAULT_EXPIRE, ACCEPTED, REJECTED];

impl Module for Registrar {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec {
            params: parameters::NAMES,
            depends: &["usrloc"],
            functions: functions::all(&self.domains),
            ..ModuleSpec::new("registrar")
        }
    }

    fn management(&self) -> Management {
        Management { statistics: STATISTICS, ..Management::default() }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let settings = Settings::new(&setup.parameters);
        let locations = setup.registered.states.find::<Locations>();
        let locations =
            locations.ok_or_else(|| SetupError::Other("load usrloc.so before registrar.so".to_owned()))?;
        let names = self.domains.close();
        let domains = names
            .iter()
            .map(|name| locations.register_domain(&name.lossy(), setup.arena, &mut setup.statistics));
        let domains = domains.collect::<Result<_, _>>()?;
        let fixed = [
            (MAX_EXPIRES, i64::from(settings.max_expires)),
            (MAX_CONTACTS, settings.max_contacts.into()),
            (DEFAULT_EXPIRE, settings.default_expires.into()),
        ];
        setup
            .statistics
            .computed(GROUP, move |each| fixed.iter().for_each(|(row, value)| each(row.name, *value)));
        let accepted = setup.statistics.counter(&ACCEPTED);
        let rejected = setup.statistics.counter(&REJECTED);
        let persistent_flag = parameters::persistent_flag(&setup.parameters, &setup.settings.flag_names)?;
        setup.registered.states.put(State { settings, domains, accepted, rejected, persistent_flag });
        Ok(())
    }
}
