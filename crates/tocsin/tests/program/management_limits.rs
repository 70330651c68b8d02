//! What one management client asks for costs the others nothing: bounded answers, and connections for everybody.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::harness::{Fifo, Http, Server, Setup, until};

const CONFIG: &str = include_str!("../configs/management.cfg");
const VERSION: &str = r#"{"jsonrpc":"2.0","method":"version","id":1}"#;

fn start() -> Server {
    Setup::new(CONFIG).put("MI_SOCKET", "udp:127.0.0.1:@MI@").start()
}

fn statistics(names: &[&str]) -> String {
    json!({"jsonrpc": "2.0", "method": "get_statistics", "params": {"statistics": names}, "id": 1})
        .to_string()
}

fn open(server: &Server, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", server.http_port())).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn post(body: &str) -> String {
    format!(
        "POST /mi HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_name_given_thousands_of_times_counts_once() {
    let server = start();
    let http = Http::new(server.http_port());
    let keys = |text: &str| {
        let answer: Value = serde_json::from_str(text).unwrap();
        answer["result"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let once = http.post(&statistics(&["all"]));
    let asked = open(&server, &post(&statistics(&["all"; 4000])));
    // Others are answered while that request is served or waits.
    assert!(http.post(VERSION).contains("OpenSIPS (3.4"));
    assert!(server.mi().raw(VERSION.as_bytes()).contains("OpenSIPS (3.4"));
    let answer = rest(asked);
    let (_, many) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(keys(many), keys(&once));
    // The text itself names each once; numbers may have grown.
    assert!(many.len().abs_diff(once.len()) < 500, "{} and {} bytes", many.len(), once.len());
    let fifo = Fifo::new(server.path("mi.fifo"), server.path("."));
    assert_eq!(keys(&fifo.raw(&statistics(&["core:", "all", "core:rcv_requests"]))), keys(&once));
    let listed = server.mi().call("list_statistics", json!([["sl:", "sl:", "2xx_replies"]]));
    let readings = server.mi().call("get_statistics", json!([["sl:"]]));
    assert_eq!(listed.as_object().unwrap().len(), readings.as_object().unwrap().len());
    let different: Vec<String> = (0..5000).map(|n| n.to_string()).collect();
    let refused = server.mi().answer("reset_statistics", json!([different]));
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    for command in ["get_statistics", "list_statistics", "reset_statistics"] {
        let empty = server.mi().raw(
            format!(r#"{{"jsonrpc":"2.0","method":"{command}","params":{{"statistics":[]}},"id":1}}"#)
                .as_bytes(),
        );
        assert_eq!(
            empty,
            r#"{"jsonrpc":"2.0","error":{"code":-32602,"message":"Invalid params","data":"Empty array in parameter 'statistics'"},"id":1}"#
        );
    }
    server.stop();
}

#[test]
fn ids_are_given_back_as_they_were_or_refused() {
    let server = start();
    let with = |id: &str| server.mi().raw(VERSION.replace(":1}", &format!(":{id}}}")).as_bytes());
    for id in ["4294967296", "-4294967297", "9223372036854775807", "\"12345678901234567890\""] {
        assert!(with(id).ends_with(&format!(",\"id\":{id}}}")), "{id}");
    }
    assert!(with("12345678901234567890").contains(r#""error":{"code":-32600,"message":"Invalid Request""#));
    server.stop();
}

#[test]
fn one_address_cannot_take_all_connections() {
    let server = start();
    let trickling: Vec<_> = (0..300).map(|_| open(&server, "POST /mi HT")).collect();
    let line = "more than one address may have";
    until("refused connections are told", || server.log().contains(line).then_some(()));
    let socket = socket_from("127.0.0.2", server.http_port());
    let mut other = socket.unwrap();
    other.write_all(post(VERSION).as_bytes()).unwrap();
    assert!(rest(other).contains("OpenSIPS (3.4"), "another address is served");
    let told = server.log().lines().filter(|told| told.contains(line)).count();
    assert!(told < 100, "{told} lines for more than 200 connections");
    drop(trickling);
    until("its connections are free again", || {
        let mut stream = TcpStream::connect(("127.0.0.1", server.http_port())).ok()?;
        stream.write_all(post(VERSION).as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.contains("OpenSIPS (3.4").then_some(())
    });
    server.stop();
}

/// A connection to a port of 127.0.0.1 from another address of this host.
fn socket_from(address: &str, port: u16) -> std::io::Result<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let connecting = async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(std::net::SocketAddr::new(address.parse().unwrap(), 0))?;
        socket.connect(([127, 0, 0, 1], port).into()).await?.into_std()
    };
    let stream = runtime.block_on(connecting)?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

#[test]
fn strange_names_and_pages_of_other_servers_are_refused() {
    let more = "modparam(\"httpd\", \"allowed_hosts\", \"mi.example.com, pbx.example.com\")\n";
    let server = Setup::new(CONFIG)
        .put("MI_SOCKET", "udp:127.0.0.1:@MI@")
        .put_before("loadmodule \"mi_http.so\"", more)
        .start();
    let http = Http::new(server.http_port());
    let with = |headers: &str| http.raw(&post(VERSION).replace("Host: 127.0.0.1", headers));
    for headers in
        ["Host: evil.example", "Host: 127.0.0.1\r\nOrigin: http://evil.example", "Host: x\r\nOrigin: null"]
    {
        let answer = with(headers);
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{headers}: {answer}");
    }
    for headers in [
        "Host: pbx.example.com:8888",
        "Host: localhost",
        "Host: [::1]:1",
        "Host: 127.0.0.1\r\nOrigin: http://127.0.0.1:1",
    ] {
        let answer = with(headers);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{headers}: {answer}");
    }
    assert!(server.log().contains("has to be listed in allowed_hosts"), "the log says what to do");
    let ready = http.raw("GET /readyz HTTP/1.1\r\nHost: probe.example\r\nConnection: close\r\n\r\n");
    assert!(ready.starts_with("HTTP/1.1 200 OK\r\n"), "{ready}");
    assert!(!server.log().contains("without a password"), "it listens on 127.0.0.1");
    server.stop();
}

#[test]
fn who_listens_for_everybody_is_warned_unless_there_is_a_password() {
    let open = CONFIG.replace("modparam(\"httpd\", \"ip\", \"127.0.0.1\")\n", "");
    // A port of all addresses is free only if it is free on each of them.
    let server = Setup::new(&open).put("MI_SOCKET", "udp:127.0.0.1:@MI@").alone().start();
    assert!(server.log().contains("manages this server without a password"), "{}", server.log());
    server.stop();
    let password = "modparam(\"httpd\", \"auth_username\", \"ops\")\nmodparam(\"httpd\", \"auth_password\", \"secret\")\n";
    let setup = Setup::new(&open).put("MI_SOCKET", "udp:127.0.0.1:@MI@").alone();
    let server = setup.put_before("loadmodule \"mi_http.so\"", password).start();
    assert!(!server.log().contains("without a password") && !server.log().contains("secret"));
    let http = Http::new(server.http_port());
    assert!(http.raw(&post(VERSION)).starts_with("HTTP/1.1 401 Unauthorized\r\n"));
    // ops:secret
    let signed = post(VERSION).replace("Connection", "Authorization: Basic b3BzOnNlY3JldA==\r\nConnection");
    assert!(http.raw(&signed).contains("OpenSIPS (3.4"));
    server.stop();
}

#[test]
fn a_half_request_in_the_fifo_swallows_nothing() {
    let server = start();
    let fifo = Fifo::new(server.path("mi.fifo"), server.path("."));
    for half in [":other:{\"jsonrpc\":\"2.0\",\"met", ":other:[1,", ":oth"] {
        let mut pipe = std::fs::OpenOptions::new().write(true).open(server.path("mi.fifo")).unwrap();
        pipe.write_all(half.as_bytes()).unwrap();
        until("the server has read it", || (unread(&pipe) == 0).then_some(()));
        assert!(fifo.raw(VERSION).contains("OpenSIPS (3.4"), "{half}");
    }
    server.stop();
}

#[test]
fn replies_that_nobody_reads_hold_up_no_other_client() {
    const MANY: usize = 2000;
    let server = start();
    let fifo = Fifo::new(server.path("mi.fifo"), server.path("."));
    let lines = || server.log().lines().filter(|line| line.contains("MI repl")).count();
    for (kind, is_made) in [("absent", false), ("unread", true)] {
        for number in 0..MANY {
            let name = format!("{kind}{number}");
            if is_made {
                nix::unistd::mkfifo(&server.path(&name), nix::sys::stat::Mode::S_IRWXU).unwrap();
            }
            fifo.write(&format!(":{name}:{VERSION}"));
        }
        // Its reply comes while theirs wait: a dropped one would never come.
        assert!(fifo.raw(VERSION).contains("OpenSIPS (3.4"), "{kind}");
    }
    until("what was dropped is told", || (lines() > 0).then_some(()));
    assert!(lines() < 100, "{} lines for {} replies: {}", lines(), 2 * MANY, server.log());
    server.stop();
}

/// Bytes in a FIFO that nobody has read yet.
fn unread(pipe: &std::fs::File) -> i32 {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    let mut reader = std::fs::OpenOptions::new();
    let reader = std::os::unix::fs::OpenOptionsExt::custom_flags(
        reader.read(true),
        nix::fcntl::OFlag::O_NONBLOCK.bits(),
    );
    let reader = reader.open(path).unwrap();
    let mut watched =
        [nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(&reader), nix::poll::PollFlags::POLLIN)];
    nix::poll::poll(&mut watched, nix::poll::PollTimeout::ZERO).unwrap()
}
