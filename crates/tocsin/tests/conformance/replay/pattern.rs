//! Bytes with placeholders for what differs from run to run.
//!
//! | placeholder | stands for |
//! |---|---|
//! | `<port:NAME>` | a port of 127.0.0.1, the same wherever the name is used |
//! | `<pid>`, `<pid:NAME>` | the number of one of the server's processes |
//! | `<number>`, `<number:NAME>`, `<number:LOW..HIGH>` | digits, perhaps with a sign; named, the same everywhere; or in a range, which may be open |
//! | `<micros:LOW..HIGH>` | the same for a time in microseconds |
//! | `<date>` | a date as `Sun Nov 22 14:05:41 2026` |
//! | `<log-time>` | a time as `Nov 22 14:05:41` |
//! | `<http-date>` | a date as `Sun, 22 Nov 2026 14:05:56 GMT` |
//! | `<stamp>` | a time as `2026-11-22 14:05:43` |
//! | `<token>`, `<token:NAME>` | letters, digits, dots and hyphens |
//! | `<text>` | anything without a line end, up to what follows |
//! | `<dir>` | the server's folder |
//! | `<threshold:KIND+PERCENT>` | so much above the usage of an idle server |
//! | `<value:LENGTH>` | so many times the letter v |
//! | `<own-events>` | events in a list that only this server has |

use std::collections::HashMap;

/// Parsed bytes.
pub(crate) struct Pattern {
    tokens: Vec<Token>,
}

enum Token {
    Literal(Vec<u8>),
    Hole { kind: String, argument: Option<String> },
}

/// What the placeholders of a case stand for, as far as it is known.
#[derive(Default)]
pub(crate) struct Known {
    values: HashMap<String, String>,
    /// The process numbers of the server.
    pub(crate) pids: Vec<i32>,
}

impl Known {
    pub(crate) fn set(&mut self, name: &str, value: &impl ToString) {
        self.values.insert(name.to_owned(), value.to_string());
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The port `name`; a free one if it has none yet.
    pub(crate) fn port(&mut self, name: &str) -> u16 {
        let key = format!("port:{name}");
        if let Some(port) = self.get(&key) {
            return port.parse().unwrap();
        }
        let port = free_port();
        self.set(&key, &port);
        port
    }
}

impl Pattern {
    /// Reads escapes and placeholders.
    pub(crate) fn parse(text: &str) -> Self {
        let (mut tokens, mut literal, mut rest) = (Vec::new(), Vec::new(), text);
        while let Some(first) = rest.chars().next() {
            if let Some((kind, argument, length)) = placeholder(rest) {
                if !literal.is_empty() {
                    tokens.push(Token::Literal(std::mem::take(&mut literal)));
                }
                tokens.push(Token::Hole { kind: kind.to_owned(), argument: argument.map(str::to_owned) });
                rest = &rest[length..];
            } else if first == '\\' {
                let (byte, length) = escape(rest);
                literal.push(byte);
                rest = &rest[length..];
            } else {
                literal.extend(first.to_string().as_bytes());
                rest = &rest[first.len_utf8()..];
            }
        }
        if !literal.is_empty() {
            tokens.push(Token::Literal(literal));
        }
        Self { tokens }
    }

    /// The bytes to send. A port that has no number yet gets one; everything else must be known.
    pub(crate) fn fill(&self, known: &mut Known) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        for token in &self.tokens {
            match token {
                Token::Literal(literal) => bytes.extend(literal),
                Token::Hole { kind, argument } => {
                    let name = argument.as_deref().unwrap_or_default();
                    if kind == "value" {
                        bytes.resize(bytes.len() + name.parse::<usize>().unwrap_or_default(), b'v');
                    } else if kind == "port" {
                        bytes.extend(known.port(name).to_string().as_bytes());
                    } else {
                        let key = key(kind, argument.as_deref());
                        let value = known.get(&key).ok_or_else(|| format!("<{key}> is not known yet"))?;
                        bytes.extend(value.as_bytes());
                    }
                }
            }
        }
        Ok(bytes)
    }

    /// Whether these are the bytes. Remembers what named placeholders stand for.
    pub(crate) fn matches(&self, bytes: &[u8], known: &mut Known) -> Result<(), String> {
        let mut learned = Vec::new();
        let end = self.walk(bytes, known, &mut learned)?;
        if end < bytes.len() {
            return Err(format!("at byte {end}: {} is too much", show(&bytes[end..])));
        }
        for (name, value) in learned {
            known.set(&name, &value);
        }
        Ok(())
    }

    /// The end of the first place in `bytes` that these are.
    pub(crate) fn find(&self, bytes: &[u8], known: &mut Known) -> Option<usize> {
        (0..=bytes.len()).find_map(|start| {
            let mut learned = Vec::new();
            let end = self.walk(&bytes[start..], known, &mut learned).ok()?;
            for (name, value) in learned {
                known.set(&name, &value);
            }
            Some(start + end)
        })
    }

    /// How it looks with what is known filled in.
    pub(crate) fn show(&self, known: &Known) -> String {
        let show = |token: &Token| match token {
            Token::Literal(literal) => show(literal),
            Token::Hole { kind, argument } => {
                let key = key(kind, argument.as_deref());
                known.get(&key).map_or(format!("<{key}>"), str::to_owned)
            }
        };
        self.tokens.iter().map(show).collect()
    }

    fn walk(
        &self,
        bytes: &[u8],
        known: &Known,
        learned: &mut Vec<(String, String)>,
    ) -> Result<usize, String> {
        let mut at = 0;
        for (index, token) in self.tokens.iter().enumerate() {
            match token {
                Token::Literal(literal) => {
                    let same =
                        literal.iter().zip(&bytes[at..]).take_while(|(wanted, got)| wanted == got).count();
                    if same < literal.len() {
                        let place = at + same;
                        return Err(format!("at byte {place}: {} differs", show(&bytes[place..])));
                    }
                    at += literal.len();
                }
                Token::Hole { kind, argument } => {
                    let next = match self.tokens.get(index + 1) {
                        Some(Token::Literal(literal)) => Some(literal.as_slice()),
                        _ => None,
                    };
                    let length = extent(kind, argument.as_deref(), &bytes[at..], next);
                    let value = String::from_utf8_lossy(&bytes[at..at + length]).into_owned();
                    accept(kind, argument.as_deref(), &value, known, learned)
                        .map_err(|cause| format!("at byte {at}: {cause}"))?;
                    at += length;
                }
            }
        }
        Ok(at)
    }
}

/// Bytes as a case file writes them.
pub(crate) fn show(bytes: &[u8]) -> String {
    let show = |byte: &u8| match byte {
        b'\r' => "\\r".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\t' => "\\t".to_owned(),
        b'\\' => "\\\\".to_owned(),
        0x20..=0x7e => char::from(*byte).to_string(),
        byte => format!("\\x{byte:02x}"),
    };
    bytes.iter().map(show).collect()
}

const KINDS: [&str; 14] = [
    "port",
    "pid",
    "number",
    "micros",
    "date",
    "log-time",
    "http-date",
    "stamp",
    "token",
    "text",
    "dir",
    "threshold",
    "own-events",
    "value",
];

/// The placeholder at the start of `text`: kind, argument, length.
fn placeholder(text: &str) -> Option<(&str, Option<&str>, usize)> {
    let inner = text.strip_prefix('<')?;
    let inner = &inner[..inner.find('>')?];
    let (kind, argument) = inner.split_once(':').map_or((inner, None), |(kind, name)| (kind, Some(name)));
    // An XML-RPC call has elements of that name.
    let is_element = (kind, argument) == ("value", None);
    (KINDS.contains(&kind) && !is_element).then_some((kind, argument, inner.len() + 2))
}

/// The byte that an escape stands for, and how long it is.
fn escape(text: &str) -> (u8, usize) {
    let code = text.as_bytes().get(1).copied().unwrap_or(b'\\');
    match code {
        b'r' => (b'\r', 2),
        b'n' => (b'\n', 2),
        b't' => (b'\t', 2),
        b'x' => (u8::from_str_radix(&text[2..4], 16).expect("\\xNN"), 4),
        b'\\' => (b'\\', 2),
        other => panic!("\\{} is no escape", char::from(other)),
    }
}

fn key(kind: &str, argument: Option<&str>) -> String {
    argument.map_or(kind.to_owned(), |argument| format!("{kind}:{argument}"))
}

/// How many bytes a placeholder covers.
fn extent(kind: &str, argument: Option<&str>, bytes: &[u8], next: Option<&[u8]>) -> usize {
    let while_ = |accepted: &dyn Fn(u8) -> bool| bytes.iter().take_while(|byte| accepted(**byte)).count();
    match kind {
        "port" | "pid" | "number" | "micros" | "threshold" => {
            while_(&|byte| byte.is_ascii_digit() || byte == b'-')
        }
        "token" => while_(&|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')),
        "value" => argument.and_then(|length| length.parse().ok()).unwrap_or(0).min(bytes.len()),
        "date" => 24.min(bytes.len()),
        "log-time" => 15.min(bytes.len()),
        "http-date" => 29.min(bytes.len()),
        "stamp" => 19.min(bytes.len()),
        _ => next
            .and_then(|next| bytes.windows(next.len()).position(|window| window == next))
            .unwrap_or_else(|| while_(&|byte| byte != b'\n')),
    }
}

/// Whether a placeholder may stand for `value`.
fn accept(
    kind: &str,
    argument: Option<&str>,
    value: &str,
    known: &Known,
    learned: &mut Vec<(String, String)>,
) -> Result<(), String> {
    let shape = match kind {
        "date" => Some("Aaa Aaa .0 00:00:00 0000"),
        "log-time" => Some("Aaa .0 00:00:00"),
        "http-date" => Some("Aaa, 00 Aaa 0000 00:00:00 GMT"),
        "stamp" => Some("0000-00-00 00:00:00"),
        _ => None,
    };
    if let Some(shape) = shape {
        return has_shape(value, shape).then_some(()).ok_or_else(|| format!("{value:?} is no {kind}"));
    }
    if kind == "value" {
        let letter = value.bytes().next().unwrap_or_default();
        let same = value.bytes().all(|byte| byte == letter) && argument == Some(&value.len().to_string());
        return same.then_some(()).ok_or_else(|| format!("{} bytes are no value", value.len()));
    }
    if kind == "own-events" {
        return are_own_events(value).then_some(()).ok_or_else(|| format!("{value:?} are no events"));
    }
    if let Some((low, high)) = argument.and_then(|argument| argument.split_once("..")) {
        let number: i64 = value.parse().map_err(|_| format!("{value:?} is no number"))?;
        let bound = |text: &str, open: i64| if text.is_empty() { open } else { text.parse().unwrap() };
        let range = bound(low, i64::MIN)..=bound(high, i64::MAX);
        return range.contains(&number).then_some(()).ok_or_else(|| format!("{number} is not {range:?}"));
    }
    let key = key(kind, argument);
    if let Some(wanted) = known.get(&key) {
        return (value == wanted).then_some(()).ok_or_else(|| format!("{value:?} is not {wanted}, <{key}>"));
    }
    if matches!(kind, "pid" | "number" | "micros" | "port") {
        let number: i64 = value.parse().map_err(|_| format!("{value:?} is no {kind}"))?;
        if kind == "pid" && !known.pids.iter().any(|pid| i64::from(*pid) == number) {
            return Err(format!("{number} is no process of the server"));
        }
    }
    if value.is_empty() && kind != "text" {
        return Err(format!("no {kind}"));
    }
    if argument.is_some() {
        learned.push((key, value.to_owned()));
    }
    Ok(())
}

/// Compares with a shape: `A` a capital, `a` a small letter, `0` a digit, `.` a digit or a space.
fn has_shape(value: &str, shape: &str) -> bool {
    let fits = |(byte, shape): (u8, u8)| match shape {
        b'A' => byte.is_ascii_uppercase(),
        b'a' => byte.is_ascii_lowercase(),
        b'0' => byte.is_ascii_digit(),
        b'.' => byte.is_ascii_digit() || byte == b' ',
        other => byte == other,
    };
    value.len() == shape.len() && value.bytes().zip(shape.bytes()).all(fits)
}

/// Members of a list of events, each behind a comma: `,{"name":"E_X","id":7}`.
fn are_own_events(value: &str) -> bool {
    let list = format!("[{}]", value.strip_prefix(',').unwrap_or(value));
    serde_json::from_str::<Vec<serde_json::Value>>(&list)
        .is_ok_and(|events| events.iter().all(|event| event["name"].is_string() && event["id"].is_number()))
}

/// A port that nobody uses, neither over TCP nor over UDP.
fn free_port() -> u16 {
    let free = |port: &u16| std::net::UdpSocket::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(crate::harness::free_tcp_port).find(free).unwrap()
}

#[test]
fn patterns_match_what_they_say_and_nothing_else() {
    let mut known = Known { pids: vec![42], ..Known::default() };
    let pattern = Pattern::parse(r#"{"time":<micros:60..>,"pid":<pid:w>,"x":"a\\r\x01"}"#);
    pattern.matches(b"{\"time\":61,\"pid\":42,\"x\":\"a\\r\x01\"}", &mut known).unwrap();
    assert_eq!(known.get("pid:w"), Some("42"));
    for other in [
        &b"{\"time\":59,\"pid\":42,\"x\":\"a\\r\x01\"}"[..],
        b"{\"time\":61,\"pid\":43,\"x\":\"a\\r\x01\"}",
        b"{\"time\":61,\"pid\":42,\"x\":\"a\\r\x02\"}",
        b"{\"time\":61,\"pid\":42,\"x\":\"a\\r\x01\"} ",
        b"{\"time\":61,\"pid\":42,\"x\":\"a\\r\x01\"",
        b"",
    ] {
        assert!(pattern.matches(other, &mut known).is_err(), "{}", show(other));
    }
    let port = known.port("SIP");
    let sent = Pattern::parse("<sip:x@127.0.0.1:<port:SIP>>\\r\\n").fill(&mut known).unwrap();
    assert_eq!(sent, format!("<sip:x@127.0.0.1:{port}>\r\n").as_bytes());
    assert!(Pattern::parse("<date>").matches(b"Sun Nov 22 14:05:41 2026", &mut known).is_ok());
    assert!(Pattern::parse("<date>").matches(b"Sun Nov 22 14:05:4x 2026", &mut known).is_err());
}
