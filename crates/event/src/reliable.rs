//! One connection to a subscriber in reliable mode, shared by all its subscriptions: each event is a request, and is
//! delivered when the subscriber answered it, with a result or an error.
//!
//! Requests follow each other without waiting; answers may come in any order. What was not answered when the connection
//! ended goes again over the next one, what is not answered in time is given up. An answer to no request is ignored; what is
//! no JSON-RPC ends the connection and costs the oldest request.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tocsin_json::{Limits, Value, parse_prefix};
use tocsin_shm::monotonic_micros;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use crate::attempts::Attempts;
use crate::dial::{OwnPort, dial};
use crate::line::LINE_BYTES;
use crate::requests::Requests;
use crate::window::Document;

/// Bytes of one answer.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Reads of answers before others have their turn.
const READS_IN_A_ROW: usize = 16;

/// Carries the requests of `batches` to the subscriber at `to`, until nobody can send more. `patience` is how long an
/// attempt to connect and an answer may take, and how long requests wait for a connection. `gone` is rung when somebody no
/// longer waits for what it gave.
pub(crate) async fn carry(
    to: SocketAddr,
    patience: Duration,
    mut batches: mpsc::Receiver<Vec<Document>>,
    gone: Rc<Notify>,
) {
    let mut line = Line {
        to,
        patience,
        requests: Requests::new(patience),
        attempts: Attempts::new(patience),
        connection: None,
    };
    loop {
        if line.requests.is_empty() && line.connection.is_none() {
            let Some(batch) = batches.recv().await else { return };
            line.requests.take(batch);
        }
        // All who gave requests know what became of them, or do not want to know.
        if batches.is_closed() && batches.is_empty() {
            return;
        }
        line.work().await;
        // Cancelling any of these loses nothing.
        tokio::select! {
            batch = batches.recv(), if line.requests.bytes() < LINE_BYTES => match batch {
                Some(batch) => line.requests.take(batch),
                None => return,
            },
            () = gone.notified() => {}
            () = line.ready() => {}
        }
    }
}

struct Line {
    to: SocketAddr,
    patience: Duration,
    requests: Requests,
    attempts: Attempts,
    connection: Option<Connection>,
}

struct Connection {
    stream: TcpStream,
    /// What came and is no whole answer yet.
    heard: Vec<u8>,
    _port: OwnPort,
}

impl Line {
    /// Does what can be done now.
    async fn work(&mut self) {
        self.requests.forget_closed();
        self.hear();
        self.requests.expire(Instant::now());
        self.give_up();
        if self.requests.unwritten().is_some() {
            let attempt = monotonic_micros();
            match self.connect().await {
                Ok(()) => self.write(),
                Err(error) => self.failed(attempt, &error),
            }
            self.give_up();
        }
    }

    /// Waits until there may be something to do.
    async fn ready(&mut self) {
        let has_more = self.requests.unwritten().is_some();
        let Some(connection) = &self.connection else {
            // Time is waited for when connecting.
            if !has_more {
                std::future::pending::<()>().await;
            }
            return;
        };
        let interest = if has_more { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        let deadline = self.requests.deadline();
        tokio::select! {
            // Failing is noticed when it is read.
            _ = connection.stream.ready(interest) => {}
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
        }
    }

    /// Reads answers, and notices the end of the connection.
    fn hear(&mut self) {
        for _ in 0..READS_IN_A_ROW {
            let Some(connection) = &mut self.connection else { return };
            let mut bytes = [0; 4096];
            match connection.stream.try_read(&mut bytes) {
                Ok(0) => return self.end(&ErrorKind::UnexpectedEof.into()),
                Ok(length) => connection.heard.extend_from_slice(&bytes[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => return self.end(&error),
            }
            let taken = read_answers(&connection.heard, |id| self.requests.answer(id, Instant::now()));
            match taken {
                Some(length) => drop(connection.heard.drain(..length)),
                None => {
                    self.requests.garbage();
                    return self.end(&io::Error::new(ErrorKind::InvalidData, "its answer is not JSON-RPC"));
                }
            }
            self.attempts.succeeded();
        }
    }

    /// The connection is over. It is a failed attempt if anything has to be written again.
    fn end(&mut self, why: &io::Error) {
        self.connection = None;
        if self.requests.restart() {
            self.failed(monotonic_micros(), why);
        }
    }

    fn failed(&mut self, attempt: u64, why: &io::Error) {
        let text = format!("cannot send to {}: {why}", self.to);
        self.attempts.failed(attempt, Instant::now(), why.kind(), text);
    }

    fn give_up(&mut self) {
        if self.connection.is_none()
            && let Some((attempt, why)) = self.attempts.over(Instant::now())
        {
            self.requests.give_up(attempt, &why);
        }
    }

    /// Sees to it that there is a connection; in trouble not before the time to try again.
    async fn connect(&mut self) -> io::Result<()> {
        if self.connection.is_some() {
            // So that the runtime looks whether the other end has closed just now.
            tokio::task::yield_now().await;
            self.hear();
        }
        if self.connection.is_none() {
            if let Some(again) = self.attempts.again() {
                sleep_until(again).await;
            }
            let (stream, port) = dial(self.to, self.requests.own_ports(), self.patience).await?;
            self.connection = Some(Connection { stream, heard: Vec::new(), _port: port });
        }
        Ok(())
    }

    /// Writes as much as is taken at once.
    fn write(&mut self) {
        while let Some(connection) = &self.connection
            && let Some(bytes) = self.requests.unwritten()
        {
            match connection.stream.try_write(bytes) {
                Ok(length) => self.requests.written(length, Instant::now()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => return self.end(&error),
            }
        }
    }
}

/// Reads the answers that `bytes` begin with, and tells their ids. Returns how many bytes they took; none if there is
/// something that cannot become an answer.
fn read_answers(bytes: &[u8], mut answered: impl FnMut(i64)) -> Option<usize> {
    let mut taken = 0;
    loop {
        let rest = &bytes[taken..];
        let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let rest = &rest[space..];
        taken += space;
        if rest.is_empty() {
            return Some(taken);
        }
        if rest[0] != b'{' {
            return None;
        }
        match parse_prefix(rest, Limits::default()) {
            Ok((answer, length)) => {
                taken += length;
                if let Some(id) = answer.member("id").and_then(Value::as_integer) {
                    answered(id);
                }
            }
            Err(error) if error.kind == tocsin_json::ErrorKind::End && rest.len() <= MAX_ANSWER_BYTES => {
                return Some(taken);
            }
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_in_what_comes() {
        let read = |text: &str| {
            let mut ids = Vec::new();
            let taken = read_answers(text.as_bytes(), |id| ids.push(id));
            (taken, ids)
        };
        let (one, other) = (r#"{"jsonrpc":"2.0","result":8,"id":1}"#, r#"{"id":2,"error":{"code":1}}"#);
        assert_eq!(read(&format!("{one}\r\n{other}")), (Some(one.len() + other.len() + 2), vec![1, 2]));
        assert_eq!(read(&format!("{one} {}", &other[..9])), (Some(one.len() + 1), vec![1]));
        assert_eq!(read(r#"{"id":"x"}{"result":1}{"id":null}"#).1, []);
        for garbage in ["not json at all", "8", "[1]", "{]", "{\"a\":tru}"] {
            assert_eq!(read(garbage).0, None, "{garbage}");
        }
        assert_eq!(read(&format!("{{\"a\":\"{}", "x".repeat(MAX_ANSWER_BYTES))).0, None, "too long");
    }
}
