//! The group events: what became of events since the start.

use tocsin_event::Events;

use crate::statistics::Statistics;

/// Registers what [`tocsin_event::EventCounts`] has, by the same names.
pub fn register(statistics: &mut Statistics, events: Events) {
    statistics.computed("events", move |each| {
        let counts = events.counts();
        let mut tell = |name, count| each(name, i64::try_from(count).unwrap_or(i64::MAX));
        tell("raised", counts.raised);
        tell("too_large", counts.too_large);
        tell("too_deep", counts.too_deep);
        tell("due", counts.due);
        tell("delivered", counts.delivered);
        tell("unconfirmed", counts.unconfirmed);
        tell("dropped", counts.dropped);
        tell("lost", counts.lost);
        tell("waiting", counts.waiting);
    });
}
