//! What the language has without any module: functions and variables of the core.

mod blocklists;
mod caches;
mod events;
mod flags;
mod log;
mod messages;
mod network;
mod request_uri;
mod routing;
mod status_report;
mod values;

use tocsin_script::Library;

use crate::context::Context;
use crate::flag_names::FlagNames;

pub(crate) use events::WrittenNames;
pub use log::write_xlog;
pub use routing::destination_uri;
pub use values::{as_text, computed, refused, settable, text};

/// A library with the language's own names and the core's.
pub(crate) fn library(written: &WrittenNames, flags: &FlagNames) -> Library<Context> {
    let mut library = Library::new();
    crate::settings::globals().for_each(|global| library.global(global));
    let functions = [
        routing::functions(),
        blocklists::functions(),
        caches::functions(),
        request_uri::functions(),
        flags::functions(flags),
        log::functions(),
        events::functions(written),
        status_report::functions(),
    ];
    functions.into_iter().flatten().for_each(|function| library.function(function));
    let variables =
        [messages::variables(), request_uri::variables(), network::variables(), flags::variables()];
    variables.into_iter().flatten().for_each(|variable| library.variable(variable));
    library
}
