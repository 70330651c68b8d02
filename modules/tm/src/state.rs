//! What the module keeps for all that it does.

use std::cell::RefCell;

use tocsin_shm::Map;

use super::parameters::Settings;
use super::record::{Transaction, TransactionId};
use super::statistics::Counters;

/// What the module keeps: the table, the same for all processes, and its settings.
#[derive(Debug)]
pub(crate) struct State {
    pub(super) table: Map<TransactionId, Transaction>,
    pub(super) settings: Settings,
    pub(super) counters: Counters,
    /// Bytes on their way into a record, kept from message to message.
    pub(super) scratch: RefCell<Vec<u8>>,
}

impl State {
    pub(super) fn new(
        table: Map<TransactionId, Transaction>,
        settings: Settings,
        counters: Counters,
    ) -> Self {
        Self { table, settings, counters, scratch: RefCell::default() }
    }
}
