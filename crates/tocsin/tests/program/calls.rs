//! Calls of SIPp go through the server, and it causes no retransmission.

use std::time::Duration;

use crate::harness::{Caller, Phone, Request, Setup, Sipp, Tally};

const RELAY: &str = include_str!("../configs/relay.cfg");
const CALLS: u32 = 300;
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn calls_of_sipp_go_through_the_relay() {
    let callee = Sipp::callee("uas");
    let server = Setup::new(RELAY).put("UAS", callee.port()).alone().start();
    let caller = Sipp::caller(Caller { scenario: "uac", to: server.port(), calls: CALLS, rate: 100 });
    let counted = caller.finish(PATIENCE);
    assert_eq!(counted, Tally { successful: CALLS, failed: 0, retransmissions: 0 });
    server.stop();
}

#[test]
fn ack_and_bye_follow_the_route_set() {
    let callee = Sipp::callee("routed_callee.xml");
    let server = Setup::new(RELAY).put("UAS", callee.port()).alone().start();
    let caller =
        Sipp::caller(Caller { scenario: "routed_caller.xml", to: server.port(), calls: CALLS, rate: 100 });
    let all = Tally { successful: CALLS, failed: 0, retransmissions: 0 };
    assert_eq!(caller.finish(PATIENCE), all, "as the caller counts");
    assert_eq!(callee.dismiss(PATIENCE), all, "as the callee counts");
    server.stop();
}

#[test]
fn a_request_that_came_too_far_is_refused() {
    let (caller, callee) = (Phone::new(), Phone::new());
    let server = Setup::new(RELAY).put("UAS", callee.port()).start();
    let request = Request::new(&caller, "OPTIONS", &format!("sip:callee@{}", server.address()));
    caller.send(server.address(), request.text().replace("Max-Forwards: 70", "Max-Forwards: 0"));
    assert_eq!(caller.expect_status(483).start_line(), "SIP/2.0 483 Too Many Hops");
    server.stop();
}

#[test]
fn a_call_is_relayed_as_the_standard_says() {
    let (caller, callee) = (Phone::new(), Phone::new());
    let server = Setup::new(RELAY).put("UAS", callee.port()).start();
    let me = server.address();
    let invite = Request::new(&caller, "INVITE", &format!("sip:callee@{me}"))
        .header("X-Kept", "  as it came")
        .body("v=0\r\ns=-\r\n");
    caller.send(me, invite.text());

    let arrived = callee.expect_request("INVITE");
    assert_eq!(arrived.uri(), format!("sip:callee@{me}"), "only the next hop is set by $du");
    let vias = arrived.headers("Via");
    assert!(vias[0].starts_with(&format!("SIP/2.0/UDP {me};branch=z9hG4bK")), "{vias:?}");
    assert!(vias[1].contains(&invite.branch) && vias.len() == 2, "{vias:?}");
    assert_eq!(arrived.header("Max-Forwards"), Some("69"));
    let record_route = arrived.header("Record-Route").unwrap();
    assert!(record_route.starts_with(&format!("<sip:{me};lr;ftag=from-")), "{record_route}");
    assert!(arrived.text.contains("\r\nX-Kept:   as it came\r\n"), "what was not touched is sent as it came");
    assert_eq!(arrived.body(), invite.body);

    callee.send(
        me,
        arrived.response("200 OK", "callee", &format!("Contact: <sip:me@127.0.0.1:{}>\r\n", callee.port())),
    );
    let answer = caller.expect_status(200);
    assert_eq!(answer.headers("Via"), [vias[1]], "the server's Via is gone from the answer");
    assert_eq!(answer.header("Record-Route"), Some(record_route));

    let mut ack = invite.ack(&answer).header("Route", answer.header("Record-Route").unwrap());
    ack.uri = format!("sip:me@127.0.0.1:{}", callee.port());
    caller.send(me, ack.text());
    let arrived = callee.expect_request("ACK");
    assert_eq!(arrived.uri(), ack.uri);
    assert_eq!(arrived.header("Route"), None, "the server takes its own Route away");
    server.stop();
}
