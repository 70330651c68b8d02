//! One connection to a subscriber that listens, shared by all its subscriptions.
//!
//! Documents go out in the order they were given, without anything between them. What the subscriber sends is read and
//! thrown away; that it has closed is noticed at once, and the next document opens a new connection. While none can be
//! had, documents wait: attempts follow each other with growing pauses, and when there was none to be had for the line's
//! whole patience, what was raised before the last attempt is given up. A subscriber that is connected and reads slowly is
//! waited for, until nobody wants its documents delivered any more. A document that was written in part when the connection
//! broke goes again, whole, over the next one.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::transport::Sent;

/// The pause after the first attempt that failed; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Reads of what the subscriber sends before others have their turn.
const READS_IN_A_ROW: usize = 16;

/// Documents in a row, and who wants to know what became of them.
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) documents: Vec<Document>,
    pub(crate) answer: oneshot::Sender<Sent>,
}

/// One document of a [`Batch`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Document {
    /// Where it ends in the batch's bytes.
    pub(crate) end: usize,
    /// When its event was raised, in microseconds since 1970.
    pub(crate) raised: u64,
}

/// Carries `batches` to the subscriber at `to`, until nobody can send more. `patience` is how long one attempt to connect
/// may take, and how long documents wait for a connection.
pub(crate) async fn carry(to: SocketAddr, patience: Duration, mut batches: mpsc::Receiver<Batch>) {
    let mut line = Line { to, patience, connection: None, trouble: None };
    loop {
        let next = tokio::select! {
            next = batches.recv() => next,
            () = line.listen() => continue,
        };
        let Some(Batch { bytes, documents, mut answer }) = next else { return };
        let sent = tokio::select! {
            sent = line.deliver(&bytes, &documents) => Some(sent),
            () = answer.closed() => None,
        };
        match sent {
            // Whoever was told to go in the meantime does not want to know.
            Some(sent) => drop(answer.send(sent)),
            // Nobody waits for it any more, and the last document may be there in part: others begin anew.
            None => line.connection = None,
        }
    }
}

struct Line {
    to: SocketAddr,
    patience: Duration,
    connection: Option<TcpStream>,
    trouble: Option<Trouble>,
}

/// What is known while documents do not come through.
struct Trouble {
    since: Instant,
    /// When the last attempt began, in microseconds since 1970.
    attempt: u64,
    /// When to try again.
    again: Instant,
    pause: Duration,
    why: String,
    kind: ErrorKind,
}

impl Line {
    /// Throws away what the subscriber sends, until it has closed.
    async fn listen(&mut self) {
        match &self.connection {
            None => std::future::pending().await,
            Some(connection) => {
                while connection.readable().await.is_ok() && drain(connection).is_ok() {
                    // A subscriber that never stops sending holds up nobody.
                    tokio::task::yield_now().await;
                }
                self.connection = None;
            }
        }
    }

    async fn deliver(&mut self, bytes: &[u8], documents: &[Document]) -> Sent {
        let mut sent = Sent::default();
        let (mut next, mut start) = (0, 0);
        while let Some(document) = documents.get(next) {
            if let Some(error) = self.hopeless(document) {
                sent.count(Err(error));
                (next, start) = (next + 1, document.end);
                continue;
            }
            let attempt = now();
            if let Err(error) = self.connect().await {
                self.failed(attempt, &error);
                continue;
            }
            let (written, result) = self.write(&bytes[start..]).await;
            let reached = start + written;
            while let Some(document) = documents.get(next).filter(|document| document.end <= reached) {
                sent.count(Ok(()));
                (next, start) = (next + 1, document.end);
                self.trouble = None;
            }
            if let Err(error) = result {
                self.connection = None;
                self.failed(attempt, &error);
            }
        }
        sent
    }

    /// Why a document has to be given up: after it was raised somebody tried in vain, at the end of the line's patience.
    fn hopeless(&self, document: &Document) -> Option<io::Error> {
        let trouble = self.trouble.as_ref()?;
        let tried = document.raised <= trouble.attempt && trouble.since.elapsed() >= self.patience;
        tried.then(|| io::Error::new(trouble.kind, trouble.why.clone()))
    }

    /// Sees to it that there is a connection; in trouble not before the time to try again.
    async fn connect(&mut self) -> io::Result<()> {
        if let Some(connection) = &self.connection {
            // So that the runtime looks whether the other end has closed just now.
            tokio::task::yield_now().await;
            if drain(connection).is_err() {
                self.connection = None;
            }
        }
        if self.connection.is_none() {
            if let Some(trouble) = &self.trouble {
                sleep_until(trouble.again).await;
            }
            let connection = timeout(self.patience, TcpStream::connect(self.to)).await??;
            connection.set_nodelay(true)?;
            self.connection = Some(connection);
        }
        Ok(())
    }

    fn failed(&mut self, attempt: u64, error: &io::Error) {
        let now = Instant::now();
        let (since, pause) = self
            .trouble
            .as_ref()
            .map_or((now, FIRST_PAUSE), |trouble| (trouble.since, (trouble.pause * 2).min(LONGEST_PAUSE)));
        // The last attempt that counts is at the end of the patience, not long after it.
        let end = since + self.patience;
        let again = if now < end { (now + pause).min(end) } else { now + pause };
        let why = format!("cannot send to {}: {error}", self.to);
        self.trouble = Some(Trouble { since, attempt, again, pause, why, kind: error.kind() });
    }

    /// Writes, and reads meanwhile: a subscriber that waits until its replies are taken would otherwise take nothing.
    /// Returns how many bytes were taken, and whether that is all.
    async fn write(&self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let Some(connection) = &self.connection else {
            return (0, Err(ErrorKind::NotConnected.into()));
        };
        let mut written = 0;
        while written < bytes.len() {
            let ready = match connection.ready(Interest::READABLE | Interest::WRITABLE).await {
                Ok(ready) => ready,
                Err(error) => return (written, Err(error)),
            };
            if ready.is_readable()
                && let Err(error) = drain(connection)
            {
                return (written, Err(error));
            }
            match connection.try_write(&bytes[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return (written, Err(error)),
            }
        }
        (written, Ok(()))
    }
}

/// Throws away what can be read. Fails when the other end has closed.
fn drain(connection: &TcpStream) -> io::Result<()> {
    let mut bytes = [0; 4096];
    for _ in 0..READS_IN_A_ROW {
        match connection.try_read(&mut bytes) {
            Ok(0) => return Err(ErrorKind::ConnectionReset.into()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    u64::try_from(now).unwrap_or(u64::MAX)
}
