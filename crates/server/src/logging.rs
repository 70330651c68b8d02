//! The log: one line, one write, to standard error or to the system's log.
//!
//! Every process of the family writes to the same descriptor; a line that goes out in one system call is never mixed
//! with another's. The level is a number in shared memory, so that the management interface can change it for all.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;

use tocsin_shm::identity;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

use crate::time;

/// The peer's log levels, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    /// Immediate action is needed.
    Alert = -3,
    /// A critical situation.
    Critical = -2,
    /// An error.
    Error = -1,
    /// A warning.
    Warning = 1,
    /// Normal, but worth a note.
    Notice = 2,
    /// Information.
    Info = 3,
    /// Debugging.
    Debug = 4,
}

impl Level {
    /// The word in front of a line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alert => "ALERT",
            Self::Critical => "CRITICAL",
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
            Self::Info => "INFO",
            Self::Debug => "DBG",
        }
    }

    /// Reads `L_ERR`, `L_INFO` ... or a number.
    pub fn parse(text: &str) -> Option<Self> {
        let all =
            [Self::Alert, Self::Critical, Self::Error, Self::Warning, Self::Notice, Self::Info, Self::Debug];
        if let Ok(number) = text.parse::<i32>() {
            return all.into_iter().find(|level| *level as i32 == number);
        }
        let names = ["L_ALERT", "L_CRIT", "L_ERR", "L_WARN", "L_NOTICE", "L_INFO", "L_DBG"];
        names.iter().position(|name| *name == text).map(|at| all[at])
    }

    /// The number for the system's log (RFC 5424 section 6.2.1).
    fn severity(self) -> u8 {
        match self {
            Self::Alert => 1,
            Self::Critical => 2,
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice => 5,
            Self::Info => 6,
            Self::Debug => 7,
        }
    }
}

/// Where lines go and which are wanted.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// Lines above this level are left out.
    pub level: i32,
    /// To standard error.
    pub stderr: bool,
    /// To the system's log, under this name.
    pub syslog: Option<String>,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: Level::Notice as i32, stderr: true, syslog: None }
    }
}

struct Log {
    stderr: bool,
    syslog: Option<(UnixDatagram, String)>,
}

/// Before the arena is there, and in tools that have none.
static EARLY_LEVEL: AtomicI32 = AtomicI32::new(Level::Notice as i32);
static SHARED_LEVEL: OnceLock<&'static AtomicI32> = OnceLock::new();
static LOG: OnceLock<Log> = OnceLock::new();

/// Lets lines go to standard error until the configuration is known.
pub fn start_early(settings: &LogSettings) {
    EARLY_LEVEL.store(settings.level, Relaxed);
    // A second start finds the collector in place, which is as good.
    let _ = tracing::subscriber::set_global_default(Collector);
}

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
        Log { stderr: settings.stderr || syslog.is_none(), syslog }
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

/// Whether lines of `level` are written.
pub fn wanted(level: Level) -> bool {
    level as i32 <= self::level()
}

/// Writes one line, if its level is wanted. `text` may hold any characters; line ends inside are kept.
pub fn line(level: Level, text: &str) {
    if !wanted(level) {
        return;
    }
    let early = Log { stderr: true, syslog: None };
    let log = LOG.get().unwrap_or(&early);
    let text = text.trim_end_matches('\n');
    if log.stderr {
        let mut out = String::with_capacity(text.len() + 40);
        let _ = writeln!(out, "{} [{}] {}:{text}", time::log_stamp(), identity::pid(), level.name());
        // Nothing can be told about a log that cannot be written.
        let _ = std::io::stderr().write_all(out.as_bytes());
    }
    if let Some((socket, name)) = &log.syslog {
        // Facility 3 (daemon), as the peer's default.
        let priority = 3 * 8 + level.severity();
        let _ = socket
            .send(format!("<{priority}>{name}[{}]: {}:{text}", identity::pid(), level.name()).as_bytes());
    }
}

struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        wanted(level_of(*metadata.level()))
    }

    fn register_callsite(&self, _: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        // The level can change at any time: ask each time.
        tracing::subscriber::Interest::sometimes()
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = String::new();
        let target = event.metadata().target();
        // `tocsin_server::receive` is the core to an operator, `tocsin_modules::tm::relay` is the module tm.
        let mut parts = target.split("::");
        let room = match (parts.next(), parts.next()) {
            (Some("tocsin_modules"), Some(module)) => module,
            _ => "core",
        };
        let _ = write!(text, "{room}:");
        event.record(&mut Words(&mut text));
        line(level_of(*event.metadata().level()), &text);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn level_of(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warning,
        tracing::Level::INFO => Level::Info,
        _ => Level::Debug,
    }
}

struct Words<'a>(&'a mut String);

impl Visit for Words<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_by_name_and_number() {
        assert_eq!(Level::parse("L_ERR"), Some(Level::Error));
        assert_eq!(Level::parse("3"), Some(Level::Info));
        assert_eq!(Level::parse("L_LOUD"), None);
        assert!(Level::Critical < Level::Error);
    }
}
