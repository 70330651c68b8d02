//! What happens once, around the start: the terminal is left, privileges are dropped, the pid is written down.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::unistd;
use thiserror::Error;

use crate::system;

/// Why the surroundings could not be set up as asked.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// `-u` names nobody.
    #[error("there is no user `{0}`: name one of /etc/passwd, or give a number")]
    NoUser(String),
    /// `-g` names no group.
    #[error("there is no group `{0}`: name one of /etc/group, or give a number")]
    NoGroup(String),
    /// The pid file belongs to a server that runs.
    #[error("{path} names process {pid}, which runs: stop it first, or choose another pid file")]
    Running {
        /// The pid file.
        path: PathBuf,
        /// The process it names.
        pid: u32,
    },
    /// Whatever else the system said.
    #[error("{what}: {cause}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        cause: io::Error,
    },
}

/// Who the server runs as, and where.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// New root directory (`-t`).
    pub root: Option<PathBuf>,
    /// Working directory (`-w`).
    pub directory: Option<PathBuf>,
    /// User ID (`-u`).
    pub user: Option<u32>,
    /// Group ID (`-g`).
    pub group: Option<u32>,
}

/// Reads `-u`: a name or a number.
pub fn lookup_user(name: &str) -> Result<u32, LaunchError> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let found =
        unistd::User::from_name(name).map_err(|e| system(format!("look up user {name}"), e.into()))?;
    found.map(|user| user.uid.as_raw()).ok_or_else(|| LaunchError::NoUser(name.to_owned()))
}

/// Reads `-g`: a name or a number.
pub fn lookup_group(name: &str) -> Result<u32, LaunchError> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let found =
        unistd::Group::from_name(name).map_err(|e| system(format!("look up group {name}"), e.into()))?;
    found.map(|group| group.gid.as_raw()).ok_or_else(|| LaunchError::NoGroup(name.to_owned()))
}

/// Takes on `identity`: root, directory, group, user, in the order in which each is still permitted.
pub fn enter(identity: &Identity) -> Result<(), LaunchError> {
    if let Some(root) = &identity.root {
        unistd::chroot(root).map_err(|e| system(format!("chroot to {}", root.display()), e.into()))?;
        unistd::chdir("/").map_err(|e| system("chdir to /".into(), e.into()))?;
    }
    if let Some(directory) = &identity.directory {
        unistd::chdir(directory)
            .map_err(|e| system(format!("chdir to {}", directory.display()), e.into()))?;
    }
    if let Some(group) = identity.group {
        let group = unistd::Gid::from_raw(group);
        unistd::setgid(group).map_err(|e| system(format!("become group {group}"), e.into()))?;
    }
    if let Some(user) = identity.user {
        let user = unistd::Uid::from_raw(user);
        if let Ok(Some(entry)) = unistd::User::from_uid(user)
            && let Ok(name) = CString::new(entry.name)
        {
            let group = identity.group.map_or(entry.gid, unistd::Gid::from_raw);
            unistd::initgroups(&name, group)
                .map_err(|e| system("join the user's groups".into(), e.into()))?;
        }
        unistd::setuid(user).map_err(|e| system(format!("become user {user}"), e.into()))?;
    }
    Ok(())
}

/// The line to the process that the operator started, which waits to hear how the start went.
#[derive(Debug)]
pub struct Detached(File);

impl Detached {
    /// The server serves: the waiting process ends with status 0.
    pub fn ready(mut self) {
        // The waiting process may have been interrupted: the server runs on.
        let _ = self.0.write_all(b"+");
    }
}

/// Leaves the terminal. Returns in the detached process only; the one that the operator started waits for
/// [`Detached::ready`] and returns `Err(code)` with its exit status: 0, or 255 when the start failed.
pub fn detach(keep_stderr: bool) -> Result<Result<Detached, u8>, LaunchError> {
    let pipe = |e: nix::Error| system("open a pipe".into(), e.into());
    let (hear, tell): (OwnedFd, OwnedFd) = unistd::pipe().map_err(pipe)?;
    if !system::split().map_err(|e| system("fork".into(), e))? {
        drop(tell);
        let mut said = [0];
        let ready = File::from(hear).read(&mut said).is_ok_and(|n| n == 1);
        return Ok(Err(if ready { 0 } else { 255 }));
    }
    drop(hear);
    unistd::setsid().map_err(|e| system("start a session".into(), e.into()))?;
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|e| system("open /dev/null".into(), e))?;
    let redirect = |e: nix::Error| system("redirect the standard streams".into(), e.into());
    unistd::dup2_stdin(&null).map_err(redirect)?;
    unistd::dup2_stdout(&null).map_err(redirect)?;
    if !keep_stderr {
        unistd::dup2_stderr(&null).map_err(redirect)?;
    }
    Ok(Ok(Detached(File::from(tell))))
}

/// The file that tells other programs the server's pid; removed at the end.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    writer: u32,
}

impl PidFile {
    /// Writes this process's pid to `path`, unless the file names a process that runs.
    pub fn write(path: &Path) -> Result<Self, LaunchError> {
        let old = fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok());
        if let Some(pid) = old.filter(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
            return Err(LaunchError::Running { path: path.to_owned(), pid });
        }
        let writer = system::pid();
        fs::write(path, format!("{writer}\n")).map_err(|e| system(format!("write {}", path.display()), e))?;
        Ok(Self { path: path.to_owned(), writer })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Children inherit this value: only the writer removes the file.
        if system::pid() == self.writer {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn system(what: String, cause: io::Error) -> LaunchError {
    LaunchError::System { what, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_by_name_and_number() {
        assert_eq!(lookup_user("root").unwrap(), 0);
        assert_eq!(lookup_user("4711").unwrap(), 4711);
        assert!(matches!(lookup_user("nobody-of-this-name"), Err(LaunchError::NoUser(_))));
        assert!(matches!(lookup_group("no-group-of-this-name"), Err(LaunchError::NoGroup(_))));
    }

    #[test]
    fn a_pid_file_of_a_running_process_is_kept() {
        let path = std::env::temp_dir().join(format!("pidfile-{}", system::pid()));
        let first = PidFile::write(&path).unwrap();
        assert!(matches!(PidFile::write(&path), Err(LaunchError::Running { .. })));
        drop(first);
        assert!(!path.exists());
        fs::write(&path, "999999999\n").unwrap();
        drop(PidFile::write(&path).unwrap());
        assert!(!path.exists());
    }
}
