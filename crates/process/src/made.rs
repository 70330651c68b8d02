//! Files by which others find this server, such as UNIX sockets: gone when it ends in order.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::system;

/// A file that this process made for the server. Dropping the value removes the file, unless another one has its name.
#[derive(Debug)]
pub struct MadeFile {
    /// `None`: out of reach since the root directory was changed.
    path: Option<PathBuf>,
    /// Device and inode.
    identity: (u64, u64),
    maker: u32,
}

impl MadeFile {
    /// The file that is at `path` now.
    ///
    /// # Errors
    /// There is none, or its folder cannot be looked into.
    pub fn at(path: &Path) -> io::Result<Self> {
        let found = path.symlink_metadata()?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // The working directory may be another one at the end.
        let path = folder.canonicalize()?.join(path.file_name().unwrap_or_default());
        Ok(Self { path: Some(path), identity: (found.dev(), found.ino()), maker: system::pid() })
    }

    /// From here on `root` is the root directory.
    pub fn seen_from(&mut self, root: &Path) {
        let inside = self.path.take().and_then(|path| path.strip_prefix(root).map(Path::to_owned).ok());
        self.path = inside.map(|path| Path::new("/").join(path));
    }
}

impl Drop for MadeFile {
    fn drop(&mut self) {
        let Some(path) = &self.path else { return };
        // Children inherit this value: only the maker removes the file.
        if system::pid() != self.maker {
            return;
        }
        if path.symlink_metadata().is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            // Where the server's user may not do it, the next start does.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_goes_and_what_took_its_place_stays() {
        let folder = std::env::temp_dir().join(format!("made-{}", system::pid()));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("file");
        fs::write(&path, "x").unwrap();
        drop(MadeFile::at(&path).unwrap());
        assert!(!path.exists());
        fs::write(&path, "x").unwrap();
        let made = MadeFile::at(&path).unwrap();
        fs::rename(&path, folder.join("old")).unwrap();
        fs::write(&path, "y").unwrap();
        drop(made);
        assert!(path.exists());
        let mut made = MadeFile::at(&path).unwrap();
        made.seen_from(&folder.canonicalize().unwrap());
        assert_eq!(made.path.as_deref(), Some(Path::new("/file")));
        drop(made);
        let mut made = MadeFile::at(&path).unwrap();
        made.seen_from(Path::new("/elsewhere"));
        assert_eq!(made.path, None);
        drop(made);
        fs::remove_dir_all(&folder).unwrap();
    }
}
