//! Where lines go: to standard error, to the system's log, and to the event `E_CORE_LOG`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI32};

use tocsin_shm::identity;

use super::event;
use super::facility::Facility;
use super::level::Level;
use super::line::Line;
use crate::time;

/// Where lines go and which are wanted.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Lines above this level are left out.
    pub level: i32,
    /// To standard error.
    pub stderr: bool,
    /// To the system's log, under this name.
    pub syslog: Option<String>,
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
            syslog: None,
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
    stderr: bool,
    syslog: Option<(UnixDatagram, String)>,
    facility: Facility,
    stderr_most: i32,
    syslog_most: i32,
    prefix: Option<String>,
}

impl Log {
    /// Before it is known what is wanted: everything goes to standard error.
    const EARLY: Self = Self {
        stderr: true,
        syslog: None,
        facility: Facility::DAEMON,
        stderr_most: 0,
        syslog_most: 0,
        prefix: None,
    };
}

/// Before the arena is there, and in tools that have none.
static EARLY_LEVEL: AtomicI32 = AtomicI32::new(Level::Notice as i32);
static SHARED_LEVEL: OnceLock<&'static AtomicI32> = OnceLock::new();
static LOG: OnceLock<Log> = OnceLock::new();

/// Starts the log as configured.
pub fn start(settings: &LogSettings) {
    EARLY_LEVEL.store(settings.level, Relaxed);
    LOG.get_or_init(|| {
        let syslog = settings.syslog.clone().and_then(|name| {
            let socket = UnixDatagram::unbound().ok()?;
            socket.connect("/dev/log").ok()?;
            Some((socket, name))
        });
        // Without a system log there is still someone who should read the lines.
        let stderr = settings.stderr || syslog.is_none();
        let (stderr_most, syslog_most) = (settings.stderr_most, settings.syslog_most);
        Log {
            stderr,
            syslog,
            facility: settings.facility,
            stderr_most,
            syslog_most,
            prefix: settings.prefix.clone(),
        }
    });
}

/// From here on the level is read from shared memory. Call before the first fork.
pub fn share_level(level: &'static AtomicI32) {
    level.store(EARLY_LEVEL.load(Relaxed), Relaxed);
    // Set once: there is one arena.
    let _ = SHARED_LEVEL.set(level);
}

/// The level in force.
pub fn level() -> i32 {
    SHARED_LEVEL.get().map_or_else(|| EARLY_LEVEL.load(Relaxed), |level| level.load(Relaxed))
}

/// Sets the level for every process.
pub fn set_level(new: i32) {
    SHARED_LEVEL.get().map_or_else(|| EARLY_LEVEL.store(new, Relaxed), |level| level.store(new, Relaxed));
}

/// The level of this process alone; there is none while it is `i32::MIN`.
static OWN_LEVEL: AtomicI32 = AtomicI32::new(i32::MIN);

/// Sets a level for this process, or lets the one that all share count again.
pub fn set_own_level(new: Option<i32>) {
    OWN_LEVEL.store(new.unwrap_or(i32::MIN), Relaxed);
}

/// The level in force in this process: its own, if it has one.
pub fn own_level() -> i32 {
    let own = OWN_LEVEL.load(Relaxed);
    if own == i32::MIN { level() } else { own }
}

/// Whether lines of `level` are written.
pub fn wanted(level: Level) -> bool {
    level as i32 <= own_level()
}

/// The level until the configuration is known.
pub(super) fn start_early(settings: &LogSettings) {
    EARLY_LEVEL.store(settings.level, Relaxed);
}

/// Writes one line, and raises its event.
pub(super) fn write(line: &Line<'_>) {
    let stamp = time::log_stamp();
    put(line, &stamp);
    event::tell(line, &stamp, LOG.get().and_then(|log| log.prefix.as_deref()));
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
    let early = Log::EARLY;
    let log = LOG.get().unwrap_or(&early);
    let level = line.level as i32;
    let mut text = String::with_capacity(line.text.len() + 48);
    for word in log.prefix.as_deref().into_iter().chain([line.level.name()]) {
        text.push_str(word);
        text.push(':');
    }
    if let Some(module) = line.module {
        // Writing to a String cannot fail.
        let _ = write!(text, "{module}: ");
    }
    text.push_str(line.text);
    let pid = identity::pid();
    if log.stderr && passes(log.stderr_most, level) {
        // Nothing can be told about a log that cannot be written.
        let _ = std::io::stderr().write_all(format!("{stamp} [{pid}] {text}\n").as_bytes());
    }
    if STARTING.load(Relaxed) && line.level <= Level::Notice {
        repeat(format!("{stamp} [{pid}] {}\n", text.replace('\0', "")).as_bytes());
    }
    if let Some((socket, name)) = log.syslog.as_ref().filter(|_| passes(log.syslog_most, level)) {
        let priority = line.facility.unwrap_or(log.facility).priority(line.level.severity());
        let _ = socket.send(format!("<{priority}>{name}[{pid}]: {text}").as_bytes());
    }
}

/// Whether a line of `level` passes a filter that lets lines up to `most` through; 0 is no filter.
fn passes(most: i32, level: i32) -> bool {
    most == 0 || level <= most
}
