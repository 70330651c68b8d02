//! usrloc: where the users are. The bindings of addresses of record to contacts, in shared memory.
//!
//! It gives nothing to the script itself: other modules come here. They open the bindings of an AOR, change them
//! ([`Bindings`]) and have them committed ([`Locations::change`]); changes are counted and raised as events.
//! What expires does so at its own deadline, in the TIMER workers ([`expiry`]). Management clients see and change the
//! bindings, too ([`commands`]).
#![forbid(unsafe_code)]

mod bindings;
mod commands;
mod contact;
mod domain;
mod events;
mod expiry;
mod locations;
mod parameters;
mod table;

use std::rc::Rc;

use tocsin_script::ModuleSpec;
use tocsin_server::Context;
use tocsin_server::module::{Management, Module, Setup, SetupError};

pub use bindings::{Bindings, Change, Order};
pub use contact::{ALL_METHODS, Contact, Contacts, PERMANENT, TooLong, method_bit, same_uri};
use domain::REGISTERED;
pub use domain::{DomainId, MAX_DOMAINS};
pub use locations::{Locations, until_settled};
pub use parameters::Settings;
pub use table::{CommitError, Draft, MAX_RECORD_BYTES};

use table::Table;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct Usrloc;

impl Module for Usrloc {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: parameters::NAMES, ..ModuleSpec::new("usrloc") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let settings = Settings::new(&setup.parameters);
        let table = Table::create(setup.arena, settings.hash_size, setup.settings.shared_bytes)?;
        setup.tables.push(table.sweeper());
        setup.registered.deadlines.push(Rc::new(expiry::Expiry(table)));
        setup.statistics.computed(REGISTERED.group, move |each| each(REGISTERED.name, table.len() as i64));
        setup.registered.states.put(Locations::new(table, settings));
        Ok(())
    }

    fn management(&self) -> Management {
        Management { commands: commands::COMMANDS, statistics: domain::STATISTICS, events: events::EVENTS }
    }
}
