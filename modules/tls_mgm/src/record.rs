//! What all domains' files say, and all of what a database says, as one record in shared memory: replaced whole, so that
//! no process ever sees half.
//!
//! The record lists texts, each once; then, for each domain of the configuration, the numbers of its texts; then, for each
//! domain of the database, what defines it and the numbers of its texts.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

use tocsin_server::module::{Setup, SetupError};
use tocsin_shm::{Full, Map, MapOptions, ShmBytes};

use super::definition::Definition;
use super::files::Material;
use super::parameters::Side;

/// How much all domains may have together, in bytes.
pub(super) const MAX_RECORD_BYTES: usize = 16 << 20;

/// The one key.
const KEY: &[u8] = b"domains";
/// Stands for a text or a list that is not there.
const NONE: u32 = u32::MAX;

/// What is published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// Of the domains of the configuration, in their order.
    pub(super) script: Vec<Material>,
    /// The domains of the database, once they have been read.
    pub(super) database: Option<Vec<(Definition, Material)>>,
}

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
    #[error("certificates, keys and lists of all TLS domains have more than {MAX_RECORD_BYTES} bytes")]
    TooLarge,
}

impl Published {
    pub(super) fn create(setup: &mut Setup<'_>) -> Result<Self, SetupError> {
        let options = MapOptions { name: "TLS domains", shards: 1, buckets: 1 };
        let record = Map::create(setup.arena, &options)?;
        setup.tables.push(record.sweeper());
        let edition = setup.arena.boot_array(1, |_| AtomicU64::new(0))?;
        Ok(Self { record, edition: &edition[0] })
    }

    /// The number of the edition in force.
    pub(super) fn edition(&self) -> u64 {
        self.edition.load(Acquire)
    }

    /// Puts `content` in force. Returns the number of the edition that it replaces.
    pub(super) fn publish(&self, content: &Content) -> Result<u64, PublishError> {
        let bytes = encode(content);
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(PublishError::TooLarge);
        }
        let build = |alloc| -> Result<_, Full> {
            Ok((ShmBytes::try_from_slice_in(KEY, alloc)?, ShmBytes::try_from_slice_in(&bytes, alloc)?))
        };
        self.record.insert(KEY, build).map_err(|Full| PublishError::Full)?;
        Ok(self.edition.fetch_add(1, AcqRel))
    }

    /// What is in force, and its edition.
    pub(super) fn read(&self) -> Option<(u64, Content)> {
        // Read before the record: one that is published in between is then read again.
        let edition = self.edition();
        let bytes = self.record.get(KEY, |record| record.to_vec())?;
        Some((edition, decode(&bytes)?))
    }
}

fn encode(content: &Content) -> Vec<u8> {
    let database = content.database.as_deref().unwrap_or_default();
    let materials = content.script.iter().chain(database.iter().map(|(_, material)| material));
    let mut writer = Writer::default();
    materials.flat_map(Material::texts).for_each(|text| writer.add_text(text));
    writer.count(content.script.len());
    content.script.iter().for_each(|material| writer.material(material));
    match &content.database {
        None => writer.word(NONE),
        Some(domains) => {
            writer.count(domains.len());
            for (definition, material) in domains {
                writer.definition(definition);
                writer.material(material);
            }
        }
    }
    writer.finish()
}

fn decode(bytes: &[u8]) -> Option<Content> {
    let mut reader = Reader { rest: bytes, texts: Vec::new() };
    for _ in 0..reader.word()? {
        let text = reader.bytes()?.into();
        reader.texts.push(text);
    }
    let script = (0..reader.word()?).map(|_| reader.material()).collect::<Option<_>>()?;
    let database = match reader.word()? {
        NONE => None,
        count => Some(
            (0..count).map(|_| Some((reader.definition()?, reader.material()?))).collect::<Option<_>>()?,
        ),
    };
    reader.rest.is_empty().then_some(Content { script, database })
}

/// Writes the domains, and collects their texts.
#[derive(Default)]
struct Writer<'a> {
    texts: Vec<&'a [u8]>,
    numbers: HashMap<&'a [u8], u32>,
    out: Vec<u8>,
}

impl<'a> Writer<'a> {
    fn add_text(&mut self, text: &'a Rc<[u8]>) {
        let next = self.texts.len() as u32;
        self.numbers.entry(text).or_insert_with(|| {
            self.texts.push(text);
            next
        });
    }

    fn material(&mut self, material: &Material) {
        self.text(material.certificate.as_ref());
        self.text(material.private_key.as_ref());
        for list in [&material.trusted, &material.revoked] {
            self.count(list.len());
            list.iter().for_each(|text| self.text(Some(text)));
        }
    }

    fn text(&mut self, text: Option<&Rc<[u8]>>) {
        let number = text.and_then(|text| self.numbers.get(&**text)).copied();
        self.word(number.unwrap_or(NONE));
    }

    fn definition(&mut self, definition: &Definition) {
        self.word(match definition.side {
            Side::Client => 1,
            Side::Server => 2,
        });
        push_bytes(&mut self.out, definition.name.as_bytes());
        self.count(definition.written.len());
        for written in &definition.written {
            match written {
                None => self.word(NONE),
                Some(value) => push_bytes(&mut self.out, value.as_bytes()),
            }
        }
    }

    fn count(&mut self, count: usize) {
        self.word(count as u32);
    }

    fn word(&mut self, number: u32) {
        push_word(&mut self.out, number);
    }

    /// The texts, and the domains behind them.
    fn finish(self) -> Vec<u8> {
        let length = self.texts.iter().map(|text| text.len() + 4).sum::<usize>() + self.out.len() + 4;
        let mut bytes = Vec::with_capacity(length);
        push_word(&mut bytes, self.texts.len() as u32);
        self.texts.iter().for_each(|text| push_bytes(&mut bytes, text));
        bytes.extend_from_slice(&self.out);
        bytes
    }
}

fn push_word(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_word(out, bytes.len() as u32);
    out.extend_from_slice(bytes);
}

/// Reads what [`Writer`] wrote.
struct Reader<'a> {
    rest: &'a [u8],
    texts: Vec<Rc<[u8]>>,
}

impl<'a> Reader<'a> {
    fn material(&mut self) -> Option<Material> {
        Some(Material {
            certificate: self.text()?,
            private_key: self.text()?,
            trusted: self.list()?,
            revoked: self.list()?,
        })
    }

    fn list(&mut self) -> Option<Vec<Rc<[u8]>>> {
        (0..self.word()?).map(|_| self.text().flatten()).collect()
    }

    fn text(&mut self) -> Option<Option<Rc<[u8]>>> {
        match self.word()? {
            NONE => Some(None),
            at => self.texts.get(at as usize).cloned().map(Some),
        }
    }

    fn definition(&mut self) -> Option<Definition> {
        let side = match self.word()? {
            1 => Side::Client,
            2 => Side::Server,
            _ => return None,
        };
        let name = self.string()?;
        let written = (0..self.word()?).map(|_| self.written()).collect::<Option<_>>()?;
        Some(Definition { name, side, written })
    }

    fn written(&mut self) -> Option<Option<String>> {
        if self.rest.first_chunk() == Some(&NONE.to_le_bytes()) {
            self.word()?;
            return Some(None);
        }
        self.string().map(Some)
    }

    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.word()? as usize;
        let (bytes, behind) = self.rest.split_at_checked(length)?;
        self.rest = behind;
        Some(bytes)
    }

    fn word(&mut self) -> Option<u32> {
        let (number, behind) = self.rest.split_first_chunk()?;
        self.rest = behind;
        Some(u32::from_le_bytes(*number))
    }
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

    fn definition() -> impl Strategy<Value = Definition> {
        let written = prop::collection::vec(prop::option::of("[a-z.é]{0,5}"), 0..4);
        ("[a-zé]{1,5}", any::<bool>(), written).prop_map(|(name, is_server, written)| Definition {
            name,
            side: if is_server { Side::Server } else { Side::Client },
            written,
        })
    }

    fn content() -> impl Strategy<Value = Content> {
        let database = prop::option::of(prop::collection::vec((definition(), material()), 0..4));
        (prop::collection::vec(material(), 0..4), database)
            .prop_map(|(script, database)| Content { script, database })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(content in content()) {
            prop_assert_eq!(decode(&encode(&content)), Some(content));
        }

        #[test]
        fn a_record_that_is_cut_or_longer_is_none(content in content(), cut in any::<usize>()) {
            let mut bytes = encode(&content);
            prop_assert_eq!(decode(&bytes[..cut % bytes.len()]), None);
            bytes.push(0);
            prop_assert_eq!(decode(&bytes), None);
        }
    }

    #[test]
    fn a_text_is_there_once() {
        let text: Rc<[u8]> = Rc::from(vec![7; 1000]);
        let one =
            Material { certificate: Some(Rc::clone(&text)), trusted: vec![text], ..Material::default() };
        let definition = Definition { name: "d".to_owned(), side: Side::Client, written: Vec::new() };
        let content = Content { script: vec![one.clone()], database: Some(vec![(definition, one)]) };
        assert!(encode(&content).len() < 1100);
    }
}
