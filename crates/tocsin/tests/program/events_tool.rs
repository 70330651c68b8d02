//! `tocsin events`: the list, the schema, and the events of a running server on standard output.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use crate::harness::{Http, Server, Setup, until};

const CONFIG: &str = r#"
log_level=3
stderror_enabled=yes
syslog_enabled=no
socket=udp:127.0.0.1:@PORT@
udp_workers=1
loadmodule "proto_udp.so"
loadmodule "mi_datagram.so"
modparam("mi_datagram", "socket_name", "udp:127.0.0.1:@MI@")
loadmodule "event_datagram.so"
route {
	raise_event("E_ONE");
	raise_event("E_TWO");
}
"#;

fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tocsin"));
    command.arg("events").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(arguments: &[&str]) -> Output {
    tool(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn start() -> Server {
    Setup::new(CONFIG).start()
}

/// The place of the server's management socket.
fn place(server: &Server) -> String {
    format!("udp:127.0.0.1:{}", server.mi_port())
}

/// How many subscribers there are.
fn subscribers(server: &Server) -> usize {
    let list = server.mi().call("subscribers_list", Value::Null);
    let events = list["Events"].as_array().unwrap();
    events.iter().map(|event| event["Subscribers"].as_array().unwrap().len()).sum()
}

/// Starts to listen, and waits until the server knows.
fn listen(server: &Server, arguments: &[&str], names: usize) -> Child {
    let before = subscribers(server);
    let place = place(server);
    let child = tool(&[&["tail", "-s", &place], arguments].concat()).spawn().unwrap();
    until("it is subscribed", || (subscribers(server) == before + names).then_some(()));
    child
}

#[test]
fn the_list_names_every_event_of_the_core() {
    let list = output(&["list"]);
    assert!(list.status.success());
    let json: Value = serde_json::from_slice(&output(&["list", "--json"]).stdout).unwrap();
    for event in json.as_array().unwrap() {
        assert!(text(&list.stdout).contains(event["name"].as_str().unwrap()));
    }
    assert_eq!(json.as_array().unwrap().len(), 8);
    let server = start();
    let known = output(&["list", "--server", &place(&server)]);
    assert!(text(&known.stdout).contains("   1  E_CORE_THRESHOLD "), "{}", text(&known.stdout));
    server.stop();
}

#[test]
fn events_are_printed_as_they_come() {
    let server = start();
    let child = listen(&server, &["--json", "-n", "2", "E_CORE_PROC_EXIT", "E_ONE"], 2);
    server.mi().answer("raise_event", json!(["E_TWO", ["not asked for"]]));
    server.mi().call("raise_event", json!(["E_ONE", ["a", "b"]]));
    server.replace(&format!("SIP receiver udp:{}", server.address()));
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    let lines: Vec<_> = text(&ended.stdout).lines().collect();
    assert_eq!(lines[0], r#"{"jsonrpc":"2.0","method":"E_ONE","params":["a","b"]}"#);
    assert!(
        lines[1].starts_with(r#"{"jsonrpc":"2.0","method":"E_CORE_PROC_EXIT","params":{"process_id":"#),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 2);
    until("its subscriptions are gone", || (subscribers(&server) == 0).then_some(()));
    server.stop();
}

#[test]
fn people_get_a_line_an_event() {
    let server = start();
    let mut child = listen(&server, &["E_ONE"], 1);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    server.mi().call("raise_event", json!(["E_ONE", r#"{"name":"a\u001b[31m\r\nb","n":7}"#]));
    let line = lines.next().unwrap().unwrap();
    assert!(line.ends_with("  name=a\\u{1b}[31m\\r\\nb  n=7"), "{line}");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id().cast_signed()),
        nix::sys::signal::Signal::SIGINT,
    )
    .unwrap();
    assert!(child.wait().unwrap().success());
    until("its subscription is gone", || (subscribers(&server) == 0).then_some(()));
    server.stop();
}

#[test]
fn a_mistake_is_named() {
    let server = start();
    let place = place(&server);
    let wrong = output(&["tail", "-s", &place, "E_CORE_TRESHOLD"]);
    assert_eq!(wrong.status.code(), Some(255));
    assert_eq!(
        text(&wrong.stderr),
        "tocsin events: there is no event `E_CORE_TRESHOLD`; did you mean `E_CORE_THRESHOLD`?\n"
    );
    let nobody = output(&["tail", "-s", "udp:127.0.0.1:1"]);
    assert!(text(&nobody.stderr).contains("udp:127.0.0.1:1: no server answers"), "{}", text(&nobody.stderr));
    let wrong = output(&["tial"]);
    assert!(text(&wrong.stderr).contains("'tail'"), "{}", text(&wrong.stderr));
    server.stop();
}

#[test]
fn the_schemas_describe_what_is_raised() {
    let schema: Value = serde_json::from_slice(&output(&["schema"]).stdout).unwrap();
    let asyncapi: Value = serde_json::from_slice(&output(&["schema", "--asyncapi"]).stdout).unwrap();
    assert_eq!(asyncapi["asyncapi"], "3.0.0");
    for (name, event) in schema["$defs"].as_object().unwrap() {
        assert_eq!(&asyncapi["components"]["schemas"][name], event);
        assert_eq!(asyncapi["channels"][name]["address"], name.as_str());
    }
    let params = &schema["$defs"]["E_CORE_SR_STATUS_CHANGED"]["properties"]["params"];
    assert_eq!(params["required"], json!(["group", "identifier", "status", "old_status"]));

    let server = start();
    let child = listen(&server, &["--json", "-n", "1", "E_CORE_PROC_EXIT"], 1);
    server.replace(&format!("SIP receiver udp:{}", server.address()));
    let event: Value = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
    let params = &schema["$defs"]["E_CORE_PROC_EXIT"]["properties"]["params"];
    for (key, value) in event["params"].as_object().unwrap() {
        let wanted = if value.is_string() { "string" } else { "integer" };
        assert_eq!(params["properties"][key]["type"], wanted, "{key}");
    }
    for key in params["required"].as_array().unwrap() {
        assert!(event["params"].get(key.as_str().unwrap()).is_some(), "{key}");
    }
    server.stop();
}

#[test]
fn the_embedded_configuration_is_found_over_http() {
    let server = Setup::new(include_str!("../configs/management.cfg")).start();
    let http = format!("http://127.0.0.1:{}/mi", server.http_port());
    assert!(!Http::new(server.http_port()).post(r#"{"jsonrpc":"2.0","method":"ps","id":1}"#).is_empty());
    let known = output(&["list", "-s", &http]);
    assert!(text(&known.stdout).contains("E_CORE_LOG"), "{}", text(&known.stderr));
    server.stop();
}

#[test]
fn a_server_is_found_over_its_fifo_in_whichever_folder_that_lies() {
    let fifo = |reply_dir: &str| {
        let reply_dir = if reply_dir.is_empty() {
            String::new()
        } else {
            format!("modparam(\"mi_fifo\", \"reply_dir\", \"{reply_dir}\")\n")
        };
        format!(
            "loadmodule \"mi_fifo.so\"\nmodparam(\"mi_fifo\", \"fifo_name\", \"@DIR@/fifo\")\n{reply_dir}"
        )
    };
    for reply_dir in ["", "@DIR@/"] {
        let setup = Setup::new(&CONFIG.replacen("route {", &format!("{}route {{", fifo(reply_dir)), 1));
        let path = setup.dir().join("fifo");
        let server = setup.start();
        let known = output(&["list", "-s", &format!("fifo:{}", path.display())]);
        assert!(text(&known.stdout).contains("E_CORE_LOG"), "{}", text(&known.stderr));
        server.stop();
    }
}
