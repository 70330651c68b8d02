//! The process table: a row for each process the family may have, readable by all.

use std::fmt;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU8, AtomicU32, AtomicU64};

use crate::load::Load;
use crate::{Arena, ArenaFull, ShmSafe, monotonic_millis};

/// Most bytes of a description; a longer one is cut at a character.
pub const DESCRIPTION_BYTES: usize = 64;
const WORDS: usize = DESCRIPTION_BYTES / 8;

/// What the process of a slot is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SlotState {
    /// There is no process.
    Free = 0,
    /// It is forked, and not serving yet.
    Starting = 1,
    /// It serves.
    Running = 2,
    /// It finishes what it has, and takes nothing new.
    Draining = 3,
}

/// The rows of all processes. Lies in boot memory: `&'static` wherever it is used.
#[derive(Debug)]
pub struct ProcessTable {
    slots: &'static [Slot],
}

impl ProcessTable {
    /// A table of `slots` free rows, at least one. To be called before the first fork.
    ///
    /// # Errors
    /// [`ArenaFull`] when there is no room.
    pub fn create(arena: &'static Arena, slots: u16) -> Result<&'static Self, ArenaFull> {
        let slots = arena.boot_array(slots.max(1).into(), |_| Slot::new())?;
        arena.boot(Self { slots })
    }

    /// The row of slot `slot`. Slots come from the plan by which the table was made: one beyond it is the last row.
    pub fn slot(&self, slot: u16) -> &'static Slot {
        &self.slots[usize::from(slot).min(self.slots.len() - 1)]
    }

    /// All rows, the i-th of slot i.
    pub fn slots(&self) -> &'static [Slot] {
        self.slots
    }

    /// The rows that have a process.
    pub fn living(&self) -> impl Iterator<Item = (u16, &'static Slot)> {
        (0..).zip(self.slots).filter(|(_, slot)| slot.state() != SlotState::Free)
    }
}

/// A row of the process table. Each word stands for itself: a reader may see some before and some after a change.
#[derive(Debug)]
#[repr(align(128))]
pub struct Slot {
    /// The process id, 0 while the slot is free.
    pub pid: AtomicU32,
    /// How many processes had the slot before.
    pub generation: AtomicU32,
    /// The group that the process belongs to, as an index into the plan.
    pub group: AtomicU32,
    state: AtomicU8,
    /// Bytes of private heap.
    pub private_bytes: AtomicI64,
    /// The most that `private_bytes` has been, as far as somebody looked.
    pub private_peak: AtomicI64,
    /// Fragments of the private heap, where the allocator reports them.
    pub fragments: AtomicU64,
    /// When the process was forked, in milliseconds of the monotonic clock.
    pub started_at: AtomicU64,
    /// Which statement of its script the process is at; 0 while none runs. What the number means is the script's affair.
    pub position: AtomicU32,
    /// Nobody is meant to be here: the group does without this member, or lets it go.
    vacant: AtomicBool,
    /// The process asks for a successor beside it, which takes its work over.
    wants_relief: AtomicBool,
    /// The supervisor found that the process does not come back to its main loop.
    stalled: AtomicBool,
    /// How often the process came back to its main loop; wraps around.
    turns: AtomicU32,
    /// The level of the log of this process alone; `i32::MIN` if it has none.
    log_level: AtomicI32,
    description: [AtomicU64; WORDS],
    load: Load,
    /// Work of this process that waits for something and holds its place meanwhile.
    held: AtomicU32,
    /// When the process runs or holds work: what a server whose processes stand still while they wait would call busy.
    occupation: Load,
}

// SAFETY: atomics only.
unsafe impl ShmSafe for Slot {}

impl Slot {
    fn new() -> Self {
        Self {
            pid: AtomicU32::new(0),
            generation: AtomicU32::new(0),
            group: AtomicU32::new(0),
            state: AtomicU8::new(SlotState::Free as u8),
            private_bytes: AtomicI64::new(0),
            private_peak: AtomicI64::new(0),
            fragments: AtomicU64::new(0),
            started_at: AtomicU64::new(0),
            position: AtomicU32::new(0),
            vacant: AtomicBool::new(false),
            wants_relief: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            turns: AtomicU32::new(0),
            log_level: AtomicI32::new(i32::MIN),
            description: [const { AtomicU64::new(0) }; WORDS],
            load: Load::new(),
            held: AtomicU32::new(0),
            occupation: Load::new(),
        }
    }

    /// Moves a new process in; it is [`SlotState::Starting`].
    pub fn open(&self, pid: u32, generation: u32, description: &str) {
        let now = monotonic_millis();
        self.reset_load();
        self.generation.store(generation, Relaxed);
        self.private_bytes.store(0, Relaxed);
        self.private_peak.store(0, Relaxed);
        self.fragments.store(0, Relaxed);
        self.started_at.store(now, Relaxed);
        self.wants_relief.store(false, Relaxed);
        self.stalled.store(false, Relaxed);
        self.set_log_level(None);
        self.position.store(0, Relaxed);
        self.describe(description);
        self.pid.store(pid, Relaxed);
        self.set_state(SlotState::Starting);
    }

    /// A process was forked for this row: others find it here, however long its first steps take.
    pub fn expect(&self, description: &str) {
        self.describe(description);
        // It may have come so far, or further, by itself.
        let _ =
            self.state.compare_exchange(SlotState::Free as u8, SlotState::Starting as u8, AcqRel, Relaxed);
    }

    /// Moves the process out, after its death.
    pub fn close(&self) {
        self.set_state(SlotState::Free);
        self.pid.store(0, Relaxed);
        self.private_bytes.store(0, Relaxed);
        self.fragments.store(0, Relaxed);
        self.position.store(0, Relaxed);
        self.reset_load();
    }

    fn reset_load(&self) {
        self.load.reset();
        self.held.store(0, Relaxed);
        self.occupation.reset();
    }

    /// Whether nobody is meant to be here: a process that is, leaves, and takes nothing new.
    pub fn is_vacant(&self) -> bool {
        self.vacant.load(Acquire)
    }

    /// Says whether somebody is meant to be here.
    pub fn set_vacant(&self, vacant: bool) {
        self.vacant.store(vacant, Release);
    }

    /// What the process is doing.
    pub fn state(&self) -> SlotState {
        match self.state.load(Acquire) {
            1 => SlotState::Starting,
            2 => SlotState::Running,
            3 => SlotState::Draining,
            _ => SlotState::Free,
        }
    }

    /// The process asks for a successor beside it: it serves until that one does.
    pub fn ask_for_relief(&self) {
        self.wants_relief.store(true, Release);
    }

    /// Whether the process asks for a successor beside it.
    pub fn wants_relief(&self) -> bool {
        self.wants_relief.load(Acquire)
    }

    /// The process came back to its main loop. Only the process itself says so.
    pub fn turn(&self) {
        self.turns.store(self.turns.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// How often the process came back to its main loop so far; wraps around.
    pub fn turns(&self) -> u32 {
        self.turns.load(Relaxed)
    }

    /// Says whether the process has stopped coming back to its main loop. Only the supervisor does.
    pub fn set_stalled(&self, stalled: bool) {
        self.stalled.store(stalled, Relaxed);
    }

    /// Whether the process has stopped coming back to its main loop, at the supervisor's last look.
    pub fn is_stalled(&self) -> bool {
        self.stalled.load(Relaxed)
    }

    /// The level of the log of this process, if it has one of its own.
    pub fn log_level(&self) -> Option<i32> {
        Some(self.log_level.load(Relaxed)).filter(|level| *level != i32::MIN)
    }

    /// Gives the process a level of its own, or takes it away.
    pub fn set_log_level(&self, level: Option<i32>) {
        self.log_level.store(level.unwrap_or(i32::MIN), Relaxed);
    }

    /// Whether a process serves here, and is to go on with it.
    pub fn serves(&self) -> bool {
        self.state() == SlotState::Running && !self.is_vacant()
    }

    /// Says what the process is doing.
    pub fn set_state(&self, state: SlotState) {
        self.state.store(state as u8, Release);
    }

    /// Changes the description, as `ps` shows it.
    pub fn describe(&self, description: &str) {
        let end = description.floor_char_boundary(DESCRIPTION_BYTES);
        let mut padded = [0; DESCRIPTION_BYTES];
        padded[..end].copy_from_slice(&description.as_bytes()[..end]);
        for (word, bytes) in self.description.iter().zip(padded.as_chunks::<8>().0) {
            word.store(u64::from_ne_bytes(*bytes), Relaxed);
        }
    }

    /// What the process is for, as `ps` shows it.
    pub fn description(&self) -> String {
        let bytes: Vec<u8> =
            self.description.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    /// Whether the process waits for new work.
    pub fn is_idle(&self) -> bool {
        self.load.is_idle()
    }

    /// Notes `private_bytes` as the peak if it is the most so far.
    pub fn note_private_peak(&self) {
        self.private_peak.fetch_max(self.private_bytes.load(Relaxed), Relaxed);
    }

    /// The process begins to wait, at `now` nanoseconds of the monotonic clock.
    pub fn idle_begin(&self, now: u64) {
        self.load.idle_begin(now);
        if self.held.load(Relaxed) == 0 {
            self.occupation.idle_begin(now);
        }
    }

    /// The process goes on, at `now` nanoseconds of the monotonic clock.
    pub fn idle_end(&self, now: u64) {
        self.load.idle_end(now);
        if self.held.load(Relaxed) == 0 {
            self.occupation.idle_end(now);
        }
    }

    /// A piece of work begins to wait, and would hold the process up if that did one thing at a time. Only the process
    /// itself says so, while it runs.
    pub fn hold(&self) {
        self.held.store(self.held.load(Relaxed) + 1, Relaxed);
    }

    /// Such a wait is over.
    pub fn release(&self) {
        self.held.store(self.held.load(Relaxed).saturating_sub(1), Relaxed);
    }

    /// Share of the second before `now` in which the process ran or held work, in percent.
    pub fn occupation_1s(&self, now: u64) -> u8 {
        self.occupation.last_second(now)
    }

    /// The same of the last `seconds` before `now`, of 60 at the most.
    pub fn occupation_over(&self, seconds: u32, now: u64) -> u8 {
        self.occupation.last_seconds(seconds, now)
    }

    /// Busy share of the last `seconds` before `now`, of 60 at the most, in percent.
    pub fn load_over(&self, seconds: u32, now: u64) -> u8 {
        self.load.last_seconds(seconds, now)
    }

    /// The same of the minute before `now`.
    pub fn occupation_1m(&self, now: u64) -> u8 {
        self.occupation.last_minute(now)
    }

    /// The same of the ten minutes before `now`.
    pub fn occupation_10m(&self, now: u64) -> u8 {
        self.occupation.last_ten_minutes(now)
    }

    /// Busy share of the second before `now`, in percent.
    pub fn load_1s(&self, now: u64) -> u8 {
        self.load.last_second(now)
    }

    /// Busy share of the minute before `now`, in percent.
    pub fn load_1m(&self, now: u64) -> u8 {
        self.load.last_minute(now)
    }

    /// Busy share of the ten minutes before `now`, in percent.
    pub fn load_10m(&self, now: u64) -> u8 {
        self.load.last_ten_minutes(now)
    }
}

impl fmt::Display for SlotState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Free => "free",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Draining => "draining",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ArenaOptions;

    #[test]
    fn a_row_of_a_life() {
        let arena = Arena::create(&ArenaOptions { bytes: 2 << 20, boot_bytes: 64 << 10 }).unwrap();
        let table = ProcessTable::create(arena, 3).unwrap();
        let slot = table.slot(1);
        slot.open(4711, 2, "SIP receiver udp:127.0.0.1:5060");
        assert_eq!((slot.state(), slot.pid.load(Relaxed)), (SlotState::Starting, 4711));
        assert_eq!(slot.description(), "SIP receiver udp:127.0.0.1:5060");
        slot.set_state(SlotState::Running);
        assert_eq!(table.living().map(|(number, _)| number).collect::<Vec<_>>(), [1]);
        slot.expect("TCP receiver");
        assert_eq!(slot.state(), SlotState::Running, "it was faster");
        slot.close();
        assert_eq!((slot.state(), slot.pid.load(Relaxed)), (SlotState::Free, 0));
        slot.expect("TCP receiver");
        assert_eq!((slot.state(), &*slot.description()), (SlotState::Starting, "TCP receiver"));
        slot.close();
        assert!(std::ptr::eq(table.slot(99), table.slot(2)));
    }

    #[test]
    fn work_that_waits_occupies_its_process() {
        const MS: u64 = 1_000_000;
        let slot = Slot::new();
        let start = 1_000_000_000 * MS;
        // Runs for 1 ms, has work that waits for 500 ms, runs for 1 ms, and has nothing more to do.
        slot.idle_end(start);
        slot.hold();
        slot.idle_begin(start + MS);
        assert_eq!((slot.load_1s(start + 400 * MS), slot.occupation_1s(start + 400 * MS)), (0, 40));
        slot.idle_end(start + 501 * MS);
        slot.release();
        slot.idle_begin(start + 502 * MS);
        assert_eq!((slot.load_1s(start + 999 * MS), slot.occupation_1s(start + 999 * MS)), (0, 50));
        // A successor begins at nothing.
        slot.hold();
        slot.open(1, 1, "");
        slot.idle_end(start + 1000 * MS);
        slot.idle_begin(start + 1001 * MS);
        assert_eq!(slot.occupation_1s(start + 1900 * MS), 0);
    }

    #[test]
    fn a_long_description_is_cut_at_a_character() {
        let slot = Slot::new();
        slot.describe(&"ü".repeat(40));
        assert_eq!(slot.description(), "ü".repeat(32));
        slot.describe(&format!("x{}", "ü".repeat(40)));
        assert_eq!(slot.description(), format!("x{}", "ü".repeat(31)));
        slot.describe("");
        assert_eq!(slot.description(), "");
    }
}
