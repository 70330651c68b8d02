//! The records of all domains in shared memory, and how one is replaced without being lost.
//!
//! A record is read out whole ([`Table::open`]), changed in private memory, and put back by a single store
//! ([`Table::commit`]), so a process that dies leaves the old bindings or the new ones. Two processes that change the
//! same AOR at one time are kept apart by an edition word: who finds it moved begins again with the other's result.

use std::hash::Hasher;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use siphasher::sip::SipHasher13;
use smallvec::SmallVec;
use thiserror::Error;
use tocsin_shm::{Arena, ArenaFull, Full, Map, MapOptions, Millis, ShmBytes, Sweep};

use super::contact::{Contact, Contacts, TooLong, encode};

/// Shared memory for which there is one shard more, in bytes.
const BYTES_PER_SHARD: u64 = 1 << 20;
/// Shared memory for which there is one chain more, in bytes.
const BYTES_PER_CHAIN: u64 = 4 << 10;
/// Bytes that the bindings of one AOR may take.
pub const MAX_RECORD_BYTES: usize = 256 << 10;
/// How long after its deadline a record is looked at again, should the process that took it up die, in milliseconds.
const SECOND_LOOK: Millis = 1000;
/// Records that one call to [`Table::due`] names at the most.
const MAX_DUE: usize = 256;

/// Domain and AOR: one byte, then the AOR.
pub(super) type Key = SmallVec<[u8; 72]>;

/// All bindings. A copy refers to the same records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    map: Map<ShmBytes, ShmBytes>,
    editions: &'static [AtomicU64],
    hash_key: [u64; 2],
}

/// The bindings of an AOR as they were read, to be changed and committed.
#[derive(Clone, Debug)]
pub struct Draft {
    key: Key,
    record: Vec<u8>,
    edition: u64,
}

/// What a commit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Committed {
    /// There was no record and there is none.
    Nothing,
    /// The AOR is new.
    Created,
    /// The AOR has other bindings.
    Replaced,
    /// The AOR has no binding any more.
    Removed,
}

/// Why bindings were not committed. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CommitError {
    /// Another process changed them meanwhile: open them again.
    #[error("another process changed the bindings meanwhile")]
    Conflict,
    /// The shared memory is full.
    #[error("shared memory is full")]
    Full,
    /// They are larger than [`MAX_RECORD_BYTES`], or one text is longer than can be.
    #[error("the bindings of the address are too large: at most {MAX_RECORD_BYTES} bytes")]
    TooLarge,
}

impl From<TooLong> for CommitError {
    fn from(_: TooLong) -> Self {
        Self::TooLarge
    }
}

impl Draft {
    /// The contacts as they were read.
    pub fn contacts(&self) -> Contacts<'_> {
        Contacts::new(&self.record)
    }

    /// The domain's number.
    pub(super) fn domain(&self) -> u8 {
        self.key.first().copied().unwrap_or_default()
    }

    /// The AOR.
    pub fn aor(&self) -> &[u8] {
        self.key.get(1..).unwrap_or_default()
    }
}

impl Table {
    /// An empty table with at least `chains` hash chains, in an arena of `bytes`.
    pub(super) fn create(arena: &'static Arena, chains: usize, bytes: u64) -> Result<Self, ArenaFull> {
        let shards = (bytes / BYTES_PER_SHARD).clamp(4, 64) as usize;
        let chains = chains.max((bytes / BYTES_PER_CHAIN) as usize);
        let options = MapOptions { name: "usrloc contacts", shards, buckets: chains.div_ceil(shards) };
        let map = Map::create(arena, &options)?;
        let editions = arena.boot_array(shards.next_power_of_two() * 64, |_| AtomicU64::new(0))?;
        Ok(Self { map, editions, hash_key: arena.hash_key() })
    }

    /// What the supervisor sweeps after a death.
    pub(super) fn sweeper(&self) -> &'static dyn Sweep {
        self.map.sweeper()
    }

    /// How many AORs there are, in all domains.
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// How many shards there are.
    pub(super) fn shards(&self) -> usize {
        self.map.shards()
    }

    /// When a record of `shard` may be due.
    pub(super) fn next_due(&self, shard: usize) -> Millis {
        self.map.next_due(shard)
    }

    /// The bindings of an AOR, to be changed. An AOR that is not there has none.
    pub(super) fn open(&self, domain: u8, aor: &[u8]) -> Draft {
        let key = key(domain, aor);
        // Read before the record: a commit in between is then noticed.
        let edition = self.edition(&key).load(Acquire);
        let record = self.map.get(&key[..], |record| record.to_vec()).unwrap_or_default();
        Draft { key, record, edition }
    }

    /// Calls `read` with the contacts of an AOR, under its lock.
    pub(super) fn read<R>(&self, domain: u8, aor: &[u8], read: impl FnOnce(Contacts<'_>) -> R) -> Option<R> {
        self.map.get(&key(domain, aor)[..], |record| read(Contacts::new(record)))
    }

    /// Puts `contacts` in the place of those of `draft`. The record is due at `deadline`.
    ///
    /// In a full arena an AOR that is there is still changed, as long as the new bindings fit where the old ones lie.
    pub(super) fn commit(
        &self,
        draft: &Draft,
        contacts: &[Contact<'_>],
        deadline: Option<Millis>,
    ) -> Result<Committed, CommitError> {
        if contacts.is_empty() {
            return self.commit_removal(draft);
        }
        let mut record = Vec::with_capacity(draft.record.len() + 256);
        contacts.iter().try_for_each(|contact| encode(contact, &mut record))?;
        if record.len() > MAX_RECORD_BYTES {
            return Err(CommitError::TooLarge);
        }
        let mut claimed = false;
        let inserted = self.map.insert_due(&draft.key[..], deadline, |alloc| {
            claimed = self.claim(draft, 0);
            if !claimed {
                return Err(Full);
            }
            Ok((
                ShmBytes::try_from_slice_in(&draft.key, alloc)?,
                ShmBytes::try_from_slice_in(&record, alloc)?,
            ))
        });
        match inserted {
            Ok(true) => Ok(Committed::Created),
            Ok(false) => Ok(Committed::Replaced),
            Err(Full) if !claimed => Err(CommitError::Conflict),
            Err(Full) => self.commit_in_place(draft, &record, deadline),
        }
    }

    /// Names the AORs of `shard` with a contact that is over at `now`. They are due again a second later, unless
    /// they are committed before.
    pub(super) fn due(&self, shard: usize, now: Millis) -> Vec<Key> {
        let mut due = Vec::new();
        self.map.expire(shard, now, MAX_DUE, |key, _, edit| {
            edit.set_deadline(Some(now + SECOND_LOOK));
            due.push(Key::from_slice(key));
        });
        due
    }

    /// The keys of one shard, copied out.
    pub(super) fn keys(&self, shard: usize) -> Vec<Key> {
        let mut all = Vec::new();
        self.map.for_each_in(shard, |key, _| all.push(Key::from_slice(key)));
        all
    }

    /// What is known under a key, to be shown; `None` if it has gone since.
    pub(super) fn known(&self, key: Key) -> Option<Draft> {
        let record = self.map.get(&key[..], |record| record.to_vec())?;
        Some(Draft { key, record, edition: 0 })
    }

    fn commit_removal(&self, draft: &Draft) -> Result<Committed, CommitError> {
        if draft.record.is_empty() {
            return Ok(Committed::Nothing);
        }
        match self.map.remove_if(&draft.key[..], |_| self.claim(draft, 0)) {
            true => Ok(Committed::Removed),
            false => Err(CommitError::Conflict),
        }
    }

    /// There is no room for a second record: writes into the first, which takes no memory. Only here would a death
    /// cost the bindings; refusing the refresh would cost them as surely. The edition was claimed once in vain.
    fn commit_in_place(
        &self,
        draft: &Draft,
        record: &[u8],
        deadline: Option<Millis>,
    ) -> Result<Committed, CommitError> {
        let changed = self.map.update(&draft.key[..], |old, edit| {
            if !self.claim(draft, 1) {
                return Err(CommitError::Conflict);
            }
            old.try_assign(record).map_err(|Full| CommitError::Full)?;
            edit.set_deadline(deadline);
            Ok(Committed::Replaced)
        });
        changed.unwrap_or(Err(CommitError::Full))
    }

    /// Takes the next edition for the holder of `draft`, who has done so `before` times. Called under the lock of the
    /// record's shard, so all who claim it are in a row.
    fn claim(&self, draft: &Draft, before: u64) -> bool {
        let expected = draft.edition + before;
        self.edition(&draft.key).compare_exchange(expected, expected + 1, AcqRel, Relaxed).is_ok()
    }

    /// The edition word of a key. Several keys share one: at the worst a commit is tried again for nothing.
    fn edition(&self, key: &[u8]) -> &AtomicU64 {
        let mut hasher = SipHasher13::new_with_keys(self.hash_key[0], self.hash_key[1]);
        hasher.write(key);
        &self.editions[hasher.finish() as usize % self.editions.len()]
    }
}

fn key(domain: u8, aor: &[u8]) -> Key {
    let mut key = Key::with_capacity(aor.len() + 1);
    key.push(domain);
    key.extend_from_slice(aor);
    key
}

#[cfg(test)]
mod tests {
    use tocsin_shm::{ArenaOptions, monotonic_millis};

    use super::*;

    fn table(bytes: u64) -> Table {
        let arena = Arena::create(&ArenaOptions { bytes, boot_bytes: bytes / 4 }).unwrap();
        Table::create(arena, 16, bytes).unwrap()
    }

    fn contact(uri: &[u8], cseq: u32) -> Contact<'_> {
        Contact { uri, cseq, ..Contact::EMPTY }
    }

    fn cseqs(table: &Table, aor: &[u8]) -> Vec<u32> {
        table.read(0, aor, |contacts| contacts.map(|c| c.cseq).collect()).unwrap_or_default()
    }

    #[test]
    fn an_aor_comes_changes_and_goes() {
        let table = table(4 << 20);
        let draft = table.open(0, b"alice");
        assert_eq!(draft.contacts().count(), 0);
        assert_eq!(table.commit(&draft, &[], None), Ok(Committed::Nothing));
        assert_eq!(table.commit(&draft, &[contact(b"sip:a", 1)], None), Ok(Committed::Created));
        assert_eq!(cseqs(&table, b"alice"), [1]);
        assert_eq!(table.read(1, b"alice", |_| ()), None, "domains are apart");
        let draft = table.open(0, b"alice");
        let both = [contact(b"sip:a", 1), contact(b"sip:b", 2)];
        assert_eq!(table.commit(&draft, &both, None), Ok(Committed::Replaced));
        let draft = table.open(0, b"alice");
        assert_eq!(draft.contacts().collect::<Vec<_>>(), both);
        assert_eq!(table.commit(&draft, &[], None), Ok(Committed::Removed));
        assert_eq!((table.len(), cseqs(&table, b"alice")), (0, vec![]));
    }

    #[test]
    fn a_change_by_another_is_noticed() {
        let table = table(4 << 20);
        let (one, two) = (table.open(0, b"alice"), table.open(0, b"alice"));
        assert_eq!(table.commit(&one, &[contact(b"sip:a", 1)], None), Ok(Committed::Created));
        assert_eq!(table.commit(&two, &[contact(b"sip:b", 2)], None), Err(CommitError::Conflict));
        assert_eq!(cseqs(&table, b"alice"), [1]);
        let (one, two) = (table.open(0, b"alice"), table.open(0, b"alice"));
        assert_eq!(table.commit(&one, &[], None), Ok(Committed::Removed));
        assert_eq!(table.commit(&two, &[], None), Err(CommitError::Conflict));
        assert_eq!(
            table.commit(&table.open(0, b"alice"), &[contact(b"sip:b", 3)], None),
            Ok(Committed::Created)
        );
    }

    #[test]
    fn what_is_due_is_named_until_it_is_committed() {
        let table = table(4 << 20);
        let now = monotonic_millis();
        let draft = table.open(7, b"alice");
        table.commit(&draft, &[contact(b"sip:a", 1)], Some(now + 500)).unwrap();
        let due = |at| (0..table.shards()).flat_map(|shard| table.due(shard, at)).collect::<Vec<_>>();
        assert_eq!(due(now).len(), 0);
        assert_eq!(due(now + 1000), [Key::from_slice(b"\x07alice")]);
        assert_eq!(due(now + 1000).len(), 0);
        assert_eq!(due(now + 3000).len(), 1, "nobody committed it");
        table.commit(&table.open(7, b"alice"), &[], None).unwrap();
        assert_eq!(due(now + 9000).len(), 0);
    }

    #[test]
    fn a_full_arena_refuses_new_aors_and_refreshes_old_ones() {
        let table = table(512 << 10);
        let padding = [b'x'; 400];
        let first = |cseq| [Contact { user_agent: &padding, ..contact(b"sip:first", cseq) }];
        table.commit(&table.open(0, b"first"), &first(1), None).unwrap();
        let filled = (0..10_000_u32).find_map(|n| {
            let aor = n.to_string();
            let contacts = [Contact { user_agent: &padding, ..contact(b"sip:more", n) }];
            table.commit(&table.open(0, aor.as_bytes()), &contacts, None).err()
        });
        assert_eq!(filled, Some(CommitError::Full));
        // Every AOR that got in can still refresh.
        let before = table.len();
        for n in 0..before as u32 - 1 {
            let aor = n.to_string();
            let contacts = [Contact { user_agent: &padding, ..contact(b"sip:more", n + 1) }];
            assert_eq!(
                table.commit(&table.open(0, aor.as_bytes()), &contacts, None),
                Ok(Committed::Replaced),
                "{n}"
            );
        }
        assert_eq!(table.commit(&table.open(0, b"first"), &first(2), None), Ok(Committed::Replaced));
        assert_eq!((table.len(), cseqs(&table, b"first")), (before, vec![2]));
    }

    #[test]
    fn a_record_has_a_limit() {
        let table = table(4 << 20);
        let long = vec![b'x'; 60_000];
        let contacts = vec![Contact { attr: &long, ..Contact::EMPTY }; 5];
        let draft = table.open(0, b"alice");
        assert_eq!(table.commit(&draft, &contacts, None), Err(CommitError::TooLarge));
        assert_eq!(table.commit(&draft, &contacts[..4], None), Ok(Committed::Created));
    }
}
