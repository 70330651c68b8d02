//! The versions of the script that a process has, and the words of shared memory by which all processes agree on one.
//!
//! A reload has two steps, so that all processes take a new version or none does. First the text of the *candidate* is laid
//! where all can read it, and each process prepares it: it makes a script of the text and says so, or why not. Once all
//! have, the candidate is *committed*, and each process takes it between two pieces of work. A process that is forked
//! later, or was busy all the time, makes a script of the text that is committed before it serves anything.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};

use nix::sys::eventfd::{EfdFlags, EventFd};
use tocsin_script::Host;
use tocsin_shm::{Arena, ArenaFull, ShmSafe};

use super::text::Texts;
use crate::script::Script;

/// Why there can be no reloads.
#[derive(Debug, thiserror::Error)]
pub enum VersionsError {
    /// Shared memory is too small.
    #[error(transparent)]
    Memory(#[from] ArenaFull),
    /// The system gives no descriptors.
    #[error("no descriptors for reloads of the script: {0}")]
    Descriptors(#[from] io::Error),
}

/// The versions of the script in this process. Made before the first fork.
pub struct Versions<C: Host> {
    shared: &'static Shared,
    answers: &'static [Answer],
    /// Becomes readable, once in each process, whenever one of the words below changes.
    bell: EventFd,
    pub(super) texts: Texts,
    current: RefCell<Rc<Script<C>>>,
    /// A version that is prepared and not committed.
    next: RefCell<Option<Rc<Script<C>>>>,
}

#[derive(Debug, Default, ShmSafe)]
struct Shared {
    candidate: AtomicU32,
    /// The last candidate that was given up.
    given_up: AtomicU32,
    committed: AtomicU32,
    /// The process that reloads: its PID; 0 if none does.
    reloading: AtomicU32,
    /// Reloads that were asked for by a signal and not begun.
    asked: AtomicU32,
}

/// What the process of a slot has to say: the version it has prepared, or the one it cannot prepare, above its own version.
#[derive(Debug, Default, ShmSafe)]
struct Answer(AtomicU64);

/// This process reloads.
pub(super) struct Reloading(&'static Shared);

impl Drop for Reloading {
    fn drop(&mut self) {
        self.0.reloading.store(0, Release);
    }
}

/// How far a process is with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It has not answered.
    Waiting,
    /// It could take it at once.
    Prepared,
    /// It cannot make a script of the text.
    Failed,
    /// It runs it.
    Runs,
}

/// Marks the prepared version as one that cannot be prepared.
const FAILED: u32 = 1 << 31;

impl<C: Host> Versions<C> {
    /// The script that the server starts with, in `slots` processes.
    ///
    /// # Errors
    /// There is no memory, or there are no descriptors.
    pub(crate) fn create(
        arena: &'static Arena,
        slots: u16,
        first: Rc<Script<C>>,
    ) -> Result<Self, VersionsError> {
        let bell =
            EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC).map_err(io::Error::from)?;
        Ok(Self {
            shared: &arena.boot_array(1, |_| Shared::default())?[0],
            answers: arena.boot_array(usize::from(slots), |_| Answer::default())?,
            bell,
            texts: Texts::create()?,
            current: RefCell::new(first),
            next: RefCell::new(None),
        })
    }

    /// The version in force in this process.
    pub fn current(&self) -> Rc<Script<C>> {
        Rc::clone(&self.current.borrow())
    }

    pub(super) fn committed(&self) -> u32 {
        self.shared.committed.load(Acquire)
    }

    /// The version that must be prepared now, if one is.
    pub(super) fn candidate(&self) -> Option<u32> {
        let candidate = self.shared.candidate.load(Acquire);
        let is_given_up = candidate == self.shared.given_up.load(Acquire);
        (candidate > self.committed() && !is_given_up).then_some(candidate)
    }

    /// A number for the next version. Its text does not take the place of the text in force.
    pub(super) fn next_number(&self) -> u32 {
        let committed = self.committed();
        let next = self.shared.candidate.load(Acquire).max(committed) + 1;
        if next % 2 == committed % 2 { next + 1 } else { next }
    }

    /// Has every process prepare `version`, whose text is there.
    pub(super) fn propose(&self, version: u32) {
        self.shared.candidate.store(version, Release);
        self.ring();
    }

    /// Keeps `version` from being prepared by any more processes.
    pub(super) fn give_up(&self, version: u32) {
        self.shared.given_up.store(version, Release);
    }

    /// Puts `version` in force.
    pub(super) fn commit(&self, version: u32) {
        self.shared.committed.store(version, Release);
        self.ring();
    }

    /// Keeps `next` until it is committed, or another one takes its place.
    pub(super) fn prepared(&self, next: Rc<Script<C>>) {
        *self.next.borrow_mut() = Some(next);
    }

    /// Whether `version` is prepared in this process.
    pub(super) fn has_prepared(&self, version: u32) -> bool {
        self.next.borrow().as_ref().is_some_and(|next| next.version == version)
    }

    /// Puts what was prepared for `version` in force in this process. Returns `false` if nothing was.
    pub(super) fn switch(&self, version: u32) -> bool {
        let Some(next) = self.next.take().filter(|next| next.version == version) else { return false };
        *self.current.borrow_mut() = next;
        true
    }

    /// Says for the process of `slot` that it has prepared a version, or cannot, and which one it runs.
    pub(super) fn answer(&self, slot: u16, prepared: Result<u32, u32>) {
        let Some(answer) = self.answers.get(usize::from(slot)) else { return };
        let prepared = prepared.unwrap_or_else(|failed| failed | FAILED);
        let runs = self.current.borrow().version;
        answer.0.store(u64::from(prepared) << 32 | u64::from(runs), Release);
    }

    /// How far the process of `slot` is with `version`.
    pub(super) fn progress(&self, slot: u16, version: u32) -> Progress {
        let answer = self.answers.get(usize::from(slot)).map_or(0, |answer| answer.0.load(Acquire));
        let (prepared, runs) = ((answer >> 32) as u32, answer as u32);
        match () {
            () if runs == version => Progress::Runs,
            () if prepared == version => Progress::Prepared,
            () if prepared == version | FAILED => Progress::Failed,
            () => Progress::Waiting,
        }
    }

    /// Makes the process `pid` the one that reloads until it drops the answer, if `lives` says that no other one does.
    pub(super) fn begin(&self, pid: u32, lives: impl FnOnce(u32) -> bool) -> Option<Reloading> {
        let other = self.shared.reloading.load(Acquire);
        if other != 0 && lives(other) {
            return None;
        }
        let begun = self.shared.reloading.compare_exchange(other, pid, AcqRel, Acquire);
        begun.ok().map(|_| Reloading(self.shared))
    }

    /// Asks for a reload: a TIMER worker does it.
    pub(crate) fn ask(&self) {
        self.shared.asked.store(1, Release);
        self.ring();
    }

    /// Whether a reload was asked for, and no other process has taken it.
    pub(super) fn take_asked(&self) -> bool {
        self.shared.asked.swap(0, AcqRel) != 0
    }

    /// What becomes readable when there is something to look at.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Each write wakes each process that waits, as all of them watch the descriptor edge-triggered; nobody reads it.
    fn ring(&self) {
        if let Err(cause) = self.bell.write(1) {
            tracing::error!("processes are not woken for a reload: {cause}");
        }
    }
}

impl<C: Host> std::fmt::Debug for Versions<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Versions").field("current", &self.current.borrow().version).finish_non_exhaustive()
    }
}
