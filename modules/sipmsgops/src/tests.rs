//! The functions of the module as a script calls them.

use std::rc::Rc;

use tocsin_testbench::{TestBed, first_line, header, request};

/// The modules that the configurations here load.
const TEST_BED: TestBed = TestBed::with(|| vec![Rc::new(crate::Sipmsgops), Rc::new(tocsin_sl::Sl)]);

const LINES: &str = "loadmodule \"sl.so\"\nloadmodule \"sipmsgops.so\"\n";

/// The request as it is forwarded after `script`.
fn forwarded(script: &str, lines: &str) -> String {
    let bench = TEST_BED.bench(LINES, &format!("route {{ {script} forward(); }}"));
    bench.serve(&request("INVITE", "", lines), 1).remove(0)
}

/// Whether the condition is true.
fn holds(condition: &str, lines: &str) -> bool {
    let routes =
        format!("route {{ if ({condition}) sl_send_reply(200, \"yes\"); else sl_send_reply(404, \"no\"); }}");
    let answer = TEST_BED.bench(LINES, &routes).serve(&request("INVITE", "", lines), 1).remove(0);
    first_line(&answer).ends_with("yes")
}

#[test]
fn questions() {
    assert!(holds("is_method(\"INVITE|BYE\")", "") && !holds("is_method(\"BYE\")", ""));
    assert!(holds("is_method(\"$rm\")", "") && !holds("is_method($hdr(Call-ID))", ""));
    assert!(!holds("has_totag()", "") && holds("is_present_hf(\"Call-ID\") && is_present_hf(\"i\")", ""));
    assert!(holds("list_hdr_has_option(\"Supported\", \"path\")", "k: gruu, path\r\n"));
    assert!(holds("is_privacy(\"id\")", "Privacy: id\r\n") && !holds("is_privacy(\"id\")", ""));
    assert!(!holds("has_body_part(\"application/sdp\")", "") && !holds("has_body()", ""));
    assert!(holds("is_uri_user_e164(\"sip:+358501234567@h\")", "") && !holds("is_uri_user_e164($ru)", ""));
    assert!(
        !holds("sipmsg_validate() || $rc != -13", "") && holds("sipmsg_validate(\"m\") || $rc == -14", "")
    );
    assert!(!holds("is_audio_on_hold()", "") && !holds("codec_exists(\"PCMU\")", ""));
}

#[test]
fn header_fields_and_the_request_uri_change() {
    let script = r#"append_hf("X-From: $fU\r\n"); insert_hf("X-Before: 1\r\n", "Call-ID"); remove_hf_re("^X-g.+[0-9]");
        remove_hf_glob("X-Bill*"); append_urihf("X-Uri: ", "\r\n"); ruri_add_param("nat=yes"); ruri_del_param("none");"#;
    let sent = forwarded(script, "X-Gone7: x\r\nX-Billing: y\r\nX-Kept: z\r\n");
    assert_eq!(header(&sent, "X-From"), Some("a"));
    assert!(sent.contains("X-Before: 1\r\nCall-ID: x1"));
    assert!(!sent.contains("X-Gone7") && !sent.contains("X-Billing") && sent.contains("X-Kept: z"));
    assert!(header(&sent, "X-Uri").unwrap().starts_with("sip:bob@127.0.0.1:"));
    assert!(first_line(&sent).ends_with(";nat=yes SIP/2.0"));
}

#[test]
fn bodies_change() {
    let sdp = "v=0\r\no=a 1 1 IN IP4 h\r\ns=-\r\nt=0 0\r\nm=audio 4 RTP/AVP 0 8\r\n";
    let script = format!(
        "add_body_part(\"{}\", \"application/sdp\"); codec_move_up(\"PCMA\"); add_body_part(\"hello\", \"text/plain\");",
        sdp.replace("\r\n", "\\r\\n")
    );
    let sent = forwarded(&script, "");
    assert!(header(&sent, "Content-Type").unwrap().starts_with("multipart/mixed;boundary="), "{sent}");
    assert!(sent.contains("m=audio 4 RTP/AVP 8 0\r\n") && sent.contains("text/plain\r\n\r\nhello"), "{sent}");
    let length: usize = header(&sent, "Content-Length").unwrap().parse().unwrap();
    assert_eq!(sent.split_once("\r\n\r\n").unwrap().1.len(), length);
    let sent = forwarded(&format!("{script} remove_body_part();"), "");
    assert!(sent.ends_with("\r\n\r\n") && header(&sent, "Content-Length") == Some("0"), "{sent}");
}

#[test]
fn answers_carry_what_was_appended() {
    let routes =
        r#"route { append_to_reply("Retry-After: 5\r\n"); append_time(); sl_send_reply(503, "Later"); }"#;
    let answer = TEST_BED.bench(LINES, routes).serve(&request("INVITE", "", ""), 1).remove(0);
    assert_eq!(header(&answer, "Retry-After"), Some("5"));
    assert!(header(&answer, "Date").unwrap().ends_with(" GMT"));
}

#[test]
fn a_reason_is_told() {
    let routes = r#"route { if (!sipmsg_validate("mcrf", $var(why))) sl_send_reply(400, "$var(why)"); }"#;
    let bench = TEST_BED.bench(LINES, routes);
    let of = |message: &str| first_line(&bench.serve(message, 1).remove(0)).to_owned();
    assert_eq!(of(&request("INVITE", "", "")), "SIP/2.0 400 SIP message doesn't have 'Contact' header");
    let contact = "Contact: <sip:a@b>\r\n";
    let bad = request("INVITE", "", contact).replace("INVITE sip:bob@@C@", "INVITE sip:bob@ho_st!");
    assert_eq!(of(&bad), "SIP/2.0 400 invalid domain for R-URI");
    let bad = request("INVITE", "", contact).replace("From: <sip:a@b>", "From: <sip:a@ex!ample>");
    assert_eq!(of(&bad), "SIP/2.0 400 invalid domain for 'From' header");
}

#[test]
fn header_fields_and_parts_are_shown_as_they_are_now() {
    let script = "$avp(n) := NULL; get_glob_headers_values(\"x-*\", $avp(n), $avp(v));\n\
                  append_hf(\"A: $(avp(n)[*]) are $(avp(v)[*])\\r\\n\");\n\
                  add_body_part(\"hello\", \"text/plain\");\n\
                  if (get_updated_body_part(\"text/plain\", $var(part))) append_hf(\"B: $var(part)\\r\\n\");\n\
                  if (!get_updated_body_part(\"text/html\", $var(part))) append_hf(\"C: no\\r\\n\");\n\
                  if (get_updated_body_part(, $var(all))) append_hf(\"D: $var(all)\\r\\n\");\n\
                  if (remove_hf(\"X-One\") && !remove_hf(\"X-One\")) append_hf(\"E: once\\r\\n\");";
    let sent = forwarded(script, "X-One: 1\r\nY: 2\r\nX-Two: 3\r\n");
    for (name, value) in
        [("A", "X-Two, X-One are 3, 1"), ("B", "hello"), ("C", "no"), ("D", "hello"), ("E", "once")]
    {
        assert_eq!(header(&sent, name), Some(value), "{sent}");
    }
}

#[test]
fn streams_are_known_by_media_type_and_transport() {
    let sdp = "v=0\\r\\no=a 1 1 IN IP4 h\\r\\ns=-\\r\\nt=0 0\\r\\nm=audio 4 RTP/SAVP 0\\r\\nm=video 6 RTP/AVP 31\\r\\n";
    let script = format!(
        "add_body_part(\"{sdp}\", \"application/sdp\");\n\
         if (stream_exists(\"audio\", \"SAVP\") && !stream_exists(\"audio\", \"/AVP\")) append_hf(\"A: secure\\r\\n\");\n\
         if (codec_exists(\"PCMU\", \"16000\")) append_hf(\"B: any clock\\r\\n\");\n\
         if (!stream_delete(\"video\", \"SAVP\")) stream_delete(\".\", \"/AVP\");"
    );
    let sent = forwarded(&script, "");
    assert_eq!((header(&sent, "A"), header(&sent, "B")), (Some("secure"), Some("any clock")), "{sent}");
    assert!(sent.contains("m=audio") && !sent.contains("m=video"), "{sent}");
}

#[test]
fn the_status_of_a_reply_is_compared_as_number_and_as_text() {
    let routes = "route { exit; }
        onreply_route { if ($rs == 180) { if ($rs == \"180\") change_reply_status(183, \"Changed\"); } }";
    let bench = TEST_BED.bench(LINES, routes);
    let own = bench.worker.server.network.sockets.all()[0].address;
    let reply = format!(
        "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK1.s\r\nVia: SIP/2.0/UDP @C@;branch=z9hG4bK7\r\n\
         From: <sip:a@b>;tag=abc\r\nTo: <sip:bob@b>;tag=x\r\nCall-ID: x1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(first_line(&bench.serve(&reply, 1).remove(0)), "SIP/2.0 183 Changed");
}
