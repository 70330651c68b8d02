//! The server of the demo: this program with a configuration of its own, and the socket at which its events arrive.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket as StdUdpSocket};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::names;
use super::promised::promised;
use crate::events::receiver::{Heard, Receiver};

const CONFIG: &str = include_str!("demo.cfg");
/// A query that keeps SQLite counting.
const SLOW_SQLITE: &str = "WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < 3000000) \
                           SELECT max(n) FROM counted";
const DATABASE: &str = "demo.sqlite";
const SLOW_MYSQL: &str = "SELECT SLEEP(0.3)";
/// How long the server may take to start, and to end.
const START_WITHIN: Duration = Duration::from_secs(15);
const END_WITHIN: Duration = Duration::from_secs(6);

/// Where the server listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) udp: SocketAddr,
    /// Over UDP as well, with workers that grow in number: what else keeps a worker busy must not count there.
    pub(super) scaled: SocketAddr,
    pub(super) tcp: SocketAddr,
}

/// A server, its folder, its slow name server, and a subscriber to its events.
pub(super) struct Server {
    child: Child,
    folder: TempDir,
    place: Place,
    receiver: Receiver,
    names: tokio::task::JoinHandle<io::Result<()>>,
}

impl Server {
    /// Starts it, and waits until it serves.
    pub(super) async fn start(mysql: Option<&str>) -> Result<Self, String> {
        let failed = |cause: io::Error| cause.to_string();
        let folder = tempfile::Builder::new().prefix("tocsin-demo-").tempdir().map_err(failed)?;
        let receiver = Receiver::open(IpAddr::V4(Ipv4Addr::LOCALHOST), false).await.map_err(failed)?;
        let slow = UdpSocket::bind("127.0.0.1:0").await.map_err(failed)?;
        let [udp, scaled] = two_free_udp().map_err(failed)?;
        let place = Place { udp, scaled, tcp: free_tcp().map_err(failed)? };
        let dns = slow.local_addr().map_err(failed)?.port();
        let config = config(place, dns, &receiver.name().map_err(failed)?, mysql, &folder);
        fs::write(folder.path().join("demo.cfg"), config).map_err(failed)?;
        // An empty file is an empty database.
        File::create(folder.path().join(DATABASE)).map_err(failed)?;
        let ready = UnixDatagram::bind(folder.path().join("ready.sock")).map_err(failed)?;
        let child = spawn(&folder).map_err(failed)?;
        let names = tokio::task::spawn_local(names::serve(slow));
        let mut server = Self { child, folder, place, receiver, names };
        match timeout(START_WITHIN, server.until_ready(&ready)).await {
            Ok(Ok(())) => Ok(server),
            Ok(Err(problem)) => Err(problem),
            Err(_) => Err(format!("the server did not start in time:\n{}", server.log_text())),
        }
    }

    async fn until_ready(&mut self, ready: &UnixDatagram) -> Result<(), String> {
        let mut state = [0; 64];
        loop {
            tokio::select! {
                received = ready.recv(&mut state) => {
                    let length = received.map_err(|cause| cause.to_string())?;
                    if &state[..length] == b"READY=1" {
                        return Ok(());
                    }
                }
                _ = self.child.wait() => {
                    return Err(format!("the server ended while it started:\n{}", self.log_text()));
                }
            }
        }
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Its pid.
    pub(super) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// The next event.
    pub(super) async fn hear(&mut self) -> io::Result<Heard> {
        self.receiver.next().await
    }

    /// Where its log is.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.path().join("demo.log")
    }

    fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Asks it to end, and waits for that.
    pub(super) async fn stop(mut self) {
        self.names.abort();
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(self.pid().cast_signed()), Signal::SIGTERM);
        if timeout(END_WITHIN, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

fn spawn(folder: &TempDir) -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["-F", "-m", "8", "-M", "4", "-f", "demo.cfg"])
        .current_dir(folder.path())
        .env("NOTIFY_SOCKET", folder.path().join("ready.sock"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(folder.path().join("demo.log"))?)
        .kill_on_drop(true)
        .spawn()
}

fn config(place: Place, dns: u16, subscriber: &str, mysql: Option<&str>, folder: &TempDir) -> String {
    let mut subscriptions = String::new();
    for event in promised() {
        // Writing to a String cannot fail.
        let _ = writeln!(subscriptions, "\tsubscribe_event(\"{}\", \"{subscriber}\");", event.name);
    }
    let file = format!("sqlite://{}", folder.path().join(DATABASE).display());
    let (driver, database, query) = match mysql {
        Some(url) => ("db_mysql", url, SLOW_MYSQL),
        None => ("db_sqlite", file.as_str(), SLOW_SQLITE),
    };
    [
        ("@UDP@", place.udp.port().to_string().as_str()),
        ("@SCALED@", &place.scaled.port().to_string()),
        ("@TCP@", &place.tcp.port().to_string()),
        ("@DNS@", &dns.to_string()),
        ("@DRIVER@", driver),
        ("@DATABASE@", database),
        ("@QUERY@", query),
        ("@SUBSCRIPTIONS@", &subscriptions),
    ]
    .into_iter()
    .fold(CONFIG.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// Two addresses that nobody uses at this moment.
fn two_free_udp() -> io::Result<[SocketAddr; 2]> {
    let sockets = [StdUdpSocket::bind("127.0.0.1:0")?, StdUdpSocket::bind("127.0.0.1:0")?];
    Ok([sockets[0].local_addr()?, sockets[1].local_addr()?])
}

fn free_tcp() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
