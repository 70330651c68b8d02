//! What all domains' files say, as one record in shared memory: replaced whole, so that no process ever sees half.
//!
//! The record lists texts, each once; then, for each domain, the numbers of its texts.

use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};

use tocsin_server::module::{Setup, SetupError};
use tocsin_shm::{Full, Map, MapOptions, ShmBytes};

use super::files::Material;

/// How much all files may have together, in bytes.
pub(super) const RECORD_LIMIT: usize = 16 << 20;

/// The one key.
const KEY: &[u8] = b"files";
/// Stands for a text that is not there.
const NONE: u32 = u32::MAX;

/// The record, and the number of its edition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Published {
    record: Map<ShmBytes, ShmBytes>,
    edition: &'static AtomicU64,
}

/// Why nothing was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PublishError {
    #[error("shared memory is full: start with a larger -m")]
    Full,
    #[error("the files of all TLS domains have more than {RECORD_LIMIT} bytes")]
    TooLarge,
}

impl Published {
    pub(super) fn create(setup: &mut Setup<'_>) -> Result<Self, SetupError> {
        let options = MapOptions { name: "TLS files", shards: 1, buckets: 1 };
        let record = Map::create(setup.arena, &options)?;
        setup.tables.push(record.sweeper());
        let edition = setup.arena.boot_array(1, |_| AtomicU64::new(0))?;
        Ok(Self { record, edition: &edition[0] })
    }

    /// The number of the edition in force.
    pub(super) fn edition(&self) -> u64 {
        self.edition.load(Acquire)
    }

    /// Puts `materials` in force.
    pub(super) fn publish(&self, materials: &[Material]) -> Result<(), PublishError> {
        let bytes = encode(materials);
        if bytes.len() > RECORD_LIMIT {
            return Err(PublishError::TooLarge);
        }
        let build = |alloc| -> Result<_, Full> {
            Ok((ShmBytes::try_from_slice_in(KEY, alloc)?, ShmBytes::try_from_slice_in(&bytes, alloc)?))
        };
        self.record.insert(KEY, build).map_err(|Full| PublishError::Full)?;
        self.edition.fetch_add(1, Release);
        Ok(())
    }

    /// What is in force, for so many domains, and its edition.
    pub(super) fn read(&self, domains: usize) -> Option<(u64, Vec<Material>)> {
        // Read before the record: one that is published in between is then read again.
        let edition = self.edition();
        let bytes = self.record.get(KEY, |record| record.to_vec())?;
        Some((edition, decode(&bytes, domains)?))
    }
}

fn encode(materials: &[Material]) -> Vec<u8> {
    let mut texts: Vec<&Rc<[u8]>> = Vec::new();
    let mut numbers = Vec::new();
    for text in materials.iter().flat_map(Material::texts) {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let number = |text: &Rc<[u8]>| texts.iter().position(|known| *known == text).map_or(NONE, |at| at as u32);
    let list = |items: &[Rc<[u8]>], numbers: &mut Vec<u8>| {
        word(numbers, items.len() as u32);
        items.iter().for_each(|item| word(numbers, number(item)));
    };
    for material in materials {
        word(&mut numbers, material.certificate.as_ref().map_or(NONE, number));
        word(&mut numbers, material.private_key.as_ref().map_or(NONE, number));
        list(&material.trusted, &mut numbers);
        list(&material.revoked, &mut numbers);
    }
    let mut bytes =
        Vec::with_capacity(texts.iter().map(|text| text.len() + 4).sum::<usize>() + numbers.len() + 4);
    word(&mut bytes, texts.len() as u32);
    for text in texts {
        word(&mut bytes, text.len() as u32);
        bytes.extend_from_slice(text);
    }
    bytes.extend_from_slice(&numbers);
    bytes
}

fn decode(bytes: &[u8], domains: usize) -> Option<Vec<Material>> {
    let mut rest = bytes;
    let mut texts = Vec::new();
    for _ in 0..take_word(&mut rest)? {
        let length = take_word(&mut rest)? as usize;
        let (text, behind) = rest.split_at_checked(length)?;
        texts.push(Rc::<[u8]>::from(text));
        rest = behind;
    }
    let one = |rest: &mut &[u8]| -> Option<Option<Rc<[u8]>>> {
        match take_word(rest)? {
            NONE => Some(None),
            at => texts.get(at as usize).cloned().map(Some),
        }
    };
    let list = |rest: &mut &[u8]| -> Option<Vec<Rc<[u8]>>> {
        (0..take_word(rest)?).map(|_| one(rest).flatten()).collect()
    };
    let materials = (0..domains).map(|_| {
        Some(Material {
            certificate: one(&mut rest)?,
            private_key: one(&mut rest)?,
            trusted: list(&mut rest)?,
            revoked: list(&mut rest)?,
        })
    });
    materials.collect()
}

fn word(bytes: &mut Vec<u8>, number: u32) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

fn take_word(bytes: &mut &[u8]) -> Option<u32> {
    let (number, behind) = bytes.split_first_chunk()?;
    *bytes = behind;
    Some(u32::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn material() -> impl Strategy<Value = Material> {
        // Few different texts, so that domains share some.
        let text =
            || prop::sample::select(vec!["", "a", "bb", "ccc"]).prop_map(|text| Rc::from(text.as_bytes()));
        let some = || prop::option::of(text());
        let list = || prop::collection::vec(text(), 0..4);
        (some(), some(), list(), list()).prop_map(|(certificate, private_key, trusted, revoked)| Material {
            certificate,
            private_key,
            trusted,
            revoked,
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(materials in prop::collection::vec(material(), 0..5)) {
            let bytes = encode(&materials);
            prop_assert_eq!(decode(&bytes, materials.len() + 1), None);
            let count = materials.len();
            prop_assert_eq!(decode(&bytes, count), Some(materials));
        }

        #[test]
        fn a_record_that_is_cut_is_none(materials in prop::collection::vec(material(), 1..5), cut in 1_usize..) {
            let bytes = encode(&materials);
            let cut = cut % bytes.len();
            prop_assert_eq!(decode(&bytes[..cut], materials.len()), None);
        }
    }

    #[test]
    fn a_text_is_there_once() {
        let text: Rc<[u8]> = Rc::from(vec![7; 1000]);
        let one =
            Material { certificate: Some(Rc::clone(&text)), trusted: vec![text], ..Material::default() };
        assert!(encode(&[one.clone(), one]).len() < 1100);
    }
}
