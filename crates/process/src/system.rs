//! The few system calls of this room that no safe wrapper offers.

use std::io;

/// Sends `signal` to `pid`. A process that has ended already is no error.
pub(crate) fn signal(pid: u32, signal: i32) {
    // SAFETY: kill touches no memory of ours.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

/// Nanoseconds of CLOCK_MONOTONIC, the clock of every time in shared memory.
pub(crate) fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Splits this process in two; `true` in the child. Only for detaching, before anything else was made.
pub(crate) fn split() -> io::Result<bool> {
    // SAFETY: called before any thread exists.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(true),
        _ => Ok(false),
    }
}

/// This process's ID as the system knows it now.
pub(crate) fn pid() -> u32 {
    // SAFETY: getpid has no preconditions.
    unsafe { libc::getpid() as u32 }
}

/// Asks the process `pid` to end in order.
///
/// # Errors
/// There is no such process, or it is not ours.
pub fn ask_to_end(pid: u32) -> io::Result<()> {
    // SAFETY: kill touches no memory of ours.
    match unsafe { libc::kill(pid as libc::pid_t, libc::SIGTERM) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Raises this process's limit of open descriptors to `wanted`, or as far as it may.
///
/// # Errors
/// The system refuses.
pub fn raise_open_files(wanted: Option<u64>) -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = wanted.map_or(limit.rlim_max, |wanted| wanted.min(limit.rlim_max));
    // SAFETY: the kernel reads one rlimit.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
