//! Events over TCP: the recorded bytes, one connection a subscriber, and nobody who waits for a dead one.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use crate::harness::{PATIENCE, Phone, Request, Server, Setup, UnixSubscriber, free_tcp_port, until};

/// A subscriber that listens.
struct Listening {
    listener: TcpListener,
}

impl Listening {
    fn new() -> Self {
        Self::at(0)
    }

    fn at(port: u16) -> Self {
        Self { listener: TcpListener::bind(("127.0.0.1", port)).unwrap() }
    }

    fn name(&self) -> String {
        format!("tcp:{}", self.listener.local_addr().unwrap())
    }

    /// The next connection, which must come.
    fn accept(&self) -> TcpStream {
        self.listener.set_nonblocking(true).unwrap();
        let stream = until("the server connects", || self.listener.accept().ok()).0;
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

/// Reads exactly this.
fn expect(stream: &mut TcpStream, text: &str) {
    let mut bytes = vec![0; text.len()];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), text);
}

/// Reads exactly these two, in either order: two subscribers do not wait for each other.
fn expect_both(stream: &mut TcpStream, texts: [&str; 2]) {
    let [one, other] = texts;
    let mut bytes = vec![0; one.len() + other.len()];
    stream.read_exact(&mut bytes).unwrap();
    let read = String::from_utf8(bytes).unwrap();
    assert!([[one, other].concat(), [other, one].concat()].contains(&read), "{read}");
}

fn setup(parameters: &str, sockets: &[&str]) -> Setup {
    let startup: String =
        sockets.iter().map(|socket| format!("    subscribe_event(\"E_TEST\", \"{socket}\");\n")).collect();
    Setup::new(include_str!("../configs/raised.cfg"))
        .put("MODULES", format!("loadmodule \"event_stream.so\"\n{parameters}"))
        .put("STARTUP", startup)
        .put("ROUTES", "")
}

/// Sends a request whose user says what is raised.
fn ask(phone: &Phone, server: &Server, user: &str) {
    let request = Request::new(phone, "MESSAGE", &format!("sip:{user}@{}", server.address())).body("a\u{1}b");
    phone.send(server.address(), request.text());
    phone.expect_status(200);
}

#[test]
fn recorded_stream_plain_and_stream_reconnect() {
    let (phone, subscriber) = (Phone::new(), Listening::new());
    let (plain, method) = (subscriber.name(), format!("{}/my_method", subscriber.name()));
    let server = setup("", &[&plain, &method]).start();
    let listed = server.mi().call("subscribers_list", json!(["E_TEST"]));
    assert_eq!(
        listed,
        json!({"Event": {"name": "E_TEST", "id": 6, "Subscribers": [
            {"socket": method, "expire": "never"}, {"socket": plain, "expire": "never"}]}})
    );
    ask(&phone, &server, "none");
    let mut stream = subscriber.accept();
    let texts = [r#"{"jsonrpc":"2.0","method":"my_method"}"#, r#"{"jsonrpc":"2.0","method":"E_TEST"}"#];
    expect_both(&mut stream, texts);
    for (user, params) in [
        ("named", r#"{"n":1,"s":"two, \"q\" <x>&y","e":""}"#),
        ("vals", r#"[7,"seven"]"#),
        ("unnamed1", r#"{"only":-5}"#),
        ("body", r#"{"b":"a\u0001b"}"#),
    ] {
        ask(&phone, &server, user);
        let text = |method| format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#);
        expect_both(&mut stream, [&text("my_method"), &text("E_TEST")]);
    }

    // The subscriber closes; the next event has a connection of its own.
    drop(stream);
    let both = [
        r#"{"jsonrpc":"2.0","method":"my_method","params":{"only":-5}}"#,
        r#"{"jsonrpc":"2.0","method":"E_TEST","params":{"only":-5}}"#,
    ];
    ask(&phone, &server, "unnamed1");
    let mut second = subscriber.accept();
    expect_both(&mut second, both);
    ask(&phone, &server, "unnamed1");
    expect_both(&mut second, both);

    // It goes away: what is raised meanwhile is given up after a while, and said so. It comes back.
    let port = subscriber.listener.local_addr().unwrap().port();
    drop((second, subscriber));
    ask(&phone, &server, "none");
    until("the loss of both is in the log", || {
        let log = server.log();
        let told = |socket: &str| log.contains(&format!("dropped 1 event for {socket}: cannot send to"));
        (told(&plain) && told(&method) && log.contains("Connection refused")).then_some(())
    });
    let back = Listening::at(port);
    ask(&phone, &server, "unnamed1");
    expect_both(&mut back.accept(), both);
    server.stop();
}

#[test]
fn recorded_stream_event_param() {
    let (phone, subscriber) = (Phone::new(), Listening::new());
    let parameter = "modparam(\"event_stream\", \"event_param\", \"opensips_event\")\n";
    let server = setup(parameter, &[&format!("{}/my_method", subscriber.name())]).start();
    ask(&phone, &server, "none");
    let mut stream = subscriber.accept();
    expect(&mut stream, r#"{"jsonrpc":"2.0","method":"my_method"}"#);
    ask(&phone, &server, "named");
    expect(
        &mut stream,
        r#"{"jsonrpc":"2.0","method":"my_method","params":{"opensips_event":"E_TEST","n":1,"s":"two, \"q\" <x>&y","e":""}}"#,
    );
    ask(&phone, &server, "vals");
    expect(&mut stream, r#"{"jsonrpc":"2.0","method":"my_method","params":["E_TEST",7,"seven"]}"#);
    server.stop();
}

#[test]
fn recorded_stream_sockets() {
    let port = free_tcp_port();
    let server = setup("", &["udp:127.0.0.1:9"]).start();
    let answer = |socket: String| server.mi().answer("event_subscribe", json!(["E_TEST", socket]));
    for good in ["", "/", "/m", "/m/n", "/m m"] {
        assert_eq!(answer(format!("tcp:127.0.0.1:{port}{good}"))["result"], "OK", "{good}");
    }
    assert_eq!(answer(format!("tcp:localhost:{port}"))["result"], "OK");
    for bad in [
        "tcp",
        "tcp:",
        "tcp:127.0.0.1",
        "tcp:127.0.0.1:",
        "tcp::22101",
        "tcp:127.0.0.1:0",
        "tcp:127.0.0.1:abc",
        "tcp:127.0.0.1:22101x",
        "tcp:no.such.host.invalid:22101",
        "tcp:[::1]:22101",
    ] {
        assert_eq!(
            answer(bad.to_owned())["error"],
            json!({"code": 400, "message": "Bad parameter value"}),
            "{bad}"
        );
    }
    let listed = server.mi().call("subscribers_list", json!(["E_TEST"]));
    let sockets: Vec<_> =
        listed["Event"]["Subscribers"].as_array().unwrap().iter().map(|row| &row["socket"]).collect();
    let here = format!("tcp:127.0.0.1:{port}");
    let expected = [
        format!("tcp:localhost:{port}"),
        format!("{here}/m m"),
        format!("{here}/m/n"),
        format!("{here}/m"),
        here,
    ];
    assert_eq!(sockets[..5], expected.each_ref().map(|socket| json!(socket)).each_ref()[..]);
    server.stop();
}

/// Reads requests and answers each, the last of a connection only if there is nothing behind it: until `last` is answered,
/// or `count` were. Returns the values of those that were answered.
fn answer(stream: &mut TcpStream, count: usize, last: i64) -> Vec<i64> {
    let mut texts = serde_json::Deserializer::from_reader(stream.try_clone().unwrap()).into_iter::<Value>();
    let mut answered = Vec::new();
    while answered.len() < count && answered.last() != Some(&last) {
        let Some(Ok(request)) = texts.next() else { break };
        let text = json!({"jsonrpc": "2.0", "result": 8, "id": request["id"]}).to_string();
        if stream.write_all(text.as_bytes()).is_err() {
            break;
        }
        answered.push(request["params"][0].as_i64().unwrap());
    }
    answered
}

#[test]
fn in_reliable_mode_none_is_lost_whoever_dies() {
    const MANY: i64 = 2000;
    let (phone, subscriber) = (Phone::new(), Listening::new());
    let parameter = "modparam(\"event_stream\", \"reliable_mode\", 1)\n\
                     modparam(\"event_stream\", \"timeout\", 20000)\nmax_while_loops=100000";
    let server = setup(parameter, &[&subscriber.name()]).start();
    ask(&phone, &server, "many");
    let mut seen = Vec::new();
    for round in 0.. {
        // It dies with requests unread and unanswered, and now and then the courier does.
        let answered = answer(&mut subscriber.accept(), 300, MANY - 1);
        let is_over = answered.last() == Some(&(MANY - 1));
        seen.extend(answered);
        if is_over {
            break;
        }
        if round % 3 == 1 {
            server.kill("event courier");
        }
    }
    // The next is expected, or one that came before.
    let mut expected = 0;
    for number in seen {
        assert!(number <= expected, "{number} came before {expected}");
        expected = expected.max(number + 1);
    }
    assert_eq!(expected, MANY);
    until("all are answered", || (server.statistic("events:delivered") == MANY).then_some(()));
    assert_eq!(
        ["dropped", "lost", "waiting"].map(|name| server.statistic(&format!("events:{name}"))),
        [0, 0, 0]
    );
    server.stop();
}

#[test]
fn in_reliable_mode_what_is_not_answered_is_dropped() {
    let (phone, subscriber) = (Phone::new(), Listening::new());
    let parameter = "modparam(\"event_stream\", \"reliable_mode\", \"yes\")\n\
                     modparam(\"event_stream\", \"event_param\", \"name\")\n\
                     modparam(\"event_stream\", \"timeout\", 100)";
    let server = setup(parameter, &[&format!("{}/take", subscriber.name())]).start();
    ask(&phone, &server, "unnamed1");
    let mut stream = subscriber.accept();
    let mut texts = serde_json::Deserializer::from_reader(stream.try_clone().unwrap()).into_iter::<Value>();
    let request = texts.next().unwrap().unwrap();
    assert_eq!(request["params"], json!({"name": "E_TEST", "only": -5}));
    assert_eq!((&request["method"], request["id"].is_i64()), (&json!("take"), true));
    stream.write_all(b"{\"jsonrpc\":\"2.0\",\"result\":8,\"id\":-1}").unwrap();
    until("it is dropped", || (server.statistic("events:dropped") == 1).then_some(()));
    // The connection stays.
    ask(&phone, &server, "none");
    assert_ne!(texts.next().unwrap().unwrap()["id"], request["id"]);
    server.stop();
}

#[test]
fn dead_and_blocked_subscribers_cost_no_other_one_an_event() {
    let (phone, blocked, live) = (Phone::new(), Listening::new(), Listening::new());
    let dead = format!("tcp:127.0.0.1:{}", free_tcp_port());
    let setup = setup("", &[&dead, &blocked.name(), &live.name(), "unix:@DIR@/ev.sock"]);
    let dir = setup.dir().display().to_string();
    let unix = UnixSubscriber::new(&setup.dir().join("ev.sock"));
    let server = setup.put("DIR", dir).start();
    for _ in 0..5 {
        ask(&phone, &server, "many");
    }
    let expected =
        |number: u32| format!(r#"{{"jsonrpc":"2.0","method":"E_TEST","params":[{}]}}"#, number % 2000);
    let mut stream = live.accept();
    let held = blocked.accept();
    for number in 0..10_000 {
        assert_eq!(unix.raw(), expected(number));
        expect(&mut stream, &expected(number));
    }
    // The blocked one begins to read at last, and finds all of them too.
    let mut late = held;
    for number in 0..10_000 {
        expect(&mut late, &expected(number));
    }
    server.stop();
}

#[test]
fn what_a_subscriber_sends_is_ignored_and_its_end_noticed() {
    let (phone, subscriber) = (Phone::new(), Listening::new());
    let server = setup("", &[&subscriber.name()]).start();
    ask(&phone, &server, "none");
    let mut stream = subscriber.accept();
    let text = r#"{"jsonrpc":"2.0","method":"E_TEST"}"#;
    expect(&mut stream, text);
    stream.write_all(&b"{\"jsonrpc\":\"2.0\",\"result\":8,\"id\":null}".repeat(100_000)).unwrap();
    ask(&phone, &server, "none");
    expect(&mut stream, text);
    // Its end is noticed without another event: the server ends its side too.
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    assert_eq!(
        server.mi().call("subscribers_list", json!(["E_TEST"]))["Event"]["name"],
        Value::from("E_TEST")
    );
    server.stop();
}
