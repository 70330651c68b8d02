//! Where requests go that are sent to a name: RFC 3263, and what happens when the first place is not the right one.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::harness::{Desk, Message, Names, Phone, Request, Server, Setup, Subscriber, Zone, free_tcp_port};

/// A caller, two callees, a name server, and the server between them.
struct Scene {
    server: Server,
    names: Names,
    caller: Phone,
    a: Phone,
    b: Phone,
    subscriber: Subscriber,
}

impl Scene {
    fn new(zone: impl FnOnce(Zone, u16, u16) -> Zone) -> Self {
        Self::with("", zone)
    }

    /// `zone` gets the ports of the two callees.
    fn with(globals: &str, zone: impl FnOnce(Zone, u16, u16) -> Zone) -> Self {
        let (caller, a, b) = (Phone::new(), Phone::new(), Phone::new());
        let names = zone(Zone::default(), a.port(), b.port()).serve();
        let subscriber = Subscriber::new();
        let setup = Setup::new(include_str!("../configs/destinations.cfg")).put("GLOBALS", globals);
        let setup = setup.put("DNS", names.address()).put("SUBSCRIBER", subscriber.name()).put("A", a.port());
        Self { server: setup.start(), names, caller, a, b, subscriber }
    }

    fn me(&self) -> SocketAddr {
        self.server.address()
    }

    /// Sends a request to `uri`.
    fn send(&self, method: &str, uri: &str) -> Request {
        let request = Request::new(&self.caller, method, uri);
        self.caller.send(self.me(), request.text());
        request
    }

    fn answer(&self, callee: &Phone, request: &Message, status: &str) {
        callee.send(self.me(), request.response(status, "callee", ""));
    }

    fn is_failure_told(&self) -> bool {
        self.server.log().contains("failure route")
    }

    /// The looks of `list_blacklists` for one list.
    fn rules(&self, list: &str) -> Vec<Value> {
        let shown = self.server.mi().call("list_blacklists", json!([list]));
        shown[0]["Rules"].as_array().unwrap().clone()
    }

    fn stop(self) {
        self.server.stop();
    }
}

/// The service of `two.test`: first `a`, then `b`.
fn two(zone: Zone, a: u16, b: u16) -> Zone {
    zone.srv("_sip._udp.two.test", 10, a, "a.test")
        .srv("_sip._udp.two.test", 20, b, "b.test")
        .address("a.test", 1)
        .address("b.test", 1)
}

#[test]
fn rfc_3263_a_name_leads_to_its_service_in_order() {
    let scene = Scene::new(|zone, a, b| {
        zone.srv("_sip._udp.two.test", 20, a, "a.test")
            .srv("_sip._udp.two.test", 10, b, "b.test")
            .address("a.test", 1)
            .address("b.test", 1)
    });
    scene.send("OPTIONS", "sip:x@two.test");
    let request = scene.b.expect_request("OPTIONS");
    assert_eq!(request.uri(), "sip:x@two.test");
    scene.answer(&scene.b, &request, "200 OK");
    scene.caller.expect_status(200);
    assert_eq!(scene.names.asked(), ["two.test", "_sip._udp.two.test", "b.test", "a.test"]);
    // With a port there is nothing but addresses, and what is known is not asked again.
    scene.send("OPTIONS", &format!("sip:x@a.test:{}", scene.a.port()));
    let request = scene.a.expect_request("OPTIONS");
    scene.answer(&scene.a, &request, "200 OK");
    scene.caller.expect_status(200);
    assert_eq!(scene.names.asked().len(), 4);
    scene.stop();
}

#[test]
fn rfc_3263_forward_takes_the_first_place() {
    let scene = Scene::new(two);
    scene.send("OPTIONS", "sip:stateless@two.test");
    let request = scene.a.expect_request("OPTIONS");
    scene.answer(&scene.a, &request, "200 OK");
    scene.caller.expect_status(200);
    assert_eq!(scene.names.asked(), ["two.test", "_sip._udp.two.test", "a.test"], "the second has no use");
    scene.stop();
}

#[test]
fn rfc_3263_section_4_3_a_silent_place_is_followed_by_the_next() {
    let scene = Scene::new(two);
    scene.send("INVITE", "sip:x@two.test");
    let first = scene.a.expect_request("INVITE");
    let second = scene.b.expect_request("INVITE");
    assert_eq!(second.uri(), first.uri());
    assert_ne!(second.branch(), first.branch());
    assert_eq!(second.headers("Via").len(), 2, "{}", second.text);
    assert_eq!(second.headers("Via")[1], first.headers("Via")[1]);
    scene.answer(&scene.b, &second, "180 Ringing");
    scene.caller.expect_status(180);
    // The first one wakes up: it is asked to stop, and what it says then is nobody's business.
    scene.answer(&scene.a, &first, "180 Ringing");
    let cancel = scene.a.wait_for("CANCEL", |message| message.method() == Some("CANCEL"));
    assert_eq!(cancel.branch(), first.branch());
    scene.answer(&scene.a, &cancel, "200 OK");
    scene.answer(&scene.a, &first, "487 Request Terminated");
    scene.a.wait_for("ACK", |message| message.method() == Some("ACK"));
    scene.answer(&scene.b, &second, "200 OK");
    assert_eq!(scene.caller.expect_status(200).to_tag(), Some("callee"));
    assert!(!scene.is_failure_told());
    scene.stop();
}

#[test]
fn rfc_3263_section_4_3_a_503_is_followed_by_the_next() {
    let scene = Scene::new(two);
    scene.send("INVITE", "sip:x@two.test");
    let first = scene.a.expect_request("INVITE");
    for _ in 0..2 {
        scene.answer(&scene.a, &first, "503 Service Unavailable");
        let ack = scene.a.wait_for("ACK", |message| message.method() == Some("ACK"));
        assert_eq!(ack.branch(), first.branch(), "the failure and its repetition have an ACK each");
    }
    let second = scene.b.expect_request("INVITE");
    scene.answer(&scene.b, &second, "486 Busy Here");
    scene.caller.expect_status(486);
    scene.b.expect_request("ACK");
    assert!(scene.server.log().contains("failure route: 486"), "the last place has the last word");
    scene.stop();
}

#[test]
fn rfc_3263_section_4_3_nobody_there_is_a_failure_once() {
    let scene = Scene::new(two);
    scene.send("OPTIONS", "sip:x@two.test");
    scene.a.expect_request("OPTIONS");
    scene.b.expect_request("OPTIONS");
    scene.caller.expect_status(408);
    assert_eq!(scene.server.log().matches("failure route: 408").count(), 1);
    scene.stop();
}

#[test]
fn a_dead_tcp_place_is_followed_by_the_next() {
    let desk = Desk::open();
    let scene = Scene::new(|zone, _, _| {
        zone.srv("_sip._tcp.two.test", 10, free_tcp_port(), "a.test")
            .srv("_sip._tcp.two.test", 20, desk.port(), "b.test")
            .address("a.test", 1)
            .address("b.test", 1)
    });
    scene.send("INVITE", "sip:x@two.test;transport=tcp");
    let mut line = desk.accept();
    let request = line.expect_request("INVITE");
    assert!(request.headers("Via")[0].starts_with("SIP/2.0/TCP "), "{}", request.text);
    line.send(request.response("200 OK", "callee", ""));
    scene.caller.expect_status(200);
    assert!(!scene.is_failure_told());
    scene.stop();
}

#[test]
fn failover_can_be_switched_off() {
    let off = Scene::with("disable_dns_failover=yes", two);
    let by_flag = Scene::new(two);
    for (scene, uri) in [(off, "sip:x@two.test"), (by_flag, "sip:once@two.test")] {
        scene.send("OPTIONS", uri);
        scene.a.expect_request("OPTIONS");
        scene.caller.expect_status(408);
        assert!(scene.b.ping(scene.me()).is_empty(), "{uri}");
        scene.stop();
    }
}

#[test]
fn a_place_that_failed_is_left_alone_for_a_while() {
    let scene = Scene::with("disable_dns_blacklist=no", two);
    scene.send("OPTIONS", "sip:x@two.test");
    scene.a.expect_request("OPTIONS");
    let request = scene.b.expect_request("OPTIONS");
    scene.answer(&scene.b, &request, "200 OK");
    scene.caller.expect_status(200);
    let rules = scene.rules("dns");
    assert_eq!(rules.len(), 1, "{rules:?}");
    assert_eq!(rules[0]["IP"], "127.0.0.1");
    assert_eq!(rules[0]["Port"], scene.a.port());
    assert_eq!(rules[0]["Proto"], "udp");
    assert!((1..=240).contains(&rules[0]["Expires in"].as_i64().unwrap()));
    scene.send("OPTIONS", "sip:y@two.test");
    let request = scene.b.expect_request("OPTIONS");
    assert_eq!(request.uri(), "sip:y@two.test");
    scene.answer(&scene.b, &request, "200 OK");
    scene.caller.expect_status(200);
    assert!(scene.a.ping(scene.me()).iter().all(|message| message.uri() == "sip:x@two.test"));
    scene.stop();
}

#[test]
fn slow_look_ups_are_told_by_their_names() {
    let slow = |zone: Zone, a: u16, _: u16| {
        zone.srv("_sip._udp.slow.test", 1, a, "a.test").address("a.test", 1).slow("_sip._udp.slow.test")
    };
    let scene = Scene::with("exec_dns_threshold=1000000\ndns_retr_time=4", slow);
    scene.send("OPTIONS", "sip:x@slow.test");
    let request = scene.a.expect_request("OPTIONS");
    scene.answer(&scene.a, &request, "200 OK");
    scene.caller.expect_status(200);
    scene.server.mi().call("raise_event", json!(["E_MARK"]));
    let events = scene.subscriber.up_to("E_MARK");
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["method"], "E_CORE_THRESHOLD");
    let told = &events[0]["params"];
    assert_eq!(told["source"], "dns");
    assert_eq!(told["extra"], "_sip._udp.slow.test");
    assert!(told["time"].as_i64().unwrap() > 1_000_000, "{told}");
    scene.stop();
}

#[test]
fn each_look_up_is_timed_by_itself() {
    let scene = Scene::with("exec_dns_threshold=1", two);
    scene.send("OPTIONS", "sip:x@two.test");
    scene.a.expect_request("OPTIONS");
    scene.send("OPTIONS", "sip:x@nowhere.test:5060");
    let refused = scene.caller.wait_for("500", |message| message.status() == Some(500));
    assert_eq!(refused.start_line(), "SIP/2.0 500 Code -4");
    scene.server.mi().call("raise_event", json!(["E_MARK"]));
    let events = scene.subscriber.up_to("E_MARK");
    let extras: Vec<_> = events.iter().map(|event| event["params"]["extra"].as_str().unwrap()).collect();
    assert_eq!(extras, ["two.test", "_sip._udp.two.test", "a.test", "b.test", "nowhere.test"]);
    scene.stop();
}

#[test]
fn a_branch_route_that_waits_is_for_its_branch_alone() {
    let scene = Scene::new(|zone, _, _| zone.address("a.test", 1).address("b.test", 1));
    scene.send("OPTIONS", &format!("sip:waits@b.test:{}", scene.b.port()));
    let main = scene.b.expect_request("OPTIONS");
    let other = scene.a.expect_request("OPTIONS");
    for (request, number, user) in [(&main, "0", "waits"), (&other, "1", "other")] {
        assert_eq!(request.headers("X-Before"), [number], "{}", request.text);
        assert_eq!(request.headers("X-Branch"), [format!("{number} {user}")], "{}", request.text);
    }
    scene.answer(&scene.a, &other, "200 OK");
    scene.caller.expect_status(200);
    scene.stop();
}

#[test]
fn a_blocked_place_is_passed_over() {
    let scene = Scene::new(|zone, _, b| {
        zone.srv("_sip._udp.two.test", 10, b, "dead.test")
            .srv("_sip._udp.two.test", 20, b, "b.test")
            .address("dead.test", 66)
            .address("b.test", 1)
    });
    scene.send("OPTIONS", "sip:careful@two.test");
    let request = scene.b.expect_request("OPTIONS");
    scene.answer(&scene.b, &request, "200 OK");
    scene.caller.expect_status(200);
    let log = scene.server.log();
    assert!(log.contains(&format!("nothing is sent to udp:127.0.0.66:{}", scene.b.port())), "{log}");
    // Nothing but blocked places.
    scene.send("OPTIONS", "sip:careful@127.0.0.66");
    assert_eq!(scene.caller.expect_status(500).start_line(), "SIP/2.0 500 Code -5");
    scene.stop();
}

#[test]
fn blocklists_may_look_into_the_request_and_be_left_out() {
    let scene = Scene::new(two);
    let to = |user: &str, word: &str| {
        let uri = format!("sip:{user}@127.0.0.1:{}", scene.a.port());
        let request = Request::new(&scene.caller, "OPTIONS", &uri).header("Subject", word);
        scene.caller.send(scene.me(), request.text());
    };
    to("careful", "dont-send this");
    assert_eq!(scene.caller.expect_status(500).start_line(), "SIP/2.0 500 Code -5");
    for (user, word) in [("careful", "send this"), ("careless", "dont-send this"), ("x", "dont-send this")] {
        to(user, word);
        let request = scene.a.expect_request("OPTIONS");
        scene.answer(&scene.a, &request, "200 OK");
        scene.caller.expect_status(200);
    }
    scene.stop();
}

#[test]
fn an_operator_adds_and_takes_rules() {
    let scene = Scene::new(two);
    let mi = scene.server.mi();
    let rule = format!("(udp, 127.0.0.1, {}, \"\")", scene.a.port());
    let uri = format!("sip:careful@127.0.0.1:{}", scene.a.port());
    assert_eq!(mi.call("add_blacklist_rule", json!(["learned", rule])), "OK");
    assert_eq!(mi.call("check_blacklists", json!(["127.0.0.66"])), json!(["dead"]));
    assert_eq!(scene.rules("learned")[0]["Port"], scene.a.port());
    scene.send("OPTIONS", &uri);
    assert_eq!(scene.caller.expect_status(500).start_line(), "SIP/2.0 500 Code -5");
    assert_eq!(mi.call("del_blacklist_rule", json!(["learned", rule])), "OK");
    scene.send("OPTIONS", &uri);
    scene.a.expect_request("OPTIONS");
    scene.stop();
}
