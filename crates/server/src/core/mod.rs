//! What the language has without any module: functions and variables of the core.

mod avp;
mod blocklists;
mod branches;
mod caches;
mod clock;
mod credentials;
mod errors;
mod events;
mod flags;
mod headers;
mod levels;
mod log;
mod messages;
mod network;
mod parties;
mod request_uri;
mod routing;
mod serial;
mod status_report;
mod utilities;
mod values;

use tocsin_script::Library;

use crate::context::Context;
use crate::flag_names::FlagNames;

pub use avp::branch_avp;
pub(crate) use blocklists::WrittenLists;
pub(crate) use events::WrittenNames;
pub use log::write_xlog;
pub use messages::leaving_status;
pub use request_uri::{set_host, set_next_hop, set_uri, set_user};
pub use routing::{check_destination, destination_uri, listener_named};
pub use values::{as_text, readable, refused, settable, text};

/// The names that need no module, for the reference.
pub fn names() -> Library<Context> {
    let (names, lists, flags) = (WrittenNames::default(), WrittenLists::default(), FlagNames::default());
    library(Library::new(), &names, &lists, &flags)
}

/// The library of the language's own names with the core's.
pub(crate) fn library(
    mut library: Library<Context>,
    written: &WrittenNames,
    lists: &WrittenLists,
    flags: &FlagNames,
) -> Library<Context> {
    crate::settings::globals().for_each(|global| library.global(global));
    let functions = [
        routing::functions(),
        blocklists::functions(lists),
        caches::functions(),
        request_uri::functions(),
        branches::functions(),
        utilities::functions(),
        flags::functions(flags),
        log::functions(),
        events::functions(written),
        status_report::functions(),
    ];
    functions.into_iter().flatten().for_each(|function| library.function(function));
    let variables = [
        messages::variables(),
        headers::variables(),
        parties::variables(),
        credentials::variables(),
        request_uri::variables(),
        branches::variables(flags),
        flags::variables(flags),
        avp::variables(),
        network::variables(),
        clock::variables(),
        levels::variables(),
        errors::variables(),
    ];
    variables.into_iter().flatten().for_each(|variable| library.variable(variable));
    library
}
