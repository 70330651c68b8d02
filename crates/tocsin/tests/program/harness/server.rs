//! One server under test: its configuration, its folder, its life and its end.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::fd::IntoRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Mi, PATIENCE, free_port, pause, until};

/// How long a server may take to end when asked to.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Tests that load a server have the machine for themselves; all others share it.
static MACHINE: RwLock<()> = RwLock::new(());

enum Turn {
    /// Does not wait for others, and nobody waits for it.
    Beside,
    Shared(#[expect(dead_code, reason = "held, not read")] RwLockReadGuard<'static, ()>),
    Alone(#[expect(dead_code, reason = "held, not read")] RwLockWriteGuard<'static, ()>),
}

/// A configuration and a command line, before the server is started with them.
///
/// In the text of a configuration, `@PORT@` is the SIP port, `@MI@` the port of the management socket that
/// [`Server::mi`] talks to, `@HTTP@` a TCP port, `@DIR@` the server's folder.
pub(crate) struct Setup {
    text: String,
    arguments: Vec<String>,
    dir: TempDir,
    port: u16,
    /// Somebody asked for the port: it cannot be another one any more.
    is_port_known: AtomicBool,
    mi_port: u16,
    http_port: u16,
    company: Company,
}

/// Who else may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    /// All but those that want to be alone.
    Others,
    Nobody,
    Everybody,
}

impl Setup {
    pub(crate) fn new(text: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("tocsin-").tempdir().unwrap();
        let (port, mi_port, http_port) = (free_port(), free_port(), free_tcp_port());
        let setup = Self {
            text: text.to_owned(),
            arguments: ["-f", "server.cfg", "-F"].map(str::to_owned).to_vec(),
            dir,
            port,
            is_port_known: AtomicBool::new(false),
            mi_port,
            http_port,
            company: Company::Others,
        };
        let dir = setup.dir.path().display().to_string();
        setup.put("MPATH", "/usr/lib/modules/").put("DIR", dir)
    }

    /// Puts `value` where the configuration says `@NAME@`.
    pub(crate) fn put(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.text = self.text.replace(&format!("@{name}@"), &value.to_string());
        self
    }

    /// Puts `text` in front of the first place where the configuration says `mark`.
    pub(crate) fn put_before(mut self, mark: &str, text: &str) -> Self {
        self.text = self.text.replacen(mark, &format!("{text}{mark}"), 1);
        self
    }

    /// Adds to the command line.
    pub(crate) fn args<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.arguments.extend(arguments.map(str::to_owned));
        self
    }

    /// Replaces the text of the configuration.
    #[allow(dead_code, reason = "the conformance tests use it")]
    pub(crate) fn text(mut self, text: &str) -> Self {
        text.clone_into(&mut self.text);
        self
    }

    /// Replaces the command line.
    #[allow(dead_code, reason = "the conformance tests use it")]
    pub(crate) fn only(mut self, arguments: &[String]) -> Self {
        self.arguments = arguments.to_vec();
        self
    }

    /// Starts from a bare command line, without `-f` and `-F`.
    pub(crate) fn without_arguments(mut self) -> Self {
        self.arguments.clear();
        self
    }

    /// Runs as a daemon instead of in the foreground.
    pub(crate) fn daemon(mut self) -> Self {
        self.arguments.retain(|argument| argument != "-F");
        self
    }

    /// Waits until no other test's server runs, and keeps others from starting.
    pub(crate) fn alone(mut self) -> Self {
        self.company = Company::Nobody;
        self
    }

    /// Runs beside all other tests, those that want to be alone among them: for a test that takes minutes and little of
    /// the machine.
    pub(crate) fn beside_all(mut self) -> Self {
        self.company = Company::Everybody;
        self
    }

    pub(crate) fn port(&self) -> u16 {
        self.is_port_known.store(true, Relaxed);
        self.port
    }

    /// Other ports, where one was taken since it was found free: perhaps for good, as the socket of another test.
    fn renew_ports(&mut self) {
        (self.mi_port, self.http_port) = (free_port(), free_tcp_port());
        if !self.is_port_known.load(Relaxed) {
            self.port = free_port();
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts the server and waits until it says that it serves.
    pub(crate) fn start(self) -> Server {
        let turn = match self.company {
            Company::Nobody => {
                Turn::Alone(MACHINE.write().unwrap_or_else(std::sync::PoisonError::into_inner))
            }
            Company::Others => {
                Turn::Shared(MACHINE.read().unwrap_or_else(std::sync::PoisonError::into_inner))
            }
            Company::Everybody => Turn::Beside,
        };
        let notify = self.dir.path().join("notify.sock");
        let manager = UnixDatagram::bind(&notify).unwrap();
        // The server may have become another user when it says that it is ready.
        fs::set_permissions(&notify, fs::Permissions::from_mode(0o777)).unwrap();
        manager.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let spawn = |setup: &Self| setup.command().env("NOTIFY_SOCKET", &notify).spawn().unwrap();
        let child = spawn(&self);
        let mi = Mi::new(SocketAddr::from(([127, 0, 0, 1], self.mi_port)));
        let mut server = Server { child, setup: self, mi, ended: false, turn };
        let deadline = Instant::now() + PATIENCE;
        let mut state = [0; 64];
        while !manager.recv(&mut state).is_ok_and(|length| &state[..length] == b"READY=1") {
            assert!(Instant::now() < deadline, "the server did not become ready");
            let Some(status) = server.child.try_wait().unwrap() else { continue };
            if ["in use by another program", "Address already in use"]
                .iter()
                .any(|line| server.log().contains(line))
            {
                pause(Duration::from_millis(50));
                server.setup.renew_ports();
                server.mi = Mi::new(SocketAddr::from(([127, 0, 0, 1], server.setup.mi_port)));
                server.child = spawn(&server.setup);
            } else {
                server.ended = true;
                panic!("the server ended while it started: {status}");
            }
        }
        server
    }

    /// Runs the program to its end, which must come by itself.
    pub(crate) fn run_to_end(&self) -> Ended {
        let mut child = self.command().spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!(
                    "the program did not end by itself; it wrote: {}",
                    read(&self.dir.path().join("stderr.log"))
                );
            }
            pause(Duration::from_millis(5));
        };
        Ended::new(status, &self.dir)
    }

    /// What the program has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        read(&self.dir.path().join("stderr.log"))
    }

    /// The command that starts the program with this configuration; its output goes to files. `TOCSIN_BIN` names another
    /// build of it.
    pub(crate) fn command(&self) -> Command {
        let dir = self.dir.path();
        let config = dir.join("server.cfg");
        let ports = [("@PORT@", self.port), ("@MI@", self.mi_port), ("@HTTP@", self.http_port)];
        let text =
            ports.iter().fold(self.text.clone(), |text, (name, port)| text.replace(name, &port.to_string()));
        fs::write(&config, text).unwrap();
        let program = std::env::var_os("TOCSIN_BIN").unwrap_or(env!("CARGO_BIN_EXE_tocsin").into());
        let mut command = Command::new(program);
        command
            .args(&self.arguments)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(File::create(dir.join("stdout.log")).unwrap())
            .stderr(File::create(dir.join("stderr.log")).unwrap());
        command
    }
}

/// What a program that ended left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit status; the negative number of the signal that ended it.
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    fn new(status: ExitStatus, dir: &TempDir) -> Self {
        Self {
            status: status.code().or(status.signal().map(|signal| -signal)).unwrap(),
            stdout: read(&dir.path().join("stdout.log")),
            stderr: read(&dir.path().join("stderr.log")),
        }
    }
}

/// A process as `ps` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) id: i64,
    pub(crate) pid: i32,
    pub(crate) kind: String,
}

/// A server that runs.
pub(crate) struct Server {
    child: Child,
    setup: Setup,
    mi: Mi,
    ended: bool,
    #[expect(dead_code, reason = "held, not read")]
    turn: Turn,
}

impl Server {
    /// Where it listens for SIP.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.setup.port))
    }

    pub(crate) fn port(&self) -> u16 {
        self.setup.port
    }

    pub(crate) fn http_port(&self) -> u16 {
        self.setup.http_port
    }

    pub(crate) fn mi_port(&self) -> u16 {
        self.setup.mi_port
    }

    /// A client of its management socket.
    pub(crate) fn mi(&self) -> &Mi {
        &self.mi
    }

    /// A path in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.setup.dir.path().join(name)
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// All it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.setup.stderr()
    }

    /// The processes that `ps` shows.
    pub(crate) fn ps(&self) -> Vec<Process> {
        let answer = self.mi.call("ps", Value::Null);
        answer["Processes"].as_array().unwrap().iter().map(Process::new).collect()
    }

    /// Kills one process of this kind and returns it. The table may name one that is dead already for a moment.
    pub(crate) fn kill(&self, kind: &str) -> Process {
        until("a process can be killed", || {
            let process = self.ps().into_iter().find(|process| process.kind.starts_with(kind))?;
            kill(Pid::from_raw(process.pid), Signal::SIGKILL).is_ok().then_some(process)
        })
    }

    /// Waits until another process serves under the ID of this one.
    pub(crate) fn until_replaced(&self, process: &Process) {
        until("a successor serves", || {
            let successor = self.ps().into_iter().find(|other| other.id == process.id)?;
            (successor.pid != process.pid && successor.kind == process.kind).then_some(())
        });
    }

    /// Kills all processes of this kind and waits until their successors serve.
    pub(crate) fn replace(&self, kind: &str) {
        let of_kind = || self.ps().into_iter().filter(|process| process.kind == kind).collect::<Vec<_>>();
        let killed = of_kind();
        assert!(!killed.is_empty(), "no process is a {kind}");
        for process in &killed {
            kill(Pid::from_raw(process.pid), Signal::SIGKILL).unwrap();
        }
        until("their successors serve", || {
            let now = of_kind();
            let is_new = |process: &Process| killed.iter().all(|dead| dead.pid != process.pid);
            (now.len() == killed.len() && now.iter().all(is_new)).then_some(())
        });
    }

    /// How many processes it has.
    pub(crate) fn processes(&self) -> usize {
        family_of(self.pid()).len() + 1
    }

    /// One number of `get_statistics`.
    pub(crate) fn statistic(&self, name: &str) -> i64 {
        let answer = self.mi.call("get_statistics", json!([[name]]));
        answer.as_object().unwrap().values().next().unwrap().as_i64().unwrap()
    }

    /// Subscribes `socket` to `event` until it expires.
    pub(crate) fn subscribe(&self, event: &str, socket: &str) {
        assert_eq!(self.mi.call("event_subscribe", json!([event, socket])), "OK");
    }

    /// Waits until no transaction is left.
    pub(crate) fn until_idle(&self) {
        until("no transaction is left", || (self.statistic("tm:inuse_transactions") == 0).then_some(()));
    }

    /// Asks the server to end. It must do so in time, with status 0, and leave no process behind.
    pub(crate) fn stop(self) -> Ended {
        self.stop_with(Signal::SIGTERM)
    }

    /// The test killed the supervisor itself.
    pub(crate) fn was_killed(mut self) {
        self.child.wait().unwrap();
        self.ended = true;
    }

    /// Waits for the end of a server that was asked to end in another way.
    pub(crate) fn has_ended(self) -> Ended {
        self.has_ended_with(0)
    }

    /// The same with another status; the negative number of the signal that ended it.
    pub(crate) fn has_ended_with(self, status: i32) -> Ended {
        let family = family_of(self.pid());
        self.await_end("a command", &family, status)
    }

    /// The same with another signal.
    pub(crate) fn stop_with(self, signal: Signal) -> Ended {
        let family = family_of(self.pid());
        kill(Pid::from_raw(self.pid()), signal).unwrap();
        self.await_end(signal.as_str(), &family, 0)
    }

    fn await_end(mut self, asked: &str, family: &[i32], wanted: i32) -> Ended {
        let deadline = Instant::now() + END_WITHIN;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the server did not end within {END_WITHIN:?} of {asked}");
            pause(Duration::from_millis(5));
        };
        self.ended = true;
        let ended = Ended::new(status, &self.setup.dir);
        assert_eq!(ended.status, wanted, "exit status after {asked}");
        let left = || family.iter().filter(|pid| is_alive(**pid)).collect::<Vec<_>>();
        if wanted != 0 {
            // It had no time to wait for them.
            until("its processes have followed it", || left().is_empty().then_some(()));
        }
        let left = left();
        assert!(left.is_empty(), "processes {left:?} outlived their supervisor");
        assert!(!ended.stderr.contains("panicked at"), "a process panicked");
        ended
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.ended {
            // Its family goes with it.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the server's log ---\n{}--- end of the log ---", self.log());
        }
    }
}

impl Process {
    fn new(row: &Value) -> Self {
        Self {
            id: row["ID"].as_i64().unwrap(),
            pid: i32::try_from(row["PID"].as_i64().unwrap()).unwrap(),
            kind: row["Type"].as_str().unwrap().to_owned(),
        }
    }
}

/// The children of the process `parent`.
fn family_of(parent: i32) -> Vec<i32> {
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn is_alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None).is_ok()
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// A TCP port of 127.0.0.1 that nobody uses. It stays bound as long as the tests run, so that no connection of theirs
/// takes it; who listens may still have it.
pub(crate) fn free_tcp_port() -> u16 {
    use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, sockopt::ReuseAddr};
    let flags = SockFlag::SOCK_CLOEXEC;
    let held = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
    socket::setsockopt(&held, ReuseAddr, &true).unwrap();
    let held = held.into_raw_fd();
    socket::bind(held, &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    socket::getsockname::<SockaddrIn>(held).unwrap().port()
}
