//! What the transports do with clients that are slow, gone, too many or too talkative.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::time::Duration;

use common::{PATIENCE, Server, in_runtime, read_http, read_reply};
use tocsin_json::{Limits, Value, parse};
use tocsin_mi::fifo::{Fifo, FifoOptions};
use tocsin_mi::httpd::{Credentials, Guard, HttpdOptions};
use tocsin_mi::jsonrpc::Style;
use tocsin_mi::{Command, Registry, Reply, Room};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram};
use tokio::time::timeout;

fn commands() -> Registry {
    let mut registry = common::commands();
    registry.add(Command::new("test", "large", &[&["bytes"]], "", |params| {
        let bytes = usize::try_from(params.int("bytes")?).unwrap_or(0);
        Ok(Value::from(vec![b'x'; bytes]))
    }));
    registry.add(Command::new("test", "endless", &[&[]], "", |_| {
        Reply::long(async {
            let mut room = Room::new(0);
            loop {
                room.did(1).await;
            }
        })
    }));
    registry.add(Command::new("test", "never", &[&[]], "", |_| Reply::later(std::future::pending())));
    registry
}

fn call(method: &str, params: &str, id: u32) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params},"id":{id}}}"#)
}

fn post(body: &str) -> String {
    let length = body.len();
    format!("POST /mi HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn id_of(reply: &[u8]) -> Option<i64> {
    parse(reply, Limits::default()).unwrap().member("id")?.as_integer()
}

/// Waits for what must come, by looking again and again.
async fn until(mut condition: impl FnMut() -> bool) {
    let looking = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap();
}

#[test]
fn a_unix_client_gets_its_reply_and_an_unbound_one_does_no_harm() {
    in_runtime(async {
        let server = Server::start(commands, Style::Compact).await;
        StdUnixDatagram::unbound()
            .unwrap()
            .send_to(call("version", "[]", 1).as_bytes(), &server.unix)
            .unwrap();
        let client = UnixDatagram::bind(server.folder.path().join("client.sock")).unwrap();
        client.send_to(call("version", "[]", 2).as_bytes(), &server.unix).await.unwrap();
        let mut bytes = [0; 1024];
        let length = timeout(PATIENCE, client.recv(&mut bytes)).await.unwrap().unwrap();
        assert_eq!(id_of(&bytes[..length]), Some(2));
    });
}

#[test]
fn a_unix_client_whose_queue_is_full_gets_the_rest_when_it_reads() {
    in_runtime(async {
        let server = Server::start(commands, Style::Compact).await;
        let client = UnixDatagram::bind(server.folder.path().join("client.sock")).unwrap();
        for id in 0..100 {
            client.send_to(call("version", "[]", id).as_bytes(), &server.unix).await.unwrap();
        }
        let mut ids = Vec::new();
        let mut bytes = [0; 1024];
        for _ in 0..100 {
            let length = timeout(PATIENCE, client.recv(&mut bytes)).await.unwrap().unwrap();
            ids.extend(id_of(&bytes[..length]));
        }
        ids.sort_unstable();
        assert_eq!(ids, (0..100).collect::<Vec<_>>());
    });
}

#[test]
fn a_reply_too_large_for_a_datagram_is_an_error() {
    in_runtime(async {
        let server = Server::start(commands, Style::Compact).await;
        let fits = server.over_udp(call("large", "[65000]", 1).as_bytes()).await;
        assert_eq!(fits.len(), 65_000 + r#"{"jsonrpc":"2.0","result":"","id":1}"#.len());
        let reply =
            parse(&server.over_udp(call("large", "[66000]", 2).as_bytes()).await, Limits::default()).unwrap();
        let error = reply.member("error").unwrap();
        assert_eq!(
            (error.member("code"), reply.member("id")),
            (Some(&Value::Int(-32000)), Some(&Value::Int(2)))
        );
    });
}

#[test]
fn a_command_that_waits_holds_up_nobody() {
    in_runtime(async {
        let server = Server::start(commands, Style::Compact).await;
        let never = call("never", "[]", 1);
        assert_eq!(server.over_udp(never.as_bytes()).await, b"");
        assert_eq!(server.over_fifo(format!(":rep:{never}\n").as_bytes()).await, b"");
        let mut waiting = TcpStream::connect(server.http).await.unwrap();
        waiting.write_all(post(&never).as_bytes()).await.unwrap();
        assert!(server.over_http(post(&call("version", "[]", 1)).as_bytes()).await.ends_with(b"\"id\":1}"));
    });
}

#[test]
fn a_client_that_does_not_read_its_reply_fifo_holds_up_nobody() {
    in_runtime(async {
        let server = Server::start(commands, Style::Compact).await;
        drop(server.reply_fifo("deaf"));
        server.write_fifo(format!(":deaf:{}\n:absent:{0}\n", call("version", "[]", 1)).as_bytes());
        assert!(
            server
                .over_fifo(format!(":rep:{}\n", call("version", "[]", 2)).as_bytes())
                .await
                .ends_with(b":2}")
        );
        // One that opens it in time still gets the reply.
        assert_eq!(id_of(&read_reply(&mut server.reply_fifo("deaf")).await), Some(1));
    });
}

#[test]
fn a_reply_larger_than_the_fifo_arrives_whole() {
    in_runtime(async {
        let server = Server::start(commands, Style::Compact).await;
        let mut reader = server.reply_fifo("rep");
        server.write_fifo(format!(":rep:{}\n", call("large", "[1000000]", 1)).as_bytes());
        let reply = read_reply(&mut reader).await;
        assert_eq!((reply.len(), id_of(&reply)), (1_000_000 + 36, Some(1)));
    });
}

#[test]
fn a_removed_fifo_is_made_again() {
    in_runtime(async {
        let server = Server::start(commands, Style::Compact).await;
        std::fs::remove_file(&server.fifo).unwrap();
        until(|| server.fifo.exists()).await;
        assert!(
            server
                .over_fifo(format!(":rep:{}\n", call("version", "[]", 3)).as_bytes())
                .await
                .ends_with(b":3}")
        );
    });
}

#[test]
fn a_path_taken_by_a_file_is_left_alone() {
    in_runtime(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        std::fs::write(&path, "text").unwrap();
        assert!(Fifo::open(FifoOptions { path: path.clone(), ..FifoOptions::default() }).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"text");
    });
}

#[test]
fn a_reply_is_never_written_into_a_file() {
    in_runtime(async {
        let server = Server::start(commands, Style::Compact).await;
        let path = server.folder.path().join("precious");
        std::fs::write(&path, "text").unwrap();
        server.write_fifo(format!(":precious:{}\n", call("version", "[]", 1)).as_bytes());
        assert!(
            server
                .over_fifo(format!(":rep:{}\n", call("version", "[]", 2)).as_bytes())
                .await
                .ends_with(b":2}")
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"text");
    });
}

#[test]
fn one_connection_serves_many_requests() {
    in_runtime(async {
        let server = Server::start(commands, Style::Compact).await;
        let mut stream = TcpStream::connect(server.http).await.unwrap();
        for id in 1..4 {
            stream.write_all(post(&call("version", "[]", id)).as_bytes()).await.unwrap();
            assert!(read_http(&mut stream).await.ends_with(format!("\"id\":{id}}}").as_bytes()));
        }
        // A notification in between does not desynchronise the stream.
        stream.write_all(post(r#"{"jsonrpc":"2.0","method":"version"}"#).as_bytes()).await.unwrap();
        stream.write_all(post(&call("version", "[]", 9)).as_bytes()).await.unwrap();
        let mut both = Vec::new();
        while !both.ends_with(b"\"id\":9}") {
            assert!(timeout(PATIENCE, stream.read_buf(&mut both)).await.unwrap().unwrap() > 0);
        }
        let both = String::from_utf8(both).unwrap();
        assert!(
            both.starts_with("HTTP/1.1 202 Accepted\r\n")
                && both.contains("\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"),
            "{both}"
        );
    });
}

#[test]
fn requests_that_do_not_wait_for_replies_are_answered_in_order() {
    const MANY: u32 = 2000;
    in_runtime(async {
        let server = Server::start(commands, Style::Compact).await;
        let mut stream = TcpStream::connect(server.http).await.unwrap();
        let requests: String = (0..MANY).map(|id| post(&call("version", "[]", id))).collect();
        let (mut reading, mut writing) = stream.split();
        let read = async {
            let mut replies = Vec::new();
            let last = format!("\"id\":{}}}", MANY - 1);
            while !replies.ends_with(last.as_bytes()) {
                assert!(timeout(PATIENCE, reading.read_buf(&mut replies)).await.unwrap().unwrap() > 0);
            }
            let replies = String::from_utf8(replies).unwrap();
            let ids = replies
                .split("\"id\":")
                .skip(1)
                .map(|rest| rest.split_once('}').unwrap().0.parse::<u32>().unwrap());
            assert!(ids.eq(0..MANY));
        };
        tokio::join!(async { writing.write_all(requests.as_bytes()).await.unwrap() }, read);
    });
}

#[test]
fn a_body_in_chunks_is_read() {
    in_runtime(async {
        let server = Server::start(commands, Style::Compact).await;
        let body = call("version", "[]", 5);
        let (first, second) = body.split_at(20);
        let head =
            "POST /mi HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        let request =
            format!("{head}{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n", first.len(), second.len());
        assert!(server.over_http(request.as_bytes()).await.ends_with(b"\"id\":5}"));
    });
}

#[test]
fn http_1_0_closes() {
    in_runtime(async {
        let server = Server::start(commands, Style::Compact).await;
        let request = post(&call("version", "[]", 5)).replace("HTTP/1.1", "HTTP/1.0");
        let reply = String::from_utf8(server.over_http(request.as_bytes()).await).unwrap();
        assert!(reply.contains("\r\nConnection: close\r\n") && reply.ends_with("\"id\":5}"), "{reply}");
    });
}

#[test]
fn a_body_beyond_the_limit_is_refused() {
    in_runtime(async {
        let limits = HttpdOptions { body_limit: 1000, ..HttpdOptions::default() };
        let server = Server::start_with(commands, Style::Compact, limits).await;
        let reply = server.over_http(post(&"x".repeat(1001)).as_bytes()).await;
        assert!(reply.starts_with(b"HTTP/1.1 413 "), "{}", reply.escape_ascii());
        let reply = server.over_http(post(&format!("\"{}\"", "x".repeat(998))).as_bytes()).await;
        assert!(reply.starts_with(b"HTTP/1.1 200 "), "{}", reply.escape_ascii());
    });
}

#[test]
fn slow_clients_lose_their_connection_and_hold_up_nobody() {
    in_runtime(async {
        let short = Duration::from_millis(200);
        let limits = HttpdOptions {
            head_timeout: short,
            body_timeout: short,
            stall_timeout: short,
            ..HttpdOptions::default()
        };
        let server = Server::start_with(commands, Style::Compact, limits).await;
        let never_reads = post(&call("large", "[30000000]", 1));
        let requests = ["", "POST /mi HT", &post("{}")[..70], &never_reads];
        let mut streams = Vec::new();
        for request in requests {
            let mut stream = TcpStream::connect(server.http).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            streams.push(stream);
        }
        assert!(server.over_http(post(&call("version", "[]", 1)).as_bytes()).await.ends_with(b"\"id\":1}"));
        let mut never_read = streams.pop().unwrap();
        for _ in 0..3 {
            // Each of these takes as long to end as the one that never reads has left at most.
            streams.push(TcpStream::connect(server.http).await.unwrap());
            for mut stream in streams.drain(..) {
                let mut rest = Vec::new();
                // Ends, with or without a word.
                let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap();
                assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", rest.escape_ascii());
            }
        }
        let mut reply = Vec::new();
        let _ = timeout(PATIENCE, never_read.read_to_end(&mut reply)).await.unwrap();
        assert!(reply.len() < 30_000_000, "the whole reply waited for its reader");
    });
}

#[test]
fn one_connection_too_many_is_closed() {
    in_runtime(async {
        let limits = HttpdOptions { connection_limit: 2, ..HttpdOptions::default() };
        let server = Server::start_with(commands, Style::Compact, limits).await;
        let mut open = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(server.http).await.unwrap();
            stream.write_all(post(&call("version", "[]", 1)).as_bytes()).await.unwrap();
            read_http(&mut stream).await;
            open.push(stream);
        }
        let mut third = TcpStream::connect(server.http).await.unwrap();
        let read = timeout(PATIENCE, third.read(&mut [0; 10])).await.unwrap();
        assert!(matches!(read, Ok(0) | Err(_)));
        open.pop();
        let mut reply = Vec::new();
        while reply.is_empty() {
            reply = server.over_http(post(&call("version", "[]", 2)).as_bytes()).await;
        }
        assert!(reply.ends_with(b"\"id\":2}"));
    });
}

#[test]
fn one_address_has_a_part_of_the_connections() {
    in_runtime(async {
        let limits = HttpdOptions { connection_limit: 8, address_limit: 2, ..HttpdOptions::default() };
        let server = Server::start_with(commands, Style::Compact, limits).await;
        let mut open = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(server.http).await.unwrap();
            stream.write_all(b"POST /mi HT").await.unwrap();
            open.push(stream);
        }
        let mut third = TcpStream::connect(server.http).await.unwrap();
        assert!(matches!(timeout(PATIENCE, third.read(&mut [0; 10])).await.unwrap(), Ok(0) | Err(_)));
        let other = tokio::net::TcpSocket::new_v4().unwrap();
        other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut other = other.connect(server.http).await.unwrap();
        other.write_all(post(&call("version", "[]", 7)).as_bytes()).await.unwrap();
        assert!(read_http(&mut other).await.ends_with(b"\"id\":7}"));
    });
}

#[test]
fn long_replies_that_wait_are_bounded_together() {
    in_runtime(async {
        let server = Server::start(commands, Style::Compact).await;
        let mut unread = TcpStream::connect(server.http).await.unwrap();
        unread.write_all(post(&call("large", "[20000000]", 1)).as_bytes()).await.unwrap();
        let mut first = [0; 12];
        timeout(PATIENCE, unread.read_exact(&mut first)).await.unwrap().unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        let busy = server.over_http(post(&call("large", "[5000000]", 2)).as_bytes()).await;
        assert!(busy.starts_with(b"HTTP/1.1 503 "), "{}", busy[..40].escape_ascii());
        let small = server.over_http(post(&call("large", "[20000]", 3)).as_bytes()).await;
        assert!(small.starts_with(b"HTTP/1.1 200 "), "who asks for little is not refused");
        let mut rest = vec![0; 20_000_000];
        timeout(PATIENCE, unread.read_exact(&mut rest)).await.unwrap().unwrap();
        let whole = server.over_http(post(&call("large", "[5000000]", 4)).as_bytes()).await;
        assert!(whole.starts_with(b"HTTP/1.1 200 "), "there is room again");
    });
}

#[test]
fn names_and_pages_of_others_are_refused() {
    in_runtime(async {
        let server = Server::start(commands, Style::Compact).await;
        let with = |header: &str| {
            post(&call("version", "[]", 1)).replace("Content-Type", &format!("{header}\r\nContent-Type"))
        };
        for header in ["Host: evil.example", "Origin: http://evil.example", "Host: 127.0.0.1\r\nOrigin: null"]
        {
            let reply = server.over_http(with(header).as_bytes()).await;
            assert!(reply.starts_with(b"HTTP/1.1 403 Forbidden\r\n"), "{header}: {}", reply.escape_ascii());
        }
        let own = format!("Host: {0}\r\nOrigin: http://{0}", server.http);
        assert!(server.over_http(with(&own).as_bytes()).await.starts_with(b"HTTP/1.1 200 "));
    });
}

#[test]
fn a_password_is_asked_for() {
    in_runtime(async {
        let credentials = Some(Credentials::new("ops", "Aladdin", "open sesame"));
        let guard = Guard { credentials, ..Guard::default() };
        let server =
            Server::start_with(commands, Style::Compact, HttpdOptions { guard, ..HttpdOptions::default() })
                .await;
        let request = post(&call("version", "[]", 1));
        let reply = String::from_utf8(server.over_http(request.as_bytes()).await).unwrap();
        assert!(reply.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{reply}");
        assert!(
            reply.to_ascii_lowercase().contains("\r\nwww-authenticate: basic realm=\"ops\"\r\n"),
            "{reply}"
        );
        let signed = "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\nContent-Type";
        let reply = server.over_http(request.replace("Content-Type", signed).as_bytes()).await;
        assert!(reply.starts_with(b"HTTP/1.1 200 "), "{}", reply.escape_ascii());
    });
}

#[test]
fn a_long_list_holds_up_nobody() {
    in_runtime(async {
        let server = Server::start(commands, Style::Compact).await;
        // A list without an end, as far as other clients can tell: they get their answers meanwhile.
        let mut long = TcpStream::connect(server.http).await.unwrap();
        long.write_all(post(&call("endless", "[]", 1)).as_bytes()).await.unwrap();
        assert_eq!(server.over_fifo(format!(":rep:{}\n", call("endless", "[]", 1)).as_bytes()).await, b"");
        assert_eq!(server.over_udp(call("endless", "[]", 1).as_bytes()).await, b"");
        assert!(server.over_http(post(&call("version", "[]", 2)).as_bytes()).await.ends_with(b"\"id\":2}"));
        let fifo = server.over_fifo(format!(":rep:{}\n", call("version", "[]", 3)).as_bytes()).await;
        assert_eq!(id_of(&fifo), Some(3));
    });
}

#[test]
fn noise_is_survived() {
    in_runtime(async {
        let server = Server::start(commands, Style::Compact).await;
        let noise: [&[u8]; 6] = [
            b"\0\xff\xfe",
            b":\n::\n:::\n",
            b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\",\"id\":1}",
            &[b'['; 5000],
            b"\r\n\r\n",
            &[b'x'; 60_000],
        ];
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for bytes in noise {
            socket.send_to(bytes, server.udp).await.unwrap();
            server.write_fifo(bytes);
            let mut stream = TcpStream::connect(server.http).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            let body = [post("").replace("Length: 0", &format!("Length: {}", bytes.len())).as_bytes(), bytes]
                .concat();
            assert!(server.over_http(&body).await.starts_with(b"HTTP/1.1 "));
            assert!(server.over_udp(call("version", "[]", 1).as_bytes()).await.ends_with(b"\"id\":1}"));
            server.write_fifo(b"\n");
            assert!(
                server
                    .over_fifo(format!(":rep:{}\n", call("version", "[]", 2)).as_bytes())
                    .await
                    .ends_with(b":2}")
            );
        }
    });
}
