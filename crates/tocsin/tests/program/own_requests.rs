//! Requests of the server's own, from the Management Interface and from scripts, and their replies.

use serde_json::{Value, json};

use crate::harness::{Message, Mi, Phone, Request, Server, Setup, until};

struct Scene {
    server: Server,
    /// A client whose commands wait for their answers.
    mi: Mi,
    caller: Phone,
    a: Phone,
}

impl Scene {
    fn new() -> Self {
        Self::with_timeout(30)
    }

    /// Requests wait this many seconds for a reply.
    fn with_timeout(seconds: u32) -> Self {
        let (caller, a) = (Phone::new(), Phone::new());
        let setup = Setup::new(include_str!("../configs/own_requests.cfg"));
        let server = setup.put("A", a.port()).put("SECONDS", seconds).start();
        let mi = Mi::new(([127, 0, 0, 1], server.mi_port()).into());
        Self { server, mi, caller, a }
    }

    /// Has the server send a request to `a`; the answer comes with its final reply.
    fn send(&self, method: &str, headers: &str, further: &Value) -> i64 {
        let headers = format!("From: <sip:robot@example.org>\r\nTo: <sip:a@example.org>\r\n{headers}");
        let uri = format!("sip:a@127.0.0.1:{}", self.a.port());
        let mut params = json!({"method": method, "ruri": uri, "headers": headers});
        params.as_object_mut().unwrap().extend(further.as_object().cloned().unwrap_or_default());
        self.mi.ask("t_uac_dlg", params)
    }

    fn result(&self, id: i64) -> Value {
        let answer = self.mi.answer_to(id);
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].clone()
    }

    fn reply(&self, request: &Message, status: &str, lines: &str) {
        self.a.send(self.server.address(), request.response(status, "a", lines));
    }

    fn request(&self, method: &str, user: &str) -> Request {
        let request = Request::new(&self.caller, method, &format!("sip:{user}@{}", self.server.address()));
        self.caller.send(self.server.address(), request.text());
        request
    }
}

#[test]
fn a_request_of_a_management_client_is_answered_with_its_final_reply() {
    let scene = Scene::new();
    let id = scene.send("OPTIONS", "X-Given: 1\r\n", &Value::Null);
    let options = scene.a.expect_request("OPTIONS");
    assert_eq!(options.header("X-Given"), Some("1"));
    assert_eq!(options.header("X-Local"), Some("OPTIONS <null> <null>"), "{}", options.text);
    assert_eq!(options.headers("Via").len(), 1, "{}", options.text);
    scene.reply(&options, "404 Not Here", "X-From-A: 1\r\n");
    let result = scene.result(id);
    assert_eq!(result["Status"], "404 Not Here");
    let message = result["Message"].as_str().unwrap();
    assert!(message.starts_with("Via: ") && message.contains("\r\nX-From-A: 1\r\n"), "{message}");
    scene.server.stop();
}

#[test]
fn the_reply_may_come_to_the_successor_of_the_worker_that_would_have_got_it() {
    let scene = Scene::new();
    let id = scene.send("MESSAGE", "Content-Type: text/plain\r\n", &json!({"body": "hello"}));
    let message = scene.a.expect_request("MESSAGE");
    assert_eq!((message.header("Content-Length"), message.body()), (Some("5"), "hello"));
    scene.server.replace(&format!("SIP receiver udp:{}", scene.server.address()));
    scene.reply(&message, "202 Accepted", "");
    assert_eq!(scene.result(id)["Status"], "202 Accepted");
    scene.server.stop();
}

#[test]
fn the_answer_to_an_own_invite_is_acknowledged_each_time_it_comes() {
    let scene = Scene::new();
    let contact = format!("Contact: <sip:robot@{}>\r\n", scene.server.address());
    let id = scene.send("INVITE", &contact, &Value::Null);
    let invite = scene.a.expect_request("INVITE");
    scene.reply(&invite, "180 Ringing", "");
    let lines = format!("Contact: <sip:there@127.0.0.1:{}>\r\n", scene.a.port());
    for _ in 0..2 {
        scene.reply(&invite, "200 OK", &lines);
        let ack = scene.a.expect_request("ACK");
        assert_eq!(ack.uri(), format!("sip:there@127.0.0.1:{}", scene.a.port()));
        assert_eq!(ack.header("CSeq"), Some("10 ACK"));
        assert_eq!(ack.header("Call-ID"), invite.header("Call-ID"));
        assert!(ack.header("To").unwrap().contains(";tag=a"), "{}", ack.text);
    }
    assert_eq!(scene.result(id)["Status"], "200 OK");
    scene.server.stop();
}

#[test]
fn an_own_invite_is_cancelled_by_its_call_id() {
    let scene = Scene::new();
    let cancel =
        |call_id: &str| scene.server.mi().answer("t_uac_cancel", json!({"callid": call_id, "cseq": "77"}));
    assert_eq!(cancel("own-call")["error"], json!({"code": 481, "message": "No such transaction"}));
    let id = scene.send("INVITE", "Call-ID: own-call\r\nCSeq: 77 INVITE\r\n", &Value::Null);
    let invite = scene.a.expect_request("INVITE");
    assert_eq!((invite.header("Call-ID"), invite.header("CSeq")), (Some("own-call"), Some("77 INVITE")));
    scene.reply(&invite, "180 Ringing", "");
    // The 180 has been served once a request behind it is.
    scene.a.ping(scene.server.address());
    until("the CANCEL is on its way", || (cancel("own-call")["result"] == "OK").then_some(()));
    let cancel = scene.a.wait_for("CANCEL", |message| message.method() == Some("CANCEL"));
    scene.reply(&cancel, "200 OK", "");
    scene.reply(&invite, "487 Request Terminated", "");
    scene.a.wait_for("ACK", |message| message.method() == Some("ACK"));
    assert_eq!(scene.result(id)["Status"], "487 Request Terminated");
    scene.server.stop();
}

#[test]
fn what_nobody_answers_times_out() {
    let scene = Scene::with_timeout(1);
    let id = scene.send("OPTIONS", "", &Value::Null);
    assert_eq!(scene.result(id), json!({"Status": "408 Request Timeout"}));
    scene.server.stop();
}

#[test]
fn what_makes_no_request_is_refused() {
    let scene = Scene::new();
    let refused = |params: Value| scene.server.mi().answer("t_uac_dlg", params)["error"]["message"].clone();
    let both = "From: <sip:r@example.org>\r\nTo: <sip:a@example.org>\r\n";
    let uri = "sip:a@127.0.0.1:9";
    for (params, message) in [
        (json!({"method": "OPT IONS", "ruri": uri, "headers": both}), "Invalid method"),
        (json!({"method": "OPTIONS", "ruri": "sip:a@b\r\nX: 1", "headers": both}), "Invalid ruri"),
        (json!({"method": "OPTIONS", "ruri": uri, "headers": both, "next_hop": "a b"}), "Invalid next-hop"),
        (
            json!({"method": "OPTIONS", "ruri": uri, "headers": both, "socket": "udp:192.0.2.1:9"}),
            "Local socket not found",
        ),
        (json!({"method": "OPTIONS", "ruri": uri, "headers": "From: <sip:a@b>\r\n"}), "To missing"),
    ] {
        assert_eq!(refused(params.clone()), message, "{params}");
    }
    scene.server.stop();
}

#[test]
fn a_script_sends_requests_through_the_local_route() {
    let scene = Scene::new();
    scene.request("OPTIONS", "new");
    scene.caller.expect_status(200);
    let message = scene.a.expect_request("MESSAGE");
    assert_eq!(message.header("X-Local"), Some("MESSAGE for a by the local route"), "{}", message.text);
    assert!(message.header("From").unwrap().starts_with("\"Robot\" <sip:robot@example.org>;tag="));
    assert_eq!((message.header("Content-Type"), message.body()), (Some("text/plain"), "Hello"));
    scene.reply(&message, "200 OK", "");
    scene.request("OPTIONS", "bad");
    scene.caller.expect_status(400);
    scene.server.stop();
}

#[test]
fn the_replies_to_a_copy_go_nowhere() {
    let scene = Scene::new();
    let register = scene.request("REGISTER", "copy");
    let copy = scene.a.expect_request("REGISTER");
    assert_eq!((copy.uri(), copy.headers("Via").len()), (register.uri.as_str(), 2), "{}", copy.text);
    scene.reply(&copy, "200 OK", "");
    let before: Vec<_> = scene.caller.ping(scene.server.address());
    assert!(before.is_empty(), "{before:?}");
    scene.server.stop();
}

#[test]
fn a_transaction_is_answered_from_outside() {
    let scene = Scene::new();
    let held = |count: usize| {
        until("it is held", || {
            let log = scene.server.log();
            let id = log.split("held in ").nth(count)?.split_once('.')?.0;
            Some(id.to_owned())
        })
    };
    scene.request("INVITE", "held");
    let by_id = json!({"code": 480, "reason": "By Hand", "trans_id": held(1), "to_tag": "own", "new_headers": "X-By: hand\r\n"});
    assert_eq!(scene.server.mi().call("t_reply", by_id.clone()), "OK");
    let reply = scene.caller.expect_status(480);
    assert_eq!((reply.start_line(), reply.header("X-By")), ("SIP/2.0 480 By Hand", Some("hand")));
    assert!(reply.header("To").unwrap().ends_with(";tag=own"), "{}", reply.text);
    assert_eq!(scene.server.mi().answer("t_reply", by_id)["error"]["code"], 500);

    let caller = Phone::new();
    let invite = Request::new(&caller, "INVITE", &format!("sip:held@{}", scene.server.address()));
    caller.send(scene.server.address(), invite.text());
    held(2);
    let other = Request::new(&Phone::new(), "OPTIONS", &format!("sip:other@{}", scene.server.address()));
    let text = other.header("X-Other", &invite.call_id).text();
    scene.caller.send(scene.server.address(), text);
    assert_eq!(caller.expect_status(480).start_line(), "SIP/2.0 480 By Another");
    scene.server.stop();
}

#[test]
fn a_reply_has_the_body_that_the_script_gives_it() {
    let scene = Scene::new();
    scene.request("OPTIONS", "refused");
    let reply = scene.caller.expect_status(486);
    assert_eq!((reply.header("Content-Type"), reply.body()), (Some("text/plain"), "Come back tomorrow"));
    assert_eq!(reply.header("Content-Length"), Some("18"));
    scene.server.stop();
}
