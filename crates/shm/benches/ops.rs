//! What the operations cost, in nanoseconds, on one process and nothing contended.
//!
//! `cargo bench -p tocsin-shm` prints a line for each; `cargo bench -p tocsin-shm -- 1000` does so many rounds of each only, for a
//! tool that counts instructions.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "its output is its report")]

use std::hint::black_box;
use std::time::Instant;

use tocsin_shm::{
    Alloc, Arena, ArenaOptions, Counters, Cursor, Full, Log, LogOptions, Map, MapOptions, ProcessTable,
    RobustLock, ShmBytes, ShmClone, ShmSafe, ShmString,
};

const ROUNDS: u64 = 200_000;
const BATCHES: usize = 7;
/// Records of the map while it is measured.
const RECORDS: u64 = 20_000;

#[derive(ShmSafe, ShmClone)]
struct Call {
    seq: u64,
    body: ShmBytes,
}

fn main() {
    let rounds = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(ROUNDS);
    let arena = Arena::create(&ArenaOptions { bytes: 256 << 20, boot_bytes: 8 << 20 }).unwrap();
    locks(rounds);
    maps(arena, rounds);
    logs(arena, rounds);
    counts(arena, rounds);
}

fn locks(rounds: u64) {
    let lock = RobustLock::new();
    measure("lock and unlock", rounds, |_| {
        black_box(lock.lock());
        lock.unlock();
    });
    measure("lock, mark, unlock", rounds, |_| {
        black_box(lock.lock());
        lock.begin_write();
        lock.mark_clean();
        lock.unlock();
    });
}

fn maps(arena: &'static Arena, rounds: u64) {
    let options = MapOptions { name: "calls", shards: 256, buckets: 128 };
    let map: Map<ShmString, Call> = Map::create(arena, &options).unwrap();
    let keys: Vec<String> = (0..RECORDS + 64).map(|n| format!("call-{n}@host.example")).collect();
    let build = |n: u64, alloc: Alloc| -> Result<(ShmString, Call), Full> {
        let key = ShmString::try_from_str_in(&keys[n as usize], alloc)?;
        Ok((key, Call { seq: n, body: ShmBytes::try_from_slice_in(&[7; 450], alloc)? }))
    };
    for n in 0..RECORDS {
        map.insert_due(keys[n as usize].as_str(), Some(32_000 + n), |alloc| build(n, alloc)).unwrap();
    }
    let key = |n: u64| keys[(n * 7919 % RECORDS) as usize].as_str();
    measure("get", rounds, |n| {
        black_box(map.get(key(n), |call| call.seq + call.body.len() as u64));
    });
    measure("update", rounds, |n| {
        black_box(map.update(key(n), |call, _| call.seq += 1));
    });
    measure("update, later deadline", rounds, |n| {
        black_box(map.update(key(n), |_, edit| edit.set_deadline(Some(60_000 + n))));
    });
    measure("update, other deadline", rounds, |n| {
        black_box(map.update(key(n), |_, edit| edit.set_deadline(Some(60_000 + n * 7919 % 60_000))));
    });
    measure("insert, get, remove of 450 bytes", rounds, |n| {
        let n = RECORDS + n % 64;
        let key = keys[n as usize].as_str();
        map.insert_new_due(key, Some(500 + n), |alloc| build(n, alloc)).unwrap();
        black_box(map.get(key, |call| call.seq));
        black_box(map.remove(key, |call| call.seq));
    });
    measure("replace of 450 bytes", rounds, |n| {
        let n = n * 7919 % RECORDS;
        black_box(map.insert(keys[n as usize].as_str(), |alloc| build(n, alloc)).unwrap());
    });
    measure("look whether a shard is due", rounds, |n| {
        black_box(map.next_due(n as usize % 256));
    });
}

fn logs(arena: &'static Arena, rounds: u64) {
    let log = Log::create(arena, LogOptions { records: 1 << 14, bytes: 1 << 22, slots: 16 }).unwrap();
    let payload = [7; 200];
    measure("append of 200 bytes", rounds, |_| {
        black_box(log.append(1, &[&payload[..40], &payload[40..]]).unwrap());
    });
    let (mut cursor, mut text) = (Cursor::at(log.oldest()), Vec::new());
    measure("append and read of 200 bytes", rounds, |_| {
        black_box(log.append(1, &[&payload]).unwrap());
        black_box(log.read(&mut cursor, &mut text));
    });
}

fn counts(arena: &'static Arena, rounds: u64) {
    let counters = Counters::create(arena, 64, 500).unwrap();
    measure("count", rounds, |n| counters.add(n as usize % 500, 1));
    measure("sum of a counter over 64 slots", rounds, |n| {
        black_box(counters.sum(n as usize % 500));
    });
    let slot = ProcessTable::create(arena, 16).unwrap().slot(1);
    measure("idle begin and end", rounds, |n| {
        slot.idle_end(1_000_000_000_000 + n * 1000);
        slot.idle_begin(1_000_000_000_500 + n * 1000);
    });
}

/// Prints the median of some batches, in nanoseconds of a round, and their spread.
fn measure(what: &str, rounds: u64, mut round: impl FnMut(u64)) {
    let mut times: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let begun = Instant::now();
            (0..rounds).for_each(&mut round);
            begun.elapsed().as_nanos() as f64 / rounds as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{what:34} {:8.1} ns  [{:.1}..{:.1}]", times[BATCHES / 2], times[0], times[BATCHES - 1]);
}
