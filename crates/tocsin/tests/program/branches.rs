//! Destinations that are tried one after the other, and those that a request cannot be sent to.

use crate::harness::{Phone, Request, Setup};

#[test]
fn serialized_branches_wait_for_the_failure_route() {
    let (caller, a, b) = (Phone::new(), Phone::new(), Phone::new());
    let setup = Setup::new(include_str!("../configs/branches.cfg"));
    let server = setup.put("A", a.port()).put("B", b.port()).start();
    let invite = Request::new(&caller, "INVITE", &format!("sip:serial@{}", server.address()));
    caller.send(server.address(), invite.text());
    // The one without a preference is tried first.
    let arrived = a.expect_request("INVITE");
    assert!(b.ping(server.address()).is_empty(), "one after the other");
    a.send(server.address(), arrived.response("486 Busy Here", "a", ""));
    a.expect_request("ACK");
    let arrived = b.expect_request("INVITE");
    b.send(server.address(), arrived.response("480 Temporarily Unavailable", "b", ""));
    b.expect_request("ACK");
    let failed = caller.expect_status(480);
    caller.send(server.address(), invite.ack(&failed).text());
    server.stop();
}

/// As recorded from OpenSIPS: there is no transaction, so that the script can answer.
#[test]
fn what_cannot_be_a_destination_is_told_to_the_script() {
    let (caller, a) = (Phone::new(), Phone::new());
    let setup = Setup::new(include_str!("../configs/branches.cfg"));
    let server = setup.put("A", a.port()).put("B", a.port()).start();
    for (user, code) in [("malformed", "-2"), ("proxy", "-1")] {
        let request = Request::new(&caller, "INVITE", &format!("sip:{user}@{}", server.address()));
        caller.send(server.address(), request.text());
        let answer = caller.receive();
        assert!(answer.text.starts_with(&format!("SIP/2.0 500 Code {code}\r\n")), "{user}: {}", answer.text);
        caller.send(server.address(), request.ack(&answer).text());
    }
    assert!(a.ping(server.address()).is_empty());
    server.stop();
}

/// The announcement of a media server, say, is heard until the phones have failed.
#[test]
fn a_minor_branch_is_cancelled_when_the_others_have_failed() {
    let (caller, minor, phone) = (Phone::new(), Phone::new(), Phone::new());
    let setup = Setup::new(include_str!("../configs/branches.cfg"));
    let server = setup.put("A", minor.port()).put("B", phone.port()).start();
    let invite = Request::new(&caller, "INVITE", &format!("sip:minor@{}", server.address()));
    caller.send(server.address(), invite.text());
    let (to_minor, to_phone) = (minor.expect_request("INVITE"), phone.expect_request("INVITE"));
    minor.send(server.address(), to_minor.response("183 Session Progress", "m", ""));
    caller.expect_status(183);
    phone.send(server.address(), to_phone.response("486 Busy Here", "p", ""));
    let failed = caller.expect_status(486);
    caller.send(server.address(), invite.ack(&failed).text());
    let cancel = minor.expect_request("CANCEL");
    minor.send(server.address(), cancel.response("200 OK", "m", ""));
    minor.send(server.address(), to_minor.response("487 Request Terminated", "m", ""));
    minor.expect_request("ACK");
    server.stop();
}
