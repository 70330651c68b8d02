//! The statistics of the core, in the order in which they are registered.

use crate::statistic_row::StatRow;
use crate::{caches, core_statistics, event_statistics, network_statistics, process_statistics};

/// Each group, or some that belong together.
pub const STATISTICS: &[&[StatRow]] = &[
    process_statistics::SHARED_STATISTICS,
    process_statistics::RESTART_STATISTICS,
    core_statistics::CORE_STATISTICS,
    network_statistics::NETWORK_STATISTICS,
    event_statistics::EVENT_STATISTICS,
    caches::STATISTICS,
    tocsin_streams::STREAM_STATISTICS,
    process_statistics::LOAD_STATISTICS,
    process_statistics::PRIVATE_STATISTICS,
];
