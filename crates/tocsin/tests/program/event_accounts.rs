//! What became of every event can be told: due = delivered + dropped + lost + waiting, for each subscriber and in sum, at
//! any moment, whichever process died in between.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::harness::{Phone, Request, Server, Setup, Subscriber, until};

/// Events that one request raises.
const MANY: i64 = 2000;
const PARTS: [&str; 4] = ["delivered", "dropped", "lost", "waiting"];

fn start(startup: &str, routes: &str) -> Server {
    let modules = "loadmodule \"event_stream.so\"\nloadmodule \"event_route.so\"\nloadmodule \"proto_tcp.so\"\n\
                   socket=tcp:127.0.0.1:@HTTP@\nmax_while_loops=100000";
    Setup::new(include_str!("../configs/raised.cfg"))
        .put("MODULES", modules)
        .put("STARTUP", startup)
        .put("ROUTES", routes)
        .start()
}

fn ask(phone: &Phone, server: &Server, user: &str) {
    let request = Request::new(phone, "OPTIONS", &format!("sip:{user}@{}", server.address()));
    phone.send(server.address(), request.text());
    phone.expect_status(200);
}

/// The accounts in sum, which must add up.
fn sums(server: &Server) -> Value {
    let sums = server.mi().call("get_statistics", json!([["events:"]]));
    let of = |name: &str| sums[format!("events:{name}")].as_i64().unwrap();
    assert_eq!(of("due"), PARTS.iter().map(|name| of(name)).sum::<i64>(), "{sums}");
    let each = server.mi().call("subscribers_statistics", Value::Null);
    for account in each["Subscribers"].as_array().unwrap() {
        let parts: i64 = PARTS.iter().map(|name| account[name].as_i64().unwrap()).sum();
        assert_eq!(account["raised"], json!(parts), "{each}");
    }
    json!({"due": of("due"), "delivered": of("delivered"), "dropped": of("dropped"), "lost": of("lost"),
           "waiting": of("waiting")})
}

fn until_settled(server: &Server) -> Value {
    until("no event waits", || Some(sums(server)).filter(|sums| sums["waiting"] == 0))
}

#[test]
fn a_subscription_that_ends_with_a_full_queue_is_accounted_for() {
    let phone = Phone::new();
    let server = start("", "");
    // Nobody reads what comes here.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = format!("tcp:{}", silent.local_addr().unwrap());
    assert_eq!(server.mi().call("event_subscribe", json!(["E_TEST", socket, 3])), "OK");
    // More than the kernel's buffers hold: 5,000 events of 2,000 bytes.
    let body = "v".repeat(2000);
    for _ in 0..5000 {
        let request = Request::new(&phone, "OPTIONS", &format!("sip:body@{}", server.address()));
        phone.send(server.address(), request.body(body.as_str()).text());
        phone.expect_status(200);
    }
    sums(&server);
    let ended = until_settled(&server);
    assert!(ended["due"].as_i64().unwrap() > 0 && ended["dropped"].as_i64().unwrap() > 0, "{ended}");
    assert_eq!(ended["lost"], 0, "{ended}");
    assert!(server.log().contains(&format!(" for {socket}: the subscription ended")), "{}", server.log());
    drop(silent);
    server.stop();
}

#[test]
fn a_subscription_that_its_subscriber_ends_is_accounted_for() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let server = start("", "");
    let subscribe = |expire: u32| {
        assert_eq!(server.mi().call("event_subscribe", json!(["E_TEST", subscriber.name(), expire])), "OK");
    };
    subscribe(3600);
    ask(&phone, &server, "many");
    subscribe(0);
    // It ends behind the second in which it was ended.
    let is_listed = || {
        let list = server.mi().call("subscribers_list", json!(["E_TEST"]));
        list.to_string().contains(&subscriber.name())
    };
    until("the subscription has ended", || (!is_listed()).then_some(()));
    let ended = until_settled(&server);
    assert_eq!((&ended["due"], &ended["lost"]), (&json!(MANY), &json!(0)), "{ended}");
    ask(&phone, &server, "many");
    assert_eq!(sums(&server), ended, "what comes behind the end is not due");
    server.stop();
}

#[test]
fn accounts_survive_the_courier() {
    const KILLS: i64 = 4;
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let startup = format!("    subscribe_event(\"E_TEST\", \"{}\");", subscriber.name());
    let server = start(&startup, "");
    for _ in 0..KILLS {
        ask(&phone, &server, "many");
        server.kill("event courier");
        sums(&server);
    }
    let settled = until_settled(&server);
    assert_eq!((&settled["due"], &settled["lost"]), (&json!(KILLS * MANY), &json!(0)), "{settled}");
    server.stop();
}

#[test]
fn many_subscribers_that_are_gone_fill_no_log() {
    const GONE: i64 = 1000;
    const EVENTS: i64 = 5;
    let phone = Phone::new();
    let server = start("", "");
    for number in 0..GONE {
        server.subscribe("E_TEST", &format!("unix:{}", server.path(&format!("gone{number}")).display()));
    }
    for _ in 0..EVENTS {
        ask(&phone, &server, "none");
    }
    until("all are dropped", || (server.statistic("events:dropped") == GONE * EVENTS).then_some(()));
    assert_eq!(server.statistic("events:due"), GONE * EVENTS);
    until("the others are told in one line", || server.log().contains("more subscribers").then_some(()));
    let lines = server.log().lines().filter(|line| line.contains("dropped ")).count();
    // Of ten seconds at the most, on a busy machine.
    assert!(lines <= 10 * 21, "{lines} lines");
    server.stop();
}

#[test]
fn the_servers_own_listeners_are_no_subscribers() {
    let server = start("", "");
    let sockets = [
        format!("udp:{}", server.address()),
        format!("tcp:127.0.0.1:{}", server.http_port()),
        format!("udp:127.0.0.1:{}", server.mi_port()),
    ];
    for socket in sockets {
        let answer = server.mi().answer("event_subscribe", json!(["E_CORE_TCP_DISCONNECT", socket]));
        assert_eq!(answer["error"]["code"], 400, "{socket}: {answer}");
        assert!(
            server.log().contains(&format!("{socket}: the server itself listens there")),
            "{}",
            server.log()
        );
    }
    server.stop();
}

#[test]
fn a_client_that_subscribes_an_event_route_leaves_the_scripts_own_subscription() {
    let phone = Phone::new();
    let server = start("", "event_route[E_TEST] {\n    xlog(\"the route runs\\n\");\n}");
    let runs = || server.log().matches("the route runs").count();
    let listed = || server.mi().call("subscribers_list", json!(["E_TEST"]))["Event"]["Subscribers"].clone();
    let own = listed();
    assert_eq!(server.mi().call("event_subscribe", json!(["E_TEST", "route:E_TEST", 1])), "OK");
    until("the client's subscription has ended", || (listed() == own).then_some(()));
    ask(&phone, &server, "none");
    until("the script's own is still there", || (runs() > 0).then_some(()));
    server.stop();
}
