//! Events reach their subscribers: byte for byte as OpenSIPS sends them, all of them, and at nobody's expense.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{Phone, Request, Server, Setup, Subscriber, UnixSubscriber, until};

const SLOW: &str = include_str!("../configs/slow.cfg");
const EVENTS: &str = include_str!("../configs/events.cfg");
const MI: &str =
    "loadmodule \"mi_datagram.so\"\nmodparam(\"mi_datagram\", \"socket_name\", \"udp:127.0.0.1:@MI@\")";

/// A server that tells `subscriber` about slow messages.
fn slow(subscriber: &Subscriber) -> Server {
    Setup::new(SLOW).put("SUBSCRIBER", subscriber.name()).start()
}

/// The event about a slow message, with the time that `event` says, which must be the right one.
fn expected_about(message: &str, event: &str) -> String {
    let time = serde_json::from_str::<Value>(event).unwrap()["params"]["time"].as_u64().unwrap();
    assert!((60_000..10_000_000).contains(&time), "{time} us");
    let text = message.replace('\\', r"\\").replace('"', r#"\""#).replace('\u{1}', r"\u0001");
    let text = text.replace('\r', r"\r").replace('\n', r"\n");
    format!(
        r#"{{"jsonrpc":"2.0","method":"E_CORE_THRESHOLD","params":{{"source":"msg processing","time":{time},"extra":"{text}"}}}}"#
    )
}

#[test]
fn a_slow_message_is_told_with_all_its_bytes() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let setup = Setup::new(SLOW).put("SUBSCRIBER", subscriber.name());
    let unix = UnixSubscriber::new(&setup.dir().join("ev.sock"));
    let server = setup.start();

    let slow = Request::new(&phone, "OPTIONS", &format!("sip:slow@{}", server.address())).text();
    phone.send(server.address(), &slow);
    phone.expect_status(200);
    let event = subscriber.raw();
    assert_eq!(event, expected_about(&slow, &event));
    assert_eq!(unix.raw(), event, "the same bytes over UNIX");

    phone.ping(server.address());
    assert_eq!(server.statistic("slow_messages"), 1, "a fast message is not counted");
    let strange = Request::new(&phone, "MESSAGE", &format!("sip:slow@{}", server.address()))
        .body("b\"o\\d\u{1}y\n")
        .text();
    phone.send(server.address(), &strange);
    phone.expect_status(200);
    let event = subscriber.raw();
    assert_eq!(event, expected_about(&strange, &event), "the fast message raised none");
    assert_eq!(unix.raw(), event);

    server.stop();
}

#[test]
fn a_variable_that_is_no_list_gives_an_event_one_value() {
    let subscriber = Subscriber::new();
    let script = r#"startup_route { subscribe_event("E_ONE", "@SUBSCRIBER@"); }
route {
    $var(name) = "who";
    $var(value) = "str";
    raise_event("E_ONE", , $var(value));
    raise_event("E_ONE", $var(name), $rm);
    exit;
}
"#;
    let head = SLOW.split("startup_route").next().unwrap();
    let server = Setup::new(&format!("{head}{script}")).put("SUBSCRIBER", subscriber.name()).start();
    let phone = Phone::new();
    phone.send(
        server.address(),
        Request::new(&phone, "OPTIONS", &format!("sip:x@{}", server.address())).text(),
    );
    assert_eq!(subscriber.raw(), r#"{"jsonrpc":"2.0","method":"E_ONE","params":["str"]}"#);
    assert_eq!(subscriber.raw(), r#"{"jsonrpc":"2.0","method":"E_ONE","params":{"who":"OPTIONS"}}"#);
    server.stop();
}

#[test]
fn the_log_names_the_culprit_of_a_slow_message() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let server = slow(&subscriber);
    phone.send(
        server.address(),
        Request::new(&phone, "OPTIONS", &format!("sip:slow@{}", server.address())).text(),
    );
    phone.expect_status(200);
    subscriber.next();
    let log = server.log();
    assert!(log.contains("threshold exceeded : msg processing took too long - "), "the warning");
    assert!(log.contains("#1 is a module action : usleep - "), "the slowest action");
    server.stop();
}

#[test]
fn a_slow_message_does_not_hold_the_worker() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let server = slow(&subscriber);
    let slow = Request::new(&phone, "OPTIONS", &format!("sip:slower@{}", server.address()));
    phone.send(server.address(), slow.text());
    let fast: Vec<_> = (0..20)
        .map(|_| Request::new(&phone, "OPTIONS", &format!("sip:fast@{}", server.address())))
        .inspect(|request| phone.send(server.address(), request.text()))
        .collect();
    for request in &fast {
        assert_eq!(phone.expect_status(200).header("Call-ID"), Some(request.call_id.as_str()));
    }
    assert_eq!(
        phone.expect_status(200).header("Call-ID"),
        Some(slow.call_id.as_str()),
        "the slow one comes last"
    );
    server.stop();
}

#[test]
fn many_slow_messages_wait_at_the_same_time() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let server = slow(&subscriber);
    for _ in 0..100 {
        let request = Request::new(&phone, "OPTIONS", &format!("sip:slower@{}", server.address()));
        phone.send(server.address(), request.text());
    }
    // One after the other they would take 50 seconds, which is more than the test waits for an answer.
    for _ in 0..100 {
        phone.expect_status(200);
    }
    until("all are told", || (server.statistic("slow_messages") == 100).then_some(()));
    server.stop();
}

/// `events` for one request, raised and told to `socket`.
fn raise_many(events: u32, socket: &str, extra: &str) -> Setup {
    Setup::new(EVENTS).put("N", events).put("SOCKET", socket).put("EXTRA", extra)
}

fn expected_number(number: u32, call_id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"E_BENCH","params":{{"number":{number},"callid":"{call_id}"}}}}"#)
}

#[test]
fn a_thousand_events_of_one_request_arrive_over_udp() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new().with_room());
    let server = raise_many(1000, &subscriber.name(), "").start();
    let request = Request::new(&phone, "OPTIONS", &format!("sip:x@{}", server.address()));
    phone.send(server.address(), request.text());
    for number in 0..1000 {
        assert_eq!(subscriber.raw(), expected_number(number, &request.call_id));
    }
    phone.expect_status(200);
    server.stop();
}

#[test]
fn a_thousand_events_wait_for_a_unix_subscriber_that_is_slow() {
    let phone = Phone::new();
    let setup = raise_many(1000, "unix:@DIR@/ev.sock", "");
    let subscriber = UnixSubscriber::new(&setup.dir().join("ev.sock"));
    let dir = setup.dir().display().to_string();
    let server = setup.put("DIR", dir).start();
    let request = Request::new(&phone, "OPTIONS", &format!("sip:x@{}", server.address()));
    phone.send(server.address(), request.text());
    // Nothing is read before the request is answered: its socket holds about ten.
    phone.expect_status(200);
    for number in 0..1000 {
        assert_eq!(subscriber.raw(), expected_number(number, &request.call_id));
    }
    server.stop();
}

#[test]
fn what_waits_is_delivered_before_the_server_ends() {
    const EVENTS: u32 = 300;
    let phone = Phone::new();
    let setup = raise_many(EVENTS, "unix:@DIR@/ev.sock", MI);
    let subscriber = UnixSubscriber::new(&setup.dir().join("ev.sock"));
    let silent = UnixSubscriber::new(&setup.dir().join("silent.sock"));
    let dir = setup.dir().display().to_string();
    let server = setup.put("DIR", dir).start();
    server.subscribe("E_BENCH", silent.name());
    let request = Request::new(&phone, "OPTIONS", &format!("sip:x@{}", server.address()));
    phone.send(server.address(), request.text());
    phone.expect_status(200);
    // Each socket holds about ten, and nothing is read before the server was asked to end.
    kill(Pid::from_raw(server.pid()), Signal::SIGTERM).unwrap();
    for number in 0..EVENTS {
        assert_eq!(subscriber.raw(), expected_number(number, &request.call_id));
    }
    let log = server.has_ended().stderr;
    let left: Vec<_> = log.lines().filter(|line| line.contains("not delivered at the end")).collect();
    let [line] = left[..] else { panic!("{left:?}") };
    let events: u32 = line.split_once("at the end: ").unwrap().1.split(' ').next().unwrap().parse().unwrap();
    assert!((1..EVENTS).contains(&events) && line.contains(silent.name()), "{line}");
}

#[test]
fn a_dead_subscriber_holds_up_nobody() {
    let subscriber = Subscriber::new();
    let setup = Setup::new(SLOW).put("SUBSCRIBER", subscriber.name());
    let silent = UnixSubscriber::new(&setup.dir().join("ev.sock"));
    let server = setup.start();
    server.subscribe("E_MARK", silent.name());
    server.subscribe("E_MARK", "udp:127.0.0.1:9");
    let nobody = format!("unix:{}", server.path("nobody.sock").display());
    server.subscribe("E_MARK", &nobody);
    let warnings = server.log().matches("there is no such socket yet").count();
    assert_eq!((warnings, server.log().contains(&format!("{nobody}: there is no"))), (1, true));
    for number in 0..100 {
        server.mi().call("raise_event", json!(["E_MARK", format!(r#"{{"number":{number}}}"#)]));
    }
    for number in 0..100 {
        let expected = format!(r#"{{"jsonrpc":"2.0","method":"E_MARK","params":{{"number":{number}}}}}"#);
        assert_eq!(subscriber.raw(), expected);
    }
    assert_eq!(silent.next()["params"]["number"], 0, "what nobody read is still there, from the first on");
    server.stop();
}

#[test]
fn subscribers_that_come_and_go_cost_no_message_and_no_event_of_the_others() {
    const ROUNDS: u32 = 40;
    const REQUESTS: u32 = 10;
    let (phone, steady) = (Phone::new(), Subscriber::new());
    let server = raise_many(3, &steady.name(), MI).start();
    let others: Vec<_> = (0..4).map(|_| Subscriber::new()).collect();
    let dead = ["udp:127.0.0.1:9".to_owned(), format!("unix:{}", server.path("nobody.sock").display())];
    let names: Vec<_> = others.iter().map(Subscriber::name).chain(dead).collect();
    let subscribe = |socket: &str, expire: u32| {
        server.mi().call("event_subscribe", json!(["E_BENCH", socket, expire]));
    };
    for round in 0..ROUNDS {
        let requests =
            (0..REQUESTS).map(|_| Request::new(&phone, "OPTIONS", &format!("sip:x@{}", server.address())));
        let requests: Vec<_> = requests.collect();
        for (at, request) in requests.iter().enumerate() {
            phone.send(server.address(), request.text());
            let name = &names[(round as usize + at) % names.len()];
            subscribe(name, if round.is_multiple_of(2) { 60 } else { 0 });
        }
        requests.iter().for_each(|_| drop(phone.expect_status(200)));
        let mut heard: Vec<_> = (0..REQUESTS * 3).map(|_| steady.raw()).collect();
        let numbers = |request: &Request| {
            (0..3).map(|number| expected_number(number, &request.call_id)).collect::<Vec<_>>()
        };
        let mut expected: Vec<_> = requests.iter().flat_map(numbers).collect();
        heard.sort();
        expected.sort();
        assert_eq!(heard, expected, "round {round}");
    }
    server.stop();
}

#[test]
fn an_event_that_nobody_wants_costs_nothing_and_breaks_nothing() {
    let phone = Phone::new();
    let server = raise_many(10_000, "udp:127.0.0.1:9", "").start();
    let request = Request::new(&phone, "OPTIONS", &format!("sip:x@{}", server.address()));
    phone.send(server.address(), request.text());
    phone.expect_status(200);
    server.stop();
}
