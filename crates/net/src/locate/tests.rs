//! RFC 3263 section 4, by its parts: which look-ups a URI costs, and which hops come of them.

use std::collections::HashMap;
use std::net::IpAddr;

use proptest::prelude::*;

use super::naptr::{Naptr, Then, service};
use super::search::{Answer, Record, Search};
use super::srv::Srv;
use super::*;
use crate::Protocol::{Tcp, Udp, Ws, Wss};

const ALL: [Protocol; 5] = Protocol::ALL;

/// What the name servers know.
#[derive(Default)]
struct Zone {
    naptr: HashMap<&'static str, Vec<Naptr>>,
    srv: HashMap<&'static str, Vec<Srv>>,
    addresses: HashMap<&'static str, Vec<IpAddr>>,
}

impl Zone {
    fn naptr(mut self, name: &'static str, order: u16, named: &str, flags: &str, replacement: &str) -> Self {
        self.naptr.entry(name).or_default().push(Naptr {
            order,
            preference: 0,
            then: Then::parse(flags.as_bytes()),
            protocol: service(named.as_bytes()),
            replacement: replacement.to_owned(),
        });
        self
    }

    fn srv(mut self, name: &'static str, priority: u16, port: u16, target: &str) -> Self {
        let srv = Srv { priority, weight: 0, port, target: target.to_owned() };
        self.srv.entry(name).or_default().push(srv);
        self
    }

    fn address(mut self, name: &'static str, address: &str) -> Self {
        self.addresses.entry(name).or_default().push(address.parse().unwrap());
        self
    }

    fn answer(&self, name: &str, record: Record) -> Answer {
        let addresses = |v6: bool| {
            let all = self.addresses.get(name.trim_end_matches('.')).into_iter().flatten();
            Answer::Addresses(all.filter(|ip| ip.is_ipv6() == v6).copied().collect())
        };
        match record {
            Record::Naptr => Answer::Naptr(self.naptr.get(name).cloned().unwrap_or_default()),
            Record::Srv => Answer::Srv(self.srv.get(name.trim_end_matches('.')).cloned().unwrap_or_default()),
            Record::A => addresses(false),
            Record::Aaaa => addresses(true),
        }
    }

    /// The look-ups that `question` costs, and the hops.
    fn locate(&self, question: Question<'_>, options: Options) -> (Vec<String>, Vec<String>) {
        let mut search = Search::begin(&question, &options, 7).unwrap();
        let mut asked = vec![];
        while let Some(lookup) = search.next() {
            asked.push(format!("{:?} {}", lookup.record, lookup.name));
            let answer = self.answer(lookup.name, lookup.record);
            search.answer(answer);
        }
        (asked, search.into_hops().iter().map(Hop::to_string).collect())
    }
}

fn host(host: &str) -> Question<'_> {
    Question { host, port: None, transport: None, secure: false }
}

fn with(usable: &[Protocol]) -> Options {
    Options { usable: usable.iter().copied().collect(), ..Options::default() }
}

#[test]
fn section_4_1_an_address_is_not_looked_up() {
    let hop = |question: Question<'_>| {
        question.direct(with(&ALL).usable).unwrap().map(|hop| hop.to_string()).unwrap_or_default()
    };
    assert_eq!(hop(host("192.0.2.1")), "udp:192.0.2.1:5060");
    assert_eq!(hop(Question { secure: true, ..host("192.0.2.1") }), "tls:192.0.2.1:5061");
    assert_eq!(hop(Question { transport: Some(Tcp), ..host("[2001:db8::1]") }), "tcp:[2001:db8::1]:5060");
    assert_eq!(hop(Question { transport: Some(Wss), port: Some(8443), ..host("::1") }), "wss:[::1]:8443");
    assert_eq!(
        hop(Question { transport: Some(Tcp), secure: true, ..host("192.0.2.1") }),
        "tls:192.0.2.1:5061"
    );
    assert_eq!(hop(Question { transport: Some(Ws), secure: true, ..host("192.0.2.1") }), "wss:192.0.2.1:443");
    assert_eq!(hop(host("example.com")), "");
    let (asked, hops) = Zone::default().locate(host("192.0.2.1"), with(&[Udp]));
    assert_eq!((asked.len(), hops), (0, vec!["udp:192.0.2.1:5060".to_owned()]));
}

#[test]
fn a_destination_without_a_port_gets_the_one_that_was_chosen() {
    let mut options = with(&ALL);
    options.usable = options.usable.with_port(Protocol::Tls, 5062).with_port(Udp, 5080);
    let zone = Zone::default().address("h.example", "192.0.2.1");
    let asked = |question| zone.locate(question, options).1;
    let tls = Question { transport: Some(Protocol::Tls), ..host("192.0.2.1") };
    assert_eq!(asked(tls), ["tls:192.0.2.1:5062"]);
    assert_eq!(asked(Question { host: "h.example", ..tls }), ["tls:192.0.2.1:5062"]);
    assert_eq!(asked(Question { port: Some(5061), ..tls }), ["tls:192.0.2.1:5061"]);
    assert_eq!(asked(host("h.example")), ["udp:192.0.2.1:5080"]);
}

#[test]
fn what_the_server_does_not_speak_is_refused_before_a_look_up() {
    let begin = |question: Question<'_>, usable: &[Protocol]| {
        Search::begin(&question, &with(usable), 0).err().map(|cause| cause.to_string()).unwrap_or_default()
    };
    let tcp = Question { transport: Some(Tcp), ..host("example.com") };
    assert!(begin(tcp, &[Udp]).contains("speaks tcp"));
    assert!(begin(Question { host: "192.0.2.1", ..tcp }, &[Udp]).contains("speaks tcp"));
    assert!(
        begin(Question { secure: true, ..host("example.com") }, &[Udp, Tcp]).is_empty(),
        "NAPTR may say wss"
    );
    let without = Options { naptr: false, ..with(&[Udp, Tcp]) };
    let secure = Question { secure: true, ..host("example.com") };
    assert_eq!(Search::begin(&secure, &without, 0).err(), Some(NoHop::Protocol("tls")));
    let udp = Question { transport: Some(Udp), secure: true, ..host("example.com") };
    assert!(begin(udp, &ALL).contains("sips: URI"));
    // No transport is written, and there is no UDP socket: TCP it is.
    assert_eq!(host("192.0.2.1").direct(with(&[Tcp]).usable).unwrap().unwrap().protocol, Tcp);
}

#[test]
fn section_4_2_a_port_means_addresses_only() {
    let zone = Zone::default().address("example.com", "192.0.2.1").address("example.com", "192.0.2.2");
    let (asked, hops) = zone.locate(Question { port: Some(5080), ..host("example.com") }, with(&ALL));
    assert_eq!(asked, ["A example.com"]);
    assert_eq!(hops, ["udp:192.0.2.1:5080", "udp:192.0.2.2:5080"]);
}

#[test]
fn section_4_2_a_transport_without_a_port_means_srv() {
    let zone = Zone::default()
        .srv("_sip._tcp.example.com", 20, 5070, "b.example.com.")
        .srv("_sip._tcp.example.com", 10, 5071, "a.example.com.")
        .address("a.example.com", "192.0.2.1")
        .address("b.example.com", "192.0.2.2");
    let tcp = Question { transport: Some(Tcp), ..host("example.com") };
    let (asked, hops) = zone.locate(tcp, with(&ALL));
    assert_eq!(asked, ["Srv _sip._tcp.example.com", "A a.example.com.", "A b.example.com."]);
    assert_eq!(hops, ["tcp:192.0.2.1:5071", "tcp:192.0.2.2:5070"]);
    let (asked, _) = zone.locate(Question { secure: true, ..tcp }, with(&ALL));
    assert_eq!(asked, ["Srv _sips._tcp.example.com", "A example.com"]);
    let (asked, _) = zone.locate(Question { transport: Some(Wss), ..tcp }, with(&ALL));
    assert_eq!(asked, ["A example.com"]);
}

#[test]
fn section_4_1_naptr_says_which_service() {
    let zone = Zone::default()
        .naptr("example.com", 20, "SIP+D2U", "s", "_sip._udp.example.com.")
        .naptr("example.com", 10, "SIP+D2T", "s", "_sip._tcp.lb.example.com.")
        .srv("_sip._tcp.lb.example.com", 1, 5070, "a.example.com.")
        .address("a.example.com", "192.0.2.1");
    let (asked, hops) = zone.locate(host("example.com"), with(&[Udp, Tcp]));
    assert_eq!(asked, ["Naptr example.com", "Srv _sip._tcp.lb.example.com.", "A a.example.com."]);
    assert_eq!(hops, ["tcp:192.0.2.1:5070"]);
    // A server without TCP takes the domain's second choice, which leads nowhere but to the domain itself.
    let (asked, _) = zone.locate(host("example.com"), with(&[Udp]));
    assert_eq!(asked, ["Naptr example.com", "Srv _sip._udp.example.com.", "A example.com"]);
}

#[test]
fn section_4_1_a_sips_uri_takes_only_secure_services() {
    let zone = Zone::default()
        .naptr("example.com", 10, "SIP+D2T", "s", "_sip._tcp.example.com.")
        .naptr("example.com", 20, "SIPS+D2T", "s", "_sips._tcp.example.com.")
        .srv("_sips._tcp.example.com", 1, 5061, "a.example.com.")
        .address("a.example.com", "192.0.2.1");
    let (_, hops) = zone.locate(Question { secure: true, ..host("example.com") }, with(&ALL));
    assert_eq!(hops, ["tls:192.0.2.1:5061"]);
}

#[test]
fn rfc_7118_naptr_leads_to_a_websocket() {
    let zone = Zone::default()
        .naptr("example.com", 10, "SIPS+D2W", "a", "ws.example.com.")
        .address("ws.example.com", "192.0.2.9");
    let (asked, hops) = zone.locate(Question { secure: true, ..host("example.com") }, with(&[Wss]));
    assert_eq!(asked, ["Naptr example.com", "A ws.example.com."]);
    assert_eq!(hops, ["wss:192.0.2.9:443"]);
}

#[test]
fn section_4_1_without_naptr_each_service_is_asked_for() {
    let zone = Zone::default()
        .srv("_sips._tcp.example.com", 1, 5061, "a.example.com.")
        .address("a.example.com", "192.0.2.1");
    let (asked, hops) = zone.locate(host("example.com"), with(&ALL));
    let services = ["_sip._udp", "_sip._tcp", "_sips._tcp"].map(|s| format!("Srv {s}.example.com"));
    assert_eq!(asked[0], "Naptr example.com");
    assert_eq!(asked[1..4], services);
    assert_eq!(hops, ["tls:192.0.2.1:5061"]);
    let (asked, _) = zone.locate(host("example.com"), Options { naptr: false, ..with(&[Udp]) });
    assert_eq!(asked, ["Srv _sip._udp.example.com", "A example.com"]);
}

#[test]
fn the_first_service_with_an_address_is_the_one() {
    let zone = Zone::default()
        .srv("_sip._udp.example.com", 1, 5060, "gone.example.com.")
        .srv("_sip._tcp.example.com", 1, 5060, "a.example.com.")
        .srv("_sips._tcp.example.com", 1, 5061, "a.example.com.")
        .address("a.example.com", "192.0.2.1");
    let (asked, hops) = zone.locate(host("example.com"), with(&ALL));
    assert_eq!(hops, ["tcp:192.0.2.1:5060"]);
    assert!(!asked.contains(&"Srv _sips._tcp.example.com".to_owned()), "{asked:?}");
}

#[test]
fn a_domain_with_services_is_not_asked_for_its_own_address() {
    let zone = Zone::default()
        .srv("_sip._udp.example.com", 1, 5060, "gone.example.com.")
        .address("example.com", "192.0.2.1");
    let (asked, hops) = zone.locate(host("example.com"), Options { naptr: false, ..with(&[Udp]) });
    assert_eq!(asked, ["Srv _sip._udp.example.com", "A gone.example.com."]);
    assert_eq!(hops, [""; 0]);
}

#[test]
fn rfc_2782_a_root_target_says_no() {
    let zone = Zone::default().srv("_sip._udp.example.com", 0, 0, ".").address("example.com", "192.0.2.1");
    let options = Options { naptr: false, ..with(&[Udp]) };
    let mut search = Search::begin(&host("example.com"), &options, 0).unwrap();
    while let Some(lookup) = search.next() {
        let answer = zone.answer(lookup.name, lookup.record);
        search.answer(answer);
    }
    assert!(search.is_refused());
    assert!(search.into_hops().is_empty());
}

#[test]
fn ipv6_is_asked_for_when_there_is_no_ipv4() {
    let zone = Zone::default()
        .address("both.example.com", "192.0.2.1")
        .address("both.example.com", "2001:db8::1")
        .address("six.example.com", "2001:db8::6");
    let port = |name| Question { port: Some(5060), ..host(name) };
    let six = Options { ipv6: true, ..with(&[Udp]) };
    assert_eq!(zone.locate(port("six.example.com"), with(&[Udp])).0, ["A six.example.com"]);
    let (asked, hops) = zone.locate(port("six.example.com"), six);
    assert_eq!(asked, ["A six.example.com", "Aaaa six.example.com"]);
    assert_eq!(hops, ["udp:[2001:db8::6]:5060"]);
    assert_eq!(zone.locate(port("both.example.com"), six).0, ["A both.example.com"]);
    let only = Options { ipv4: false, ..six };
    assert_eq!(zone.locate(port("both.example.com"), only).0, ["Aaaa both.example.com"]);
    assert_eq!(zone.locate(port("nowhere.example.com"), only).0, ["Aaaa nowhere.example.com"]);
}

#[test]
fn a_search_ends_with_as_many_hops_as_are_wanted() {
    let zone = Zone::default()
        .srv("_sip._udp.example.com", 1, 5060, "a.example.com.")
        .srv("_sip._udp.example.com", 2, 5060, "b.example.com.")
        .address("a.example.com", "192.0.2.1")
        .address("a.example.com", "192.0.2.2")
        .address("b.example.com", "192.0.2.3");
    let udp = Question { transport: Some(Udp), ..host("example.com") };
    let (asked, hops) = zone.locate(udp, Options { hops: 1, ..with(&[Udp]) });
    assert_eq!(asked, ["Srv _sip._udp.example.com", "A a.example.com."]);
    assert_eq!(hops, ["udp:192.0.2.1:5060"]);
}

#[test]
fn two_targets_on_one_machine_are_one_hop() {
    let zone = Zone::default()
        .srv("_sip._udp.example.com", 1, 5060, "a.example.com.")
        .srv("_sip._udp.example.com", 2, 5060, "b.example.com.")
        .address("a.example.com", "192.0.2.1")
        .address("b.example.com", "192.0.2.1");
    let (_, hops) = zone.locate(Question { transport: Some(Udp), ..host("example.com") }, with(&[Udp]));
    assert_eq!(hops, ["udp:192.0.2.1:5060"]);
}

#[test]
fn a_heavy_target_is_first_most_of_the_time() {
    let srv = |weight, target: &str| Srv { priority: 1, weight, port: 5060, target: target.to_owned() };
    let mut heavy = 0;
    for random in 0..1000 {
        let udp = Question { transport: Some(Udp), ..host("example.com") };
        let mut search = Search::begin(&udp, &with(&[Udp]), random).unwrap();
        assert!(search.next().is_some());
        search.answer(Answer::Srv(vec![srv(10, "light."), srv(90, "heavy.")]));
        heavy += u32::from(search.next().unwrap().name == "heavy.");
    }
    assert!((850..950).contains(&heavy), "{heavy} of 1000 with nine tenths of the weight");
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let name = prop::sample::select(vec![".", "a.", "b.", "example.com."]);
    let naptr =
        (any::<u16>(), 0..4usize, 0..6usize, name.clone()).prop_map(|(order, flag, named, to)| Naptr {
            order,
            preference: order,
            then: Then::parse([&b"s"[..], b"a", b"u", b""][flag]),
            protocol: ALL.get(named).copied(),
            replacement: to.to_owned(),
        });
    let srv = (any::<u16>(), any::<u16>(), any::<u16>(), name).prop_map(|(priority, weight, port, to)| Srv {
        priority,
        weight,
        port,
        target: to.to_owned(),
    });
    prop_oneof![
        prop::collection::vec(naptr, 0..50).prop_map(Answer::Naptr),
        prop::collection::vec(srv, 0..50).prop_map(Answer::Srv),
        prop::collection::vec(any::<IpAddr>(), 0..50)
            .prop_map(|all| Answer::Addresses(all.into_iter().collect())),
    ]
}

proptest! {
    /// Whatever a hostile name server says, and in whatever order.
    #[test]
    fn a_search_is_bounded(
        answers in prop::collection::vec(any_answer(), MAX_LOOKUPS),
        (secure, naptr, ipv4, ipv6) in any::<(bool, bool, bool, bool)>(),
        random in any::<u64>(),
    ) {
        let options = Options { naptr, ipv4, ipv6, ..with(&ALL) };
        let question = Question { secure, ..host("example.com") };
        let mut search = Search::begin(&question, &options, random).unwrap();
        let mut answers = answers.into_iter();
        while search.next().is_some() {
            // As many as there are look-ups: one more would fail here.
            search.answer(answers.next().unwrap());
        }
        let hops = search.into_hops();
        prop_assert!(hops.len() <= MAX_HOPS);
        prop_assert!(hops.iter().all(|hop| !secure || hop.protocol.is_secure()));
    }
}
