//! event_routing: a script waits for an event (`wait_for_event()`), or has a route run whenever one comes
//! (`notify_on_event()`), each with filters over its parameters.
//!
//! Who waits reads the event log itself, in the process whose message waits; it ends with that process, as any script that
//! waits. What is to be notified stands in shared memory: the courier brings the event to a TIMER worker, which runs the
//! route, at least once, whichever process dies. Either needs the subscription `routing:EVENT`, which is made with the first
//! and stays.
#![forbid(unsafe_code)]

mod filters;
mod functions;
mod notifications;
mod transport;
mod waits;

use std::rc::Rc;

use tocsin_script::ModuleSpec;
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};

use self::functions::Subscribed;
use self::notifications::Notifications;
use self::transport::Routing;
use self::waits::Waits;

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct EventRouting;

impl Module for EventRouting {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { functions: functions::functions(), ..ModuleSpec::new("event_routing") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let routes = setup.event_routes()?;
        let notifications = Notifications::create(setup.arena)?;
        setup.tables.push(notifications.sweeper());
        setup.registered.transports.add(Rc::new(Routing::new(routes, notifications)));
        setup.registered.states.put(notifications);
        setup.registered.states.put(Waits::default());
        setup.registered.states.put(Subscribed::default());
        Ok(())
    }
}
