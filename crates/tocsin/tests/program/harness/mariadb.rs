//! A MariaDB server with a folder and a port of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{PATIENCE, free_tcp_port, pause};

/// Where Debian puts it; not everybody has this folder in the PATH.
const PROGRAM: &str = "/usr/sbin/mariadbd";
const INSTALLER: &str = "/usr/bin/mariadb-install-db";
const CLIENT: &str = "/usr/bin/mariadb";
/// What the tests find in it: the database and user of the recordings.
const CONTENT: &str = "CREATE DATABASE osips; CREATE USER 'osips'@'127.0.0.1' IDENTIFIED BY 'pw'; \
    GRANT ALL ON osips.* TO 'osips'@'127.0.0.1'; USE osips; \
    CREATE TABLE t (a INT, b VARCHAR(32)); INSERT INTO t VALUES (1, 'one'); \
    CREATE TABLE kinds (i BIGINT UNSIGNED, f DOUBLE, d DECIMAL(6,2), w DATETIME, s VARCHAR(8), b BLOB, n INT); \
    INSERT INTO kinds VALUES (18446744073709551615, 2.5, 1234.50, '2024-02-29 01:02:03', 'héé', x'00ff', NULL)";

/// What runs it: when the input ends, for whatever reason, the tests are done with it.
const WATCHER: &str = "keep=$1; shift; \"$@\" </dev/null >/dev/null & echo $!; exec >/dev/null; read _; \
    kill -KILL $! 2>/dev/null; wait; test -z \"$keep\" && rm -rf \"$FOLDER\"; exit 0";

/// A server of databases. It ends when dropped, and with the tests if they end otherwise.
pub(crate) struct MariaDb {
    running: Option<Running>,
    dir: TempDir,
    port: u16,
    /// Nobody drops it: its folder goes when the tests end.
    is_shared: bool,
}

struct Running {
    watcher: Child,
    pid: Pid,
}

impl MariaDb {
    /// A server for all tests that do nothing to it. It ends with them.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<MariaDb> = OnceLock::new();
        SHARED.get_or_init(|| Self::prepare(true).served())
    }

    /// A server that serves.
    pub(crate) fn start() -> Self {
        Self::prepare(false).served()
    }

    /// Where it listens on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The URL of its database, as a configuration writes it.
    pub(crate) fn url(&self) -> String {
        format!("mysql://osips:pw@127.0.0.1:{}/osips", self.port)
    }

    /// Ends it without a warning.
    pub(crate) fn kill(&mut self) {
        let mut running = self.running.take().expect("it runs");
        kill(running.pid, Signal::SIGKILL).unwrap();
        drop(running.watcher.stdin.take());
        running.watcher.wait().unwrap();
    }

    /// Starts it again in its folder, on its port, and waits until it serves.
    pub(crate) fn run(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        self.running = Some(self.spawn());
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "{PROGRAM} does not serve: {}", self.log());
            pause(std::time::Duration::from_millis(10));
        }
    }

    /// It takes no step until [`Self::thaw`], but its connections stay.
    pub(crate) fn freeze(&self) {
        kill(self.pid(), Signal::SIGSTOP).unwrap();
    }

    /// It goes on.
    pub(crate) fn thaw(&self) {
        kill(self.pid(), Signal::SIGCONT).unwrap();
    }

    /// Runs statements as root, and returns what they print.
    pub(crate) fn client(&self, statements: &str) -> String {
        let mut command = Command::new(CLIENT);
        command
            .args(["--no-defaults", "--default-character-set=utf8mb4", "-N", "-uroot", "-S"])
            .arg(self.dir.path().join("sock"));
        let output = command.args(["-e", statements]).output().unwrap();
        assert!(output.status.success(), "{statements}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Connections of the tests' user.
    pub(crate) fn sessions(&self) -> usize {
        let count = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'osips'";
        self.client(count).parse().unwrap()
    }

    fn served(mut self) -> Self {
        self.run();
        self.client(CONTENT);
        self
    }

    fn prepare(is_shared: bool) -> Self {
        let dir = tempfile::Builder::new().prefix("mariadb-").tempdir().unwrap();
        // A folder of its own for temporary tables: a server that starts takes those it finds for leftovers of its own.
        fs::create_dir(dir.path().join("tmp")).unwrap();
        let installed = Command::new(INSTALLER)
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .args(["--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M", "--skip-log-bin"])
            .args(user())
            .arg(format!("--datadir={}", dir.path().join("data").display()))
            .arg(format!("--tmpdir={}", dir.path().join("tmp").display()))
            .output()
            .unwrap_or_else(|cause| panic!("{INSTALLER}: {cause}: run ./test, which installs it"));
        assert!(installed.status.success(), "{INSTALLER}: {}", String::from_utf8_lossy(&installed.stderr));
        Self { running: None, dir, port: free_tcp_port(), is_shared }
    }

    fn pid(&self) -> Pid {
        self.running.as_ref().expect("it runs").pid
    }

    fn spawn(&self) -> Running {
        let dir = self.dir.path();
        let log = File::options().create(true).append(true).open(dir.join("log")).unwrap();
        let mut watcher = Command::new("/bin/sh")
            .args(["-c", WATCHER, "sh", if self.is_shared { "" } else { "keep" }])
            .args([PROGRAM, "--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve"])
            .args(["--innodb-buffer-pool-size=8M", "--innodb-log-file-size=4M", "--performance-schema=OFF"])
            .args(["--key-buffer-size=1M", "--table-open-cache=64", "--max-connections=100"])
            .args(user())
            .arg(format!("--port={}", self.port))
            .arg(format!("--datadir={}", dir.join("data").display()))
            .arg(format!("--tmpdir={}", dir.join("tmp").display()))
            .arg(format!("--socket={}", dir.join("sock").display()))
            .arg(format!("--pid-file={}", dir.join("pid").display()))
            .env("FOLDER", dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut pid = String::new();
        BufReader::new(watcher.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        Running { watcher, pid: Pid::from_raw(pid.trim().parse().unwrap()) }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

/// It refuses to run as root unless told to.
fn user() -> Option<&'static str> {
    nix::unistd::geteuid().is_root().then_some("--user=root")
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
        if std::thread::panicking() {
            eprintln!("--- mariadb's log ---\n{}--- end of mariadb's log ---", self.log());
        }
    }
}
