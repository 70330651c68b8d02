//! A server in the background.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Setup, pause};

/// How long it may take to end.
const PATIENCE: Duration = Duration::from_secs(12);

/// A server in the background, and the folder it runs in. It ends with the case.
pub(super) struct Daemon {
    pub(super) pid: Pid,
    pub(super) setup: Setup,
}

impl Daemon {
    /// Starts it in its folder; its parent ends with success.
    pub(super) fn start(setup: Setup) -> Result<Self, String> {
        let dir = setup.dir().to_owned();
        let pid_file = dir.join("tocsin.pid");
        let setup = setup.daemon().args(["-w", &dir.to_string_lossy(), "-P", &pid_file.to_string_lossy()]);
        let ended = setup.run_to_end();
        if ended.status != 0 {
            return Err(format!("ended with {}: {}", ended.status, ended.stderr));
        }
        let pid = std::fs::read_to_string(&pid_file).map_err(|cause| cause.to_string())?;
        let pid = pid.trim().parse().map_err(|_| format!("{pid:?} is no pid"))?;
        Ok(Self { pid: Pid::from_raw(pid), setup })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill(self.pid, Signal::SIGTERM);
        let deadline = Instant::now() + PATIENCE;
        while kill(self.pid, None).is_ok() {
            if Instant::now() > deadline {
                let _ = kill(self.pid, Signal::SIGKILL);
            }
            pause(Duration::from_millis(10));
        }
    }
}
