//! SIPp as caller and as callee, and what it counted.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{free_port, free_tcp_port, until, until_within};

/// Scenarios of this repository; SIPp's own are named by their bare names.
const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");

/// SIPp goes on with a call in which something comes that it does not wait for.
const PATIENT: [&str; 2] = ["-default_behaviors", "all,-abortunexp"];

/// What SIPp counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) successful: u32,
    pub(crate) failed: u32,
    pub(crate) retransmissions: u32,
}

/// Calls to place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller<'a> {
    /// `uac`, or a file of the scenarios.
    pub(crate) scenario: &'a str,
    /// Port of the server that the calls go to.
    pub(crate) to: u16,
    pub(crate) calls: u32,
    /// Calls a second.
    pub(crate) rate: u32,
}

/// A SIPp that runs; it is ended when dropped.
pub(crate) struct Sipp {
    child: Child,
    dir: TempDir,
    port: u16,
}

impl Sipp {
    /// A callee that answers calls until [`Self::finish`].
    pub(crate) fn callee(scenario: &str) -> Self {
        let sipp = Self::start(scenario, free_port(), &[]);
        until("sipp listens", || is_bound(sipp.port).then_some(()));
        sipp
    }

    /// The same over TCP. A request that comes again does no harm to a call, as with other phones: a worker that is killed
    /// right behind the system call that sends it has not noted that, and its successor sends it once more.
    pub(crate) fn callee_over_tcp(scenario: &str) -> Self {
        let own = ["-t", "t1"].into_iter().chain(PATIENT).map(str::to_owned).collect::<Vec<_>>();
        let sipp = Self::start(scenario, free_tcp_port(), &own);
        until("sipp listens", || is_listening(sipp.port).then_some(()));
        sipp
    }

    /// A caller that places its calls and ends.
    pub(crate) fn caller(caller: Caller<'_>) -> Self {
        Self::start(caller.scenario, free_port(), &Self::calls(caller))
    }

    /// The same over UDP (`u1`) or TCP: `t1` has one connection, `tn` one for each call. A response that comes again, or
    /// late, does no harm to a call: a worker that is killed may have sent it and not noted that.
    pub(crate) fn caller_over(mode: &str, caller: Caller<'_>) -> Self {
        let mut own = Self::calls(caller);
        // SIPp wants fewer sockets than the system has descriptors for it.
        own.extend(["-t", mode, "-max_socket", "500"].into_iter().chain(PATIENT).map(str::to_owned));
        let port = if mode.starts_with('u') { free_port() } else { free_tcp_port() };
        Self::start(caller.scenario, port, &own)
    }

    fn calls(caller: Caller<'_>) -> Vec<String> {
        let Caller { scenario: _, to, calls, rate } = caller;
        vec![
            format!("127.0.0.1:{to}"),
            "-r".to_owned(),
            rate.to_string(),
            "-m".to_owned(),
            calls.to_string(),
            "-d".to_owned(),
            "200".to_owned(),
        ]
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether a caller still has calls.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the last call of a caller, or asks a callee to end after its last one, and returns the counts.
    pub(crate) fn finish(mut self, patience: Duration) -> Tally {
        let status = until_within(patience, "sipp has done its calls", || self.child.try_wait().unwrap());
        if !status.success() {
            eprintln!("sipp, {status}, said: {}", self.last_words());
        }
        self.tally()
    }

    /// What it wrote to standard error.
    fn last_words(&self) -> String {
        fs::read_to_string(self.dir.path().join("stderr.log")).unwrap_or_default()
    }

    /// Asks a callee to end once its calls are done, and returns the counts.
    pub(crate) fn dismiss(mut self, patience: Duration) -> Tally {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGUSR1).unwrap();
        let _: ExitStatus =
            until_within(patience, "sipp has done its calls", || self.child.try_wait().unwrap());
        self.tally()
    }

    fn start(scenario: &str, port: u16, own: &[String]) -> Self {
        let dir = tempfile::Builder::new().prefix("sipp-").tempdir().unwrap();
        let file = Path::new(SCENARIOS).join(scenario);
        let (flag, scenario) = if file.exists() { ("-sf", file) } else { ("-sn", PathBuf::from(scenario)) };
        let child = Command::new("sipp")
            .args(own)
            .arg(flag)
            .arg(scenario)
            .args(["-i", "127.0.0.1", "-p", &port.to_string(), "-nostdin"])
            .args(["-trace_stat", "-stf", "stat.csv", "-fd", "1", "-trace_err", "-error_file", "errors.log"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(File::create(dir.path().join("screen.log")).unwrap())
            .stderr(File::create(dir.path().join("stderr.log")).unwrap())
            .spawn()
            .unwrap_or_else(|cause| panic!("sipp: {cause}: run ./test, which installs it"));
        Self { child, dir, port }
    }

    /// The last row of its statistics.
    fn tally(&self) -> Tally {
        let table = fs::read_to_string(self.dir.path().join("stat.csv")).expect("sipp's statistics");
        let mut rows = table.lines();
        let names: Vec<_> = rows.next().unwrap().split(';').collect();
        let last: Vec<_> = rows.next_back().expect("a row of sipp's statistics").split(';').collect();
        let cell = |name: &str| last[names.iter().position(|n| *n == name).unwrap()].parse().unwrap();
        let tally = Tally {
            successful: cell("SuccessfulCall(C)"),
            failed: cell("FailedCall(C)"),
            retransmissions: cell("Retransmissions(C)"),
        };
        if tally.failed > 0 {
            self.show_errors();
        }
        tally
    }

    fn show_errors(&self) {
        let errors = fs::read_to_string(self.dir.path().join("errors.log")).unwrap_or_default();
        let first: Vec<_> = errors.lines().take(60).collect();
        eprintln!("--- sipp's errors ---\n{}\n--- end of sipp's errors ---", first.join("\n"));
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            self.show_errors();
        }
    }
}

/// Whether something listens on UDP `port` of 127.0.0.1.
fn is_bound(port: u16) -> bool {
    let table = fs::read_to_string("/proc/net/udp").unwrap();
    table.contains(&format!(" 0100007F:{port:04X} "))
}

/// Whether something listens on TCP `port` of 127.0.0.1.
fn is_listening(port: u16) -> bool {
    /// The state of a socket that listens, as the kernel's table numbers it.
    const LISTEN: &str = "0A";
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!("0100007F:{port:04X}");
    table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .any(|fields| fields.get(1).is_some_and(|field| *field == local) && fields.get(3) == Some(&LISTEN))
}
