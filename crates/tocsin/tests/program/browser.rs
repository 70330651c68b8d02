//! A browser is a phone: Chromium with SIP.js registers over WebSocket and TLS, calls a phone of UDP and is called by it.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::harness::{
    Authority, Browser, Message, Phone, Request, Server, Setup, Subscriber, disconnected, free_tcp_port,
};

const PAGE: &str = include_str!("../clients/phone.html");

/// A description of a session that a browser takes: nobody ever sends media for it. `setup` is `actpass` in an offer and
/// `passive` in an answer (RFC 8842).
fn description(setup: &str) -> String {
    let fingerprint = ["AB"; 32].join(":");
    [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 127.0.0.1",
        "a=ice-ufrag:user",
        "a=ice-pwd:a-password-of-22-chars",
        &format!("a=fingerprint:sha-256 {fingerprint}"),
        &format!("a=setup:{setup}"),
        "a=mid:0",
        "a=sendrecv",
        "a=rtcp-mux",
        "a=rtpmap:111 opus/48000/2",
        "",
    ]
    .join("\r\n")
}

/// A browser that has registered and calls the phone, and the server between them.
struct Scene {
    server: Server,
    wss: SocketAddr,
    phone: Phone,
    events: Subscriber,
    browser: Browser,
}

impl Scene {
    fn start() -> Self {
        let (phone, events, port) = (Phone::new(), Subscriber::new(), free_tcp_port());
        let authority = Authority::new();
        authority.issue("web", ["localhost"]);
        let server = Setup::new(include_str!("../configs/browser.cfg"))
            .put("WSS", port)
            .put("PHONE", phone.port())
            .put("CERTS", authority.dir().display())
            .put("SUBSCRIBER", events.name())
            .start();
        let mut browser = Browser::open(PAGE, &format!("wss://localhost:{port}"));
        browser.expect("connected");
        browser.expect("registration Registered");
        browser.expect("first Establishing");
        Self { server, wss: SocketAddr::from(([127, 0, 0, 1], port)), phone, events, browser }
    }

    /// The browser's end of its only connection.
    fn remote(&self) -> SocketAddr {
        let listed = self.server.mi().call("list_tcp_conns", Value::Null);
        let [connection] = &listed["Connections"].as_array().unwrap()[..] else { panic!("{listed}") };
        connection["Remote"].as_str().unwrap().parse().unwrap()
    }

    /// The phone calls the browser and gets an answer of this status.
    fn call(&self, status: u16) -> (Request, Message) {
        let me = self.server.address();
        let invite = Request::new(&self.phone, "INVITE", &format!("sip:browser@{me}"))
            .header("Content-Type", "application/sdp")
            .body(description("actpass"));
        self.phone.send(me, invite.text());
        let is_final = |message: &Message| {
            message.header("Call-ID") == Some(&invite.call_id)
                && message.status().is_some_and(|status| status >= 200)
        };
        let answer = self.phone.wait_for("final answer", is_final);
        assert_eq!(answer.status(), Some(status), "{}", answer.text);
        if status >= 300 {
            self.phone.send(me, invite.ack(&answer).text());
        }
        (invite, answer)
    }
}

#[test]
fn a_browser_registers_calls_and_is_called() {
    let mut scene = Scene::start();
    let (me, wss) = (scene.server.address(), scene.wss);
    let Scene { phone, browser, .. } = &mut scene;

    // It calls, the phone answers, and it hangs up.
    let invite = phone.expect_request("INVITE");
    crosses_from_web(&invite, me, wss);
    let contact = format!("Contact: <sip:phone@127.0.0.1:{}>\r\n", phone.port());
    phone.send(me, invite.response("180 Ringing", "phone", &contact));
    browser.expect("first 180");
    phone.send(me, with_body(&invite.response("200 OK", "phone", &contact), &description("passive")));
    browser.expect("first Established");
    let ack = phone.wait_for("ACK", |message| message.method() == Some("ACK"));
    assert_eq!((ack.uri(), ack.header("Route")), (&*format!("sip:phone@127.0.0.1:{}", phone.port()), None));
    let bye = phone.wait_for("BYE", |message| message.method() == Some("BYE"));
    assert_eq!(bye.header("Call-ID"), invite.header("Call-ID"));
    phone.send(me, bye.response("200 OK", "", ""));
    browser.expect("first Terminated");

    // The phone calls, the browser answers, and the phone hangs up.
    let (invite, answer) = scene.call(200);
    let Scene { phone, browser, .. } = &mut scene;
    browser.expect("second Establishing");
    assert!(answer.body().contains("a=setup:active"), "{}", answer.text);
    browser.expect("second Established");
    let contact = answer.header("Contact").unwrap();
    let contact = contact.split(['<', '>']).nth(1).unwrap();
    assert!(contact.ends_with(";transport=wss"), "{contact}");
    let mut ack = invite.ack(&answer);
    contact.clone_into(&mut ack.uri);
    for route in answer.headers("Record-Route").iter().flat_map(|value| value.split(',')).rev() {
        ack = ack.header("Route", route.trim());
    }
    phone.send(me, ack.text());
    let mut bye = ack.clone();
    bye.method = "BYE".to_owned();
    bye.branch.push_str("-bye");
    phone.send(me, bye.text().replace("CSeq: 1 ", "CSeq: 2 "));
    let done = phone.wait_for("200 for the BYE", |message| message.cseq_method() == "BYE");
    assert_eq!(done.status(), Some(200), "{}", done.text);
    browser.expect("second Terminated");

    // The phone calls again, and the browser declines.
    scene.call(486);
    scene.browser.expect("next Terminated");

    // All of that went over one connection, whose end is told.
    let remote = scene.remote();
    scene.browser.end();
    assert_eq!(scene.events.raw(), disconnected(remote, scene.wss, "wss"));
    scene.server.mi().call("raise_event", json!(["E_MARK"]));
    assert!(scene.events.raw().contains("E_MARK"), "it is told once");

    // The browser is still registered, but there is no way to it.
    scene.call(477);
    scene.server.stop();
}

#[test]
fn a_browser_comes_back_when_the_process_that_served_it_dies() {
    let mut scene = Scene::start();
    let invite = scene.phone.expect_request("INVITE");
    scene.phone.send(scene.server.address(), invite.response("486 Busy Here", "phone", ""));
    scene.browser.expect("first Terminated");
    let before = scene.remote();
    scene.server.replace("TCP receiver");
    assert_eq!(scene.events.raw(), disconnected(before, scene.wss, "wss"));
    scene.browser.expect("disconnected");
    scene.browser.expect("registered again");
    assert_ne!(scene.remote(), before);
    scene.call(200);
    scene.browser.expect("second Establishing");
    scene.browser.expect("second Established");
    scene.server.stop();
}

/// An INVITE that came from the browser names both ways of the server in its route set (RFC 5658).
fn crosses_from_web(invite: &Message, udp: SocketAddr, wss: SocketAddr) {
    let vias = invite.headers("Via");
    assert!(vias[0].starts_with(&format!("SIP/2.0/UDP {udp};")), "{vias:?}");
    assert!(vias[1].starts_with("SIP/2.0/WSS ") && vias[1].contains(".invalid;"), "{vias:?}");
    let routes = invite.headers("Record-Route").join(",");
    let routes: Vec<_> = routes.split(',').map(str::trim).collect();
    assert_eq!(routes.len(), 2, "{routes:?}");
    assert!(routes[0].starts_with(&format!("<sip:{udp};")) && routes[0].contains(";r2=on"), "{routes:?}");
    assert!(routes[1].starts_with(&format!("<sip:{wss};transport=wss;")), "{routes:?}");
    assert!(routes[1].contains(";r2=on"), "{routes:?}");
}

/// A response with a session description.
fn with_body(response: &str, body: &str) -> String {
    let head = response.strip_suffix("Content-Length: 0\r\n\r\n").unwrap();
    format!("{head}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
