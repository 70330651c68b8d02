//! The transport `flatstore:path`: one open file a subscriber, to which whole lines are appended.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tocsin_event::{Address, AddressError, Endpoint, Event, Outlet, Receipts, Sending, Transport};
use tocsin_shm::{Arena, ArenaFull};

use super::options::Options;
use super::place::Place;

/// How often files were to be opened anew, by a hash of their path. Two paths that share a place cost each other a
/// needless opening.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rotations(&'static [AtomicU64]);

/// Places for paths.
const PLACES: usize = 256;

impl Rotations {
    pub(super) fn create(arena: &'static Arena) -> Result<Self, ArenaFull> {
        Ok(Self(arena.boot_array(PLACES, |_| AtomicU64::new(0))?))
    }

    /// The file at `path` is opened anew for the next event.
    pub(super) fn rotate(&self, path: &[u8]) {
        self.place(path).fetch_add(1, Relaxed);
    }

    fn count(&self, path: &[u8]) -> u64 {
        self.place(path).load(Relaxed)
    }

    fn place(&self, path: &[u8]) -> &AtomicU64 {
        let hash = path.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add((*byte).into()));
        &self.0[hash % PLACES]
    }
}

/// Delivers into files.
pub(super) struct FlatStore {
    options: Rc<Options>,
    rotations: Rotations,
    /// One for each open file, and one of its own.
    open: Rc<()>,
}

impl FlatStore {
    pub(super) fn new(options: Options, rotations: Rotations) -> Self {
        Self { options: Rc::new(options), rotations, open: Rc::new(()) }
    }
}

impl Transport for FlatStore {
    fn schemes(&self) -> &[&'static str] {
        &["flatstore"]
    }

    fn parse(&self, scheme: &'static str, address: &str) -> Result<Address, AddressError> {
        let refused = |why: String| Err(AddressError::Other(why));
        if address.is_empty() || address.contains('\0') {
            return refused("no path of a file is given".to_owned());
        }
        let path = Path::new(address);
        if path.is_dir() {
            return refused(format!("`{address}` is a directory"));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return refused(format!("there is no directory `{}`", folder.display()));
        }
        self.options.place.check(path).map_err(AddressError::Other)?;
        Ok(Address::new(scheme, address, Endpoint::Path(path.to_owned())))
    }

    fn open(&self, address: &Address, receipts: Rc<dyn Receipts>) -> io::Result<Box<dyn Outlet>> {
        let Endpoint::Path(path) = &address.endpoint else { return Err(ErrorKind::InvalidInput.into()) };
        if Rc::strong_count(&self.open) > self.options.open_files {
            let why =
                format!("{} files are open, which is the most (max_open_sockets)", self.options.open_files);
            return Err(io::Error::new(ErrorKind::QuotaExceeded, why));
        }
        Ok(Box::new(FileOutlet {
            path: path.clone(),
            file: None,
            rotations: self.rotations,
            rotated: self.rotations.count(path.as_os_str().as_encoded_bytes()),
            options: Rc::clone(&self.options),
            receipts,
            _open: Rc::clone(&self.open),
        }))
    }
}

struct FileOutlet {
    path: PathBuf,
    file: Option<File>,
    rotations: Rotations,
    /// The count when the file was opened.
    rotated: u64,
    options: Rc<Options>,
    receipts: Rc<dyn Receipts>,
    _open: Rc<()>,
}

impl Outlet for FileOutlet {
    fn send<'a>(&'a mut self, events: &'a [Rc<Event>]) -> Sending<'a> {
        Box::pin(async move {
            let mut lines = Lines::default();
            for event in events {
                self.options.layout.write(event, &mut lines.bytes);
                lines.ends.push(lines.bytes.len());
            }
            let rotated = self.rotations.count(self.path.as_os_str().as_encoded_bytes());
            if rotated != self.rotated {
                (self.rotated, self.file) = (rotated, None);
            }
            let (file, way) = (self.file.take(), self.way());
            let writing = tokio::task::spawn_blocking(move || append(file, &way, &lines));
            match writing.await {
                Ok((file, whole, result)) => {
                    self.file = file;
                    self.receipts.delivered(whole);
                    if let Err(why) = result {
                        self.receipts.dropped(events.len() - whole, &why);
                    }
                }
                Err(cause) => self.receipts.dropped(events.len(), &io::Error::other(cause)),
            }
        })
    }
}

impl FileOutlet {
    fn way(&self) -> Way {
        Way { path: self.path.clone(), mode: self.options.mode, place: Arc::clone(&self.options.place) }
    }
}

/// How the file is opened.
struct Way {
    path: PathBuf,
    /// Access rights of a new file.
    mode: u32,
    place: Arc<Place>,
}

/// Lines to write, and where each ends.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

/// Appends `lines`, to `file` if there is one. Returns the file to go on with, how many lines were written, and why not
/// all. What does not fit is taken back to the end of the last whole line.
fn append(file: Option<File>, way: &Way, lines: &Lines) -> (Option<File>, usize, io::Result<()>) {
    let opened = file.map_or_else(|| open(way), Ok);
    let result = opened.and_then(|mut file| {
        let before = file.metadata()?.len();
        let (written, result) = write(&mut file, &lines.bytes);
        Ok((file, before, written, result))
    });
    match result {
        Ok((file, before, written, result)) => {
            let whole = lines.ends.partition_point(|end| *end <= written);
            let kept = whole.checked_sub(1).and_then(|last| lines.ends.get(last)).copied().unwrap_or(0);
            if written > kept {
                // Where that fails too, a part of a line stays.
                let _ = file.set_len(before + kept as u64);
            }
            (result.is_ok().then_some(file), whole, result)
        }
        Err(error) => (None, 0, Err(error)),
    }
}

/// Opens the file to append to. A new one gets the access rights `mode`, whatever the mask of the process is. What is no
/// file could hold up its writer for ever: a FIFO that nobody reads.
fn open(Way { path, mode, place }: &Way) -> io::Result<File> {
    place.admit(path)?;
    let mut options = OpenOptions::new();
    options.append(true).mode(*mode).custom_flags(place.flags());
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            file.set_permissions(Permissions::from_mode(*mode))?;
            Ok(file)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let file = options.open(path)?;
            let kind = file.metadata()?.file_type();
            if kind.is_file() || kind.is_char_device() {
                Ok(file)
            } else {
                Err(io::Error::new(ErrorKind::InvalidInput, "it is neither a file nor a device"))
            }
        }
        Err(error) => Err(error),
    }
}

fn write(file: &mut File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
mod tests {
    use tocsin_event::Sent;
    use tocsin_shm::ArenaOptions;

    use super::super::lines::tests::event;
    use super::*;
    use tocsin_server::module::Parameters;

    fn store(options: Options) -> (FlatStore, Rotations) {
        let arena = Arena::create(&ArenaOptions { bytes: 1 << 20, boot_bytes: 256 << 10 }).unwrap();
        let rotations = Rotations::create(arena).unwrap();
        (FlatStore::new(options, rotations), rotations)
    }

    fn defaults() -> Options {
        crate::options(&Parameters::default()).unwrap()
    }

    fn in_runtime<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test)
    }

    fn way(path: &Path, place: Place) -> Way {
        Way { path: path.to_owned(), mode: 0o644, place: Arc::new(place) }
    }

    #[test]
    fn a_file_that_became_a_link_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("in");
        std::fs::create_dir(&inside).unwrap();
        let (victim, path) = (folder.path().join("victim"), inside.join("ev.log"));
        std::fs::write(&victim, "").unwrap();
        let place = Place::below(&inside).unwrap();
        let (store, _) = store(Options { place: Arc::new(place.clone()), ..defaults() });
        let address = store.parse("flatstore", path.to_str().unwrap()).unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(store.parse("flatstore", path.to_str().unwrap()).is_err());
        let sent = Rc::new(Sent::default());
        let mut outlet = store.open(&address, Rc::clone(&sent) as _).unwrap();
        in_runtime(outlet.send(&[event(|_| {})]));
        assert_eq!(sent.counts(), (0, 1));
        assert!(std::fs::read(&victim).unwrap().is_empty());
        std::fs::remove_file(&path).unwrap();
        in_runtime(outlet.send(&[event(|_| {})]));
        assert_eq!(sent.counts(), (1, 1));
        assert!(open(&way(&path, place)).is_ok());
    }

    #[test]
    fn a_fifo_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(open(&way(&path, Place::default())).is_err(), "nobody reads it");
        let _reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
        assert!(open(&way(&path, Place::default())).is_err(), "it is no file");
    }

    #[test]
    fn a_file_begins_with_the_first_event_and_can_be_moved_away() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("ev.log"), folder.path().join("old.log"));
        let (store, rotations) = store(Options { mode: 0o640, ..defaults() });
        let text = path.to_str().unwrap();
        let address = store.parse("flatstore", text).unwrap();
        let sent = Rc::new(Sent::default());
        let mut outlet = store.open(&address, Rc::clone(&sent) as _).unwrap();
        assert!(!path.exists());
        let events = [1, 2].map(|n| {
            event(|p| {
                p.int("n", n);
            })
        });
        in_runtime(async {
            outlet.send(&events).await;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
            std::fs::rename(&path, &old).unwrap();
            outlet.send(&events[..1]).await;
            assert_eq!(sent.counts(), (3, 0));
            assert_eq!(std::fs::read(&old).unwrap(), b"E_TEST,1\nE_TEST,2\nE_TEST,1\n");
            rotations.rotate(text.as_bytes());
            outlet.send(&events[1..]).await;
            assert_eq!(std::fs::read(&path).unwrap(), b"E_TEST,2\n");
        });
    }

    #[test]
    fn a_full_disk_costs_the_event_and_not_the_file() {
        let (store, _) = store(defaults());
        let sent = Rc::new(Sent::default());
        let address = store.parse("flatstore", "/dev/full").unwrap();
        let mut outlet = store.open(&address, Rc::clone(&sent) as _).unwrap();
        let events = [event(|_| {}), event(|_| {})];
        in_runtime(outlet.send(&events));
        assert_eq!(sent.counts(), (0, 2));
        assert!(sent.error().unwrap().contains("No space left"));
    }

    #[test]
    fn paths_are_checked_and_files_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = store(Options { open_files: 1, ..defaults() });
        for bad in ["", ".", "/nosuchdir/x.log", "a\0b"] {
            assert!(store.parse("flatstore", bad).is_err(), "{bad}");
        }
        assert_eq!(store.parse("flatstore", "e v.log").unwrap().socket, "flatstore:e v.log");
        let open = |name: &str| {
            let path = folder.path().join(name);
            let address = store.parse("flatstore", path.to_str().unwrap()).unwrap();
            store.open(&address, Rc::new(Sent::default()))
        };
        let one = open("one").unwrap();
        assert!(open("two").is_err_and(|cause| cause.to_string().contains("max_open_sockets")));
        drop(one);
        open("two").unwrap();
    }
}
