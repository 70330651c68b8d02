//! What the module keeps.

use std::cell::OnceCell;

use tocsin_event::EventId;
use tocsin_server::Server;

use super::parameters::Settings;

/// The names of the events. There are no CDRs without the module dialog, so `E_ACC_CDR` is never raised; subscribers
/// find its name nevertheless.
pub(super) const EVENTS: [&str; 3] = ["E_ACC_EVENT", "E_ACC_MISSED_EVENT", "E_ACC_CDR"];

/// What the module keeps.
#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: Settings,
    /// `E_ACC_EVENT` and `E_ACC_MISSED_EVENT`.
    events: OnceCell<[EventId; 2]>,
}

impl State {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, events: OnceCell::new() }
    }

    /// The events, once they are published.
    pub(super) fn events(&self, server: &Server) -> Option<[EventId; 2]> {
        if let Some(events) = self.events.get() {
            return Some(*events);
        }
        let find = |name: &str| server.events.registry().find(name.as_bytes());
        let found = [find(EVENTS[0])?, find(EVENTS[1])?];
        Some(*self.events.get_or_init(|| found))
    }
}
