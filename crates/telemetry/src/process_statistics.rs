//! Statistics that are read from shared memory and the process table when asked: shmem, load, pkmem.

use tocsin_shm::{Arena, ProcessTable, Slot};

use std::sync::atomic::Ordering::Relaxed;

use crate::statistics::Statistics;
use crate::time::now_ns;

/// The group shmem, and rpmem, which is always empty here: nothing outlives a restart.
pub fn register_shared(statistics: &mut Statistics, arena: &'static Arena) {
    statistics.computed("shmem", move |each| {
        let (size, used) = (arena.size_bytes(), arena.used_bytes());
        each("total_size", size as i64);
        each("max_used_size", arena.max_used_bytes() as i64);
        each("free_size", size.saturating_sub(used) as i64);
        each("used_size", used as i64);
        each("real_used_size", used as i64);
        each("fragments", arena.fragments() as i64);
    });
    statistics.computed("rpmem", |each| {
        let names = ["total_size", "used_size", "real_used_size", "fragments", "max_used_size", "free_size"];
        names.iter().for_each(|name| each(&format!("rpm_{name}"), 0));
    });
}

/// The groups load and pkmem, with members for each process.
pub fn register_processes(statistics: &mut Statistics, table: &'static ProcessTable, budget: u64) {
    // Time in which a process waits for something counts, as it does where a process stands still meanwhile: it is the load
    // by which groups are scaled.
    statistics.computed("load", move |each| {
        let now = now_ns();
        for (id, slot) in living(table).filter(|(id, _)| *id > 0) {
            each(&format!("load-proc-{id}"), slot.occupation_1s(now).into());
            each(&format!("load1m-proc-{id}"), slot.occupation_1m(now).into());
            each(&format!("load10m-proc-{id}"), slot.occupation_10m(now).into());
        }
        type Load = fn(&Slot, u64) -> u8;
        let sip = |slot: &Slot| slot.description().starts_with("SIP receiver");
        let average = |load: Load, wanted: &dyn Fn(&Slot) -> bool| {
            let loads: Vec<i64> = living(table)
                .filter(|(id, s)| *id > 0 && wanted(s))
                .map(|(_, s)| load(s, now).into())
                .collect();
            loads.iter().sum::<i64>() / (loads.len().max(1) as i64)
        };
        let all = |_: &Slot| true;
        let spans: [(&str, Load); 3] = [
            ("load", Slot::occupation_1s),
            ("load1m", Slot::occupation_1m),
            ("load10m", Slot::occupation_10m),
        ];
        spans.iter().for_each(|(name, load)| each(name, average(*load, &sip)));
        spans.iter().for_each(|(name, load)| each(&format!("{name}-all"), average(*load, &all)));
        each("processes_number", living(table).count() as i64);
    });
    statistics.computed("pkmem", move |each| {
        for (id, slot) in living(table).filter(|(id, _)| *id > 0) {
            let used = slot.private_bytes.load(Relaxed).max(0);
            each(&format!("{id}-total_size"), budget as i64);
            each(&format!("{id}-used_size"), used);
            each(&format!("{id}-real_used_size"), used);
            each(&format!("{id}-max_used_size"), slot.private_peak.load(Relaxed).max(used));
            each(&format!("{id}-free_size"), (budget as i64).saturating_sub(used).max(0));
            each(&format!("{id}-fragments"), 1);
        }
    });
}

/// The processes that live, with the IDs that `ps` shows.
pub fn living(table: &'static ProcessTable) -> impl Iterator<Item = (usize, &'static Slot)> {
    table.living().map(|(id, slot)| (usize::from(id), slot))
}
