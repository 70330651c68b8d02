//! The management commands, step by step as they were recorded, and the events that `raise_event` sends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Interface, PATIENCE, in_runtime};
use tocsin_event::commands::{self, Refusal, Subscribing};
use tocsin_json::{Limits, Value, parse};
use tokio::net::UdpSocket;
use tokio::time::timeout;

struct Step {
    name: String,
    case: String,
    sent: Value,
    got: String,
    event: Option<Vec<u8>>,
}

fn steps(recorded: &[u8]) -> Vec<Step> {
    let lines = recorded.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let step = parse(line, Limits::default()).unwrap();
            let text = |name| step.member(name).and_then(Value::as_bytes).map(<[u8]>::to_vec);
            let string = |name| String::from_utf8(text(name).unwrap()).unwrap();
            Step {
                name: format!("{} {}", string("case"), step.member("step").unwrap().as_integer().unwrap()),
                case: string("case"),
                sent: parse(&text("sent").unwrap(), Limits::default()).unwrap(),
                got: string("got"),
                event: text("event"),
            }
        })
        .collect()
}

/// Answers a request as the Management Interface would.
fn answer(interface: &Interface, request: &Value) -> String {
    let result = call(interface, request);
    let (key, value) = match result {
        Ok(value) => ("result", value),
        Err(Refusal { code, message, data }) => {
            let mut members = vec![("code", Value::from(code)), ("message", message.into())];
            members.extend(data.map(|data| ("data", data.into())));
            ("error", Value::object(members))
        }
    };
    let reply = Value::object([("jsonrpc", Value::from("2.0")), (key, value), ("id", 1.into())]);
    String::from_utf8(reply.to_compact()).unwrap()
}

fn call(interface: &Interface, request: &Value) -> Result<Value, Refusal> {
    let Interface { events, transports, .. } = interface;
    let param = |position: usize, name: &str| match request.member("params") {
        Some(Value::Array(values)) => values.get(position),
        Some(object) => object.member(name),
        None => None,
    };
    let text = |position, name| param(position, name).and_then(Value::as_bytes);
    match request.member("method").and_then(Value::as_bytes).unwrap() {
        b"events_list" => Ok(commands::events_list(events)),
        b"event_subscribe" => {
            let expire = param(2, "expire").map(|value| match value.as_integer() {
                Some(number) => number.clamp(i32::MIN.into(), i32::MAX.into()) as i32,
                None => std::str::from_utf8(value.as_bytes().unwrap()).unwrap().parse().unwrap(),
            });
            let (event, socket) = (text(0, "event").unwrap(), text(1, "socket").unwrap());
            Subscribing::read(events, transports, event, socket, expire)?.finish(events, None)
        }
        b"subscribers_list" => {
            commands::subscribers_list(events, transports, text(0, "event"), text(1, "socket"))
        }
        b"raise_event" => commands::raise_event(events, text(0, "event").unwrap(), param(1, "params")),
        other => panic!("{}", other.escape_ascii()),
    }
}

#[test]
fn subscribing_and_listing() {
    let steps = steps(include_bytes!("recorded/subscriptions.jsonl"));
    assert!(steps.len() > 40, "{} steps", steps.len());
    in_runtime(async {
        for case in ["mi_default", "mi_errors", "mi_refresh", "mi_unsubscribe"] {
            let interface = Interface::start(&["E_ONE", "E_THREE", "E_TWO", "E_NOPE"]);
            for step in steps.iter().filter(|step| step.case == case) {
                assert_eq!(answer(&interface, &step.sent), step.got, "{}", step.name);
                if step.name == "mi_unsubscribe 6" {
                    // The next step was recorded when this one had ended.
                    common::until(|| interface.events.subscriptions().list(u64::MAX).is_empty()).await;
                    common::until(|| !interface.events.is_wanted(interface.id("E_TWO"))).await;
                }
            }
        }
    });
}

#[test]
fn raising() {
    in_runtime(async {
        let interface = Interface::start(&["E_TWO"]);
        let reader = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        interface.subscribe("E_TWO", &format!("udp:{}", reader.local_addr().unwrap()), None);
        let mut bytes = vec![0; 4096];
        for step in steps(include_bytes!("recorded/raise_event.jsonl")) {
            assert_eq!(answer(&interface, &step.sent), step.got, "{}", step.name);
            let event = step.event.unwrap();
            if !event.is_empty() {
                let length = timeout(PATIENCE, reader.recv(&mut bytes)).await.unwrap().unwrap();
                assert_eq!(
                    bytes[..length].escape_ascii().to_string(),
                    event.escape_ascii().to_string(),
                    "{}",
                    step.name
                );
            }
        }
    });
}

#[test]
fn lists_of_everything() {
    in_runtime(async {
        let interface = Interface::start(&["E_ONE", "E_THREE", "E_TWO", "E_NOPE"]);
        let list = || {
            String::from_utf8(
                commands::subscribers_list(&interface.events, &interface.transports, None, None)
                    .unwrap()
                    .to_compact(),
            )
            .unwrap()
        };
        assert_eq!(list(), r#"{"Events":[]}"#);
        interface.subscribe("E_TWO", "udp:127.0.0.1:21102", Some(30));
        interface.subscribe("E_ONE", "udp:127.0.0.1:21101", None);
        interface.subscribe("E_NOPE", "unix:ev.sock", None);
        interface.subscribe("E_NOPE", "udp:127.0.0.1:21102", None);
        assert_eq!(
            list(),
            concat!(
                r#"{"Events":[{"name":"E_ONE","id":6,"Subscribers":[{"socket":"udp:127.0.0.1:21101","expire":"never"}]},"#,
                r#"{"name":"E_TWO","id":8,"Subscribers":[{"socket":"udp:127.0.0.1:21102","expire":30,"ttl":30}]},"#,
                r#"{"name":"E_NOPE","id":9,"Subscribers":[{"socket":"udp:127.0.0.1:21102","expire":"never"},"#,
                r#"{"socket":"unix:ev.sock","expire":"never"}]}]}"#,
            )
        );
        assert_eq!(
            String::from_utf8(commands::events_list(&interface.events).to_compact()).unwrap(),
            concat!(
                r#"{"Events":[{"name":"E_CORE_SR_STATUS_CHANGED","id":0},{"name":"E_CORE_THRESHOLD","id":1},"#,
                r#"{"name":"E_CORE_SHM_THRESHOLD","id":2},{"name":"E_CORE_PKG_THRESHOLD","id":3},"#,
                r#"{"name":"E_CORE_PROC_AUTO_SCALE","id":4},{"name":"E_CORE_TCP_DISCONNECT","id":5},{"name":"E_ONE","id":6},"#,
                r#"{"name":"E_THREE","id":7},{"name":"E_TWO","id":8},{"name":"E_NOPE","id":9},{"name":"E_CORE_LOG","id":10}]}"#,
            )
        );
    });
}
