//! The log: one line, one write, to standard error or to the system's log.
//!
//! Every process of the family writes to the same descriptor; a line that goes out in one system call is never mixed
//! with another's. The level, and which lines each consumer takes, are words in shared memory, so that the management
//! interface can change them for all.

mod collector;
mod control;
mod event;
mod facility;
mod flood;
mod level;
mod line;
mod output;
mod syslog;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use line::Line;
use output::{write, write_untold};

pub use collector::escaped;
pub use control::{
    Consumer, LogControl, level, level_of, own_level, set_level, set_own_level, share, wanted,
};
pub use event::{raise_lines, raise_no_lines, untold};
pub use facility::Facility;
pub use flood::{MAX_LINES_A_SECOND, MAX_PLACES, limit_floods, report_floods, report_last_floods};
pub use level::Level;
pub use line::first_line;
pub use output::{LogSettings, repeat_at, start, started};

/// Lets lines go to standard error until the configuration is known.
pub fn start_early(settings: &LogSettings) {
    output::start_early(settings);
    // A second start finds the collector in place, which is as good.
    let _ = tracing::subscriber::set_global_default(collector::Collector);
}

/// Writes one line of the script, if its level is wanted. `text` may hold any characters; line ends inside are kept.
pub fn line(level: Level, text: &str) {
    if wanted(level) {
        write(&Line::of_script(level, text));
    }
}

/// As [`line()`], and raises no `E_CORE_LOG`.
pub fn line_untold(level: Level, text: &str) {
    if wanted(level) {
        write_untold(&Line::of_script(level, text));
    }
}

/// As [`line()`], and it goes to `facility` in the system's log.
pub fn line_of(facility: Facility, level: Level, text: &str) {
    if wanted(level) {
        write(&Line { facility: Some(facility), ..Line::of_script(level, text) });
    }
}

/// Writes one line of a script's `xlog()`, which has a level of its own: that of the log is not asked.
pub fn script_line(level: Level, text: &str) {
    write(&Line::of_script(level, text));
}

/// As [`script_line()`], and raises no `E_CORE_LOG`.
pub fn script_line_untold(level: Level, text: &str) {
    write_untold(&Line::of_script(level, text));
}

/// Writes one line about what goes wrong in a line of the script, if its level is wanted; of many that come from there
/// in a second and are about the same kind of thing, some and the number of the others.
pub fn fault_line(level: Level, kind: &str, at: tocsin_script::Place<'_>, text: impl FnOnce() -> String) {
    if wanted(level) {
        flood::pass(script_place(level, kind, at), text, |text| line(level, text));
    }
}

/// As [`fault_line()`], and raises no `E_CORE_LOG`.
pub fn fault_line_untold(
    level: Level,
    kind: &str,
    at: tocsin_script::Place<'_>,
    text: impl FnOnce() -> String,
) {
    if wanted(level) {
        untold(|| flood::pass(script_place(level, kind, at), text, |text| line_untold(level, text)));
    }
}

fn script_place(level: Level, kind: &str, at: tocsin_script::Place<'_>) -> flood::Place {
    let mut hasher = DefaultHasher::new();
    (kind, at.file, at.line).hash(&mut hasher);
    flood::Place { key: hasher.finish(), level, target: None }
}
