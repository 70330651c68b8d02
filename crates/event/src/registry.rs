//! The names of events and their ids: fixed by the order of publishing, the same in every process.
//!
//! The table lies in shared memory because any process may publish a name while the server runs (`raise_event` of a name
//! nobody knew). Publishing takes no lock: a slot is claimed by one compare-exchange of the name's hash, and a process that meets
//! a claimed slot of the same name completes it. So a process that dies in the middle leaves nothing that the next one
//! does not finish.

use std::fmt;
use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
};

use tocsin_shm::ShmSafe;

use crate::core_events::{CORE_EVENTS, CoreEvent, FIRST, LogLine, ProcExit};

/// How many events may be published, unless the maker of the table says otherwise.
pub const MAX_EVENTS: usize = 256;

/// How many bytes the name of an event may have.
pub const MAX_NAME_BYTES: usize = 128;

/// Bits of an event's index in the log: far more than there are events.
const INDEX_BITS: u32 = 24;

/// Which event: its index in the registry, as `events_list` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(u32);

impl EventId {
    /// `E_CORE_SR_STATUS_CHANGED`
    pub const SR_STATUS_CHANGED: Self = Self(0);
    /// `E_CORE_THRESHOLD`
    pub const THRESHOLD: Self = Self(1);
    /// `E_CORE_SHM_THRESHOLD`
    pub const SHM_THRESHOLD: Self = Self(2);
    /// `E_CORE_PKG_THRESHOLD`
    pub const PKG_THRESHOLD: Self = Self(3);
    /// `E_CORE_PROC_AUTO_SCALE`
    pub const PROC_AUTO_SCALE: Self = Self(4);
    /// `E_CORE_TCP_DISCONNECT`
    pub const TCP_DISCONNECT: Self = Self(5);

    /// The id as a number.
    pub fn index(self) -> u32 {
        self.0
    }

    /// As the log keeps it: with the depth of the event above the index.
    pub(crate) fn kind(self, depth: u8) -> u32 {
        u32::from(depth) << INDEX_BITS | self.0
    }

    /// What [`Self::kind`] was made of.
    pub(crate) fn from_kind(kind: u32) -> (Self, u8) {
        (Self(kind & ((1 << INDEX_BITS) - 1)), (kind >> INDEX_BITS) as u8)
    }
}

/// Why a name was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The table is full.
    #[error("no room for another event name; the limit of published events is reached")]
    Full,
    /// The name is empty or longer than [`MAX_NAME_BYTES`].
    #[error("an event name must have 1 to {MAX_NAME_BYTES} bytes")]
    Name,
}

/// The table of published events. A copy refers to the same table.
#[derive(Clone, Copy)]
pub struct Registry {
    slots: &'static [Slot],
}

impl Registry {
    /// A registry in `slots`, all fresh ([`Slot::default`]), with the core events published.
    pub(crate) fn new(slots: &'static [Slot]) -> Result<Self, PublishError> {
        let registry = Self { slots };
        for event in &CORE_EVENTS[..FIRST] {
            registry.publish(event.name.as_bytes())?;
        }
        Ok(registry)
    }

    /// Publishes `E_CORE_LOG`, whose id comes last. To be called when the modules and the script have published theirs.
    ///
    /// # Errors
    /// [`PublishError::Full`]
    pub fn publish_last(&self) -> Result<EventId, PublishError> {
        self.publish(LogLine::DESCRIPTION.name.as_bytes())
    }

    /// The id of an event that somebody wants to subscribe to. What this server reports beyond OpenSIPS is published with
    /// its first subscriber: until then lists show what clients of OpenSIPS expect.
    pub fn wanted(&self, name: &[u8]) -> Option<EventId> {
        let offered = name == ProcExit::DESCRIPTION.name.as_bytes();
        self.find(name).or_else(|| offered.then(|| self.publish(name).ok()).flatten())
    }

    /// The id of `name`, which is published if it was not yet.
    ///
    /// # Errors
    /// The table is full, or the name is not one.
    pub fn publish(&self, name: &[u8]) -> Result<EventId, PublishError> {
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(&0) {
            return Err(PublishError::Name);
        }
        let hash = hash(name);
        for (index, slot) in self.slots.iter().enumerate() {
            let claimed = match slot.hash.compare_exchange(0, hash, AcqRel, Acquire) {
                Ok(_) => hash,
                Err(other) => other,
            };
            if claimed == hash && slot.complete(name) {
                return Ok(EventId(index as u32));
            }
        }
        Err(PublishError::Full)
    }

    /// The id of `name` if it is published.
    pub fn find(&self, name: &[u8]) -> Option<EventId> {
        let hash = hash(name);
        let claimed = self.slots.iter().enumerate().take_while(|(_, slot)| slot.hash.load(Acquire) != 0);
        let mut found = claimed.filter(|(_, slot)| slot.hash.load(Relaxed) == hash && slot.holds(name));
        found.next().map(|(index, _)| EventId(index as u32))
    }

    /// The name of an event.
    pub fn name(&self, id: EventId) -> Option<Vec<u8>> {
        self.slots.get(id.0 as usize)?.name()
    }

    /// All events in the order of their ids.
    pub fn iter(self) -> impl Iterator<Item = (EventId, Vec<u8>)> {
        let claimed = self.slots.iter().enumerate().take_while(|(_, slot)| slot.hash.load(Acquire) != 0);
        claimed.filter_map(|(index, slot)| Some((EventId(index as u32), slot.name()?)))
    }

    /// Whether anybody may be subscribed. May say yes for a moment when nobody is, never no when somebody is.
    #[inline]
    pub(crate) fn is_wanted(&self, id: EventId) -> bool {
        self.slots.get(id.0 as usize).is_some_and(|slot| slot.wanted.load(Relaxed) != 0)
    }

    /// What is counted up when an event is raised.
    pub(crate) fn counter(&self, id: EventId) -> Option<&'static AtomicU64> {
        self.slots.get(id.0 as usize).map(|slot| &slot.raised)
    }

    /// How often an event was raised while anybody was subscribed.
    pub(crate) fn raised(&self, id: EventId) -> u64 {
        self.counter(id).map_or(0, |raised| raised.load(SeqCst))
    }

    /// How often all events were raised while anybody was subscribed to them.
    pub(crate) fn all_raised(&self) -> u64 {
        let claimed = self.slots.iter().take_while(|slot| slot.hash.load(Acquire) != 0);
        claimed.map(|slot| slot.raised.load(Relaxed)).sum()
    }

    /// A subscription was stored.
    pub(crate) fn want(&self, id: EventId) {
        if let Some(slot) = self.slots.get(id.0 as usize) {
            slot.wanted.fetch_add(1, Release);
        }
    }

    /// What to hand to [`Self::unwant`] after looking for subscribers.
    pub(crate) fn wants(&self, id: EventId) -> u64 {
        self.slots.get(id.0 as usize).map_or(0, |slot| slot.wanted.load(Acquire))
    }

    /// No subscriber was found since `wants` was read; has no effect if one came in between.
    pub(crate) fn unwant(&self, id: EventId, wants: u64) {
        if let Some(slot) = self.slots.get(id.0 as usize) {
            // Failing means that a subscription was stored meanwhile.
            let _ = slot.wanted.compare_exchange(wants, 0, AcqRel, Relaxed);
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.iter().map(|(id, name)| (id.0, name.escape_ascii().to_string()));
        f.debug_map().entries(names).finish()
    }
}

const NAME_WORDS: usize = MAX_NAME_BYTES / 8;

/// One event in shared memory, on cache lines of its own: one that is raised often slows down no other. Names have no NUL,
/// so their unused bytes are zero.
#[derive(Default, ShmSafe)]
#[repr(align(64))]
pub(crate) struct Slot {
    /// Of the name; 0 while the slot is free.
    hash: AtomicU64,
    name: [AtomicU64; NAME_WORDS],
    named: AtomicU32,
    /// How many subscriptions were stored since there were none; 0 means that there is none.
    wanted: AtomicU64,
    /// How often it was raised while anybody was subscribed.
    raised: AtomicU64,
}

impl Slot {
    /// Writes the name, unless somebody did: false if it is another one with the same hash.
    fn complete(&self, name: &[u8]) -> bool {
        if self.named.load(Acquire) == 0 {
            for (word, bytes) in self.name.iter().zip(name.chunks(8)) {
                let mut eight = [0; 8];
                eight[..bytes.len()].copy_from_slice(bytes);
                word.store(u64::from_ne_bytes(eight), Relaxed);
            }
            self.named.store(1, Release);
        }
        self.holds(name)
    }

    fn holds(&self, name: &[u8]) -> bool {
        self.name().is_some_and(|held| held == name)
    }

    fn name(&self) -> Option<Vec<u8>> {
        if self.named.load(Acquire) == 0 {
            return None;
        }
        let mut name: Vec<u8> = self.name.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
        name.truncate(name.iter().position(|&byte| byte == 0).unwrap_or(MAX_NAME_BYTES));
        Some(name)
    }
}

/// FNV-1a, never 0. Names come from the operator, and equal hashes are told apart by the name.
fn hash(name: &[u8]) -> u64 {
    let hash = name.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash.max(1)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn registry(limit: usize) -> Registry {
        let slots: Vec<Slot> = std::iter::repeat_with(Slot::default).take(limit).collect();
        Registry::new(slots.leak()).unwrap()
    }

    #[test]
    fn ids_follow_the_order_of_publishing() {
        let registry = registry(16);
        for name in ["E_ONE", "E_THREE", "E_TWO", "E_NOPE", "E_ONE"] {
            registry.publish(name.as_bytes()).unwrap();
        }
        registry.publish_last().unwrap();
        let names: Vec<_> =
            registry.iter().map(|(id, name)| (id.index(), String::from_utf8(name).unwrap())).collect();
        let expected = [
            "E_CORE_SR_STATUS_CHANGED",
            "E_CORE_THRESHOLD",
            "E_CORE_SHM_THRESHOLD",
            "E_CORE_PKG_THRESHOLD",
            "E_CORE_PROC_AUTO_SCALE",
            "E_CORE_TCP_DISCONNECT",
            "E_ONE",
            "E_THREE",
            "E_TWO",
            "E_NOPE",
            "E_CORE_LOG",
        ];
        assert_eq!(names, (0..).zip(expected.map(String::from)).collect::<Vec<_>>());
        assert_eq!(registry.find(b"E_CORE_THRESHOLD"), Some(EventId::THRESHOLD));
        assert_eq!(registry.find(b"E_CORE_TCP_DISCONNECT"), Some(EventId::TCP_DISCONNECT));
        assert_eq!(registry.find(b"e_one"), None);
        assert_eq!(registry.name(EventId(6)), Some(b"E_ONE".to_vec()));
        assert_eq!(registry.wanted(b"E_NOBODYS"), None);
        assert_eq!(registry.find(b"E_CORE_PROC_EXIT"), None);
        assert_eq!(registry.wanted(b"E_CORE_PROC_EXIT"), Some(EventId(11)));
    }

    #[test]
    fn the_table_and_the_names_are_bounded() {
        let registry = registry(7);
        let longest = [b'x'; MAX_NAME_BYTES];
        assert_eq!(registry.publish(&longest).map(EventId::index), Ok(6));
        assert_eq!(registry.name(EventId(6)), Some(longest.to_vec()));
        assert_eq!(registry.publish(b"E_MORE"), Err(PublishError::Full));
        assert_eq!(registry.publish(b"E_CORE_THRESHOLD"), Ok(EventId::THRESHOLD));
        for name in [&b""[..], b"a\0b", &[b'x'; MAX_NAME_BYTES + 1]] {
            assert_eq!(registry.publish(name), Err(PublishError::Name));
        }
    }

    #[test]
    fn a_claim_left_by_a_dead_process_is_completed() {
        let registry = registry(9);
        registry.slots[6].hash.store(hash(b"E_HALF"), Relaxed);
        assert_eq!(registry.find(b"E_HALF"), None);
        assert_eq!(registry.iter().count(), 6);
        assert_eq!(registry.publish(b"E_OTHER").map(EventId::index), Ok(7));
        assert_eq!(registry.publish(b"E_HALF").map(EventId::index), Ok(6));
        assert_eq!(registry.name(EventId(6)), Some(b"E_HALF".to_vec()));
    }

    #[test]
    fn a_subscription_made_while_looking_is_not_forgotten() {
        let registry = registry(8);
        let id = EventId::THRESHOLD;
        registry.want(id);
        let wants = registry.wants(id);
        registry.want(id);
        registry.unwant(id, wants);
        assert!(registry.is_wanted(id));
        registry.unwant(id, registry.wants(id));
        assert!(!registry.is_wanted(id));
    }
}
