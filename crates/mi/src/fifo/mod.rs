//! The FIFO transport: a client makes a FIFO for the reply, writes `:reply_name:{...}` into the server's, and reads.
//!
//! One process owns the server's FIFO: it makes it, makes it again when somebody removes it, removes it at its own end, and
//! takes one request after the other. A command that waits, or a reader that does, is set aside.

mod framing;
mod replies;

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use nix::sys::stat::Mode;
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, timeout_at};

pub use framing::{MAX_REPLY_NAME_BYTES, MAX_REQUEST_BYTES};
pub use replies::{MAX_WAITING, MAX_WAITING_BYTES, REPLY_TIMEOUT};

use crate::Registry;
use crate::jsonrpc::{Answer, Progress, Response, Style, begin_value};
use framing::{Frame, Framer};
use replies::Replies;

/// How long the rest of a half-written request may take.
pub const PART_TIMEOUT: Duration = Duration::from_secs(2);

/// Requests that came at once and are served before replies go out.
const REQUESTS_IN_A_ROW: usize = 16;
/// How often the FIFO is looked for in the file system.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where the FIFO is, and who may use it.
#[derive(Clone, Debug)]
pub struct FifoOptions {
    /// `fifo_name`
    pub path: PathBuf,
    /// `fifo_mode`
    pub mode: u32,
    /// `fifo_user`
    pub uid: Option<u32>,
    /// `fifo_group`
    pub gid: Option<u32>,
    /// `reply_dir`: the folder in which clients make their FIFOs.
    pub reply_dir: PathBuf,
    /// `pretty_printing`
    pub style: Style,
}

impl Default for FifoOptions {
    fn default() -> Self {
        Self {
            path: "/tmp/opensips_fifo".into(),
            mode: 0o660,
            uid: None,
            gid: None,
            reply_dir: "/tmp/".into(),
            style: Style::Compact,
        }
    }
}

/// The server's FIFO, open.
#[derive(Debug)]
pub struct Fifo {
    options: FifoOptions,
    receiver: Receiver,
    /// Device and inode of what is open.
    identity: (u64, u64),
}

/// Whether somebody reads the FIFO at `path`, as a server that lives does.
///
/// # Errors
/// Unknown: the FIFO belongs to another user, or the path is something else.
pub fn is_read(path: &Path) -> io::Result<bool> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    match OpenOptions::new().write(true).custom_flags(flags).open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(false),
        Err(error) => Err(error),
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let path = &self.options.path;
        if path.symlink_metadata().is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            // Where this process may not do it, the next start does.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Fifo {
    /// Makes the FIFO, in place of one that is there, and opens it. To be called inside the runtime.
    ///
    /// # Errors
    /// The path is taken by something that is no FIFO, or the system refuses.
    pub fn open(options: FifoOptions) -> io::Result<Self> {
        let file = make(&options)?;
        let metadata = file.metadata()?;
        let identity = (metadata.dev(), metadata.ino());
        Ok(Self { options, receiver: Receiver::from_file(file)?, identity })
    }

    /// Serves requests until its task ends.
    pub async fn serve(mut self, registry: Rc<Registry>) {
        let replies = Replies::new(self.options.reply_dir.clone());
        let mut framer = Framer::default();
        let mut part_since = Instant::now();
        let mut look_at = Instant::now() + LOOK_EVERY;
        let mut bytes = vec![0; 64 * 1024];
        loop {
            match timeout_at(look_at, self.read(&mut bytes)).await {
                Ok(length) => {
                    framer.push(&bytes[..length]);
                    part_since = Instant::now();
                }
                Err(_) => {
                    look_at = Instant::now() + LOOK_EVERY;
                    self.look_after();
                }
            }
            self.handle_all(&mut framer, &registry, &replies).await;
            if framer.has_part() && part_since.elapsed() >= PART_TIMEOUT {
                tracing::error!("MI FIFO: gave up a request whose end does not come");
                framer.give_up();
            }
        }
    }

    /// Handles the requests that are whole; other tasks have their turn after some.
    async fn handle_all(&self, framer: &mut Framer, registry: &Registry, replies: &Replies) {
        let mut in_a_row: usize = 0;
        while let Some(frame) = framer.next_frame() {
            match frame {
                Frame::Skipped(why) => tracing::error!("MI FIFO: {why}"),
                Frame::Request { reply, json } => {
                    self.handle(registry, replies, reply, json);
                    in_a_row += 1;
                    if in_a_row.is_multiple_of(REQUESTS_IN_A_ROW) {
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
    }

    fn handle(
        &self,
        registry: &Registry,
        replies: &Replies,
        reply: Option<String>,
        json: tocsin_json::Value,
    ) {
        let style = self.options.style;
        let replies = replies.clone();
        let answer = move |answer| {
            let response = match answer {
                Answer::Response(response) => response,
                Answer::BadId => Response::invalid_request(),
                Answer::Nothing | Answer::NotJson => return,
            };
            if let Some(name) = reply {
                replies.send(name, response.to_bytes(style));
            }
        };
        match begin_value(registry, json) {
            Progress::Done(done) => answer(done),
            Progress::Waiting(waiting) => {
                tokio::task::spawn_local(async move { answer(waiting.finish().await) });
            }
        }
    }

    /// Waits for bytes. The FIFO is open for writing too, so it never ends.
    async fn read(&self, bytes: &mut [u8]) -> usize {
        loop {
            if let Err(error) = self.receiver.readable().await {
                tracing::error!("MI FIFO: cannot wait for requests: {error}");
                tokio::time::sleep(LOOK_EVERY).await;
            }
            match self.receiver.try_read(bytes) {
                Ok(length) if length > 0 => return length,
                Ok(_) => tokio::task::yield_now().await,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => {
                    tracing::error!("MI FIFO: cannot read: {error}");
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
    }

    /// Makes the FIFO anew when it was removed or replaced.
    fn look_after(&mut self) {
        let path = &self.options.path;
        if path.symlink_metadata().is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            return;
        }
        tracing::warn!("MI FIFO {} is gone, making it again", path.display());
        match Self::open(self.options.clone()) {
            Ok(fifo) => *self = fifo,
            Err(error) => tracing::error!("cannot make the MI FIFO {}: {error}", self.options.path.display()),
        }
    }
}

/// Makes the FIFO and opens it for reading, and for writing so that it does not end when the last client closes it.
fn make(options: &FifoOptions) -> io::Result<File> {
    let path = &options.path;
    remove_old(path)?;
    nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?;
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    if options.uid.is_some() || options.gid.is_some() {
        chown(path, options.uid, options.gid)?;
    }
    file.set_permissions(Permissions::from_mode(options.mode & 0o7777))?;
    Ok(file)
}

fn remove_old(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(found) if found.file_type().is_fifo() => std::fs::remove_file(path),
        Ok(_) => {
            Err(io::Error::new(ErrorKind::AlreadyExists, "the path is taken by something that is not a FIFO"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
