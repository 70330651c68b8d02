//! A case of the script language, and the configuration that it is.

use std::collections::BTreeSet;
use std::time::Duration;

use regex::Regex;
use serde_json::Value;

use super::super::cases::{is_set, list, text, texts};
use super::super::clock::millis;

/// What every configuration begins with. One worker takes the messages in the order in which they were sent.
const HEAD: &str = "log_level=2\nstderror_enabled=yes\nsyslog_enabled=no\nudp_workers=1\ntimer_workers=1\n\
    auto_aliases=no\ndns=no\nrev_dns=no\n";

/// How many lines, replies and relayed requests there are.
pub(super) type Counts = [usize; 3];

/// A recorded case.
#[derive(Clone)]
pub(super) struct ScriptCase {
    globals: String,
    modules: Vec<String>,
    modparams: String,
    pub(super) routes: String,
    pub(super) messages: Vec<Sent>,
    /// What the far side answers.
    pub(super) answers: Vec<Answers>,
    pub(super) starts: bool,
    pub(super) log: Vec<String>,
    pub(super) replies: Vec<String>,
    pub(super) relayed: Vec<Vec<String>>,
    /// What there was after each message.
    pub(super) counts: Vec<Counts>,
    /// Lines of the log where OpenSIPS is plainly wrong.
    pub(super) defects: BTreeSet<usize>,
    /// Headers of replies that count.
    pub(super) reply_headers: Vec<String>,
    /// Headers of relayed requests that do not count.
    pub(super) relayed_skip: Vec<String>,
    /// How long the server runs before the first message.
    pub(super) wait: Option<Duration>,
    /// Whether the level is part of a line of the log.
    pub(super) levels: bool,
    /// What differs from run to run, and what stands for it.
    pub(super) volatile: Vec<(Regex, String)>,
    pub(super) variants: Vec<Variant>,
}

/// A message that is sent to the server.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) text: String,
    pub(super) from: From,
    /// How long there is to wait at least before the next one.
    pub(super) wait: Duration,
}

/// Where a message comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Client,
    FarSide,
    Connection,
}

/// What the far side answers to one request of a method.
#[derive(Clone)]
pub(super) struct Answers {
    pub(super) method: String,
    pub(super) replies: Vec<Answer>,
}

#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: String,
    pub(super) headers: Vec<String>,
    /// How long the far side waits after it.
    pub(super) pause: Duration,
}

/// One of many configurations of which only the start counts.
#[derive(Clone)]
pub(super) struct Variant {
    pub(super) title: String,
    pub(super) case: ScriptCase,
}

impl ScriptCase {
    pub(super) fn new(value: &Value) -> Self {
        let variant = |variant: &Value| Variant {
            title: text(variant, "title").to_owned(),
            case: Self::new(&merged(value, variant)),
        };
        Self {
            globals: text(value, "globals").to_owned(),
            modules: texts(value, "modules"),
            modparams: text(value, "modparams").to_owned(),
            routes: text(value, "routes").to_owned(),
            messages: list(value, "messages").iter().map(Sent::new).collect(),
            answers: list(value, "uas").iter().map(Answers::new).collect(),
            starts: value["starts"].as_bool().unwrap_or(true),
            log: texts(value, "log"),
            replies: texts(value, "replies"),
            relayed: list(value, "relayed").iter().map(lines).collect(),
            counts: list(value, "counts").iter().map(counts).collect(),
            defects: value["defects"].as_object().map_or_else(BTreeSet::new, |defects| {
                defects.keys().map(|index| index.parse().unwrap()).collect()
            }),
            reply_headers: texts(value, "reply_headers"),
            relayed_skip: texts(value, "relayed_skip"),
            wait: is_set(value, "wait").then(|| millis(&value["wait"], 0)),
            levels: is_set(value, "levels"),
            volatile: list(value, "volatile").iter().map(volatile).collect(),
            variants: list(value, "variants").iter().map(variant).collect(),
        }
    }

    /// The same case with another script.
    pub(super) fn with_routes(&self, routes: &str) -> Self {
        Self { routes: routes.to_owned(), ..self.clone() }
    }

    /// The configuration, with placeholders for ports and the folder.
    pub(super) fn config(&self) -> String {
        let mut config = HEAD.to_owned();
        // read and without effect: `$cfg_line` counts it
        config += "mpath=\"/usr/lib/\"\n";
        if !self.globals.contains("socket=") {
            config += "socket=udp:127.0.0.1:@SRV@\n";
        }
        config += &format!("{}\n", self.globals.trim_end_matches('\n'));
        if !self.modules.iter().any(|module| module == "proto_udp") {
            config += "loadmodule \"proto_udp.so\"\n";
        }
        for module in &self.modules {
            config += &format!("loadmodule \"{module}.so\"\n");
        }
        config += &format!("{}\n", self.modparams.trim_end_matches('\n'));
        config + &self.routes
    }
}

impl Sent {
    fn new(value: &Value) -> Self {
        let from = match text(value, "from") {
            "uas" => From::FarSide,
            "tcp" => From::Connection,
            _ => From::Client,
        };
        Self { text: text(value, "text").to_owned(), from, wait: millis(&value["wait"], 0) }
    }
}

impl Answers {
    fn new(value: &Value) -> Self {
        let method = value["method"].as_str().unwrap_or("INVITE").to_owned();
        Self { method, replies: list(value, "send").iter().map(Answer::new).collect() }
    }
}

impl Answer {
    fn new(value: &Value) -> Self {
        let status = value.as_str().unwrap_or(text(value, "status")).to_owned();
        let pause = Duration::from_secs_f64(value["pause"].as_f64().unwrap_or(0.01));
        Self { status, headers: texts(value, "headers"), pause }
    }
}

/// A variant is the case with some members replaced.
fn merged(case: &Value, variant: &Value) -> Value {
    let mut merged = case.clone();
    let members = merged.as_object_mut().unwrap();
    for gone in ["variants", "messages"] {
        members.remove(gone);
    }
    members.extend(variant.as_object().unwrap().clone());
    merged
}

fn lines(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

fn counts(value: &Value) -> Counts {
    [0, 1, 2].map(|index| usize::try_from(value[index].as_u64().unwrap()).unwrap())
}

/// An expression and what stands for its matches, which names groups as `\1`; an expression alone becomes `@V@`.
fn volatile(value: &Value) -> (Regex, String) {
    let (expression, token) = match value.as_str() {
        Some(expression) => (expression, "@V@"),
        None => (value[0].as_str().unwrap(), value[1].as_str().unwrap()),
    };
    let group = Regex::new(r"\\(\d)").unwrap();
    (Regex::new(expression).unwrap(), group.replace_all(token, "$${$1}").into_owned())
}
