//! What the derives accept, what they make, and what they refuse.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use tocsin_shm::{
    Arena, ArenaOptions, Map, MapOptions, ShmBox, ShmBytes, ShmClone, ShmSafe, ShmString, ShmVec,
};

#[derive(ShmSafe, ShmClone, PartialEq, Debug)]
struct Unit;

#[derive(ShmSafe, ShmClone, PartialEq, Debug)]
struct Pair(u32, Option<ShmString>);

#[derive(ShmSafe, ShmClone, PartialEq, Debug)]
enum Route {
    Drop,
    Relay(SocketAddr, [Pair; 2]),
    Fork { branches: ShmVec<ShmBytes>, next: Option<ShmBox<Unit>> },
}

#[derive(ShmSafe, ShmClone, PartialEq, Debug)]
struct Record<T, const N: usize>
where
    T: PartialEq,
{
    id: [u8; N],
    body: ShmVec<T>,
}

#[derive(ShmSafe, ShmClone, PartialEq, Debug)]
#[expect(dead_code, reason = "it has no value; that it compiles is the test")]
enum Never {}

fn arena() -> &'static Arena {
    Arena::create(&ArenaOptions { bytes: 1 << 20, boot_bytes: 64 << 10 }).unwrap()
}

#[test]
fn copies_are_equal_and_own_their_memory() {
    let map: Map<u64, Record<Route, 4>> =
        Map::create(arena(), &MapOptions { name: "routes", shards: 1, buckets: 4 }).unwrap();
    let of = |text: &'static str, alloc| ShmString::try_from_str_in(text, alloc);
    map.insert(&1, |alloc| {
        let pairs = [Pair(1, Some(of("one", alloc)?)), Pair(2, None)];
        let branches = ShmVec::try_from_iter_in([ShmBytes::try_from_slice_in(b"z9hG4bK", alloc)?], alloc)?;
        let mut body = ShmVec::new_in(alloc);
        body.try_push(Route::Drop)?;
        body.try_push(Route::Relay("192.0.2.1:5060".parse().unwrap(), pairs))?;
        body.try_push(Route::Fork { branches, next: Some(ShmBox::try_new_in(Unit, alloc)?) })?;
        Ok((1, Record { id: *b"abcd", body }))
    })
    .unwrap();
    let copy = || {
        map.update(&1, |record, edit| {
            let copy = record.try_clone_in(edit.alloc()).unwrap();
            assert_eq!(*record, copy);
            *record = copy;
        })
        .unwrap();
        map.used_bytes()
    };
    assert_eq!(copy(), copy(), "what is replaced is freed");
    map.remove(&1, |record| assert_eq!(record.body.len(), 3)).unwrap();
    assert_eq!(map.used_bytes(), 0);
}

#[test]
fn a_copy_for_which_there_is_no_room_frees_its_parts() {
    let map: Map<u64, [Option<ShmBytes>; 3]> =
        Map::create(arena(), &MapOptions { name: "bytes", shards: 1, buckets: 1 }).unwrap();
    map.insert(&1, |alloc| {
        let bytes = || ShmBytes::try_from_slice_in(&[1; 300_000], alloc).map(Some);
        Ok((1, [bytes()?, bytes()?, None]))
    })
    .unwrap();
    let used = map.used_bytes();
    map.update(&1, |value, edit| {
        value[2] = ShmBytes::try_from_slice_in(&[2; 100], edit.alloc()).ok();
        assert!(value.try_clone_in(edit.alloc()).is_err());
    })
    .unwrap();
    assert_eq!(map.used_bytes(), used + 100);
}

#[test]
fn what_belongs_to_one_process_is_refused() {
    trybuild::TestCases::new().compile_fail("tests/compile-fail/*.rs");
}
