//! What was received, with placeholders for all that differs from run to run.
//!
//! Texts that the server makes become tokens in the order in which they first appear: `<branch1>`, `<tag1>` for each
//! Call-ID, `<callid1>`. Ports and the server's folder become the placeholders of the configuration.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

use super::super::cases::{is_set, text};
use super::actor::{Actor, Actors, CLOSED, Origin};
use super::connection::Side;
use super::message::{Message, bytes_of, long_name, text_of};

/// A message of the server, or the answer of a management command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// The actor that received it; `MI` for answers.
    pub(super) at: String,
    pub(super) message: String,
    /// Over which connection it came, if over one.
    pub(super) on: Option<String>,
    /// How often the same bytes came; 1 where the case does not count.
    pub(super) count: u64,
}

/// What the placeholders of a run stand for.
pub(super) struct Names<'a> {
    pub(super) id: &'a str,
    pub(super) ports: &'a HashMap<u16, String>,
    pub(super) dir: &'a str,
}

/// The tokens that one run has given out.
pub(super) struct Normal<'a> {
    names: Names<'a>,
    /// Values of Server and User-Agent that the parties send: they are not the server's own.
    given: HashSet<String>,
    tokens: HashMap<String, HashMap<String, String>>,
    /// The Call-ID of the message that is looked at.
    call: String,
}

impl Item {
    /// An item as it was recorded.
    pub(super) fn recorded(value: &Value) -> Self {
        Self {
            at: text(value, "at").to_owned(),
            message: text(value, "message").to_owned(),
            on: value["on"].as_str().map(str::to_owned),
            count: value["count"].as_u64().unwrap_or(1),
        }
    }
}

impl<'a> Normal<'a> {
    pub(super) fn new(names: Names<'a>, steps: &[Value]) -> Self {
        let steps = serde_json::to_string(steps).unwrap().replace("\\n", "\n");
        let given = GIVEN.captures_iter(&steps).map(|found| found[1].to_owned()).collect();
        Self { names, given, tokens: HashMap::new(), call: String::new() }
    }

    /// All that the parties received, by party and in order of arrival.
    pub(super) fn items(&mut self, case: &Value, actors: &Actors, answers: &[Vec<u8>]) -> Vec<Item> {
        let mut items = Vec::new();
        for actor in actors.values() {
            self.add_inbox(case, actor, &mut items);
        }
        for answer in answers {
            let message = self.message(answer);
            items.push(Item { at: "MI".to_owned(), message, on: None, count: 1 });
        }
        if !is_set(case, "count") {
            items.iter_mut().for_each(|item| item.count = 1);
        }
        items
    }

    fn add_inbox(&mut self, case: &Value, actor: &Actor, items: &mut Vec<Item>) {
        let mut seen: BTreeMap<_, usize> = BTreeMap::new();
        for received in &actor.inbox {
            if received.data == CLOSED && !is_set(case, "closes") {
                continue;
            }
            let connection = match received.origin {
                Origin::Datagram(_) => None,
                Origin::Connection(number) => Some(number),
            };
            let key = (&received.data, connection);
            let is_message = !received.data.starts_with(b"<");
            if let Some(first) = seen.get(&key).filter(|_| is_message && !is_set(case, "sequence")) {
                items[*first].count += 1;
                continue;
            }
            seen.insert(key, items.len());
            items.push(Item {
                at: actor.name.clone(),
                message: self.message(&received.data),
                on: connection.map(|number| name_of_connection(actor, number)),
                count: 1,
            });
        }
    }

    fn message(&mut self, data: &[u8]) -> String {
        let text = self.with_names(&text_of(data));
        if text.starts_with('{') {
            return match serde_json::from_str(&text) {
                Ok(value) => self.json(value, "").to_string(),
                Err(_) => text,
            };
        }
        if !text.is_empty() && text.trim_matches(['\r', '\n']).is_empty() {
            return "<CRLF>".repeat(text.matches('\n').count().max(1));
        }
        if text.starts_with('<') || !text.contains("\r\n") {
            return text;
        }
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let head = head.replace("\r\n", "\n").replace('\n', "\r\n");
        let head = FOLD.replace_all(&head, " ");
        Message::new(&bytes_of(&text)).first("call-id").clone_into(&mut self.call);
        let lines: Vec<_> = head.split("\r\n").map(|line| self.line(line)).collect();
        format!("{}\n\n{}", lines.join("\n"), body.replace("\r\n", "\n"))
    }

    /// Replaces what was filled into the texts of the case.
    fn with_names(&self, text: &str) -> String {
        let text = text.replace(self.names.id, "@ID@");
        let mut named = String::with_capacity(text.len());
        let mut done = 0;
        for found in NUMBER.find_iter(&text) {
            let Some(name) = found.as_str().parse().ok().and_then(|port| self.names.ports.get(&port)) else {
                continue;
            };
            if found.len() == 5 && !text[..found.start()].ends_with('.') {
                named += &text[done..found.start()];
                named += &format!("@{name}@");
                done = found.end();
            }
        }
        (named + &text[done..]).replace(self.names.dir, "@DIR@")
    }

    /// One header.
    fn line(&mut self, line: &str) -> String {
        let Some((name, value)) = line.split_once(':') else { return line.to_owned() };
        if name.trim().contains(' ') {
            return line.to_owned();
        }
        let value = match long_name(name).as_str() {
            "server" | "user-agent" if !self.given.contains(value.trim()) => "<ua>".to_owned(),
            "date" => "<date>".to_owned(),
            "warning" => PID.replace_all(value, "pid=<pid>").into_owned(),
            "via" => self.own("branch", &BRANCH, &VIA_I.replace_all(value, "")),
            "call-id" if !value.contains("@ID@") => self.token("callid", value.trim()),
            "from" | "to" => self.own("tag", &TAG, value),
            "route" | "record-route" => DID
                .replace_all(value, |found: &Captures<'_>| format!(";did={}", self.token("did", &found[1])))
                .into_owned(),
            "contact" | "expires" => {
                let value = EXPIRES.replace_all(value, |found: &Captures<'_>| {
                    let group = |first, second| {
                        found.get(first).or(found.get(second)).map_or("", |group| group.as_str())
                    };
                    format!("{}{}", group(1, 3), near(group(2, 4)))
                });
                TGRUU.replace_all(&value, |found: &Captures<'_>| self.token("tgruu", &found[0])).into_owned()
            }
            _ => value.to_owned(),
        };
        let space = if value.starts_with(' ') { "" } else { " " };
        format!("{name}:{space}{value}")
    }

    /// Replaces the values of a parameter that the server made.
    fn own(&mut self, kind: &str, pattern: &Regex, value: &str) -> String {
        let replaced = pattern.replace_all(value, |found: &Captures<'_>| {
            if found[1].contains("@ID@") || (kind == "branch" && &found[1] == "0") {
                return found[0].to_owned();
            }
            format!("{kind}={}", self.token(kind, &found[1]))
        });
        replaced.into_owned()
    }

    fn token(&mut self, kind: &str, value: &str) -> String {
        let table = if kind == "tag" { format!("{kind}{}", self.call) } else { kind.to_owned() };
        let table = self.tokens.entry(table).or_default();
        let next = table.len() + 1;
        table.entry(value.to_owned()).or_insert_with(|| format!("<{kind}{next}>")).clone()
    }

    fn json(&mut self, value: Value, key: &str) -> Value {
        match value {
            Value::Object(members) => members
                .into_iter()
                .filter(|(name, _)| name != "id")
                .map(|(name, value)| (name.clone(), self.json(value, &name)))
                .collect(),
            Value::Array(items) => items.into_iter().map(|item| self.json(item, key)).collect(),
            other => self.json_leaf(other, &key.to_lowercase()),
        }
    }

    fn json_leaf(&mut self, value: Value, key: &str) -> Value {
        if VOLATILE.contains(&key) {
            let is_empty = value.is_null() || value == "";
            return if is_empty { value } else { format!("<{key}>").into() };
        }
        if let Some(number) = value.as_i64().filter(|_| key == "expires") {
            let is_time = number >= 100_000_000;
            return if is_time {
                "<time>".into()
            } else {
                near(&number.to_string()).parse::<i64>().unwrap().into()
            };
        }
        match value {
            Value::String(text) if !matches!(key, "user-agent" | "server") => self.json_text(&text).into(),
            other => other,
        }
    }

    fn json_text(&mut self, text: &str) -> String {
        if text.contains('\n') && text.chars().count() > 40 {
            let text = text.replace("\r\n", "\n");
            return text.split('\n').map(|line| self.line(line)).collect::<Vec<_>>().join("\n");
        }
        self.own("branch", &MAGIC_BRANCH, text)
    }
}

/// Members of JSON texts that are new in each run.
const VOLATILE: [&str; 9] = [
    "contactid",
    "contact-id",
    "ctid",
    "contact_id",
    "hash",
    "last-modified",
    "last_modified",
    "timestamp",
    "bflags_time",
];

macro_rules! patterns {
    ($($name:ident = $pattern:literal;)*) => {
        $(static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($pattern).unwrap());)*
    };
}

patterns! {
    GIVEN = r#"(?:Server|User-Agent): *([^\n\\"]+)"#;
    FOLD = r"\r\n[ \t]+";
    NUMBER = r"[0-9]+";
    PID = r"pid=[0-9]+";
    VIA_I = r";i=[0-9a-f]+";
    BRANCH = r"branch=([^;,\s]+)";
    MAGIC_BRANCH = r#"branch=(z9hG4bK[^;,\s"]+)"#;
    TAG = r"tag=([^;>\s,]+)";
    DID = r";did=([^;>,\s]+)";
    EXPIRES = r"(expires=|^\s*)([0-9]+)$|(expires=)([0-9]+)";
    TGRUU = r#"tgruu\.[^@"]+"#;
}

fn name_of_connection(actor: &Actor, number: usize) -> String {
    let side = actor.connections[number].side;
    let of_side: Vec<_> =
        (0..actor.connections.len()).filter(|at| actor.connections[*at].side == side).collect();
    let name = match side {
        Side::Own => "own",
        Side::Accepted => "accepted",
    };
    if of_side.len() == 1 {
        return name.to_owned();
    }
    let place = of_side.iter().position(|at| *at == number).unwrap();
    format!("{name}{}", place + 1)
}

/// A counter that runs down, rounded up to the ten that it started from.
fn near(number: &str) -> String {
    match number.parse::<u64>() {
        Ok(value) if value > 10 && value % 10 >= 7 => value.next_multiple_of(10).to_string(),
        _ => number.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_made_up_becomes_tokens() {
        let ports = HashMap::from([(40_000, "PORT".to_owned()), (40_001, "A".to_owned())]);
        let names = Names { id: "c0z", ports: &ports, dir: "/folder" };
        let mut normal = Normal::new(names, &[]);
        let message = normal.message(
            b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h:40000;branch=z9hG4bKx;i=1f, SIP/2.0/UDP h:40001;branch=z9hG4bKc0z\r\n\
              To: <sip:b@h>;tag=made\r\nFrom: <sip:a@h:140001>;tag=c0z\r\nCall-ID: c0z\r\nServer: Tocsin\r\n\
              Contact: <sip:c@h>;expires=57\r\n\r\n",
        );
        let wanted = "SIP/2.0 200 OK\nVia: SIP/2.0/UDP h:@PORT@;branch=<branch1>, SIP/2.0/UDP h:@A@;branch=z9hG4bK@ID@\n\
            To: <sip:b@h>;tag=<tag1>\nFrom: <sip:a@h:140001>;tag=@ID@\nCall-ID: @ID@\nServer: <ua>\n\
            Contact: <sip:c@h>;expires=60\n\n";
        assert_eq!(message, wanted);
    }

    #[test]
    fn counters_that_ran_down_are_rounded_up() {
        assert_eq!(["57", "60", "56", "9"].map(near), ["60", "60", "56", "9"]);
    }
}
