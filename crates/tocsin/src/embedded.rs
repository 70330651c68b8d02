//! The configuration that runs when none is given.

/// Its name in messages.
pub(crate) const NAME: &str = "embedded.cfg";

/// A registrar and stateful relay on the loopback interface, with management over HTTP.
pub(crate) const TEXT: &str = include_str!("embedded.cfg");
