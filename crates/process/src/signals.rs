//! Signals as something to read: nothing runs in a signal handler.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Signals blocked and readable in the supervisor.
pub(crate) fn supervisor_signals() -> io::Result<SignalFd> {
    readable(&[
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
    ])
}

/// What a child reads: only SIGTERM is for it.
const CHILD: &[Signal] = &[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];

/// In a child: the request to drain and end (SIGTERM). Ctrl-C reaches the whole terminal group, but only the
/// supervisor acts on it.
pub fn terminations() -> io::Result<Termination> {
    readable(CHILD).map(Termination)
}

/// Becomes readable when this process is asked to end; read [`Termination::asked`] then.
#[derive(Debug)]
pub struct Termination(SignalFd);

impl Termination {
    /// A second handle to the same signals.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        readable(CHILD).map(Self)
    }

    /// Whether a request to end was among the signals that came.
    pub fn asked(&self) -> bool {
        let mut asked = false;
        while let Ok(Some(signal)) = self.0.read_signal() {
            asked |= signal.ssi_signo == Signal::SIGTERM as u32;
        }
        asked
    }
}

impl AsFd for Termination {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn readable(signals: &[Signal]) -> io::Result<SignalFd> {
    let set: SigSet = signals.iter().copied().collect();
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&set), None)?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}
