//! Random deaths under load.
//!
//! Workers use a map, a log and counts as fast as they can; this process kills one after another, sweeps, and forks a
//! successor. Every record carries a checksum and a length that follows from its key. In the end everything is
//! counted: no record is damaged, no memory is lost, nobody got stuck.
//!
//! The same with repair switched off must go wrong: otherwise the test would prove nothing. `SEED` and `KILLS` in the
//! environment repeat a run as far as scheduling lets it, or make it longer.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "its output is its report; it fails by panicking"
)]

mod common;

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use common::{fork, kill, wait};
use tocsin_shm::{
    Alloc, Arena, ArenaOptions, Counters, Cursor, Full, Gauges, Log, LogOptions, Map, MapOptions, Read,
    ShmBytes, ShmClone, ShmSafe, ShmString, ShmVec, Sweep, Swept, identity, monotonic_millis,
};

const WORKERS: u16 = 3;
const KEYS: u64 = 3_000;
/// Kills of a run.
const KILLS: u64 = 250;
/// Kills after which the run without repair must have gone wrong.
const KILLS_WITHOUT_REPAIR: u64 = 3_000;
/// Operations that a worker may do before it is killed.
const LIFE: u64 = 1_500;
/// A worker that does nothing for so long is stuck.
const STUCK: Duration = Duration::from_secs(10);
/// The same without repair, where it is what we look for.
const STUCK_WITHOUT_REPAIR: Duration = Duration::from_secs(1);
const OPERATIONS: usize = 0;

#[derive(ShmSafe, ShmClone)]
struct Call {
    seq: u64,
    sum: u64,
    body: ShmBytes,
    via: ShmVec<ShmString>,
    changes: u64,
    changes_again: u64,
}

#[derive(Clone, Copy)]
struct World {
    arena: &'static Arena,
    map: Map<ShmString, Call>,
    log: Log,
    counters: Counters,
    gauges: Gauges,
    /// Operations of each worker, and what they found damaged.
    done: &'static [AtomicU64],
    damaged: &'static AtomicU64,
    patience: Duration,
}

/// What a run came to.
#[derive(Debug, Default)]
struct Outcome {
    swept: Swept,
    crashes: u64,
    log_records: u64,
    log_lost: u64,
}

fn main() {
    let seed =
        number_of("SEED").unwrap_or_else(|| u64::from(identity::pid()) * 0x9e37_79b9 + monotonic_millis());
    println!("seed {seed}");
    with_repair(seed);
    without_repair(seed);
}

fn with_repair(seed: u64) {
    let begun = Instant::now();
    let world = World::create(16, STUCK);
    let kills = number_of("KILLS").unwrap_or(KILLS);
    let outcome = world.live(seed, kills, |outcome| outcome.crashes > 0);
    assert_eq!(outcome.crashes, 0, "a worker died by itself");
    let (records, lost) = (world.map.len(), world.map.lost());
    world.audit().unwrap();
    println!(
        "{kills} kills in {:.1?}, {} operations: the victim held a lock {} times, was writing {} times; {} repairs, \
         {lost} records lost, {records} left and good; log: {} records read, {} lost",
        begun.elapsed(),
        world.counters.sum(OPERATIONS),
        outcome.swept.held,
        outcome.swept.dirty,
        world.map.repairs(),
        outcome.log_records,
        outcome.log_lost,
    );
    assert_eq!(
        (lost, outcome.swept.records_lost),
        (0, 0),
        "there is memory for what an open record was before"
    );
}

fn without_repair(seed: u64) {
    let pid = fork(0, || {
        std::panic::set_hook(Box::new(|_| ()));
        // SAFETY: ends this process if the damage makes it hang.
        unsafe { libc::alarm(15) };
        let world = World::create(2, STUCK_WITHOUT_REPAIR);
        world.map.without_repair();
        let outcome = world.live(seed, KILLS_WITHOUT_REPAIR, |outcome| {
            outcome.crashes > 0 || world.damaged.load(Relaxed) > 0
        });
        i32::from(outcome.crashes > 0 || world.audit().is_err())
    });
    assert_ne!(wait(pid), 0, "nothing went wrong without repair: the test finds nothing");
    println!("without repair: damage is found, as it must be");
}

impl World {
    fn create(shards: usize, patience: Duration) -> Self {
        let arena = Arena::create(&ArenaOptions { bytes: 32 << 20, boot_bytes: 1 << 20 }).unwrap();
        Self {
            arena,
            map: Map::create(arena, &MapOptions { name: "calls", shards, buckets: 128 }).unwrap(),
            log: Log::create(arena, LogOptions { records: 1024, bytes: 1 << 16, slots: WORKERS + 1 })
                .unwrap(),
            counters: Counters::create(arena, WORKERS + 1, 1).unwrap(),
            gauges: Gauges::create(arena, WORKERS + 1, 1).unwrap(),
            done: arena.boot_array(usize::from(WORKERS) + 1, |_| AtomicU64::new(0)).unwrap(),
            damaged: &arena.boot_array(1, |_| AtomicU64::new(0)).unwrap()[0],
            patience,
        }
    }

    /// Kills workers until there were `kills`, or enough is enough; then kills all.
    fn live(self, seed: u64, kills: u64, enough: impl Fn(&Outcome) -> bool) -> Outcome {
        let mut random = Random(seed | 1);
        let mut outcome = Outcome::default();
        let mut cursor = Cursor::default();
        let mut pids: Vec<u32> = (1..=WORKERS).map(|slot| self.start(slot, random.next())).collect();
        for _ in 0..kills {
            let slot = 1 + (random.next() % u64::from(WORKERS)) as u16;
            let pid = pids[usize::from(slot) - 1];
            self.await_operations(slot, random.next() % LIFE);
            self.bury(pid, slot, &mut outcome);
            self.read_log(&mut cursor, &mut outcome);
            if enough(&outcome) {
                break;
            }
            pids[usize::from(slot) - 1] = self.start(slot, random.next());
        }
        for (slot, pid) in (1..).zip(pids) {
            // The last victim of a run that was ended is gone already.
            if enough(&outcome) || outcome.crashes > 0 {
                // SAFETY: at worst the pid is of nobody; it was reaped by this process a moment ago.
                unsafe { libc::kill(pid as i32, libc::SIGKILL) };
            } else {
                self.bury(pid, slot, &mut outcome);
            }
        }
        self.read_log(&mut cursor, &mut outcome);
        outcome
    }

    fn start(self, slot: u16, seed: u64) -> u32 {
        fork(slot, || self.work(slot, Random(seed | 1)))
    }

    fn work(self, slot: u16, mut random: Random) -> i32 {
        self.gauges.add(0, 1);
        loop {
            if !self.operate(random.next()) {
                self.damaged.fetch_add(1, Relaxed);
            }
            self.counters.add(OPERATIONS, 1);
            self.done[usize::from(slot)].fetch_add(1, Relaxed);
        }
    }

    /// One operation. `false` when it met a damaged record.
    fn operate(self, dice: u64) -> bool {
        let map = self.map;
        let seq = dice % KEYS;
        let key = format!("call-{seq}@host.example");
        let now = monotonic_millis();
        match (dice >> 40) % 16 {
            0..=3 => {
                let deadline = Some(now + dice % 50);
                map.insert_due(key.as_str(), deadline, |alloc| call(&key, seq, alloc)).is_ok()
            }
            4..=7 => map.get(key.as_str(), |call| is_good(&key, call)).unwrap_or(true),
            8 | 9 => map
                .update(key.as_str(), |call, edit| {
                    call.changes += 1;
                    edit.set_deadline(Some(now + dice % 50));
                    let was = call.body.to_vec();
                    call.body.clear();
                    let grown = call.body.try_extend_from_slice(&was).is_ok()
                        && call.body.try_extend_from_slice(b"x").is_ok();
                    call.via.iter_mut().for_each(ShmString::clear);
                    for (i, via) in call.via.iter_mut().enumerate() {
                        let _ = via.try_push_str(&format!("SIP/2.0/UDP 10.0.{i}.1;branch=z9hG4bK{seq:x}"));
                    }
                    call.sum = sum_of(&key, &call.body);
                    call.changes_again += 1;
                    grown && is_good(&key, call)
                })
                .unwrap_or(true),
            10 | 11 => map.remove(key.as_str(), |call| is_good(&key, call)).unwrap_or(true),
            12 => map.compact(seq as usize % map.shards()).is_ok(),
            13 => {
                let mut good = true;
                map.expire(seq as usize % map.shards(), now, 20, |key, call, edit| {
                    good &= is_good(key, call);
                    if call.seq % 2 == 0 { edit.remove() } else { edit.set_deadline(Some(now + 30)) }
                });
                good
            }
            _ => self.log.append(seq as u32, &[&dice.to_le_bytes(), key.as_bytes()]).is_ok(),
        }
    }

    fn await_operations(self, slot: u16, more: u64) {
        let done = &self.done[usize::from(slot)];
        let (target, begun) = (done.load(Relaxed) + more, Instant::now());
        while done.load(Relaxed) < target {
            assert!(begun.elapsed() < self.patience, "worker {slot} is stuck");
            // SAFETY: no preconditions.
            unsafe { libc::sched_yield() };
        }
    }

    fn bury(self, pid: u32, slot: u16, outcome: &mut Outcome) {
        let dead = kill(pid, slot);
        outcome.swept += self.map.sweep(dead);
        self.log.sweep(dead);
        self.gauges.sweep(dead);
        self.arena.recount();
        let status = wait(pid);
        outcome.crashes += u64::from(!libc::WIFSIGNALED(status) || libc::WTERMSIG(status) != libc::SIGKILL);
    }

    fn read_log(self, cursor: &mut Cursor, outcome: &mut Outcome) {
        let mut payload = Vec::new();
        loop {
            match self.log.read(cursor, &mut payload) {
                Read::Record { kind, .. } => {
                    let (dice, key) = payload.split_at(8);
                    let seq = u64::from_le_bytes(dice.try_into().unwrap()) % KEYS;
                    assert_eq!((u64::from(kind), key), (seq, format!("call-{seq}@host.example").as_bytes()));
                    outcome.log_records += 1;
                }
                Read::Lost { count } => outcome.log_lost += count,
                Read::Pending | Read::Empty => break,
            }
            assert_eq!(cursor.number(), outcome.log_records + outcome.log_lost, "numbers are dense");
        }
    }

    /// After all workers are dead: everything is good, and can be given back.
    fn audit(self) -> Result<(), String> {
        let (mut keys, mut damaged) = (Vec::new(), self.damaged.load(Relaxed));
        self.map.for_each(|key, call| {
            damaged += u64::from(!is_good(key, call));
            keys.push(key.to_string());
        });
        let expect = |what: &str, is: u64, should: u64| {
            if is == should { Ok(()) } else { Err(format!("{what}: {is}, should be {should}")) }
        };
        expect("damaged records", damaged, 0)?;
        expect("length", self.map.len() as u64, keys.len() as u64)?;
        expect("gauge of living workers", self.gauges.sum(0) as u64, 0)?;
        let fired: usize = (0..self.map.shards()).map(|shard| expire_all(&self.map, shard)).sum();
        expect("deadlines fired", fired as u64, keys.len() as u64)?;
        for key in &keys {
            self.map.remove(key.as_str(), |_| ());
        }
        expect("bytes after the last removal", self.map.used_bytes(), 0)?;
        let (by_tag, by_heap) = self.map.chunks_by_tag_and_by_heap();
        expect("chunks by tag and by heap", by_tag, by_heap)?;
        self.map.clear();
        expect("chunks after clearing", self.map.held_bytes(), 0)?;
        expect("leaked bytes", self.arena.leaked_bytes(), 0)
    }
}

fn expire_all(map: &Map<ShmString, Call>, shard: usize) -> usize {
    let mut fired = 0;
    while map.next_due(shard) != u64::MAX {
        fired += map.expire(shard, monotonic_millis() + 1_000_000, 100, |_, _, _| ());
    }
    fired
}

fn call(key: &str, seq: u64, alloc: Alloc) -> Result<(ShmString, Call), Full> {
    let mut body = ShmBytes::try_with_capacity_in(80 + seq as usize % 700, alloc)?;
    for i in 0..80 + seq % 700 {
        body.try_push((seq * 31 + i) as u8)?;
    }
    let mut via = ShmVec::new_in(alloc);
    for i in 0..seq % 4 {
        via.try_push(ShmString::try_from_str_in(
            &format!("SIP/2.0/UDP 10.0.{i}.1;branch=z9hG4bK{seq:x}"),
            alloc,
        )?)?;
    }
    let sum = sum_of(key, &body);
    let call = Call { seq, sum, body, via, changes: 0, changes_again: 0 };
    Ok((ShmString::try_from_str_in(key, alloc)?, call))
}

fn is_good(key: &str, call: &Call) -> bool {
    call.sum == sum_of(key, &call.body)
        && call.via.len() as u64 == call.seq % 4
        && call.via.iter().all(|via| via.starts_with("SIP/2.0/UDP 10.0."))
        && call.changes == call.changes_again
}

fn sum_of(key: &str, body: &[u8]) -> u64 {
    let add = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    body.iter().fold(key.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, add), add)
}

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// A generator that a seed repeats.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
