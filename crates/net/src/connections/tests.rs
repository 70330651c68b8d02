//! The table by itself: who is found by what, and whose rows are freed.

use tocsin_shm::ArenaOptions;

use super::*;

const OWNER: OwnerId = OwnerId { index: 3, generation: 1 };

fn table(most: usize) -> Connections {
    let arena = Arena::create(&ArenaOptions { bytes: 16 << 20, boot_bytes: 1 << 20 }).unwrap();
    Connections::create(arena, most).unwrap()
}

fn claim(port: u16) -> Claim {
    Claim {
        protocol: Protocol::Tls,
        remote: SocketAddr::from(([192, 0, 2, 1], port)),
        local: "[2001:db8::7]:5061".parse().unwrap(),
        listener: 5,
        marks: marks::OPEN,
        idle_until: 77,
        tls_identity: TlsIdentity::NONE,
    }
}

#[test]
fn a_connection_is_what_was_claimed() {
    let table = table(2);
    let id = table.claim(OWNER, &claim(9000)).unwrap();
    let view = table.view(id).unwrap();
    assert_eq!((view.protocol, view.listener, view.owner), (Protocol::Tls, 5, OWNER));
    assert_eq!((view.remote, view.local), (claim(9000).remote, claim(9000).local));
    table.own(id).unwrap().mark(marks::READY, marks::OPEN);
    assert_eq!(table.view(id).unwrap().marks, marks::READY);
    assert_eq!(table.all().count(), 1);
}

#[test]
fn an_id_never_means_another_connection() {
    let table = table(1);
    let first = table.claim(OWNER, &claim(1)).unwrap();
    assert_eq!(table.claim(OWNER, &claim(2)), None);
    table.release(first);
    let second = table.claim(OWNER, &claim(2)).unwrap();
    assert_ne!(first, second);
    assert!(table.view(first).is_none() && table.own(first).is_none());
    table.release(first);
    assert!(table.view(second).is_some());
}

#[test]
fn a_connection_is_found_by_its_far_end_and_its_alias() {
    let table = table(4);
    let id = table.claim(OWNER, &claim(9000)).unwrap();
    let found =
        |port| table.towards(&Hop { protocol: Protocol::Tls, to: claim(port).remote }, TlsIdentity::NONE);
    assert_eq!(table.lead(id), id);
    let later = table.claim(OWNER, &claim(9000)).unwrap();
    assert_eq!(table.lead(later), id);
    table.alias(id, 5099);
    table.alias(id, 5061);
    assert_eq!((found(9000), found(5061), found(5099)), (Some(id), Some(id), None));
    table.retire(id);
    assert_eq!((found(9000), found(5061)), (None, None));
    assert!(table.view(id).unwrap().is_ending());
    table.release(id);
    assert_eq!(table.lead(later), later);
}

#[test]
fn an_alias_takes_no_connection_from_the_one_that_really_leads_there() {
    let table = table(8);
    let open = |port| table.claim(OWNER, &claim(port)).unwrap();
    let found =
        |port| table.towards(&Hop { protocol: Protocol::Tls, to: claim(port).remote }, TlsIdentity::NONE);
    let victim = open(9000);
    table.lead(victim);
    let thief = open(9001);
    table.lead(thief);
    table.alias(thief, 9000);
    assert_eq!(found(9000), Some(victim));
    table.release(thief);
    assert_eq!(found(9000), Some(victim), "the end of the thief changes nothing");
    // An alias for the port from before its owner came no longer counts.
    let thief = open(9001);
    table.lead(thief);
    table.alias(thief, 9002);
    assert_eq!(found(9002), Some(thief));
    let victim = open(9002);
    assert_eq!((table.lead(victim), found(9002)), (victim, Some(victim)));
    table.release(thief);
    assert_eq!(found(9002), Some(victim));
}

#[test]
fn of_two_aliases_the_newest_counts() {
    let table = table(4);
    let [first, second] = [9000, 9001].map(|port| table.claim(OWNER, &claim(port)).unwrap());
    let found = || table.towards(&Hop { protocol: Protocol::Tls, to: claim(5061).remote }, TlsIdentity::NONE);
    for id in [first, second] {
        table.lead(id);
        table.alias(id, 5061);
        assert_eq!(found(), Some(id));
    }
}

#[test]
fn a_connection_is_used_only_in_the_guise_that_it_was_opened_in() {
    let table = table(8);
    let hop = Hop { protocol: Protocol::Tls, to: claim(5061).remote };
    let tls_identity = |domain, name| TlsIdentity { domain, name };
    let open = |tls_identity| table.claim(OWNER, &Claim { tls_identity, ..claim(5061) }).unwrap();
    let first = open(tls_identity(7, 1));
    assert_eq!(table.lead(first), first);
    assert_eq!(table.towards(&hop, tls_identity(7, 1)), Some(first));
    assert_eq!(
        table.towards(&hop, tls_identity(7, 0)),
        Some(first),
        "no name asked for: any connection will do"
    );
    for other in [tls_identity(7, 2), tls_identity(8, 1), tls_identity(8, 0), TlsIdentity::NONE] {
        assert_eq!(table.towards(&hop, other), None, "{other:?}");
    }
    let second = open(tls_identity(7, 2));
    assert_eq!(table.lead(second), second);
    let accepted = open(TlsIdentity::NONE);
    assert_eq!(table.lead(accepted), accepted);
    assert_eq!(table.towards(&hop, tls_identity(7, 2)), Some(second));
    assert_eq!(table.towards(&hop, tls_identity(7, 0)), Some(first));
    assert_eq!(
        table.towards(&hop, tls_identity(9, 9)),
        Some(accepted),
        "who opened it may be sent to over it"
    );
    for id in [first, second, accepted] {
        table.release(id);
    }
    for tls_identity in [tls_identity(7, 1), tls_identity(7, 2), tls_identity(7, 0), TlsIdentity::NONE] {
        assert_eq!(table.on(&ConnectionKey::new(&hop, tls_identity)), None);
    }
}

#[test]
fn only_one_takes_a_connection_over() {
    let table = table(1);
    let id = table.claim(OWNER, &claim(1)).unwrap();
    let next = OwnerId { index: 3, generation: 2 };
    assert!(table.move_to(id, OWNER, next));
    assert!(!table.move_to(id, OWNER, next));
    assert_eq!(table.view(id).unwrap().owner, next);
}

#[test]
fn a_row_that_was_claimed_and_not_filled_in_is_freed_whatever_its_owner() {
    let table = table(1);
    let dead = 4242;
    table.rows[0].owner.store(passage_word(dead), Relaxed);
    table.free_unfinished(|_| true);
    assert_eq!(table.claim(OWNER, &claim(1)), None);
    table.free_unfinished(|pid| pid != dead);
    let id = table.claim(OWNER, &claim(1)).unwrap();
    // What is in use is nobody's to free.
    table.free_unfinished(|_| false);
    assert_eq!(table.view(id).unwrap().owner, OWNER);
}

#[test]
fn a_row_that_has_an_id_and_no_keeper_yet_is_no_connection() {
    let table = table(1);
    let id = table.claim(OWNER, &claim(1)).unwrap();
    table.rows[0].owner.store(passage_word(4242), Relaxed);
    assert_eq!((table.view(id), table.all().count()), (None, 0));
    table.free_unfinished(|_| false);
    assert_eq!(table.row(id).map(|_| ()), None);
    assert!(table.claim(OWNER, &claim(2)).is_some());
}

#[test]
fn a_successor_serves_what_was_not_served_and_nothing_twice() {
    let table = table(1);
    let id = table.claim(OWNER, &claim(1)).unwrap();
    let own = table.own(id).unwrap();
    let left = |consumed| own.left_behind(|| consumed);
    assert_eq!(own.left_behind(|| panic!("nothing was served")), 0);
    own.took(100);
    assert_eq!(own.left_behind(|| panic!("all that was served was taken")), 0);
    // Served, and not taken.
    own.serves(40);
    assert_eq!((left(Some(100)), left(Some(101))), (40, 40));
    own.took(40);
    // Served and taken, before it was said; with the end of the stream, which may count as a byte.
    for consumed in [Some(152), Some(165)] {
        own.serves(12);
        assert_eq!((left(consumed), left(Some(0))), (0, 0));
    }
    // The kernel cannot say: all of it is served again.
    own.serves(12);
    assert_eq!((left(None), left(Some(0))), (0, 0));
    table.release(id);
    let next = table.claim(OWNER, &claim(2)).unwrap();
    assert_eq!(table.own(next).unwrap().left_behind(|| panic!("a new connection")), 0);
}
