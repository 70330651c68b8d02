//! `E_CORE_LOG`: each line of the log as an event, and never one that is its own cause.

use serde_json::{Value, json};

use crate::harness::{Phone, Request, Server, Setup, Subscriber, until};

const CONFIG: &str = include_str!("../configs/log_events.cfg");

fn start(globals: &str, subscriber: &Subscriber) -> Server {
    Setup::new(CONFIG).put("GLOBALS", globals).put("SUBSCRIBER", subscriber.name()).start()
}

/// Sends a request for which the script logs, and waits for its answer.
fn ask(server: &Server, user: &str) {
    let phone = Phone::new();
    phone.send(
        server.address(),
        Request::new(&phone, "OPTIONS", &format!("sip:{user}@{}", server.address())).text(),
    );
    phone.expect_status(200);
}

/// The lines that were told up to now, without those about the start.
fn told(server: &Server, subscriber: &Subscriber) -> Vec<Value> {
    server.mi().call("raise_event", json!(["E_MARK"]));
    subscriber.up_to("E_MARK").into_iter().map(|event| event["params"].clone()).collect()
}

#[test]
fn lines_of_the_script_are_told_with_the_recorded_parameters() {
    let subscriber = Subscriber::new();
    let server = start("log_event_enabled=yes", &subscriber);
    told(&server, &subscriber);
    ask(&server, "x");
    let raw = subscriber.raw();
    let worker = server.ps().into_iter().find(|process| process.kind.starts_with("SIP receiver")).unwrap();
    let event: Value = serde_json::from_str(&raw).unwrap();
    let time = event["params"]["time"].as_str().unwrap();
    let form: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert!(form.ends_with(" 99:99:99") && form.len() == "Nov 22 14:18:04".len(), "{time}");
    assert_eq!(
        raw,
        format!(
            r#"{{"jsonrpc":"2.0","method":"E_CORE_LOG","params":{{"time":"{time}","pid":{},"level":"WARNING","message":"hello \"q\" x"}}}}"#,
            worker.pid
        )
    );
    server.stop();
}

#[test]
fn lines_of_the_core_name_their_place() {
    let subscriber = Subscriber::new();
    let server = start("log_event_enabled=yes\nlog_prefix=\"edge-1\"", &subscriber);
    told(&server, &subscriber);
    server.mi().answer("event_subscribe", json!(["E_XXX", subscriber.name()]));
    let lines = told(&server, &subscriber);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let order: Vec<_> = lines[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(order.len(), 7, "{order:?}");
    assert_eq!((&lines[0]["level"], &lines[0]["module"]), (&json!("ERROR"), &json!("core")));
    assert_eq!(lines[0]["prefix"], "edge-1");
    assert!(lines[0]["message"].as_str().unwrap().contains("invalid event name <E_XXX>"), "{lines:?}");
    assert!(server.log().contains("edge-1:ERROR:core: "), "the prefix stands in the log too");
    server.stop();
}

#[test]
fn without_the_switch_nothing_is_told() {
    let subscriber = Subscriber::new();
    let server = start("", &subscriber);
    ask(&server, "x");
    assert_eq!(told(&server, &subscriber), [Value::Null; 0]);
    server.stop();
}

#[test]
fn a_filter_keeps_lines_of_lesser_weight_back() {
    let subscriber = Subscriber::new();
    let server = start("log_event_enabled=yes\nlog_event_level_filter=-1", &subscriber);
    ask(&server, "x");
    server.mi().answer("event_subscribe", json!(["E_XXX", subscriber.name()]));
    let levels: Vec<_> = told(&server, &subscriber).iter().map(|line| line["level"].clone()).collect();
    assert_eq!(levels, ["ERROR"]);
    server.stop();
}

#[test]
fn a_line_about_a_dead_subscriber_leads_to_no_other_line() {
    let subscriber = Subscriber::new();
    let server = start("log_event_enabled=yes\nlog_level=4", &subscriber);
    let nobody = server.path("nobody.sock");
    server.subscribe("E_CORE_LOG", &format!("unix:{}", nobody.display()));
    ask(&server, "x");
    told(&server, &subscriber);
    let (first, second) = (told(&server, &subscriber).len(), told(&server, &subscriber).len());
    assert!(first < 20 && second < 20, "lines lead to lines: {first}, {second}");
    until("the log says what was dropped", || {
        server
            .log()
            .lines()
            .any(|line| line.contains("dropped") && line.contains("nobody.sock"))
            .then_some(())
    });
    server.stop();
}
