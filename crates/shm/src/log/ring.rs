//! The bytes of the log: a ring of words, written and read by anybody at any time.
//!
//! A word is atomic, so a torn record is a wrong checksum and never undefined behaviour. Records begin at a word.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::Checksum;
use crate::{Arena, ArenaFull};

const WORD: usize = size_of::<u64>();

#[derive(Debug)]
pub(super) struct Bytes {
    words: &'static [AtomicU64],
}

impl Bytes {
    /// A ring of `size` bytes, a power of two.
    pub(super) fn create(arena: &'static Arena, size: usize) -> Result<Self, ArenaFull> {
        Ok(Self { words: arena.boot_array_of(size / WORD, &mut |_| AtomicU64::new(0))? })
    }

    pub(super) fn len(&self) -> u64 {
        (self.words.len() * WORD) as u64
    }

    /// Writes the parts one after another at `offset`, a multiple of the word.
    pub(super) fn write(&self, offset: u64, parts: &[&[u8]], sum: &mut Checksum) {
        let mut at = offset as usize / WORD;
        let mut put = |word: [u8; WORD]| {
            let word = u64::from_le_bytes(word);
            sum.add(word);
            self.word(at).store(word, Relaxed);
            at += 1;
        };
        // Bytes of a word that the parts so far have not filled.
        let (mut open, mut filled) = ([0; WORD], 0);
        for part in parts {
            let mut rest = *part;
            if filled > 0 {
                let n = rest.len().min(WORD - filled);
                open[filled..filled + n].copy_from_slice(&rest[..n]);
                (filled, rest) = (filled + n, &rest[n..]);
                if filled < WORD {
                    continue;
                }
                put(open);
            }
            let (whole, tail) = rest.as_chunks::<WORD>();
            whole.iter().for_each(|word| put(*word));
            open = [0; WORD];
            open[..tail.len()].copy_from_slice(tail);
            filled = tail.len();
        }
        if filled > 0 {
            put(open);
        }
    }

    /// Copies `bytes` bytes at `offset` out.
    pub(super) fn read(&self, offset: u64, bytes: usize, to: &mut Vec<u8>, sum: &mut Checksum) {
        let first = offset as usize / WORD;
        to.reserve(bytes.next_multiple_of(WORD));
        for at in first..first + bytes.div_ceil(WORD) {
            let word = self.word(at).load(Relaxed);
            sum.add(word);
            to.extend_from_slice(&word.to_le_bytes());
        }
        to.truncate(bytes);
    }

    #[inline]
    fn word(&self, at: usize) -> &AtomicU64 {
        &self.words[at & (self.words.len() - 1)]
    }
}
