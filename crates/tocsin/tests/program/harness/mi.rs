//! Clients of the management interface, one for each of its transports.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use serde_json::{Value, json};

use super::PATIENCE;

/// Time after which a request is sent again: the process that served the first one may have been killed.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// A client of a UDP management socket.
pub(crate) struct Mi {
    socket: UdpSocket,
    last_id: AtomicI64,
}

impl Mi {
    pub(crate) fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server).unwrap();
        Self { socket, last_id: AtomicI64::new(0) }
    }

    /// The result of a command, which must not be an error. A command that gets no answer is sent again.
    pub(crate) fn call(&self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// The whole answer to a command.
    pub(crate) fn answer(&self, method: &str, params: Value) -> Value {
        let request = self.request(method, params);
        let deadline = Instant::now() + PATIENCE;
        loop {
            // A socket that is not there yet refuses; that is the same as no answer.
            let _ = self.socket.send(request.to_string().as_bytes());
            if let Some(answer) = self.receive_answer(&request["id"], AGAIN_AFTER) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{method}: no answer");
        }
    }

    /// Sends a command once and returns its ID: for one whose answer takes its time.
    pub(crate) fn ask(&self, method: &str, params: Value) -> i64 {
        let request = self.request(method, params);
        self.socket.send(request.to_string().as_bytes()).unwrap();
        request["id"].as_i64().unwrap()
    }

    /// The whole answer to the command of this ID.
    pub(crate) fn answer_to(&self, id: i64) -> Value {
        self.receive_answer(&json!(id), PATIENCE).unwrap_or_else(|| panic!("no answer to command {id}"))
    }

    fn request(&self, method: &str, params: Value) -> Value {
        let id = self.last_id.fetch_add(1, Relaxed) + 1;
        let mut request = json!({"jsonrpc": "2.0", "method": method, "id": id});
        if !params.is_null() {
            request["params"] = params;
        }
        request
    }

    /// Waits for an answer with this ID; others are to requests that were sent again.
    fn receive_answer(&self, id: &Value, patience: Duration) -> Option<Value> {
        while let Some(answer) = self.receive(patience) {
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            if answer["id"] == *id {
                return Some(answer);
            }
        }
        None
    }

    /// Sends `request` as it is and returns the bytes of the answer.
    pub(crate) fn raw(&self, request: &[u8]) -> String {
        self.socket.send(request).unwrap();
        let answer = self.receive(PATIENCE).expect("an answer");
        String::from_utf8(answer).unwrap()
    }

    /// Sends `request`, which is not answered.
    pub(crate) fn send(&self, request: &[u8]) {
        self.socket.send(request).unwrap();
    }

    fn receive(&self, patience: Duration) -> Option<Vec<u8>> {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut bytes = vec![0; 65_536];
        let length = self.socket.recv(&mut bytes).ok()?;
        bytes.truncate(length);
        Some(bytes)
    }
}

/// A client of a UNIX management socket.
pub(crate) struct UnixMi {
    socket: UnixDatagram,
}

impl UnixMi {
    /// A client with its own socket in `dir`, of the server at `path`.
    pub(crate) fn new(path: &Path, dir: &Path) -> Self {
        let own = dir.join("client.sock");
        let socket = UnixDatagram::bind(&own).unwrap();
        fs::set_permissions(own, fs::Permissions::from_mode(0o777)).unwrap();
        socket.connect(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    pub(crate) fn raw(&self, request: &[u8]) -> String {
        self.socket.send(request).unwrap();
        let mut bytes = vec![0; 65_536];
        let length = self.socket.recv(&mut bytes).expect("an answer");
        bytes.truncate(length);
        String::from_utf8(bytes).unwrap()
    }
}

/// A client of the FIFO.
pub(crate) struct Fifo {
    fifo: PathBuf,
    reply_dir: PathBuf,
}

impl Fifo {
    pub(crate) fn new(fifo: PathBuf, reply_dir: PathBuf) -> Self {
        Self { fifo, reply_dir }
    }

    /// The bytes that come back for `request`.
    pub(crate) fn raw(&self, request: &str) -> String {
        let path = self.reply_dir.join("reply");
        nix::unistd::mkfifo(&path, Mode::from_bits_truncate(0o600)).unwrap();
        // The server may run as another user.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let mut reply = OpenOptions::new()
            .read(true)
            .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
            .open(&path)
            .unwrap();
        self.write(&format!(":reply:{request}"));
        let text = read_to_end(&mut reply);
        fs::remove_file(path).unwrap();
        text
    }

    /// Writes one line that is not answered.
    pub(crate) fn write(&self, line: &str) {
        OpenOptions::new()
            .write(true)
            .open(&self.fifo)
            .unwrap()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }
}

/// Reads a FIFO from the first byte of its writer to the last.
fn read_to_end(fifo: &mut File) -> String {
    let deadline = Instant::now() + PATIENCE;
    let mut text = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "no answer through the FIFO");
        let mut watched = [PollFd::new(fifo.as_fd(), PollFlags::POLLIN)];
        poll(&mut watched, PollTimeout::try_from(left).unwrap()).unwrap();
        // Without a writer a FIFO is at its end from the start.
        if fifo.read_to_end(&mut text).is_ok() && !text.is_empty() {
            return String::from_utf8(text).unwrap();
        }
    }
}

/// A client of the HTTP server, one connection a request.
pub(crate) struct Http {
    port: u16,
}

impl Http {
    pub(crate) fn new(port: u16) -> Self {
        Self { port }
    }

    /// The body of the answer to a POST of `request` to `/mi`, which must be 200.
    pub(crate) fn post(&self, request: &str) -> String {
        let text = self.raw(&format!(
            "POST /mi HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{request}",
            request.len()
        ));
        let (head, body) = text.split_once("\r\n\r\n").expect("an HTTP answer");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        body.to_owned()
    }

    /// All bytes that come back for `request` until the server closes the connection.
    pub(crate) fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}
