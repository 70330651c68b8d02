//! The server of all cases with one configuration, and its management commands.

use std::collections::{BTreeSet, HashMap};
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};

use regex::Regex;
use serde_json::{Value, json};

use super::super::cases::text;
use super::super::ports::{DeadPort, free_port};
use super::super::program::{Folder, Program};

/// Starts of a server whose ports turn out to be taken.
const ATTEMPTS: usize = 5;

/// A server that serves.
pub(super) struct Server {
    program: Program,
    folder: Folder,
    /// Its ports by name, such as `PORT` and `MI`.
    pub(super) ports: HashMap<String, u16>,
    _dead: DeadPort,
}

impl Server {
    /// Starts a server for a case. Says why it does not start.
    pub(super) fn start(case: &Value) -> Result<Self, String> {
        for _ in 0..ATTEMPTS {
            let mut server = Self::new(text(case, "config"));
            if server.program.becomes_ready() {
                return Ok(server);
            }
            if !server.program.lost_its_port() {
                return Err(server.first_error());
            }
        }
        panic!("{ATTEMPTS} times a port that was free was taken a moment later");
    }

    fn new(config: &str) -> Self {
        let (folder, dead) = (Folder::new(), DeadPort::new());
        let placeholder = Regex::new("@([A-Z][A-Z0-9]*)@").unwrap();
        let mut names: BTreeSet<_> =
            placeholder.captures_iter(config).map(|found| found[1].to_owned()).collect();
        if names.contains("CERT") {
            write_certificate(&folder);
        }
        let dir = folder.text();
        let mut config = Regex::new(r"(?m)^mpath=.*\n").unwrap().replace_all(config, "").into_owned();
        for (name, path) in [("DIR", ""), ("CERT", "/cert.pem"), ("KEY", "/key.pem"), ("MPATH", "")] {
            config = config.replace(&format!("@{name}@"), &format!("{dir}{path}"));
            names.remove(name);
        }
        names.extend(["PORT", "PORT2", "MI"].map(str::to_owned));
        let mut ports: HashMap<_, _> = names.into_iter().map(|name| (name, free_port())).collect();
        ports.insert("DEAD".to_owned(), dead.number());
        for (name, port) in &ports {
            config = config.replace(&format!("@{name}@"), &port.to_string());
        }
        folder.configure(&config);
        Self { program: folder.start(), folder, ports, _dead: dead }
    }

    /// The path of its folder.
    pub(super) fn dir(&self) -> String {
        self.folder.text()
    }

    /// What it said when it ended, if it did.
    pub(super) fn end(&mut self) -> Option<String> {
        self.program.has_ended().then(|| format!("the server ended: {}", self.first_error()))
    }

    fn first_error(&self) -> String {
        let log = self.program.log();
        let error = log.lines().find(|line| line.contains("ERROR") || line.contains("CRITICAL"));
        error.or(log.lines().next()).unwrap_or_default().to_owned()
    }

    /// Sends a management command.
    pub(super) fn command(&self, method: &str, params: &Value) -> Command {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(("127.0.0.1", self.ports["MI"])).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut request = json!({ "jsonrpc": "2.0", "method": method, "id": 1 });
        let has_params = params.as_object().is_none_or(|params| !params.is_empty());
        if has_params && !params.is_null() {
            request["params"] = params.clone();
        }
        let _ = socket.send(request.to_string().as_bytes());
        Command { socket, answer: None }
    }
}

/// A certificate that the server shows to those who connect over TLS.
fn write_certificate(folder: &Folder) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    folder.write("cert.pem", &made.cert.pem());
    folder.write("key.pem", &made.signing_key.serialize_pem());
}

/// A management command that was sent, and its answer when it has come.
pub(super) struct Command {
    socket: UdpSocket,
    pub(super) answer: Option<Vec<u8>>,
}

impl Command {
    /// Takes the answer if it has come.
    pub(super) fn read(&mut self) {
        let mut data = [0; 65_535];
        if let Ok(length) = self.socket.recv(&mut data) {
            self.answer = Some(data[..length].to_vec());
        }
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
