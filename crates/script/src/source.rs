//! The text of a configuration and of the files it includes, and places in it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Files nest by `include_file` at most this deep.
pub const MAX_INCLUDE_DEPTH: usize = 10;
/// At most this many files are read for one configuration, counting a file again each time it is included.
pub const MAX_FILES: usize = 1000;
/// One file has at most this many bytes.
pub const MAX_FILE_BYTES: usize = 16 << 20;

/// A stretch of one source file, in bytes; `end` is not part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Which file, in the order they were read.
    pub file: u32,
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte.
    pub end: u32,
}

impl Span {
    /// From the start of `self` to the end of `other`; only `self` if they lie in different files.
    pub fn to(self, other: Self) -> Self {
        if self.file == other.file { Self { end: other.end.max(self.end), ..self } } else { self }
    }

    /// `len` bytes beginning `offset` bytes after the start, kept inside `self`.
    pub(crate) fn part(self, offset: usize, len: usize) -> Self {
        let start = self.start.saturating_add(offset as u32).min(self.end);
        Self { start, end: start.saturating_add(len as u32).min(self.end), ..self }
    }
}

/// A line and column, both counted from 1, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes, from 1.
    pub column: u32,
}

/// One file of a configuration.
#[derive(Debug)]
pub struct SourceFile {
    name: String,
    text: Vec<u8>,
    lines: Vec<u32>,
    included_at: Option<Span>,
}

impl SourceFile {
    fn new(name: String, text: Vec<u8>, included_at: Option<Span>) -> Self {
        let mut lines = vec![0];
        lines.extend(memchr::memchr_iter(b'\n', &text).map(|at| at as u32 + 1));
        Self { name, text, lines, included_at }
    }

    /// Where another file includes it; `None` for the main one.
    pub fn included_at(&self) -> Option<Span> {
        self.included_at
    }

    /// The name it was opened by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its bytes.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Line and column of a byte.
    pub fn position(&self, offset: u32) -> Position {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        Position { line: line as u32, column: offset - self.lines[line - 1] + 1 }
    }
}

/// The configuration's main file, and the files it includes as they are met.
#[derive(Debug)]
pub struct SourceMap {
    files: Vec<SourceFile>,
    origin: Box<Origin>,
}

/// Where included files come from.
#[derive(Debug, Default)]
struct Origin {
    /// Texts at hand, by path.
    memory: BTreeMap<PathBuf, Vec<u8>>,
    /// Where relative paths of the file system begin.
    folder: PathBuf,
    /// Only what is at hand is there.
    sealed: bool,
}

impl SourceMap {
    /// A configuration whose text is at hand (read from a pipe, run through a preprocessor, written in a test).
    pub fn from_text(name: impl Into<String>, text: impl Into<Vec<u8>>) -> Self {
        Self { files: vec![SourceFile::new(name.into(), text.into(), None)], origin: Box::default() }
    }

    /// The texts of a configuration that has been read before, by the names of [`Self::files`], the main one first: no other
    /// file is read. `None` if there are none.
    pub fn sealed(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Option<Self> {
        let mut files = files.into_iter();
        let (name, text) = files.next()?;
        let memory = files.map(|(name, text)| (PathBuf::from(name), text)).collect();
        let origin = Box::new(Origin { memory, sealed: true, ..Origin::default() });
        Some(Self { origin, ..Self::from_text(name, text) })
    }

    /// Reads the configuration from a file.
    ///
    /// # Errors
    /// What the system says when the file cannot be read, or [`io::ErrorKind::FileTooLarge`] beyond
    /// [`MAX_FILE_BYTES`].
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_in(Path::new(""), path)
    }

    /// The same, where relative paths begin at `folder`: what the process may have entered since then does not count.
    ///
    /// # Errors
    /// See [`Self::open`].
    pub fn open_in(folder: &Path, path: &Path) -> io::Result<Self> {
        let text = read_limited(&folder.join(path))?;
        Ok(Self::from_text(path.display().to_string(), text).in_folder(folder))
    }

    /// Lets relative paths of included files begin at `folder`.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.origin.folder);
        self
    }

    /// Puts the text of a file at hand: an `include_file` of exactly this path finds it before the file system.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<PathBuf>, text: impl Into<Vec<u8>>) -> Self {
        self.origin.memory.insert(path.into(), text.into());
        self
    }

    /// All files read so far; the first is the main one.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The file a span lies in.
    pub fn file(&self, span: Span) -> &SourceFile {
        &self.files[(span.file as usize).min(self.files.len() - 1)]
    }

    /// Line and column where a span begins.
    pub fn position(&self, span: Span) -> Position {
        self.file(span).position(span.start)
    }

    /// Reads an included file: as the path stands, else beside the file that includes it (manual, "Core
    /// Parameters", include_file).
    pub(crate) fn include(&mut self, path: &str, from: Span) -> io::Result<u32> {
        if self.files.len() >= MAX_FILES {
            return Err(io::Error::other(format!("more than {MAX_FILES} files included")));
        }
        let path = Path::new(path);
        let (name, text) = match self.origin.read(path) {
            Ok(text) => (path.to_path_buf(), text),
            Err(error) if path.is_relative() && error.kind() == io::ErrorKind::NotFound => {
                let includer = Path::new(self.file(from).name());
                let beside = includer.parent().unwrap_or(Path::new("")).join(path);
                let text = self.origin.read(&beside)?;
                (beside, text)
            }
            Err(error) => return Err(error),
        };
        self.files.push(SourceFile::new(name.display().to_string(), text, Some(from)));
        Ok(self.files.len() as u32 - 1)
    }
}

impl Origin {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.memory.get(path) {
            Some(text) => Ok(text.clone()),
            None if self.sealed => Err(io::ErrorKind::NotFound.into()),
            None => read_limited(&self.folder.join(path)),
        }
    }
}

fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut text)?;
    if text.len() > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "file too large for a configuration"));
    }
    Ok(text)
}

/// A line of a file, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Name of the file.
    pub file: &'a str,
    /// Line, from 1.
    pub line: u32,
}

/// A line of the script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) file: u32,
    pub(crate) line: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_from_one() {
        let map = SourceMap::from_text("x.cfg", "ab\n\ncd");
        let at = |start| map.position(Span { file: 0, start, end: start });
        assert_eq!(at(0), Position { line: 1, column: 1 });
        assert_eq!(at(2), Position { line: 1, column: 3 });
        assert_eq!(at(3), Position { line: 2, column: 1 });
        assert_eq!(at(5), Position { line: 3, column: 2 });
        assert_eq!(at(6), Position { line: 3, column: 3 });
    }

    #[test]
    fn what_was_read_once_is_read_again_without_the_files() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        std::fs::create_dir_all(folder.join("parts")).unwrap();
        std::fs::write(folder.join("main.cfg"), "main").unwrap();
        std::fs::write(folder.join("parts/a.cfg"), "a").unwrap();
        let read = SourceMap::open_in(folder, Path::new("main.cfg"));
        let mut read = read.unwrap();
        read.include("parts/a.cfg", Span::default()).unwrap();
        drop(temporary);

        let files = read.files().iter().map(|file| (file.name().to_owned(), file.text().to_vec()));
        let mut again = SourceMap::sealed(files).unwrap();
        assert_eq!(again.files()[0].text(), b"main");
        let file = again.include("parts/a.cfg", Span::default()).unwrap();
        assert_eq!(again.files()[file as usize].text(), b"a");
        let missing = again.include("/etc/hostname", Span::default());
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(SourceMap::sealed([]).is_none());
    }

    #[test]
    fn a_file_at_hand_is_included() {
        let mut map = SourceMap::from_text("x.cfg", "").with_file("more.cfg", "log_level=3");
        let file = map.include("more.cfg", Span::default()).unwrap();
        assert_eq!(map.files()[file as usize].text(), b"log_level=3");
        assert!(map.include("nowhere/none.cfg", Span::default()).is_err());
    }
}
