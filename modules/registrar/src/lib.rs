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

#[cfg(test)]
mod tests;

use tocsin_script::ModuleSpec;
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};
use tocsin_server::statistics::StatId;

use functions::Domains;
use parameters::Settings;
use tocsin_usrloc::{DomainId, Locations};

/// The module. It notes the domains that the script names while that is loaded.
#[derive(Debug, Clone, Default)]
pub struct Registrar {
    domains: Domains,
}

/// What the module keeps.
#[derive(Debug)]
struct State {
    settings: Settings,
    /// The domains of the script, by their place among them.
    domains: Vec<DomainId>,
    accepted: StatId,
    rejected: StatId,
    /// `tcp_persistent_flag`: the bit of messages whose connections live as long as their contacts; 0 is none.
    persistent_flag: u32,
}

impl Module for Registrar {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec {
            params: parameters::NAMES,
            depends: &["usrloc"],
            functions: functions::all(&self.domains),
            ..ModuleSpec::new("registrar")
        }
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
            ("max_expires", i64::from(settings.max_expires)),
            ("max_contacts", settings.max_contacts.into()),
            ("default_expire", settings.default_expires.into()),
        ];
        setup
            .statistics
            .computed("registrar", move |each| fixed.iter().for_each(|(name, value)| each(name, *value)));
        let accepted = setup.statistics.counter("registrar", "accepted_regs");
        let rejected = setup.statistics.counter("registrar", "rejected_regs");
        let persistent_flag = parameters::persistent_flag(&setup.parameters, &setup.settings.flag_names)?;
        setup.registered.states.put(State { settings, domains, accepted, rejected, persistent_flag });
        Ok(())
    }
}
