//! Counters and gauges, in a binary of its own: the test takes on the identity of several processes.

use tocsin_shm::{Arena, ArenaOptions, Counters, Dead, Gauges, Sweep, identity};

#[test]
fn each_process_has_its_row() {
    let arena = Arena::create(&ArenaOptions { bytes: 2 << 20, boot_bytes: 64 << 10 }).unwrap();
    let counters = Counters::create(arena, 3, 10).unwrap();
    let gauges = Gauges::create(arena, 3, 2).unwrap();
    let pid = identity::pid();
    for slot in 0..3 {
        identity::set(pid, slot);
        counters.add(4, 10 + u64::from(slot));
        gauges.add(1, i64::from(slot) - 5);
    }
    identity::set(pid, 9);
    counters.add(4, 1000);
    identity::set(pid, 0);
    assert_eq!((counters.sum(4), counters.sum(3), counters.sum(99)), (33, 0, 0));
    counters.reset(4);
    counters.add(4, 2);
    counters.add(99, 2);
    counters.reset(99);
    assert_eq!(counters.sum(4), 2);
    assert_eq!((gauges.sum(1), gauges.sum(0), gauges.sum(2)), (-12, 0, 0));
    gauges.sweep(Dead { pid: 1, slot: 1 });
    assert_eq!(gauges.sum(1), -8);
    gauges.set(1, 7);
    assert_eq!(gauges.sum(1), 4);
}
