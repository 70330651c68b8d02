//! The group events: what became of events since the start.

use tocsin_event::{EventCounts, Events};

use crate::statistic_row::StatRow;
use crate::statistics::Statistics;

const GROUP: &str = "events";
/// Takes one of the counts.
type Count = fn(&EventCounts) -> u64;
/// Each statistic, and which of the counts it shows.
const COUNTS: [(StatRow, Count); 9] = [
    (StatRow::value(GROUP, "raised", "Events raised while somebody was subscribed."), |counts| counts.raised),
    (
        StatRow::value(GROUP, "too_large", "Events refused because their parameters were too large."),
        |counts| counts.too_large,
    ),
    (
        StatRow::value(
            GROUP,
            "too_deep",
            "Events refused because event routes raised events for each other too deep.",
        ),
        |counts| counts.too_deep,
    ),
    (
        StatRow::value(
            GROUP,
            "due",
            "Events to deliver: as `raised`, but once for each subscription there was.",
        ),
        |counts| counts.due,
    ),
    (
        StatRow::value(
            GROUP,
            "delivered",
            "Events given to the subscriber's socket; over a connection, acknowledged by the system at its far end.",
        ),
        |counts| counts.delivered,
    ),
    (
        StatRow::value(
            GROUP,
            "unconfirmed",
            "Events acknowledged at the far end of a connection that broke, which its program may not have read.",
        ),
        |counts| counts.unconfirmed,
    ),
    (
        StatRow::value(GROUP, "dropped", "Events dropped because their subscriber is gone or too slow."),
        |counts| counts.dropped,
    ),
    (
        StatRow::value(
            GROUP,
            "lost",
            "Events overwritten in the log before the courier read them, or left unfinished by a process that died.",
        ),
        |counts| counts.lost,
    ),
    (StatRow::value(GROUP, "waiting", "Events that are not delivered yet."), |counts| counts.waiting),
];

/// The group events.
pub const EVENT_STATISTICS: &[StatRow] = &[
    COUNTS[0].0,
    COUNTS[1].0,
    COUNTS[2].0,
    COUNTS[3].0,
    COUNTS[4].0,
    COUNTS[5].0,
    COUNTS[6].0,
    COUNTS[7].0,
    COUNTS[8].0,
];

/// Registers [`EVENT_STATISTICS`].
pub fn register(statistics: &mut Statistics, events: Events) {
    statistics.computed(GROUP, move |each| {
        let counts = events.counts();
        for (row, count) in &COUNTS {
            each(row.name, i64::try_from(count(&counts)).unwrap_or(i64::MAX));
        }
    });
}
