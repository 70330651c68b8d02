//! Events as XML-RPC calls: Python's own server understands them, and servers that misbehave cost only their own events.

use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{PATIENCE, Phone, Request, Server, Setup, Subscriber, free_tcp_port, python, until};

/// Events that one request raises.
const MANY: i64 = 2000;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn setup(parameters: &str, sockets: &[String]) -> Setup {
    let startup: String =
        sockets.iter().map(|socket| format!("    subscribe_event(\"E_TEST\", \"{socket}\");\n")).collect();
    Setup::new(include_str!("../configs/raised.cfg"))
        .put("MODULES", format!("loadmodule \"event_xmlrpc.so\"\n{parameters}"))
        .put("STARTUP", startup)
        .put("ROUTES", "")
}

fn ask(phone: &Phone, server: &Server, user: &str) {
    let request = Request::new(phone, "MESSAGE", &format!("sip:{user}@{}", server.address()));
    phone.send(server.address(), request.body("a<b>&\"\u{1}").text());
    phone.expect_status(200);
}

fn until_settled(server: &Server) -> (i64, i64) {
    until("no event waits", || (server.statistic("events:waiting") == 0).then_some(()));
    assert_eq!(server.statistic("events:lost"), 0);
    (server.statistic("events:delivered"), server.statistic("events:dropped"))
}

/// Python's own XML-RPC server.
struct PythonServer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl PythonServer {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/xmlrpc_server.py");
        let mut child =
            Command::new(python()).arg(script).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        Self { child, lines, port }
    }

    /// The parameters of the next call.
    fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that is told what to answer.
struct HandServer(TcpListener);

impl HandServer {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn socket(&self) -> String {
        format!("xmlrpc:{}:take", self.0.local_addr().unwrap())
    }

    fn accept(&self) -> TcpStream {
        self.0.set_nonblocking(true).unwrap();
        let stream = until("the server connects", || self.0.accept().ok()).0;
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

/// Reads one call; its body.
fn read_call(stream: &mut TcpStream) -> String {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                return body.to_owned();
            }
        }
        let length = stream.read(&mut chunk).unwrap();
        assert!(length > 0, "the connection was closed");
        bytes.extend_from_slice(&chunk[..length]);
    }
}

#[test]
fn pythons_own_server_understands_every_call() {
    let (phone, mut python) = (Phone::new(), PythonServer::start());
    let socket = format!("xmlrpc:127.0.0.1:{}/events:take", python.port);
    let structs = "modparam(\"event_xmlrpc\", \"use_struct_param\", 1)";
    let server = setup(structs, &[socket]).start();
    for (user, params) in [
        ("none", json!(["E_TEST"])),
        ("named", json!(["E_TEST", {"n": 1}, {"s": "two, \"q\" <x>&y"}, {"e": ""}])),
        ("vals", json!(["E_TEST", 7, "seven"])),
        ("unnamed1", json!(["E_TEST", {"only": -5}])),
    ] {
        ask(&phone, &server, user);
        assert_eq!(python.next(), params, "{user}");
    }
    ask(&phone, &server, "body");
    assert_eq!(python.next(), json!(["E_TEST", {"b": {"base64": "613c623e262201"}}]));
    ask(&phone, &server, "many");
    for number in 0..MANY {
        assert_eq!(python.next(), json!(["E_TEST", number]));
    }
    assert_eq!(until_settled(&server), (5 + MANY, 0));
    server.stop();
}

#[test]
fn a_connection_is_kept_and_one_that_is_closed_costs_no_event() {
    let (phone, receiver) = (Phone::new(), HandServer::new());
    let server = setup("", &[receiver.socket()]).start();
    ask(&phone, &server, "none");
    let mut stream = receiver.accept();
    let first = read_call(&mut stream);
    assert!(
        first.starts_with("<?xml version=\"1.0\"?>\n<methodCall>\n<methodName>take</methodName>"),
        "{first}"
    );
    stream.write_all(OK.as_bytes()).unwrap();
    ask(&phone, &server, "vals");
    assert!(read_call(&mut stream).contains("seven"));
    // It ends while the call is on its way: that goes again.
    drop(stream);
    let mut stream = receiver.accept();
    assert!(read_call(&mut stream).contains("seven"));
    stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
    ask(&phone, &server, "unnamed1");
    let mut stream = receiver.accept();
    assert!(read_call(&mut stream).contains("<int>-5</int>"));
    stream.write_all(OK.as_bytes()).unwrap();
    assert_eq!(until_settled(&server), (3, 0));
    server.stop();
}

#[test]
fn what_a_server_refuses_is_dropped() {
    let (phone, receiver) = (Phone::new(), HandServer::new());
    let server = setup("", &[receiver.socket()]).start();
    for answer in [
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(64 << 10)),
    ] {
        ask(&phone, &server, "none");
        let mut stream = receiver.accept();
        read_call(&mut stream);
        stream.write_all(answer.as_bytes()).unwrap();
        if answer.contains("X:") {
            // Nothing of the kind is an answer; the call is tried again for a while.
            stream = receiver.accept();
            read_call(&mut stream);
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    }
    assert_eq!(until_settled(&server), (0, 3));
    let log = until("it is in the log", || Some(server.log()).filter(|log| log.contains("404 Not Found")));
    assert!(log.contains("answered 404 Not Found"), "{log}");
    server.stop();
}

#[test]
fn dead_and_silent_servers_delay_no_other_subscriber() {
    let (phone, silent, live) = (Phone::new(), HandServer::new(), Subscriber::new().with_room());
    let dead = format!("xmlrpc:127.0.0.1:{}:take", free_tcp_port());
    let server = setup("", &[dead, silent.socket(), live.name()]).start();
    ask(&phone, &server, "many");
    for number in 0..MANY {
        assert_eq!(live.next()["params"], json!([number]));
    }
    until("those for the dead one are dropped", || {
        (server.statistic("events:dropped") >= MANY).then_some(())
    });
    until("the silent one is said so", || server.log().contains("did not answer within 5 s").then_some(()));
    server.stop();
}

#[test]
fn accounts_survive_the_courier() {
    let (phone, mut python) = (Phone::new(), PythonServer::start());
    let server = setup("", &[format!("xmlrpc:127.0.0.1:{}:take", python.port)]).start();
    ask(&phone, &server, "many");
    let mut expected = 0;
    for at in 1.. {
        let number = python.next()[1].as_i64().unwrap();
        assert!(number <= expected, "none is left out: {number} behind {expected}");
        expected = expected.max(number + 1);
        if number == MANY - 1 {
            break;
        }
        if at % 500 == 0 {
            server.kill("event courier");
        }
    }
    assert_eq!(until_settled(&server), (MANY, 0));
    server.stop();
}
