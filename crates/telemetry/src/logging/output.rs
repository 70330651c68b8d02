//! Where lines go: to standard error, to the system's log, and to the event `E_CORE_LOG`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tocsin_shm::identity;

use super::control::{self, Consumer};
use super::event;
use super::facility::Facility;
use super::level::Level;
use super::line::Line;
use super::syslog::{self, Entry, Syslog};
use crate::time;

/// Where lines go and which are wanted.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Lines above this level are left out.
    pub level: i32,
    /// To standard error.
    pub stderr: bool,
    /// To the system's log.
    pub syslog: bool,
    /// The name of the server there.
    pub syslog_name: String,
    /// Where the lines go there.
    pub facility: Facility,
    /// `stderror_level_filter`: lines above it do not go to standard error; 0 is no filter.
    pub stderr_most: i32,
    /// `syslog_level_filter`, the same for the system's log.
    pub syslog_most: i32,
    /// `log_prefix`: a word in front of each line.
    pub prefix: Option<String>,
    /// `log_event_enabled`: raise `E_CORE_LOG` for each line.
    pub events: bool,
    /// `log_event_level_filter`: lines above it are not raised; 0 is no filter.
    pub events_most: i32,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: Level::Notice as i32,
            stderr: true,
            syslog: false,
            syslog_name: "tocsin".to_owned(),
            facility: Facility::DAEMON,
            stderr_most: 0,
            syslog_most: 0,
            prefix: None,
            events: false,
            events_most: 0,
        }
    }
}

struct Log {
    syslog: Option<Syslog>,
    prefix: Option<String>,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Starts the log as configured.
pub fn start(settings: &LogSettings) {
    control::set_level(settings.level);
    LOG.get_or_init(|| {
        let syslog = Syslog::open(Path::new(syslog::SOCKET), &settings.syslog_name, settings.facility).ok();
        let heard = settings.syslog && syslog.as_ref().is_some_and(|syslog| syslog.found);
        // Without a system log there is still someone who should read the lines.
        Consumer::StdError.set_muted(!settings.stderr && heard);
        Consumer::Syslog.set_muted(!settings.syslog);
        Consumer::Event.set_muted(!settings.events);
        Consumer::StdError.set_filter(settings.stderr_most);
        Consumer::Syslog.set_filter(settings.syslog_most);
        Consumer::Event.set_filter(settings.events_most);
        Log { syslog, prefix: settings.prefix.clone() }
    });
}

/// The level until the configuration is known.
pub(super) fn start_early(settings: &LogSettings) {
    control::set_level(settings.level);
}

/// Writes one line, and raises its event.
pub(super) fn write(line: &Line<'_>) {
    let stamp = time::log_stamp();
    put(line, &stamp);
    event::raise(line, &stamp, LOG.get().and_then(|log| log.prefix.as_deref()));
}

/// As [`write()`], and raises no event.
pub(super) fn write_untold(line: &Line<'_>) {
    put(line, &time::log_stamp());
}

/// Where lines are repeated while the server starts.
static TERMINAL: OnceLock<File> = OnceLock::new();
static STARTING: AtomicBool = AtomicBool::new(false);

/// Repeats notices and what is worse at `terminal` until [`started`]: a daemon has no standard error, and its log may be read by
/// nobody.
pub fn repeat_at(terminal: File) {
    STARTING.store(TERMINAL.set(terminal).is_ok(), Relaxed);
}

/// The server serves: lines go to the log only.
pub fn started() {
    STARTING.store(false, Relaxed);
}

fn repeat(text: &[u8]) {
    let gone = TERMINAL.get().is_none_or(|mut terminal| terminal.write_all(text).is_err());
    if gone {
        started();
    }
}

/// Writes `line` to where lines go.
fn put(line: &Line<'_>, stamp: &str) {
    let log = LOG.get();
    let mut text = String::with_capacity(line.text.len() + 48);
    for word in log.and_then(|log| log.prefix.as_deref()).into_iter().chain([line.level.name()]) {
        text.push_str(word);
        text.push(':');
    }
    if let Some(module) = line.module {
        // Writing to a String cannot fail.
        let _ = write!(text, "{module}: ");
    }
    text.push_str(line.text);
    let pid = identity::pid();
    if Consumer::StdError.takes(line.level) {
        // A log that cannot be written cannot report it.
        let _ = std::io::stderr().write_all(format!("{stamp} [{pid}] {text}\n").as_bytes());
    }
    if STARTING.load(Relaxed) && line.level <= Level::Notice {
        repeat(format!("{stamp} [{pid}] {}\n", text.replace('\0', "")).as_bytes());
    }
    if let Some(syslog) =
        log.and_then(|log| log.syslog.as_ref()).filter(|_| Consumer::Syslog.takes(line.level))
    {
        let (facility, level, text) = (line.facility, line.level, &text);
        syslog.write(&Entry { facility, level, stamp, pid, text });
    }
}
