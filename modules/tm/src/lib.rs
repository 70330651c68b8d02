//! tm: stateful processing of transactions (RFC 3261 sections 16 and 17, RFC 6026).
//!
//! A transaction lives in shared memory, under an identity that is computed from its request ([`matching`]), so any
//! process may serve any of its messages and a retransmission finds it from any worker. What has to be done is decided
//! by a pure machine ([`machine`]) kept in the record; the bytes it needs lie beside it ([`record`]), and [`act`] does
//! what it says. `t_relay` is [`relay`], replies come in through [`replies`], and what is due fires from the record's
//! deadline in [`timers`], in whatever process looks after that shard.
#![forbid(unsafe_code)]

mod act;
mod answers;
mod commands;
mod failover;
mod failure;
mod functions;
mod in_transaction;
pub mod machine;
mod matching;
mod observers;
mod own;
mod parameters;
mod prepared;
mod record;
mod relay;
mod replies;
mod requests;
mod sending;
mod state;
mod statistics;
mod timers;
mod variables;

use std::rc::Rc;

use tocsin_script::ModuleSpec;
use tocsin_server::Context;
use tocsin_server::module::{Management, Module, Setup, SetupError};
use tocsin_shm::{Map, MapOptions};

use parameters::Settings;
use state::State;
use statistics::Counters;

/// Shared memory for which the table has one shard more, in bytes.
const BYTES_PER_SHARD: u64 = 512 << 10;
/// Chains of each shard.
const BUCKETS: usize = 64;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct Tm;

impl Module for Tm {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec {
            params: parameters::NAMES,
            functions: functions::all(),
            variables: variables::all(),
            ..ModuleSpec::new("tm")
        }
    }

    fn management(&self) -> Management {
        Management {
            commands: commands::COMMANDS,
            statistics: statistics::STATISTICS,
            ..Management::default()
        }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let settings = Settings::new(&setup.parameters, setup.settings)?;
        let shards = (setup.settings.shared_bytes / BYTES_PER_SHARD).clamp(16, 256) as usize;
        let table =
            Map::create(setup.arena, &MapOptions { name: "tm transactions", shards, buckets: BUCKETS })?;
        setup.tables.push(table.sweeper());
        let counters = Counters::register(&mut setup.statistics, table);
        setup.registered.states.put(State::new(table, settings, counters));
        setup.registered.deadlines.push(Rc::new(timers::Expiry(table)));
        setup.registered.transactions = Some(Rc::new(replies::Layer));
        Ok(())
    }
}
