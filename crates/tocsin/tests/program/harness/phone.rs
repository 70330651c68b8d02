//! A SIP user agent of the simplest kind: it sends what it is told and shows what it receives.

use std::fmt::Write;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// A UDP socket that speaks SIP.
pub(crate) struct Phone {
    socket: UdpSocket,
}

impl Phone {
    pub(crate) fn new() -> Self {
        Self { socket: UdpSocket::bind("127.0.0.1:0").unwrap() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    pub(crate) fn send(&self, to: SocketAddr, message: impl AsRef<[u8]>) {
        self.socket.send_to(message.as_ref(), to).unwrap();
    }

    /// The next message, which must come.
    pub(crate) fn receive(&self) -> Message {
        self.receive_within(PATIENCE).expect("a SIP message")
    }

    /// The next message, if one comes in time.
    pub(crate) fn receive_within(&self, patience: Duration) -> Option<Message> {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut bytes = vec![0; 65_536];
        let length = self.socket.recv(&mut bytes).ok()?;
        Some(Message { text: String::from_utf8_lossy(&bytes[..length]).into_owned() })
    }

    /// The next request, which must be a `method`.
    pub(crate) fn expect_request(&self, method: &str) -> Message {
        let message = self.receive();
        assert_eq!(message.method(), Some(method), "{}", message.text);
        message
    }

    /// The next response that is not 100; it must have this status.
    pub(crate) fn expect_status(&self, status: u16) -> Message {
        let message = self.receive_final_or_ringing();
        assert_eq!(message.status(), Some(status), "{}", message.text);
        message
    }

    /// The next message that satisfies `wanted`; those before it are repetitions that the test does not count.
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&Message) -> bool) -> Message {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self
                .receive_within(
                    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)),
                )
                .unwrap_or_else(|| panic!("no {what} came"));
            if wanted(&message) {
                return message;
            }
        }
    }

    /// Asks the server for a sign of life: by the time it answers, all that was sent before has been served, if one
    /// worker serves it. Returns what came before the answer.
    pub(crate) fn ping(&self, server: SocketAddr) -> Vec<Message> {
        let probe = Request::new(self, "OPTIONS", &format!("sip:ping@{server}"));
        self.send(server, probe.text());
        let mut before = Vec::new();
        loop {
            let message = self.receive();
            if message.header("Call-ID") == Some(&probe.call_id) {
                assert_eq!(message.status(), Some(200), "{}", message.text);
                return before;
            }
            before.push(message);
        }
    }

    fn receive_final_or_ringing(&self) -> Message {
        loop {
            let message = self.receive();
            if message.status() != Some(100) {
                return message;
            }
        }
    }
}

/// A message as it came.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) text: String,
}

impl Message {
    pub(crate) fn start_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The status of a response.
    pub(crate) fn status(&self) -> Option<u16> {
        self.start_line().strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    /// The method of a request.
    pub(crate) fn method(&self) -> Option<&str> {
        if self.status().is_some() { None } else { self.start_line().split(' ').next() }
    }

    pub(crate) fn uri(&self) -> &str {
        self.start_line().split(' ').nth(1).unwrap_or_default()
    }

    /// The values of all header fields of this name, in order.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("\r\n\r\n").next().unwrap_or_default();
        let fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        fields
            .filter(|(found, _)| found.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }

    /// The first header field of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    pub(crate) fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default()
    }

    /// The branch of the topmost Via.
    pub(crate) fn branch(&self) -> &str {
        let via = self.header("Via").unwrap_or_default();
        via.split(';').find_map(|parameter| parameter.trim().strip_prefix("branch=")).unwrap_or_default()
    }

    /// The tag of the To.
    pub(crate) fn to_tag(&self) -> Option<&str> {
        self.header("To")?.split(";tag=").nth(1)
    }

    /// The method that a response answers, or that a request is.
    pub(crate) fn cseq_method(&self) -> &str {
        self.header("CSeq").and_then(|value| value.split(' ').nth(1)).unwrap_or_default()
    }

    /// A response to this request, with a To tag of `tag` and `more` header lines.
    pub(crate) fn response(&self, status: &str, tag: &str, more: &str) -> String {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for via in self.headers("Via") {
            write!(text, "Via: {via}\r\n").unwrap();
        }
        for route in self.headers("Record-Route") {
            write!(text, "Record-Route: {route}\r\n").unwrap();
        }
        let to = self.header("To").unwrap();
        let to_tag =
            if tag.is_empty() || to.contains(";tag=") { String::new() } else { format!(";tag={tag}") };
        write!(text, "From: {}\r\nTo: {to}{to_tag}\r\n", self.header("From").unwrap()).unwrap();
        write!(
            text,
            "Call-ID: {}\r\nCSeq: {}\r\n",
            self.header("Call-ID").unwrap(),
            self.header("CSeq").unwrap()
        )
        .unwrap();
        write!(text, "{more}Content-Length: 0\r\n\r\n").unwrap();
        text
    }
}

static LAST_CALL: AtomicU64 = AtomicU64::new(0);

/// A request to send.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) call_id: String,
    pub(crate) branch: String,
    pub(crate) more: String,
    pub(crate) body: String,
    transport: &'static str,
    via_port: u16,
    from_tag: String,
    to: String,
    contact: String,
}

impl Request {
    /// A request of a new call from `phone`.
    pub(crate) fn new(phone: &Phone, method: &str, uri: &str) -> Self {
        Self::over("UDP", phone.port(), method, uri)
    }

    /// The same from a `port` of another transport, as a Via names it.
    pub(crate) fn over(transport: &'static str, port: u16, method: &str, uri: &str) -> Self {
        let number = LAST_CALL.fetch_add(1, Relaxed);
        let parameter = if transport == "UDP" {
            String::new()
        } else {
            format!(";transport={}", transport.to_ascii_lowercase())
        };
        Self {
            method: method.to_owned(),
            uri: uri.to_owned(),
            call_id: format!("call-{port}-{number}"),
            branch: format!("z9hG4bK-{port}-{number}"),
            more: String::new(),
            body: String::new(),
            transport,
            via_port: port,
            from_tag: format!("from-{number}"),
            to: format!("<{uri}>"),
            contact: format!("<sip:caller@127.0.0.1:{port}{parameter}>"),
        }
    }

    /// Adds one header field.
    pub(crate) fn header(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        write!(self.more, "{name}: {value}\r\n").unwrap();
        self
    }

    /// Another To than the request's URI.
    pub(crate) fn to(mut self, to: &str) -> Self {
        to.clone_into(&mut self.to);
        self
    }

    /// Another Contact than the phone's.
    pub(crate) fn contact(mut self, contact: &str) -> Self {
        contact.clone_into(&mut self.contact);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// The CANCEL of this INVITE (RFC 3261 section 9.1).
    pub(crate) fn cancel(&self) -> Self {
        Self { method: "CANCEL".to_owned(), more: String::new(), body: String::new(), ..self.clone() }
    }

    /// The ACK of this INVITE: part of its transaction for a failure (section 17.1.1.3), of its own for a 2xx.
    pub(crate) fn ack(&self, response: &Message) -> Self {
        let own = response.status().is_some_and(|status| status < 300);
        let branch = if own { format!("{}-ack", self.branch) } else { self.branch.clone() };
        let to = response.header("To").unwrap().to_owned();
        Self {
            method: "ACK".to_owned(),
            branch,
            to,
            more: String::new(),
            body: String::new(),
            ..self.clone()
        }
    }

    /// The text of a BYE in the dialog that `answer` made of this INVITE.
    pub(crate) fn bye(&self, answer: &Message) -> String {
        let branch = format!("{}-bye", self.branch);
        let bye = Self { method: "BYE".to_owned(), branch, ..self.ack(answer) };
        bye.text().replace("CSeq: 1 ", "CSeq: 2 ")
    }

    pub(crate) fn text(&self) -> String {
        let Self { method, uri, call_id, branch, more, body, transport, via_port, from_tag, to, contact } =
            self;
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/{transport} 127.0.0.1:{via_port};branch={branch}\r\n\
             From: <sip:caller@127.0.0.1:{via_port}>;tag={from_tag}\r\n\
             To: {to}\r\n\
             Call-ID: {call_id}\r\n\
             CSeq: 1 {}\r\n\
             Max-Forwards: 70\r\n\
             Contact: {contact}\r\n\
             {more}Content-Length: {}\r\n\r\n{body}",
            method,
            body.len()
        )
    }
}
