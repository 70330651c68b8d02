//! Slow sending over a connection (`tcp_threshold`): the event, and the line of the log.

use tocsin_event::Events;
use tocsin_telemetry::events;
use tocsin_telemetry::logging::first_line;
use tocsin_telemetry::time::now_ns;

use crate::output::Timed;

/// The kernel has taken the message `sent`: raises the event if that took longer than `limit` microseconds.
pub(crate) fn check(events: &Events, limit: u64, sent: &Timed) {
    let took = now_ns().saturating_sub(sent.since) / 1000;
    if took > limit {
        tracing::warn!(
            "threshold exceeded : tcp took too long : send={took}. Source : {}",
            String::from_utf8_lossy(first_line(&sent.message))
        );
        events::threshold(events, "tcp ops", took, &sent.message);
    }
}
