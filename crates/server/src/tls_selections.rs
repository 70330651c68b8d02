//! What scripts ask of a TLS layer for the connections of one message.

use crate::avps::Avps;
use crate::security::TlsSelection;

/// The part of a TLS layer that reads the variables of a message.
pub trait TlsSelections {
    /// What the script wishes of connections that are opened for a message, by the pairs of that message.
    fn tls_selection(&self, avps: &Avps) -> TlsSelection;
}
