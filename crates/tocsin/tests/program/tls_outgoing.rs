//! Calls leave over TLS to another server, Kamailio: certificates are checked on both sides.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Authority, Caller, Kamailio, Phone, Request, Server, Setup, Sipp, Subscriber, Tally, disconnected,
    free_tcp_port, until,
};

const CALLS: u32 = 150;
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, and Kamailio behind it.
struct Pair {
    server: Server,
    kamailio: Kamailio,
    tls: u16,
    events: Subscriber,
}

impl Pair {
    /// Starts both. Kamailio's certificate is for `name`; the server trusts `trusted`, or else the authority that issued
    /// it.
    fn start(uas: u16, trusted: Option<&Authority>, name: &str) -> Self {
        let authority = Authority::new();
        authority.issue("tocsin", ["tocsin.example", "127.0.0.1"]);
        authority.issue("tenant", ["tenant.example", "127.0.0.1"]);
        authority.issue("kamailio", ["kamailio.example", name]);
        let (events, tls) = (Subscriber::new(), free_tcp_port());
        let kamailio = Kamailio::start(&authority, uas, tls);
        let server = Setup::new(include_str!("../configs/tls_outgoing.cfg"))
            .put("TLS", tls)
            .put("NEXT", kamailio.tls_port())
            .put("CERTS", authority.dir().display())
            .put("TRUSTED", trusted.unwrap_or(&authority).dir().display())
            .put("SUBSCRIBER", events.name())
            .start();
        Self { server, kamailio, tls, events }
    }

    /// The connections that the server shows.
    fn connections(&self) -> Vec<Value> {
        let answer = self.server.mi().call("list_tcp_conns", Value::Null);
        answer["Connections"].as_array().unwrap().clone()
    }

    fn stop(self) {
        self.server.stop();
    }
}

#[test]
fn calls_of_sipp_go_through_both_over_one_connection() {
    let callee = Sipp::callee("routed_callee.xml");
    let pair = Pair::start(callee.port(), None, "127.0.0.1");
    let to = pair.server.port();
    let caller = Sipp::caller(Caller { scenario: "routed_caller.xml", to, calls: CALLS, rate: 100 });
    // Who is slow on a busy machine may be asked twice over UDP.
    let counted = |tally: Tally| (tally.successful, tally.failed);
    assert_eq!(counted(caller.finish(PATIENCE)), (CALLS, 0), "as the caller counts");
    assert_eq!(counted(callee.dismiss(PATIENCE)), (CALLS, 0), "as the callee counts");
    assert_eq!(pair.connections().len(), 1, "{:?}", pair.connections());
    pair.stop();
}

#[test]
fn a_call_crosses_from_udp_to_tls_and_its_bye_crosses_back() {
    let (caller, callee) = (Phone::new(), Phone::new());
    let pair = Pair::start(callee.port(), None, "127.0.0.1");
    let me = pair.server.address();
    let invite = Request::new(&caller, "INVITE", &format!("sip:callee@{me}"));
    caller.send(me, invite.text());
    let arrived = callee.expect_request("INVITE");
    let vias = arrived.headers("Via");
    assert!(vias[1].starts_with(&format!("SIP/2.0/TLS 127.0.0.1:{};", pair.tls)), "{vias:?}");
    let routes = arrived.headers("Record-Route").join(", ");
    let own: Vec<_> = routes.split(',').map(str::trim).collect();
    let tls = own.iter().position(|route| {
        route.starts_with(&format!("<sip:127.0.0.1:{};", pair.tls)) && route.contains("transport=tls")
    });
    let tls = tls.unwrap_or_else(|| panic!("{own:?}"));
    assert!(own[tls + 1].starts_with(&format!("<sip:{me};")), "both ways are in the route set: {own:?}");

    let contact = format!("Contact: <sip:me@127.0.0.1:{}>\r\n", callee.port());
    let answer = arrived.response("200 OK", "callee", &contact);
    callee.send(pair.kamailio.udp(), &answer);
    caller.expect_status(200);

    // The callee hangs up: its route set goes by Kamailio, which opens a connection of its own to the listener.
    let (from, to) = (arrived.header("From").unwrap(), arrived.header("To").unwrap());
    let route: String =
        arrived.headers("Record-Route").iter().map(|route| format!("Route: {route}\r\n")).collect();
    let bye = format!(
        "BYE sip:caller@127.0.0.1:{} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{};branch=z9hG4bKbye\r\n{route}\
         From: {to};tag=callee\r\nTo: {from}\r\nCall-ID: {}\r\nCSeq: 2 BYE\r\nMax-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n",
        caller.port(),
        callee.port(),
        invite.call_id,
    );
    callee.send(pair.kamailio.udp(), bye);
    let arrived = caller.wait_for("BYE", |message| message.method() == Some("BYE"));
    assert!(arrived.headers("Route").is_empty(), "{}", arrived.text);
    caller.send(me, arrived.response("200 OK", "", ""));
    let done = callee.wait_for("200 for the BYE", |message| message.cseq_method() == "BYE");
    assert_eq!(done.status(), Some(200));
    let locals: Vec<_> = pair.connections().iter().map(|row| row["Local"].clone()).collect();
    assert_eq!((locals.len(), &locals[1]), (2, &json!(format!("127.0.0.1:{}", pair.tls))), "{locals:?}");
    pair.stop();
}

#[test]
fn kamailio_shows_its_certificate_and_is_let_in() {
    let phone = Phone::new();
    let pair = Pair::start(9, None, "127.0.0.1");
    let options = Request::new(&phone, "OPTIONS", "sip:back@127.0.0.1");
    phone.send(pair.kamailio.udp(), options.text());
    let answer = phone.expect_status(200);
    assert_eq!(answer.header("X-Session"), Some("tls kamailio.example"));
    pair.stop();
}

#[test]
fn the_next_hop_is_reached_again_after_a_worker_has_died() {
    let (caller, callee) = (Phone::new(), Phone::new());
    let pair = Pair::start(callee.port(), None, "127.0.0.1");
    let me = pair.server.address();
    let call = || {
        let invite = Request::new(&caller, "INVITE", &format!("sip:callee@{me}"));
        caller.send(me, invite.text());
        callee.wait_for("INVITE", |message| message.header("Call-ID") == Some(&invite.call_id));
    };
    call();
    let [connection] = &pair.connections()[..] else { panic!("{:?}", pair.connections()) };
    let near: SocketAddr = connection["Local"].as_str().unwrap().parse().unwrap();
    pair.server.replace("TCP receiver");
    let far = SocketAddr::from(([127, 0, 0, 1], pair.kamailio.tls_port()));
    assert_eq!(pair.events.raw(), disconnected(far, near, "tls"));
    call();
    assert_eq!(pair.connections().len(), 1, "{:?}", pair.connections());
    pair.stop();
}

#[test]
fn a_connection_with_one_certificate_does_not_carry_requests_that_need_another() {
    let (caller, callee) = (Phone::new(), Phone::new());
    let pair = Pair::start(callee.port(), None, "127.0.0.1");
    let me = pair.server.address();
    let locals = |users: &[&str]| {
        for user in users {
            let invite = Request::new(&caller, "INVITE", &format!("sip:{user}@{me}"));
            caller.send(me, invite.text());
            callee.wait_for("INVITE", |message| message.header("Call-ID") == Some(&invite.call_id));
        }
        let mut locals: Vec<_> = pair.connections().iter().map(|row| row["Local"].to_string()).collect();
        locals.sort();
        locals
    };
    let first = locals(&["callee"]);
    let both = locals(&["tenant"]);
    assert_eq!((first.len(), both.len()), (1, 2), "{both:?}");
    assert_eq!(locals(&["tenant", "callee", "tenant"]), both, "each is used again");
    pair.stop();
}

#[test]
fn a_cancel_goes_under_the_certificate_of_its_invite() {
    let (caller, callee) = (Phone::new(), Phone::new());
    let pair = Pair::start(callee.port(), None, "127.0.0.1");
    let me = pair.server.address();
    let invite = Request::new(&caller, "INVITE", &format!("sip:tenant@{me}"));
    caller.send(me, invite.text());
    let arrived = callee.expect_request("INVITE");
    callee.send(pair.kamailio.udp(), arrived.response("180 Ringing", "callee", ""));
    caller.expect_status(180);
    // Its lifetime moves with its use.
    let ids = || pair.connections().iter().map(|row| row["ID"].clone()).collect::<Vec<_>>();
    let before = ids();
    caller.send(me, invite.cancel().text());
    assert_eq!(caller.expect_status(200).cseq_method(), "CANCEL");
    let cancel = callee.wait_for("CANCEL", |message| message.method() == Some("CANCEL"));
    callee.send(pair.kamailio.udp(), cancel.response("200 OK", "callee", ""));
    callee.send(pair.kamailio.udp(), arrived.response("487 Request Terminated", "callee", ""));
    let ended = caller.expect_status(487);
    caller.send(me, invite.ack(&ended).text());
    assert_eq!((before.len(), before), (1, ids()), "no other was opened");
    pair.stop();
}

#[test]
fn the_name_in_the_certificate_of_a_next_hop_is_not_compared() {
    let (caller, callee) = (Phone::new(), Phone::new());
    let pair = Pair::start(callee.port(), None, "elsewhere.example");
    let me = pair.server.address();
    caller.send(me, Request::new(&caller, "INVITE", &format!("sip:callee@{me}")).text());
    callee.expect_request("INVITE");
    pair.stop();
}

#[test]
fn a_next_hop_of_somebody_elses_authority_gets_nothing() {
    let (caller, callee) = (Phone::new(), Phone::new());
    let stranger = Authority::named("Authority of somebody else");
    let pair = Pair::start(callee.port(), Some(&stranger), "127.0.0.1");
    let me = pair.server.address();
    let invite = Request::new(&caller, "INVITE", &format!("sip:callee@{me}"));
    caller.send(me, invite.text());
    let refused = caller.expect_status(477);
    caller.send(me, invite.ack(&refused).text());
    until("the connection is gone", || pair.connections().is_empty().then_some(()));
    pair.server.mi().call("raise_event", json!(["E_MARK"]));
    let told = pair.events.raw();
    let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let event: Value = serde_json::from_str(&told).unwrap();
    let near = u16::try_from(event["params"]["dst_port"].as_u64().unwrap()).unwrap();
    assert_eq!(told, disconnected(local(pair.kamailio.tls_port()), local(near), "tls"));
    assert!(pair.events.raw().contains("E_MARK"), "it is told once");
    assert!(caller.ping(me).is_empty() && callee.ping(me).is_empty(), "nothing else came");
    assert!(pair.server.log().contains("UnknownIssuer"), "the log says why");
    pair.stop();
}
