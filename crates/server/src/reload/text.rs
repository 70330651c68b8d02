//! The text of a version of the script, where every process of the server can read it, those that are forked later too.
//!
//! There are two files in memory. A new text takes the place of the older one, so that the text in force stays whole.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::sys::memfd::{MFdFlags, memfd_create};
use tocsin_script::{Bytes, SourceMap};

use crate::flag_names::FlagNames;

/// Bytes of the files of one configuration, all together, that a reload takes.
pub(crate) const MAX_TEXT_BYTES: usize = 64 << 20;
/// The version and the length stand before the text.
const HEAD_BYTES: u64 = 16;

/// What a process makes a script of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    /// Each file as it is named in messages, and its bytes; the main one first.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// The flags that are named so far, in the order of their bits, and whether a variable was the first to name each.
    pub(super) flags: Vec<(Bytes, bool)>,
}

impl Text {
    /// The files that a configuration was read from.
    pub(super) fn of(source: &SourceMap, flags: &FlagNames) -> Self {
        let files = source.files().iter().map(|file| (file.name().to_owned(), file.text().to_vec()));
        Self { files: files.collect(), flags: flags.to_list() }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_count(&mut out, self.files.len());
        for (name, text) in &self.files {
            put(&mut out, name.as_bytes());
            put(&mut out, text);
        }
        put_count(&mut out, self.flags.len());
        for (name, of_variable) in &self.flags {
            put(&mut out, name.as_slice());
            out.push(u8::from(*of_variable));
        }
        out
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut text = Self::default();
        for _ in 0..take_count(&mut bytes)? {
            let name = String::from_utf8(take(&mut bytes)?.to_vec()).ok()?;
            text.files.push((name, take(&mut bytes)?.to_vec()));
        }
        for _ in 0..take_count(&mut bytes)? {
            let name = Bytes::new(take(&mut bytes)?);
            let (of_variable, rest) = bytes.split_first()?;
            bytes = rest;
            text.flags.push((name, *of_variable != 0));
        }
        bytes.is_empty().then_some(text)
    }
}

/// The texts of two versions.
#[derive(Debug)]
pub(crate) struct Texts([File; 2]);

impl Texts {
    /// No text yet. To be made before the first fork.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub(crate) fn create() -> io::Result<Self> {
        let file =
            || -> io::Result<File> { Ok(memfd_create(c"tocsin-script", MFdFlags::MFD_CLOEXEC)?.into()) };
        Ok(Self([file()?, file()?]))
    }

    /// Writes the text of a version in place of that of the version two before.
    ///
    /// # Errors
    /// There is no memory, or the text is longer than [`MAX_TEXT_BYTES`].
    pub(super) fn write(&self, version: u32, text: &Text) -> io::Result<()> {
        let bytes = text.encode();
        if bytes.len() > MAX_TEXT_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let file = self.file(version);
        // Nothing can be read until the version is there.
        file.set_len(0)?;
        file.write_all_at(&bytes, HEAD_BYTES)?;
        file.write_all_at(&(bytes.len() as u64).to_ne_bytes(), 8)?;
        file.write_all_at(&u64::from(version).to_ne_bytes(), 0)
    }

    /// Reads the text of a version. `None` if a later one has taken its place.
    pub(super) fn read(&self, version: u32) -> Option<Text> {
        let file = self.file(version);
        let length = usize::try_from(self.head(version)?).ok().filter(|length| *length <= MAX_TEXT_BYTES)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, HEAD_BYTES).ok()?;
        // What was overwritten meanwhile is not the text.
        self.head(version)?;
        Text::decode(&bytes)
    }

    /// The length of the text, if it is that of `version`.
    fn head(&self, version: u32) -> Option<u64> {
        let mut head = [0; HEAD_BYTES as usize];
        self.file(version).read_exact_at(&mut head, 0).ok()?;
        let (at, length) = head.split_at(8);
        (at == u64::from(version).to_ne_bytes()).then_some(())?;
        Some(u64::from_ne_bytes(length.try_into().ok()?))
    }

    fn file(&self, version: u32) -> &File {
        &self.0[version as usize % 2]
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend((count as u64).to_ne_bytes());
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn take_count(bytes: &mut &[u8]) -> Option<u64> {
    let (count, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_ne_bytes(*count))
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_count(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(first: &str) -> Text {
        let files = vec![(first.to_owned(), b"route { }".to_vec()), ("b.cfg".to_owned(), vec![0xff, 0])];
        Text { files, flags: vec![("NAT".into(), false), ("Q".into(), true)] }
    }

    #[test]
    fn the_text_of_two_versions_is_there() {
        let texts = Texts::create().unwrap();
        assert_eq!(texts.read(1), None);
        texts.write(1, &text("one")).unwrap();
        texts.write(2, &text("two")).unwrap();
        assert_eq!(texts.read(1), Some(text("one")));
        assert_eq!(texts.read(2), Some(text("two")));
        texts.write(3, &text("three")).unwrap();
        assert_eq!((texts.read(1), texts.read(3)), (None, Some(text("three"))));
        assert_eq!(texts.read(2), Some(text("two")), "in force all the time");
    }

    #[test]
    fn what_is_too_long_is_refused_and_what_is_cut_short_is_no_text() {
        let texts = Texts::create().unwrap();
        let long = Text { files: vec![("x".into(), vec![b' '; MAX_TEXT_BYTES])], flags: vec![] };
        assert!(texts.write(1, &long).is_err());
        let bytes = text("one").encode();
        for end in 0..bytes.len() {
            assert_eq!(Text::decode(&bytes[..end]), None, "{end}");
        }
        assert_eq!(Text::decode(&bytes), Some(text("one")));
    }
}
