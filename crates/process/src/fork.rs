//! The fork itself, and the first steps of a child.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tocsin_shm::identity;

/// Exit code of a child whose code panicked outside of the runtime.
const PANICKED: i32 = 101;

/// Forks. The child runs `child` and leaves with the code that it returns, past the supervisor's destructors and
/// exit handlers. Returns the child's pid.
pub(crate) fn fork(slot: u16, child: impl FnOnce() -> i32) -> io::Result<u32> {
    if threads() != 1 {
        return Err(io::Error::other(
            "a fork keeps only the forking thread: locks of others would stay locked",
        ));
    }
    // SAFETY: getpid has no preconditions.
    let parent = unsafe { libc::getpid() };
    // SAFETY: this process has one thread (seen above), so the child's copy of every lock and heap is consistent.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: getpid has no preconditions.
            identity::set(unsafe { libc::getpid() } as u32, slot);
            die_with(parent);
            let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(PANICKED);
            // SAFETY: ends this process without running what belongs to the supervisor.
            unsafe { libc::_exit(code) }
        }
        pid => Ok(pid as u32),
    }
}

/// Ends this process when its parent ends. Must be called again after a change of user, which clears it.
pub(crate) fn die_with(parent: libc::pid_t) {
    // SAFETY: prctl and getppid touch no memory of ours; _exit ends the process.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() != parent {
            libc::_exit(1);
        }
    }
}

/// Threads of this process; 1 where /proc cannot be read.
pub(crate) fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}
