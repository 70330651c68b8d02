//! The management interface over each of its transports, as existing clients use it.

use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{Fifo, Http, Phone, Request, Server, Setup, UnixMi, until};

const CONFIG: &str = include_str!("../configs/management.cfg");
const VERSION: &str = r#"{"jsonrpc":"2.0","method":"version","id":1}"#;
const PARSE_ERROR: &str = r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"},"id":null}"#;
const INVALID: &str = r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":null}"#;

fn start() -> Server {
    Setup::new(CONFIG).put("MI_SOCKET", "udp:127.0.0.1:@MI@").start()
}

fn fifo(server: &Server) -> Fifo {
    Fifo::new(server.path("mi.fifo"), server.path("."))
}

#[test]
fn version_is_the_same_over_every_transport() {
    let server = start();
    let expected = format!(
        r#"{{"jsonrpc":"2.0","result":{{"Server":"OpenSIPS (3.4.18 (x86_64/linux)) Tocsin {}"}},"id":1}}"#,
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(server.mi().raw(VERSION.as_bytes()), expected);
    assert_eq!(fifo(&server).raw(VERSION), expected);
    assert_eq!(Http::new(server.http_port()).post(VERSION), expected);
    server.stop();
}

#[test]
fn a_unix_socket_serves_as_well() {
    let setup = Setup::new(CONFIG);
    let path = setup.dir().join("mi.sock");
    let server = setup.put("MI_SOCKET", path.display()).start();
    let client = UnixMi::new(&path, &server.path("."));
    assert!(client.raw(VERSION.as_bytes()).contains(r#""Server":"OpenSIPS (3.4"#));
    assert_eq!(client.raw(b"not json"), "400 Parse_error");
    assert!(client.raw(br#"{"jsonrpc":"2.0","method":"ps","id":"x"}"#).ends_with(r#""id":"x"}"#));
    server.stop();
}

#[test]
fn ps_shows_the_family() {
    let server = start();
    let processes = server.ps();
    assert_eq!(
        (processes[0].id, processes[0].pid, processes[0].kind.as_str()),
        (0, server.pid(), "attendant")
    );
    let ids: Vec<_> = processes.iter().map(|process| process.id).collect();
    assert_eq!(ids, (0..processes.len() as i64).collect::<Vec<_>>());
    for process in &processes {
        kill(Pid::from_raw(process.pid), None).unwrap_or_else(|cause| panic!("{process:?}: {cause}"));
    }
    let count = |kind: &str| processes.iter().filter(|process| process.kind == kind).count();
    assert_eq!(count(&format!("SIP receiver udp:127.0.0.1:{}", server.port())), 2);
    assert_eq!(count(&format!("HTTPD 127.0.0.1:{}", server.http_port())), 1);
    assert_eq!((count("MI FIFO"), count("MI Datagram")), (1, 1));
    assert_eq!((count("Timer handler"), count("event courier")), (1, 1));
    let raw = server.mi().raw(br#"{"jsonrpc":"2.0","method":"ps","id":1}"#);
    let first = format!(
        r#"{{"jsonrpc":"2.0","result":{{"Processes":[{{"ID":0,"PID":{},"Type":"attendant"}},{{"ID":1,"PID":"#,
        server.pid()
    );
    assert!(raw.starts_with(&first), "{raw}");
    server.stop();
}

#[test]
fn uptime_tells_the_times_in_the_form_of_ctime() {
    let server = start();
    let raw = server.mi().raw(br#"{"jsonrpc":"2.0","method":"uptime","id":1}"#);
    let answer: Value = serde_json::from_str(&raw).unwrap();
    let result = &answer["result"];
    let (now, since, up) = (
        result["Now"].as_str().unwrap(),
        result["Up since"].as_str().unwrap(),
        result["Up time"].as_str().unwrap(),
    );
    assert_eq!(
        raw,
        format!(
            r#"{{"jsonrpc":"2.0","result":{{"Now":"{now}","Up since":"{since}","Up time":"{up}"}},"id":1}}"#
        )
    );
    assert_eq!(
        (now.len(), since.len()),
        ("Sun Nov 22 14:03:43 2026".len(), "Sun Nov 22 14:03:43 2026".len())
    );
    up.strip_suffix(" [sec]").unwrap().parse::<u32>().unwrap();
    server.stop();
}

#[test]
fn which_and_help_know_the_commands() {
    let server = start();
    let which = server.mi().call("which", Value::Null);
    let names: Vec<_> = which.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    for name in [
        "get_statistics",
        "list_statistics",
        "reset_statistics",
        "uptime",
        "version",
        "which",
        "ps",
        "kill",
        "log_level",
        "event_subscribe",
        "events_list",
        "subscribers_list",
        "raise_event",
        "help",
    ] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    let mi = server.mi();
    let forms = |command: &str| {
        mi.raw(format!(r#"{{"jsonrpc":"2.0","method":"which","params":["{command}"],"id":1}}"#).as_bytes())
    };
    assert_eq!(forms("events_list"), r#"{"jsonrpc":"2.0","result":[[]],"id":1}"#);
    assert_eq!(forms("raise_event"), r#"{"jsonrpc":"2.0","result":[["event"],["event","params"]],"id":1}"#);
    assert_eq!(
        forms("nosuch"),
        r#"{"jsonrpc":"2.0","error":{"code":404,"message":"unknown MI command"},"id":1}"#
    );
    let help = mi.call("help", json!(["uptime"]));
    assert!(help["Help"].is_string() && help["Exported by"] == "core", "{help}");
    server.stop();
}

#[test]
fn statistics_count_what_comes() {
    let server = start();
    let phone = Phone::new();
    for _ in 0..7 {
        phone.ping(server.address());
    }
    assert_eq!(server.statistic("core:rcv_requests"), 7);
    assert_eq!(server.statistic("rcv_requests"), 7, "without its group");
    assert_eq!(server.statistic("sl:2xx_replies"), 7);
    let all = server.mi().call("get_statistics", json!([["all"]]));
    assert_eq!(all["core:rcv_requests"], 7);
    let shmem = server.mi().call("get_statistics", json!({"statistics": ["shmem:"]}));
    assert_eq!(shmem["shmem:total_size"], 64 << 20, "as without -m");
    let used = shmem["shmem:real_used_size"].as_i64().unwrap();
    assert_eq!(shmem["shmem:free_size"], (64 << 20) - used);
    assert_eq!(
        server.mi().call("list_statistics", json!([["rcv_requests"]]))["core:rcv_requests"],
        "incremental"
    );
    assert_eq!(server.mi().call("get_statistics", json!([["nosuch"]])), json!({}));
    assert_eq!(server.mi().call("reset_statistics", json!([["rcv_requests"]])), "OK");
    assert_eq!(server.statistic("core:rcv_requests"), 0);
    let load = server.mi().call("get_statistics", json!([["load:"]]));
    assert!(load["load:load"].is_u64() && load["load:load-all"].is_u64(), "{load}");
    server.stop();
}

#[test]
fn wrong_requests_are_answered_as_the_standard_says() {
    let server = start();
    let (mi, http) = (server.mi(), Http::new(server.http_port()));
    assert_eq!(mi.raw(br#"{"jsonrpc":"2.0","method":"uptime","id":1"#), "400 Parse_error");
    assert_eq!(http.post(r#"{"jsonrpc":"2.0","method":"uptime","id":1"#), PARSE_ERROR);
    for wrong in ["{}", "[]", "1", "\"x\"", "null", "{}x", r#"[{"jsonrpc":"2.0","method":"uptime","id":1}]"#]
    {
        assert_eq!(mi.raw(wrong.as_bytes()), INVALID, "{wrong}");
        assert_eq!(http.post(wrong), INVALID, "{wrong}");
    }
    let with_id = INVALID.replace("null", "1");
    for wrong in [
        r#"{"jsonrpc":"1.0","method":"uptime","id":1}"#,
        r#"{"method":"uptime","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","method":1,"id":1}"#,
        r#"{"jsonrpc":"2.0","method":"uptime","params":1,"id":1}"#,
        r#"{"jsonrpc":"2.0","method":"uptime","params":"x","id":1}"#,
    ] {
        assert_eq!(mi.raw(wrong.as_bytes()), with_id, "{wrong}");
        assert_eq!(fifo(&server).raw(wrong), with_id, "{wrong}");
    }
    let unknown = mi.answer("nosuch", Value::Null);
    assert_eq!(unknown["error"], json!({"code": -32601, "message": "Method not found"}));
    let wrong_params = |data: &str| json!({"code": -32602, "message": "Invalid params", "data": data});
    assert_eq!(mi.answer("uptime", json!([1]))["error"], wrong_params("Too few or too many parameters"));
    assert_eq!(
        mi.answer("event_subscribe", json!({"event": "E_CORE_LOG", "sock": "udp:127.0.0.1:1"}))["error"],
        wrong_params("Named parameters do not match")
    );
    assert_eq!(
        mi.answer("log_level", json!({"level": "abc"}))["error"],
        wrong_params("Bad type for parameter 'level'")
    );
    server.stop();
}

#[test]
fn requests_that_crash_the_peer_are_survived() {
    let server = start();
    let before = server.ps();
    let client = fifo(&server);
    for wrong in [
        "{}",
        "[]",
        "1",
        "\"x\"",
        "null",
        "[1,2]",
        "not json",
        "[1,",
        "",
        r#"{"jsonrpc":"2.0","method":1,"id":1}"#,
    ] {
        client.write(&format!(":nobody:{wrong}"));
        client.write(wrong);
    }
    client.write(&format!(":../reply:{VERSION}"));
    client.write(":version:reply");
    assert!(client.raw(VERSION).contains("OpenSIPS (3.4"));
    for scheme in ["udp", "tcp", "flatstore", "xmlrpc", "route", "rabbitmq", "unix"] {
        let answer = server.mi().answer("event_subscribe", json!(["E_CORE_THRESHOLD", scheme]));
        assert_eq!(answer["error"]["code"], 400, "{scheme}: {answer}");
    }
    let nested = r#"{"a":{"b":[1,2]},"c":true,"d":null}"#;
    server.mi().answer("raise_event", json!(["E_CORE_THRESHOLD", nested]));
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    assert_eq!(server.mi().raw(deep.as_bytes()), "400 Parse_error");
    assert_eq!(Http::new(server.http_port()).post(&deep), PARSE_ERROR);
    assert_eq!(server.ps(), before, "no process died");
    server.stop();
}

#[test]
fn http_answers_as_http() {
    let server = start();
    let http = Http::new(server.http_port());
    let request = |start: &str, more: &str, body: &str| {
        http.raw(&format!(
            "{start} HTTP/1.1\r\nHost: x\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
    };
    const JSON: &str = "Content-Type: application/json\r\n";
    let notification = request("POST /mi", JSON, r#"{"jsonrpc":"2.0","method":"uptime"}"#);
    assert!(notification.starts_with("HTTP/1.1 202 Accepted\r\n"), "{notification}");
    assert!(request("POST /mi", JSON, "").starts_with("HTTP/1.1 400 Bad Request\r\n"));
    assert!(
        request("POST /nosuch", JSON, VERSION).ends_with("<html><body>Unable to parse URL!</body></html>")
    );
    assert!(request("POST /mi/", JSON, VERSION).starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(request("PUT /mi", JSON, VERSION).starts_with("HTTP/1.1 406 Not Acceptable\r\n"));
    assert!(
        http.raw("GET /mi HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 405 ")
    );
    let refused = request("POST /mi", "Content-Type: text/plain\r\n", VERSION);
    assert!(refused.starts_with("HTTP/1.1 415 Unsupported Media Type\r\n"), "{refused}");
    assert!(refused.contains("send the header Content-Type: application/json"), "{refused}");
    assert!(server.log().contains("a request that does not say Content-Type: application/json"));
    let with_charset = request("POST /mi", "Content-Type: application/json; charset=utf-8\r\n", VERSION);
    assert!(with_charset.contains("OpenSIPS (3.4"), "{with_charset}");
    server.stop();
}

#[test]
fn a_notification_is_not_answered() {
    let server = start();
    server.mi().send(br#"{"jsonrpc":"2.0","method":"uptime"}"#);
    server.mi().send(br#"{"jsonrpc":"2.0","method":"nosuch"}"#);
    assert!(
        server.mi().raw(VERSION.as_bytes()).contains("OpenSIPS"),
        "the first answer is to the request with an id"
    );
    server.stop();
}

#[test]
fn the_log_level_is_set_for_all_processes() {
    let server = start();
    assert_eq!(server.mi().call("log_level", json!([-1])), json!({"New global log level": -1}));
    let all = server.mi().call("log_level", Value::Null);
    let levels: Vec<_> =
        all["Processes"].as_array().unwrap().iter().map(|row| row["Log level"].as_i64()).collect();
    assert!(levels.len() > 5 && levels.iter().all(|level| *level == Some(-1)), "{all}");
    assert_eq!(server.mi().answer("log_level", json!({"level": 3, "pid": 1}))["error"]["data"], "Bad PID");
    server.stop();
}

#[test]
fn kill_ends_the_server() {
    let server = start();
    assert_eq!(server.mi().call("kill", Value::Null), "OK");
    server.has_ended();
}

#[test]
fn commands_and_calls_do_not_disturb_each_other() {
    let server = start();
    let phone = Phone::new();
    let requests: Vec<_> = (0..100)
        .map(|_| Request::new(&phone, "OPTIONS", &format!("sip:ping@{}", server.address())))
        .inspect(|request| phone.send(server.address(), request.text()))
        .collect();
    for _ in 0..20 {
        server.ps();
    }
    for _ in &requests {
        phone.expect_status(200);
    }
    until("all are counted", || (server.statistic("rcv_requests") == 100).then_some(()));
    server.stop();
}
