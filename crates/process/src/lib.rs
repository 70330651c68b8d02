//! The family of processes: one supervisor that forks, watches and replaces; groups of workers that serve.
//!
//! In flow a [`Plan`] (which groups, how many members) and what a member does ([`Family`]); out flow processes, and
//! for each one that ends an [`Exit`]: which process it was, why it ended, and what it cost. The supervisor has one thread
//! and no runtime: it forks, so it must not hold what a fork would break. Private memory is metered by the global
//! allocator ([`Meter`]) into the shared process table, where every process can read it.
//!
//! `unsafe` stands in `fork.rs`, `reap.rs`, `meter.rs` and `system.rs`: system calls and the allocator.

mod backoff;
mod fork;
mod launch;
mod made;
mod meter;
mod notify;
mod plan;
mod reap;
mod scaling;
mod signals;
mod supervisor;
mod system;

pub use backoff::{Backoff, Decision};
pub use launch::{
    Account, Detached, Identity, LaunchError, PidFile, detach, enter, lookup_account, lookup_group,
    lookup_user,
};
pub use made::MadeFile;
pub use meter::{Meter, has_private_change, private_bytes, set_private_budget, take_private_change};
pub use mimalloc::MiMalloc as Mimalloc;
pub use plan::{Group, Kind, Member, Plan, capacity};
pub use reap::{Cause, Exit};
pub use scaling::{MAX_CYCLES, Profile, Scaler, Shrink, Standing, Step};
pub use signals::{Termination, terminations};
pub use supervisor::{Change, Ending, Family, REPLACE_ME, Supervisor};
pub use system::{ask_to_end, raise_open_files};
