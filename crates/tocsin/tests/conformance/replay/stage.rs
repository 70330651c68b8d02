//! One case on stage: its server, everybody who talks to it, and what is known of them.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::case::{Case, Part};
use super::daemon::Daemon;
use super::memory::Watch;
use super::pattern::{Known, Pattern, show};
use super::talk::{self, Load, Receiver};
use crate::harness::{
    A_MOMENT, Authority, Ended, Line, MariaDb, Names, SecureClient, Server, Setup, Tunnel, Web, Zone, pause,
};

/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(12);

/// How long nothing comes after a request that is not answered.
const SILENCE: Duration = Duration::from_millis(300);

/// Plays a case from the first part to the last, and ends the server.
pub(crate) fn play(case: &Case) -> Result<(), String> {
    let mut stage = Stage::default();
    for (at, part) in case.parts.iter().enumerate() {
        if part.verb == "waived" {
            continue;
        }
        let following = case.parts.get(at + 1..).unwrap_or_default();
        let next = following.iter().find(|part| part.verb != "waived");
        stage
            .perform(part, next.filter(|next| next.verb == "answer"))
            .map_err(|difference| format!("line {}: {} {difference}", part.line, part.verb))
            .map_err(|difference| difference + &stage.last_words())?;
    }
    stage.finish()
}

/// Who sent last, and how to send it again.
struct Sent {
    by: String,
    to: String,
    bytes: Vec<u8>,
    answer: Vec<u8>,
}

/// A connection of a client.
enum Client {
    Line(Line, #[expect(dead_code, reason = "held, not read")] Option<Tunnel>),
    Web(Web, #[expect(dead_code, reason = "held, not read")] Option<Tunnel>),
}

#[derive(Default)]
pub(super) struct Stage {
    setup: Option<Setup>,
    names: Option<Names>,
    server: Option<Server>,
    daemon: Option<Daemon>,
    ended: Option<Ended>,
    pub(super) receivers: HashMap<String, Receiver>,
    pub(super) known: Known,
    sent: Option<Sent>,
    load: Option<Load>,
    phone: Option<UdpSocket>,
    clients: HashMap<String, Client>,
    /// How far the log was read.
    log_read: usize,
    pub(super) watches: HashMap<String, Watch>,
    /// How many requests were sent over UDP.
    pub(super) requests: u64,
    config: String,
    arguments: Vec<String>,
}

impl Stage {
    fn perform(&mut self, part: &Part, answer: Option<&Part>) -> Result<(), String> {
        match part.verb.as_str() {
            "config" => self.configure(part),
            "listen" => self.listen(part.argument(0)?),
            "names" => self.serve_names(part),
            "mariadb" => {
                self.known.set("port:SQL", &MariaDb::shared().port());
                Ok(())
            }
            "run" => self.run(part),
            "exit" => self.exit(part),
            "daemon" => self.start_daemon(part),
            _ => {
                self.start()?;
                self.act(part, answer)
            }
        }
    }

    /// What needs the server.
    fn act(&mut self, part: &Part, answer: Option<&Part>) -> Result<(), String> {
        match part.verb.as_str() {
            "mi_fifo" | "mi_fifo_raw" => {
                let mut bytes = part.line().fill(&mut self.known)?;
                if part.verb == "mi_fifo" {
                    bytes.push(b'\n');
                }
                self.send("fifo", part.argument_or(0, "rep"), bytes, answer)
            }
            "mi_datagram" => {
                let bytes = part.line().fill(&mut self.known)?;
                self.send("datagram", part.argument_or(0, "MI"), bytes, answer)
            }
            "mi_http" => {
                let bytes = part.message().fill(&mut self.known)?;
                self.send("http", part.argument_or(0, "HTTP"), bytes, answer)
            }
            "sip" => {
                let bytes = part.message().fill(&mut self.known)?;
                self.send("sip", part.argument(0)?, bytes, answer)
            }
            "answer" => self.compare_answer(part),
            "expect" => self.expect(part),
            "log" => self.read_log(part),
            "file" => self.compare_file(part),
            "say" => {
                let bytes = part.joined().fill(&mut self.known)?;
                let receiver = self.receivers.get_mut(part.argument(0)?).ok_or("of nobody")?;
                receiver.say(&bytes).then_some(()).ok_or_else(|| "cannot be said".to_owned())
            }
            "hangup" => {
                self.receivers.get_mut(part.argument(0)?).ok_or("of nobody")?.hang_up();
                Ok(())
            }
            "connect" => self.connect(part),
            "accept" => self.accept(part),
            "write" => {
                let bytes = part.message().fill(&mut self.known)?;
                match self.client(part.argument(0)?)? {
                    Client::Line(line, _) => line.send(bytes),
                    Client::Web(web, _) => web.send(bytes),
                }
                Ok(())
            }
            "status" => {
                let code: u16 = part.argument(1)?.parse().map_err(|_| "wants a code".to_owned())?;
                let message = match self.client(part.argument(0)?)? {
                    Client::Line(line, _) => line.receive(),
                    Client::Web(web, _) => web.receive(),
                };
                let got = message.status();
                (got == Some(code)).then_some(()).ok_or_else(|| format!("{code}: got {got:?}"))
            }
            "receive" => {
                let Client::Line(line, _) = self.client(part.argument(0)?)? else {
                    return Err("wants no WebSocket".to_owned());
                };
                let (wanted, got) = (part.argument(1)?, line.receive());
                let same = got.method() == Some(wanted);
                same.then_some(()).ok_or_else(|| format!("{wanted}: got {}", got.text))
            }
            "close" => self.clients.remove(part.argument(0)?).map(drop).ok_or_else(|| "of nobody".to_owned()),
            "closed" => {
                match self.client(part.argument(0)?)? {
                    Client::Line(line, _) | Client::Web(Web { line }, _) => line.read_to_end(),
                };
                Ok(())
            }
            "rename" => {
                let (from, to) = (self.path(part.argument(0)?)?, self.path(part.argument(1)?)?);
                std::fs::rename(from, to).map_err(|cause| cause.to_string())
            }
            "fill" => super::memory::fill(self, part),
            "busy" => {
                let port = self.known.port(part.argument(1)?);
                self.load = Some(Load::start(part.argument(0)? == "tcp", port));
                Ok(())
            }
            "idle" => {
                let seconds = part.argument_or(0, "0").parse().map_err(|_| "wants seconds".to_owned())?;
                let load = self.load.take().ok_or("after nothing")?;
                load.end(Duration::from_secs(seconds));
                Ok(())
            }
            "memory" => super::memory::check(self, part),
            "signal" => self.signal(part),
            verb => Err(format!("is no verb: {verb}")),
        }
    }

    fn configure(&mut self, part: &Part) -> Result<(), String> {
        self.finish_server()?;
        self.config = part.text();
        self.arguments.clone_from(&part.arguments);
        self.ended = None;
        self.setup = None;
        self.log_read = 0;
        Ok(())
    }

    fn listen(&mut self, name: &str) -> Result<(), String> {
        let (scheme, rest) = name.split_once(':').ok_or("wants udp:, unix: or tcp:")?;
        let receiver = match scheme {
            "udp" => Receiver::udp(),
            "tcp" => Receiver::tcp(),
            _ => Receiver::unix(&self.prepared().dir().join(rest)),
        };
        if let Some(port) = receiver.port() {
            self.known.set(&format!("port:{rest}"), &port);
        }
        self.receivers.insert(name.to_owned(), receiver);
        Ok(())
    }

    fn serve_names(&mut self, part: &Part) -> Result<(), String> {
        let mut zone = Zone::default();
        for line in &part.body {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| words.get(at).and_then(|word| word.parse().ok());
            zone = match (words.as_slice(), number(2)) {
                ([name, "A", ip, ..], _) => zone
                    .address(name, ip.rsplit('.').next().and_then(|last| last.parse().ok()).ok_or("no IP")?),
                ([name, "SRV", _, _, target, ..], Some(priority)) => {
                    zone.srv(name, priority, number(3).ok_or("no port")?, target)
                }
                ([_, "NONE", ..], _) => zone,
                _ => return Err(format!("does not know {line:?}")),
            };
            if let ([name, .., "after", _], Some(late)) = (words.as_slice(), number(words.len() - 1)) {
                zone = zone.late(name, Duration::from_millis(u64::from(late)));
            }
        }
        let names = zone.serve();
        self.known.set("port:DNS", &names.address().port());
        self.names = Some(names);
        Ok(())
    }

    /// The folder and the command line, before the program runs.
    fn prepared(&mut self) -> &Setup {
        self.setup.get_or_insert_with(|| Setup::new(""))
    }

    /// The setup with the configuration in which everything is known.
    fn ready(&mut self, arguments: &[String]) -> Result<Setup, String> {
        self.prepared();
        super::memory::set_threshold(&self.config, &self.arguments, &mut self.known)?;
        // A configuration has escapes of its own.
        let filled =
            Pattern::parse(&self.config.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n"));
        let text = String::from_utf8(filled.fill(&mut self.known)?).unwrap();
        let mut setup = self.setup.take().unwrap().text(&text);
        for argument in arguments {
            setup = setup.args([argument.as_str()]);
        }
        if text.contains("tls_mgm.so") {
            let authority = Authority::new();
            authority.issue("server", ["localhost"]);
            for (from, to) in [("server.pem", "cert.pem"), ("server.key", "key.pem")] {
                std::fs::copy(authority.path(from), setup.dir().join(to)).unwrap();
            }
        }
        self.known.set("dir", &setup.dir().display());
        Ok(setup)
    }

    fn start(&mut self) -> Result<(), String> {
        if self.server.is_some() || self.ended.is_some() || self.daemon.is_some() {
            return Ok(());
        }
        let setup = self.ready(&self.arguments.clone())?;
        let server = setup.start();
        self.known.pids = family(server.pid());
        self.known.set("pid:main", &server.pid());
        self.server = Some(server);
        Ok(())
    }

    fn run(&mut self, part: &Part) -> Result<(), String> {
        let setup = self.ready(&part.arguments)?.only(&part.arguments);
        let ended = setup.run_to_end();
        let said = format!("{}{}", ended.stdout, ended.stderr);
        self.setup = Some(Setup::new(""));
        self.ended = Some(ended);
        self.find_in_order(&part.patterns(), &said, 0).map(drop)
    }

    /// Starts the server in the background; its parent ends with success.
    fn start_daemon(&mut self, part: &Part) -> Result<(), String> {
        self.prepared();
        let daemon = Daemon::start(self.ready(&part.arguments)?)?;
        self.known.pids = family(daemon.pid.as_raw());
        self.daemon = Some(daemon);
        Ok(())
    }

    fn exit(&mut self, part: &Part) -> Result<(), String> {
        let wanted: i32 = part.argument(0)?.parse().map_err(|_| "wants a status".to_owned())?;
        if self.ended.is_none() {
            self.ended = self.server.take().map(|server| server.has_ended_with(wanted));
        }
        let ended = self.ended.take().ok_or("of nothing")?;
        let said = || format!("{wanted}: got {}\n{}{}", ended.status, ended.stdout, ended.stderr);
        (ended.status == wanted).then_some(()).ok_or_else(said)
    }

    fn send(&mut self, by: &str, to: &str, bytes: Vec<u8>, answer: Option<&Part>) -> Result<(), String> {
        let patience = match answer {
            Some(answer) if answer.body.is_empty() => SILENCE,
            Some(_) => PATIENCE,
            None => Duration::ZERO,
        };
        self.sent = Some(Sent { by: by.to_owned(), to: to.to_owned(), bytes, answer: Vec::new() });
        self.send_again(patience)
    }

    fn send_again(&mut self, patience: Duration) -> Result<(), String> {
        let dir = self.server()?.path("");
        let sent = self.sent.take().ok_or("to nothing")?;
        let patience = patience.max(Duration::from_millis(1));
        let answer = match sent.by.as_str() {
            "fifo" => talk::fifo(&dir, &sent.bytes, &sent.to, patience),
            "datagram" => talk::datagram(self.known.port(&sent.to), &sent.bytes, patience),
            "http" => talk::http(self.known.port(&sent.to), &sent.bytes, patience),
            _ => self.send_sip(&sent.to, &sent.bytes, patience),
        };
        self.sent = Some(Sent { answer, ..sent });
        Ok(())
    }

    /// Sends from the port `PHONE`, which the messages of a case name in their Via.
    fn send_sip(&mut self, to: &str, bytes: &[u8], patience: Duration) -> Vec<u8> {
        let (from, to) = (self.known.port("PHONE"), self.known.port(to));
        let phone = self.phone.get_or_insert_with(|| UdpSocket::bind(("127.0.0.1", from)).unwrap());
        let mut answer = vec![0; 65_536];
        // What came for a request before, and was not waited for.
        phone.set_nonblocking(true).unwrap();
        while phone.recv(&mut answer).is_ok() {}
        phone.set_nonblocking(false).unwrap();
        phone.send_to(bytes, ("127.0.0.1", to)).unwrap();
        self.requests += 1;
        phone.set_read_timeout(Some(patience)).unwrap();
        let length = phone.recv(&mut answer).unwrap_or(0);
        answer.truncate(length);
        answer
    }

    fn compare_answer(&mut self, part: &Part) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let sent = self.sent.as_ref().ok_or("of nothing")?;
            let wanted = if matches!(sent.by.as_str(), "http" | "sip") && !part.body.is_empty() {
                part.message()
            } else {
                part.line()
            };
            let answer = sent.answer.clone();
            let Err(difference) = wanted.matches(&answer, &mut self.known) else { return Ok(()) };
            if !part.is("eventually") || Instant::now() > deadline {
                return Err(self.differs(&difference, &[wanted], &[answer]));
            }
            pause(Duration::from_millis(50));
            self.send_again(PATIENCE)?;
        }
    }

    fn expect(&mut self, part: &Part) -> Result<(), String> {
        let name = part.argument(0)?;
        let mut receiver = self.receivers.remove(name).ok_or("of nobody")?;
        let outcome = if matches!(receiver, Receiver::Tcp(_)) && !part.body.is_empty() {
            self.expect_stream(&mut receiver, &part.joined(), patience(part)?)
        } else if part.body.is_empty() {
            match receiver.next(Duration::from_millis(20)) {
                None => Ok(()),
                Some(got) => Err(self.differs("nothing was to come", &[], &[got])),
            }
        } else {
            self.expect_datagrams(&mut receiver, part)
        };
        self.receivers.insert(name.to_owned(), receiver);
        outcome
    }

    fn expect_datagrams(&mut self, receiver: &mut Receiver, part: &Part) -> Result<(), String> {
        let mut wanted = part.patterns();
        let mut got = Vec::new();
        self.refresh_pids();
        while !wanted.is_empty() {
            let Some(next) = receiver.next(patience(part)?) else {
                return Err(self.differs("not enough came", &wanted, &got));
            };
            let candidates = if part.is("unordered") { wanted.len() } else { 1 };
            let mut difference = String::new();
            let found = (0..candidates).find(|at| match wanted[*at].matches(&next, &mut self.known) {
                Ok(()) => true,
                Err(cause) => {
                    difference = cause;
                    false
                }
            });
            match found {
                Some(at) => drop(wanted.remove(at)),
                None => return Err(self.differs(&difference, &wanted[..candidates], &[next])),
            }
            got.push(next);
        }
        Ok(())
    }

    fn expect_stream(
        &mut self,
        receiver: &mut Receiver,
        wanted: &Pattern,
        patience: Duration,
    ) -> Result<(), String> {
        let mut got = Vec::new();
        self.refresh_pids();
        loop {
            let next = receiver.next(patience);
            let came = next.is_some();
            got.extend(next.unwrap_or_default());
            match wanted.matches(&got, &mut self.known) {
                Ok(()) => return Ok(()),
                Err(difference) if !came => {
                    return Err(self.differs(&difference, std::slice::from_ref(wanted), &[got]));
                }
                Err(_) => {}
            }
        }
    }

    fn read_log(&mut self, part: &Part) -> Result<(), String> {
        let wanted = part.patterns();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.server()?.log();
            match self.find_in_order(&wanted, &log, self.log_read) {
                Ok(end) => {
                    self.log_read = end;
                    return Ok(());
                }
                Err(difference) if Instant::now() > deadline => return Err(difference),
                Err(_) => pause(Duration::from_millis(10)),
            }
        }
    }

    fn find_in_order(&mut self, wanted: &[Pattern], text: &str, from: usize) -> Result<usize, String> {
        let mut at = from;
        for pattern in wanted {
            let rest = text.as_bytes().get(at..).unwrap_or_default();
            at += pattern.find(rest, &mut self.known).ok_or_else(|| {
                format!(
                    "\n  missing:  {}\n  in:\n{}",
                    pattern.show(&self.known),
                    String::from_utf8_lossy(rest)
                )
            })?;
        }
        Ok(at)
    }

    fn compare_file(&mut self, part: &Part) -> Result<(), String> {
        let path = self.path(part.argument(0)?)?;
        let wanted = Pattern::parse(&part.body.iter().map(|line| format!("{line}\\n")).collect::<String>());
        let deadline = Instant::now() + PATIENCE;
        self.refresh_pids();
        loop {
            let got = std::fs::read(&path).unwrap_or_default();
            let Err(difference) = wanted.matches(&got, &mut self.known) else { return Ok(()) };
            if Instant::now() > deadline {
                return Err(self.differs(&difference, &[wanted], &[got]));
            }
            pause(Duration::from_millis(10));
        }
    }

    fn connect(&mut self, part: &Part) -> Result<(), String> {
        let name = part.argument(0)?;
        let to = SocketAddr::from(([127, 0, 0, 1], self.known.port(part.argument(2)?)));
        let kind = part.argument(1)?;
        let (line, tunnel) = if matches!(kind, "tls" | "wss") {
            let (line, tunnel) = SecureClient::new(to).open();
            (line, Some(tunnel))
        } else {
            (Line::open(to), None)
        };
        let port = tunnel.as_ref().map_or(line.port(), Tunnel::port);
        self.known.set(&format!("port:{name}"), &port);
        let client = if matches!(kind, "ws" | "wss") {
            Client::Web(Web::over(line, to), tunnel)
        } else {
            Client::Line(line, tunnel)
        };
        self.clients.insert(name.to_owned(), client);
        Ok(())
    }

    fn accept(&mut self, part: &Part) -> Result<(), String> {
        let receiver = self.receivers.get_mut(part.argument(1)?).ok_or("at nobody")?;
        let line = Line::new(receiver.accept(PATIENCE).ok_or("of nothing")?);
        let name = part.argument(0)?;
        self.known.set(&format!("port:{name}"), &line.peer().port());
        self.clients.insert(name.to_owned(), Client::Line(line, None));
        Ok(())
    }

    fn client(&mut self, name: &str) -> Result<&mut Client, String> {
        self.clients.get_mut(name).ok_or_else(|| format!("{name} is not connected"))
    }

    fn signal(&mut self, part: &Part) -> Result<(), String> {
        let signal: Signal =
            part.argument(0)?.parse().map_err(|_| "wants the name of a signal".to_owned())?;
        let pid = Pid::from_raw(self.server()?.pid());
        kill(pid, signal).map_err(|cause| cause.to_string())
    }

    /// A server with this configuration and nobody who talks to it.
    pub(super) fn idle(config: &str, arguments: &[String]) -> Result<Self, String> {
        let mut idle = Self { config: config.to_owned(), arguments: arguments.to_owned(), ..Self::default() };
        idle.start()?;
        Ok(idle)
    }

    pub(super) fn end(mut self) -> Result<(), String> {
        self.finish_server()
    }

    pub(super) fn server(&self) -> Result<&Server, String> {
        self.server.as_ref().ok_or_else(|| "wants a server".to_owned())
    }

    /// A file in the server's folder.
    fn path(&self, name: &str) -> Result<PathBuf, String> {
        match &self.daemon {
            Some(daemon) => Ok(daemon.setup.dir().join(name)),
            None => Ok(self.server()?.path(name)),
        }
    }

    /// Sees the processes that the server has now, beside those that it had.
    fn refresh_pids(&mut self) {
        if let Some(server) = &self.server {
            self.known.pids.extend(family(server.pid()));
        }
    }

    fn differs(&self, difference: &str, wanted: &[Pattern], got: &[Vec<u8>]) -> String {
        let list = |lines: Vec<String>| {
            if lines.is_empty() { "(nothing)".to_owned() } else { lines.join("\n            ") }
        };
        let wanted = list(wanted.iter().map(|pattern| pattern.show(&self.known)).collect());
        let got = list(got.iter().map(|bytes| show(bytes)).collect());
        format!("differs: {difference}\n  expected: {wanted}\n  got:      {got}")
    }

    /// Nothing else may have come, and the server ends well.
    fn finish(mut self) -> Result<(), String> {
        if !self.receivers.is_empty() && self.server.is_some() {
            pause(A_MOMENT / 3);
        }
        let mut receivers: Vec<_> = std::mem::take(&mut self.receivers).into_iter().collect();
        receivers.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, mut receiver) in receivers {
            while let Some(more) = receiver.next(Duration::from_millis(1)) {
                let Some(watch) = self.watches.get_mut(&name) else {
                    return Err(format!("the end: at {name} came more: {}", show(&more)));
                };
                super::memory::check_end(&self.known, watch, &more)?;
            }
        }
        self.finish_server()
    }

    fn finish_server(&mut self) -> Result<(), String> {
        self.clients.clear();
        if let Some(server) = self.server.take() {
            server.stop();
        }
        Ok(())
    }

    /// The end of the log, for a difference.
    fn last_words(&self) -> String {
        let Some(server) = &self.server else { return String::new() };
        let log = server.log();
        let lines: Vec<&str> = log.lines().collect();
        format!("\n  log ends: {}", lines[lines.len().saturating_sub(12)..].join("\n            "))
    }
}

/// How long to wait for what a part says: `within:SECONDS`, where what comes is slow.
fn patience(part: &Part) -> Result<Duration, String> {
    let within = part.arguments.iter().find_map(|argument| argument.strip_prefix("within:"));
    let seconds = within.map_or(Ok(PATIENCE), |text| text.parse().map(Duration::from_secs));
    seconds.map_err(|_| "wants within:SECONDS".to_owned())
}

/// The process `pid` and its children.
fn family(pid: i32) -> Vec<i32> {
    let children = std::fs::read_to_string(Path::new("/proc").join(format!("{pid}/task/{pid}/children")));
    let mut family = vec![pid];
    family.extend(children.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    family
}
