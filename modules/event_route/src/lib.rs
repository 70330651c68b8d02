//! event_route: the script's `event_route[E_NAME]` as a subscriber, at `route:E_NAME`.
#![forbid(unsafe_code)]

use tocsin_script::ModuleSpec;
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct EventRoute;

impl Module for EventRoute {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec::new("event_route")
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let routes = setup.event_routes()?;
        routes.run_event_routes();
        setup.registered.transports.add(tocsin_server::event_routes::transport(&routes));
        Ok(())
    }
}
