//! Lists as scripts and operators use them.

use std::net::SocketAddr;

use tocsin_net::Protocol;
use tocsin_shm::ArenaOptions;

use super::*;

fn arena() -> &'static Arena {
    Arena::create(&ArenaOptions { bytes: 16 << 20, boot_bytes: 2 << 20 }).unwrap()
}

fn lists(lines: &[&str], dns: bool) -> Blocklists {
    let definitions = lines.iter().map(|line| Definition::parse(line).unwrap()).collect();
    Blocklists::create(arena(), definitions, dns).unwrap()
}

fn hop(protocol: Protocol, to: &str) -> Hop {
    Hop { protocol, to: to.parse::<SocketAddr>().unwrap() }
}

fn udp(to: &str) -> Hop {
    hop(Protocol::Udp, to)
}

fn rule(text: &str) -> Rule {
    Rule::parse(text).unwrap()
}

#[test]
fn a_list_blocks_only_where_it_is_used() {
    let lists = lists(&["gw:{(tcp, 192.0.2.1, 5060)}", "net:{(any, 192.0.2.0/24, 0, \"INVITE*\")}"], false);
    let (gw, net) = (lists.bit(b"gw").unwrap(), lists.bit(b"net").unwrap());
    let tcp = hop(Protocol::Tcp, "192.0.2.1:5060");
    assert!(lists.is_blocked(gw, &tcp, b"INVITE") && lists.is_blocked(gw | net, &tcp, b"BYE"));
    assert!(!lists.is_blocked(0, &tcp, b"INVITE") && !lists.is_blocked(gw, &udp("192.0.2.1:5060"), b""));
    assert!(
        lists.is_blocked(net, &udp("192.0.2.9:1"), b"INVITE sip:") && !lists.is_blocked(net, &tcp, b"BYE")
    );
    assert_eq!((lists.bit(b"other"), lists.defaults()), (None, 0));
    assert_eq!(lists.sweepers().count(), 0, "no shared memory for lists that cannot change");
}

#[test]
fn rules_come_and_go() {
    let lists = lists(&["dyn/expire", "own/default", "fix:10.0.0.1"], false);
    assert_eq!(lists.defaults(), lists.bit(b"own").unwrap());
    let used = lists.bit(b"dyn").unwrap();
    for text in ["udp,192.0.2.1,5060", "192.0.2.2", "!10.0.0.0/8", "192.0.2.3,0,\"INVITE*\""] {
        let rule = rule(text);
        assert_eq!(lists.add(b"dyn", &rule, None, 0), Ok(true));
        assert_eq!(lists.add(b"dyn", &rule, None, 0), Ok(false));
        assert_eq!(lists.show(Some(b"dyn")).unwrap()[0].rules, [(rule.clone(), None)]);
        assert_eq!(lists.remove(b"dyn", &rule), Ok(true));
        assert_eq!(lists.remove(b"dyn", &rule), Ok(false));
    }
    lists.add(b"dyn", &rule("udp,192.0.2.1,5060"), None, 0).unwrap();
    lists.add(b"own", &rule("192.0.3.0/24"), None, 0).unwrap();
    assert!(lists.is_blocked(used, &udp("192.0.2.1:5060"), b""));
    assert!(
        !lists.is_blocked(used, &udp("192.0.2.1:5061"), b"")
            && !lists.is_blocked(used, &udp("192.0.3.1:1"), b"")
    );
    assert!(lists.is_blocked(lists.defaults(), &udp("192.0.3.1:1"), b""));
    assert_eq!(lists.add(b"fix", &rule("1.1.1.1"), None, 0), Err(BlocklistError::ReadOnly("fix".into())));
    assert_eq!(lists.add(b"own", &rule("1.1.1.1"), Some(1), 0), Err(BlocklistError::NoExpiry("own".into())));
    assert_eq!(lists.remove(b"none", &rule("1.1.1.1")), Err(BlocklistError::Unknown("none".into())));
}

#[test]
fn a_rule_ends_when_its_time_is_over() {
    let lists = lists(&["dyn/expire"], false);
    let used = lists.bit(b"dyn").unwrap();
    let expire = |now| {
        let learned = lists.learned.unwrap();
        (0..learned.shards()).filter(|shard| learned.next_due(*shard) <= now).for_each(|shard| {
            learned.expire(shard, now, EXPIRE_BATCH);
        });
    };
    lists.add(b"dyn", &rule("192.0.2.1"), Some(10), 1000).unwrap();
    lists.add(b"dyn", &rule("192.0.3.0/24"), Some(20), 1000).unwrap();
    expire(10_999);
    assert!(
        lists.is_blocked(used, &udp("192.0.2.1:1"), b"") && lists.is_blocked(used, &udp("192.0.3.1:1"), b"")
    );
    expire(11_000);
    assert!(
        !lists.is_blocked(used, &udp("192.0.2.1:1"), b"") && lists.is_blocked(used, &udp("192.0.3.1:1"), b"")
    );
    // The second time it is added, it gets a new end.
    lists.add(b"dyn", &rule("192.0.3.0/24"), Some(60), 11_000).unwrap();
    expire(40_000);
    assert!(lists.is_blocked(used, &udp("192.0.3.1:1"), b""));
    expire(71_000);
    assert!(lists.show(None).unwrap()[0].rules.is_empty());
}

#[test]
fn a_destination_that_did_not_answer_is_left_alone_for_four_minutes() {
    let lists = lists(&[], true);
    let (used, dead) = (lists.defaults(), udp("192.0.2.1:5060"));
    assert_eq!(lists.bit(b"dns"), Some(used));
    assert!(!lists.is_blocked(used, &dead, b""));
    lists.remember_failure(&dead, 5000);
    assert!(lists.is_blocked(used, &dead, b""));
    assert!(!lists.is_blocked(used, &hop(Protocol::Tcp, "192.0.2.1:5060"), b""));
    assert_eq!(lists.show(None).unwrap()[0].rules[0].1, Some(5000 + 240_000));
}

#[test]
fn nothing_is_remembered_where_that_is_switched_off() {
    let lists = lists(&["dyn/expire,default"], false);
    lists.remember_failure(&udp("192.0.2.1:5060"), 0);
    assert!(lists.show(None).unwrap()[0].rules.is_empty() && lists.bit(b"dns").is_none());
}

#[test]
fn an_operator_asks_which_list_it_was() {
    let lists = lists(&["one:10.0.0.0/8", "two/expire:{(udp, 10.0.0.1, 5060)}", "three:10.0.0.1"], false);
    let probe = |protocol, port| Probe { protocol, ip: [10, 0, 0, 1].into(), port, message: b"" };
    assert_eq!(lists.matching(&probe(Some(Protocol::Udp), 5060)), ["one", "two", "three"]);
    assert_eq!(lists.matching(&probe(None, 0)), ["one", "three"]);
    let found = lists.first_match(b"two", &probe(Some(Protocol::Udp), 5060)).unwrap().unwrap();
    assert_eq!(found.to_string(), "(udp, 10.0.0.1, 5060, \"\")");
    assert_eq!(lists.first_match(b"two", &probe(None, 0)), Ok(None));
}

#[test]
fn lists_and_rules_are_bounded() {
    let line = |n: usize| Definition::parse(&format!("l{n}:10.0.0.1")).unwrap();
    let many = |n: usize| Blocklists::create(arena(), (0..n).map(line).collect(), false).err();
    assert_eq!(many(MAX_LISTS), None);
    assert_eq!(many(MAX_LISTS + 1), Some(BlocklistError::Lists));
    let twice = Blocklists::create(arena(), vec![line(1), line(1)], false).err();
    assert_eq!(twice, Some(BlocklistError::Twice("l1".into())));
    let lists = lists(&["dyn/expire"], false);
    let network = |n: usize| rule(&format!("10.{}.{}.0/24", n / 256, n % 256));
    for n in 0..WIDE_RULES {
        lists.add(b"dyn", &network(n), None, 0).unwrap();
    }
    assert_eq!(lists.add(b"dyn", &network(WIDE_RULES), None, 0), Err(BlocklistError::TooMany(WIDE_RULES)));
    assert_eq!(lists.add(b"dyn", &network(0), None, 0), Ok(false));
}
