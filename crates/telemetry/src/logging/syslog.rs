//! The system's log: one datagram a line to the socket that syslog(3) writes to.
//!
//! Sending never waits: a log that does not read must not stop a process that serves calls. What it does not take is lost
//! and counted, and the next line that arrives says so. A log that was started again is connected to anew.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::control::{count_lost, take_lost};
use super::facility::Facility;
use super::level::Level;

/// Where the system's log listens.
pub(super) const SOCKET: &str = "/dev/log";

/// The way to the system's log.
pub(super) struct Syslog {
    socket: UnixDatagram,
    path: PathBuf,
    /// What the server is called there.
    name: String,
    facility: Facility,
    /// Somebody listened when it was opened.
    pub(super) found: bool,
}

/// A line as it goes there.
pub(super) struct Entry<'a> {
    /// In place of the usual one.
    pub(super) facility: Option<Facility>,
    pub(super) level: Level,
    pub(super) stamp: &'a str,
    pub(super) pid: u32,
    pub(super) text: &'a str,
}

impl Syslog {
    /// Connects to the log at `path`; where nobody listens yet, each line tries again.
    ///
    /// # Errors
    /// There is no socket to be had.
    pub(super) fn open(path: &Path, name: &str, facility: Facility) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let found = socket.connect(path).is_ok();
        Ok(Self { socket, path: path.to_owned(), name: name.to_owned(), facility, found })
    }

    /// Sends one line.
    pub(super) fn write(&self, entry: &Entry<'_>) {
        if self.send(&self.datagram(entry)).is_err() {
            count_lost();
            return;
        }
        match take_lost() {
            0 => {}
            lost => self.report(lost, entry),
        }
    }

    fn report(&self, lost: u64, after: &Entry<'_>) {
        let lines = if lost == 1 { "line" } else { "lines" };
        let text = format!(
            "WARNING:core: {lost} {lines} before this one did not reach the log of the system: it was too slow or not there"
        );
        let line = Entry { facility: None, level: Level::Warning, text: &text, ..*after };
        if self.send(&self.datagram(&line)).is_err() {
            count_lost();
        }
    }

    fn datagram(&self, entry: &Entry<'_>) -> String {
        let Entry { facility, level, stamp, pid, text } = entry;
        let priority = facility.unwrap_or(self.facility).priority(level.severity());
        format!("<{priority}>{stamp} {}[{pid}]: {text}", self.name)
    }

    fn send(&self, datagram: &str) -> io::Result<usize> {
        match self.socket.send(datagram.as_bytes()) {
            // Nobody listens at this socket any more: somebody may at a new one.
            Err(cause) if cause.kind() != ErrorKind::WouldBlock => {
                self.socket.connect(&self.path)?;
                self.socket.send(datagram.as_bytes())
            }
            sent => sent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry<'_> {
        Entry { facility: None, level: Level::Error, stamp: "Nov  2 14:18:04", pid: 42, text }
    }

    fn listen(path: &Path) -> UnixDatagram {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    }

    fn read(socket: &UnixDatagram) -> Option<String> {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    fn socket_path(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("tocsin-log-{}-{name}", tocsin_shm::identity::pid()));
        let _ = std::fs::remove_file(&path);
        path
    }

    /// In one test, as the count of lost lines is one for the process.
    #[test]
    fn lines_reach_a_log_that_starts_late_starts_again_or_is_slow() {
        let path = socket_path("a");
        let local3 = Facility::parse("LOG_LOCAL3").unwrap();
        let syslog = Syslog::open(&path, "edge", local3).unwrap();
        assert!(!syslog.found);
        syslog.write(&entry("ERROR:core: nobody listens"));

        let log = listen(&path);
        syslog.write(&entry("ERROR:core: first"));
        assert_eq!(read(&log).unwrap(), "<155>Nov  2 14:18:04 edge[42]: ERROR:core: first");
        let lost = read(&log).unwrap();
        assert!(lost.starts_with("<156>Nov  2 14:18:04 edge[42]: WARNING:core: 1 line before"), "{lost}");

        drop(log);
        std::fs::remove_file(&path).unwrap();
        let log = listen(&path);
        syslog.write(&entry("ERROR:core: second"));
        assert!(read(&log).unwrap().ends_with("second"));
        assert_eq!(read(&log), None);

        // More than the kernel holds for a reader that reads nothing: no call waits.
        (0..10_000).for_each(|_| syslog.write(&entry("ERROR:core: flood")));
        let held = std::iter::from_fn(|| read(&log)).count();
        syslog.write(&entry("ERROR:core: third"));
        assert!(read(&log).unwrap().ends_with("third"));
        let lost = read(&log).unwrap();
        assert!(lost.contains(&format!("{} lines", 10_000 - held)), "{lost}");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_line_may_have_a_facility_of_its_own() {
        let path = socket_path("b");
        let log = listen(&path);
        let syslog = Syslog::open(&path, "edge", Facility::DAEMON).unwrap();
        let facility = Facility::parse("LOG_LOCAL7").ok();
        syslog.write(&Entry { facility, level: Level::Info, ..entry("ACC: done") });
        assert!(read(&log).unwrap().starts_with("<190>"));
        std::fs::remove_file(&path).unwrap();
    }
}
