use proptest::prelude::*;

use super::*;
use crate::ArenaOptions;

fn log(records: usize, bytes: usize) -> Log {
    let arena = Arena::create(&ArenaOptions { bytes: 2 << 20, boot_bytes: 64 << 10 }).unwrap();
    Log::create(arena, LogOptions { records, bytes, slots: 2 }).unwrap()
}

fn read(log: Log, cursor: &mut Cursor) -> (Read, Vec<u8>) {
    let mut payload = b"from before".to_vec();
    (log.read(cursor, &mut payload), payload)
}

#[test]
fn records_come_in_order() {
    let log = log(8, 1024);
    let mut cursor = Cursor::default();
    assert_eq!(read(log, &mut cursor), (Read::Empty, vec![]));
    assert_eq!(log.append(7, &[b"SIP/", b"", b"2.0 200 OK"]).unwrap(), Appended { number: 0, wake: false });
    assert_eq!(log.append(8, &[]).unwrap().number, 1);
    let (met, payload) = read(log, &mut cursor);
    assert!(matches!(met, Read::Record { number: 0, kind: 7, time, ordinal: 0 } if time > 0));
    assert_eq!(payload, b"SIP/2.0 200 OK");
    let (met, payload) = read(log, &mut cursor);
    assert!(matches!(met, Read::Record { number: 1, kind: 8, .. }) && payload.is_empty());
    assert_eq!((read(log, &mut cursor).0, log.head(), log.oldest()), (Read::Empty, 2, 0));
}

#[test]
fn what_is_too_large_is_refused_and_takes_no_number() {
    let log = log(8, 1024);
    assert_eq!(log.append(1, &[&[0; 200], &[0; 57]]), Err(TooLarge { bytes: 257, most: 256 }));
    assert_eq!(log.append(1, &[&[0; 200], &[0; 56]]).unwrap().number, 0);
}

#[test]
fn a_late_reader_is_told_how_many_it_missed() {
    let log = log(8, 4096);
    for i in 0..20_u8 {
        log.append(i.into(), &[&[i]]).unwrap();
    }
    let mut cursor = Cursor::default();
    assert_eq!(read(log, &mut cursor).0, Read::Lost { count: 12 });
    for i in 12..20_u8 {
        assert_eq!(read(log, &mut cursor).1, [i]);
    }
    assert_eq!(read(log, &mut cursor).0, Read::Empty);
}

#[test]
fn large_records_push_older_ones_out() {
    let log = log(64, 1024);
    for i in 0..10_u8 {
        log.append(0, &[&[i; 256]]).unwrap();
    }
    assert_eq!(log.oldest(), 6);
    let mut cursor = Cursor::at(1);
    assert_eq!(read(log, &mut cursor).0, Read::Lost { count: 5 });
    assert_eq!(read(log, &mut cursor).1, [6; 256]);
}

#[test]
fn a_writer_that_is_at_it_is_waited_for_and_a_dead_one_is_not() {
    let log = log(8, 1024);
    log.append(1, &[b"before"]).unwrap();
    // Slot 1 took a number and was interrupted.
    log.rings.intents[1].0.store(1, Relaxed);
    log.rings.head.fetch_add(1, SeqCst);
    log.append(3, &[b"after"]).unwrap();
    let mut cursor = Cursor::at(1);
    assert_eq!(read(log, &mut cursor).0, Read::Pending);
    log.sweep(Dead { pid: 99, slot: 0 });
    assert_eq!(read(log, &mut cursor).0, Read::Pending);
    log.sweep(Dead { pid: 99, slot: 1 });
    assert_eq!(read(log, &mut cursor).0, Read::Lost { count: 1 });
    assert_eq!(read(log, &mut cursor).1, b"after");
}

#[test]
fn a_record_overwritten_in_part_is_lost() {
    let log = log(8, 1024);
    log.append(1, &[b"one payload of some words"]).unwrap();
    log.append(2, &[b"another"]).unwrap();
    log.rings.bytes.write(8, &[b"torn"], &mut Checksum(0));
    let mut cursor = Cursor::default();
    assert_eq!(read(log, &mut cursor), (Read::Lost { count: 1 }, vec![]));
    assert_eq!(read(log, &mut cursor).1, b"another");
}

#[test]
fn one_writer_wakes_a_sleeping_reader() {
    let log = log(8, 1024);
    assert!(!log.append(1, &[]).unwrap().wake);
    log.announce_sleep();
    assert!(log.append(1, &[]).unwrap().wake);
    assert!(!log.append(1, &[]).unwrap().wake);
}

#[test]
fn counted_records_know_how_many_came_before() {
    let log = log(8, 1024);
    let (one, other) = (AtomicU64::new(0), AtomicU64::new(40));
    for counter in [&one, &other, &one] {
        log.append_counted(1, counter, &[b"x"]).unwrap();
    }
    assert!(log.append_counted(1, &one, &[&[0; 257]]).is_err());
    assert_eq!((one.load(Relaxed), other.load(Relaxed)), (2, 41));
    let mut cursor = Cursor::default();
    let mut ordinal = || match read(log, &mut cursor).0 {
        Read::Record { ordinal, .. } => ordinal,
        met => panic!("{met:?}"),
    };
    assert_eq!([ordinal(), ordinal(), ordinal()], [0, 40, 1]);
    let mut seen = Vec::new();
    log.survey(1, |kind, _, ordinal| seen.push((kind, ordinal)));
    assert_eq!(seen, [(1, 40), (1, 1)]);
    assert!(log.is_quiet());
    log.rings.intents[1].0.store(3, Relaxed);
    assert!(!log.is_quiet(), "a writer is in the middle of one");
}

proptest! {
    #[test]
    fn every_number_is_a_record_or_lost(
        writes in prop::collection::vec((prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..5), 0_usize..4), 1..200),
    ) {
        let log = log(16, 1024);
        let (mut cursor, mut written) = (Cursor::default(), Vec::new());
        let mut seen = 0;
        for (parts, reads) in writes {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let number = log.append(parts.len() as u32, &parts).unwrap().number;
            prop_assert_eq!(number, written.len() as u64);
            written.push(parts.concat());
            for _ in 0..reads {
                let before = cursor.number();
                match read(log, &mut cursor) {
                    (Read::Record { number, .. }, payload) => {
                        prop_assert_eq!(number, before);
                        prop_assert_eq!(&payload, &written[number as usize]);
                        seen += 1;
                    }
                    (Read::Lost { count }, _) => seen += count,
                    (met, _) => prop_assert_eq!(met, Read::Empty),
                }
            }
            prop_assert_eq!(cursor.number(), seen);
        }
    }
}
