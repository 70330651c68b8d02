//! Statistics that are read from shared memory and the process table when asked: shmem, load, pkmem.

use std::sync::atomic::Ordering::Relaxed;

use tocsin_shm::{Arena, ProcessTable, Slot};

use crate::statistic_row::StatRow;
use crate::statistics::Statistics;
use crate::time::now_ns;

const SHMEM: &str = "shmem";
const SHM_TOTAL: StatRow = StatRow::value(SHMEM, "total_size", "Bytes of shared memory in all.");
const SHM_MAX_USED: StatRow = StatRow::value(SHMEM, "max_used_size", "The most bytes that were ever in use.");
const SHM_FREE: StatRow = StatRow::value(SHMEM, "free_size", "Bytes that are free.");
const SHM_USED: StatRow = StatRow::value(SHMEM, "used_size", "Bytes in use.");
const SHM_REAL_USED: StatRow =
    StatRow::value(SHMEM, "real_used_size", "Bytes in use, with what the allocator needs: the same here.");
const SHM_FRAGMENTS: StatRow = StatRow::value(SHMEM, "fragments", "Pieces of free memory.");

/// The group shmem.
pub const SHARED_STATISTICS: &[StatRow] =
    &[SHM_TOTAL, SHM_MAX_USED, SHM_FREE, SHM_USED, SHM_REAL_USED, SHM_FRAGMENTS];

/// The group rpmem, which is empty: nothing outlives a restart.
pub const RESTART_STATISTICS: &[StatRow] = &[
    always_0("rpm_total_size"),
    always_0("rpm_used_size"),
    always_0("rpm_real_used_size"),
    always_0("rpm_fragments"),
    always_0("rpm_max_used_size"),
    always_0("rpm_free_size"),
];

const fn always_0(name: &'static str) -> StatRow {
    StatRow::value("rpmem", name, "Always 0: no memory outlives a restart.")
}

const LOAD: &str = "load";
/// How much of some time a process was occupied. Time in which it waits for something counts, as it does where a process
/// stands still meanwhile: it is the load by which groups are scaled.
type Load = fn(&Slot, u64) -> u8;
const LOAD_OF_PROCESS: [(StatRow, Load); 3] = [
    (
        StatRow::value(
            LOAD,
            "load-proc-<process>",
            "Percent of the last second in which a process was occupied.",
        ),
        Slot::occupation_1s,
    ),
    (StatRow::value(LOAD, "load1m-proc-<process>", "The same over the last minute."), Slot::occupation_1m),
    (
        StatRow::value(LOAD, "load10m-proc-<process>", "The same over the last ten minutes."),
        Slot::occupation_10m,
    ),
];
const LOAD_OF_SIP: [(StatRow, Load); 3] = [
    (
        StatRow::value(LOAD, "load", "The average of the SIP receivers over the last second."),
        Slot::occupation_1s,
    ),
    (
        StatRow::value(LOAD, "load1m", "The average of the SIP receivers over the last minute."),
        Slot::occupation_1m,
    ),
    (
        StatRow::value(LOAD, "load10m", "The average of the SIP receivers over the last ten minutes."),
        Slot::occupation_10m,
    ),
];
const LOAD_OF_ALL: [(StatRow, Load); 3] = [
    (
        StatRow::value(LOAD, "load-all", "The average of all processes over the last second."),
        Slot::occupation_1s,
    ),
    (
        StatRow::value(LOAD, "load1m-all", "The average of all processes over the last minute."),
        Slot::occupation_1m,
    ),
    (
        StatRow::value(LOAD, "load10m-all", "The average of all processes over the last ten minutes."),
        Slot::occupation_10m,
    ),
];
const PROCESSES: StatRow = StatRow::value(LOAD, "processes_number", "How many processes there are.");

/// The group load.
pub const LOAD_STATISTICS: &[StatRow] = &[
    LOAD_OF_PROCESS[0].0,
    LOAD_OF_PROCESS[1].0,
    LOAD_OF_PROCESS[2].0,
    LOAD_OF_SIP[0].0,
    LOAD_OF_SIP[1].0,
    LOAD_OF_SIP[2].0,
    LOAD_OF_ALL[0].0,
    LOAD_OF_ALL[1].0,
    LOAD_OF_ALL[2].0,
    PROCESSES,
];

const PKMEM: &str = "pkmem";
const PKG_TOTAL: StatRow =
    StatRow::value(PKMEM, "<process>-total_size", "Bytes that a process may use (-M).");
const PKG_USED: StatRow = StatRow::value(PKMEM, "<process>-used_size", "Bytes of private memory in use.");
const PKG_REAL_USED: StatRow = StatRow::value(
    PKMEM,
    "<process>-real_used_size",
    "Bytes in use, with what the allocator needs: the same here.",
);
const PKG_MAX_USED: StatRow =
    StatRow::value(PKMEM, "<process>-max_used_size", "The most bytes that were ever in use.");
const PKG_FREE: StatRow =
    StatRow::value(PKMEM, "<process>-free_size", "Bytes that a process may still take.");
const PKG_FRAGMENTS: StatRow = StatRow::value(PKMEM, "<process>-fragments", "Always 1.");

/// The group pkmem.
pub const PRIVATE_STATISTICS: &[StatRow] =
    &[PKG_TOTAL, PKG_USED, PKG_REAL_USED, PKG_MAX_USED, PKG_FREE, PKG_FRAGMENTS];

/// Registers the groups shmem and rpmem.
pub fn register_shared(statistics: &mut Statistics, arena: &'static Arena) {
    statistics.computed(SHMEM, move |each| {
        let (size, used) = (arena.size_bytes(), arena.used_bytes());
        each(SHM_TOTAL.name, size as i64);
        each(SHM_MAX_USED.name, arena.max_used_bytes() as i64);
        each(SHM_FREE.name, size.saturating_sub(used) as i64);
        each(SHM_USED.name, used as i64);
        each(SHM_REAL_USED.name, used as i64);
        each(SHM_FRAGMENTS.name, arena.fragments() as i64);
    });
    for row in RESTART_STATISTICS {
        statistics.computed(row.group, |each| each(row.name, 0));
    }
}

/// Registers the groups load and pkmem, with members for each process.
pub fn register_processes(statistics: &mut Statistics, table: &'static ProcessTable, budget: u64) {
    statistics.computed(LOAD, move |each| {
        let now = now_ns();
        for (id, slot) in living(table).filter(|(id, _)| *id > 0) {
            LOAD_OF_PROCESS.iter().for_each(|(row, load)| each(&row.of(id), load(slot, now).into()));
        }
        let sip = |slot: &Slot| slot.description().starts_with("SIP receiver");
        let average = |load: Load, wanted: &dyn Fn(&Slot) -> bool| {
            let loads: Vec<i64> = living(table)
                .filter(|(id, s)| *id > 0 && wanted(s))
                .map(|(_, s)| load(s, now).into())
                .collect();
            loads.iter().sum::<i64>() / (loads.len().max(1) as i64)
        };
        LOAD_OF_SIP.iter().for_each(|(row, load)| each(row.name, average(*load, &sip)));
        LOAD_OF_ALL.iter().for_each(|(row, load)| each(row.name, average(*load, &|_: &Slot| true)));
        each(PROCESSES.name, living(table).count() as i64);
    });
    statistics.computed(PKMEM, move |each| {
        for (id, slot) in living(table).filter(|(id, _)| *id > 0) {
            let used = slot.private_bytes.load(Relaxed).max(0);
            each(&PKG_TOTAL.of(id), budget as i64);
            each(&PKG_USED.of(id), used);
            each(&PKG_REAL_USED.of(id), used);
            each(&PKG_MAX_USED.of(id), slot.private_peak.load(Relaxed).max(used));
            each(&PKG_FREE.of(id), (budget as i64).saturating_sub(used).max(0));
            each(&PKG_FRAGMENTS.of(id), 1);
        }
    });
}

/// The processes that live, with the IDs that `ps` shows.
pub fn living(table: &'static ProcessTable) -> impl Iterator<Item = (usize, &'static Slot)> {
    table.living().map(|(id, slot)| (usize::from(id), slot))
}
