//! No event is its own cause: what could lead an event back to the server is refused, or ends by itself.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;

use serde_json::json;

use crate::harness::{
    Http, PATIENCE, Phone, Request, Server, Setup, Subscriber, UnixMi, disconnected, free_tcp_port, until,
};

const CONFIG: &str = include_str!("../configs/event_chains.cfg");
const EVENTS: [&str; 3] = ["E_CORE_LOG", "E_CORE_TCP_DISCONNECT", "E_CORE_THRESHOLD"];

/// More events than the causes and all that follows from them.
const BOUND: i64 = 200;

struct Scene {
    server: Server,
    /// Where the server takes SIP over TCP.
    tcp: SocketAddr,
    /// A subscriber that closes each connection at once.
    closing: TcpListener,
}

impl Scene {
    fn start(mark: &str, startup: &str, routes: &str) -> Self {
        Self::start_with("udp:127.0.0.1:@MI@", mark, startup, routes)
    }

    fn start_with(mi: &str, mark: &str, startup: &str, routes: &str) -> Self {
        let port = free_tcp_port();
        let setup = Setup::new(CONFIG).put("MI_SOCKET", mi).put("TCP", port).put("MARK", mark);
        let dir = setup.dir().display().to_string();
        let setup = setup.put("STARTUP", startup.replace("@TCP@", &port.to_string())).put("ROUTES", routes);
        let closing = TcpListener::bind("127.0.0.1:0").unwrap();
        closing.set_nonblocking(true).unwrap();
        Self { server: setup.put("DIR", dir).start(), tcp: ([127, 0, 0, 1], port).into(), closing }
    }

    /// Causes one event of each kind, and lines in the log with some.
    fn cause(&self) {
        let phone = Phone::new();
        for user in ["slow", "log"] {
            let request = Request::new(&phone, "OPTIONS", &format!("sip:{user}@{}", self.server.address()));
            phone.send(self.server.address(), request.text());
            phone.expect_status(200);
        }
        break_off(TcpStream::connect(self.tcp).unwrap());
    }

    /// Waits until the courier has looked twice after its subscribers: what followed from earlier events is in the log.
    fn settle(&self, name: &str) {
        for round in ["a", "b"] {
            let path = self.server.path(&format!("{name}-{round}.sock"));
            // Nobody reads from it any more.
            drop(UnixDatagram::bind(&path).unwrap());
            let socket = format!("unix:{}", path.display());
            self.server.subscribe("E_MARK", &socket);
            assert_eq!(self.server.mi().call("raise_event", json!(["E_MARK"])), "OK");
            let line = format!(" for {socket}");
            until("the courier has looked after its subscribers", || {
                while self.closing.accept().is_ok() {}
                self.server.log().contains(&line).then_some(())
            });
        }
    }
}

/// Sends what is no SIP, and waits until the server closes the connection.
fn break_off(mut stream: TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"this is no SIP\r\n\r\n").unwrap();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn the_ways_back_to_the_server_are_refused() {
    let scene = Scene::start("udp:127.0.0.1:9", "", "");
    let (server, tcp) = (&scene.server, scene.tcp);
    let fifo = server.path("mi.fifo");
    std::os::unix::fs::symlink(&fifo, server.path("link")).unwrap();
    let sockets = [
        format!("udp:{}", server.address()),
        format!("udp:localhost:{}", server.port()),
        format!("udp:0.0.0.0:{}", server.port()),
        format!("udp:127.0.0.1:{}", server.mi_port()),
        format!("tcp:{tcp}"),
        format!("tcp:{tcp}/method"),
        format!("tcp:localhost:{}", tcp.port()),
        format!("tcp:127.0.0.1:{}", server.http_port()),
        format!("tcp:127.0.0.1:{}/mi", server.http_port()),
        format!("flatstore:{}", fifo.display()),
        format!("flatstore:{}", server.path("link").display()),
        "flatstore:mi.fifo".to_owned(),
        format!("unix:{}", fifo.display()),
    ];
    for event in EVENTS {
        for socket in &sockets {
            let answer = server.mi().answer("event_subscribe", json!([event, socket]));
            assert_eq!(answer["error"]["code"], 400, "{event} {socket}: {answer}");
            let line = format!("event_subscribe to {socket}: the server itself listens there");
            assert!(server.log().contains(&line), "{line}: {}", server.log());
        }
        let list = server.mi().call("subscribers_list", json!([event]));
        assert_eq!(list, json!({"Event": {}}), "{event}");
    }
    scene.server.stop();
}

#[test]
fn the_management_socket_of_the_file_system_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("mi.sock");
    let setup = Scene::start_with(&socket.display().to_string(), "udp:127.0.0.1:9", "", "");
    std::os::unix::fs::symlink(&socket, dir.path().join("link")).unwrap();
    let mi = UnixMi::new(&socket, dir.path());
    for event in EVENTS {
        for path in ["mi.sock", "link", "./mi.sock"].map(|name| dir.path().join(name)) {
            let params = json!([event, format!("unix:{}", path.display())]);
            let request = json!({"jsonrpc": "2.0", "method": "event_subscribe", "params": params, "id": 1});
            let answer = mi.raw(request.to_string().as_bytes());
            assert!(answer.contains(r#""error":{"code":400,"#), "{event} {path:?}: {answer}");
        }
    }
    let http = Http::new(setup.server.http_port());
    let list = http.post(r#"{"jsonrpc":"2.0","method":"subscribers_list","params":["E_CORE_LOG"],"id":1}"#);
    assert!(list.contains(r#""result":{"Event":{}}"#), "{list}");
    setup.server.stop();
}

#[test]
fn a_script_cannot_subscribe_the_server_itself() {
    let startup = r#"	if (!subscribe_event("E_CORE_LOG", "tcp:127.0.0.1:@HTTP@")) xlog("L_ERR", "refused http\n");
	if (!subscribe_event("E_CORE_TCP_DISCONNECT", "tcp:127.0.0.1:@TCP@")) xlog("L_ERR", "refused tcp\n");
	if (!subscribe_event("E_CORE_THRESHOLD", "udp:127.0.0.1:@PORT@")) xlog("L_ERR", "refused udp\n");"#;
    let scene = Scene::start("udp:127.0.0.1:9", startup, "");
    for which in ["http", "tcp", "udp"] {
        assert!(scene.server.log().contains(&format!("refused {which}")), "{}", scene.server.log());
    }
    scene.server.stop();
}

#[test]
fn one_cause_leads_to_few_events_whoever_is_subscribed() {
    let routes = r#"event_route[E_CORE_LOG] { xlog("L_ERR", "a line about a line\n"); raise_event("E_MARK"); }
event_route[E_CORE_TCP_DISCONNECT] { xlog("L_ERR", "a line about the end of a connection\n"); }
event_route[E_CORE_THRESHOLD] { usleep(60000); xlog("L_ERR", "a line about something slow\n"); }
event_route[E_MARK] { xlog("L_ERR", "a line about a mark\n"); }"#;
    let scene = Scene::start("udp:127.0.0.1:9", "", routes);
    let server = &scene.server;
    for event in EVENTS {
        for socket in [
            "udp:127.0.0.1:9".to_owned(),
            format!("tcp:127.0.0.1:{}", free_tcp_port()),
            format!("tcp:{}", scene.closing.local_addr().unwrap()),
            format!("unix:{}", server.path("nobody.sock").display()),
            "flatstore:/dev/full".to_owned(),
            "flatstore:events.log".to_owned(),
            format!("route:{event}"),
        ] {
            server.subscribe(event, &socket);
        }
    }
    scene.settle("before");
    let before = server.statistic("events:raised");
    scene.cause();
    scene.settle("first");
    let first = server.statistic("events:raised");
    scene.settle("second");
    let second = server.statistic("events:raised");
    assert!((4..BOUND).contains(&(first - before)), "{} events: {}", first - before, server.log());
    assert_eq!(second - first, 2, "the marks, and nothing that follows from what was: {}", server.log());
    scene.server.stop();
}

/// The kernel gives the courier's port to others as well: they are no less clients of the server.
#[test]
fn a_client_from_a_port_of_the_courier_is_served() {
    let (marks, ends) = (TcpListener::bind("127.0.0.1:0").unwrap(), Subscriber::new());
    let scene = Scene::start(&format!("tcp:{}", marks.local_addr().unwrap()), "", "");
    scene.server.subscribe("E_CORE_TCP_DISCONNECT", &ends.name());
    assert_eq!(scene.server.mi().call("raise_event", json!(["E_MARK"])), "OK");
    let (mut stream, from) = marks.accept().unwrap();
    let text = r#"{"jsonrpc":"2.0","method":"E_MARK"}"#;
    let mut bytes = vec![0; text.len()];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, text.as_bytes());
    drop(stream);
    let mut client = until("the courier's port is free", || connect(from, scene.tcp).ok());
    client.write_all(b"\r\n\r\n").unwrap();
    let mut pong = [0; 2];
    client.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"\r\n");
    break_off(client);
    assert_eq!(ends.raw(), disconnected(from, scene.tcp, "tcp"), "and nothing about the courier's own");
    scene.server.stop();
}

/// A connection that comes from `near`.
fn connect(near: SocketAddr, far: SocketAddr) -> std::io::Result<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let connecting = async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(near)?;
        socket.connect(far).await?.into_std()
    };
    let stream = runtime.block_on(connecting)?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}
