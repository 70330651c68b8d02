//! What is logged and where, changed over the management interface, and what it says about memory.

use serde_json::{Value, json};

use crate::harness::{Phone, Request, Server, Setup, Subscriber, until};

const CONFIG: &str = include_str!("../configs/log_events.cfg");

fn start(subscriber: &Subscriber) -> Server {
    Setup::new(CONFIG).put("GLOBALS", "").put("SUBSCRIBER", subscriber.name()).start()
}

/// Sends a request for which the script logs a warning, and waits for its answer.
fn ask(server: &Server, user: &str) {
    let phone = Phone::new();
    let request = Request::new(&phone, "OPTIONS", &format!("sip:{user}@{}", server.address()));
    phone.send(server.address(), request.text());
    phone.expect_status(200);
}

fn call(server: &Server, method: &str, params: Value) {
    assert_eq!(server.mi().call(method, params), "OK");
}

fn refused(server: &Server, method: &str, params: Value) -> i64 {
    server.mi().answer(method, params)["error"]["code"].as_i64().unwrap()
}

/// The messages of the events up to now.
fn raised(server: &Server, subscriber: &Subscriber) -> Vec<Value> {
    server.mi().call("raise_event", json!(["E_MARK"]));
    subscriber.up_to("E_MARK").into_iter().map(|event| event["params"]["message"].clone()).collect()
}

#[test]
fn a_consumer_is_muted_and_filtered_for_every_process() {
    let subscriber = Subscriber::new();
    let server = start(&subscriber);
    let mi = server.mi();
    assert_eq!(mi.call("log_mute_state", json!(["stderror"])), json!({"Mute state": 0}));
    assert_eq!(mi.call("log_level_filter", json!(["stderror"])), json!({"Log level filter": 0}));
    call(&server, "log_mute_state", json!({"consumer": "stderror", "mute_state": 1}));
    ask(&server, "muted");
    call(&server, "log_mute_state", json!(["stderror", 0]));
    call(&server, "log_level_filter", json!({"consumer": "stderror", "level_filter": -1}));
    ask(&server, "filtered");
    assert_eq!(mi.call("log_level_filter", json!(["stderror"])), json!({"Log level filter": -1}));
    call(&server, "log_level_filter", json!({"consumer": "stderror", "log_level_filter": 0}));
    ask(&server, "written");
    until("the line", || server.log().contains("q\" written").then_some(()));
    let log = server.log();
    assert!(!log.contains("q\" muted") && !log.contains("q\" filtered"), "{log}");
    assert_eq!(refused(&server, "log_mute_state", json!(["stdout"])), 400);
    server.stop();
}

#[test]
fn events_of_lines_are_switched_on_while_the_server_runs() {
    let subscriber = Subscriber::new();
    let server = start(&subscriber);
    ask(&server, "before");
    assert_eq!(raised(&server, &subscriber), [Value::Null; 0]);
    assert_eq!(server.mi().call("log_mute_state", json!(["event"])), json!({"Mute state": 1}));
    call(&server, "log_mute_state", json!(["event", 0]));
    ask(&server, "after");
    assert_eq!(raised(&server, &subscriber), [json!("hello \"q\" after")]);
    server.stop();
}

#[test]
fn a_level_with_a_pid_is_that_of_the_process_alone() {
    let subscriber = Subscriber::new();
    let server = start(&subscriber);
    let levels = || -> Vec<i64> {
        let answer = server.mi().call("log_level", json!([]));
        let rows = answer["Processes"].as_array().unwrap().clone();
        rows.iter().map(|row| row["Log level"].as_i64().unwrap()).collect()
    };
    assert!(levels().iter().all(|level| *level == 3));
    let worker = server.ps().into_iter().find(|process| process.kind.starts_with("SIP receiver")).unwrap();
    assert_eq!(server.mi().call("log_level", json!([1, worker.pid])), json!({"Log level": 1}));
    let own: Vec<_> = levels().into_iter().filter(|level| *level != 3).collect();
    assert_eq!(own, [1]);
    server.mi().call("log_level", json!([2]));
    assert!(levels().iter().all(|level| *level == 2));
    assert_eq!(refused(&server, "log_level", json!([2, 1])), -32602);
    server.stop();
}

#[test]
fn memory_is_written_into_the_log() {
    let subscriber = Subscriber::new();
    let server = start(&subscriber);
    let worker = server.ps().into_iter().find(|process| process.kind.starts_with("SIP receiver")).unwrap();
    // At the level of memdump, which is above that of the log.
    call(&server, "mem_shm_dump", json!([]));
    call(&server, "mem_pkg_dump", json!([worker.pid]));
    assert!(!server.log().contains("memory"), "{}", server.log());
    call(&server, "mem_shm_dump", json!([-1]));
    call(&server, "mem_pkg_dump", json!({"pid": worker.pid, "log_level": 1}));
    call(&server, "mem_rpm_dump", json!([2]));
    let last = "NOTICE:core: memory that is kept over a restart: there is none";
    until("the lines", || server.log().contains(last).then_some(()));
    let log = server.log();
    for line in [
        "ERROR:core: shared memory: ".to_owned(),
        "ERROR:core: table subscriptions: 2 records of ".to_owned(),
        format!("WARNING:core: private memory of process {}, pid {} (SIP receiver", worker.id, worker.pid),
    ] {
        assert!(log.contains(&line), "{line} is not in\n{log}");
    }
    assert_eq!(refused(&server, "mem_pkg_dump", json!([1])), -32602);
    assert_eq!(
        server.mi().call("shm_check", json!([])),
        json!({"Fragments": server.statistic("shmem:fragments")})
    );
    server.stop();
}
