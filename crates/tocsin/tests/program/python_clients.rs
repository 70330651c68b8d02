//! The clients that people have: the Python package `opensips`, `opensips-cli` and sipsak.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Phone, Request, Server, Setup, python, run_tool};

const MANAGEMENT: &str = include_str!("../configs/management.cfg");
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

fn start() -> Server {
    Setup::new(MANAGEMENT).put("MI_SOCKET", "udp:127.0.0.1:@MI@").start()
}

/// What `clients/mi.py` writes when all is well.
fn manage(server: &Server, arguments: &[&str]) {
    let output = run_tool(Command::new(python()).arg(format!("{CLIENTS}/mi.py")).args(arguments));
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<_> = text.lines().collect();
    assert!(output.status.success() && lines.len() == 4, "{arguments:?}: {text}{errors}");
    assert!(lines[0].starts_with("OpenSIPS (3.4"), "{text}");
    assert_eq!(lines[1].parse(), Ok(server.processes()), "{text}");
    assert_eq!(lines[2].parse(), Ok(64 << 20), "{text}");
    assert_eq!(lines[3], "refused");
}

#[test]
fn the_python_package_manages_over_udp() {
    let server = start();
    manage(&server, &["datagram", "127.0.0.1", &server.mi_port().to_string()]);
    server.stop();
}

#[test]
fn the_python_package_manages_over_http() {
    let server = start();
    manage(&server, &["http", &format!("http://127.0.0.1:{}/mi", server.http_port())]);
    server.stop();
}

#[test]
fn the_python_package_manages_over_the_fifo() {
    let server = start();
    let (fifo, replies) = (server.path("mi.fifo"), server.path("."));
    manage(&server, &["fifo", fifo.to_str().unwrap(), replies.to_str().unwrap()]);
    server.stop();
}

#[test]
fn the_python_package_manages_over_a_unix_socket() {
    let setup = Setup::new(MANAGEMENT);
    let path = setup.dir().join("mi.sock");
    let server = setup.put("MI_SOCKET", path.display()).start();
    manage(&server, &["unix", path.to_str().unwrap()]);
    server.stop();
}

/// A run of `clients/events.py`.
struct Listener {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Listener {
    fn new(server: &Server, event: &str, wanted: usize, path: Option<&str>) -> Self {
        let mut child = Command::new(python())
            .arg(format!("{CLIENTS}/events.py"))
            .args([&server.mi_port().to_string(), event, &wanted.to_string()])
            .args(path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "subscribed");
        Self { child, lines }
    }

    fn params(&mut self) -> Value {
        let line = self.lines.next().expect("an event").unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn ends_well(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listens(path: Option<&str>) {
    let text = include_str!("../configs/slow.cfg")
        .replace("\tsubscribe_event(\"E_CORE_THRESHOLD\", \"@SUBSCRIBER@\");\n", "");
    let server = Setup::new(&text).put("SUBSCRIBER", "udp:127.0.0.1:9").start();
    let path = path.map(|name| server.path(name).display().to_string());
    let phone = Phone::new();
    let mut slow = Listener::new(&server, "E_CORE_THRESHOLD", 1, path.as_deref());
    let request = Request::new(&phone, "OPTIONS", &format!("sip:slow@{}", server.address())).text();
    phone.send(server.address(), &request);
    let told = slow.params();
    assert_eq!((&told["source"], &told["extra"]), (&json!("msg processing"), &json!(request)));
    assert!(told["time"].as_u64().unwrap() > 20_000, "{told}");
    slow.ends_well();

    let path = path.map(|path| format!("{path}2"));
    let mut death = Listener::new(&server, "E_CORE_PROC_EXIT", 1, path.as_deref());
    let worker = server.kill("SIP receiver");
    let told = death.params();
    assert_eq!(
        (&told["pid"], &told["signal"], &told["group"]),
        (&json!(worker.pid), &json!(9), &json!("UDP"))
    );
    death.ends_well();
    server.stop();
}

#[test]
fn the_python_package_hears_events_over_udp() {
    listens(None);
}

#[test]
fn the_python_package_hears_events_over_unix() {
    listens(Some("python.sock"));
}

#[test]
fn opensips_cli_shows_the_processes() {
    let server = start();
    let config = server.path("cli.cfg");
    let text = "[default]\nlog_level: ERROR\ncommunication_type: http\nprompt_name: x\nhistory_file: @DIR@/history\nurl: ";
    let text = text.replace("@DIR@", server.path("").to_str().unwrap());
    fs::write(&config, format!("{text}http://127.0.0.1:{}/mi\n", server.http_port())).unwrap();
    let cli = python().with_file_name("opensips-cli");
    let output = run_tool(
        Command::new(cli).arg("-f").arg(&config).args(["-x", "mi", "ps"]).current_dir(server.path(".")),
    );
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let shown: Value = serde_json::from_str(&text).unwrap_or_else(|cause| panic!("{cause}: {text}"));
    assert_eq!(shown["Processes"][0], json!({"ID": 0, "PID": server.pid(), "Type": "attendant"}));
    assert_eq!(shown["Processes"].as_array().unwrap().len(), server.processes());
    server.stop();
}

#[test]
fn sipsak_gets_an_answer() {
    let server = start();
    let output =
        run_tool(Command::new("sipsak").args(["-s", &format!("sip:ping@127.0.0.1:{}", server.port())]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    server.stop();
}
