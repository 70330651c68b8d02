//! RFC 3263 over a real name server: what is asked on the wire, and what is reported.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod responder;

use std::future::Future;
use std::time::{Duration, Instant};

use responder::{A, AAAA, NAPTR, SRV, Zone};
use tocsin_net::locate::{NoHop, Options, Question};
use tocsin_net::{Protocol, Resolver, ResolverOptions};

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

fn resolver(at: std::net::SocketAddr) -> Resolver {
    Resolver::new(ResolverOptions { nameserver: Some(at), ..ResolverOptions::default() })
}

fn host(host: &str) -> Question<'_> {
    Question { host, port: None, transport: None, secure: false }
}

fn pairs(asked: &[(String, u16)]) -> Vec<(&str, u16)> {
    asked.iter().map(|(name, kind)| (name.as_str(), *kind)).collect()
}

#[test]
fn naptr_srv_and_addresses_are_asked_and_reported_one_by_one() {
    run(async {
        let zone = Zone::default()
            .naptr("lab.test", 10, "s", "SIP+D2T", "_sip._tcp.lab.test.")
            .naptr("lab.test", 20, "s", "SIP+D2U", "_sip._udp.lab.test.")
            .srv("_sip._tcp.lab.test", 1, 10, 5070, "two.lab.test.")
            .srv("_sip._tcp.lab.test", 0, 10, 5071, "one.lab.test.")
            .address("one.lab.test", "192.0.2.1")
            .address("two.lab.test", "192.0.2.2");
        let server = zone.serve().await;
        let mut reported = vec![];
        let usable = [Protocol::Udp, Protocol::Tcp].into_iter().collect();
        let options = Options { usable, ..Options::default() };
        let hops = resolver(server.address)
            .locate(&host("lab.test"), &options, 0, |name, _| reported.push(name.to_owned()))
            .await
            .unwrap();
        let shown: Vec<_> = hops.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["tcp:192.0.2.1:5071", "tcp:192.0.2.2:5070"]);
        let names = ["lab.test", "_sip._tcp.lab.test", "one.lab.test", "two.lab.test"];
        assert_eq!(reported, names);
        let kinds = [NAPTR, SRV, A, A];
        assert_eq!(pairs(&server.asked()), names.into_iter().zip(kinds).collect::<Vec<_>>());
    });
}

/// The recording of the peer: NAPTR says nothing, the SRV record has one target.
#[test]
fn srv_is_asked_for_when_naptr_says_nothing() {
    run(async {
        let zone = Zone::default()
            .srv("_sip._udp.lab.test", 0, 0, 20999, "fast.lab.test.")
            .address("fast.lab.test", "127.0.0.1");
        let server = zone.serve().await;
        let resolver = resolver(server.address);
        let hops = resolver.locate(&host("lab.test"), &Options::default(), 0, |_, _| {}).await.unwrap();
        assert_eq!(hops[0].to_string(), "udp:127.0.0.1:20999");
        let wanted = [("lab.test", NAPTR), ("_sip._udp.lab.test", SRV), ("fast.lab.test", A)];
        assert_eq!(pairs(&server.asked()), wanted);
    });
}

#[test]
fn a_name_that_is_not_there_is_an_error_that_says_so() {
    run(async {
        let server = Zone::default().serve().await;
        let question = Question { port: Some(5060), ..host("nx.lab.test") };
        let mut reported = 0;
        let options = Options { ipv6: true, ..Options::default() };
        let answer = resolver(server.address).locate(&question, &options, 0, |_, _| reported += 1).await;
        assert!(matches!(&answer, Err(NoHop::NoAddress { host, .. }) if host == "nx.lab.test"), "{answer:?}");
        assert_eq!(reported, 2, "a look-up that fails is reported as well");
        assert_eq!(pairs(&server.asked()), [("nx.lab.test", A), ("nx.lab.test", AAAA)]);
    });
}

#[test]
fn a_service_that_is_refused_is_not_guessed_at() {
    run(async {
        let zone = Zone::default().srv("_sip._udp.lab.test", 0, 0, 0, ".").address("lab.test", "127.0.0.1");
        let server = zone.serve().await;
        let question = Question { transport: Some(Protocol::Udp), ..host("lab.test") };
        let answer = resolver(server.address).locate(&question, &Options::default(), 0, |_, _| {}).await;
        assert_eq!(answer, Err(NoHop::Refused("lab.test".into())));
    });
}

#[test]
fn an_address_asks_nobody() {
    run(async {
        let server = Zone::default().serve().await;
        let hops = resolver(server.address)
            .locate(&host("[2001:db8::1]"), &Options::default(), 0, |_, _| panic!("nothing to look up"))
            .await
            .unwrap();
        assert_eq!(hops[0].to_string(), "udp:[2001:db8::1]:5060");
        assert!(server.asked().is_empty());
    });
}

#[test]
fn a_silent_name_server_is_given_up_after_the_time_it_was_given() {
    run(async {
        let server = Zone::default().silent("lab.test").serve().await;
        let options = ResolverOptions {
            nameserver: Some(server.address),
            retry_time: Some(Duration::from_millis(50)),
            retries: Some(0),
            ..ResolverOptions::default()
        };
        let began = Instant::now();
        let question = Question { port: Some(5060), ..host("lab.test") };
        let mut took = 0;
        let answer =
            Resolver::new(options).locate(&question, &Options::default(), 0, |_, micros| took = micros).await;
        assert!(matches!(answer, Err(NoHop::NoAddress { .. })), "{answer:?}");
        assert!((50_000..4_000_000).contains(&took), "{took} microseconds");
        assert!(began.elapsed() < Duration::from_secs(4));
    });
}

#[test]
fn what_was_found_once_is_remembered() {
    run(async {
        let server = Zone::default().address("lab.test", "127.0.0.1").serve().await;
        let resolver = resolver(server.address);
        let question = Question { port: Some(5060), ..host("lab.test") };
        for _ in 0..3 {
            let hops = resolver.locate(&question, &Options::default(), 0, |_, _| {}).await.unwrap();
            assert_eq!(hops.len(), 1);
        }
        assert_eq!(server.asked().len(), 1);
        assert_eq!(
            resolver.addresses("lab.test").await.unwrap(),
            ["127.0.0.1".parse::<std::net::IpAddr>().unwrap()]
        );
    });
}
