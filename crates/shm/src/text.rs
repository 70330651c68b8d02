//! Byte strings and text in shared memory.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use crate::{Alloc, Full, ShmClone, ShmSafe, ShmVec};

/// A byte string in shared memory; reads as a slice.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct ShmBytes(ShmVec<u8>);

// SAFETY: its only field may be shared.
unsafe impl ShmSafe for ShmBytes {}

impl ShmBytes {
    /// An empty byte string, which takes no memory yet.
    pub fn new_in(alloc: Alloc) -> Self {
        Self(ShmVec::new_in(alloc))
    }

    /// A copy of `bytes`.
    ///
    /// # Errors
    /// As all `try_` operations here: [`Full`] when there is no room.
    pub fn try_from_slice_in(bytes: &[u8], alloc: Alloc) -> Result<Self, Full> {
        ShmVec::try_from_slice_in(bytes, alloc).map(Self)
    }

    /// An empty byte string with room for `n` bytes.
    pub fn try_with_capacity_in(n: usize, alloc: Alloc) -> Result<Self, Full> {
        ShmVec::try_with_capacity_in(n, alloc).map(Self)
    }

    /// Adds a byte at the end.
    pub fn try_push(&mut self, byte: u8) -> Result<(), Full> {
        self.0.try_push(byte)
    }

    /// Adds `bytes` at the end: all or none.
    pub fn try_extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.0.try_extend_from_slice(bytes)
    }

    /// Replaces the content by `bytes`. On an error the old content stays.
    pub fn try_assign(&mut self, bytes: &[u8]) -> Result<(), Full> {
        self.0.try_assign(bytes)
    }

    /// Keeps the first `n` bytes.
    pub fn truncate(&mut self, n: usize) {
        self.0.truncate(n);
    }

    /// Makes it empty; the memory stays.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl ShmClone for ShmBytes {
    fn try_clone_in(&self, alloc: Alloc) -> Result<Self, Full> {
        Self::try_from_slice_in(self, alloc)
    }
}

impl Deref for ShmBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for ShmBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for ShmBytes {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl Hash for ShmBytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl PartialEq<[u8]> for ShmBytes {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

impl fmt::Debug for ShmBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

/// Text in shared memory; reads as `str`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct ShmString(ShmVec<u8>);

// SAFETY: its only field may be shared.
unsafe impl ShmSafe for ShmString {}

impl ShmString {
    /// An empty text, which takes no memory yet.
    pub fn new_in(alloc: Alloc) -> Self {
        Self(ShmVec::new_in(alloc))
    }

    /// A copy of `text`.
    ///
    /// # Errors
    /// As all `try_` operations here: [`Full`] when there is no room.
    pub fn try_from_str_in(text: &str, alloc: Alloc) -> Result<Self, Full> {
        ShmVec::try_from_slice_in(text.as_bytes(), alloc).map(Self)
    }

    /// Adds `text` at the end: all or none.
    pub fn try_push_str(&mut self, text: &str) -> Result<(), Full> {
        self.0.try_extend_from_slice(text.as_bytes())
    }

    /// Replaces the content by `text`. On an error the old content stays.
    pub fn try_assign(&mut self, text: &str) -> Result<(), Full> {
        self.0.try_assign(text.as_bytes())
    }

    /// Makes it empty; the memory stays.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        // SAFETY: only whole `str`s are ever put in.
        unsafe { std::str::from_utf8_unchecked(&self.0) }
    }
}

impl ShmClone for ShmString {
    fn try_clone_in(&self, alloc: Alloc) -> Result<Self, Full> {
        Self::try_from_str_in(self, alloc)
    }
}

impl Deref for ShmString {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for ShmString {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for ShmString {
    fn borrow(&self) -> &str {
        self
    }
}

impl Hash for ShmString {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl PartialEq<str> for ShmString {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl fmt::Debug for ShmString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl fmt::Display for ShmString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}
