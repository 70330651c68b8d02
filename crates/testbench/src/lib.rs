//! A server inside a test: a configuration, one worker that serves what it is given, and a client to talk to it.
//!
//! The tests of a module say which modules their configurations load; the bench adds `proto_udp`:
//!
//! ```no_run
//! use tocsin_testbench::{TestBed, first_line, request};
//!
//! const TEST_BED: TestBed = TestBed::with(Vec::new);
//!
//! let bench = TEST_BED.bench("", "route { forward(); }");
//! let forwarded = bench.serve(&request("OPTIONS", "", ""), 1).remove(0);
//! assert!(first_line(&forwarded).starts_with("OPTIONS sip:bob@"));
//! ```
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::net::UdpSocket;
use std::rc::Rc;
use std::time::Duration;

use tocsin_proto_udp::ProtoUdp;
use tocsin_script::SourceMap;
use tocsin_server::settings::Overrides;
use tocsin_server::sockets::SocketId;
use tocsin_server::{Module, Server, Worker, receive, startup};

/// How long an answer may take on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes servers whose configurations can load certain modules.
#[derive(Debug, Clone, Copy)]
pub struct TestBed {
    modules: fn() -> Vec<Rc<dyn Module>>,
}

impl TestBed {
    /// Servers that know these modules, and `proto_udp`.
    pub const fn with(modules: fn() -> Vec<Rc<dyn Module>>) -> Self {
        Self { modules }
    }

    /// A server with these lines before its routes. `@C@` stands for the address of the client.
    ///
    /// # Panics
    /// It does not start.
    pub fn bench(self, lines: &str, routes: &str) -> Bench {
        match self.try_bench(lines, routes) {
            Ok(bench) => bench,
            Err(problem) => panic!("{problem}"),
        }
    }

    /// The same, or why it does not start.
    ///
    /// # Errors
    /// What an operator would read.
    pub fn try_bench(self, lines: &str, routes: &str) -> Result<Bench, String> {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut modules = (self.modules)();
        modules.push(Rc::new(ProtoUdp));
        let socket = if lines.contains("socket=") { "" } else { "socket=udp:127.0.0.1:0\n" };
        let text =
            format!("log_level=1\nudp_workers=1\n{socket}loadmodule \"proto_udp.so\"\n{lines}\n{routes}\n");
        let text = text.replace("@C@", &client.local_addr().unwrap().to_string());
        let overrides = Overrides { shared_mib: Some(16), ..Overrides::default() };
        let checked = startup::check(SourceMap::from_text("test.cfg", text), &modules, &overrides);
        let (program, settings) = checked.map_err(|cause| match cause {
            startup::StartError::Script(diagnostics) => diagnostics.to_string(),
            other => other.to_string(),
        })?;
        let assembled = startup::assemble(program, settings, modules, startup::Given::default())
            .map_err(|cause| cause.to_string())?;
        let server: &'static Server = assembled.server;
        let member = server
            .plan
            .members()
            .into_iter()
            .find(|m| server.plan.groups[m.group].kind == tocsin_process::Kind::Udp);
        Ok(Bench { worker: Worker::new(server, member.unwrap()), client })
    }
}

/// The server and its client.
pub struct Bench {
    /// The worker that serves.
    pub worker: &'static Worker,
    client: UdpSocket,
}

impl std::fmt::Debug for Bench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bench")
    }
}

impl Bench {
    /// Serves one message, and returns the datagrams that the client gets for it.
    ///
    /// # Panics
    /// The client does not get `expected` of them, or gets more.
    pub fn serve(&self, message: &str, expected: usize) -> Vec<String> {
        let text = message.replace("@C@", &self.client.local_addr().unwrap().to_string());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let source = self.client.local_addr().unwrap();
            receive::datagram(self.worker, text.into_bytes(), source, SocketId(0));
            self.worker.flush();
            let client = self.client.try_clone().unwrap();
            client.set_nonblocking(true).unwrap();
            let client = tokio::net::UdpSocket::from_std(client).unwrap();
            let mut buffer = vec![0; 65_536];
            let mut got = Vec::new();
            for _ in 0..expected {
                let length = tokio::time::timeout(PATIENCE, client.recv(&mut buffer))
                    .await
                    .expect("an answer")
                    .unwrap();
                got.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
            assert!(client.try_recv(&mut buffer).is_err(), "more than {expected} datagrams");
            got
        })
    }

    /// One statistic.
    ///
    /// # Panics
    /// There is none of this name.
    pub fn statistic(&self, name: &str) -> i64 {
        let readings = self.worker.server.statistics.read(&name.into());
        readings.first().map(|reading| reading.value).unwrap_or_else(|| panic!("no statistic {name}"))
    }
}

/// A request with these lines before its empty line. `@C@` stands for the address of the client.
pub fn request(method: &str, to_tag: &str, lines: &str) -> String {
    format!(
        "{method} sip:bob@@C@ SIP/2.0\r\nVia: SIP/2.0/UDP @C@;branch=z9hG4bK7\r\n{lines}From: <sip:a@b>;tag=abc\r\n\
         To: <sip:bob@b>{to_tag}\r\nCall-ID: x1\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The value of the first header line of this name.
pub fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let begin = format!("{name}: ");
    message.lines().find_map(|line| line.strip_prefix(begin.as_str()))
}

/// The first line.
pub fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}
