//! What reading an INVITE costs, in instructions: a count that does not depend on what else the machine does.
//!
//! The test runs itself under callgrind, for some messages and for twice as many, and compares. Nothing here is random,
//! so that the count is the same each time; another compiler may give another one.

use std::hint::black_box;

use tocsin_sip::{Limits, Message};

/// Messages of the shorter run.
const MESSAGES: u64 = 1_000;
/// Instructions for finding the header fields of an INVITE, in a build for tests, and 3 % more.
const PARSE_MOST: u64 = 7_530;
/// The same with the header fields that every relay reads, and with validation.
const READ_MOST: u64 = 17_470;

const INVITE: &str = "INVITE sip:bob@biloxi.example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP client.atlanta.example.com:5060;branch=z9hG4bK74bf9;rport\r\n\
    Max-Forwards: 70\r\n\
    Route: <sip:ss1.atlanta.example.com;lr>\r\n\
    From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl\r\n\
    To: Bob <sip:bob@biloxi.example.com>\r\n\
    Call-ID: 2xTb9vxSit55XU7p8@atlanta.example.com\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:alice@client.atlanta.example.com>\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 151\r\n\r\n\
    v=0\r\no=alice 2890844526 2890844526 IN IP4 client.atlanta.example.com\r\ns=-\r\nc=IN IP4 192.0.2.101\r\n\
    t=0 0\r\nm=audio 49172 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

#[test]
#[cfg_attr(not(debug_assertions), ignore = "the bounds are those of a build for tests")]
fn parsing_an_invite_costs_no_more_than_it_did() {
    let cost = instructions("parse");
    println!("{cost} instructions");
    assert!((PARSE_MOST / 2..=PARSE_MOST).contains(&cost), "{cost} instructions");
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "the bounds are those of a build for tests")]
fn validating_an_invite_costs_no_more_than_it_did() {
    let cost = instructions("read");
    println!("{cost} instructions");
    assert!((READ_MOST / 2..=READ_MOST).contains(&cost), "{cost} instructions");
}

/// What one message costs: a run of twice as many costs that many times more.
fn instructions(kind: &str) -> u64 {
    let [short, long] =
        [MESSAGES, 2 * MESSAGES].map(|messages| tocsin_callgrind::instructions("messages", kind, messages));
    (long - short) / MESSAGES
}

#[test]
#[ignore = "the others run it under callgrind"]
fn messages() {
    let (kind, messages) = tocsin_callgrind::asked_for();
    let reads = kind == "read";
    let mut buffer = INVITE.as_bytes().to_vec();
    for _ in 0..messages {
        let Ok(message) = Message::parse(black_box(buffer), &Limits::DEFAULT) else { panic!("an INVITE") };
        if reads {
            assert!(black_box(message.validate().is_ok()));
            black_box((message.via().is_ok(), message.from().is_ok(), message.to().is_ok()));
            black_box((message.cseq().is_ok(), message.routes().count()));
        }
        buffer = message.into_buffer();
    }
}
