//! Writing replies into the FIFOs that clients made for them.
//!
//! A client may not be reading yet, may read slowly, or may be gone. Each reply FIFO has a queue and a task of its own,
//! tries for a bounded time, and holds up nobody else.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::unix::pipe::Sender;
use tokio::time::{sleep, timeout};

use crate::seldom::Seldom;

/// How many replies may be waiting for their readers; beyond, a reply is dropped.
pub const MAX_WAITING: usize = 64;

/// How many bytes they may have together; one alone may have more.
pub const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;

/// How long a client may take to open its FIFO and to read its reply.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// How long to wait before looking again for a reader, and between two replies into the same FIFO.
const PAUSE: Duration = Duration::from_millis(10);

/// Replies by the name of the FIFO that they are for.
type Waiting = HashMap<String, VecDeque<Rc<[u8]>>>;

/// The replies on their way. A copy refers to the same ones.
#[derive(Clone)]
pub(super) struct Replies {
    folder: Rc<Path>,
    waiting: Rc<RefCell<Waiting>>,
    dropped: Rc<RefCell<Seldom>>,
}

impl Replies {
    /// Replies into FIFOs of `folder`.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder: folder.into(), waiting: Rc::default(), dropped: Rc::default() }
    }

    /// Sends a reply into the FIFO `name` of the folder, behind those that wait for the same one.
    pub(super) fn send(&self, name: String, reply: Vec<u8>) {
        let mut waiting = self.waiting.borrow_mut();
        let replies = waiting.values().map(VecDeque::len).sum::<usize>();
        let bytes = waiting.values().flatten().map(|reply| reply.len()).sum::<usize>();
        if replies >= MAX_WAITING || replies > 0 && bytes + reply.len() > MAX_WAITING_BYTES {
            // A client that reads already is not held up by those that do not.
            let path = self.folder.join(&name);
            if waiting.contains_key(&name) || !written_at_once(&path, &reply) {
                self.failed(&format!("{replies} others with {bytes} bytes wait for their readers"), &path);
            }
            return;
        }
        let reply = Rc::from(reply);
        if let Some(queue) = waiting.get_mut(&name) {
            queue.push_back(reply);
            return;
        }
        waiting.insert(name.clone(), VecDeque::from([reply]));
        drop(waiting);
        tokio::task::spawn_local(self.clone().drain(name));
    }

    async fn drain(self, name: String) {
        let path = self.folder.join(&name);
        loop {
            // The reply stays in the queue, and so in the count, until it is written.
            let next = self.waiting.borrow().get(&name).and_then(|queue| queue.front().cloned());
            let Some(reply) = next else { break };
            match timeout(REPLY_TIMEOUT, write(&path, &reply)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.failed(&error, &path),
                Err(_) => self.failed(&"nobody reads", &path),
            }
            let more = self.waiting.borrow_mut().get_mut(&name).is_some_and(|queue| {
                queue.pop_front();
                !queue.is_empty()
            });
            if !more {
                break;
            }
            // Lets the reader see the end of the first reply before the second begins.
            sleep(PAUSE).await;
        }
        self.waiting.borrow_mut().remove(&name);
    }

    /// A reply was not written.
    fn failed(&self, cause: &dyn fmt::Display, path: &Path) {
        if let Some(times) = self.dropped.borrow_mut().happened(Instant::now()) {
            tracing::error!("dropped {times} MI replies, the last one for {}: {cause}", path.display());
        }
    }
}

/// Writes a reply if its reader is there and the FIFO has room for all of it. Not by way of the runtime, which would first
/// have to find out that something can be written.
fn written_at_once(path: &Path, reply: &[u8]) -> bool {
    open(path).is_ok_and(|mut file| file.write(reply).is_ok_and(|written| written == reply.len()))
}

async fn write(path: &Path, mut reply: &[u8]) -> io::Result<()> {
    let sender = loop {
        match open(path) {
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => sleep(PAUSE).await,
            opened => break Sender::from_file(opened?)?,
        }
    };
    while !reply.is_empty() {
        sender.writable().await?;
        match sender.try_write(reply) {
            Ok(written) => reply = &reply[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Opens a FIFO that somebody reads; refuses everything that is not a FIFO.
fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let file = OpenOptions::new().write(true).custom_flags(flags).open(path)?;
    if file.metadata()?.file_type().is_fifo() {
        Ok(file)
    } else {
        Err(io::Error::new(ErrorKind::InvalidInput, "not a FIFO"))
    }
}
