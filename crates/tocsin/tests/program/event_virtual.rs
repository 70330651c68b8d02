//! Several subscribers that are one: the policies over real transports, and accounts that stay exact whatever dies.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use crate::harness::{
    PATIENCE, Phone, Request, Server, Setup, Subscriber, UnixSubscriber, free_tcp_port, until,
};

/// Events that one request raises.
const MANY: i64 = 2000;

fn setup(socket: &str) -> Setup {
    let modules = "loadmodule \"event_virtual.so\"\nloadmodule \"event_stream.so\"\nloadmodule \"event_flatstore.so\"\n\
                   modparam(\"event_virtual\", \"failover_timeout\", 3600)\n\
                   modparam(\"event_stream\", \"timeout\", 200)\nmax_while_loops=100000";
    Setup::new(include_str!("../configs/raised.cfg"))
        .put("MODULES", modules)
        .put("STARTUP", format!("    subscribe_event(\"E_TEST\", \"{socket}\");"))
        .put("ROUTES", "")
}

fn ask(phone: &Phone, server: &Server, user: &str) {
    let request = Request::new(phone, "OPTIONS", &format!("sip:{user}@{}", server.address()));
    phone.send(server.address(), request.text());
    phone.expect_status(200);
}

/// The account of the only subscription, which must add up.
fn account(server: &Server) -> Value {
    let account = server.mi().call("subscribers_statistics", Value::Null)["Subscribers"][0].clone();
    let of = |name: &str| account[name].as_i64().unwrap();
    let parts: i64 = ["delivered", "dropped", "lost", "waiting"].iter().map(|name| of(name)).sum();
    assert_eq!(of("raised"), parts, "{account}");
    account
}

fn until_settled(server: &Server) -> (i64, i64) {
    let settled = until("no event waits", || Some(account(server)).filter(|account| account["waiting"] == 0));
    assert_eq!(settled["lost"], 0, "{settled}");
    (settled["delivered"].as_i64().unwrap(), settled["dropped"].as_i64().unwrap())
}

fn number(event: &Value) -> i64 {
    event["params"][0].as_i64().unwrap()
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let stream = until("the server connects", || listener.accept().ok()).0;
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn failover_goes_on_with_the_next_where_one_is_gone() {
    let (phone, second) = (Phone::new(), TcpListener::bind("127.0.0.1:0").unwrap());
    let dead = free_tcp_port();
    let second_at = second.local_addr().unwrap();
    let server = setup(&format!("virtual:FAILOVER tcp:127.0.0.1:{dead} tcp:{second_at}")).start();
    ask(&phone, &server, "many");
    let mut stream = accept(&second);
    for number in 0..MANY {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"E_TEST","params":[{number}]}}"#);
        let mut bytes = vec![0; text.len()];
        stream.read_exact(&mut bytes).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), text, "each once, in order");
    }
    assert_eq!(until_settled(&server), (MANY, 0));
    // Now the second is gone as well, and the first is not tried before its time.
    drop((stream, second));
    ask(&phone, &server, "none");
    assert_eq!(until_settled(&server), (MANY, 1));
    let log = until("it is in the log", || Some(server.log()).filter(|log| log.contains("dropped 1 event")));
    assert!(log.contains(&format!("tcp:{second_at}: cannot send to")), "{log}");
    server.stop();
}

#[test]
fn in_parallel_a_blocked_member_delays_no_other() {
    let (phone, blocked) = (Phone::new(), TcpListener::bind("127.0.0.1:0").unwrap());
    let prepared = setup("virtual:PARALLEL tcp:@BLOCKED@ unix:@DIR@/ev.sock flatstore:@DIR@/ev.log");
    let dir = prepared.dir().display().to_string();
    let live = UnixSubscriber::new(&prepared.dir().join("ev.sock"));
    let blocked_at = blocked.local_addr().unwrap().to_string();
    let server = prepared.put("BLOCKED", blocked_at).put("DIR", &dir).start();
    ask(&phone, &server, "many");
    let held = accept(&blocked);
    for expected in 0..MANY {
        assert_eq!(number(&live.next()), expected);
    }
    let lines = || std::fs::read_to_string(server.path("ev.log")).unwrap_or_default().lines().count();
    until("the file has all", || (lines() == MANY as usize).then_some(()));
    // Its system has taken them, and nobody has read them: that is delivered as over any tcp: socket.
    assert_eq!(until_settled(&server), (MANY, 0));
    drop(held);
    server.stop();
}

#[test]
fn a_round_robin_goes_around() {
    let (phone, members) = (Phone::new(), [(); 3].map(|()| Subscriber::new()));
    let names = members.each_ref().map(Subscriber::name).join(" ");
    let server = setup(&format!("virtual:ROUND-ROBIN {names}")).start();
    for at in 0..6 {
        ask(&phone, &server, "none");
        assert_eq!(members[at % 3].next()["method"], "E_TEST");
    }
    assert_eq!(until_settled(&server), (6, 0));
    server.stop();
}

#[test]
fn accounts_survive_the_courier_whatever_the_policy() {
    const KILLS: i64 = 3;
    for policy in ["PARALLEL", "FAILOVER", "ROUND-ROBIN"] {
        let (phone, one, other) = (Phone::new(), Subscriber::new(), Subscriber::new());
        let server = setup(&format!("virtual:{policy} {} {}", one.name(), other.name())).start();
        for _ in 0..KILLS {
            ask(&phone, &server, "many");
            server.kill("event courier");
            account(&server);
        }
        assert_eq!(until_settled(&server), (KILLS * MANY, 0), "{policy}");
        server.stop();
    }
}

#[test]
fn the_servers_own_listeners_are_no_members() {
    let server = setup("virtual:PARALLEL udp:127.0.0.1:9").start();
    let socket = format!("virtual:FAILOVER udp:127.0.0.1:9 udp:{}", server.address());
    let answer = server.mi().answer("event_subscribe", json!(["E_TEST", socket]));
    assert_eq!(answer["error"]["code"], 400, "{answer}");
    server.stop();
}

#[test]
fn a_member_that_cannot_be_is_named_in_the_log() {
    let phone = Phone::new();
    let server = setup("virtual:PARALLEL udp:127.0.0.1:9 rabbitmq:user:secret@host:1/q").start();
    ask(&phone, &server, "none");
    assert_eq!(until_settled(&server), (0, 1));
    let log = until("it is in the log", || Some(server.log()).filter(|log| log.contains("dropped 1 event")));
    assert!(log.contains("rabbitmq:: no loaded module delivers to `rabbitmq:`"), "{log}");
    server.stop();
}
