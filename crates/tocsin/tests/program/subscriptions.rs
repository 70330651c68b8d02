//! Subscriptions, from the management interface and from the script, as OpenSIPS keeps them.

use serde_json::{Value, json};

use crate::harness::{Server, Setup, Subscriber, UnixSubscriber, until};

const CONFIG: &str = "\
log_level=3
stderror_enabled=yes
syslog_enabled=no
auto_aliases=no
socket=udp:127.0.0.1:@PORT@
udp_workers=1
loadmodule \"mi_datagram.so\"
modparam(\"mi_datagram\", \"socket_name\", \"udp:127.0.0.1:@MI@\")
loadmodule \"proto_udp.so\"
loadmodule \"event_datagram.so\"
startup_route {
    subscribe_event(\"E_ONE\", \"udp:127.0.0.1:9\");
    subscribe_event(\"E_TWO\", \"udp:127.0.0.1:7\", 3);
}
route { raise_event(\"E_THREE\"); exit; }
";

fn start() -> Server {
    Setup::new(CONFIG).start()
}

/// The subscribers of `event`: socket, expiry, and the rest of it, which must be the truth of the last seconds.
fn subscribers(server: &Server, event: &str) -> Vec<(String, Value)> {
    let listed = server.mi().call("subscribers_list", json!([event]));
    let Some(rows) = listed["Event"]["Subscribers"].as_array() else {
        assert_eq!(listed, json!({"Event": {}}));
        return Vec::new();
    };
    rows.iter()
        .map(|row| {
            if let (Some(expire), Some(ttl)) = (row["expire"].as_i64(), row["ttl"].as_i64()) {
                assert!((expire - 10..=expire).contains(&ttl), "{row}");
            }
            (row["socket"].as_str().unwrap().to_owned(), row["expire"].clone())
        })
        .collect()
}

fn subscribe(server: &Server, params: Value) {
    assert_eq!(server.mi().call("event_subscribe", params), "OK");
}

#[test]
fn events_are_listed_with_the_peers_ids() {
    let server = start();
    let listed = server.mi().call("events_list", Value::Null);
    let events: Vec<_> = listed["Events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["name"].as_str().unwrap(), &e["id"]))
        .collect();
    let core = [
        "E_CORE_SR_STATUS_CHANGED",
        "E_CORE_THRESHOLD",
        "E_CORE_SHM_THRESHOLD",
        "E_CORE_PKG_THRESHOLD",
        "E_CORE_PROC_AUTO_SCALE",
        "E_CORE_TCP_DISCONNECT",
    ];
    for (id, name) in core.iter().enumerate() {
        assert_eq!(events[id], (*name, &json!(id)));
    }
    for (id, (name, listed)) in events.iter().enumerate() {
        assert_eq!(**listed, json!(id), "{name}");
    }
    for name in ["E_ONE", "E_TWO", "E_THREE", "E_CORE_LOG"] {
        assert!(events.iter().any(|(listed, _)| *listed == name), "{name} is not in {listed}");
    }
    // What goes beyond OpenSIPS shows up with its first subscriber.
    let subscriber = Subscriber::new();
    subscribe(&server, json!({"event": "E_CORE_PROC_EXIT", "socket": subscriber.name()}));
    let longer = server.mi().call("events_list", Value::Null)["Events"].as_array().unwrap().len();
    assert_eq!(longer, events.len() + 1);
    server.stop();
}

#[test]
fn a_subscription_lives_an_hour_unless_told_otherwise() {
    let server = start();
    let subscriber = Subscriber::new();
    subscribe(&server, json!({"event": "E_THREE", "socket": subscriber.name()}));
    let all = subscribers(&server, "E_THREE");
    assert_eq!(all, [(subscriber.name(), json!(3600))]);
    let one = server.mi().call("subscribers_list", json!({"event": "E_THREE", "socket": subscriber.name()}));
    assert_eq!(one["Event"]["Subscriber"]["socket"], subscriber.name());
    for (expire, kept) in
        [(json!(30), 30), (json!("20"), 20), (json!(2.9), 2), (json!(4_294_967_300_i64), 2_147_483_647)]
    {
        subscribe(&server, json!(["E_THREE", subscriber.name(), expire]));
        assert_eq!(subscribers(&server, "E_THREE"), [(subscriber.name(), json!(kept))], "a refresh");
    }
    server.stop();
}

#[test]
fn the_script_subscribes_for_ever_unless_told_otherwise() {
    let server = start();
    assert_eq!(subscribers(&server, "E_ONE"), [("udp:127.0.0.1:9".to_owned(), json!("never"))]);
    let listed = server.mi().call("subscribers_list", json!(["E_ONE"]));
    assert!(listed["Event"]["Subscribers"][0].get("ttl").is_none(), "{listed}");
    until("the subscription of three seconds has ended", || {
        subscribers(&server, "E_TWO").is_empty().then_some(())
    });
    assert_eq!(subscribers(&server, "E_ONE").len(), 1);
    server.stop();
}

#[test]
fn a_subscription_is_ended_at_once() {
    let server = start();
    let (one, other) = (Subscriber::new(), Subscriber::new());
    let raise = || server.mi().answer("raise_event", json!(["E_THREE"]));
    let unsubscribe =
        |event: &str, socket: String| server.mi().answer("event_unsubscribe", json!([event, socket]));
    for subscriber in [&one, &other] {
        subscribe(&server, json!(["E_THREE", subscriber.name()]));
    }
    raise();
    assert_eq!(unsubscribe("E_THREE", one.name())["result"], "OK");
    let rest = [(other.name(), json!(3600))];
    until("a millisecond is over", || (subscribers(&server, "E_THREE") == rest).then_some(()));
    raise();
    let event = r#"{"jsonrpc":"2.0","method":"E_THREE"}"#;
    assert_eq!([one.raw(), other.raw(), other.raw()], [event; 3], "what was raised before still comes");
    assert_eq!(unsubscribe("E_THREE", other.name())["result"], "OK");
    until("a millisecond is over", || subscribers(&server, "E_THREE").is_empty().then_some(()));
    assert_eq!(raise()["error"]["code"], 480, "nobody is subscribed");
    let refused = |answer: Value| answer["error"].clone();
    let none = json!({"code": 404, "message": "Subscriber does not exist"});
    assert_eq!(refused(unsubscribe("E_THREE", other.name())), none);
    assert_eq!(refused(unsubscribe("E_THREE", "nonsense".to_owned())), none);
    let unknown = json!({"code": 404, "message": "Event not published"});
    assert_eq!(refused(unsubscribe("E_NONE", other.name())), unknown);
    subscribe(&server, json!(["E_THREE", one.name()]));
    raise();
    assert_eq!(one.raw(), event, "and nothing between");
    server.stop();
}

#[test]
fn a_script_ends_a_subscription() {
    let startup = r#"    subscribe_event("E_THREE", "udp:127.0.0.1:9");
    xlog("first $rc\n");
    unsubscribe_event("E_THREE", "udp:127.0.0.1:9");
    xlog("second $rc\n");
    usleep(2000);
    unsubscribe_event("E_THREE", "udp:127.0.0.1:9");
    xlog("third $rc\n");"#;
    let server = Setup::new(include_str!("../configs/raised.cfg"))
        .put("MODULES", "loadmodule \"cfgutils.so\"")
        .put("STARTUP", startup)
        .put("ROUTES", "")
        .start();
    until("the script has run", || server.log().contains("third").then_some(()));
    let log = server.log();
    let rest = log.lines().filter_map(|line| line.split_once("NOTICE:")).map(|(_, text)| text);
    let codes: Vec<_> = rest.filter(|text| !text.starts_with("core:")).collect();
    assert_eq!(codes, ["first 1", "second 1", "third -1"]);
    assert!(subscribers(&server, "E_THREE").is_empty());
    server.stop();
}

#[test]
fn expire_0_ends_a_subscription() {
    let server = start();
    let subscriber = Subscriber::new();
    subscribe(&server, json!(["E_THREE", subscriber.name(), 30]));
    assert_eq!(server.mi().call("raise_event", json!(["E_THREE"])), "OK");
    assert_eq!(subscriber.raw(), r#"{"jsonrpc":"2.0","method":"E_THREE"}"#);
    subscribe(&server, json!(["E_THREE", subscriber.name(), 0]));
    until("it is gone", || subscribers(&server, "E_THREE").is_empty().then_some(()));
    let nobody = server.mi().answer("raise_event", json!(["E_THREE"]));
    assert_eq!(nobody["error"], json!({"code": 480, "message": "Temporarily Unavailable"}));
    server.stop();
}

#[test]
fn every_socket_is_a_subscriber_of_its_own() {
    let server = start();
    for socket in ["udp:127.0.0.10:7185", "udp:127.0.0.1:7185", "unix:ev.sock2", "unix:ev.sock"] {
        subscribe(&server, json!(["E_THREE", socket]));
    }
    let sockets: Vec<_> = subscribers(&server, "E_THREE").into_iter().map(|(socket, _)| socket).collect();
    let newest_first = ["unix:ev.sock", "unix:ev.sock2", "udp:127.0.0.1:7185", "udp:127.0.0.10:7185"];
    assert_eq!(sockets, newest_first);
    server.stop();
}

#[test]
fn udp_and_unix_subscribers_get_the_same_bytes() {
    let setup = Setup::new(CONFIG);
    let (udp, unix) = (Subscriber::new(), UnixSubscriber::new(&setup.dir().join("ev.sock")));
    let server = setup.start();
    server.subscribe("E_THREE", &udp.name());
    server.subscribe("E_THREE", unix.name());
    server.mi().call("raise_event", json!(["E_THREE", ["a", "b"]]));
    let expected = r#"{"jsonrpc":"2.0","method":"E_THREE","params":["a","b"]}"#;
    assert_eq!((udp.raw().as_str(), unix.raw().as_str()), (expected, expected));
    server.mi().call("raise_event", json!(["E_THREE", r#"{"first":1,"second":"two","third":-3}"#]));
    let expected = r#"{"jsonrpc":"2.0","method":"E_THREE","params":{"first":1,"second":"two","third":-3}}"#;
    assert_eq!((udp.raw().as_str(), unix.raw().as_str()), (expected, expected));
    server.stop();
}

#[test]
fn what_cannot_be_subscribed_is_refused() {
    let server = start();
    let refusal = |event: &str, socket: &str| {
        server.mi().answer("event_subscribe", json!([event, socket]))["error"].clone()
    };
    let bad = json!({"code": 400, "message": "Bad parameter value"});
    assert_eq!(refusal("E_NOSUCH", "udp:127.0.0.1:7104"), bad);
    assert_eq!(refusal("e_three", "udp:127.0.0.1:7104"), bad, "names are exact");
    for socket in [
        "udp:127.0.0.1",
        "udp:127.0.0.1:0",
        "udp:127.0.0.1:65536",
        "udp:127.0.0.1:abc",
        "udp:127.0.0.1:7104x",
        "udp::7104",
        "udp",
        "udp:",
        "foo:127.0.0.1:1",
        "UDP:127.0.0.1:7104",
        "rabbitmq:127.0.0.1/x",
        "udp:no.such.host.invalid:7104",
        "unix:",
        " udp:127.0.0.1:7104",
        "udp:127.0.0.1:7104 ",
    ] {
        assert_eq!(refusal("E_THREE", socket), bad, "{socket:?}");
    }
    let negative = server.mi().answer("event_subscribe", json!(["E_THREE", "udp:127.0.0.1:7104", -1]));
    assert_eq!(
        negative["error"],
        json!({"code": -32602, "message": "Invalid params", "data": "Negative expire value"})
    );
    let unknown = |params: Value| server.mi().answer("subscribers_list", params)["error"].clone();
    assert_eq!(unknown(json!(["E_NOSUCH"])), json!({"code": 404, "message": "Event not published"}));
    assert_eq!(
        unknown(json!(["E_THREE", "udp:127.0.0.1:7104"])),
        json!({"code": 404, "message": "Subscriber does not exist"})
    );
    assert!(subscribers(&server, "E_THREE").is_empty());
    server.stop();
}

#[test]
fn subscriptions_outlive_the_courier() {
    let server = start();
    let subscriber = Subscriber::new();
    server.subscribe("E_THREE", &subscriber.name());
    server.kill("event courier");
    server.mi().call("raise_event", json!(["E_THREE"]));
    assert_eq!(subscriber.next()["method"], "E_THREE");
    server.stop();
}
