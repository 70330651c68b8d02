//! Events at a RabbitMQ broker: the recorded messages, every parameter, and what becomes of events when something dies.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Authority, PATIENCE, Phone, RabbitMq, Request, Server, Setup, Subscriber, free_tcp_port, until,
    until_within,
};

/// Events that one request raises.
const MANY: i64 = 2000;
/// How long what waits for a broker may take: one that was away is tried again within seconds.
const A_WHILE: Duration = Duration::from_secs(60);

fn setup(parameters: &str, sockets: &[String]) -> Setup {
    let startup: String =
        sockets.iter().map(|socket| format!("    subscribe_event(\"E_TEST\", \"{socket}\");\n")).collect();
    Setup::new(include_str!("../configs/raised.cfg"))
        .put("MODULES", format!("loadmodule \"event_rabbitmq.so\"\nmax_while_loops=100000\n{parameters}"))
        .put("STARTUP", startup)
        .put("ROUTES", "")
}

fn parameter(name: &str, value: u32) -> String {
    format!("modparam(\"event_rabbitmq\", \"{name}\", {value})\n")
}

/// Sends a request whose user says what is raised.
fn ask(phone: &Phone, server: &Server, user: &str) {
    let request = Request::new(phone, "MESSAGE", &format!("sip:{user}@{}", server.address())).body("b");
    phone.send(server.address(), request.text());
    phone.expect_status(200);
}

/// What became of the events so far: delivered and dropped; nothing may be lost.
fn until_settled(server: &Server, due: i64) -> (i64, i64) {
    until_within(A_WHILE, "no event waits", || {
        let sums = server.mi().call("get_statistics", json!([["events:"]]));
        let of = |name: &str| sums[format!("events:{name}")].as_i64().unwrap();
        let parts = [of("delivered"), of("dropped"), of("lost"), of("waiting")];
        assert_eq!(of("due"), parts.iter().sum::<i64>(), "{sums}");
        let [delivered, dropped, lost, waiting] = parts;
        assert_eq!(lost, 0, "{sums}");
        (of("due") == due && waiting == 0).then_some((delivered, dropped))
    })
}

fn until_logged(server: &Server, text: &str) {
    until_within(A_WHILE, text, || server.log().contains(text).then_some(()));
}

/// The numbers of the events in messages of a queue.
fn numbers(messages: &[Value]) -> Vec<i64> {
    let number = |message: &Value| {
        let body: Value = serde_json::from_str(message["body"].as_str().unwrap()).unwrap();
        body["params"][0].as_i64().unwrap()
    };
    messages.iter().map(number).collect()
}

#[test]
fn recorded_rabbitmq_basic() {
    let (phone, broker) = (Phone::new(), RabbitMq::shared());
    broker.declare("q1");
    broker.declare("q2");
    broker.bind("q3", "ex1", "rk.a");
    let port = broker.port();
    let sockets = [
        format!("rabbitmq:127.0.0.1:{port}/q1"),
        format!("rabbitmq:guest:guest@127.0.0.1:{port}/persistent?q2"),
        format!("rabbitmq:guest@127.0.0.1:{port}/exchange=ex1?rk.a"),
    ];
    let server = setup("", &sockets).start();
    let listed = server.mi().call("subscribers_list", json!(["E_TEST"]));
    // OpenSIPS shows the default user without its last letter.
    assert_eq!(
        listed,
        json!({"Event": {"name": "E_TEST", "id": 6, "Subscribers": [
            {"socket": "rabbitmq:guest@127.0.0.1/ex1?rk.a", "expire": "never"},
            {"socket": "rabbitmq:guest@127.0.0.1/q2", "expire": "never"},
            {"socket": "rabbitmq:guest@127.0.0.1/q1", "expire": "never"}]}})
    );
    let bodies = [
        ("none", r#"{"jsonrpc":"2.0","method":"E_TEST"}"#),
        ("named", r#"{"jsonrpc":"2.0","method":"E_TEST","params":{"n":1,"s":"two, \"q\" <x>&y","e":""}}"#),
        ("vals", r#"{"jsonrpc":"2.0","method":"E_TEST","params":[7,"seven"]}"#),
        ("unnamed1", r#"{"jsonrpc":"2.0","method":"E_TEST","params":{"only":-5}}"#),
    ];
    for (user, body) in bodies {
        ask(&phone, &server, user);
        let message = |exchange: &str, routing_key: &str, properties: Value| json!({"exchange": exchange, "routing_key": routing_key, "properties": properties, "body": body});
        assert_eq!(broker.take("q1", 1), [message("", "q1", json!({}))]);
        assert_eq!(broker.take("q2", 1), [message("", "q2", json!({"delivery_mode": 2}))]);
        assert_eq!(broker.take("q3", 1), [message("ex1", "rk.a", json!({}))]);
    }
    assert_eq!(until_settled(&server, 12), (12, 0));
    server.stop();
}

#[test]
fn a_message_that_no_queue_wants_is_delivered_and_an_exchange_that_is_not_there_is_waited_for() {
    let (phone, broker) = (Phone::new(), RabbitMq::shared());
    broker.exchange("nowhere");
    let port = broker.port();
    let sockets = [
        format!("rabbitmq:127.0.0.1:{port}/no-queue-has-this-name"),
        format!("rabbitmq:127.0.0.1:{port}/exchange=nowhere?q"),
        format!("rabbitmq:127.0.0.1:{port}/exchange=later?q"),
    ];
    let server = setup("", &sockets).start();
    ask(&phone, &server, "none");
    until_logged(&server, "the broker answered 404: NOT_FOUND - no exchange 'later' in vhost '/'");
    broker.exchange("later");
    assert_eq!(until_settled(&server, 3), (3, 0));
    server.stop();
}

#[test]
fn what_the_broker_refuses_is_dropped() {
    let (phone, broker) = (Phone::new(), RabbitMq::shared());
    broker.limit("full", 1);
    let server = setup("", &[format!("rabbitmq:127.0.0.1:{}/full", broker.port())]).start();
    ask(&phone, &server, "vals");
    assert_eq!(until_settled(&server, 1), (1, 0));
    ask(&phone, &server, "vals");
    assert_eq!(until_settled(&server, 2), (1, 1));
    until_logged(&server, "the broker did not take it (basic.nack)");
    server.stop();
}

#[test]
fn a_login_that_is_refused_is_told() {
    let (phone, broker) = (Phone::new(), RabbitMq::shared());
    let socket = format!("rabbitmq:guest:wrong@127.0.0.1:{}/q", broker.port());
    let server = setup(&parameter("max_age", 300), &[socket]).start();
    ask(&phone, &server, "none");
    assert_eq!(until_settled(&server, 1), (0, 1));
    until_logged(&server, "dropped 1 event for rabbitmq:guest");
    assert!(server.log().contains("the broker answered 403: ACCESS_REFUSED"), "{}", server.log());
    assert!(!server.log().contains("wrong"), "no password is logged: {}", server.log());
    server.stop();
}

#[test]
fn events_go_over_tls_to_a_broker_whose_certificate_is_good() {
    let (phone, broker) = (Phone::new(), RabbitMq::shared());
    broker.declare("secret");
    let other = Authority::new();
    let domain = |name: &str, trusted: &Authority| {
        format!(
            "modparam(\"tls_mgm\", \"client_domain\", \"{name}\")\n\
             modparam(\"tls_mgm\", \"ca_list\", \"[{name}]{}/ca.pem\")\n\
             modparam(\"tls_mgm\", \"verify_cert\", \"[{name}]1\")\n",
            trusted.dir().display()
        )
    };
    let place = format!("127.0.0.1:{}", broker.tls_port());
    let startup = format!("    subscribe_event(\"E_TEST\", \"rabbitmq:{place}/tls_domain=rmq?secret\");\n");
    let modules = [
        "loadmodule \"tls_mgm.so\"\n",
        &domain("rmq", broker.authority()),
        &domain("bad", &other),
        "loadmodule \"event_rabbitmq.so\"\n",
        &parameter("use_tls", 1),
        &parameter("max_age", 300),
    ];
    let server = Setup::new(include_str!("../configs/raised.cfg"))
        .put("MODULES", modules.concat())
        .put("STARTUP", startup)
        .put("ROUTES", "")
        .start();
    ask(&phone, &server, "unnamed1");
    let message = &broker.take("secret", 1)[0];
    assert_eq!(message["body"], r#"{"jsonrpc":"2.0","method":"E_TEST","params":{"only":-5}}"#);
    assert_eq!(until_settled(&server, 1), (1, 0));
    for (domain, why) in
        [("bad", "TLS: invalid peer certificate"), ("none", "there is no TLS client domain `none`")]
    {
        server.subscribe("E_TEST", &format!("rabbitmq:{place}/tls_domain={domain}?secret"));
        until_logged(&server, {
            ask(&phone, &server, "none");
            why
        });
    }
    server.stop();
}

#[test]
fn tls_needs_its_module() {
    let refused = setup(&parameter("use_tls", 1), &[]).run_to_end();
    assert!(refused.stderr.contains("load tls_mgm before event_rabbitmq"), "{}", refused.stderr);
}

/// Reads a whole frame: its payload.
fn frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 7];
    stream.read_exact(&mut head).unwrap();
    let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    let mut payload = vec![0; length as usize + 1];
    stream.read_exact(&mut payload).unwrap();
    payload
}

#[test]
fn a_broker_that_falls_silent_is_left() {
    const START: &[u8] = b"\x01\0\0\0\0\0\x17\0\x0a\0\x0a\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\0\xce";
    const TUNE: &[u8] = b"\x01\0\0\0\0\0\x0c\0\n\0\x1e\x07\xff\0\x02\0\0\0<\xce";
    const REST: [&[u8]; 3] = [
        b"\x01\0\0\0\0\0\x05\0\n\0)\0\xce",
        b"\x01\0\x01\0\0\0\x08\0\x14\0\x0b\0\0\0\0\xce",
        b"\x01\0\x01\0\0\0\x04\0\x55\0\x0b\xce",
    ];
    let phone = Phone::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = format!("rabbitmq:{}/q", listener.local_addr().unwrap());
    let server = setup(&parameter("heartbeat", 1), &[socket]).start();
    ask(&phone, &server, "none");
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut greeting = [0; 8];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"AMQP\0\0\x09\x01");
    stream.write_all(START).unwrap();
    assert_eq!(frame(&mut stream)[..4], *b"\0\n\0\x0b");
    stream.write_all(TUNE).unwrap();
    assert_eq!(frame(&mut stream), b"\0\n\0\x1f\x07\xff\0\x02\0\0\0\x01\xce", "a second between heartbeats");
    for answer in REST {
        frame(&mut stream);
        stream.write_all(answer).unwrap();
    }
    // The event, then signs of life, then the end: this broker gives none.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.windows(8).any(|frame| frame == b"\x08\0\0\0\0\0\0\xce"), "{}", rest.escape_ascii());
    until_logged(&server, "the broker sent nothing for two heartbeats");
    server.stop();
}

#[test]
fn what_a_broker_that_is_never_there_does_not_take_is_dropped_and_holds_nobody_up() {
    let (phone, subscriber, broker) = (Phone::new(), Subscriber::new(), RabbitMq::shared());
    broker.declare("beside");
    let dead = format!("rabbitmq:127.0.0.1:{}/q", free_tcp_port());
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = format!("rabbitmq:{}/q", silent.local_addr().unwrap());
    let alive = format!("rabbitmq:127.0.0.1:{}/beside", broker.port());
    let parameters =
        [parameter("max_age", 400), parameter("timeout", 200), parameter("connect_timeout", 100)];
    let server = setup(&parameters.concat(), &[dead, mute, alive, subscriber.name()]).start();
    ask(&phone, &server, "unnamed1");
    assert_eq!(subscriber.next()["params"], json!({"only": -5}));
    assert_eq!(broker.take("beside", 1).len(), 1);
    assert_eq!(until_settled(&server, 4), (2, 2));
    until_logged(&server, "Connection refused");
    until_logged(&server, "the broker did not answer to the login in time");
    server.stop();
}

#[test]
fn thousands_of_brokers_that_are_not_there_do_not_fill_the_courier() {
    const GONE: i64 = 3_500;
    let (phone, port) = (Phone::new(), free_tcp_port());
    let server = setup(&parameter("max_age", 1000), &[]).start();
    for number in 0..GONE {
        server.subscribe("E_TEST", &format!("rabbitmq:127.0.0.1:{port}/q{number}"));
    }
    let courier = || server.ps().into_iter().find(|process| process.kind == "event courier").unwrap().pid;
    let before = courier();
    ask(&phone, &server, "none");
    assert_eq!(until_settled(&server, GONE), (0, GONE));
    assert_eq!(courier(), before, "{}", server.log());
    server.stop();
}

#[test]
fn nothing_is_lost_and_all_is_in_order_when_the_broker_stands_still_and_when_it_dies() {
    let (phone, mut broker) = (Phone::new(), RabbitMq::start());
    broker.declare("all");
    let socket = format!("rabbitmq:127.0.0.1:{}/persistent?all", broker.port());
    let server = setup(&parameter("timeout", 2000), &[socket]).start();
    ask(&phone, &server, "many");
    assert_eq!(until_settled(&server, MANY), (MANY, 0));
    assert_eq!(numbers(&broker.take("all", MANY as usize)), (0..MANY).collect::<Vec<_>>());

    broker.freeze();
    ask(&phone, &server, "many");
    until_logged(&server, "the broker confirmed nothing within `timeout`");
    broker.thaw();
    assert_eq!(until_settled(&server, 2 * MANY), (2 * MANY, 0));
    all_came_in_order(&numbers(&broker.take_different("all", MANY as usize)));

    ask(&phone, &server, "many");
    broker.kill();
    ask(&phone, &server, "many");
    broker.run();
    assert_eq!(until_settled(&server, 4 * MANY), (4 * MANY, 0));
    let numbers = numbers(&broker.take("all", 2 * MANY as usize));
    assert_eq!(numbers.iter().copied().collect::<BTreeSet<_>>(), (0..MANY).collect());
    server.stop();
}

/// Each number is there, and none comes for the first time before a lower one has.
fn all_came_in_order(numbers: &[i64]) {
    let mut seen = BTreeSet::new();
    let first_times: Vec<_> = numbers.iter().copied().filter(|number| seen.insert(*number)).collect();
    assert_eq!(first_times, (0..MANY).collect::<Vec<_>>());
}

#[test]
fn no_event_is_lost_when_the_courier_is_killed() {
    let (phone, broker) = (Phone::new(), RabbitMq::shared());
    broker.declare("killed");
    let server = setup("", &[format!("rabbitmq:127.0.0.1:{}/killed", broker.port())]).start();
    ask(&phone, &server, "many");
    until("some are delivered", || (server.statistic("events:delivered") > 0).then_some(()));
    server.kill("event courier");
    assert_eq!(until_settled(&server, MANY), (MANY, 0));
    all_came_in_order(&numbers(&broker.take_different("killed", MANY as usize)));
    server.stop();
}
