//! Replays recorded management requests over real FIFOs, datagram sockets and TCP connections, and compares the bytes.
//!
//! `recorded/mi.jsonl` holds what was sent and what came back. Times and the `Date` header differ from run to run. Where
//! the recorded server left a chunked reply without its last chunk, the reply here has it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Server, commands};
use tocsin_json::{Limits, Value, parse};
use tocsin_mi::jsonrpc::Style;

const RECORDED: &[u8] = include_bytes!("recorded/mi.jsonl");

/// Where an id beyond 32 bits was recorded as 2147483647: here it comes back as it was, or the request is refused.
const IDS: [(&str, &str, &str); 2] = [
    ("err_ids 6", "2147483647", "4294967296"),
    (
        "err_ids 5",
        r#""result":{"Now":"Sun Nov 22 14:05:43 2026","Up since":"Sun Nov 22 14:05:35 2026","Up time":"8 [sec]"},"id":2147483647"#,
        r#""error":{"code":-32600,"message":"Invalid Request","data":"The id is a number beyond 64 bits"},"id":null"#,
    ),
];

/// Two requests at once: OpenSIPS answers the first one, and the second with the next that comes. Here both are answered.
const BOTH_ANSWERED: (&str, &[u8]) =
    ("fifo_forms 11", br#"{"jsonrpc":"2.0","result":{"Server":"OpenSIPS (3.4.18 (x86_64/linux))"},"id":2}"#);

struct Step {
    name: String,
    transport: String,
    sent: Vec<u8>,
    got: Vec<u8>,
}

fn steps() -> Vec<(String, Step)> {
    let lines = RECORDED.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let step = parse(line, Limits::default()).unwrap();
            let text = |name| step.member(name).and_then(Value::as_bytes).unwrap().to_vec();
            let string = |name| String::from_utf8(text(name)).unwrap();
            let name = format!("{} {}", string("case"), step.member("step").unwrap().as_integer().unwrap());
            (
                string("case"),
                Step { name, transport: string("transport"), sent: text("sent"), got: text("got") },
            )
        })
        .collect()
}

#[test]
fn recorded_steps_give_the_recorded_bytes() {
    let all = steps();
    assert!(all.len() > 100, "{} steps", all.len());
    for style in [Style::Compact, Style::Pretty] {
        common::in_runtime(async {
            let server = Server::start(commands, style).await;
            for (case, step) in &all {
                if (case == "pretty_printing") == (style == Style::Pretty) {
                    replay(&server, step).await;
                }
            }
        });
    }
}

async fn replay(server: &Server, step: &Step) {
    let name = &step.name;
    let got = match step.transport.as_str() {
        "fifo" if name == BOTH_ANSWERED.0 => {
            let mut both = server.replies_over_fifo(&step.sent, 2).await;
            assert!(both.ends_with(BOTH_ANSWERED.1), "{}", both.escape_ascii());
            both.truncate(both.len() - BOTH_ANSWERED.1.len());
            both
        }
        "fifo" => server.over_fifo(&step.sent).await,
        "datagram" => server.over_udp(&step.sent).await,
        _ => server.over_http(&step.sent).await,
    };
    if step.transport == "http" && !got.is_empty() {
        check_length(name, &got);
    }
    let mut expected = step.got.clone();
    for (_, recorded, here) in IDS.iter().filter(|(case, ..)| case == name) {
        let text = String::from_utf8(expected).unwrap();
        assert!(text.contains(recorded), "{name}: {text}");
        expected = text.replace(recorded, here).into_bytes();
    }
    if expected.ends_with(b"Transfer-Encoding: chunked\r\n\r\n") {
        expected.extend_from_slice(b"0\r\n\r\n");
    }
    if matches!(name.as_str(), "http_forms 5" | "http_forms 6") {
        // OpenSIPS lets a client without a JSON header wait.
        assert!(got.starts_with(b"HTTP/1.1 415 Unsupported Media Type\r\n"), "{}", got.escape_ascii());
        return;
    }
    let (got, expected) = (without_times(&got), without_times(&expected));
    assert_eq!(got.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{name}");
}

/// The length in the head must be that of the body.
fn check_length(name: &str, reply: &[u8]) {
    let reply = String::from_utf8_lossy(reply);
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    if let Some(length) = length {
        let of_head = name == "http_forms 10";
        assert!(of_head || length.parse() == Ok(body.len()), "{name}: {length} is not {}", body.len());
    }
}

/// The bytes with the values of `Date`, of the length that depends on times, and of the times of `uptime` replaced.
fn without_times(bytes: &[u8]) -> Vec<u8> {
    let mut text = bytes.to_vec();
    let has_times = bytes.windows(6).any(|six| six == b"\"Now\":");
    for (before, after) in
        [("\r\nDate: ", "\r\n"), ("\"Now\":\"", "\""), ("\"Up since\":\"", "\""), ("\"Up time\":\"", "\"")]
    {
        text = replaced(&text, before, after);
    }
    if has_times { replaced(&text, "Content-Length: ", "\r\n") } else { text }
}

fn replaced(text: &[u8], before: &str, after: &str) -> Vec<u8> {
    let find = |text: &[u8], part: &str| text.windows(part.len()).position(|found| found == part.as_bytes());
    let Some(start) = find(text, before).map(|at| at + before.len()) else { return text.to_vec() };
    let end = find(&text[start..], after).map_or(text.len(), |at| start + at);
    [&text[..start], b"*", &text[end..]].concat()
}
