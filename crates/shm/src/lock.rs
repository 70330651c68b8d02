//! The robust lock: one word that names its holder, so that it can be taken from the dead.
//!
//! The word is laid out as a futex of the kernel's robust list (owner, waiters, owner died), but the news of a
//! death comes from the supervisor, which sweeps before it reaps. Beside the word stands a mark that says that the
//! holder is changing what the lock protects. It is the mark that counts: who takes the lock and finds it set must
//! repair first, and if the repairer dies the mark is still there for the next.
//!
//! A SIGKILL takes effect at an instruction boundary, so the mark must only be kept in order by the compiler.

use std::cell::Cell;
use std::io;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU32, compiler_fence};

use crate::identity;

const WAITERS: u32 = 1 << 31;
const OWNER_DIED: u32 = 1 << 30;
const OWNER: u32 = OWNER_DIED - 1;
/// Looks at a held word before the process sleeps.
const SPINS: u32 = 100;
/// Longest sleep, in seconds, before a waiter looks by itself whether the holder still lives.
const PATIENCE_S: i64 = 1;

thread_local! {
    /// Locks held by this thread: at most one, or two processes could wait for each other.
    static HELD: Cell<u32> = const { Cell::new(0) };
}

/// A lock between processes that survives the death of its holder.
#[derive(Debug, Default)]
#[repr(C)]
pub struct RobustLock {
    word: AtomicU32,
    dirty: AtomicU32,
    deaths: AtomicU32,
    contended: AtomicU32,
}

// SAFETY: four atomics; nothing points anywhere.
unsafe impl crate::ShmSafe for RobustLock {}

impl RobustLock {
    /// A free lock.
    pub const fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
            dirty: AtomicU32::new(0),
            deaths: AtomicU32::new(0),
            contended: AtomicU32::new(0),
        }
    }

    /// Takes the lock. `true`: a holder ended while it was changing what the lock protects.
    ///
    /// # Panics
    /// When this thread already holds it, which would wait for ever.
    #[inline]
    pub fn lock(&self) -> bool {
        debug_assert_eq!(HELD.get(), 0, "a process holds one lock at a time");
        if self.word.compare_exchange(0, identity::pid(), Acquire, Relaxed).is_err() {
            self.wait();
        }
        HELD.set(HELD.get() + 1);
        self.is_dirty()
    }

    /// Gives the lock back.
    #[inline]
    pub fn unlock(&self) {
        HELD.set(HELD.get().saturating_sub(1));
        if self.word.swap(0, Release) & WAITERS != 0 {
            futex_wake(&self.word);
        }
    }

    /// Marks what the lock protects as being changed.
    #[inline]
    pub fn begin_write(&self) {
        self.dirty.store(1, Relaxed);
        compiler_fence(SeqCst);
    }

    /// Says that the change is complete, or that the repair is.
    #[inline]
    pub fn mark_clean(&self) {
        compiler_fence(SeqCst);
        self.dirty.store(0, Relaxed);
    }

    /// Whether a change was begun and is not complete.
    #[inline]
    pub fn is_dirty(&self) -> bool {
        self.dirty.load(Relaxed) != 0
    }

    /// Whether this process holds the lock.
    #[inline]
    pub fn is_mine(&self) -> bool {
        self.holder() == identity::pid()
    }

    /// The pid of the holder, 0 when the lock is free.
    #[inline]
    pub fn holder(&self) -> u32 {
        self.word.load(Relaxed) & OWNER
    }

    /// How often it was taken over from a dead holder.
    pub fn deaths(&self) -> u32 {
        self.deaths.load(Relaxed)
    }

    /// How often somebody slept for it.
    pub fn contended(&self) -> u32 {
        self.contended.load(Relaxed)
    }

    /// Takes the lock from `dead`; `Some(dirty)` if it was the holder. Called before `dead` is reaped, so that its
    /// pid cannot name another process yet.
    pub fn sweep(&self, dead: u32) -> Option<bool> {
        loop {
            let word = self.word.load(Acquire);
            if word & OWNER != dead {
                // An unlock may have woken the dead process, and it alone: pass the wake-up on.
                futex_wake(&self.word);
                return None;
            }
            let dirty = self.is_dirty();
            let freed = OWNER_DIED | (word & WAITERS);
            if self.word.compare_exchange(word, freed, AcqRel, Relaxed).is_ok() {
                futex_wake(&self.word);
                return Some(dirty);
            }
        }
    }

    #[cold]
    fn wait(&self) {
        let me = identity::pid();
        // Who has slept keeps the mark: others may sleep as well.
        let mut waiters = 0;
        let mut spins = 0;
        loop {
            let word = self.word.load(Relaxed);
            if word & OWNER == 0 {
                if self.word.compare_exchange(word, me | (word & WAITERS) | waiters, Acquire, Relaxed).is_ok()
                {
                    if word & OWNER_DIED != 0 {
                        self.deaths.fetch_add(1, Relaxed);
                    }
                    return;
                }
                continue;
            }
            assert!(word & OWNER != me || HELD.get() == 0, "a lock is not recursive");
            if spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
                continue;
            }
            if word & WAITERS == 0
                && self.word.compare_exchange(word, word | WAITERS, Relaxed, Relaxed).is_err()
            {
                continue;
            }
            waiters = WAITERS;
            self.contended.fetch_add(1, Relaxed);
            futex_wait(&self.word, word | WAITERS);
            self.look_after_holder();
        }
    }

    /// Belt and braces for a death that nobody swept. A zombie still answers, so this is never too early; but its parent,
    /// who would sweep it if it did not wait here, may know that it is dead.
    fn look_after_holder(&self) {
        let holder = self.holder();
        // SAFETY: signal 0 only asks whether the process exists.
        let answer = if holder == 0 { 0 } else { unsafe { libc::kill(holder as libc::pid_t, 0) } };
        let is_gone = answer != 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH);
        if is_gone || is_dead_child(holder) {
            self.sweep(holder);
        }
    }
}

/// Whether `pid` is a child of this process that has ended and was not reaped.
fn is_dead_child(pid: u32) -> bool {
    // SAFETY: a siginfo_t of zeros is one, and the call writes into it. It reaps nobody (WNOWAIT).
    unsafe {
        let mut reported: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        pid != 0
            && libc::waitid(libc::P_PID, pid, &raw mut reported, options) == 0
            && reported.si_pid() == pid as libc::pid_t
    }
}

fn futex_wait(word: &AtomicU32, value: u32) {
    let most = libc::timespec { tv_sec: PATIENCE_S, tv_nsec: 0 };
    // SAFETY: the word and the timeout live through the call. Without the private flag, as processes share it.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, &raw const most, 0, 0) };
}

fn futex_wake(word: &AtomicU32) {
    // SAFETY: the word lives through the call.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1, 0, 0, 0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_and_given_back() {
        let lock = RobustLock::new();
        assert!(!lock.lock());
        assert!(lock.is_mine());
        lock.unlock();
        assert_eq!(lock.holder(), 0);
    }

    #[test]
    fn a_parent_takes_it_from_a_child_that_it_has_not_buried() {
        // SAFETY: the child does nothing but end.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: ends this process, which has taken nothing.
            unsafe { libc::_exit(0) };
        }
        while !is_dead_child(child as u32) {
            std::hint::spin_loop();
        }
        let lock = RobustLock::new();
        lock.word.store(child as u32, Relaxed);
        lock.begin_write();
        assert!(lock.lock(), "what it was changing is to be repaired");
        lock.mark_clean();
        lock.unlock();
        // SAFETY: reaps the child.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    }

    #[test]
    fn the_mark_outlives_the_holder() {
        let lock = RobustLock::new();
        lock.word.store(4_000_000, Relaxed);
        lock.begin_write();
        assert_eq!(lock.sweep(3_999_999), None);
        assert_eq!(lock.sweep(4_000_000), Some(true));
        assert!(lock.lock(), "the next one must repair");
        lock.unlock();
        assert!(lock.lock(), "and if it did not, the one after it");
        lock.mark_clean();
        lock.unlock();
        assert!(!lock.lock());
        lock.unlock();
        assert_eq!(lock.deaths(), 1);
    }

    #[test]
    fn a_holder_that_nobody_swept_is_noticed() {
        let lock = RobustLock::new();
        // Above the kernel's largest pid: it cannot exist.
        lock.word.store((1 << 23) + 1, Relaxed);
        assert!(!lock.lock());
        assert_eq!(lock.deaths(), 1);
        lock.unlock();
    }
}
