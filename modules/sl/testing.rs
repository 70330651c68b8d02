//! A server inside a test: a configuration, one worker that serves what it is given, and a client to talk to it.

use std::net::UdpSocket;
use std::time::Duration;

use tocsin_script::SourceMap;
use tocsin_server::settings::Overrides;
use tocsin_server::sockets::SocketId;
use tocsin_server::{Server, Worker, receive, startup};

/// How long an answer may take on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// The server and its client.
pub(crate) struct Bench {
    pub(crate) worker: &'static Worker,
    client: UdpSocket,
}

impl Bench {
    /// A server with these lines before its routes. `@C@` stands for the address of the client.
    pub(crate) fn new(lines: &str, routes: &str) -> Self {
        match Self::start(lines, routes) {
            Ok(bench) => bench,
            Err(problem) => panic!("{problem}"),
        }
    }

    /// The same, or why it does not start.
    pub(crate) fn start(lines: &str, routes: &str) -> Result<Self, String> {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let modules = crate::all();
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
        let assembled = startup::assemble(program, settings, &modules, vec![], |_| {})
            .map_err(|cause| cause.to_string())?;
        let server: &'static Server = assembled.server;
        let member = server
            .plan
            .members()
            .into_iter()
            .find(|m| server.plan.groups[m.group].kind == tocsin_process::Kind::Udp);
        Ok(Self { worker: Worker::new(server, member.unwrap()), client })
    }

    /// Serves one message, and returns the datagrams that the client gets for it: `expected` of them, and no more.
    pub(crate) fn serve(&self, message: &str, expected: usize) -> Vec<String> {
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
    pub(crate) fn statistic(&self, name: &str) -> i64 {
        let readings = self.worker.server.statistics.read(&name.into());
        readings.first().map(|reading| reading.value).unwrap_or_else(|| panic!("no statistic {name}"))
    }
}

/// A request with these lines before its empty line. `@C@` stands for the address of the client.
pub(crate) fn request(method: &str, to_tag: &str, lines: &str) -> String {
    format!(
        "{method} sip:bob@@C@ SIP/2.0\r\nVia: SIP/2.0/UDP @C@;branch=z9hG4bK7\r\n{lines}From: <sip:a@b>;tag=abc\r\n\
         To: <sip:bob@b>{to_tag}\r\nCall-ID: x1\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The value of the first header line of this name.
pub(crate) fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let begin = format!("{name}: ");
    message.lines().find_map(|line| line.strip_prefix(begin.as_str()))
}

/// The first line.
pub(crate) fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}
