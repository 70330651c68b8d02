//! What scripts find and change.

use super::*;
use tocsin_testbench::{TestBed, first_line, header};

/// The modules that the configurations here load.
const TEST_BED: TestBed = TestBed::with(|| vec![Rc::new(Textops), Rc::new(tocsin_sl::Sl)]);

const LINES: &str = "loadmodule \"sl.so\"\nloadmodule \"textops.so\"";

const BODY: &str = "v=0\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n";

fn invite() -> String {
    format!(
        "\r\nINVITE sip:bob@@C@ SIP/2.0\r\nVia: SIP/2.0/UDP @C@;branch=z9hG4bK7\r\nFrom: <sip:alice@b>;tag=abc\r\n\
         To: <sip:bob@b>\r\nCall-ID: x1\r\nCSeq: 1 INVITE\r\nSubject: call\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    )
}

/// The return code of a call, and `$ru` behind it.
fn code(call: &str) -> String {
    let routes = format!("route {{ {call}; sl_send_reply(200, \"$rc $rU\"); }}");
    let answer = TEST_BED.bench(LINES, &routes).serve(&invite(), 1).remove(0);
    first_line(&answer).trim_start_matches("SIP/2.0 200 ").to_owned()
}

/// What leaves.
fn forwarded(call: &str) -> String {
    let routes = format!("route {{ {call}; forward(); }}");
    TEST_BED.bench(LINES, &routes).serve(&invite(), 1).remove(0)
}

#[test]
fn return_codes_are_as_recorded() {
    for (call, expected) in [
        ("search(\"^via\")", "1 bob"),
        ("search(\"nope\")", "-1 bob"),
        ("search_body(\"^v=0\")", "1 bob"),
        ("search_body(\"Via\")", "-1 bob"),
        ("replace(\"nope\", \"x\")", "-1 bob"),
        ("replace(\"^INVITE\", \"x\")", "-1 bob"),
        ("replace_body_atonce(\"^a=\", \"A=\")", "1 bob"),
        ("$var(p) = \"SUBJ\"; search(\"$var(p)\")", "1 bob"),
        ("$var(p) = \"(\"; search(\"$var(p)\")", "-1 bob"),
        ("subst(\"/ALICE/x/\")", "-1 bob"),
        ("subst(\"/ALICE/x/i\")", "1 bob"),
        ("subst_uri(\"/^sip:(.*)@.*$/sip:\\1y@sub.example/\")", "1 boby"),
        ("subst_user(\"/^/00/\")", "-1 bob"),
        ("$var(r) = \"R\"; subst_user(\"/(b)o/$var(r)\\1\\1/\")", "1 Rbbb"),
        ("subst_body(\"/nope/x/\")", "-1 bob"),
    ] {
        assert_eq!(code(call), expected, "{call}");
    }
}

#[test]
fn what_is_replaced_shows_in_what_leaves() {
    for (call, expected) in [
        ("replace(\"alice\", \"ALICE\")", "From: <sip:ALICE@b>;tag=abc\r\n"),
        ("search_append(\"subject: call\", \"ed\")", "Subject: called\r\n"),
        ("subst(\"/(Subject): call/\\1: $rm/\")", "Subject: INVITE\r\n"),
        ("replace_all(\"8000\", \"9000\")", "\r\nv=0\r\na=rtpmap:0 PCMU/9000\r\na=rtpmap:8 PCMA/9000\r\n"),
        ("replace_body(\"PCMU\", \"pcmu\")", "a=rtpmap:0 pcmu/8000\r\n"),
        ("replace(\": call\", \": one\"); replace(\": call\", \"two\")", "Subject: onetwo\r\n"),
        ("replace_body_atonce(\"^.+$\", \"new\")", "\r\n\r\nnew\nnew\nnew\n"),
        ("subst_body(\"/rtpmap:(.)/\\1/g\")", "\r\nv=0\r\na=0 PCMU/8000\r\na=8 PCMA/8000\r\n"),
    ] {
        let message = forwarded(call);
        assert!(message.contains(expected), "{call}: {message}");
    }
}

#[test]
fn content_length_follows_the_body() {
    for (call, length) in [
        ("replace_body(\"PCMU\", \"pcmu\")", 0),
        ("replace_body_all(\"rtpmap\", \"x\")", -10),
        ("search_append_body(\"v=0\", \"1234\")", 4),
        ("search_append_body(\"8000\\r\\n$\", \"tail\"); replace(\"alice\", \"a\")", 4),
        ("replace_body_atonce(\"^.+$\", \"all new\")", 21 - (BODY.len() as i64 - 3)),
        ("replace_body(\"PCMU\", \"\"); replace_body(\"PCMU\", \"one\"); replace_body(\"PCMU\", \"two\")", 2),
    ] {
        let message = forwarded(call);
        let body = message.split_once("\r\n\r\n").unwrap().1;
        let written: usize = header(&message, "Content-Length").unwrap().parse().unwrap();
        assert_eq!(written, body.len(), "{call}: {message}");
        assert_eq!(written as i64, BODY.len() as i64 + length, "{call}: {message}");
    }
}

#[test]
fn what_is_no_expression_is_refused() {
    for call in
        ["subst(\"nonsense\")", "subst(\"/(/x/\")", "search(\"(\")", "subst($ru)", "subst(\"/a/b/z\")"]
    {
        assert!(TEST_BED.try_bench(LINES, &format!("route {{ {call}; }}")).is_err(), "{call}");
    }
}
