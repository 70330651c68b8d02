//! What happens once, around the start: the terminal is left, privileges are dropped, the pid is written down.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
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
    /// User (`-u`).
    pub user: Option<Account>,
    /// Group ID (`-g`).
    pub group: Option<u32>,
}

/// A user to run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// User ID.
    pub user: u32,
    /// The user's own group, if the user was named. A number stands for a user without one.
    pub group: Option<u32>,
}

impl Identity {
    /// The group to run as: the one that was asked for, or the own one of a user that was named.
    pub fn effective_group(&self) -> Option<u32> {
        self.group.or(self.user.and_then(|account| account.group))
    }
}

/// Reads `-u`: a name or a number.
pub fn lookup_account(name: &str) -> Result<Account, LaunchError> {
    if let Ok(user) = name.parse() {
        return Ok(Account { user, group: None });
    }
    let found =
        unistd::User::from_name(name).map_err(|e| system(format!("look up user {name}"), e.into()))?;
    let account = found.map(|user| Account { user: user.uid.as_raw(), group: Some(user.gid.as_raw()) });
    account.ok_or_else(|| LaunchError::NoUser(name.to_owned()))
}

/// The number of a user, by name or number.
pub fn lookup_user(name: &str) -> Result<u32, LaunchError> {
    lookup_account(name).map(|account| account.user)
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
    let group = identity.effective_group().map(unistd::Gid::from_raw);
    if let Some(group) = group {
        unistd::setgid(group).map_err(|e| system(format!("become group {group}"), e.into()))?;
    }
    if let Some(account) = identity.user {
        let user = unistd::Uid::from_raw(account.user);
        if group.is_none() && !user.is_root() && unistd::getgid().as_raw() == 0 {
            tracing::warn!(
                "runs as user {user} with the group of root: name the user to take its own group, or give one with -g"
            );
        }
        join_groups(user, group)?;
        unistd::setuid(user).map_err(|e| system(format!("become user {user}"), e.into()))?;
    }
    Ok(())
}

/// Leaves the groups of the one who started the server, for those of `user`.
fn join_groups(user: unistd::Uid, group: Option<unistd::Gid>) -> Result<(), LaunchError> {
    let failed = |e: nix::Error| system("join the user's groups".into(), e.into());
    if let Ok(Some(entry)) = unistd::User::from_uid(user)
        && let Ok(name) = CString::new(entry.name)
    {
        return unistd::initgroups(&name, group.unwrap_or(entry.gid)).map_err(failed);
    }
    if !unistd::geteuid().is_root() {
        return Ok(());
    }
    // Nobody knows the user: the groups of root are not theirs.
    unistd::setgroups(group.as_slice()).map_err(failed)
}

/// The line to the process that the operator started, which waits until the start has succeeded or failed. It prints what comes
/// over this line to its standard error.
#[derive(Debug)]
pub struct Detached(File);

/// Says that the server serves. No line of a log holds it.
const READY: u8 = 0;

impl Detached {
    /// The server serves: the waiting process ends with status 0.
    pub fn ready(mut self) {
        // The waiting process may have been interrupted: the server runs on.
        let _ = self.0.write_all(&[READY]);
    }

    /// For text that the operator should read on the terminal while the server starts.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub fn terminal(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}

/// Prints what the detached process has to say. True once that serves, false if it ends before.
fn follow_start(hear: OwnedFd) -> bool {
    let mut hear = File::from(hear);
    let mut said = [0; 4096];
    loop {
        let text = match hear.read(&mut said) {
            Ok(0) => return false,
            Ok(length) => &said[..length],
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return false,
        };
        let end = text.iter().position(|byte| *byte == READY);
        // Without a terminal there is nobody to read it.
        let _ = io::stderr().write_all(&text[..end.unwrap_or(text.len())]);
        if end.is_some() {
            return true;
        }
    }
}

/// Leaves the terminal. Returns in the detached process only; the one that the operator started waits for
/// [`Detached::ready`] and returns `Err(code)` with its exit status: 0, or 255 when the start failed.
pub fn detach(keep_stderr: bool) -> Result<Result<Detached, u8>, LaunchError> {
    let pipe = |e: nix::Error| system("open a pipe".into(), e.into());
    let (hear, tell): (OwnedFd, OwnedFd) = unistd::pipe().map_err(pipe)?;
    if !system::split().map_err(|e| system("fork".into(), e))? {
        drop(tell);
        return Ok(Err(if follow_start(hear) { 0 } else { 255 }));
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

/// The file with the server's pid, for other programs; removed at the end.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    writer: u32,
}

impl PidFile {
    /// Writes this process's pid to `path`, unless the file names a process that runs. A symbolic link is not followed: it
    /// is written before privileges are dropped, and who made the link may not be allowed to write where it leads.
    pub fn write(path: &Path) -> Result<Self, LaunchError> {
        let options = |options: &mut OpenOptions| options.custom_flags(libc::O_NOFOLLOW).open(path);
        let mut old = String::new();
        let read = options(OpenOptions::new().read(true)).and_then(|mut file| file.read_to_string(&mut old));
        let old = read.ok().and_then(|_| old.trim().parse::<u32>().ok());
        if let Some(pid) = old.filter(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
            return Err(LaunchError::Running { path: path.to_owned(), pid });
        }
        let writer = system::pid();
        let opened = options(OpenOptions::new().write(true).create(true).truncate(true));
        opened.and_then(|mut file| writeln!(file, "{writer}")).map_err(|e| match e.raw_os_error() {
            Some(libc::ELOOP) => system(
                format!("write {}", path.display()),
                io::Error::new(
                    e.kind(),
                    "it is a symbolic link, which is not followed: name the file itself",
                ),
            ),
            _ => system(format!("write {}", path.display()), e),
        })?;
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
        assert_eq!(lookup_account("root").unwrap(), Account { user: 0, group: Some(0) });
        assert_eq!(lookup_account("0").unwrap(), Account { user: 0, group: None });
        assert!(matches!(lookup_user("nobody-of-this-name"), Err(LaunchError::NoUser(_))));
        assert!(matches!(lookup_group("no-group-of-this-name"), Err(LaunchError::NoGroup(_))));
    }

    #[test]
    fn a_named_user_brings_its_group_unless_one_is_given() {
        let identity = |group, of_user| Identity {
            user: Some(Account { user: 7, group: of_user }),
            group,
            ..Identity::default()
        };
        assert_eq!(identity(None, Some(8)).effective_group(), Some(8));
        assert_eq!(identity(Some(9), Some(8)).effective_group(), Some(9));
        assert_eq!(identity(None, None).effective_group(), None, "by number");
    }

    #[test]
    fn a_pid_file_is_no_link() {
        let path = std::env::temp_dir().join(format!("pidfile-link-{}", system::pid()));
        let target = path.with_extension("target");
        fs::write(&target, "kept").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        let cause = PidFile::write(&path).unwrap_err().to_string();
        assert!(cause.contains("symbolic link"), "{cause}");
        assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
        fs::remove_file(&path).unwrap();
        fs::remove_file(&target).unwrap();
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
