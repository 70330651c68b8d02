//! Phones that call over TLS and WebSocket, and go on when their connection is cut.
//!
//! What lies in TLS dies with the worker that has it: the connection ends, and the phone connects again. A call that it had
//! not established yet it places again; in one that stands it goes on (RFC 5626 section 4.4.1, RFC 3261 section 12.2). A
//! plain WebSocket outlives its worker.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pace::Run;
use crate::harness::{Authority, Crowd, Kind, Member, Message, PATIENCE, Request, pause};

/// How long a call stands.
const HOLD: Duration = Duration::from_millis(300);
/// Calls over a connection, before the phone closes it and opens the next.
const CALLS_EACH: u64 = 20;
const PHONES: u32 = 3;
/// Connections over which a call is tried.
const TRIES: usize = 5;

/// What came of the calls of a phone.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Calls {
    pub(super) made: u64,
    /// Calls that were placed again.
    pub(super) again: usize,
    /// Connections that the server ended.
    pub(super) cuts: usize,
}

/// Phones of one kind.
#[derive(Clone)]
pub(super) struct Phones {
    kind: Kind,
    to: SocketAddr,
    crowd: Arc<Crowd>,
}

impl Phones {
    pub(super) fn new(kind: Kind, to: SocketAddr, authority: &Authority) -> Self {
        Self { kind, to, crowd: Arc::new(Crowd::new(kind, to, authority)) }
    }

    /// So many are there to make the calls of a kind.
    pub(super) fn count(&self) -> u32 {
        PHONES
    }

    /// Places calls, one after the other, until the load is over.
    pub(super) fn call(&self, run: &Run, rate: f64) -> Calls {
        let mut phone = Phone { phones: self, member: None, calls: Calls::default() };
        run.repeat(rate, |number| {
            if number % CALLS_EACH == 0 {
                phone.member = None;
            }
            if let Err(failure) = phone.call() {
                phone.member = None;
                run.fails(format!("a call over {}: {failure}", self.kind.transport()));
            }
        });
        phone.calls
    }
}

/// One of them.
struct Phone<'a> {
    phones: &'a Phones,
    member: Option<Member>,
    calls: Calls,
}

/// A call that stands.
struct Dialog {
    invite: Request,
    answer: Message,
}

impl Dialog {
    /// The text of a request in this dialog (RFC 3261 section 12.2.1.1), over the connection from `port`.
    fn request(&self, method: &str, sequence: u32, kind: Kind, port: u16) -> String {
        let contact = self.answer.header("Contact").unwrap_or_default();
        let uri = contact.trim_start_matches('<').split('>').next().unwrap_or_default();
        let mut request = self.invite.ack(&self.answer);
        method.clone_into(&mut request.method);
        uri.clone_into(&mut request.uri);
        let fresh = Request::over(kind.transport(), port, method, uri);
        request.branch = fresh.branch;
        for route in self.answer.headers("Record-Route").iter().rev().flat_map(|value| value.split(',').rev())
        {
            request = request.header("Route", route.trim());
        }
        request.text().replace("CSeq: 1 ", &format!("CSeq: {sequence} "))
    }
}

impl Phone<'_> {
    /// Makes one call from its INVITE to the end of its BYE.
    fn call(&mut self) -> Result<(), String> {
        let dialog = self.place()?;
        pause(HOLD);
        self.hang_up(&dialog)?;
        self.calls.made += 1;
        Ok(())
    }

    /// Places the call, if need be again, until it stands.
    fn place(&mut self) -> Result<Dialog, String> {
        let kind = self.phones.kind;
        for _ in 0..TRIES {
            let port = self.connection()?.port;
            let invite =
                Request::over(kind.transport(), port, "INVITE", &format!("sip:callee@{}", self.phones.to));
            let answer = self.exchange(
                &invite.text(),
                |_| None,
                |message| message.header("Call-ID") == Some(&invite.call_id),
            );
            match answer {
                Ok(answer) if answer.status() == Some(200) => {
                    let dialog = Dialog { invite, answer };
                    let ack = dialog.request("ACK", 1, kind, port);
                    // If this connection is cut, the BYE says it.
                    let _ = self.connection()?.try_send(&ack);
                    return Ok(dialog);
                }
                Ok(answer) => return Err(format!("the INVITE got {}", answer.text)),
                Err(cause) => {
                    self.is_cut(&cause, "INVITE")?;
                    self.calls.again += 1;
                }
            }
        }
        Err(format!("the INVITE had no answer over {TRIES} connections"))
    }

    /// Ends the call, if need be over another connection. Over that one the callee may have ended it already.
    fn hang_up(&mut self, dialog: &Dialog) -> Result<(), String> {
        let kind = self.phones.kind;
        for again in 0..TRIES {
            let port = self.connection()?.port;
            let bye = dialog.request("BYE", 2, kind, port);
            let ack = dialog.request("ACK", 1, kind, port);
            let is_repeated = |message: &Message| (message.cseq_method() == "INVITE").then(|| ack.clone());
            let is_answer = |message: &Message| {
                message.header("Call-ID") == Some(&dialog.invite.call_id) && message.cseq_method() == "BYE"
            };
            match self.exchange(&bye, is_repeated, is_answer) {
                Ok(answer) if answer.status() == Some(200) => return Ok(()),
                Ok(answer) if again > 0 && matches!(answer.status(), Some(408 | 481)) => return Ok(()),
                Ok(answer) => return Err(format!("the BYE got {}", answer.text)),
                Err(cause) => self.is_cut(&cause, "BYE")?,
            }
        }
        Err(format!("the BYE had no answer over {TRIES} connections"))
    }

    /// Sends `request` and waits for its final response; what `reply` finds to answer is answered meanwhile.
    fn exchange(
        &mut self,
        request: &str,
        reply: impl Fn(&Message) -> Option<String>,
        is_answer: impl Fn(&Message) -> bool,
    ) -> io::Result<Message> {
        let member = self.member.as_mut().expect("a connection");
        member.try_send(request)?;
        loop {
            let message = member.try_receive()?;
            let is_final = message.status().is_some_and(|status| status >= 200);
            if is_final && is_answer(&message) {
                return Ok(message);
            }
            if is_final && let Some(text) = reply(&message) {
                member.try_send(&text)?;
            }
        }
    }

    /// Goes on without the connection, if it has ended; silence is a failure.
    fn is_cut(&mut self, cause: &io::Error, what: &str) -> Result<(), String> {
        self.member = None;
        if matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
            return Err(format!("no final response to the {what} within {PATIENCE:?}"));
        }
        self.calls.cuts += 1;
        Ok(())
    }

    /// Its connection, a new one if there is none. One that is cut in its handshake is tried again.
    fn connection(&mut self) -> Result<&mut Member, String> {
        let deadline = Instant::now() + PATIENCE;
        while self.member.is_none() {
            match self.phones.crowd.try_join() {
                Ok(member) => self.member = Some(member),
                Err(cause) if Instant::now() > deadline => return Err(format!("no connection: {cause}")),
                Err(_) => self.calls.cuts += 1,
            }
        }
        Ok(self.member.as_mut().expect("a connection"))
    }
}
