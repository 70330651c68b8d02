//! A management server on free ports and in a temporary folder, and clients for it.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::OpenOptions;
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use tempfile::TempDir;
use tocsin_json::Value;
use tocsin_mi::fifo::{Fifo, FifoOptions};
use tocsin_mi::httpd::{HttpdOptions, Routes};
use tocsin_mi::jsonrpc::Style;
use tocsin_mi::{Command, CommandRow, MiError, Params, Registry, Reply, datagram, http, httpd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::LocalSet;
use tokio::time::timeout;

/// How each reply begins.
const REPLY: &[u8] = b"{\"jsonrpc\"";
/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn in_runtime(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(LocalSet::new().run_until(test));
}

pub struct Server {
    pub folder: TempDir,
    pub fifo: PathBuf,
    pub udp: SocketAddr,
    pub unix: PathBuf,
    pub http: SocketAddr,
    client: UdpSocket,
}

impl Server {
    pub async fn start(commands: fn() -> Registry, style: Style) -> Self {
        Self::start_with(commands, style, HttpdOptions::default()).await
    }

    pub async fn start_with(commands: fn() -> Registry, style: Style, limits: HttpdOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Rc::new(commands());
        let (fifo, unix) = (folder.path().join("mi.fifo"), folder.path().join("mi.sock"));

        let options = FifoOptions {
            path: fifo.clone(),
            reply_dir: folder.path().into(),
            style,
            ..FifoOptions::default()
        };
        tokio::task::spawn_local(Fifo::open(options).unwrap().serve(Rc::clone(&registry)));

        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let udp = socket.local_addr().unwrap();
        tokio::task::spawn_local(datagram::serve_udp(socket, Rc::clone(&registry), style));
        let socket = StdUnixDatagram::bind(&unix).unwrap();
        tokio::task::spawn_local(datagram::serve_unix(socket, Rc::clone(&registry), style));

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let http = listener.local_addr().unwrap();
        let mut routes = Routes::new();
        routes.add(http::DEFAULT_ROOT, http::page(registry, style));
        tokio::task::spawn_local(httpd::serve(listener, routes, limits));

        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect(udp).await.unwrap();
        Self { folder, fifo, udp, unix, http, client }
    }

    /// What the server answers to a datagram; nothing if it answers a later request first.
    pub async fn over_udp(&self, request: &[u8]) -> Vec<u8> {
        self.client.send(request).await.unwrap();
        self.client.send(br#"{"jsonrpc":"2.0","method":"version","id":"marker"}"#).await.unwrap();
        let first = self.receive().await;
        if is_marker(&first) {
            return Vec::new();
        }
        assert!(is_marker(&self.receive().await));
        first
    }

    async fn receive(&self) -> Vec<u8> {
        let mut bytes = vec![0; 70_000];
        let length = timeout(PATIENCE, self.client.recv(&mut bytes)).await.unwrap().unwrap();
        bytes.truncate(length);
        bytes
    }

    /// A FIFO for replies, open for reading.
    pub fn reply_fifo(&self, name: &str) -> pipe::Receiver {
        let path = self.folder.path().join(name);
        if !path.exists() {
            nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        }
        pipe::OpenOptions::new().open_receiver(path).unwrap()
    }

    /// Writes into the server's FIFO, which has room.
    pub fn write_fifo(&self, bytes: &[u8]) {
        OpenOptions::new().write(true).open(&self.fifo).unwrap().write_all(bytes).unwrap();
    }

    /// What the server answers through the FIFO that the request names; nothing if it answers a later request first.
    pub async fn over_fifo(&self, request: &[u8]) -> Vec<u8> {
        self.replies_over_fifo(request, 0).await
    }

    /// The same; at least `count` replies come. One that nobody waited for would be taken for that of a later request.
    pub async fn replies_over_fifo(&self, request: &[u8], count: usize) -> Vec<u8> {
        let replies = ["rep", "repA"].map(|name| {
            drop(self.reply_fifo(name));
            let path = self.folder.path().join(name);
            OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap()
        });
        let mut marker = self.reply_fifo("marker");
        self.write_fifo(request);
        self.write_fifo(b"\n:marker:{\"jsonrpc\":\"2.0\",\"method\":\"version\",\"id\":\"marker\"}\n");
        assert!(is_marker(&read_reply(&mut marker).await));
        let deadline = Instant::now() + PATIENCE;
        let (mut got, mut bytes) = (Vec::new(), [0; 4096]);
        loop {
            for mut reply in &replies {
                match reply.read(&mut bytes) {
                    Ok(length) => got.extend_from_slice(&bytes[..length]),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
            let replies = got.windows(REPLY.len()).filter(|found| *found == REPLY).count();
            if replies >= count {
                return got;
            }
            assert!(Instant::now() < deadline, "{replies} of {count} replies: {}", got.escape_ascii());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Everything the server sends on a connection until it closes it, or until the reply is complete.
    pub async fn over_http(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        stream.write_all(request).await.unwrap();
        read_http(&mut stream).await
    }
}

/// A reply: what comes until the writer closes.
pub async fn read_reply(fifo: &mut pipe::Receiver) -> Vec<u8> {
    let mut reply = Vec::new();
    while reply.is_empty() {
        // A FIFO without a writer reads as ended until one comes.
        timeout(PATIENCE, fifo.read_to_end(&mut reply)).await.unwrap().unwrap();
        tokio::task::yield_now().await;
    }
    reply
}

/// One reply of HTTP, or all that comes until the connection ends.
pub async fn read_http(stream: &mut TcpStream) -> Vec<u8> {
    let mut reply = Vec::new();
    loop {
        if let Some(end) = reply.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&reply[..end]).to_string();
            let length =
                head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse::<usize>().ok());
            if length.is_some_and(|length| reply.len() == end + 4 + length)
                && !head.contains("Connection: close")
            {
                return reply;
            }
        }
        if timeout(PATIENCE, stream.read_buf(&mut reply)).await.unwrap().unwrap_or(0) == 0 {
            return reply;
        }
    }
}

fn is_marker(reply: &[u8]) -> bool {
    reply.windows(8).any(|eight| eight == b"\"marker\"")
}

/// The commands that the recordings call, with results as recorded.
pub fn commands() -> Registry {
    const WHICH: &str = "get_statistics list_statistics reset_statistics reset_all_statistics uptime version pwd arg which ps \
        kill log_level xlog_level log_level_filter log_mute_state shm_check cache_store cache_fetch cache_remove \
        event_subscribe events_list subscribers_list raise_event list_tcp_conns mem_pkg_dump mem_shm_dump mem_rpm_dump \
        reload_routes sr_get_status sr_list_status sr_list_reports sr_list_identifiers help list_blacklists \
        check_blacklists check_blacklist add_blacklist_rule del_blacklist_rule httpd_list_root_path tcp_trace t_uac_dlg \
        t_uac_cancel t_hash t_reply";
    let mut registry = Registry::new();
    for name in WHICH.split_whitespace() {
        registry.add(match name {
            "which" => CommandRow::WHICH.command("core", ()).unwrap(),
            "help" => CommandRow::HELP.command("core", ()).unwrap(),
            "event_subscribe" => Command::new(
                "core",
                name,
                &[&["event", "socket"], &["event", "socket", "expire"]],
                "subscribes an event to the Event Interface",
                event_subscribe,
            ),
            "raise_event" => Command::new(
                "core",
                name,
                &[&["event"], &["event", "params"]],
                "raises an event through the Event Interface; Params: event [ params ]",
                |_| Value::from("OK"),
            ),
            "log_level" => Command::new("core", name, &[&[], &["level"], &["level", "pid"]], "", |params| {
                Ok(Value::object([("New global log level", params.int("level")?.into())]))
            }),
            _ => Command::new("core", name, &[&[]], "", move |_| fixed(name)),
        });
    }
    registry
}

#[expect(clippy::needless_pass_by_value, reason = "the form of a command")]
fn event_subscribe(params: Params) -> Result<Value, MiError> {
    let (event, socket) = (params.text("event")?, params.text("socket")?);
    params.optional_int("expire")?;
    if &*event == b"E_CORE_LOG" && socket.starts_with(b"udp:") {
        Ok("OK".into())
    } else {
        Err(MiError::bad_value())
    }
}

fn fixed(name: &str) -> Reply {
    let text = match name {
        "uptime" => {
            r#"{"Now":"Sun Nov 22 14:05:41 2026","Up since":"Sun Nov 22 14:05:35 2026","Up time":"6 [sec]"}"#
        }
        "version" => r#"{"Server":"OpenSIPS (3.4.18 (x86_64/linux))"}"#,
        "events_list" => {
            r#"{"Events":[{"name":"E_CORE_SR_STATUS_CHANGED","id":0},{"name":"E_CORE_THRESHOLD","id":1},
            {"name":"E_CORE_SHM_THRESHOLD","id":2},{"name":"E_CORE_PKG_THRESHOLD","id":3},
            {"name":"E_CORE_PROC_AUTO_SCALE","id":4},{"name":"E_CORE_TCP_DISCONNECT","id":5},{"name":"E_CORE_LOG","id":6}]}"#
        }
        "subscribers_list" => {
            r#"{"Events":[{"name":"E_TEST","id":6,"Subscribers":[{"socket":"udp:127.0.0.1:22291","expire":"never"}]}]}"#
        }
        _ => "null",
    };
    let value = tocsin_json::parse(text.as_bytes(), tocsin_json::Limits::default()).unwrap();
    Reply::later(async { Ok(value) })
}
