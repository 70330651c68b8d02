//! What differs between the items that were recorded and those that were received.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::Value;

use super::super::cases::{is_set, texts};
use super::message::{long_name, split_commas, unfolded};
use super::normal::Item;

static SPACE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\s+").unwrap());
static SEMICOLON: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\s*;\s*").unwrap());
static COMMA: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\s*,\s*").unwrap());
static WITHIN: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"<([^>]*)>").unwrap());

/// Headers with lists: several of them are the same as one with commas.
const LISTS: [&str; 8] =
    ["via", "route", "record-route", "contact", "path", "allow", "supported", "unsupported"];
/// Headers with URIs whose parameters may be in any order.
const ROUTES: [&str; 3] = ["route", "record-route", "path"];
/// Where the server names itself.
const SIGNATURES: [&str; 2] = ["server", "user-agent"];
/// How much is shown of a value in JSON.
const SHOWN: usize = 200;

/// The differences, as lines of text: what was recorded, then what was received.
pub(super) fn differences(wanted: &[Item], found: &[Item], case: &Value) -> Vec<String> {
    let parties: BTreeSet<_> = wanted.iter().chain(found).map(|item| &item.at).collect();
    let mut differences = Vec::new();
    for party in parties {
        let (wanted, found) = (of_party(wanted, party, case), of_party(found, party, case));
        let names = |items: &[&Item]| items.iter().map(|item| short(item)).collect::<Vec<_>>().join(", ");
        let (wanted_names, found_names) = (names(&wanted), names(&found));
        if wanted_names != found_names {
            differences.push(format!("{party}: wanted [{wanted_names}], got [{found_names}]"));
            continue;
        }
        for (wanted, found) in wanted.iter().zip(&found) {
            let name = short(wanted);
            let of_item = item_differences(wanted, found, case).into_iter();
            differences.extend(of_item.map(|difference| format!("{party} {name}: {difference}")));
        }
    }
    differences
}

fn of_party<'a>(items: &'a [Item], party: &str, case: &Value) -> Vec<&'a Item> {
    let mut items: Vec<_> = items.iter().filter(|item| item.at == party).collect();
    if is_set(case, "unordered") {
        items.sort_by_key(|item| short(item) + &item.message);
    }
    items
}

/// What an item is, in a word or two.
fn short(item: &Item) -> String {
    let message = &item.message;
    if message.starts_with('{') {
        let Some(value) = json(message) else { return "text".to_owned() };
        return match (&value["method"], &value["error"]) {
            (Value::Null, Value::Null) => "MI result".to_owned(),
            (Value::Null, _) => "MI error".to_owned(),
            (method, _) => format!("event {}", method.as_str().unwrap_or_default()),
        };
    }
    let start = message.split('\n').next().unwrap_or_default();
    match start.strip_prefix("SIP/2.0 ") {
        Some(status) => status.to_owned(),
        None => start.split(' ').next().unwrap_or_default().to_owned(),
    }
}

fn item_differences(wanted: &Item, found: &Item, case: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    if wanted.on != found.on {
        let name = |item: &Item| item.on.clone().unwrap_or_else(|| "none".to_owned());
        differences.push(format!("connection {} / {}", name(wanted), name(found)));
    }
    let (x, y) = (wanted.count, found.count);
    // Of many retransmissions one more or less is a matter of when the case ended.
    if x != y && (x <= 2 || y <= 1 || x.abs_diff(y) > 1) {
        differences.push(format!("{x} times / {y} times"));
    }
    match (json(&wanted.message), json(&found.message)) {
        (Some(wanted), Some(found)) => json_differences(&wanted, &found, "", &mut differences),
        _ if wanted.message.starts_with('{') => {
            if wanted.message != found.message {
                differences.push(format!("text {:?} / {:?}", wanted.message, found.message));
            }
        }
        _ => message_differences(wanted, found, case, &mut differences),
    }
    differences
}

fn message_differences(wanted: &Item, found: &Item, case: &Value, differences: &mut Vec<String>) {
    let ignored = texts(case, "ignore_headers");
    let (mut wanted, mut found) = (Compared::new(&wanted.message), Compared::new(&found.message));
    if wanted.start != found.start {
        differences.push(format!("start line `{}` / `{}`", wanted.start, found.start));
    }
    if !is_set(case, "signature") {
        wanted.remove_signature();
        found.remove_signature();
    }
    let names: BTreeSet<_> = wanted.headers.keys().chain(found.headers.keys()).collect();
    for name in names.into_iter().filter(|name| !ignored.contains(name)) {
        let (wanted, found) = (wanted.headers.get(name), found.headers.get(name));
        if wanted != found {
            let values =
                |values: Option<&Vec<String>>| values.map_or("-".to_owned(), |values| values.join(" | "));
            differences.push(format!("{name}: `{}` / `{}`", values(wanted), values(found)));
        }
    }
    if wanted.body != found.body && !ignored.iter().any(|name| name == "content-length") {
        differences.push(format!("body {:?} / {:?}", wanted.body, found.body));
    }
}

/// A message as it is compared: header values in order within one name, in any order between names.
struct Compared {
    start: String,
    headers: BTreeMap<String, Vec<String>>,
    body: String,
}

impl Compared {
    fn new(message: &str) -> Self {
        let (head, body) = message.split_once("\n\n").unwrap_or((message, ""));
        let mut lines = unfolded(head.split('\n')).into_iter();
        let start = lines.next().unwrap_or_default();
        let mut headers: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for line in lines {
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            let name = long_name(name);
            let values = compared_values(&name, value);
            headers.entry(name).or_default().extend(values);
        }
        Self { start, headers, body: body.to_owned() }
    }

    fn remove_signature(&mut self) {
        for name in SIGNATURES {
            if self.headers.get(name).is_some_and(|values| values == &["<ua>"]) {
                self.headers.remove(name);
            }
        }
    }
}

fn compared_values(name: &str, value: &str) -> Vec<String> {
    let mut value = SPACE.replace_all(value.trim(), " ").into_owned();
    if name == "reason" || LISTS.contains(&name) {
        value = SEMICOLON.replace_all(&value, ";").into_owned();
    }
    if !LISTS.contains(&name) {
        return vec![value];
    }
    if ROUTES.contains(&name) {
        let sorted = |found: &Captures<'_>| format!("<{}>", with_sorted_parameters(&found[1]));
        value = WITHIN.replace_all(&value, sorted).into_owned();
    }
    let mut values = split_commas([value.as_str()]);
    if name == "via" {
        for value in &mut values {
            *value = with_sorted_parameters(value);
        }
    }
    if values.is_empty() {
        values.push(value);
    }
    values.iter().map(|value| COMMA.replace_all(value, ", ").into_owned()).collect()
}

fn with_sorted_parameters(value: &str) -> String {
    let mut parts: Vec<_> = value.split(';').collect();
    parts[1..].sort_unstable();
    parts.join(";")
}

fn json_differences(wanted: &Value, found: &Value, path: &str, differences: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(x), Value::Object(y)) => {
            let absent = Value::String("<absent>".to_owned());
            for name in x.keys().chain(y.keys()).collect::<BTreeSet<_>>() {
                let (x, y) = (x.get(name).unwrap_or(&absent), y.get(name).unwrap_or(&absent));
                json_differences(x, y, &format!("{path}.{name}"), differences);
            }
        }
        (Value::Array(x), Value::Array(y)) if x.len() == y.len() => {
            for (index, (x, y)) in x.iter().zip(y).enumerate() {
                json_differences(x, y, &format!("{path}[{index}]"), differences);
            }
        }
        _ if wanted != found => {
            let shown = |value: &Value| value.to_string().chars().take(SHOWN).collect::<String>();
            differences.push(format!("{path}: {} / {}", shown(wanted), shown(found)));
        }
        _ => {}
    }
}

/// The JSON text of an item, if it is one.
fn json(message: &str) -> Option<Value> {
    message.starts_with('{').then(|| serde_json::from_str(message).ok()).flatten()
}
