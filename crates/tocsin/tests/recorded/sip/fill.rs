//! Placeholders in the texts of a case: ports, the number of the run, and what an actor received.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::actor::Actors;
use super::message::{Message, bytes_of, split_commas, uri_of};

static PLACEHOLDER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"@([A-Za-z][A-Za-z0-9]*(?::[A-Za-z0-9:_-]+)?)@").unwrap());

/// What stands for a part of a message that did not come.
const MISSING: &str = "missing";

/// What placeholders stand for.
pub(super) struct Filling<'a> {
    pub(super) id: &'a str,
    pub(super) ports: &'a HashMap<String, u16>,
    pub(super) actors: &'a Actors,
}

impl Filling<'_> {
    /// Fills a text. What is no placeholder stays.
    pub(super) fn fill(&self, text: &str) -> String {
        let value = |found: &Captures<'_>| self.value(&found[1]).unwrap_or_else(|| found[0].to_owned());
        PLACEHOLDER.replace_all(text, value).into_owned()
    }

    /// The bytes of a message whose lines may end in LF, and whose `@LEN@` is the length of its body.
    pub(super) fn message(&self, text: &str) -> Vec<u8> {
        let text = self.fill(text).replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let body = body.replace('\n', "\r\n");
        // A placeholder for no header at all leaves an empty line.
        let lines: Vec<_> = head.split('\n').collect();
        let (first, rest) = lines.split_first().unwrap();
        let rest = rest.iter().filter(|line| !line.is_empty()).copied();
        let head: Vec<_> = std::iter::once(*first).chain(rest).collect();
        let head = head.join("\r\n").replace("@LEN@", &body.chars().count().to_string());
        bytes_of(&format!("{head}\r\n\r\n{body}"))
    }

    fn value(&self, key: &str) -> Option<String> {
        if key == "ID" {
            return Some(self.id.to_owned());
        }
        if let Some(port) = self.ports.get(key) {
            return Some(port.to_string());
        }
        let parts: Vec<_> = key.split(':').collect();
        let missing = || MISSING.to_owned();
        match parts[..] {
            ["hdr", actor, name] => Some(self.header(actor, name).unwrap_or_else(missing)),
            ["uri", actor, name] => {
                Some(self.header(actor, name).map_or_else(missing, |value| uri_of(&value).to_owned()))
            }
            ["param", actor, name, parameter] => {
                Some(self.parameter(actor, name, parameter).unwrap_or_else(missing))
            }
            ["routes", actor] => Some(self.routes(actor)),
            _ => None,
        }
    }

    /// A header of the latest message that has it.
    fn header(&self, actor: &str, name: &str) -> Option<String> {
        let name = name.to_lowercase();
        let latest = self.actors[actor].latest(|message| !message.first(&name).is_empty());
        latest.map(|message| message.first(&name).to_owned())
    }

    /// A quoted parameter of a header of the latest message that has it.
    fn parameter(&self, actor: &str, name: &str, parameter: &str) -> Option<String> {
        let name = name.to_lowercase();
        let value = |message: &Message| {
            let (_, rest) = message.first(&name).split_once(&format!("{parameter}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        let latest = self.actors[actor].latest(|message| value(message).is_some());
        latest.and_then(|message| value(&message))
    }

    /// The Route headers that follow from the latest message with Record-Route.
    fn routes(&self, actor: &str) -> String {
        let latest = self.actors[actor].latest(|message| !message.all("record-route").is_empty());
        let Some(message) = latest else { return String::new() };
        let routes = route_set(&message);
        routes.iter().map(|route| format!("Route: {route}")).collect::<Vec<_>>().join("\n")
    }
}

/// The routes that a message records, in the order of a request that goes back over them.
pub(super) fn route_set(message: &Message) -> Vec<String> {
    let mut routes = split_commas(message.all("record-route"));
    if message.is_reply() {
        routes.reverse();
    }
    routes
}
