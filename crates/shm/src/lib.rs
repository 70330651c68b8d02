//! Memory that a family of forked processes shares, such that any of them may die at any instruction.
//!
//! In flow records, events and counts of all processes; out flow the same, to all processes. The [`Arena`] is one
//! mapping, made before the first fork. In it lie [`Map`]s (records by key, with deadlines), the [`Log`] (numbered
//! events), [`Counters`] and [`Gauges`], and the [`ProcessTable`]. What may lie there is a matter of type: [`ShmSafe`].
//! After a death the supervisor sweeps ([`Sweep`]) before it reaps; the next process that comes to what the dead one held
//! repairs it.
//!
//! Taking memory can fail everywhere ([`Full`]): a full arena is a normal state of a busy server.

mod arena;
mod counters;
mod heap;
pub mod identity;
mod load;
mod lock;
mod log;
mod map;
mod processes;
mod safe;
mod sweep;
mod sys;
mod text;
mod undo;
mod vec;

pub use arena::{Arena, ArenaFull, ArenaOptions, MIN_BYTES, VITAL_BYTES};
pub use counters::{Counters, Gauges};
pub use heap::{Alloc, Full};
pub use lock::RobustLock;
pub use log::{Appended, Cursor, Log, LogOptions, Read, TooLarge};
pub use map::{Edit, Map, MapOptions, Millis, REPAIR_ATTEMPTS};
pub use processes::{DESCRIPTION_BYTES, ProcessTable, Slot, SlotState};
pub use safe::{ShmClone, ShmSafe};
pub use sweep::{Dead, Sweep, Swept, TableUsage};
pub use sys::{monotonic_micros, monotonic_millis};
pub use text::{ShmBytes, ShmString};
pub use tocsin_shm_derive::{ShmClone, ShmSafe};
pub use vec::{ShmBox, ShmVec};
