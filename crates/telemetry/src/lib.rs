//! What the server reports about itself: statistics, the Status/Report interface, the log, the core events with their
//! causes, and how full memory is.
//!
//! Every other part of the server writes here; nothing here knows who. Figures lie in shared memory, so that any process can
//! answer for all of them.
#![forbid(unsafe_code)]

pub mod core_statistics;
pub mod event_statistics;
pub mod events;
pub mod logging;
pub mod memory;
pub mod process_statistics;
pub mod statistic_row;
pub mod statistics;
pub mod status_report;
pub mod time;
