//! A RabbitMQ broker with a folder, ports and a node of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::{Authority, free_tcp_port, python, run_tool, until_within};

/// Where Debian puts what Debian calls rabbitmq-server; the program in the PATH wants to be another user.
const PROGRAM: &str = "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server";
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/rabbit.py");
/// How long it may take to start: seconds where the machine has nothing else to do.
const START: Duration = Duration::from_secs(120);

/// What runs it, with the name server that Erlang wants: when the input ends, for whatever reason, the tests are done with it.
const WATCHER: &str = "epmd -port \"$ERL_EPMD_PORT\" </dev/null >&2 & names=$!; \
    set -- $1; \"$@\" </dev/null >&2 & script=$!; echo started; exec >/dev/null; read _; \
    for pid in $(cat \"$FOLDER/pid\") $(ps -o pid= --ppid $script) $script $names; do kill -KILL $pid; done 2>/dev/null; wait; \
    test -n \"$SHARED\" && rm -rf \"$FOLDER\"; exit 0";

/// A broker. It ends when dropped, and with the tests if they end otherwise.
pub(crate) struct RabbitMq {
    watcher: Option<Child>,
    dir: TempDir,
    authority: Authority,
    ports: Ports,
    /// Nobody drops it: its folder goes when the tests end.
    is_shared: bool,
}

struct Ports {
    plain: u16,
    tls: u16,
    /// Those that its parts know each other by.
    node: u16,
    names: u16,
}

impl RabbitMq {
    /// A broker for all tests that do nothing to it. It ends with them.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<RabbitMq> = OnceLock::new();
        SHARED.get_or_init(|| Self::prepare(true).served())
    }

    /// A broker that serves.
    pub(crate) fn start() -> Self {
        Self::prepare(false).served()
    }

    /// Where it listens on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.ports.plain
    }

    /// Where it listens for TLS; its certificate is of [`Self::authority`], for 127.0.0.1.
    pub(crate) fn tls_port(&self) -> u16 {
        self.ports.tls
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Declares a durable queue.
    pub(crate) fn declare(&self, queue: &str) {
        self.client(&["declare", queue]);
    }

    /// Declares a durable queue that is bound to a direct exchange.
    pub(crate) fn bind(&self, queue: &str, exchange: &str, key: &str) {
        self.client(&["declare", queue, exchange, key]);
    }

    /// Declares an exchange that leads nowhere.
    pub(crate) fn exchange(&self, exchange: &str) {
        self.client(&["lose", exchange]);
    }

    /// Declares a queue that refuses messages when it has `count`.
    pub(crate) fn limit(&self, queue: &str, count: usize) {
        self.client(&["limit", queue, &count.to_string()]);
    }

    /// Takes `count` messages out of a queue.
    pub(crate) fn take(&self, queue: &str, count: usize) -> Vec<Value> {
        self.client(&["take", queue, &count.to_string()])
    }

    /// Takes messages out of a queue until `count` different ones have come.
    pub(crate) fn take_different(&self, queue: &str, count: usize) -> Vec<Value> {
        self.client(&["all", queue, &count.to_string()])
    }

    /// Ends it without a warning.
    pub(crate) fn kill(&mut self) {
        let mut watcher = self.watcher.take().expect("it runs");
        drop(watcher.stdin.take());
        watcher.wait().unwrap();
    }

    /// Starts it, again if it was killed, and waits until it serves.
    pub(crate) fn run(&mut self) {
        assert!(self.watcher.is_none(), "it runs already");
        // A number of before says nothing.
        let _ = fs::remove_file(self.dir.path().join("pid"));
        self.watcher = Some(self.spawn());
        until_within(START, "the broker serves", || {
            let is_there = |port| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
            (self.log().contains("Server startup complete") && is_there(self.ports.plain)).then_some(())
        });
    }

    /// It takes no step until [`Self::thaw`], but its connections stay.
    pub(crate) fn freeze(&self) {
        kill(self.pid(), Signal::SIGSTOP).unwrap();
    }

    /// It goes on.
    pub(crate) fn thaw(&self) {
        kill(self.pid(), Signal::SIGCONT).unwrap();
    }

    fn pid(&self) -> Pid {
        let text = fs::read_to_string(self.dir.path().join("pid")).unwrap();
        Pid::from_raw(text.trim().parse().unwrap())
    }

    fn client(&self, arguments: &[&str]) -> Vec<Value> {
        let mut command = Command::new(python());
        let output = run_tool(command.arg(CLIENT).arg(self.ports.plain.to_string()).args(arguments));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn served(mut self) -> Self {
        self.run();
        self
    }

    fn prepare(is_shared: bool) -> Self {
        let dir = tempfile::Builder::new().prefix("rabbitmq-").tempdir().unwrap();
        let authority = Authority::new();
        authority.issue("broker", ["127.0.0.1"]);
        let [plain, tls, node, names] = [(); 4].map(|()| free_tcp_port());
        let ports = Ports { plain, tls, node, names };
        let certificates = authority.dir().display();
        let configuration = format!(
            "listeners.tcp.1 = 127.0.0.1:{plain}\nlisteners.ssl.1 = 127.0.0.1:{tls}\n\
             ssl_options.cacertfile = {certificates}/ca.pem\nssl_options.certfile = {certificates}/broker.pem\n\
             ssl_options.keyfile = {certificates}/broker.key\ndisk_free_limit.absolute = 1MB\n"
        );
        fs::write(dir.path().join("rabbitmq.conf"), configuration).unwrap();
        fs::write(dir.path().join("plugins"), "[].").unwrap();
        Self { watcher: None, dir, authority, ports, is_shared }
    }

    fn spawn(&self) -> Child {
        let dir = self.dir.path();
        let log = File::options().create(true).write(true).truncate(true).open(dir.join("output")).unwrap();
        let mut watcher = Command::new("/bin/sh")
            .args(["-c", WATCHER, "sh", PROGRAM])
            .env("FOLDER", dir)
            .env("SHARED", if self.is_shared { "yes" } else { "" })
            .env("HOME", dir)
            .env("ERL_CRASH_DUMP", dir.join("crash"))
            .env("ERL_EPMD_PORT", self.ports.names.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", format!("tocsin{}@localhost", self.ports.plain))
            .env("RABBITMQ_DIST_PORT", self.ports.node.to_string())
            .env("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq.conf"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("plugins"))
            .env("RABBITMQ_MNESIA_BASE", dir.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", dir.join("log"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_PID_FILE", dir.join("pid"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 1:1 +sbwt none")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(watcher.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "started\n");
        watcher
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("output")).unwrap_or_default()
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        if self.watcher.is_some() {
            self.kill();
        }
        if std::thread::panicking() {
            eprintln!("--- the broker's log ---\n{}--- end of the broker's log ---", self.log());
        }
    }
}
