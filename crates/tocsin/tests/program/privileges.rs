//! Whose rights the server has, and what it leaves behind: nothing after an orderly end, nothing in the way after a kill.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid, mkfifo};

use crate::harness::{Fifo, Server, Setup, UnixMi, until};

const CONFIG: &str = include_str!("../configs/management.cfg");
const VERSION: &str = r#"{"jsonrpc":"2.0","method":"version","id":1}"#;

/// Files of a server, in a folder that outlives it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// Everybody may make files there, and remove only those of their own, as in `/tmp`.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        Self { folder }
    }

    fn fifo(&self) -> std::path::PathBuf {
        self.folder.path().join("mi.fifo")
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("mi.sock")
    }

    fn setup(&self) -> Setup {
        let folder = self.folder.path().display().to_string();
        let text = CONFIG.replace("@DIR@/mi.fifo", &format!("{folder}/mi.fifo"));
        let setup = Setup::new(&text.replace("@DIR@/", &format!("{folder}/")));
        // Other users reach the socket at which the server says that it is ready.
        fs::set_permissions(setup.dir(), fs::Permissions::from_mode(0o755)).unwrap();
        setup.put("MI_SOCKET", self.socket().display())
    }

    fn answers(&self) {
        assert!(Fifo::new(self.fifo(), self.folder.path().to_owned()).raw(VERSION).contains("OpenSIPS (3.4"));
        let client = UnixMi::new(&self.socket(), self.folder.path());
        assert!(client.raw(VERSION.as_bytes()).contains("OpenSIPS (3.4"));
        fs::read_dir(self.folder.path()).unwrap().for_each(|entry| {
            let path = entry.unwrap().path();
            if ![self.fifo(), self.socket()].contains(&path) {
                fs::remove_file(path).unwrap();
            }
        });
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(self.folder.path()).unwrap().next().is_none()
    }
}

fn pids(server: &Server) -> Vec<i32> {
    let parent = server.pid();
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    std::iter::once(parent).chain(children.split_whitespace().map(|pid| pid.parse().unwrap())).collect()
}

/// The number that must be the same four times in a line of `/proc/PID/status`.
fn identity(pid: i32, line: &str) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let numbers = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    let numbers: Vec<u32> = numbers.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert!(numbers.iter().all(|number| *number == numbers[0]), "{numbers:?}");
    numbers[0]
}

#[test]
fn a_named_user_brings_its_group_and_owns_what_was_made() {
    assert!(geteuid().is_root(), "these tests run as root, like the server's start");
    let nobody = User::from_name("nobody").unwrap().unwrap();
    let (uid, gid) = (nobody.uid.as_raw(), nobody.gid.as_raw());
    let place = Place::new();
    let server = place.setup().args(["-u", "nobody"]).start();
    for pid in pids(&server) {
        assert_eq!((identity(pid, "Uid:"), identity(pid, "Gid:")), (uid, gid));
    }
    for path in [place.fifo(), place.socket()] {
        let found = path.symlink_metadata().unwrap();
        assert_eq!(
            (found.uid(), found.gid(), found.mode() & 0o7777),
            (uid, gid, 0o660),
            "{}",
            path.display()
        );
    }
    place.answers();
    server.stop();
    assert!(place.is_empty(), "both are gone");
    let server = place.setup().args(["-u", &uid.to_string()]).start();
    assert_eq!((identity(server.pid(), "Uid:"), identity(server.pid(), "Gid:")), (uid, 0), "by number");
    assert!(server.log().contains("with the group of root"));
    server.stop();
    let server = place.setup().args(["-u", "nobody", "-g", "daemon"]).start();
    let daemon = nix::unistd::Group::from_name("daemon").unwrap().unwrap().gid.as_raw();
    assert_eq!(identity(server.pid(), "Gid:"), daemon);
    assert_eq!(place.socket().symlink_metadata().unwrap().gid(), daemon);
    server.stop();
}

#[test]
fn every_process_is_in_the_root_and_the_folder_that_were_given_and_so_is_a_successor() {
    let setup = Setup::new(include_str!("../configs/relay.cfg")).put("UAS", 9);
    let root = setup.dir().to_owned();
    fs::create_dir(root.join("work")).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    // The socket at which the server says that it is ready has the same name inside.
    let inside = root.join(root.strip_prefix("/").unwrap());
    fs::create_dir_all(inside.parent().unwrap()).unwrap();
    symlink("/", inside).unwrap();
    let server = setup.args(["-t", &root.display().to_string(), "-w", "/work", "-u", "nobody"]).start();
    let are_inside = |server: &Server| {
        for pid in pids(server) {
            let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).unwrap();
            assert_eq!((link("root"), link("cwd")), (root.clone(), root.join("work")));
            assert_ne!(identity(pid, "Uid:"), 0);
        }
    };
    are_inside(&server);
    let before = pids(&server);
    before.iter().skip(1).for_each(|pid| kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap());
    until("all have successors", || {
        let now = pids(&server);
        (now.len() == before.len() && now.iter().skip(1).all(|pid| !before.contains(pid))).then_some(())
    });
    are_inside(&server);
    server.stop();
}

#[test]
fn what_a_killed_server_left_is_not_in_the_way() {
    let place = Place::new();
    // By root, then by nobody, then by root: none of them can tell the other's files from a living server's by their owner.
    for user in [None, Some("nobody"), None] {
        let setup = place.setup();
        let server = match user {
            Some(user) => setup.args(["-u", user]).start(),
            None => setup.start(),
        };
        place.answers();
        let family = pids(&server);
        kill(Pid::from_raw(server.pid()), Signal::SIGKILL).unwrap();
        server.was_killed();
        until("its processes are gone", || {
            family.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()).then_some(())
        });
        assert!(place.fifo().exists() && place.socket().exists(), "they were left");
    }
    let server = place.setup().start();
    place.answers();
    server.stop();
    assert!(place.is_empty());
}

#[test]
fn a_living_server_and_other_files_keep_their_place() {
    let place = Place::new();
    let living = place.setup().start();
    let refused = |setup: Setup, why: &str| {
        let ended = setup.run_to_end();
        assert_eq!(ended.status, 255);
        assert!(ended.stderr.contains(why), "{}", ended.stderr);
    };
    refused(place.setup(), "is in use by a server that runs");
    let with_socket = |path: &Path| Setup::new(CONFIG).put("MI_SOCKET", path.display());
    refused(with_socket(&place.socket()), "is in use by a server that runs");
    place.answers();
    living.stop();
    let (file, link, other) = (
        place.folder.path().join("file"),
        place.folder.path().join("link"),
        place.folder.path().join("fifo"),
    );
    fs::write(&file, "kept").unwrap();
    symlink(&file, &link).unwrap();
    mkfifo(&other, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in [&file, &link, &other] {
        refused(with_socket(path), "is something else");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert!(other.symlink_metadata().unwrap().file_type().is_fifo());
}

#[test]
fn a_pid_file_is_not_written_through_a_link() {
    let place = Place::new();
    let (target, link) = (place.folder.path().join("target"), place.folder.path().join("pid"));
    fs::write(&target, "kept").unwrap();
    symlink(&target, &link).unwrap();
    let ended = place.setup().args(["-P", link.to_str().unwrap()]).run_to_end();
    assert_eq!(ended.status, 255);
    assert!(ended.stderr.contains("symbolic link"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
    assert!(!place.socket().exists(), "a start that failed leaves nothing");
}
