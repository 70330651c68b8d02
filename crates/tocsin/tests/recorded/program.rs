//! The program under test: one process with a folder of its own, from its start to its end.

use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::clock::within;

/// How long a server may take to start. Nothing that works takes this long, however busy the machine.
const START_WITHIN: Duration = Duration::from_secs(20);
/// How long the check of a configuration may take.
const CHECK_WITHIN: Duration = Duration::from_secs(20);
/// The memory that each server gets, shared and private, in megabytes. The recordings were made with the same.
const MEMORY: [&str; 4] = ["-m", "64", "-M", "16"];

/// The folder of a program: its configuration and what it writes.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("recorded-").tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path as it stands in configurations.
    pub(crate) fn text(&self) -> String {
        self.path().display().to_string()
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.path().join(name), content).unwrap();
    }

    /// Writes the configuration that [`Self::start`] and [`Self::check`] take.
    pub(crate) fn configure(&self, text: &str) {
        self.write("server.cfg", text);
    }

    /// Starts the program. It may end at once, or take a moment until it serves.
    pub(crate) fn start(&self) -> Program {
        let notify = self.path().join("ready.sock");
        let _ = fs::remove_file(&notify);
        let manager = UnixDatagram::bind(&notify).unwrap();
        manager.set_nonblocking(true).unwrap();
        let mut command = self.command();
        command.args(["-F", "-f", "server.cfg"]).args(MEMORY).env("NOTIFY_SOCKET", &notify);
        Program { child: command.spawn().unwrap(), log: self.log(), manager, ended: false }
    }

    /// Lets the program check the configuration. Returns whether it found no fault, and what it said.
    pub(crate) fn check(&self) -> (bool, String) {
        let mut child = self.command().args(["-C", "-f", "server.cfg"]).spawn().unwrap();
        let mut status = None;
        if !within(CHECK_WITHIN, || {
            status = child.try_wait().unwrap();
            status.is_some()
        }) {
            let _ = child.kill();
            let _ = child.wait();
        }
        (status.is_some_and(|status| status.success()), read(&self.log()))
    }

    fn log(&self) -> PathBuf {
        self.path().join("log")
    }

    /// `TOCSIN_BIN` names another build of the program.
    fn command(&self) -> Command {
        let program = std::env::var_os("TOCSIN_BIN").unwrap_or(env!("CARGO_BIN_EXE_tocsin").into());
        let log = File::create(self.log()).unwrap();
        let mut command = Command::new(program);
        command
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log));
        command
    }
}

/// A program that runs; it is ended when dropped.
pub(crate) struct Program {
    child: Child,
    log: PathBuf,
    manager: UnixDatagram,
    ended: bool,
}

impl Program {
    /// Waits until it serves. Returns `false` if it ended instead.
    pub(crate) fn becomes_ready(&mut self) -> bool {
        let mut state = [0; 64];
        within(START_WITHIN, || {
            let ready = self.manager.recv(&mut state).is_ok_and(|length| &state[..length] == b"READY=1");
            ready || self.has_ended()
        });
        !self.has_ended()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.ended = self.ended || self.child.try_wait().unwrap().is_some();
        self.ended
    }

    /// Whether it ended since a port that was free a moment ago is taken now.
    pub(crate) fn lost_its_port(&mut self) -> bool {
        self.has_ended()
            && ["in use by another program", "Address already in use"]
                .iter()
                .any(|line| self.log().contains(line))
    }

    /// All that it has written.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    /// How much it has written, in bytes.
    pub(crate) fn log_size(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |file| file.len())
    }
}

impl Drop for Program {
    /// Ends it at once: how a server ends is the subject of other tests. Its processes go with it.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a file holds. A byte that is no UTF-8 becomes the character for such bytes, which no recording has.
fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
