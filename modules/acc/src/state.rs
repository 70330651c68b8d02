//! What the module keeps.

use std::cell::OnceCell;

use tocsin_event::{Description, EventId};
use tocsin_server::Server;

use super::events::{MISSED, REQUEST};
use super::parameters::Settings;

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
        let find = |event: Description| server.events.registry().find(event.name.as_bytes());
        let found = [find(REQUEST)?, find(MISSED)?];
        Some(*self.events.get_or_init(|| found))
    }
}
