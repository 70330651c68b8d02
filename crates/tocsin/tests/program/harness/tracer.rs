//! Death at a named system call: a process of the server is traced, and killed as it enters the call.

use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// A process that this thread traces.
pub(crate) struct Tracer(Pid);

impl Tracer {
    /// Begins to trace the process `pid`, which goes on.
    pub(crate) fn attach(pid: i32) -> Self {
        let pid = Pid::from_raw(pid);
        ptrace::seize(pid, Options::PTRACE_O_TRACESYSGOOD).unwrap();
        ptrace::interrupt(pid).unwrap();
        waitpid(pid, None).unwrap();
        ptrace::syscall(pid, None).unwrap();
        Self(pid)
    }

    /// Kills the process as soon as it takes bytes or a letter out of a socket that it has looked at before: what came of
    /// them is done, and they are still there.
    pub(crate) fn kill_at_taking_off(self) {
        self.kill_at(|nr, args| nr == libc::SYS_recvfrom && args[3] & libc::MSG_PEEK as u64 == 0);
    }

    /// Kills the process as soon as it sends datagrams: they do not leave.
    pub(crate) fn kill_at_sending(self) {
        self.kill_at(|nr, _| nr == libc::SYS_sendmmsg);
    }

    /// Kills the process as it enters a system call, given its number and its arguments.
    fn kill_at(self, is_it: impl Fn(i64, &[u64; 6]) -> bool) {
        loop {
            match waitpid(self.0, None).unwrap() {
                WaitStatus::PtraceSyscall(_) if self.enters(&is_it) => break,
                WaitStatus::PtraceSyscall(_) | WaitStatus::PtraceEvent(..) => self.go_on(None),
                WaitStatus::Stopped(_, signal) => self.go_on(Some(signal)),
                other => panic!("{other:?}"),
            }
        }
        ptrace::kill(self.0).unwrap();
        // It is the supervisor's child: that one reaps it once its tracer has seen the end.
        while !matches!(waitpid(self.0, None), Ok(WaitStatus::Signaled(..)) | Err(_)) {}
    }

    fn go_on(&self, signal: Option<Signal>) {
        ptrace::syscall(self.0, signal).unwrap();
    }

    fn enters(&self, is_it: impl Fn(i64, &[u64; 6]) -> bool) -> bool {
        let info = ptrace::syscall_info(self.0).unwrap();
        if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
            return false;
        }
        // SAFETY: the kernel has said that this is the entry of a system call.
        let entry = unsafe { info.u.entry };
        i64::try_from(entry.nr).is_ok_and(|nr| is_it(nr, &entry.args))
    }
}
