//! The event log: numbered records of all processes, in one order, for readers who may come late.
//!
//! Two rings: descriptors by number, and payload bytes. A writer takes a number and a stretch of bytes by two
//! fetch-adds, fills them and publishes by a stamp: it never waits, never allocates, and does not care whether anybody
//! reads. Readers find out by themselves what they missed: numbers are dense, and each record carries a checksum over
//! all of it, so whatever was overwritten under a reader's eyes can be distinguished from what was not.
//!
//! A writer that dies between taking a number and publishing leaves a hole. Before it takes one, it notes in its slot
//! that it is about to; the supervisor clears the note of a dead slot, and a reader that meets a hole which nobody
//! is filling any more counts one record lost and goes on.

mod ring;

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64, fence};

use self::ring::Bytes;
use crate::{Arena, ArenaFull, Dead, Sweep, Swept, identity, sys};

/// A record may take this share of the bytes.
const RECORD_SHARE: u64 = 4;
/// Fewest records and bytes of a log.
const LEAST_RECORDS: usize = 8;
const LEAST_BYTES: usize = 1 << 10;
/// Most bytes of a record, whatever the size of the log.
const MAX_RECORD_BYTES: u64 = 1 << 20;
/// A slot that is not writing.
const NONE: u64 = u64::MAX;

/// How large a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// Records that it remembers, rounded up to a power of two. 64 bytes each.
    pub records: usize,
    /// Bytes of payload that it remembers, rounded up to a power of two.
    pub bytes: usize,
    /// Slots of the process table: every writer has one.
    pub slots: u16,
}

/// A payload is larger than a record of this log may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of {bytes} bytes is larger than the log takes, {most}")]
pub struct TooLarge {
    /// Bytes of the payload.
    pub bytes: u64,
    /// Most bytes of a payload.
    pub most: u64,
}

/// A record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its number.
    pub number: u64,
    /// A reader said that it would sleep, and this writer is the one to wake it.
    pub wake: bool,
}

/// Where a reader is: the number of the record that it reads next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor(u64);

impl Cursor {
    /// A reader that begins at `number`.
    pub fn at(number: u64) -> Self {
        Self(number)
    }

    /// The number of the record that is read next.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// What a reader met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// A record; its payload is in the buffer.
    Record {
        /// Its number.
        number: u64,
        /// What the writer called it.
        kind: u32,
        /// When it was written, in microseconds of the monotonic clock.
        time: u64,
        /// What the counter given to [`Log::append_counted`] was before this record; 0 without one.
        ordinal: u64,
    },
    /// So many records were overwritten before they were read, or their writer died.
    Lost {
        /// How many; the cursor is behind them.
        count: u64,
    },
    /// The next record has a number, and its writer is about to publish it.
    Pending,
    /// There is no further record.
    Empty,
}

/// The log. A handle to copy.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    rings: &'static Rings,
}

#[derive(Debug)]
#[repr(C, align(128))]
struct Rings {
    head: AtomicU64,
    bytes_head: AtomicU64,
    sleeping: Line<AtomicU32>,
    descriptors: &'static [Descriptor],
    bytes: Bytes,
    intents: &'static [Line<AtomicU64>],
    most: u64,
}

/// A value that shares its cache line with no other.
#[derive(Debug)]
#[repr(align(64))]
struct Line<T>(T);

/// A record, but for its payload.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Descriptor {
    /// One more than the number of the record that is complete here.
    stamp: AtomicU64,
    offset: AtomicU64,
    /// Length in the upper half, kind in the lower.
    shape: AtomicU64,
    time: AtomicU64,
    ordinal: AtomicU64,
    checksum: AtomicU64,
}

impl Log {
    /// Makes an empty log. To be called before the first fork.
    ///
    /// # Errors
    /// [`ArenaFull`] when there is no room.
    pub fn create(arena: &'static Arena, options: LogOptions) -> Result<Self, ArenaFull> {
        let records = options.records.max(LEAST_RECORDS).next_power_of_two();
        let size = options.bytes.max(LEAST_BYTES).next_power_of_two();
        let descriptors = arena.boot_array_of(records, &mut |_| Descriptor::default())?;
        let intents =
            arena.boot_array_of(options.slots.max(1).into(), &mut |_| Line(AtomicU64::new(NONE)))?;
        let bytes = Bytes::create(arena, size)?;
        let rings = arena.boot(Rings {
            head: AtomicU64::new(0),
            bytes_head: AtomicU64::new(0),
            sleeping: Line(AtomicU32::new(0)),
            descriptors,
            bytes,
            intents,
            most: (size as u64 / RECORD_SHARE).min(MAX_RECORD_BYTES),
        })?;
        Ok(Self { rings })
    }

    /// Writes a record whose payload is the `parts`, one after another.
    ///
    /// # Errors
    /// [`TooLarge`] when the payload has more than [`Self::record_bytes_max`].
    pub fn append(&self, kind: u32, parts: &[&[u8]]) -> Result<Appended, TooLarge> {
        self.write(kind, None, parts)
    }

    /// As [`Self::append`], and adds one to `counter`, whose former value is kept with the record. While
    /// [`Self::is_quiet`], each addition has its record, except those of writers that died.
    ///
    /// # Errors
    /// As [`Self::append`]; then nothing was counted.
    pub fn append_counted(
        &self,
        kind: u32,
        counter: &AtomicU64,
        parts: &[&[u8]],
    ) -> Result<Appended, TooLarge> {
        self.write(kind, Some(counter), parts)
    }

    #[inline]
    fn write(&self, kind: u32, counter: Option<&AtomicU64>, parts: &[&[u8]]) -> Result<Appended, TooLarge> {
        let rings = self.rings;
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        if bytes > rings.most {
            return Err(TooLarge { bytes, most: rings.most });
        }
        let intent = rings.intent();
        intent.store(rings.head.load(Relaxed), Relaxed);
        // Both release the intent: who sees the count or the number taken sees that a record is being filled.
        let ordinal = counter.map_or(0, |counter| counter.fetch_add(1, SeqCst));
        let number = rings.head.fetch_add(1, SeqCst);
        let offset = rings.bytes_head.fetch_add(bytes.next_multiple_of(8), SeqCst);
        rings.fill(number, offset, kind, ordinal, bytes, parts);
        intent.store(NONE, Release);
        // The other half of this is in `announce_sleep`: either the reader sees the record, or it is seen sleeping.
        fence(SeqCst);
        let wake = rings.sleeping.0.load(Relaxed) != 0 && rings.sleeping.0.swap(0, SeqCst) != 0;
        Ok(Appended { number, wake })
    }

    /// Reads the next record into `payload`, whose former content is dropped, and moves the cursor behind it.
    pub fn read(&self, cursor: &mut Cursor, payload: &mut Vec<u8>) -> Read {
        payload.clear();
        let met = self.rings.read(cursor.0, payload);
        match met {
            Read::Record { .. } => cursor.0 += 1,
            Read::Lost { count } => cursor.0 += count,
            Read::Pending | Read::Empty => {}
        }
        met
    }

    /// Says that a reader is about to sleep. It must read once more before it does: only what is appended after
    /// this has a writer who wakes it. And it must not sleep for ever on [`Read::Pending`]: a writer may die.
    pub fn announce_sleep(&self) {
        self.rings.sleeping.0.store(1, SeqCst);
        fence(SeqCst);
    }

    /// The number that the next record will have: so many were ever begun.
    pub fn head(&self) -> u64 {
        self.rings.head.load(Acquire)
    }

    /// The oldest number that is still to be had; [`Self::head`] when there is none.
    pub fn oldest(&self) -> u64 {
        self.rings.oldest(self.head())
    }

    /// Whether no writer is in the middle of a record. What a counter of [`Self::append_counted`] said before this was
    /// asked has been written by now, or never will be.
    pub fn is_quiet(&self) -> bool {
        self.rings.intents.iter().all(|intent| intent.0.load(Acquire) == NONE)
    }

    /// Calls `see` with the kind, the time and the ordinal of each complete record from `from` on, as far as it is still
    /// there. Reads no payload and moves no cursor: for who wants to know what waits.
    pub fn survey(&self, from: u64, mut see: impl FnMut(u32, u64, u64)) {
        let head = self.head();
        let first = from.max(head.saturating_sub(self.rings.descriptors.len() as u64));
        for number in first..head {
            let descriptor = self.rings.descriptor(number);
            if descriptor.stamp.load(Acquire) != number + 1 {
                continue;
            }
            let (shape, time) = (descriptor.shape.load(Relaxed), descriptor.time.load(Relaxed));
            let ordinal = descriptor.ordinal.load(Relaxed);
            fence(Acquire);
            // Another record may have begun to take its place.
            if self.head() - number <= self.rings.descriptors.len() as u64 {
                see(shape as u32, time, ordinal);
            }
        }
    }

    /// Most bytes of a payload.
    pub fn record_bytes_max(&self) -> u64 {
        self.rings.most
    }

    /// What the supervisor sweeps after a death.
    pub fn sweeper(&self) -> &'static dyn Sweep {
        self.rings
    }
}

impl Sweep for Log {
    fn sweep(&self, dead: Dead) -> Swept {
        self.rings.sweep(dead)
    }
}

impl Sweep for Rings {
    fn sweep(&self, dead: Dead) -> Swept {
        if let Some(intent) = self.intents.get(usize::from(dead.slot)) {
            intent.0.store(NONE, Release);
        }
        Swept::default()
    }
}

impl Rings {
    /// The word of this process. Slots come from the table by which the log was made.
    fn intent(&self) -> &AtomicU64 {
        debug_assert!(usize::from(identity::slot()) < self.intents.len(), "a writer has a slot of its own");
        &self.intents[usize::from(identity::slot()).min(self.intents.len() - 1)].0
    }

    fn descriptor(&self, number: u64) -> &Descriptor {
        &self.descriptors[number as usize & (self.descriptors.len() - 1)]
    }

    fn fill(&self, number: u64, offset: u64, kind: u32, ordinal: u64, bytes: u64, parts: &[&[u8]]) {
        let shape = bytes << 32 | u64::from(kind);
        let time = sys::monotonic_micros();
        let mut sum = Checksum::of([number, offset, shape, time, ordinal]);
        self.bytes.write(offset, parts, &mut sum);
        if self.head.load(Relaxed) - number >= self.descriptors.len() as u64 {
            // Stopped for a whole round: the place belongs to another record by now.
            return;
        }
        let descriptor = self.descriptor(number);
        descriptor.offset.store(offset, Relaxed);
        descriptor.shape.store(shape, Relaxed);
        descriptor.time.store(time, Relaxed);
        descriptor.ordinal.store(ordinal, Relaxed);
        descriptor.checksum.store(sum.finish(), Relaxed);
        descriptor.stamp.store(number + 1, Release);
    }

    fn read(&self, number: u64, payload: &mut Vec<u8>) -> Read {
        let head = self.head.load(Acquire);
        if number >= head {
            return Read::Empty;
        }
        let lost = |oldest: u64| Read::Lost { count: oldest.saturating_sub(number).max(1) };
        if head - number > self.descriptors.len() as u64 {
            return lost(self.oldest(head));
        }
        let descriptor = self.descriptor(number);
        if descriptor.stamp.load(Acquire) != number + 1 {
            if self.is_being_written(number) {
                return Read::Pending;
            }
            // It may have been published before its writer's note was looked at.
            if descriptor.stamp.load(Acquire) != number + 1 {
                return Read::Lost { count: 1 };
            }
        }
        let offset = descriptor.offset.load(Relaxed);
        let shape = descriptor.shape.load(Relaxed);
        let time = descriptor.time.load(Relaxed);
        let ordinal = descriptor.ordinal.load(Relaxed);
        let checksum = descriptor.checksum.load(Relaxed);
        let bytes = shape >> 32;
        if bytes > self.most || self.is_overwritten(offset) {
            return lost(self.oldest(self.head.load(Acquire)));
        }
        let mut sum = Checksum::of([number, offset, shape, time, ordinal]);
        self.bytes.read(offset, bytes as usize, payload, &mut sum);
        if sum.finish() != checksum {
            payload.clear();
            return lost(self.oldest(self.head.load(Acquire)));
        }
        Read::Record { number, kind: shape as u32, time, ordinal }
    }

    fn is_being_written(&self, number: u64) -> bool {
        self.intents.iter().any(|intent| intent.0.load(Acquire) <= number)
    }

    fn is_overwritten(&self, offset: u64) -> bool {
        self.bytes_head.load(Acquire).wrapping_sub(offset) > self.bytes.len()
    }

    /// The first number, of those that have a descriptor, whose bytes are still there. Writers take bytes in about the
    /// order in which they take numbers, so the overwritten ones come first.
    fn oldest(&self, head: u64) -> u64 {
        let (mut gone, mut there) = (head.saturating_sub(self.descriptors.len() as u64), head);
        while gone < there {
            let middle = gone + (there - gone) / 2;
            let descriptor = self.descriptor(middle);
            let complete = descriptor.stamp.load(Acquire) == middle + 1;
            if complete && self.is_overwritten(descriptor.offset.load(Relaxed)) {
                gone = middle + 1;
            } else {
                there = middle;
            }
        }
        there
    }
}

/// A checksum against torn records, not against forgery: a multiplication a word.
#[derive(Debug)]
struct Checksum(u64);

impl Checksum {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

    fn of(head: [u64; 5]) -> Self {
        let mut sum = Self(Self::MULTIPLIER);
        head.into_iter().for_each(|word| sum.add(word));
        sum
    }

    #[inline]
    fn add(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(Self::MULTIPLIER);
        self.0 = (product as u64 ^ (product >> 64) as u64).wrapping_add(Self::MULTIPLIER);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;
