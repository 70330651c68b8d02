//! Death after every instruction.
//!
//! An operation runs in a process that is stepped through, one instruction at a time. After each instruction the arena is saved,
//! the process is treated as if it had died there, everything is checked and used from here, and the arena is put
//! back. The victim stands still meanwhile, so what the check sees is what a SIGKILL at that place would have left.
//!
//! With repair switched off, the same must find damage: otherwise the test would prove nothing.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "its output is its report; it fails by panicking"
)]

mod common;

use std::time::Instant;

use common::{await_death, fork, kill, wait};
use tocsin_shm::{
    Alloc, Arena, ArenaOptions, Cursor, Dead, Full, Log, LogOptions, Map, MapOptions, Read, ShmBox, ShmClone,
    ShmSafe, ShmString, ShmVec, Sweep,
};

/// Records of the map before each operation.
const RECORDS: u64 = 6;
/// The one that operations touch.
const TOUCHED: u64 = 3;
/// The one that an insertion brings.
const NEW: u64 = 99;
/// What `Trim` and `Compact` have removed before.
const EXTRA: u64 = 40;
/// Bytes of a record that gets chunks of its own.
const LARGE: usize = 2_500;
const DUE: u64 = 1_000;
const LATER: u64 = 50_000;
/// More instructions than any operation has: a loop that stepping itself keeps from ending.
const ENDLESS: u64 = 3_000_000;
const TAG: &str = "z9hG4bK-some-branch";
const SLOT: u16 = 1;
/// Exit code of a process that may not be traced.
const NOT_TRACED: i32 = 77;

#[derive(ShmSafe, ShmClone)]
struct Call {
    n: u64,
    body: ShmVec<u8>,
    tag: ShmString,
    parts: ShmVec<ShmString>,
    boxed: ShmBox<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    Get,
    InsertNew,
    InsertLarge,
    Replace,
    Update,
    Rewrite,
    UpdateRemove,
    Remove,
    RemoveLarge,
    RemoveLast,
    Expire,
    ExpireRemove,
    Compact,
    Clear,
    Repair,
    Append,
    Read,
}

const OPS: [Op; 17] = [
    Op::Get,
    Op::InsertNew,
    Op::InsertLarge,
    Op::Replace,
    Op::Update,
    Op::Rewrite,
    Op::UpdateRemove,
    Op::Remove,
    Op::RemoveLarge,
    Op::RemoveLast,
    Op::Expire,
    Op::ExpireRemove,
    Op::Compact,
    Op::Clear,
    Op::Repair,
    Op::Append,
    Op::Read,
];

/// What became of the touched record.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Old,
    New,
    Absent,
}

struct World {
    arena: &'static Arena,
    map: Map<u64, Call>,
    log: Log,
    op: Op,
    /// Records of the log before the operation.
    appended: u64,
}

fn main() {
    if !may_trace() {
        println!("skipped: this system does not let a process trace its child");
        return;
    }
    for op in OPS {
        step_through(op);
    }
    control();
}

fn step_through(op: Op) {
    let begun = Instant::now();
    let world = World::before(op);
    let victim = traced(|| world.run());
    let mut saved = vec![0; world.arena.size_bytes() as usize];
    let (mut steps, mut fates, mut lost, mut repairs) = (0, [0; 3], 0, 0);
    while step(victim) {
        steps += 1;
        assert!(steps < ENDLESS, "{op:?} does not end");
        save(world.arena, &mut saved);
        let before = (world.map.lost(), world.map.repairs());
        let fate =
            world.bury_and_check(victim).unwrap_or_else(|why| panic!("{op:?} killed after {steps}: {why}"));
        fates[fate as usize] += 1;
        lost += world.map.lost() - before.0;
        repairs += world.map.repairs() - before.1;
        restore(world.arena, &saved);
    }
    assert!(steps > 20, "{op:?} was not stepped through");
    let [old, new, absent] = fates;
    println!(
        "{:13} {steps:6} deaths: {repairs:6} repairs, {lost:5} records lost; old {old:6} new {new:6} absent {absent:6}  {:.1?}",
        format!("{op:?}"),
        begun.elapsed()
    );
}

/// Without repair, some death must leave damage that the check finds.
fn control() {
    let world = World::before(Op::Update);
    world.map.without_repair();
    let victim = traced(|| world.run());
    let (mut steps, mut damaged) = (0_u64, 0_u64);
    while damaged < 5 && step(victim) {
        steps += 1;
        if !steps.is_multiple_of(3) {
            continue;
        }
        let mut saved = vec![0; world.arena.size_bytes() as usize];
        save(world.arena, &mut saved);
        // In a process of its own: what it meets may well kill it.
        let checker = fork(2, || {
            std::panic::set_hook(Box::new(|_| ()));
            i32::from(world.bury_and_check(victim).is_err())
        });
        damaged += u64::from(wait(checker) != 0);
        restore(world.arena, &saved);
    }
    kill(victim, SLOT);
    wait(victim);
    assert!(damaged > 0, "the check does not find what a repair would have mended");
    println!("without repair: damage after {damaged} of {} deaths tried, as it must be", steps / 3);
}

impl World {
    /// A world in which `op` can happen.
    fn before(op: Op) -> Self {
        let arena = Arena::create(&ArenaOptions { bytes: 256 << 10, boot_bytes: 16 << 10 }).unwrap();
        let map = Map::create(arena, &MapOptions { name: "calls", shards: 1, buckets: 4 }).unwrap();
        let log = Log::create(arena, LogOptions { records: 8, bytes: 1024, slots: 4 }).unwrap();
        let world = Self { arena, map, log, op, appended: 12 };
        let records = if op == Op::RemoveLast { TOUCHED..TOUCHED + 1 } else { 0..RECORDS };
        for n in records {
            let bytes = if op == Op::RemoveLarge && n == TOUCHED { LARGE } else { 100 };
            map.insert_due(&n, Some(due_of(n)), |alloc| call(n, bytes, alloc)).unwrap();
        }
        if matches!(op, Op::RemoveLast | Op::Compact) {
            for n in EXTRA..EXTRA * 2 {
                map.insert(&n, |alloc| call(n, 300, alloc)).unwrap();
            }
            (EXTRA..EXTRA * 2).for_each(|n| map.remove(&n, |_| ()).unwrap());
        }
        for n in 0..world.appended {
            log.append(n as u32, &[payload(n).as_bytes()]).unwrap();
        }
        if op == Op::Repair {
            world.die_open();
        }
        world
    }

    /// A first death, in the middle of an update: the process that is stepped through is the one that repairs.
    fn die_open(&self) {
        let pid = fork(3, || {
            self.map.update(&TOUCHED, |call, _| {
                call.body[0] = 200;
                // SAFETY: ends this process.
                unsafe { libc::raise(libc::SIGKILL) }
            });
            0
        });
        let swept = self.map.sweep(await_death(pid, 3));
        wait(pid);
        assert_eq!((swept.held, swept.dirty, swept.records_lost), (1, 1, 0));
    }

    fn run(&self) {
        let map = &self.map;
        match self.op {
            Op::Get | Op::Repair => assert!(map.get(&TOUCHED, is_good).unwrap()),
            Op::InsertNew => {
                assert!(map.insert_new_due(&NEW, Some(LATER), |alloc| call(NEW, 200, alloc)).unwrap());
            }
            Op::InsertLarge => {
                assert!(map.insert_new_due(&NEW, Some(LATER), |alloc| call(NEW, LARGE, alloc)).unwrap());
            }
            Op::Replace => {
                let new = map.insert_due(&TOUCHED, Some(LATER), |alloc| call(TOUCHED, 200, alloc));
                assert!(!new.unwrap());
            }
            Op::Update => map
                .update(&TOUCHED, |call, edit| {
                    edit.set_deadline(Some(LATER));
                    call.body.try_resize(200, TOUCHED as u8).unwrap();
                })
                .unwrap(),
            Op::Rewrite => map
                .update(&TOUCHED, |call, edit| {
                    edit.set_deadline(Some(LATER));
                    rewrite(call).unwrap();
                })
                .unwrap(),
            Op::UpdateRemove => map.update(&TOUCHED, |_, edit| edit.remove()).unwrap(),
            Op::Remove | Op::RemoveLarge | Op::RemoveLast => map.remove(&TOUCHED, |_| ()).unwrap(),
            Op::Expire => assert_eq!(
                map.expire(0, DUE, 10, |_, call, edit| {
                    edit.set_deadline(Some(LATER));
                    call.body.try_resize(200, TOUCHED as u8).unwrap();
                }),
                1
            ),
            Op::ExpireRemove => assert_eq!(map.expire(0, DUE, 10, |_, _, edit| edit.remove()), 1),
            Op::Compact => assert!(map.compact(0).unwrap() > 0),
            Op::Clear => map.clear(),
            Op::Append => {
                let text = payload(self.appended);
                let (a, b) = text.as_bytes().split_at(11);
                self.log.append(self.appended as u32, &[a, b]).unwrap();
            }
            Op::Read => {
                let mut cursor = Cursor::at(self.log.oldest() + 1);
                assert!(matches!(self.log.read(&mut cursor, &mut Vec::new()), Read::Record { .. }));
            }
        }
    }

    /// Treats the victim as dead, and checks and uses all that it shared.
    fn bury_and_check(&self, victim: u32) -> Result<Fate, String> {
        let dead = Dead { pid: victim, slot: SLOT };
        self.map.sweep(dead);
        self.log.sweep(dead);
        self.arena.recount();
        let fate = self.check_map()?;
        self.check_log()?;
        Ok(fate)
    }

    fn check_map(&self) -> Result<Fate, String> {
        let touched = if matches!(self.op, Op::InsertNew | Op::InsertLarge) { NEW } else { TOUCHED };
        let fate = self.fate_of(touched)?;
        if !self.allows(fate) {
            return Err(format!("the touched record is {fate:?}"));
        }
        for n in (0..RECORDS).filter(|n| *n != touched && self.op != Op::RemoveLast) {
            match self.look(n) {
                Some((true, 100, Some(due))) if due == due_of(n) => {}
                None if self.op == Op::Clear => {}
                found => return Err(format!("record {n} is {found:?}")),
            }
        }
        let (by_tag, by_heap) = self.map.chunks_by_tag_and_by_heap();
        if by_tag != by_heap {
            return Err(format!("chunks leak: {by_tag} by tag, {by_heap} by heap"));
        }
        self.wear_out()?;
        Ok(fate)
    }

    fn look(&self, n: u64) -> Option<(bool, usize, Option<u64>)> {
        let (good, bytes) = self.map.get(&n, |call| (is_good(call), call.body.len()))?;
        Some((good, bytes, self.map.deadline(&n)))
    }

    fn fate_of(&self, touched: u64) -> Result<Fate, String> {
        let old = if self.op == Op::RemoveLarge { LARGE } else { 100 };
        let new = if self.op == Op::InsertLarge { LARGE } else { 200 };
        match self.look(touched) {
            None => Ok(Fate::Absent),
            Some((true, bytes, Some(LATER))) if bytes == new => Ok(Fate::New),
            Some((true, bytes, Some(due))) if bytes == old && due == due_of(touched) => Ok(Fate::Old),
            torn => Err(format!("the touched record is torn: {torn:?}")),
        }
    }

    fn allows(&self, fate: Fate) -> bool {
        match self.op {
            Op::Get | Op::Compact | Op::Repair | Op::Append | Op::Read => fate == Fate::Old,
            Op::InsertNew | Op::InsertLarge => fate != Fate::Old,
            Op::Replace | Op::Update | Op::Rewrite | Op::Expire => fate != Fate::Absent,
            Op::UpdateRemove
            | Op::Remove
            | Op::RemoveLarge
            | Op::RemoveLast
            | Op::ExpireRemove
            | Op::Clear => fate != Fate::New,
        }
    }

    /// Uses the map until nothing is left: every deadline fires, memory can be taken, and all of it comes back.
    fn wear_out(&self) -> Result<(), String> {
        let map = &self.map;
        let records = map.len();
        if map.next_due(0) > LATER && records > 0 {
            return Err("deadlines are forgotten".to_owned());
        }
        let mut fired = 0;
        while map.next_due(0) <= LATER {
            let now = map.next_due(0).max(DUE);
            fired += map.expire(0, now, 2, |_, _, _| ());
        }
        if fired != records {
            return Err(format!("{fired} deadlines fired of {records} records"));
        }
        for n in 200..204 {
            map.insert(&n, |alloc| call(n, 600, alloc)).map_err(|full| full.to_string())?;
        }
        let mut keys = Vec::new();
        map.for_each(|n, call| keys.push((*n, is_good(call))));
        if keys.len() != records + 4 || map.len() != records + 4 {
            return Err(format!("{} records where {} should be", keys.len(), records + 4));
        }
        for (n, good) in keys {
            if !good || map.remove(&n, |_| ()).is_none() {
                return Err(format!("record {n} is damaged"));
            }
        }
        if map.used_bytes() != 0 || !map.is_empty() {
            return Err(format!("{} bytes leak", map.used_bytes()));
        }
        Ok(())
    }

    /// Appends one more record and reads all: each number is the right record or lost, and nobody waits for the dead.
    fn check_log(&self) -> Result<(), String> {
        let mine =
            self.log.append(7, &[payload(self.log.head()).as_bytes()]).map_err(|e| e.to_string())?.number;
        let (mut cursor, mut text, mut records) = (Cursor::default(), Vec::new(), 0);
        loop {
            let n = cursor.number();
            match self.log.read(&mut cursor, &mut text) {
                Read::Record { .. } if text == payload(n).as_bytes() => records += 1,
                Read::Record { .. } => return Err(format!("record {n} of the log is damaged")),
                Read::Lost { .. } if n != mine => {}
                Read::Empty if n == mine + 1 => break,
                met => return Err(format!("the log has {met:?} at {n}")),
            }
        }
        // The ring has eight places; of these, the victim's and the ones whose bytes it took may be lost.
        if records >= 5 { Ok(()) } else { Err(format!("only {records} records of the log are left")) }
    }
}

fn call(n: u64, bytes: usize, alloc: Alloc) -> Result<(u64, Call), Full> {
    // Room for `rewrite`.
    let mut body = ShmVec::try_with_capacity_in(bytes.max(200), alloc)?;
    body.try_resize(bytes, n as u8)?;
    let mut parts = ShmVec::new_in(alloc);
    for _ in 0..2 {
        parts.try_push(ShmString::try_from_str_in(TAG, alloc)?)?;
    }
    let (tag, boxed) = (ShmString::try_from_str_in(TAG, alloc)?, ShmBox::try_new_in(n, alloc)?);
    Ok((n, Call { n, body, tag, parts, boxed }))
}

/// Changes everything without needing more room, by each way there is, and in the end as it should be.
fn rewrite(call: &mut Call) -> Result<(), Full> {
    *call.boxed = 0;
    call.body[0] = 0;
    call.body.truncate(50);
    call.body.pop();
    call.body.try_extend_from_slice(&[7; 10])?;
    call.body.try_assign(&[8; 70])?;
    call.body.clear();
    call.body.try_extend_from_slice(&[call.n as u8; 200])?;
    call.tag.try_assign("x")?;
    call.tag.clear();
    call.tag.try_push_str(TAG)?;
    call.parts[1].clear();
    let first = call.parts.remove(0);
    let mut last = call.parts.pop().into_iter().chain(first).next().unwrap_or_else(|| unreachable!());
    last.try_assign(TAG)?;
    call.parts.try_push(last)?;
    call.parts.try_insert(0, ShmString::try_from_str_in(TAG, call.parts.alloc())?)?;
    *call.boxed = call.n;
    Ok(())
}

fn is_good(call: &Call) -> bool {
    call.body.iter().all(|byte| *byte == call.n as u8)
        && &*call.tag == TAG
        && call.parts.len() == 2
        && call.parts.iter().all(|part| &**part == TAG)
        && *call.boxed == call.n
}

/// The touched record is due first.
fn due_of(n: u64) -> u64 {
    if n == TOUCHED { DUE } else { DUE + 500 * (n + 1) }
}

fn payload(n: u64) -> String {
    format!("event number {n} with some parameters")
}

fn save(arena: &'static Arena, to: &mut [u8]) {
    // SAFETY: the mapping is as long as the arena says, and the only other process that knows it stands still.
    unsafe {
        std::ptr::copy_nonoverlapping(std::ptr::from_ref(arena).cast::<u8>(), to.as_mut_ptr(), to.len());
    };
}

fn restore(arena: &'static Arena, from: &[u8]) {
    // SAFETY: as in `save`; no reference into the mapping is in use but those of handles, which are restored alike.
    unsafe {
        std::ptr::copy_nonoverlapping(
            from.as_ptr(),
            std::ptr::from_ref(arena).cast_mut().cast::<u8>(),
            from.len(),
        );
    };
}

/// A process that stands before `operation`, under the control of this one.
fn traced(operation: impl FnOnce()) -> u32 {
    let pid = fork(SLOT, || {
        // SAFETY: asks to be traced and stops; the parent goes on from there.
        unsafe {
            if libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) != 0 {
                return NOT_TRACED;
            }
            libc::raise(libc::SIGSTOP);
        }
        operation();
        0
    });
    let status = wait(pid);
    assert!(libc::WIFSTOPPED(status), "the traced process ended: {status:#x}");
    pid
}

/// One more instruction; `false` when the process has ended.
fn step(pid: u32) -> bool {
    // SAFETY: a stopped child of this process that asked to be traced.
    let stepped = unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, pid, 0, 0) };
    assert_eq!(stepped, 0, "ptrace: {}", std::io::Error::last_os_error());
    let status = wait(pid);
    if libc::WIFEXITED(status) {
        assert_eq!(libc::WEXITSTATUS(status), 0, "the operation itself failed");
        return false;
    }
    assert!(libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGTRAP, "{status:#x}");
    true
}

fn may_trace() -> bool {
    let pid = fork(SLOT, || {
        // SAFETY: asks to be traced, and nothing else.
        unsafe { if libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) == 0 { 0 } else { NOT_TRACED } }
    });
    let status = wait(pid);
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}
