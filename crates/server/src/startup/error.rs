//! Why the server cannot start.

use thiserror::Error;
use tocsin_net::OpenError;
use tocsin_script::{Diagnostics, Program};
use tocsin_shm::ArenaFull;

use crate::blocklist::BlocklistError;
use crate::context::Context;
use crate::module::SetupError;
use crate::reload::VersionsError;
use crate::scaling::ScalingError;
use crate::status_report::StatusError;
use tocsin_streams::SharedConnectionsError;

/// Why the server cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration is wrong; the diagnostics say where.
    #[error("bad config file ({} errors)", .0.count())]
    Script(Diagnostics),
    /// A module cannot start.
    #[error("module {module}: {cause}")]
    Module {
        /// Its name.
        module: String,
        /// Why.
        cause: SetupError,
    },
    /// A value of a module's parameter cannot be used.
    #[error("{place}: {cause}")]
    Value {
        /// File, line and column of the value.
        place: String,
        /// What is wrong with it.
        cause: SetupError,
    },
    /// A function names a blocklist that is not defined.
    #[error("{place}: there is no blocklist `{name}`: define it with dst_blacklist")]
    NoBlocklist {
        /// File and line of the call.
        place: String,
        /// The name.
        name: String,
    },
    /// No `proto_` module is loaded.
    #[error("no transport protocol loaded: add loadmodule \"proto_udp.so\"")]
    NoTransport,
    /// A `socket=` names a protocol whose module is not loaded.
    #[error("socket={0}: load the module proto_{1}")]
    ProtocolNotLoaded(String, String),
    /// A `socket=` that cannot be used.
    #[error("socket={0}: {1}")]
    Socket(String, String),
    /// A listening address cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No address to listen on.
    #[error("no address to listen on: add a line such as socket=udp:127.0.0.1:5060")]
    NoSocket,
    /// The shared memory is not available.
    #[error("{0} MiB of shared memory are not available: {1}")]
    Memory(u64, std::io::Error),
    /// The shared memory is too small for the tables.
    #[error("the shared memory is too small for the tables: start with a larger -m ({0})")]
    TooSmall(#[from] ArenaFull),
    /// The lists of destinations never to send to cannot be made.
    #[error(transparent)]
    Blocklists(#[from] BlocklistError),
    /// The status of the server cannot be kept.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// The script could not be reloaded later.
    #[error(transparent)]
    Versions(#[from] VersionsError),
    /// Groups cannot be scaled.
    #[error(transparent)]
    Scaling(#[from] ScalingError),
    /// Streams cannot be served.
    #[error(transparent)]
    Streams(#[from] SharedConnectionsError),
    /// The Event Interface could not be set up.
    #[error("{0}")]
    Events(String),
}

impl StartError {
    /// That a module cannot start, with the place in the configuration where that is one value's fault.
    pub(super) fn of_module(module: &str, cause: SetupError, program: &Program<Context>) -> Self {
        let (name, nth) = match &cause {
            SetupError::Value { name, nth, .. } => (*name, Some(*nth)),
            // The last value is the one that holds.
            SetupError::Parameter { name, .. } => (*name, None),
            _ => return StartError::Module { module: module.to_owned(), cause },
        };
        let mut spans = program
            .module_settings()
            .iter()
            .filter(|setting| setting.module == module && setting.name == name)
            .map(|setting| setting.span);
        let value = match nth {
            Some(nth) => spans.nth(nth),
            None => spans.next_back(),
        };
        let Some(span) = value else { return StartError::Module { module: module.to_owned(), cause } };
        StartError::Value { place: program.place(span), cause }
    }
}
