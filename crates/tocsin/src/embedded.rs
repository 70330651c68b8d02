//! The configuration that runs when none is given.

/// Its name in messages.
pub(crate) const NAME: &str = "embedded.cfg";

/// A registrar and stateful relay on the loopback interface, with management over HTTP.
pub(crate) const TEXT: &str = include_str!("embedded.cfg");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_subscription_of_events_tail_is_taken() {
        assert!(TEXT.contains("loadmodule \"event_stream.so\""), "it asks for a connection first");
    }
}
