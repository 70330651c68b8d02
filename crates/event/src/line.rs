//! One connection to a subscriber that listens, shared by all its subscriptions.
//!
//! Documents go out in the order they were given, without anything between them. What the subscriber sends is read and
//! thrown away; that it has closed is noticed at once, and the next document opens a new connection. While none can be
//! had, documents wait: attempts follow each other with growing pauses, and when there was none to be had for the line's
//! whole patience, what was raised before the last attempt is given up. A subscriber that is connected and reads slowly is
//! waited for, until nobody wants its documents delivered any more.
//!
//! A document is delivered when the system at the other end has acknowledged its last byte ([`crate::window`]): what was
//! not when the connection ended goes again, whole, over the next one. That the subscriber has read what its system
//! acknowledged is not known. It has, if it ended the connection in order; after a reset it may not have, and the last
//! documents go again.
//!
//! An end in order that a reset follows is one of the two. If nothing was on its way, the reset says that something was left
//! unread. Else it may as well answer what was on its way to a subscriber that had read everything and closed. Nothing tells
//! the two apart, so what was acknowledged is counted as unconfirmed, and does not go again: a subscriber that closes in
//! order gets nothing twice.
//!
//! A system that does not answer at all any more - its host lost power, or the network between - is noticed by the line
//! ([`SILENCE`]). `TCP_USER_TIMEOUT` would not do: it ends the connection to a subscriber that reads nothing for that
//! time, too.

use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tocsin_net::stream::{in_flight, send_window, silence, unacknowledged};
use tocsin_shm::monotonic_micros;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use crate::attempts::Attempts;
use crate::dial::{OwnPort, dial};
use crate::window::{Document, Ending, Progress, Restart, Share, Window};

/// Reads of what the subscriber sends before others have their turn.
const READS_IN_A_ROW: usize = 16;

/// Documents that are written with one system call.
const SLICES: usize = 64;

/// The first and the longest time between two looks at what was acknowledged. A system may wait for 40 ms before it says.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_LONGEST: Duration = Duration::from_millis(64);

/// Bytes of documents that a line has at once: what comes later waits with its subscriber.
pub(crate) const LINE_BYTES: usize = 512 << 10;

/// How long a system whose subscriber has closed may take to acknowledge what was sent to it before.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How long a reset may take to follow the end of the stream, when a subscriber that left something unread ends both
/// directions of its connection one after the other.
const RESET_FOLLOWS: Duration = Duration::from_millis(20);

/// How long, as a multiple of the line's patience, a system may not answer before the connection counts as broken. Longer
/// than the patience, as the documents are dropped if a new connection cannot be had within that.
const SILENCE: u32 = 10;

/// Carries the documents of `batches` to the subscriber at `to`, until nobody can send more. `patience` is how long one
/// attempt to connect may take, and how long documents wait for a connection. `share` is the line's share in the documents
/// that are kept. `gone` is rung when somebody no longer waits for what it gave.
pub(crate) async fn carry(
    to: SocketAddr,
    patience: Duration,
    share: Share,
    mut batches: mpsc::Receiver<Vec<Document>>,
    gone: Rc<Notify>,
) {
    let mut line = Line {
        to,
        patience,
        window: Window::new(share),
        connection: None,
        attempts: Attempts::new(patience),
        look: LOOK_FIRST,
        stuck: None,
    };
    loop {
        if line.window.is_idle() && line.connection.is_none() {
            let Some(batch) = batches.recv().await else { return };
            line.window.take(batch);
        }
        // All who gave documents know what became of them, or do not want to know.
        if batches.is_closed() && batches.is_empty() {
            return;
        }
        while line.window.bytes() < LINE_BYTES
            && let Ok(batch) = batches.try_recv()
        {
            line.window.take(batch);
        }
        line.forget();
        line.work().await;
        // Cancelling any of these loses nothing.
        tokio::select! {
            batch = batches.recv(), if line.window.bytes() < LINE_BYTES => match batch {
                Some(batch) => line.window.take(batch),
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
    window: Window,
    connection: Option<Connection>,
    attempts: Attempts,
    /// The time until the next look at what was acknowledged.
    look: Duration,
    /// Since when no document was acknowledged, while one waits for it.
    stuck: Option<Instant>,
}

struct Connection {
    stream: TcpStream,
    /// Bytes written to it.
    written: u64,
    /// Since when the subscriber has closed.
    closed: Option<Instant>,
    /// The most that the other end's system had room for.
    room: u64,
    _port: OwnPort,
}

impl Connection {
    /// How many bytes the other end's system has acknowledged; none if that cannot be said.
    fn acknowledged(&self) -> u64 {
        unacknowledged(&self.stream).map_or(0, |open| self.written.saturating_sub(open))
    }

    /// Looks how much room there is now.
    fn measure(&mut self) {
        self.room = self.room.max(send_window(&self.stream).unwrap_or(0));
    }

    /// About how many acknowledged bytes the subscriber has not read: by as many there is less room than there was, or twice
    /// as many, as a system takes a little more than it promised.
    fn unread(&self) -> u64 {
        send_window(&self.stream).map_or(0, |room| self.room.saturating_sub(room) * 2)
    }

    /// What an error that ended it means.
    fn ending(&self, error: &io::Error) -> Ending {
        // The system says so if the end came in order before the reset.
        let is_closed = self.closed.is_some() || error.kind() == ErrorKind::BrokenPipe;
        let is_answer = in_flight(&self.stream) != Some(0);
        if is_closed && is_answer { Ending::Unclear } else { Ending::Reset }
    }
}

impl Line {
    /// Forgets what nobody waits for any more. If a part of it was written, others begin anew.
    fn forget(&mut self) {
        if self.window.forget_closed() {
            self.end(Ending::Orderly, &ErrorKind::TimedOut.into());
        }
    }

    /// Does what can be done now.
    async fn work(&mut self) {
        self.hear();
        self.look();
        self.give_up();
        if self.window.has_unwritten() {
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
        let Some(connection) = &self.connection else {
            // The time to try again is waited for when connecting.
            if !self.window.has_unwritten() {
                std::future::pending::<()>().await;
            }
            return;
        };
        let look = Instant::now() + self.look;
        let interest = match (connection.closed.is_some(), self.window.has_unwritten()) {
            // It can be read for ever; only the last word is waited for.
            (true, _) => return sleep_until(look).await,
            (false, true) => Interest::READABLE | Interest::WRITABLE,
            (false, false) => Interest::READABLE,
        };
        tokio::select! {
            // Failing is noticed when it is read.
            _ = connection.stream.ready(interest) => {}
            () = sleep_until(look), if self.window.awaits_acknowledgement() => {}
        }
    }

    /// Throws away what the subscriber sends, and notices that it has closed.
    fn hear(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        if connection.closed.is_some() {
            return;
        }
        match drain(&connection.stream) {
            Ok(false) => {}
            Ok(true) => {
                connection.closed = Some(Instant::now());
                self.look = LOOK_FIRST;
            }
            Err(error) => self.broken(&error),
        }
    }

    /// Looks what the other end's system has acknowledged, and whether the connection is over.
    fn look(&mut self) {
        self.look_at_acknowledgements();
        if self.is_silent() {
            return self.broken(&io::Error::new(ErrorKind::TimedOut, "its host does not answer any more"));
        }
        let Some(connection) = &self.connection else { return };
        let Some(since) = connection.closed else { return };
        // A system that acknowledges nothing any more leaves it open what was read.
        let (patience, ending) = match self.window.awaits_acknowledgement() {
            true => (LAST_WORD, Ending::Unclear),
            false => (RESET_FOLLOWS, Ending::Orderly),
        };
        match connection.stream.take_error() {
            Ok(Some(error)) | Err(error) => self.broken(&error),
            Ok(None) if since.elapsed() >= patience => {
                self.end(ending, &ErrorKind::ConnectionReset.into());
            }
            Ok(None) => {}
        }
    }

    fn look_at_acknowledgements(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        let mut progress = false;
        if self.window.awaits_acknowledgement() {
            let Progress { any, step } = self.window.acknowledge(connection.acknowledged());
            progress = any;
            if any {
                self.attempts.succeeded();
            }
            if step {
                connection.measure();
            }
        }
        self.look = if progress { LOOK_FIRST } else { (self.look * 2).min(LOOK_LONGEST) };
        if progress || !self.window.awaits_acknowledgement() {
            self.stuck = None;
        } else {
            self.stuck.get_or_insert_with(Instant::now);
        }
    }

    /// Whether the system at the other end does not answer any more.
    fn is_silent(&self) -> bool {
        let enough = self.patience.saturating_mul(SILENCE);
        self.stuck.is_some_and(|since| since.elapsed() >= enough)
            && self
                .connection
                .as_ref()
                .is_some_and(|connection| silence(&connection.stream).is_some_and(|time| time >= enough))
    }

    /// The connection ended with an error.
    fn broken(&mut self, error: &io::Error) {
        let Some(connection) = &self.connection else { return };
        self.window.acknowledge(connection.acknowledged());
        let ending = connection.ending(error);
        self.end(ending, error);
    }

    /// The connection is over. It is a failed attempt if anything that was written has to be written again.
    fn end(&mut self, ending: Ending, why: &io::Error) {
        let unread = self.connection.take().map_or(0, |connection| connection.unread());
        self.look = LOOK_FIRST;
        self.stuck = None;
        let Restart { repeats, unconfirmed } = self.window.restart(ending, unread);
        if unconfirmed > 0 {
            let to = self.to;
            tracing::warn!(
                "{to} may not have read {unconfirmed} events: its system had taken them when the connection ended"
            );
        }
        if repeats {
            self.failed(monotonic_micros(), why);
        } else if self.window.is_idle() {
            self.attempts.succeeded();
        }
    }

    /// Gives up the documents for which somebody tried in vain, after they were raised, at the end of the line's patience.
    fn give_up(&mut self) {
        if let Some((attempt, why)) = self.attempts.over(Instant::now()) {
            self.window.give_up(attempt, &why);
        }
    }

    /// Sees to it that there is a connection; after a failure not before the time to try again.
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
            self.connection = Some(self.open().await?);
        }
        Ok(())
    }

    async fn open(&self) -> io::Result<Connection> {
        let (stream, port) = dial(self.to, self.window.own_ports(), self.patience).await?;
        Ok(Connection { stream, written: 0, closed: None, room: 0, _port: port })
    }

    fn failed(&mut self, attempt: u64, error: &io::Error) {
        let why = format!("cannot send to {}: {error}", self.to);
        self.attempts.failed(attempt, Instant::now(), error.kind(), why);
    }

    /// Writes as much as is taken at once.
    fn write(&mut self) {
        while let Some(connection) = self.connection.as_mut().filter(|open| open.closed.is_none()) {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = self.window.unwritten(&mut slices);
            if count == 0 {
                return;
            }
            match connection.stream.try_write_vectored(&slices[..count]) {
                Ok(bytes) => {
                    connection.written += bytes as u64;
                    self.window.written(bytes, connection.written);
                    self.look_at_acknowledgements();
                    self.look = LOOK_FIRST;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => return self.broken(&error),
            }
        }
    }
}

/// Throws away what can be read. True when the other end has closed.
fn drain(stream: &TcpStream) -> io::Result<bool> {
    let mut bytes = [0; 4096];
    for _ in 0..READS_IN_A_ROW {
        match stream.try_read(&mut bytes) {
            Ok(0) => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
