//! acc: accounting of transactions to the log and to the Event Interface (manual, module acc).
//!
//! The script says what to account ([`functions`]) and with which further values ([`variables`]). That is noted on the
//! request ([`account`]) and lives with its transaction in shared memory, so it is there in whatever process the transaction
//! ends. What becomes of the transaction flows in through [`observe`] and out as a [`report`].
#![forbid(unsafe_code)]

mod account;
mod events;
mod fields;
mod functions;
mod observe;
mod parameters;
mod report;
mod state;
#[cfg(test)]
mod tests;
mod variables;

use tocsin_script::ModuleSpec;
use tocsin_server::Context;
use tocsin_server::module::{Management, Module, Setup, SetupError};

use events::EVENTS;
use parameters::Settings;
use state::State;
use variables::NamedTags;

/// The module. It notes the tags that the script names while that is loaded.
#[derive(Debug, Clone, Default)]
pub struct Acc {
    tags: NamedTags,
}

impl Module for Acc {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec {
            params: parameters::ROWS,
            depends: &["tm"],
            functions: functions::all(),
            variables: variables::all(&self.tags),
            ..ModuleSpec::new("acc")
        }
    }

    fn management(&self) -> Management {
        Management { events: EVENTS, ..Management::default() }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let settings = Settings::new(&setup.parameters)?;
        self.tags.check(&settings).map_err(SetupError::Other)?;
        setup.registered.observers.push(observe::observer(&settings));
        setup.registered.states.put(State::new(settings));
        Ok(())
    }
}
