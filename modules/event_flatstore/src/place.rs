//! Where the files of subscribers may be.

use std::io;
use std::path::{Path, PathBuf};

/// Everywhere, or below one directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Absolute, without symbolic links.
    directory: Option<PathBuf>,
}

impl Place {
    /// Below `directory`, which has to be there.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(super) fn below(directory: &Path) -> Result<Self, String> {
        let shown = directory.display();
        if !directory.is_absolute() {
            return Err(format!("`{shown}` is no absolute path"));
        }
        let found = directory.canonicalize().map_err(|cause| format!("`{shown}`: {cause}"))?;
        if !found.is_dir() {
            return Err(format!("`{shown}` is no directory"));
        }
        Ok(Self { directory: Some(found) })
    }

    /// Whether a file may be at `path`: with a directory, it has to be below it, and to be no symbolic link. Those that lead
    /// to its folder are followed first.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn check(&self, path: &Path) -> Result<(), String> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).canonicalize();
        let is_below = folder.is_ok_and(|folder| folder.starts_with(directory)) && path.file_name().is_some();
        let shown = path.display();
        if !is_below {
            return Err(format!(
                "`{shown}` is not below {}, the directory of event_flatstore",
                directory.display()
            ));
        }
        if path.is_symlink() {
            return Err(format!("`{shown}` is a symbolic link"));
        }
        Ok(())
    }

    /// How a file is opened: it may have become a link since it was looked at.
    pub(super) fn flags(&self) -> i32 {
        if self.directory.is_some() { libc::O_NONBLOCK | libc::O_NOFOLLOW } else { libc::O_NONBLOCK }
    }

    /// As [`Self::check`], for who opens the file.
    pub(super) fn admit(&self, path: &Path) -> io::Result<()> {
        self.check(path).map_err(|why| io::Error::new(io::ErrorKind::PermissionDenied, why))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_are_below_the_directory_and_no_links() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
        fs::create_dir_all(inside.join("deep")).unwrap();
        fs::create_dir(&outside).unwrap();
        symlink(&outside, inside.join("way-out")).unwrap();
        symlink(inside.join("deep"), outside.join("way-in")).unwrap();
        symlink(outside.join("ev.log"), inside.join("link.log")).unwrap();
        let place = Place::below(&inside).unwrap();
        for good in ["in/ev.log", "in/deep/ev.log", "in/deep/../ev.log", "out/way-in/ev.log"] {
            place.check(&folder.path().join(good)).unwrap();
        }
        for bad in [
            "out/ev.log",
            "in/../ev.log",
            "in/way-out/ev.log",
            "in/link.log",
            "in/none/ev.log",
            "in/..",
            "inside.log",
        ] {
            assert!(place.check(&folder.path().join(bad)).is_err(), "{bad}");
            Place::default().check(&folder.path().join(bad)).unwrap();
        }
        assert!(place.check(Path::new("ev.log")).is_err(), "the working directory is another one");
    }

    #[test]
    fn the_directory_has_to_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        for bad in [Path::new("here"), &file, &folder.path().join("none")] {
            assert!(Place::below(bad).is_err(), "{bad:?}");
        }
    }
}
