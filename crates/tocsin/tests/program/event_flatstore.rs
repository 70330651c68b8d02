//! Events into files, as recorded.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::harness::{Phone, Request, Server, Setup, Subscriber, until};

fn setup(startup: &str) -> Setup {
    setup_with("", startup)
}

fn setup_with(parameters: &str, startup: &str) -> Setup {
    Setup::new(include_str!("../configs/raised.cfg"))
        .put("MODULES", format!("loadmodule \"event_flatstore.so\"\n{parameters}"))
        .put("STARTUP", startup)
        .put("ROUTES", "")
}

fn ask(phone: &Phone, server: &Server, user: &str) {
    let request = Request::new(phone, "MESSAGE", &format!("sip:{user}@{}", server.address()));
    let text = request.body("BODY").text().into_bytes();
    // A body of any bytes, of the same length.
    let body = b"a,\xff\n";
    let at = text.len() - body.len();
    phone.send(server.address(), [&text[..at], body].concat());
    phone.expect_status(200);
}

fn until_holds(path: &Path, text: &[u8]) {
    until("the file holds the lines", || (fs::read(path).ok()? == text).then_some(()));
}

#[test]
fn recorded_flatstore_default_and_rotate() {
    let phone = Phone::new();
    let server = setup("    subscribe_event(\"E_TEST\", \"flatstore:ev1.log\");").start();
    let (file, old) = (server.path("ev1.log"), server.path("old.log"));
    assert!(!file.exists(), "before any event");
    let mut lines = b"E_TEST\n".to_vec();
    ask(&phone, &server, "none");
    until_holds(&file, &lines);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    for (user, line) in [
        ("named", &b"E_TEST,1,two, \"q\" <x>&y,\n"[..]),
        ("vals", b"E_TEST,7,seven\n"),
        ("unnamed1", b"E_TEST,-5\n"),
        ("body", b"E_TEST,a,\xff\n\n"),
    ] {
        ask(&phone, &server, user);
        lines.extend(line);
        until_holds(&file, &lines);
    }

    fs::rename(&file, &old).unwrap();
    ask(&phone, &server, "unnamed1");
    lines.extend(b"E_TEST,-5\n");
    until_holds(&old, &lines);
    let rotate = |params| server.mi().answer("evi_flat_rotate", params);
    assert_eq!(rotate(json!(["ev1.log"]))["result"], "OK");
    assert_eq!(rotate(json!(["nosuch.log"]))["error"], json!({"code": 400, "message": "File not found"}));
    let few = json!({"code": -32602, "message": "Invalid params", "data": "Too few or too many parameters"});
    assert_eq!(rotate(json!(null))["error"], few);
    ask(&phone, &server, "unnamed1");
    until_holds(&file, b"E_TEST,-5\n");
    until_holds(&old, &lines);
    server.stop();
}

#[test]
fn recorded_flatstore_sockets() {
    let server = setup("    subscribe_event(\"E_TEST\", \"flatstore:ev1.log\");").start();
    let answer = |socket: &str| server.mi().answer("event_subscribe", json!(["E_TEST", socket]));
    for good in ["flatstore:ev2.log", "flatstore:ev2.log", "flatstore:e v.log"] {
        assert_eq!(answer(good)["result"], "OK");
    }
    for bad in ["flatstore", "flatstore:", "flatstore:nosuchdir/x.log", "flatstore:."] {
        assert_eq!(answer(bad)["error"], json!({"code": 400, "message": "Bad parameter value"}), "{bad}");
    }
    let listed = server.mi().call("subscribers_list", json!(["E_TEST"]));
    let sockets: Vec<_> = listed["Event"]["Subscribers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["socket"].as_str().unwrap())
        .collect();
    assert_eq!(sockets, ["flatstore:e v.log", "flatstore:ev2.log", "flatstore:ev1.log"]);
    server.stop();
}

#[test]
fn a_full_disk_is_told_and_costs_no_other_subscriber_an_event() {
    let (phone, subscriber) = (Phone::new(), Subscriber::new());
    let startup = format!(
        "    subscribe_event(\"E_TEST\", \"flatstore:/dev/full\");\n    subscribe_event(\"E_TEST\", \"{}\");",
        subscriber.name()
    );
    let server = setup(&startup).start();
    for _ in 0..3 {
        ask(&phone, &server, "unnamed1");
        assert_eq!(subscriber.raw(), r#"{"jsonrpc":"2.0","method":"E_TEST","params":{"only":-5}}"#);
    }
    until("the loss is in the log", || {
        let log = server.log();
        (log.contains(" for flatstore:/dev/full: No space left on device")).then_some(())
    });
    server.stop();
}

#[test]
fn a_directory_keeps_files_together_and_escaping_keeps_lines_whole() {
    let phone = Phone::new();
    let logs = tempfile::tempdir().unwrap();
    let directory = logs.path().display().to_string();
    let parameters = format!(
        "modparam(\"event_flatstore\", \"directory\", \"{directory}\")\nmodparam(\"event_flatstore\", \"escape\", 1)"
    );
    let inside = format!("flatstore:{directory}/ev.log");
    let server = setup_with(&parameters, &format!("    subscribe_event(\"E_TEST\", \"{inside}\");")).start();
    for outside in ["flatstore:ev.log".to_owned(), format!("flatstore:{directory}/../ev.log")] {
        let answer = server.mi().answer("event_subscribe", json!(["E_TEST", outside]));
        assert_eq!(answer["error"]["code"], 400, "{answer}");
        let line = format!("is not below {directory}, the directory of event_flatstore");
        assert!(server.log().contains(&line), "{}", server.log());
    }
    ask(&phone, &server, "body");
    until_holds(&logs.path().join("ev.log"), b"E_TEST,a\\x2c\xff\\n\n");
    server.stop();
}
