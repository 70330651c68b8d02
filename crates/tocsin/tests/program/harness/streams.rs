//! A server of streams under test, and what it tells about the ends of its connections.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::{
    A_MOMENT, Http, PATIENCE, Process, Server, Setup, UnixSubscriber, descriptors, free_tcp_port, pause,
    until,
};

/// A server that listens for TCP and WebSocket, and a subscriber to its `E_CORE_TCP_DISCONNECT`.
pub(crate) struct Streams {
    pub(crate) server: Server,
    pub(crate) tcp: SocketAddr,
    pub(crate) ws: SocketAddr,
    pub(crate) events: UnixSubscriber,
}

impl Streams {
    /// Starts the server with `globals` in its configuration.
    pub(crate) fn start(globals: &str) -> Self {
        Self::start_with(globals, 9, |setup| setup)
    }

    /// The same; requests for `out` go to the TCP port `out`, and `more` may change the setup.
    pub(crate) fn start_with(globals: &str, out: u16, more: impl FnOnce(Setup) -> Setup) -> Self {
        let (tcp, ws) = (free_tcp_port(), free_tcp_port());
        let setup = Setup::new(include_str!("../../configs/streams.cfg"))
            .put("TCP", tcp)
            .put("WS", ws)
            .put("OUT", out)
            .put("GLOBALS", globals);
        let events = UnixSubscriber::new(&setup.dir().join("events.sock"));
        let server = more(setup).put("SUBSCRIBER", events.name()).put("WSHANDSHAKE", 4000).start();
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self { server, tcp: local(tcp), ws: local(ws), events }
    }

    /// The event about the end of a connection between 127.0.0.1:`port` and the TCP listener.
    pub(crate) fn end_of_tcp(&self, port: u16) -> String {
        disconnected(SocketAddr::from(([127, 0, 0, 1], port)), self.tcp, "tcp")
    }

    /// The same at the WebSocket listener.
    pub(crate) fn end_of_ws(&self, port: u16) -> String {
        disconnected(SocketAddr::from(([127, 0, 0, 1], port)), self.ws, "ws")
    }

    /// The connections that `list_tcp_conns` shows; there may be more than a datagram holds.
    pub(crate) fn connections(&self) -> Vec<Value> {
        let http = Http::new(self.server.http_port());
        let answer = http.post(r#"{"jsonrpc":"2.0","method":"list_tcp_conns","id":1}"#);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["result"]["Connections"].as_array().unwrap().clone()
    }

    /// Waits until `count` connections are left.
    pub(crate) fn until_connections(&self, count: usize) {
        until(&format!("{count} connections are left"), || (self.connections().len() == count).then_some(()));
    }

    /// The events about ends of connections since the last look, in the order of their bytes. Those about deaths
    /// that the test brought about are left out; that of another process is told, and fails the test.
    pub(crate) fn told(&self) -> Vec<String> {
        self.server.mi().call("raise_event", json!(["E_MARK"]));
        let mut told = Vec::new();
        loop {
            let event = self.events.raw();
            match &event {
                event if event.contains(r#""method":"E_MARK""#) => break,
                event if is_asked_for(event) => {}
                _ => told.push(event),
            }
        }
        told.sort();
        told
    }

    /// Waits until `ends` have been told and no connection is left. They must be told once each, byte for byte, and
    /// nothing else.
    pub(crate) fn told_once(&self, ends: impl IntoIterator<Item = String>) {
        let mut ends: Vec<_> = ends.into_iter().collect();
        ends.sort();
        let deadline = Instant::now() + PATIENCE;
        let mut told = self.told();
        // A connection that was opened and closed a moment ago may not be accepted yet.
        while told.len() < ends.len() && Instant::now() < deadline {
            pause(Duration::from_millis(10));
            told.extend(self.told());
        }
        self.until_connections(0);
        told.extend(self.told());
        told.sort();
        assert_eq!(told, ends);
    }

    /// The processes that serve connections.
    pub(crate) fn receivers(&self) -> Vec<Process> {
        self.of_kind("TCP receiver")
    }

    /// The process that accepts them.
    pub(crate) fn main(&self) -> Process {
        self.of_kind("TCP main").remove(0)
    }

    fn of_kind(&self, kind: &str) -> Vec<Process> {
        self.server.ps().into_iter().filter(|process| process.kind == kind).collect()
    }

    /// Sends `signal` to a process of the server and waits until its successor serves under the same ID.
    pub(crate) fn replace(&self, process: &Process, signal: Signal) {
        kill(Pid::from_raw(process.pid), signal).unwrap();
        self.server.until_replaced(process);
    }

    /// The open descriptors of TCP main and of the receivers, once each of them has opened all that it opens by itself.
    pub(crate) fn descriptors(&self) -> Vec<usize> {
        let mut before = self.descriptors_now();
        until("the number of descriptors stays the same for a moment", || {
            pause(A_MOMENT);
            let now = self.descriptors_now();
            (std::mem::replace(&mut before, now.clone()) == now).then_some(now)
        })
    }

    fn descriptors_now(&self) -> Vec<usize> {
        let mut processes = self.receivers();
        processes.insert(0, self.main());
        processes.iter().map(|process| descriptors(process.pid)).collect()
    }

    /// Waits until as many descriptors are open as there were `before`, in each process.
    pub(crate) fn until_descriptors(&self, before: &[usize]) {
        let mut now = Vec::new();
        until(&format!("as many descriptors are open as before: {before:?}"), || {
            now = self.descriptors_now();
            (now == before).then_some(())
        });
    }
}

/// Whether `event` tells that a process ended as tests end them: killed, or asked to.
fn is_asked_for(event: &str) -> bool {
    event.contains(r#""method":"E_CORE_PROC_EXIT""#)
        && [r#""signal":9,"#, r#""code":0,"#].iter().any(|cause| event.contains(cause))
}

/// The event about the end of a connection between `remote` and `local`, as OpenSIPS writes it.
pub(crate) fn disconnected(remote: SocketAddr, local: SocketAddr, proto: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"E_CORE_TCP_DISCONNECT","params":{{"src_ip":"{}","src_port":{},"dst_ip":"{}","dst_port":{},"proto":"{proto}"}}}}"#,
        remote.ip(),
        remote.port(),
        local.ip(),
        local.port(),
    )
}
