//! One run of a case: the server, its client and the far side, and what comes of the messages.

use std::collections::{HashMap, HashSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::super::clock::{pause, readable};
use super::super::program::Program;
use super::case::{Answer, Counts, From, ScriptCase, Sent};
use super::ground::Ground;
use super::sip_text::{head, header, headers, with_crlf};
use super::{log, relayed};

/// Starts of a server whose ports turn out to be taken.
const ATTEMPTS: usize = 5;
/// Silence after which what has not come yet is missing, however busy the machine.
const MISSING: Duration = Duration::from_millis(700);
/// Silence after which it is certain that nothing comes where nothing is wanted.
const NOTHING: Duration = Duration::from_millis(80);
/// How long a case goes on for what is too much when it has all that it wants.
const TOO_MUCH: Duration = Duration::from_millis(30);
/// How often the log is looked at.
const LOOK: Duration = Duration::from_millis(4);

/// What came of a case.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) starts: bool,
    /// The server ended, or one of its processes did that should not.
    pub(super) died: bool,
    pub(super) log: Vec<String>,
    pub(super) replies: Vec<String>,
    pub(super) relayed: Vec<Vec<String>>,
    /// All that the server wrote.
    pub(super) text: String,
}

/// Starts the server, exchanges the messages of the case, and ends it.
pub(super) fn play(case: &ScriptCase) -> Observed {
    for _ in 1..ATTEMPTS {
        let mut stage = Stage::new(case);
        if stage.program.becomes_ready() {
            return stage.exchange_all();
        }
        if !stage.program.lost_its_port() {
            return Observed { text: stage.program.log(), ..Observed::default() };
        }
    }
    panic!("{ATTEMPTS} times a port that was free was taken a moment later");
}

struct Stage<'a> {
    case: &'a ScriptCase,
    program: Program,
    ground: Ground,
    connection: Option<TcpStream>,
    replies: Vec<String>,
    relayed: Vec<Vec<String>>,
    /// What tells a retransmission from a new message.
    seen: HashSet<[String; 4]>,
    /// What was sent, by Call-ID.
    sent: HashMap<String, String>,
    /// How many requests of a method the far side has answered.
    answered: HashMap<String, usize>,
    log: Log,
}

/// The script's entries, read anew when the log has grown.
#[derive(Default)]
struct Log {
    size: u64,
    count: usize,
}

impl<'a> Stage<'a> {
    fn new(case: &'a ScriptCase) -> Self {
        let ground = Ground::new();
        ground.configure(case);
        Self {
            case,
            program: ground.folder.start(),
            ground,
            connection: None,
            replies: Vec::new(),
            relayed: Vec::new(),
            seen: HashSet::new(),
            sent: HashMap::new(),
            answered: HashMap::new(),
            log: Log::default(),
        }
    }

    fn exchange_all(mut self) -> Observed {
        if let Some(wait) = self.case.wait {
            self.settle(wait, None);
        }
        let mut before = [0; 3];
        for (index, message) in self.case.messages.iter().enumerate() {
            let after = self.case.counts.get(index).copied().unwrap_or(before);
            // What was missing before stays missing: only what this message brings is waited for.
            let now = self.counts();
            let wanted = [0, 1, 2].map(|kind| now[kind] + after[kind].saturating_sub(before[kind]));
            before = after;
            self.send(message);
            self.settle(message.wait, (wanted != now).then_some(wanted));
            if self.program.has_ended() {
                break;
            }
        }
        self.settle_at_the_end();
        self.observed()
    }

    /// Waits for what is still missing, and a moment for what is too much.
    fn settle_at_the_end(&mut self) {
        let all = [self.case.log.len(), self.case.replies.len(), self.case.relayed.len()];
        self.settle(Duration::ZERO, (all != [0; 3]).then_some(all));
        self.settle(TOO_MUCH, Some([0; 3]));
    }

    fn observed(mut self) -> Observed {
        let text = self.program.log();
        let entries = log::entries(&text, self.case.levels);
        Observed {
            starts: true,
            died: self.program.has_ended() || text.contains("panicked at"),
            log: entries.iter().map(|entry| self.ground.unfill(entry, self.case)).collect(),
            replies: self.replies,
            relayed: self.relayed,
            text,
        }
    }

    /// Takes what comes for `least`, and until there is as much as is `wanted`, or nothing comes any more.
    fn settle(&mut self, least: Duration, wanted: Option<Counts>) {
        let start = Instant::now();
        let mut last = start;
        loop {
            if self.take() || self.log_has_grown() {
                last = Instant::now();
            }
            if self.program.has_ended() {
                self.take();
                self.log_has_grown();
                return;
            }
            if start.elapsed() < least {
                continue;
            }
            let silence = match wanted {
                Some(wanted) if at_least(self.counts(), wanted) => return,
                Some(_) => MISSING,
                None => NOTHING,
            };
            if last.elapsed() > silence {
                return;
            }
        }
    }

    fn counts(&self) -> Counts {
        [self.log.count, self.replies.len(), self.relayed.len()]
    }

    fn log_has_grown(&mut self) -> bool {
        let size = self.program.log_size();
        let grown = size != self.log.size;
        if grown {
            let count = log::entries(&self.program.log(), self.case.levels).len();
            self.log = Log { size, count };
        }
        grown
    }

    fn send(&mut self, message: &Sent) {
        if message.from == From::Connection && self.connection.is_none() {
            self.connect();
        }
        let text = with_crlf(&self.ground.fill(&message.text));
        self.sent.insert(header(&text, "Call-ID"), text.clone());
        let to = SocketAddr::from(([127, 0, 0, 1], self.ground.server));
        // A server that is gone is noticed by what does not come.
        let _ = match message.from {
            From::Client => self.ground.client.send_to(text.as_bytes(), to).map(|_| ()),
            From::FarSide => self.ground.far_side.send_to(text.as_bytes(), to).map(|_| ()),
            From::Connection => {
                self.connection.as_mut().map_or(Ok(()), |connection| connection.write_all(text.as_bytes()))
            }
        };
    }

    fn connect(&mut self) {
        let Ok(connection) = TcpStream::connect(("127.0.0.1", self.ground.server)) else { return };
        connection.set_nonblocking(true).unwrap();
        self.ground.add_connection(connection.local_addr().unwrap().port());
        self.connection = Some(connection);
    }

    /// Takes what has come, and waits a moment if there is nothing. Returns whether there was something.
    fn take(&mut self) -> bool {
        let mut sockets = vec![self.ground.client.as_fd(), self.ground.far_side.as_fd()];
        sockets.extend(self.connection.as_ref().map(AsFd::as_fd));
        readable(&sockets, LOOK);
        let mut any = false;
        while let Some((data, from)) = receive(&self.ground.far_side) {
            any |= self.take_message(&data, Some(from), true);
        }
        while let Some((data, _)) = receive(&self.ground.client) {
            any |= self.take_message(&data, None, false);
        }
        while let Some(data) = self.read_connection() {
            any |= self.take_message(&data, None, false);
        }
        any
    }

    fn read_connection(&mut self) -> Option<Vec<u8>> {
        let mut data = vec![0; 65_535];
        match self.connection.as_mut()?.read(&mut data) {
            Ok(0) => self.connection = None,
            Ok(length) => {
                data.truncate(length);
                return Some(data);
            }
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.connection = None,
        }
        None
    }

    /// Notes a message unless it is a retransmission. The far side answers it.
    fn take_message(&mut self, data: &[u8], from: Option<SocketAddr>, at_far_side: bool) -> bool {
        let text = String::from_utf8_lossy(data).into_owned();
        if text.trim().is_empty() {
            return false;
        }
        let start = text.split("\r\n").next().unwrap_or_default();
        let status = start.strip_prefix("SIP/2.0 ");
        let call = status.map_or_else(String::new, |_| header(&text, "Call-ID"));
        if !self.seen.insert([start.to_owned(), header(&text, "CSeq"), call, header(&text, "Via")]) {
            return true;
        }
        if let Some(status) = status {
            self.note_reply(&text, status, at_far_side);
            return true;
        }
        let edits = self.edits(&text);
        self.relayed.push(if at_far_side { edits } else { named("uac: ", edits) });
        if let Some(from) = from {
            self.answer(&text, from);
        }
        true
    }

    fn note_reply(&mut self, text: &str, status: &str, at_far_side: bool) {
        let mut reply = if at_far_side { "uas: ".to_owned() } else { String::new() };
        reply += status;
        for name in &self.case.reply_headers {
            for value in headers(text, name) {
                reply += &format!("\n{name}: {value}");
            }
        }
        self.replies.push(self.ground.unfill(&reply, self.case));
    }

    fn edits(&self, text: &str) -> Vec<String> {
        let sent = self.sent.get(&header(text, "Call-ID")).map_or("", String::as_str);
        let unfill = |text: &str| self.ground.unfill(text, self.case);
        relayed::edits(&unfill(sent), &unfill(text), &self.case.relayed_skip)
    }

    /// Answers the n-th request of its method as the n-th rule for that method says.
    fn answer(&mut self, request: &str, to: SocketAddr) {
        let method = request.split(' ').next().unwrap_or_default();
        let number = self.answered.entry(method.to_owned()).or_default();
        let mut rules = self.case.answers.iter().filter(|rule| rule.method == method);
        let rule = rules.nth(*number);
        let tag = *number;
        *number += 1;
        for answer in rule.iter().flat_map(|rule| &rule.replies) {
            let reply = self.ground.fill(&reply(request, answer, tag));
            let _ = self.ground.far_side.send_to(with_crlf(&reply).as_bytes(), to);
            pause(answer.pause);
        }
    }
}

fn at_least(counts: Counts, wanted: Counts) -> bool {
    counts.iter().zip(wanted).all(|(count, wanted)| *count >= wanted)
}

fn named(who: &str, edits: Vec<String>) -> Vec<String> {
    edits.into_iter().map(|edit| format!("{who}{edit}")).collect()
}

fn receive(socket: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
    let mut data = vec![0; 65_535];
    let (length, from) = socket.recv_from(&mut data).ok()?;
    data.truncate(length);
    Some((data, from))
}

/// A reply to a request, with the headers that identify the transaction.
fn reply(request: &str, answer: &Answer, number: usize) -> String {
    const COPIED: [&str; 8] = ["Via", "v", "Record-Route", "From", "f", "Call-ID", "i", "CSeq"];
    let mut lines = vec![format!("SIP/2.0 {}", answer.status)];
    let copied = |line: &&str| line.split_once(':').is_some_and(|(name, _)| COPIED.contains(&name));
    lines.extend(head(request).lines().filter(copied).map(str::to_owned));
    let to = header(request, "To");
    let has_tag = to.contains(";tag=") || answer.status.starts_with("100");
    let tag = if has_tag { String::new() } else { format!(";tag=uas{number}") };
    lines.push(format!("To: {to}{tag}"));
    lines.extend(answer.headers.iter().cloned());
    lines.push("Content-Length: 0\n\n".to_owned());
    lines.join("\n")
}
