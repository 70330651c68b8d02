//! Processes for the tests that kill.

use tocsin_shm::{Dead, identity};

/// Forks a process that runs `child` in slot `slot` and ends with the code that it returns. Returns its pid.
pub(crate) fn fork(slot: u16, child: impl FnOnce() -> i32) -> u32 {
    // SAFETY: these binaries have one thread.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            // SAFETY: as above; the process ends without running what belongs to its parent.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                identity::set(libc::getpid() as u32, slot);
                let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(101);
                libc::_exit(code)
            }
        }
        pid => pid as u32,
    }
}

/// Waits until `pid` ends or stops, and returns its wait status.
pub(crate) fn wait(pid: u32) -> i32 {
    let mut status = 0;
    // SAFETY: status is writable.
    let waited = unsafe { libc::waitpid(pid as i32, &raw mut status, 0) };
    assert_eq!(waited, pid as i32, "waitpid: {}", std::io::Error::last_os_error());
    status
}

/// Kills `pid` and waits until it is dead, but does not reap it.
pub(crate) fn kill(pid: u32, slot: u16) -> Dead {
    // SAFETY: a child of this process that is not reaped.
    unsafe { libc::kill(pid as i32, libc::SIGKILL) };
    await_death(pid, slot)
}

/// Waits until `pid` is dead, but does not reap it.
pub(crate) fn await_death(pid: u32, slot: u16) -> Dead {
    // SAFETY: `info` is writable, and zeros are a value of it.
    let waited = unsafe {
        let mut info = std::mem::zeroed();
        libc::waitid(libc::P_PID, pid, &raw mut info, libc::WEXITED | libc::WNOWAIT)
    };
    assert_eq!(waited, 0, "waitid: {}", std::io::Error::last_os_error());
    Dead { pid, slot }
}
