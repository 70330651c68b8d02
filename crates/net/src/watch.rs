//! Waiting until a descriptor can be read, in the runtime of this process.

use std::future::poll_fn;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

/// A descriptor registered with the runtime. It holds a duplicate, so the original may be closed first.
#[derive(Debug)]
pub struct Watch(AsyncFd<OwnedFd>);

impl Watch {
    /// Registers `fd`.
    pub fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let own = fd.try_clone_to_owned()?;
        // SAFETY: an `OwnedFd` names one open file for as long as it lives, and the registration owns it.
        let registered = unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) };
        Ok(Self(registered?))
    }

    /// Waits until there is something to read. Call [`Readable::drained`] once a read came back short.
    ///
    /// One task may wait for a watch at one time: of several, only the last is woken.
    pub async fn readable(&self) -> io::Result<Readable<'_>> {
        poll_fn(|task| self.0.poll_read_ready(task)).await.map(Readable)
    }
}

/// The descriptor has something to read.
#[derive(Debug)]
pub struct Readable<'a>(AsyncFdReadyGuard<'a, OwnedFd>);

impl Readable<'_> {
    /// The queue was emptied: wait for the next arrival. One that came in between is not missed, as the runtime
    /// compares the moment of the last event.
    pub fn drained(mut self) {
        self.0.clear_ready();
    }

    /// More may be queued: the next wait returns at once.
    pub fn more(mut self) {
        self.0.retain_ready();
    }
}
