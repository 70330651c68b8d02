//! What attackers and broken phones send: the server answers as it may, and no process dies.

use std::fs;
use std::path::Path;

use crate::harness::{Phone, Process, Server, Setup, Subscriber};

/// The messages of RFC 4475, as the parser's own tests have them.
const TORTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sip/tests/rfc4475");

/// A server that looks at everything in a message, so that everything is parsed.
fn start(callee: &Phone) -> Server {
    Setup::new(include_str!("../configs/hostile.cfg")).put("A", callee.port()).start()
}

/// Sends each input to the server; after each, the server must answer an OPTIONS, and at the end nobody may have died.
fn survives<'i>(inputs: impl IntoIterator<Item = (String, &'i [u8])>) {
    let (attacker, callee) = (Phone::new(), Phone::new());
    let server = start(&callee);
    let before = server.ps();
    for (name, input) in inputs {
        attacker.send(server.address(), input);
        attacker.ping(server.address());
        assert_eq!(pids(&server.ps()), pids(&before), "somebody died of {name}");
    }
    server.stop();
}

fn pids(processes: &[Process]) -> Vec<i32> {
    processes.iter().map(|process| process.pid).collect()
}

#[test]
fn the_torture_messages_of_rfc_4475() {
    let files = fs::read_dir(TORTURE).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "dat")).collect();
    files.sort();
    let messages: Vec<_> = files.iter().map(|path| (name_of(path), fs::read(path).unwrap())).collect();
    assert_eq!(messages.len(), 50, "{TORTURE} has all messages of the RFC");
    survives(messages.iter().map(|(name, bytes)| (name.clone(), bytes.as_slice())));
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// A request with these header lines, where `@` stands for those that a valid request has.
fn request(method: &str, lines: &str, body: &[u8]) -> Vec<u8> {
    let usual = format!(
        "Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx\r\nFrom: <sip:x@h>;tag=1\r\nTo: <sip:y@h>\r\nCall-ID: h\r\n\
         CSeq: 1 {method}\r\nMax-Forwards: 70\r\n"
    );
    let mut bytes =
        format!("{method} sip:y@127.0.0.1 SIP/2.0\r\n{}\r\n", lines.replace('@', &usual)).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn text(method: &str, lines: &str) -> Vec<u8> {
    request(method, lines, b"")
}

#[test]
fn lengths_that_lie() {
    let lengths = [
        "4294967328",
        "18446744073709551648",
        "99999999999999999999999",
        "-1",
        "1e9",
        "0x10",
        " ",
        "2147483647",
        "65536",
    ];
    let inputs: Vec<_> = lengths
        .iter()
        .map(|length| {
            (
                format!("Content-Length: {length}"),
                request("INVITE", &format!("@Content-Length: {length}\r\n"), b"v=0\r\n"),
            )
        })
        .collect();
    survives(inputs.iter().map(|(name, bytes)| (name.clone(), bytes.as_slice())));
}

#[test]
fn headers_that_break_rules() {
    let long = "a".repeat(30_000);
    let mut inputs = vec![
        text("INVITE", "@Authorization: Digest a a=\"\",real\r\n"),
        text("REGISTER", "@Authorization: Digest\r\nContact: *\r\nExpires: 1\r\n"),
        text("REGISTER", "@Authorization: Digest username=\"\r\n"),
        text("INVITE", "Via: \r\nFrom: \r\nTo: \r\nCall-ID: \r\nCSeq: \r\n"),
        text(
            "INVITE",
            "Via: SIP/2.0/UDP\r\nFrom: <sip:x@h>;tag=1\r\nTo: <sip:y@h>\r\nCall-ID: h\r\nCSeq: 1 INVITE\r\n",
        ),
        text(
            "INVITE",
            "Via: SIP/2.0/UDP h:99999;branch\r\nFrom: x\r\nTo: y;tag\r\nCall-ID: h\r\nCSeq: 1 INVITE\r\n",
        ),
        text("INVITE", "@To: <sip:y@h>;=;;=\";a=\"b\r\nTo: \"\r\n"),
        text("INVITE", "@Record-Route: <sip:[::1>;lr, <\r\nRoute: <sip:h;lr>, <sip:\r\n"),
        text("INVITE", "@Contact: <sip:x@h>;q=2;expires=99999999999999999999, *, \"\r\n"),
        text("INVITE", "@CSeq: 99999999999999999999 INVITE\r\n"),
        text("OPTIONS", "@X-Bad : space before the colon\r\n"),
        text("OPTIONS", &format!("@{long}: name\r\n")),
        text("OPTIONS", &format!("@X: {long}\r\n")),
        text("OPTIONS", &format!("@{}", "A: b\r\n".repeat(8_000))),
        text("OPTIONS", &format!("@{}", "Content-Type: text/plain\r\n".repeat(2_000))),
        text("SUBSCRIBE", &format!("@{}", "Accept: a/b\r\n".repeat(4_000))),
        text("INVITE", &format!("@{}", "Via: SIP/2.0/UDP h;branch=z9hG4bKy\r\n".repeat(1_400))),
        text("INVITE", &format!("@Route: {}<sip:z@h;lr>\r\n", "<sip:h;lr>,".repeat(4_000))),
        text("INVITE", "@Max-Forwards: -1\r\nMax-Forwards: 99999999999\r\n"),
        text("PUBLISH", "@Content-Type:\r\nContent-Length: 0\r\nSIP-If-Match: \r\n"),
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1\r\n\r\n".to_vec(),
        b"SIP/2.0 99999999999 OK\r\n\r\n".to_vec(),
        b"SIP/2.0 \r\n\r\n".to_vec(),
        b"INVITE".to_vec(),
        b"INVITE sip:x@h SIP/2.0\r\nVi".to_vec(),
        b"INVITE  SIP/2.0\r\n\r\n".to_vec(),
        b" \t \r\n \r\n\t\r\n\r\n ".to_vec(),
        vec![0; 2000],
        vec![0xff; 65_000],
    ];
    inputs.extend((0..=255_u8).map(|byte| text("OPTIONS", &format!("@X: {}\r\n", char::from(byte)))));
    survives(inputs.iter().enumerate().map(|(at, bytes)| (format!("input {at}"), bytes.as_slice())));
}

#[test]
fn uris_that_break_rules() {
    let long = "a".repeat(8_000);
    let uris = [
        "sip:".to_owned(),
        "sip:@".to_owned(),
        "sip::@:".to_owned(),
        "sip:%00%ff%zz@h".to_owned(),
        "sip:[::1".to_owned(),
        "sip:h:-1".to_owned(),
        "sip:h:99999".to_owned(),
        "sip:h;;;=;=".to_owned(),
        "sip:h?&=&?".to_owned(),
        "urn:service:sos".to_owned(),
        "tel:+".to_owned(),
        "urn:".to_owned(),
        "\"".to_owned(),
        format!("sip:{long}@h"),
        format!("sip:u:{long}@h"),
        format!("sip:u@{long}"),
        format!("sip:u@h;{long}={long}"),
        format!("sip:u@h?{long}"),
    ];
    let inputs: Vec<_> = uris
        .iter()
        .map(|uri| {
            let bytes =
                String::from_utf8(text("INVITE", &format!("@Contact: <{uri}>\r\nRoute: <{uri};lr>\r\n")))
                    .unwrap();
            (uri.chars().take(40).collect::<String>(), bytes.replace("sip:y@127.0.0.1", uri).into_bytes())
        })
        .collect();
    survives(inputs.iter().map(|(name, bytes)| (name.clone(), bytes.as_slice())));
}

#[test]
fn bodies_that_break_rules() {
    let typed = |content_type: &str, body: &str| {
        request(
            "INVITE",
            &format!("@Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len()),
            body.as_bytes(),
        )
    };
    let sdp = |body: &str| typed("application/sdp", body);
    let inputs = [
        sdp("v=0\r\no=- 1 1 IN IP4 h\r\ns=-"),
        sdp("v=0\r\na="),
        sdp("v=0\r\na=rtpmap:\r\na=fmtp:\r\nm=\r\nb=\r\nc=\r\n"),
        sdp("m=audio 99999999 RTP/AVP 0 0 0\r\nb=AS\r\na=rtpmap:0 /\r\na=fmtp:0"),
        sdp(&format!("v=0\r\n{}", "m=audio 1 RTP/AVP 0\r\n".repeat(2_000))),
        sdp("="),
        typed("multipart/mixed;boundary=", "--\r\n\r\n----"),
        typed("multipart/mixed;boundary=\"", "--x--"),
        typed("multipart/mixed", "--x\r\n\r\n--x--"),
        typed("multipart/mixed;boundary=x", "--x\r\n\r\n--x\r\n--x--"),
        typed("multipart/mixed;boundary=x", "--x\r\nContent-Type: multipart/mixed;boundary=x\r\n\r\n--x"),
        typed("multipart/mixed;boundary=x", &"--x\r\n\r\n".repeat(5_000)),
    ];
    survives(inputs.iter().enumerate().map(|(at, bytes)| (format!("body {at}"), bytes.as_slice())));
}

#[test]
fn a_flood_of_rubbish_kills_nobody() {
    let (attacker, callee) = (Phone::new(), Phone::new());
    let server = start(&callee);
    let before = server.ps();
    let valid = text("INVITE", "@Content-Length: 0\r\n");
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..4_000 {
        let mut bytes = valid.clone();
        for _ in 0..=round % 8 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let at = usize::try_from(seed >> 16).unwrap() % bytes.len();
            bytes[at] = seed.to_le_bytes()[0];
        }
        attacker.send(server.address(), &bytes);
        if round % 100 == 0 {
            attacker.ping(server.address());
        }
    }
    attacker.ping(server.address());
    assert_eq!(pids(&server.ps()), pids(&before));
    server.stop();
}

#[test]
fn events_about_hostile_messages_are_well_formed() {
    let (attacker, subscriber) = (Phone::new(), Subscriber::new());
    let server = Setup::new(include_str!("../configs/slow.cfg")).put("SUBSCRIBER", subscriber.name()).start();
    let uri = format!("sip:slow@{}", server.address());
    for body in ["\u{1}\u{1f}\u{7f}\"\\/\u{e9}\u{ffff}", "{\"params\":{}}", "\r\n\r\n", "seen\0not seen"] {
        let head = format!(
            "MESSAGE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{};branch=z9hG4bK{}\r\nFrom: <sip:x@h>;tag=1\r\n\
             To: <{uri}>\r\nCall-ID: h\r\nCSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\nContent-Length: {}\r\n\r\n",
            attacker.port(),
            body.len(),
            body.len()
        );
        attacker.send(server.address(), format!("{head}{body}"));
        let told = subscriber.next();
        // A text ends at its first NUL, as OpenSIPS's do.
        let expected = format!("{head}{}", body.split('\0').next().unwrap());
        assert_eq!(told["params"]["extra"].as_str().unwrap(), expected);
    }
    server.stop();
}
