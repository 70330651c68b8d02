//! Who this process is: pid and slot, cached in private memory.
//!
//! Locks name their holder by pid, and the per-process rows of shared tables go by slot. Both are read on every
//! operation, and a `getpid` is a system call.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

static PID: AtomicU32 = AtomicU32::new(0);
static SLOT: AtomicU32 = AtomicU32::new(0);

/// Says who this process is. To be called right after a fork, before anything shared is touched.
pub fn set(pid: u32, slot: u16) {
    PID.store(pid, Relaxed);
    SLOT.store(slot.into(), Relaxed);
}

/// The pid of this process.
#[inline]
pub fn pid() -> u32 {
    match PID.load(Relaxed) {
        0 => ask(),
        pid => pid,
    }
}

/// The row of this process in tables that have one for each; 0 until [`set`] is called.
#[inline]
pub fn slot() -> u16 {
    SLOT.load(Relaxed) as u16
}

#[cold]
fn ask() -> u32 {
    // SAFETY: getpid has no preconditions.
    let pid = unsafe { libc::getpid() } as u32;
    PID.store(pid, Relaxed);
    pid
}
