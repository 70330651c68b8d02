//! What the server itself does for a message, in instructions: a count that does not depend on what else the machine does.
//!
//! The test runs itself under callgrind: one worker inside this process, and nothing of another process. Each case is run
//! twice, with the same preparation, and the second time it serves more messages; the difference is what those cost.
//! Keys of hash tables and identifiers are drawn at random at each start, so counts differ by a few
//! instructions from run to run. Another compiler may give another count: then measure the change before it and after it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::net::UdpSocket;

use tocsin_script::SourceMap;
use tocsin_server::settings::Overrides;
use tocsin_server::sockets::SocketId;
use tocsin_server::{Server, Worker, receive, startup};

/// Messages whose cost is measured.
const MESSAGES: usize = 400;
/// Messages that are served before, so that what is made once is there.
const BEFORE: usize = 100;

/// Instructions for each, in a build for tests, and 3 % more: an INVITE that is relayed, from its bytes to those of the
/// INVITE to the callee and the 100; the callee's 180 on its way back; a REGISTER and its 200.
const REQUEST_MOST: u64 = 60_110;
const REPLY_MOST: u64 = 24_120;
const REGISTER_MOST: u64 = 56_190;
/// The same for a request whose script reads 20 variables of the core and makes 30 transformations of them.
const VARIABLES_MOST: u64 = 83_370;
/// What one byte may cost of header fields and a body that no statement reads: they are looked through for line ends.
const UNREAD_BYTE_MOST: u64 = 1;

/// The stateful relay that the other tests use.
const RELAY: &str = include_str!("configs/relay.cfg");
/// What the other scripts begin with: one worker, and responses without transactions.
const HEAD: &str = r#"
log_level=1
udp_workers=1
socket=udp:127.0.0.1:0
loadmodule "proto_udp.so"
loadmodule "signaling.so"
loadmodule "sl.so"
"#;
/// A registrar without a database.
const REGISTRAR: &str = r#"
loadmodule "usrloc.so"
modparam("usrloc", "working_mode_preset", "single-instance-no-db")
loadmodule "registrar.so"

route {
    save("location");
}
"#;

/// Twenty variables and thirty transformations, of values as messages bring them.
const VARIABLES: &str = r#"
route {
    $var(x) = $(ru{uri.user}{s.len});
    $var(x) = $(ru{uri.param,transport}{s.tolower});
    $var(x) = $rU;
    $var(x) = $(rd{s.tolower});
    $var(x) = $(fu{uri.host}{s.toupper});
    $var(x) = $(fU{s.substr,0,2});
    $var(x) = $(fn{s.select,1," "});
    $var(x) = $(ft{s.len});
    $var(x) = $(tu{uri.user}{s.int});
    $var(x) = $(tU{s.fill.left,0,12});
    $var(x) = $tt;
    $var(x) = $(ct{nameaddr.uri}{uri.host}{ip.isip});
    $var(x) = $(ci{s.md5});
    $var(x) = $(cs{s.decode.hexa});
    $var(x) = $(rm{s.tolower});
    $var(x) = $(si{ip.family});
    $var(x) = $(ua{s.select,0,/}{s.trim});
    $var(x) = $(hdr(Via){via.branch}{s.substr,7,0});
    $var(x) = $(hdr(Supported){csv.count});
    $var(x) = $(rb{sdp.line,m}{s.select,1, });
    $var(x) = $(rb{re.subst,/^v=(.).*$/\1/});
    $var(x) = $(socket_in(ip){ip.pton}{ip.ntop});
    sl_send_reply(200, "OK");
}
"#;
/// Answers, and reads nothing for it.
const ANSWER: &str = r#"
route {
    sl_send_reply(200, "OK");
}
"#;

#[test]
#[cfg_attr(not(debug_assertions), ignore = "the bounds are those of a build for tests")]
fn twenty_variables_and_thirty_transformations_cost_no_more_than_they_did() {
    check("variables", VARIABLES_MOST);
}

/// The long values cannot even be parsed: they are no Contacts, Routes and bodies.
#[test]
fn a_value_that_nobody_reads_is_not_parsed() {
    let [short, long] = ["short", "long"].map(cost);
    let bytes = (unread(true).len() - unread(false).len()) as u64;
    assert!(
        long <= short + bytes * UNREAD_BYTE_MOST,
        "{bytes} bytes nobody reads cost {} instructions",
        long - short
    );
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "the bounds are those of a build for tests")]
fn relaying_a_request_costs_no_more_than_it_did() {
    check("request", REQUEST_MOST);
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "the bounds are those of a build for tests")]
fn relaying_a_reply_costs_no_more_than_it_did() {
    check("reply", REPLY_MOST);
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "the bounds are those of a build for tests")]
fn a_registration_costs_no_more_than_it_did() {
    check("register", REGISTER_MOST);
}

/// Instructions for a message.
fn cost(kind: &str) -> u64 {
    let [without, with] =
        [0, MESSAGES as u64].map(|messages| tocsin_callgrind::instructions("messages", kind, messages));
    (with - without) / MESSAGES as u64
}

fn check(kind: &str, most: u64) {
    let cost = cost(kind);
    assert!((most / 2..=most).contains(&cost), "{kind}: {cost} instructions, at most {most}");
}

#[test]
#[ignore = "the others run it under callgrind"]
fn messages() {
    let (kind, messages) = tocsin_callgrind::asked_for();
    let messages = usize::try_from(messages).unwrap();
    let callee = UdpSocket::bind("127.0.0.1:0").unwrap();
    callee.set_nonblocking(true).unwrap();
    let own = |rest: &str| format!("{HEAD}{rest}");
    let (script, method, rest, expected): (_, _, _, &[&str]) = match kind.as_str() {
        "register" => (own(REGISTRAR), "REGISTER", END.to_owned(), &["SIP/2.0 200"]),
        "variables" => (own(VARIABLES), "INVITE", seen(), &["SIP/2.0 200"]),
        "short" => (own(ANSWER), "OPTIONS", unread(false), &["SIP/2.0 200"]),
        "long" => (own(ANSWER), "OPTIONS", unread(true), &["SIP/2.0 200"]),
        _ => (RELAY.to_owned(), "INVITE", END.to_owned(), &["SIP/2.0 100", "INVITE"]),
    };
    let worker = worker(&script, &callee);
    let total = BEFORE + MESSAGES;
    let requests: Vec<_> = (0..total).map(|number| request(method, number, &callee, &rest)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let source = callee.local_addr().unwrap();
        let serve = |bytes: Vec<u8>| {
            receive::datagram(worker, bytes, source, SocketId(0));
            worker.flush();
            take(&callee)
        };
        if kind != "reply" {
            for bytes in requests.into_iter().take(BEFORE + messages) {
                let sent = serve(bytes);
                assert_eq!(sent.len(), expected.len(), "{sent:?}");
                assert!(
                    expected.iter().all(|begin| sent.iter().any(|text| text.starts_with(begin))),
                    "{sent:?}"
                );
            }
            return;
        }
        let replies: Vec<_> = requests.into_iter().map(|bytes| reply(&serve(bytes))).collect();
        for bytes in replies.into_iter().take(BEFORE + messages) {
            let sent = serve(bytes);
            assert!(sent.len() == 1 && sent[0].starts_with("SIP/2.0 180"), "{sent:?}");
        }
    });
}

/// A worker that runs the script; the relay's next hop is `callee`.
fn worker(script: &str, callee: &UdpSocket) -> &'static Worker {
    let next_hop = callee.local_addr().unwrap().port().to_string();
    let script = script.replace("@PORT@", "0").replace("@MPATH@", "").replace("@UAS@", &next_hop);
    let modules = tocsin_modules::all();
    let overrides = Overrides { shared_mib: Some(32), ..Overrides::default() };
    let checked = startup::check(SourceMap::from_text("test.cfg", script), &modules, &overrides);
    let (program, settings) = checked.unwrap_or_else(|cause| panic!("{cause}"));
    let assembled = startup::assemble(program, settings, modules, startup::Given::default())
        .unwrap_or_else(|cause| panic!("{cause}"));
    let server: &'static Server = assembled.server;
    let members = server.plan.members();
    let is_udp = |group: usize| server.plan.groups[group].kind == tocsin_process::Kind::Udp;
    Worker::new(server, members.into_iter().find(|member| is_udp(member.group)).unwrap())
}

/// What ends a message without more header fields and a body.
const END: &str = "Content-Length: 0\r\n\r\n";
/// What a script that looks at everything finds.
fn seen() -> String {
    let body = "v=0\r\no=- 4711 1 IN IP4 192.0.2.17\r\ns=-\r\nc=IN IP4 192.0.2.17\r\nt=0 0\r\n\
                m=audio 40002 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=sendrecv\r\n";
    format!(
        "User-Agent: Acme Phone/3.1 (build 77)\r\nSupported: replaces, timer, path\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Header fields and a body, of which none can be read as what it should be.
fn unread(is_long: bool) -> String {
    let filling = "<<;,=\"@:".repeat(if is_long { 60 } else { 1 });
    let body = filling.replace('@', "\r\n");
    format!(
        "P-Asserted-Identity: {filling}\r\nRoute: {filling}\r\nAccept: {filling}\r\nDate: {filling}\r\n\
         User-Agent: {filling}\r\nContent-Type: {filling}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A request of another transaction for each number, all of the same length, with `rest` behind what each has.
fn request(method: &str, number: usize, callee: &UdpSocket, rest: &str) -> Vec<u8> {
    let callee = callee.local_addr().unwrap();
    format!(
        "{method} sip:bob@{callee} SIP/2.0\r\nVia: SIP/2.0/UDP {callee};branch=z9hG4bK{number:08};rport\r\n\
         Max-Forwards: 70\r\nFrom: Alice <sip:alice@atlanta.example.com>;tag=9f{number:08}\r\n\
         To: <sip:alice{number:08}@atlanta.example.com>\r\nCall-ID: 2xTb9vxSit55XU7p8{number:08}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:alice@{callee}>\r\n{rest}"
    )
    .into_bytes()
}

/// The datagrams that came.
fn take(socket: &UdpSocket) -> Vec<String> {
    let mut buffer = [0; 4096];
    std::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec()))
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .collect()
}

/// The callee's 180 to the INVITE among these messages.
fn reply(sent: &[String]) -> Vec<u8> {
    let invite = sent.iter().find(|text| text.starts_with("INVITE")).expect("an INVITE");
    let named = |names: &'static [&'static str]| {
        invite.lines().filter(move |line| names.iter().any(|name| line.starts_with(name)))
    };
    let mut text = String::from("SIP/2.0 180 Ringing\r\n");
    for line in named(&["Via:", "Record-Route:", "From:", "Call-ID:", "CSeq:"]) {
        text.push_str(line);
        text.push_str("\r\n");
    }
    let to = named(&["To:"]).next().expect("a To");
    text.push_str(&format!("{to};tag=callee\r\nContent-Length: 0\r\n\r\n"));
    text.into_bytes()
}
