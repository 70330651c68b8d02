use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;

use super::*;
use crate::{ArenaOptions, ShmBytes, ShmString, identity};

type Texts = Map<ShmString, ShmBytes>;

fn arena(bytes: u64) -> &'static Arena {
    Arena::create(&ArenaOptions { bytes, boot_bytes: 64 << 10 }).unwrap()
}

fn texts(arena: &'static Arena, shards: usize) -> Texts {
    Map::create(arena, &MapOptions { name: "texts", shards, buckets: 8 }).unwrap()
}

fn numbers(arena: &'static Arena) -> Map<u64, u64> {
    Map::create(arena, &MapOptions { name: "numbers", shards: 1, buckets: 4 }).unwrap()
}

fn put(map: &Texts, key: &str, value: &[u8]) -> Result<bool, Full> {
    map.insert(key, |alloc| {
        Ok((ShmString::try_from_str_in(key, alloc)?, ShmBytes::try_from_slice_in(value, alloc)?))
    })
}

/// Leaves the lock of shard 0 as a process would that died in the middle of a change.
fn die_in<K: ShmClone + Hash + Eq, V: ShmClone>(map: &Map<K, V>, change: impl FnOnce()) {
    let died = catch_unwind(AssertUnwindSafe(change));
    assert!(died.is_err() && map.table.shards[0].lock.is_dirty());
}

#[test]
fn put_get_replace_remove() {
    let map = texts(arena(2 << 20), 4);
    assert_eq!(put(&map, "a", b"1"), Ok(true));
    assert_eq!(put(&map, "b", b"2"), Ok(true));
    assert_eq!(put(&map, "a", b"3"), Ok(false));
    assert_eq!(map.insert_new("a", |_| unreachable!("it is there")), Ok(false));
    assert_eq!(map.get("a", |value| value.to_vec()), Some(b"3".to_vec()));
    assert_eq!((map.len(), map.contains("c"), map.get("c", |_| ())), (2, false, None));
    let doubled = map.replace("a", |before, alloc| {
        let value = before.unwrap().repeat(2);
        Ok((ShmString::try_from_str_in("a", alloc)?, ShmBytes::try_from_slice_in(&value, alloc)?))
    });
    assert_eq!((doubled, map.get("a", |value| value.to_vec())), (Ok(false), Some(b"33".to_vec())));
    put(&map, "a", b"3").unwrap();
    assert_eq!(map.update("b", |value, _| value.try_extend_from_slice(b"0")), Some(Ok(())));
    assert_eq!(map.remove("b", |value| value.to_vec()), Some(b"20".to_vec()));
    assert!(!map.remove_if("a", |value| **value == *b"x"));
    assert!(map.remove_if("a", |value| **value == *b"3"));
    assert_eq!((map.len(), map.used_bytes(), map.is_empty()), (0, 0, true));
}

#[test]
fn the_sweeper_tells_what_the_table_takes() {
    let map = texts(arena(2 << 20), 4);
    put(&map, "a", b"1").unwrap();
    put(&map, "b", b"2").unwrap();
    let usage = map.sweeper().usage().unwrap();
    assert_eq!((usage.name, usage.records, usage.repairs, usage.lost), ("texts", 2, 0, 0));
    assert_eq!((usage.used_bytes, usage.held_bytes), (map.used_bytes(), map.held_bytes()));
}

#[test]
fn a_build_that_fails_changes_nothing() {
    let map = texts(arena(2 << 20), 1);
    put(&map, "a", b"old").unwrap();
    let used = map.used_bytes();
    assert_eq!(map.insert("a", |alloc| ShmString::try_from_str_in("a", alloc).and(Err(Full))), Err(Full));
    assert_eq!((map.get("a", |value| value.to_vec()), map.used_bytes()), (Some(b"old".to_vec()), used));
}

#[test]
fn a_full_arena_is_a_normal_state() {
    let arena = arena(512 << 10);
    let map = texts(arena, 1);
    let mut n = 0;
    while put(&map, &format!("key {n}"), &[7; 500]).is_ok() {
        n += 1;
    }
    assert!(n > 100 && arena.usage_percent() > 80);
    assert_eq!(map.update("key 0", |value, _| value.try_extend_from_slice(&[8; 5000])), Some(Err(Full)));
    assert_eq!(map.len(), n);
    for i in 0..n {
        assert_eq!(map.remove(format!("key {i}").as_str(), |value| value.len()), Some(500));
    }
    assert_eq!(map.held_bytes(), arena.chunk_bytes(), "an empty shard keeps one chunk");
    assert_eq!(map.chunks_by_tag_and_by_heap(), (1, 1));
    assert_eq!(put(&map, "again", b"fits"), Ok(true));
}

#[test]
fn large_values_have_chunks_of_their_own_and_give_them_back() {
    let arena = arena(2 << 20);
    let map = texts(arena, 1);
    put(&map, "small", b"x").unwrap();
    let held = map.held_bytes();
    put(&map, "large", &[1; 40_000]).unwrap();
    assert_eq!(map.held_bytes() - held, 40_000_u64.next_multiple_of(arena.chunk_bytes()));
    map.remove("large", |value| assert!(value.iter().all(|byte| *byte == 1))).unwrap();
    assert_eq!(map.held_bytes(), held);
}

#[test]
fn a_record_open_at_a_death_is_as_it_was() {
    let map = texts(arena(2 << 20), 1);
    for i in 0..100 {
        map.insert_due(format!("{i}").as_str(), Some(5_000 + i), |alloc| {
            Ok((
                ShmString::try_from_str_in(&format!("{i}"), alloc)?,
                ShmBytes::try_from_slice_in(&[i as u8; 99], alloc)?,
            ))
        })
        .unwrap();
    }
    die_in(&map, || {
        map.update("42", |value, edit| {
            edit.set_deadline(Some(1));
            value.clear();
            value.try_extend_from_slice(&[0; 99]).unwrap();
            panic!("dies here")
        });
    });
    assert_eq!(map.get("42", |value| **value == [42; 99]), Some(true));
    assert_eq!((map.len(), map.lost(), map.repairs()), (100, 0, 1));
    for i in 0..100 {
        let key = format!("{i}");
        assert_eq!(map.get(key.as_str(), |value| **value == [i as u8; 99]), Some(true));
        assert_eq!(map.deadline(key.as_str()), Some(5_000 + i));
    }
    assert_eq!((map.next_due(0), map.expire(0, 5_050, 1000, |_, _, edit| edit.remove())), (5_000, 51));
    map.clear();
    assert_eq!((map.used_bytes(), map.chunks_by_tag_and_by_heap()), (0, (0, 0)));
}

#[test]
fn without_memory_for_what_was_a_death_costs_the_open_record() {
    let arena = arena(512 << 10);
    let (map, other) = (texts(arena, 1), texts(arena, 1));
    let fill = |map: &Texts| while put(map, &format!("key {}", map.len()), &[7; 500]).is_ok() {};
    (0..10).for_each(|n| assert_eq!(put(&map, &format!("key {n}"), &[7; 500]), Ok(true)));
    [&other, &map].into_iter().for_each(fill);
    let len = map.len();
    let rewrite = |value: &mut ShmBytes| {
        for byte in 0..9 {
            assert_eq!(value.try_assign(&[byte; 500]), Ok(()), "it has room for that");
        }
    };
    assert!(map.update("key 5", |value, _| rewrite(value)).is_some());
    die_in(&map, || {
        map.update("key 5", |value, _| {
            rewrite(value);
            panic!("dies here")
        });
    });
    assert!(!map.contains("key 5"));
    assert_eq!((map.len(), map.lost(), map.repairs()), (len - 1, 1, 1));
    assert_eq!(map.get("key 6", |value| **value == [7; 500]), Some(true));
    die_in(&map, || {
        map.update("key 6", |_, _| panic!("dies here"));
    });
    assert_eq!(map.get("key 6", |value| **value == [7; 500]), Some(true), "nothing of it was to change");
    assert_eq!(map.lost(), 1);
}

#[test]
fn a_death_while_building_loses_nothing() {
    let map = texts(arena(2 << 20), 1);
    put(&map, "a", b"old").unwrap();
    die_in(&map, || {
        let _ = map.insert("a", |alloc| {
            std::mem::forget(ShmString::try_from_str_in("never hung in", alloc));
            panic!("dies here")
        });
    });
    assert_eq!(map.get("a", |value| value.to_vec()), Some(b"old".to_vec()));
    assert_eq!((map.lost(), map.repairs()), (0, 1));
    map.remove("a", |_| ());
    assert_eq!(map.used_bytes(), 0);
}

#[test]
fn a_sweep_tells_what_the_dead_process_held() {
    let map = texts(arena(2 << 20), 1);
    put(&map, "a", b"1").unwrap();
    // A thread, which knows by itself what it holds, stands for the process that dies.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let shard = &map.table.shards[0];
            let mut held: Held<_, _> = Held::take(shard);
            held.begin_write();
            let record = held.find(map.hash("a"), "a").record;
            std::mem::forget(held.heap().begin_edit());
            let alloc = held.alloc();
            held.open(record, |_, _| alloc.expose());
            std::mem::forget(held);
        });
    });
    let swept = map.sweeper().sweep(Dead { pid: identity::pid(), slot: 0 });
    assert_eq!(swept, Swept { held: 1, dirty: 1, records_lost: 1 });
    assert_eq!(map.next_due(0), 0, "somebody should come by");
    assert_eq!(map.expire(0, 1, 10, |_, _, _| ()), 0);
    assert_eq!((map.next_due(0), map.len(), map.lost()), (u64::MAX, 0, 1));
    assert_eq!(map.sweep(Dead { pid: identity::pid(), slot: 0 }), Swept::default());
}

#[derive(PartialEq, Eq, Hash)]
struct Poison(u64);

// SAFETY: a number.
unsafe impl crate::ShmSafe for Poison {}

impl ShmClone for Poison {
    fn try_clone_in(&self, _: Alloc) -> Result<Self, Full> {
        panic!("cannot be repaired")
    }
}

#[test]
fn a_shard_whose_repair_kills_is_given_up() {
    let map: Map<Poison, u64> =
        Map::create(arena(2 << 20), &MapOptions { name: "poison", shards: 1, buckets: 4 }).unwrap();
    let key = || Poison(1);
    map.insert(&key(), |_| Ok((key(), 1))).unwrap();
    die_in(&map, || {
        map.update(&key(), |_, _| panic!("dies here"));
    });
    for _ in 0..REPAIR_ATTEMPTS {
        map.table.shards[0].editing.store(std::ptr::null_mut(), Relaxed);
        assert!(catch_unwind(AssertUnwindSafe(|| map.contains(&key()))).is_err());
    }
    assert!(!map.contains(&key()));
    assert_eq!((map.len(), map.lost(), map.repairs()), (0, 1, 1));
    assert_eq!(map.insert(&key(), |_| Ok((key(), 2))), Ok(true));
}

#[test]
fn a_value_carried_out_of_its_lock_leaks_and_is_counted() {
    let arena = arena(2 << 20);
    let map = texts(arena, 1);
    put(&map, "a", &[1; 100]).unwrap();
    let taken =
        map.update("a", |value, edit| std::mem::replace(value, ShmBytes::new_in(edit.alloc()))).unwrap();
    let mut taken = taken;
    assert_eq!(taken.try_extend_from_slice(&[1; 1000]), Err(Full), "no memory without the lock");
    drop(taken);
    assert_eq!(arena.leaked_bytes(), 100);
}

#[test]
fn deadlines_fire_once_and_can_be_set_again() {
    let map = numbers(arena(2 << 20));
    for i in 0..10 {
        map.insert_due(&i, Some(1_000 + i), |_| Ok((i, 0))).unwrap();
    }
    assert_eq!((map.next_due(0), map.expire(0, 999, 100, |_, _, _| ())), (1_000, 0));
    let mut fired = Vec::new();
    let due = map.expire(0, 1_004, 3, |key, value, edit| {
        assert_eq!(edit.deadline(), None);
        *value += 1;
        fired.push(*key);
        if *key == 1 {
            edit.set_deadline(Some(9_000));
        }
    });
    assert_eq!((due, fired.len(), map.next_due(0)), (3, 3, 0), "the rest is due still");
    assert_eq!(map.expire(0, 1_004, 100, |key, _, _| fired.push(*key)), 2);
    fired.sort_unstable();
    assert_eq!(fired, [0, 1, 2, 3, 4]);
    assert_eq!((map.deadline(&0), map.deadline(&1), map.deadline(&7)), (None, Some(9_000), Some(1_007)));
    assert_eq!(map.update(&7, |_, edit| (edit.deadline(), edit.set_deadline(None)).0), Some(Some(1_007)));
    assert_eq!(map.expire(0, 20_000, 100, |_, _, edit| edit.remove()), 5);
    assert_eq!((map.len(), map.next_due(0)), (5, u64::MAX));
}

#[test]
fn an_update_can_remove() {
    let map = numbers(arena(2 << 20));
    map.insert_due(&1, Some(50), |_| Ok((1, 10))).unwrap();
    assert_eq!(map.update(&1, |value, edit| (edit.remove(), *value).1), Some(10));
    assert_eq!((map.len(), map.used_bytes(), map.expire(0, 100, 10, |_, _, _| unreachable!())), (0, 0, 0));
}

#[test]
fn compaction_gives_back_what_the_survivors_do_not_need() {
    let arena = arena(4 << 20);
    let map = texts(arena, 1);
    for i in 0..1000 {
        put(&map, &format!("{i}"), &[i as u8; 300]).unwrap();
    }
    assert_eq!(map.compact(0), Ok(0), "a dense shard is left alone");
    for i in (0..1000).filter(|i| i % 20 != 0) {
        map.remove(format!("{i}").as_str(), |_| ()).unwrap();
    }
    let before = map.held_bytes();
    let given_back = map.compact(0).unwrap();
    assert!(given_back > before / 2 && map.held_bytes() == before - given_back);
    for i in (0..1000).step_by(20) {
        assert_eq!(map.get(format!("{i}").as_str(), |value| **value == [i as u8; 300]), Some(true));
    }
    assert_eq!(
        (map.len(), map.lost(), map.repairs(), map.compact(0), map.compact(9)),
        (50, 0, 0, Ok(0), Ok(0))
    );
    let (by_tag, by_heap) = map.chunks_by_tag_and_by_heap();
    assert_eq!(by_tag, by_heap);
}

#[test]
#[cfg(debug_assertions)]
fn a_process_holds_one_lock_at_a_time() {
    let (one, other) = (numbers(arena(2 << 20)), numbers(arena(2 << 20)));
    one.insert(&1, |_| Ok((1, 1))).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| one.get(&1, |_| other.contains(&1)))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| one.get(&1, |_| one.contains(&1)))).is_err());
}

#[derive(Debug, Clone)]
enum Op {
    Put(u8, Vec<u8>, Option<u16>),
    New(u8),
    Extend(u8, Vec<u8>),
    Remove(u8),
    Deadline(u8, Option<u16>),
    Expire(u16),
    Die(u8),
    Compact,
    Clear,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let key = || 0_u8..24;
    let bytes = || prop::collection::vec(any::<u8>(), 0..400);
    let time = || prop::option::of(0_u16..20_000);
    let op = prop_oneof![
        8 => (key(), bytes(), time()).prop_map(|(key, bytes, time)| Op::Put(key, bytes, time)),
        4 => key().prop_map(Op::New),
        4 => (key(), bytes()).prop_map(|(key, bytes)| Op::Extend(key, bytes)),
        5 => key().prop_map(Op::Remove),
        4 => (key(), time()).prop_map(|(key, time)| Op::Deadline(key, time)),
        2 => (0_u16..20_000).prop_map(Op::Expire),
        2 => key().prop_map(Op::Die),
        1 => Just(Op::Compact),
        1 => Just(Op::Clear),
    ];
    prop::collection::vec(op, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn behaves_as_a_map_of_the_heap(ops in ops()) {
        let map = texts(arena(1 << 20), 1);
        let mut model: HashMap<u8, (Vec<u8>, Option<u64>)> = HashMap::new();
        for op in ops {
            apply(&map, &mut model, op)?;
            prop_assert_eq!(map.len(), model.len());
            let first = model.values().filter_map(|(_, deadline)| *deadline).min();
            prop_assert!(first.is_none_or(|first| map.next_due(0) <= first));
        }
        map.for_each(|key, value| {
            let number: u8 = key.parse().unwrap();
            assert_eq!(value.as_bytes(), &model[&number].0[..]);
        });
        for (key, (_, deadline)) in &model {
            prop_assert_eq!(map.deadline(key.to_string().as_str()), *deadline);
        }
        let (by_tag, by_heap) = map.chunks_by_tag_and_by_heap();
        prop_assert_eq!(by_tag, by_heap);
        map.for_each_in(0, |_, _| ());
        for key in model.keys() {
            map.remove(key.to_string().as_str(), |_| ());
        }
        prop_assert_eq!(map.used_bytes(), 0);
    }
}

fn apply(map: &Texts, model: &mut HashMap<u8, (Vec<u8>, Option<u64>)>, op: Op) -> Result<(), TestCaseError> {
    let record = |key: u8, bytes: &[u8], alloc| {
        let key = ShmString::try_from_str_in(&key.to_string(), alloc)?;
        Ok((key, ShmBytes::try_from_slice_in(bytes, alloc)?))
    };
    match op {
        Op::Put(key, bytes, time) => {
            let time = time.map(u64::from);
            let new = map.insert_due(key.to_string().as_str(), time, |alloc| record(key, &bytes, alloc));
            prop_assert_eq!(new, Ok(model.insert(key, (bytes, time)).is_none()));
        }
        Op::New(key) => {
            let new = map.insert_new(key.to_string().as_str(), |alloc| record(key, b"new", alloc));
            prop_assert_eq!(new, Ok(!model.contains_key(&key)));
            model.entry(key).or_insert_with(|| (b"new".to_vec(), None));
        }
        Op::Extend(key, bytes) => {
            let done = map.update(key.to_string().as_str(), |value, _| value.try_extend_from_slice(&bytes));
            prop_assert_eq!(
                done,
                model.get_mut(&key).map(|(value, _)| {
                    value.extend_from_slice(&bytes);
                    Ok(())
                })
            );
        }
        Op::Remove(key) => {
            let value = map.remove(key.to_string().as_str(), |value| value.to_vec());
            prop_assert_eq!(value, model.remove(&key).map(|(value, _)| value));
        }
        Op::Deadline(key, time) => {
            let time = time.map(u64::from);
            map.update(key.to_string().as_str(), |_, edit| edit.set_deadline(time));
            if let Some((_, deadline)) = model.get_mut(&key) {
                *deadline = time;
            }
        }
        Op::Expire(now) => {
            let due =
                model.values().filter(|(_, deadline)| deadline.is_some_and(|at| at <= now.into())).count();
            let fired = map.expire(0, now.into(), 1000, |key, _, edit| {
                if key.len() == 1 {
                    edit.remove();
                }
            });
            prop_assert_eq!(fired, due);
            model.retain(|key, (_, deadline)| {
                let fires = deadline.is_some_and(|at| at <= now.into());
                *deadline = deadline.filter(|_| !fires);
                !(fires && *key < 10)
            });
        }
        Op::Die(key) => {
            let died = catch_unwind(AssertUnwindSafe(|| {
                map.update(key.to_string().as_str(), |value, edit| {
                    edit.set_deadline(Some(1));
                    let _ = value.try_assign(b"half");
                    let _ = value.try_extend_from_slice(&[0; 100]);
                    std::panic::resume_unwind(Box::new("dies here"))
                })
            }));
            prop_assert_eq!(died.is_err(), model.contains_key(&key));
            map.contains("whoever comes next repairs");
        }
        Op::Compact => {
            prop_assert!(map.compact(0).is_ok());
        }
        Op::Clear => {
            map.clear();
            model.clear();
        }
    }
    Ok(())
}
