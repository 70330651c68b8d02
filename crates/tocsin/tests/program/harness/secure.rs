//! Clients of TLS: `openssl s_client` carries what a [`Line`] says.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use tempfile::TempDir;

use super::{Authority, Line, free_tcp_port, python, until};

/// Who connects how, before the connection is opened.
pub(crate) struct SecureClient {
    to: SocketAddr,
    arguments: Vec<String>,
}

/// A running `openssl`, which is the TLS of one connection; it is ended when dropped.
pub(crate) struct Tunnel {
    child: Child,
    dir: TempDir,
    port: u16,
}

impl SecureClient {
    /// A client that offers every version, sends no server name, trusts everybody and has no certificate.
    pub(crate) fn new(to: SocketAddr) -> Self {
        Self { to, arguments: vec!["-noservername".to_owned()] }
    }

    /// Offers one version only: `tls1_2` or `tls1_3`.
    pub(crate) fn version(self, version: &str) -> Self {
        self.with(&[&format!("-{version}")])
    }

    /// Sends this server name.
    pub(crate) fn server_name(mut self, name: &str) -> Self {
        self.arguments.retain(|argument| argument != "-noservername");
        self.with(&["-servername", name])
    }

    /// Goes on only with a server whose certificate `authority` issued for `name`.
    pub(crate) fn trusting(self, authority: &Authority, name: &str) -> Self {
        let ca = authority.path("ca.pem");
        self.with(&["-CAfile", &text(&ca), "-verify_return_error", "-verify_hostname", name])
    }

    /// Shows the certificate `stem` of `authority` if the server asks for one.
    pub(crate) fn certificate(self, authority: &Authority, stem: &str) -> Self {
        let (certificate, key) =
            (authority.path(&format!("{stem}.pem")), authority.path(&format!("{stem}.key")));
        self.with(&["-cert", &text(&certificate), "-key", &text(&key)])
    }

    /// Adds to the command line of `openssl s_client`.
    pub(crate) fn with(mut self, more: &[&str]) -> Self {
        self.arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Connects, and shakes hands, which must succeed.
    pub(crate) fn open(&self) -> (Line, Tunnel) {
        let (line, mut tunnel) = self.begin();
        tunnel.until_established();
        (line, tunnel)
    }

    /// Connects, and is refused. Returns the port that it came from, and what openssl said.
    ///
    /// In TLS 1.3 a client whose certificate is refused hears of it after its part of the handshake.
    pub(crate) fn refused(&self) -> (u16, String) {
        let (mut line, mut tunnel) = self.begin();
        let said = line.read_to_end();
        assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
        let status: ExitStatus = until("openssl ends", || tunnel.child.try_wait().unwrap());
        assert!(!status.success(), "openssl was not refused: {}", tunnel.said());
        (tunnel.port, tunnel.said())
    }

    /// Connects, and does not wait for what comes of it.
    pub(crate) fn begin(&self) -> (Line, Tunnel) {
        let dir = tempfile::Builder::new().prefix("openssl-").tempdir().unwrap();
        let port = free_tcp_port();
        let (near, far) = pair();
        let child = Command::new("openssl")
            .args(["s_client", "-brief", "-nocommands", "-connect", &self.to.to_string()])
            .args(["-bind", &format!("127.0.0.1:{port}")])
            .args(&self.arguments)
            .stdin(Stdio::from(OwnedFd::from(far.try_clone().unwrap())))
            .stdout(Stdio::from(OwnedFd::from(far)))
            .stderr(File::create(dir.path().join("stderr.log")).unwrap())
            .spawn()
            .unwrap_or_else(|cause| panic!("openssl: {cause}: run ./test, which installs it"));
        (Line::new(near), Tunnel { child, dir, port })
    }
}

impl Tunnel {
    /// Waits for the end of the handshake, which must succeed.
    pub(crate) fn until_established(&mut self) {
        until("openssl says that the connection is established", || {
            // The last of what it says.
            if self.fact("Server Temp Key").is_some() {
                return Some(());
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "openssl ended: {}", self.said());
            None
        });
    }

    /// The port that the server sees.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The version that was agreed on, such as `TLSv1.3`.
    pub(crate) fn version(&self) -> String {
        self.fact("Protocol version").unwrap()
    }

    /// The subject of the server's certificate, such as `CN = localhost`.
    pub(crate) fn subject(&self) -> String {
        self.fact("Peer certificate").unwrap()
    }

    /// What it wrote about the connection so far.
    fn said(&self) -> String {
        fs::read_to_string(self.dir.path().join("stderr.log")).unwrap()
    }

    /// What stands behind `name` in it.
    fn fact(&self, name: &str) -> Option<String> {
        let said = self.said();
        let mut lines = said.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- openssl ---\n{}--- end of openssl ---", self.said());
        }
    }
}

/// A client that shook hands and never finished a record, after the server ended its connection.
#[derive(Debug)]
pub(crate) struct SlowClient {
    /// The port that it came from.
    pub(crate) port: u16,
    /// Bytes that it sent one by one.
    pub(crate) sent: usize,
    /// How long it was borne.
    pub(crate) seconds: f64,
}

impl SlowClient {
    /// Starts `count` of them against `to`. They send `at_once` bytes of a record, then the others one by one.
    pub(crate) fn start(to: SocketAddr, count: usize, at_once: usize) -> SlowClients {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/slow_tls.py");
        let arguments = [to.port().to_string(), count.to_string(), at_once.to_string()];
        let mut command = Command::new(python());
        command.arg(script).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        SlowClients { child: command.spawn().unwrap(), count }
    }

    fn read(line: &str) -> Self {
        let [port, sent, seconds] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        Self { port: port.parse().unwrap(), sent: sent.parse().unwrap(), seconds: seconds.parse().unwrap() }
    }
}

/// Slow clients that run.
pub(crate) struct SlowClients {
    child: Child,
    count: usize,
}

impl SlowClients {
    /// Waits until the server has ended the connections of all.
    pub(crate) fn finish(self) -> Vec<SlowClient> {
        let output = self.child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let clients: Vec<_> = text.lines().map(SlowClient::read).collect();
        assert_eq!(clients.len(), self.count, "{text}");
        clients
    }
}

/// Two ends of one connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    loop {
        let (far, from) = listener.accept().unwrap();
        if from == near.local_addr().unwrap() {
            return (near, far);
        }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
