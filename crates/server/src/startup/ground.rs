//! What stands before any module starts: shared memory, the table of processes, the Event Interface.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::Relaxed};

use nix::sys::eventfd::{EfdFlags, EventFd};
use tocsin_event::{EventOptions, Events};
use tocsin_script::Bytes;
use tocsin_shm::{Arena, ArenaFull, ArenaOptions, ProcessTable};

use super::StartError;
use super::plan;
use crate::logging::{self, LogControl};
use crate::server::SharedWords;
use crate::settings::Settings;

/// The ground that modules stand on.
pub(super) struct Ground {
    pub(super) arena: &'static Arena,
    /// Rows of the process table: the most processes there will be.
    pub(super) slots: u16,
    pub(super) table: &'static ProcessTable,
    pub(super) words: SharedWords,
    pub(super) events: Events,
    /// Becomes readable when the event log has something for the courier.
    pub(super) wake: OwnedFd,
}

impl Ground {
    pub(super) fn lay(settings: &Settings) -> Result<Self, StartError> {
        tocsin_process::set_private_budget(settings.private_bytes);
        let slots = plan::slots(settings);
        let options = ArenaOptions { bytes: settings.shared_bytes, boot_bytes: settings.shared_bytes / 8 };
        let arena = Arena::create(&options)
            .map_err(|cause| StartError::Memory(settings.shared_bytes >> 20, cause))?;
        let table = ProcessTable::create(arena, slots)?;
        let words = words(arena)?;
        logging::share(&arena.boot_array(1, |_| LogControl::new())?[0], table);
        words.xlog_level.store(settings.xlog_level, Relaxed);
        let (events, wake) = event_interface(arena, slots)?;
        Ok(Self { arena, slots, table, words, events, wake })
    }
}

fn words(arena: &'static Arena) -> Result<SharedWords, ArenaFull> {
    Ok(SharedWords {
        xlog_level: &arena.boot_array(1, |_| AtomicI32::new(0))?[0],
        started: &arena.boot_array(1, |_| AtomicU32::new(0))?[0],
        ending: &arena.boot_array(1, |_| AtomicU32::new(0))?[0],
    })
}

/// The Event Interface with a log that fits the shared memory, and the eventfd that wakes the courier.
fn event_interface(arena: &'static Arena, slots: u16) -> Result<(Events, OwnedFd), StartError> {
    let failed = |cause: String| StartError::Events(cause);
    let wake_fd: OwnedFd = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
        .map_err(|cause| failed(format!("no descriptor for the event log: {cause}")))?
        .into();
    let wake = wake_fd.try_clone().map_err(|cause| failed(cause.to_string()))?;
    let options = EventOptions::for_arena(arena.size_bytes(), slots);
    let events = Events::create(arena, &options, wake_fd).map_err(|cause| failed(cause.to_string()))?;
    Ok((events, wake))
}

/// Publishes the events of the script, of modules, and of the core, in OpenSIPS's order; the last one reports lines of the
/// log.
pub(super) fn publish(
    events: &Events,
    written: &[Bytes],
    names: &[&'static str],
) -> Result<tocsin_event::EventId, StartError> {
    let registry = events.registry();
    let failed = |cause: tocsin_event::PublishError| StartError::Events(cause.to_string());
    for name in written {
        registry.publish(name).map_err(failed)?;
    }
    for name in names {
        registry.publish(name.as_bytes()).map_err(failed)?;
    }
    registry.publish_last().map_err(failed)
}
