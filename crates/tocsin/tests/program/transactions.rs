//! What becomes of transactions: retransmissions, CANCEL, time-outs, forking, and the routes that run on the way
//! (RFC 3261 sections 9, 16 and 17, RFC 6026).

use std::net::SocketAddr;

use crate::harness::{Message, Phone, Request, Server, Setup, until};

/// A caller, two callees, and the server between them.
struct Scene {
    server: Server,
    caller: Phone,
    a: Phone,
    b: Phone,
}

impl Scene {
    fn new() -> Self {
        let (caller, a, b) = (Phone::new(), Phone::new(), Phone::new());
        let setup = Setup::new(include_str!("../configs/transactions.cfg"));
        let server = setup.put("A", a.port()).put("B", b.port()).start();
        Self { server, caller, a, b }
    }

    fn me(&self) -> SocketAddr {
        self.server.address()
    }

    fn request(&self, method: &str, user: &str) -> Request {
        Request::new(&self.caller, method, &format!("sip:{user}@{}", self.me()))
    }

    /// Sends an INVITE for `user`.
    fn invite(&self, user: &str) -> Request {
        let invite = self.request("INVITE", user);
        self.caller.send(self.me(), invite.text());
        invite
    }

    fn answer(&self, callee: &Phone, request: &Message, status: &str, tag: &str) {
        let contact = format!("Contact: <sip:{tag}@127.0.0.1:{}>\r\n", callee.port());
        callee.send(self.me(), request.response(status, tag, &contact));
    }

    /// Sends the ACK that the caller owes for `response`.
    fn ack(&self, invite: &Request, response: &Message) {
        self.caller.send(self.me(), invite.ack(response).text());
    }

    fn stop(self) {
        self.server.stop();
    }
}

#[test]
fn a_transaction_waits_for_a_branch_that_is_injected() {
    let scene = Scene::new();
    let invite = scene.invite("inject");
    let first = scene.a.expect_request("INVITE");
    scene.answer(&scene.a, &first, "486 Busy Here", "a");
    scene.a.expect_request("ACK");
    // The 486 goes nowhere: another branch is to come.
    let second = scene.b.expect_request("INVITE");
    assert_eq!(second.uri(), format!("sip:b@127.0.0.1:{}", scene.b.port()));
    scene.answer(&scene.b, &second, "404 Not Found", "b");
    scene.b.expect_request("ACK");
    let response = scene.caller.expect_status(404);
    scene.ack(&invite, &response);
    until("it says so", || scene.server.log().contains("injected with 1").then_some(()));
    scene.stop();
}

#[test]
fn a_retransmitted_invite_is_absorbed() {
    let scene = Scene::new();
    let invite = scene.invite("a");
    let arrived = scene.a.expect_request("INVITE");
    scene.answer(&scene.a, &arrived, "180 Ringing", "a");
    scene.caller.expect_status(180);
    for _ in 0..3 {
        scene.caller.send(scene.me(), invite.text());
        assert_eq!(scene.caller.receive().status(), Some(180), "the last answer is repeated");
    }
    scene.answer(&scene.a, &arrived, "486 Busy Here", "a");
    scene.a.expect_request("ACK");
    let busy = scene.caller.expect_status(486);
    scene.caller.send(scene.me(), invite.text());
    assert_eq!(scene.caller.expect_status(486).text, busy.text, "the final answer is repeated");
    scene.ack(&invite, &busy);
    assert!(scene.a.ping(scene.me()).is_empty(), "the callee saw one INVITE and one ACK");
    scene.stop();
}

#[test]
fn a_cancelled_call_ends_with_487() {
    let scene = Scene::new();
    let invite = scene.invite("a");
    let arrived = scene.a.expect_request("INVITE");
    scene.answer(&scene.a, &arrived, "180 Ringing", "a");
    scene.caller.expect_status(180);

    scene.caller.send(scene.me(), invite.cancel().text());
    let accepted = scene.caller.expect_status(200);
    assert_eq!(accepted.cseq_method(), "CANCEL");
    let cancel = scene.a.expect_request("CANCEL");
    assert_eq!(cancel.branch(), arrived.branch(), "CANCEL is matched by the branch of its INVITE");
    assert_eq!(cancel.uri(), arrived.uri());
    assert_eq!(cancel.headers("Via").len(), 1, "CANCEL is hop by hop");

    scene.a.send(scene.me(), cancel.response("200 OK", "a", ""));
    scene.answer(&scene.a, &arrived, "487 Request Terminated", "a");
    assert_eq!(scene.a.expect_request("ACK").branch(), arrived.branch());
    let ended = scene.caller.expect_status(487);
    assert_eq!(ended.cseq_method(), "INVITE");
    scene.ack(&invite, &ended);
    assert!(scene.a.ping(scene.me()).is_empty(), "the caller's ACK goes no further");
    scene.stop();
}

#[test]
fn a_cancel_waits_for_the_first_provisional_answer() {
    let scene = Scene::new();
    let invite = scene.invite("a");
    let arrived = scene.a.expect_request("INVITE");
    scene.caller.send(scene.me(), invite.cancel().text());
    assert_eq!(scene.caller.expect_status(200).cseq_method(), "CANCEL");
    // RFC 3261 section 9.1: no CANCEL before a provisional response; the callee may see the INVITE again, no more.
    assert!(scene.a.ping(scene.me()).iter().all(|message| message.method() == Some("INVITE")));
    scene.answer(&scene.a, &arrived, "180 Ringing", "a");
    let cancel = scene.a.wait_for("CANCEL", |message| message.method() == Some("CANCEL"));
    scene.a.send(scene.me(), cancel.response("200 OK", "a", ""));
    scene.answer(&scene.a, &arrived, "487 Request Terminated", "a");
    let ended = scene.caller.wait_for("487", |message| message.status() == Some(487));
    scene.ack(&invite, &ended);
    scene.stop();
}

#[test]
fn a_cancel_may_have_a_transaction_of_its_own() {
    let scene = Scene::new();
    let invite = scene.invite("a2");
    let arrived = scene.a.expect_request("INVITE");
    scene.answer(&scene.a, &arrived, "180 Ringing", "a");
    scene.caller.expect_status(180);
    scene.caller.send(scene.me(), invite.cancel().text());
    let accepted = scene.caller.expect_status(200);
    let cancel = scene.a.expect_request("CANCEL");
    scene.a.send(scene.me(), cancel.response("200 OK", "a", ""));
    // `t_newtran()` absorbs it when it comes again.
    scene.caller.send(scene.me(), invite.cancel().text());
    assert_eq!(scene.caller.expect_status(200).text, accepted.text);
    scene.answer(&scene.a, &arrived, "487 Request Terminated", "a");
    scene.a.expect_request("ACK");
    let ended = scene.caller.expect_status(487);
    scene.ack(&invite, &ended);
    scene.stop();
}

#[test]
fn a_cancel_for_nothing_is_answered_with_481() {
    let scene = Scene::new();
    let cancel = scene.request("INVITE", "a").cancel();
    scene.caller.send(scene.me(), cancel.text());
    assert_eq!(scene.caller.expect_status(481).cseq_method(), "CANCEL");
    scene.stop();
}

#[test]
fn a_silent_destination_is_followed_by_the_second() {
    let scene = Scene::new();
    let invite = scene.invite("failover");
    let first = scene.a.expect_request("INVITE");
    let second = scene.b.expect_request("INVITE");
    assert_eq!(second.header("X-Failed"), Some("408"));
    assert_eq!(second.uri(), format!("sip:b@127.0.0.1:{}", scene.b.port()));
    assert_ne!(second.branch(), first.branch());
    scene.answer(&scene.b, &second, "200 OK", "b");
    let answered = scene.caller.expect_status(200);
    assert_eq!(answered.to_tag(), Some("b"));
    let again = scene.a.expect_request("INVITE");
    assert_eq!(again.text, first.text, "the silent one was asked again, with the same bytes");
    let mut ack = invite.ack(&answered);
    ack.uri = format!("sip:b@127.0.0.1:{}", scene.b.port());
    scene.caller.send(scene.me(), ack.text());
    assert!(scene.server.log().contains("failed with 408"));
    scene.stop();
}

#[test]
fn a_destination_in_trouble_is_followed_by_the_second() {
    let scene = Scene::new();
    scene.invite("failover");
    let first = scene.a.expect_request("INVITE");
    scene.answer(&scene.a, &first, "503 Service Unavailable", "a");
    assert_eq!(scene.a.expect_request("ACK").branch(), first.branch());
    let second = scene.b.expect_request("INVITE");
    assert_eq!(second.header("X-Failed"), Some("503"));
    scene.answer(&scene.b, &second, "486 Busy Here", "b");
    scene.b.expect_request("ACK");
    let refused = scene.caller.expect_status(404);
    assert_eq!(refused.start_line(), "SIP/2.0 404 Nobody Is There", "the failure route's own answer");
    scene.stop();
}

#[test]
fn a_busy_branch_does_not_end_the_call_of_the_other() {
    let scene = Scene::new();
    scene.invite("fork");
    let (to_a, to_b) = (scene.a.expect_request("INVITE"), scene.b.expect_request("INVITE"));
    assert_ne!(to_a.branch(), to_b.branch());
    scene.answer(&scene.a, &to_a, "486 Busy Here", "a");
    assert_eq!(scene.a.expect_request("ACK").branch(), to_a.branch());
    scene.answer(&scene.b, &to_b, "200 OK", "b");
    assert_eq!(scene.caller.expect_status(200).to_tag(), Some("b"), "the busy answer stays with the server");
    scene.stop();
}

#[test]
fn the_best_failure_of_all_branches_is_passed_on() {
    let scene = Scene::new();
    let invite = scene.invite("fork");
    let (to_a, to_b) = (scene.a.expect_request("INVITE"), scene.b.expect_request("INVITE"));
    scene.answer(&scene.a, &to_a, "503 Service Unavailable", "a");
    scene.a.expect_request("ACK");
    scene.answer(&scene.b, &to_b, "404 Not Found", "b");
    scene.b.expect_request("ACK");
    let failed = scene.caller.expect_status(404);
    scene.ack(&invite, &failed);
    scene.a.ping(scene.me());
    assert!(
        scene.server.log().contains("all failed with 404"),
        "the failure route ran, once, for the best answer"
    );
    scene.stop();
}

#[test]
fn the_first_answer_cancels_the_other_branches() {
    let scene = Scene::new();
    scene.invite("fork");
    let (to_a, to_b) = (scene.a.expect_request("INVITE"), scene.b.expect_request("INVITE"));
    scene.answer(&scene.a, &to_a, "180 Ringing", "a");
    scene.caller.expect_status(180);
    scene.answer(&scene.b, &to_b, "200 OK", "b");
    scene.caller.expect_status(200);
    let cancel = scene.a.expect_request("CANCEL");
    assert_eq!(cancel.branch(), to_a.branch());
    scene.a.send(scene.me(), cancel.response("200 OK", "a", ""));
    scene.answer(&scene.a, &to_a, "487 Request Terminated", "a");
    scene.a.expect_request("ACK");
    assert!(scene.caller.ping(scene.me()).is_empty(), "the 487 of the loser stays with the server");
    scene.stop();
}

#[test]
fn a_second_200_of_another_branch_reaches_the_caller() {
    let scene = Scene::new();
    scene.invite("fork");
    let (to_a, to_b) = (scene.a.expect_request("INVITE"), scene.b.expect_request("INVITE"));
    scene.answer(&scene.b, &to_b, "200 OK", "b");
    assert_eq!(scene.caller.expect_status(200).to_tag(), Some("b"));
    scene.answer(&scene.a, &to_a, "200 OK", "a");
    assert_eq!(scene.caller.expect_status(200).to_tag(), Some("a"), "RFC 6026: every 2xx is passed on");
    scene.answer(&scene.b, &to_b, "200 OK", "b");
    assert_eq!(scene.caller.expect_status(200).to_tag(), Some("b"), "and so is its retransmission");
    scene.stop();
}

#[test]
fn a_600_ends_all_branches() {
    let scene = Scene::new();
    scene.invite("fork");
    let (to_a, to_b) = (scene.a.expect_request("INVITE"), scene.b.expect_request("INVITE"));
    scene.answer(&scene.b, &to_b, "180 Ringing", "b");
    scene.caller.expect_status(180);
    scene.answer(&scene.a, &to_a, "603 Decline", "a");
    scene.a.expect_request("ACK");
    let cancel = scene.b.expect_request("CANCEL");
    scene.b.send(scene.me(), cancel.response("200 OK", "b", ""));
    scene.answer(&scene.b, &to_b, "487 Request Terminated", "b");
    scene.b.expect_request("ACK");
    scene.caller.expect_status(603);
    scene.stop();
}

#[test]
fn routes_run_on_the_way() {
    let scene = Scene::new();
    scene.invite("routes");
    let (to_a, to_b) = (scene.a.expect_request("INVITE"), scene.b.expect_request("INVITE"));
    assert_eq!(to_a.headers("X-Branch"), ["0"], "each branch has the edits of its own branch route");
    assert_eq!(to_b.headers("X-Branch"), ["1"]);
    scene.answer(&scene.a, &to_a, "183 Session Progress", "a");
    let ringing = scene.caller.expect_status(183);
    assert_eq!(ringing.headers("X-Answer"), ["183"]);
    assert_eq!(
        ringing.headers("X-User"),
        ["a <null>"],
        "the AVPs of the branch, and none of the transaction"
    );
    scene.answer(&scene.a, &to_a, "183 Session Progress", "a");
    assert_eq!(scene.caller.expect_status(183).headers("X-User"), ["changed <null>"]);
    scene.answer(&scene.b, &to_b, "200 OK", "b");
    let answered = scene.caller.expect_status(200);
    assert_eq!(answered.headers("X-Answer"), ["200"]);
    assert_eq!(answered.headers("X-User"), ["b <null>"]);
    let log = scene.server.log();
    assert!(log.contains(&format!("branch 0 to sip:a@127.0.0.1:{}", scene.a.port())));
    assert!(log.contains(&format!("branch 1 to sip:b@127.0.0.1:{}", scene.b.port())));
    assert!(log.contains(&format!("answer 200 of 127.0.0.1:{}", scene.b.port())));
    assert!(log.contains("passing 200"), "the unnamed onreply_route sees every reply");
    scene.stop();
}

#[test]
fn a_request_that_nobody_answers_times_out() {
    let scene = Scene::new();
    let options = scene.request("OPTIONS", "a");
    scene.caller.send(scene.me(), options.text());
    let first = scene.a.expect_request("OPTIONS");
    assert_eq!(scene.a.expect_request("OPTIONS").text, first.text, "timer E");
    assert_eq!(scene.caller.expect_status(408).cseq_method(), "OPTIONS");
    scene.caller.send(scene.me(), options.text());
    scene.caller.expect_status(408);
    assert!(scene.a.ping(scene.me()).iter().all(|message| message.text == first.text));
    scene.stop();
}

#[test]
fn a_call_that_rings_too_long_times_out() {
    let scene = Scene::new();
    scene.invite("a");
    let arrived = scene.a.expect_request("INVITE");
    scene.answer(&scene.a, &arrived, "180 Ringing", "a");
    scene.caller.expect_status(180);
    let cancel = scene.a.expect_request("CANCEL");
    scene.a.send(scene.me(), cancel.response("200 OK", "a", ""));
    scene.answer(&scene.a, &arrived, "487 Request Terminated", "a");
    scene.caller.expect_status(408);
    scene.a.wait_for("ACK", |message| message.method() == Some("ACK"));
    scene.stop();
}

#[test]
fn the_script_answers_for_the_transaction() {
    let scene = Scene::new();
    let invite = scene.invite("refused");
    let refused = scene.caller.expect_status(486);
    assert_eq!(refused.start_line(), "SIP/2.0 486 Not Today");
    assert!(refused.to_tag().is_some());
    let again = scene.caller.expect_status(486);
    assert_eq!(again.text, refused.text, "timer G repeats it until the ACK");
    scene.ack(&invite, &refused);
    scene.caller.ping(scene.me());
    scene.caller.send(scene.me(), invite.text());
    scene.caller.ping(scene.me());
    scene.stop();
}

#[test]
fn stray_answers_go_nowhere() {
    let scene = Scene::new();
    let me = scene.me();
    let stray = |vias: &str| {
        format!(
            "SIP/2.0 200 OK\r\n{vias}From: <sip:x@127.0.0.1>;tag=1\r\nTo: <sip:y@127.0.0.1>;tag=2\r\n\
             Call-ID: stray\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let own = format!("Via: SIP/2.0/UDP {me};branch=z9hG4bKnobody\r\n");
    let callers = format!("Via: SIP/2.0/UDP 127.0.0.1:{};branch=z9hG4bKcaller\r\n", scene.caller.port());
    scene.a.send(me, stray(&format!("{own}{callers}")));
    scene.a.send(me, stray(&own));
    scene.a.send(me, stray(""));
    scene.a.send(me, stray(&callers));
    scene.a.ping(me);
    assert!(
        scene.caller.ping(me).is_empty(),
        "an answer to no request of the server is not the server's to pass on"
    );
    scene.stop();
}

#[test]
fn an_answer_that_comes_again_passes_when_its_transaction_is_gone() {
    let scene = Scene::new();
    scene.invite("a");
    let arrived = scene.a.expect_request("INVITE");
    scene.answer(&scene.a, &arrived, "200 OK", "a");
    scene.caller.expect_status(200);
    until("the transaction is forgotten", || {
        (scene.server.statistic("tm:inuse_transactions") == 0).then_some(())
    });
    scene.answer(&scene.a, &arrived, "200 OK", "a");
    let passed = scene.caller.expect_status(200);
    assert_eq!(passed.headers("Via").len(), 1, "the server took its own Via off");
    scene.stop();
}

#[test]
fn transactions_end_and_leave_nothing() {
    let scene = Scene::new();
    let invite = scene.invite("a");
    let arrived = scene.a.expect_request("INVITE");
    scene.answer(&scene.a, &arrived, "486 Busy Here", "a");
    let busy = scene.caller.expect_status(486);
    scene.ack(&invite, &busy);
    scene.a.expect_request("ACK");
    // wt_timer is one second: after it the same INVITE is a new one.
    until("the transaction is forgotten", || {
        scene.caller.send(scene.me(), invite.text());
        scene.a.receive_within(std::time::Duration::from_millis(200)).filter(|m| m.method() == Some("INVITE"))
    });
    scene.stop();
}
