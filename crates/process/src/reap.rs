//! Learning of deaths, in two steps: the pid stays taken until the locks of the dead are swept.

use std::io;

use crate::plan::Member;

/// Why a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It left with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
}

impl Cause {
    /// A signal after which memory may have been written wildly: what it shared is suspect.
    pub fn is_fault(self) -> bool {
        matches!(self, Self::Signal(libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE))
    }
}

/// A process that ended, and what that cost.
#[derive(Debug, Clone)]
pub struct Exit {
    /// Which one it was.
    pub member: Member,
    /// Its process ID, not yet free for another process.
    pub pid: u32,
    /// Why it ended.
    pub cause: Cause,
    /// Locks of shared tables that it held.
    pub locks_held: u32,
    /// Records that it had open for change: they are lost.
    pub records_lost: u32,
}

/// The next child that ended, without reaping it; `None` when there is none.
pub(crate) fn next_dead() -> io::Result<Option<(u32, Cause)>> {
    // SAFETY: siginfo_t is plain data; waitid fills it in and keeps no pointer to it.
    let mut reported: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let rc = unsafe {
        libc::waitid(libc::P_ALL, 0, &raw mut reported, libc::WEXITED | libc::WNOWAIT | libc::WNOHANG)
    };
    if rc != 0 {
        return match io::Error::last_os_error() {
            e if e.raw_os_error() == Some(libc::ECHILD) => Ok(None),
            e => Err(e),
        };
    }
    // SAFETY: waitid filled in the fields of a child's death, or left the pid 0.
    let (pid, status) = unsafe { (reported.si_pid(), reported.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let cause =
        if reported.si_code == libc::CLD_EXITED { Cause::Code(status) } else { Cause::Signal(status) };
    Ok(Some((pid as u32, cause)))
}

/// Lets the system forget the dead child: from here on its pid may be given to another process.
pub(crate) fn reap(pid: u32) {
    // SAFETY: waitpid on a child of ours that has ended, with no status wanted.
    unsafe { libc::waitpid(pid as libc::pid_t, std::ptr::null_mut(), 0) };
}
