//! `tocsin demo`: the six core events, each from its real cause, within a minute.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::MariaDb;

const EVENTS: [&str; 6] = [
    "E_CORE_THRESHOLD",
    "E_CORE_SR_STATUS_CHANGED",
    "E_CORE_TCP_DISCONNECT",
    "E_CORE_PKG_THRESHOLD",
    "E_CORE_SHM_THRESHOLD",
    "E_CORE_PROC_AUTO_SCALE",
];

fn demo(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
    command.arg("demo").args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// The events that were shown; each is an indented text of one or more lines.
fn shown(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    let paragraphs = text.split("\n\n").filter_map(|paragraph| paragraph.split_once("\n      "));
    let events = paragraphs.map(|(_, event)| event.replace("\n      ", ""));
    events
        .map(|event| serde_json::from_str(&event).unwrap_or_else(|cause| panic!("{cause}: {event}\n{text}")))
        .collect()
}

#[test]
fn all_six_events_come() {
    let output = demo(&[]);
    let events = shown(&output);
    for name in EVENTS {
        assert!(events.iter().any(|event| event["method"] == name), "{name}");
    }
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("All six core events came"));
}

#[test]
fn the_query_may_run_at_mysql() {
    let output = demo(&["--mysql", &MariaDb::shared().url()]);
    let slow: Vec<_> = shown(&output).iter().map(|event| event["params"]["source"].clone()).collect();
    assert!(slow.contains(&Value::from("mysql query")), "{slow:?}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn without_its_database_it_says_which_event_is_missing() {
    let output = demo(&["--mysql", "mysql://nobody:x@127.0.0.1:1/none"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("no E_CORE_THRESHOLD"), "{text}");
    assert_eq!(output.status.code(), Some(1), "{text}");
}
