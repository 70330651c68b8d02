//! The player of recorded cases: a case file goes in, differences come out.
//!
//! # The language of a case
//!
//! A file begins with `#` lines that say what the case is about. Parts follow; each has a head, `--- verb arguments`, and
//! a body down to the next head. Blank lines at the end of a body do not count.
//!
//! What stands before the first part that needs the server prepares the scene:
//!
//! | part | body |
//! |---|---|
//! | `config [arguments]` | the configuration, as it is; the arguments are added to the command line |
//! | `listen udp:NAME`, `listen unix:PATH`, `listen tcp:NAME` | opens a subscriber's socket |
//! | `names` | lines `name TYPE value [after milliseconds]` of a name server at `<port:DNS>` |
//! | `mariadb` | none: a database server at `<port:SQL>` |
//!
//! What is sent, and what must come back:
//!
//! | part | body |
//! |---|---|
//! | `mi_fifo [reply]` | one line for `mi.fifo`; the answer comes through the FIFO of that name, by default `rep` |
//! | `mi_fifo_raw [reply]` | the same, without the newline at the end |
//! | `mi_datagram [NAME]` | one datagram for the port `NAME`, by default `MI` |
//! | `mi_http [NAME]` | one request, lines joined by CR LF, for the port `NAME`, by default `HTTP` |
//! | `sip NAME` | one message, lines joined by CR LF, sent over UDP from the port `PHONE` to the port `NAME` |
//! | `answer [eventually]` | what comes back for the part before: one line, or a message; empty: nothing. `eventually`: the request is repeated until it does |
//! | `expect SUBSCRIBER [unordered]` | the next datagrams, one a line; empty: nothing has come. For `tcp:` all lines without a delimiter. `within:SECONDS`: it may take so long |
//! | `log` | lines that the log contains from here on, in this order |
//! | `file PATH` | the whole content of a file in the server's folder |
//! | `rename PATH PATH` | gives a file in the server's folder another name |
//! | `connect NAME tcp\|tls\|ws\|wss PORT` | opens a connection; its near port is `<port:NAME>` |
//! | `accept NAME tcp:PORT` | takes a connection that the server opened; its far port is `<port:NAME>` |
//! | `say tcp:PORT` | bytes for the server, over the connection of a subscriber that was read last: all lines without a delimiter |
//! | `hangup tcp:PORT` | closes the connections that were opened to a subscriber |
//! | `write NAME` | a message, lines joined by CR LF |
//! | `status NAME CODE` | the next message on a connection is a response with this code |
//! | `receive NAME METHOD` | the next message on a connection is a request with this method |
//! | `close NAME`, `closed NAME` | closes a connection; waits until the server has closed it |
//! | `memory shm\|pkg SUBSCRIBER` | checks the rule of the memory thresholds ([`memory`]) |
//! | `busy udp\|tcp PORT`, `idle [SECONDS]` | requests keep coming, until the second part, and at least for so long |
//! | `fill PORT COUNT BYTES` | that many requests with bodies of that many bytes, one after the other |
//! | `run arguments` | runs the program to its end; body: lines that its output contains |
//! | `daemon [arguments]` | starts the server in the background, for the rest of the case |
//! | `exit CODE` | the status of the program that ended, or ends now |
//! | `signal NAME [times]` | sends a signal to the main process |
//! | `waived reason` | what OpenSIPS sent here; the part that follows says what is required instead |
//!
//! Bytes are written as `\r`, `\n`, `\t`, `\\` and `\xNN`. [`pattern`] lists the placeholders.

mod case;
mod daemon;
mod memory;
mod pattern;
mod stage;
mod talk;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use case::Case;

/// Cases of one topic that run at the same time: most of them wait most of the time.
const SIDE_BY_SIDE: usize = 3;

/// Plays all cases of a topic. Fails with all their differences.
pub(crate) fn topic(topic: &str) {
    let not_yet = not_yet();
    let queue = Mutex::new(files(&folder().join(topic)));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(file) = take(&queue) {
                    let name = format!("{topic}/{}", stem(&file));
                    let failure = failure(&name, not_yet.get(&name), play(&file));
                    failures.lock().unwrap().extend(failure);
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} cases differ\n\n{}\n", failures.len(), failures.join("\n\n"));
}

/// What is wrong with the outcome of a case; `not_yet` is why it was not expected to pass.
fn failure(name: &str, not_yet: Option<&String>, outcome: Result<(), String>) -> Option<String> {
    match (not_yet, outcome) {
        (None, Err(difference)) => Some(format!("{name}: {difference}")),
        (Some(_), Ok(())) => Some(format!("{name}: passes now: remove it from not-yet.toml")),
        (Some(reason), Err(_)) => {
            eprintln!("{name}: not yet: {reason}");
            None
        }
        (None, Ok(())) => None,
    }
}

/// Every folder is a topic with a test, every file a case, and what is not yet there is known.
pub(crate) fn check_files(topics: &[&str]) {
    let mut cases = Vec::new();
    for entry in entries(&folder()) {
        let name = stem(&entry);
        if entry.is_dir() && name != "replay" {
            assert!(topics.contains(&name.as_str()), "{name}/ has no test in main.rs");
            for file in files(&entry) {
                cases.push(format!("{name}/{}", stem(&file)));
            }
        }
    }
    for topic in topics {
        assert!(cases.iter().any(|case| case.starts_with(&format!("{topic}/"))), "{topic} has no case");
    }
    let (recorded, not_yet) = (recorded(), not_yet());
    for name in &recorded {
        let known = cases.contains(name) || not_yet.contains_key(name);
        assert!(known, "{name} was recorded: it is neither a case nor in not-yet.toml");
    }
    for name in not_yet.keys() {
        let known = cases.contains(name) || recorded.contains(name);
        assert!(known, "not-yet.toml names {name}, which is no case");
    }
}

fn play(file: &Path) -> Result<(), String> {
    let case = Case::parse(&fs::read_to_string(file).unwrap())?;
    catch_unwind(AssertUnwindSafe(|| stage::play(&case))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(text.unwrap_or_else(|| "a panic".to_owned()))
    })
}

/// The names of all cases that were recorded of OpenSIPS, also of those that nobody has written down here.
fn recorded() -> Vec<String> {
    let text = fs::read_to_string(folder().join("recorded.txt")).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The cases that cannot pass yet: `"topic/case" = "reason"`.
fn not_yet() -> BTreeMap<String, String> {
    let text = fs::read_to_string(folder().join("not-yet.toml")).unwrap();
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let quoted = |text: &str| {
                text.trim().strip_prefix('"').and_then(|text| text.strip_suffix('"')).map(str::to_owned)
            };
            let (case, reason) = line.split_once(" = ").expect("\"topic/case\" = \"reason\"");
            (quoted(case).expect("a quoted case"), quoted(reason).expect("a quoted reason"))
        })
        .collect()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

fn take(queue: &Mutex<Vec<PathBuf>>) -> Option<PathBuf> {
    queue.lock().unwrap().pop()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let files = entries(folder);
    let odd = files.iter().find(|file| file.extension().is_none_or(|extension| extension != "txt"));
    assert!(odd.is_none(), "{odd:?} is no case");
    files
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|cause| panic!("{}: {cause}", folder.display()));
    let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}
