//! Each event from each kind of process that can raise it, received over UDP.
//!
//! What only one kind of process raises has its own tests: scaling and the end of the server in the supervisor.

use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{
    Line, MariaDb, PATIENCE, Phone, Request, Server, Setup, Subscriber, Web, Zone, free_tcp_port, until,
    web_frame,
};

const CONFIG: &str = include_str!("../configs/matrix.cfg");

/// The server, its clients, and what it answered.
struct Matrix {
    server: Server,
    phone: Phone,
    line: Line,
    ws: std::net::SocketAddr,
    subscriber: Subscriber,
    told: Vec<Value>,
    _names: crate::harness::Names,
}

impl Matrix {
    fn start() -> Self {
        let (tcp, ws) = (free_tcp_port(), free_tcp_port());
        let zone = ["udp", "tcp", "mi"].iter().fold(Zone::default(), |zone, name| {
            let name = format!("{name}.slow.test");
            zone.address(&name, 1).slow(&name)
        });
        let (names, subscriber) = (zone.serve(), Subscriber::new());
        let setup = Setup::new(CONFIG).put("TCP", tcp).put("WS", ws).put("DNS", names.address().port());
        let setup = setup.put("DATABASE", MariaDb::shared().url()).put("FILLING", "f".repeat(60_000));
        let server = setup.put("SUBSCRIBER", subscriber.name()).args(["-m", "4", "-M", "4"]).start();
        let line = Line::open(([127, 0, 0, 1], tcp).into());
        let ws = ([127, 0, 0, 1], ws).into();
        Self { server, phone: Phone::new(), line, ws, subscriber, told: Vec::new(), _names: names }
    }

    fn uri(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.server.address())
    }

    /// Sends the same request over UDP and over TCP.
    fn ask_both(&mut self, user: &str, body: &str) {
        self.ask_udp(user, body);
        self.ask_tcp(user, body);
    }

    fn ask_udp(&self, user: &str, body: &str) {
        let request = Request::new(&self.phone, "MESSAGE", &self.uri(user)).body(body);
        self.phone.send(self.server.address(), request.text());
        if user != "name" {
            self.phone.expect_status(200);
        }
    }

    fn ask_tcp(&mut self, user: &str, body: &str) {
        let request = Request::over("TCP", self.line.port(), "MESSAGE", &self.uri(user)).body(body);
        self.line.send(request.text());
        if user != "name" {
            self.line.expect_status(200);
        }
    }

    /// Lets the timer route do something.
    fn ask_timer(&self, what: &str) {
        self.ask_udp("timer", what);
    }

    /// Waits until an event `name` with parameters like that has come.
    fn expect(&mut self, name: &str, what: &str, is: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let is_it = |event: &Value| event["method"] == name && is(&event["params"]);
        while !self.told.iter().any(is_it) {
            assert!(Instant::now() < deadline, "no {name}: {what}");
            self.told.push(self.subscriber.next());
        }
    }

    fn forget(&mut self) {
        self.server.mi().call("raise_event", json!(["E_MARK"]));
        self.subscriber.up_to("E_MARK");
        self.told.clear();
    }

    fn find(&self, kind: &str) -> Option<i32> {
        self.server.ps().into_iter().find(|process| process.kind.starts_with(kind)).map(|process| process.pid)
    }

    fn pid_of(&self, kind: &str) -> i32 {
        self.find(kind).unwrap_or_else(|| panic!("no process is a {kind}"))
    }

    /// What a restarted worker needs to be asked again.
    fn reconnect(&mut self) {
        self.line = Line::open(self.line.peer());
        self.line.ping();
    }
}

#[test]
fn each_event_comes_from_each_kind_of_process() {
    let mut matrix = Matrix::start();
    private_memory(&mut matrix);
    slow(&mut matrix);
    statuses(&mut matrix);
    shared_memory(&mut matrix);
    lines(&mut matrix);
    disconnects(&mut matrix);
    the_end(matrix);
}

/// More than a percent is in use in every process once it serves.
fn private_memory(matrix: &mut Matrix) {
    let kinds =
        ["attendant", "MI", "event courier", "SIP receiver", "TCP receiver", "TCP main", "Timer handler"];
    for kind in kinds {
        let pid = matrix.pid_of(kind);
        matrix.expect("E_CORE_PKG_THRESHOLD", kind, |params| params["pid"] == pid);
    }
}

fn slow(matrix: &mut Matrix) {
    let with = |source: &'static str, part: &'static str| {
        move |params: &Value| params["source"] == source && params["extra"].as_str().unwrap().contains(part)
    };
    matrix.ask_both("slow", "");
    matrix.expect(
        "E_CORE_THRESHOLD",
        "a message in a SIP receiver",
        with("msg processing", "Via: SIP/2.0/UDP"),
    );
    matrix.expect(
        "E_CORE_THRESHOLD",
        "a message in a TCP receiver",
        with("msg processing", "Via: SIP/2.0/TCP"),
    );

    matrix.ask_both("name", "");
    let _ = matrix.server.mi().answer("event_subscribe", json!(["E_MARK", "udp:mi.slow.test:9", 1]));
    for name in ["udp.slow.test", "tcp.slow.test", "mi.slow.test"] {
        matrix.expect("E_CORE_THRESHOLD", name, |params| {
            params["source"] == "dns" && params["extra"].as_str().unwrap().eq_ignore_ascii_case(name)
        });
    }

    matrix.ask_both("query", "");
    matrix.ask_timer("query");
    for origin in ["udp", "tcp", "timer"] {
        matrix.expect("E_CORE_THRESHOLD", origin, |params| {
            let text = params["extra"].as_str().unwrap().to_lowercase();
            params["source"] == "mysql query" && text == format!("select sleep(0.1), '{origin}'")
        });
    }
}

fn statuses(matrix: &mut Matrix) {
    matrix.ask_both("status", "");
    matrix.ask_timer("status");
    for group in ["udp", "tcp", "timer"] {
        matrix.expect("E_CORE_SR_STATUS_CHANGED", group, |params| {
            params["group"] == group && params["status"] == 7
        });
    }
}

/// Who fills the memory tells of it at its next safe point.
fn shared_memory(matrix: &mut Matrix) {
    let fills: [fn(&mut Matrix); 3] = [
        |matrix| matrix.ask_udp("fill", &"u".repeat(60_000)),
        |matrix| matrix.ask_tcp("fill", &"t".repeat(60_000)),
        |matrix| matrix.ask_timer("fill"),
    ];
    for fill in fills {
        matrix.ask_udp("empty", "");
        matrix.forget();
        let used = matrix.server.statistic("shmem:real_used_size");
        fill(matrix);
        matrix.expect("E_CORE_SHM_THRESHOLD", "60,000 bytes", |params| {
            params["used"].as_i64().unwrap() > used + 55_000
        });
    }
}

fn lines(matrix: &mut Matrix) {
    matrix.ask_both("log", "");
    matrix.ask_timer("log");
    matrix.server.mi().answer("event_subscribe", json!(["E_NOBODYS", matrix.subscriber.name()]));
    let pids = ["SIP receiver", "TCP receiver", "Timer handler", "MI"].map(|kind| matrix.pid_of(kind));
    for pid in pids {
        matrix.expect("E_CORE_LOG", "a line", |params| params["pid"] == pid && params["level"] != "INFO");
    }
    // TCP main refuses the fourth connection, the supervisor tells of a death.
    let main = matrix.pid_of("TCP main");
    let more: Vec<_> = (0..4).map(|_| Line::open(matrix.line.peer())).collect();
    matrix.expect("E_CORE_LOG", "TCP main", |params| params["pid"] == main);
    drop(more);
    matrix.server.kill("Timer handler");
    let supervisor = matrix.server.pid();
    matrix.expect("E_CORE_LOG", "the supervisor", |params| params["pid"] == supervisor);
    until("its successor serves", || matrix.find("Timer handler"));
}

fn disconnects(matrix: &mut Matrix) {
    let ended = |port: u16| move |params: &Value| params["src_port"] == port;
    let port = matrix.line.port();
    matrix.reconnect();
    matrix.expect("E_CORE_TCP_DISCONNECT", "told by a TCP receiver", ended(port));

    // What its worker had of it is gone with the worker: TCP main tells the end.
    let mut web = Web::open(matrix.ws);
    web.ping();
    let mut frames = web_frame(0x01, b"OPTIONS sip:ping@");
    frames.extend(web_frame(0x89, b"ping"));
    web.line.send(frames);
    assert_eq!(web.receive_frame(), (0x8a, b"ping".to_vec()));
    matrix.server.kill("TCP receiver");
    matrix.expect("E_CORE_TCP_DISCONNECT", "told by TCP main", ended(web.port()));
}

/// The last status of the core is set by the supervisor, and told by the courier, which leaves last.
fn the_end(matrix: Matrix) {
    let Matrix { server, subscriber, .. } = matrix;
    server.stop();
    let last = std::iter::repeat_with(|| subscriber.next())
        .find(|event| event["method"] == "E_CORE_SR_STATUS_CHANGED" && event["params"]["group"] == "core");
    assert!(last.unwrap()["params"]["status"].as_i64().unwrap() < 0);
}
