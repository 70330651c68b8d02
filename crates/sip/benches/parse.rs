//! What a typical INVITE costs: nanoseconds for each operation, the best of several rounds.
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

use std::hint::black_box;
use std::time::Instant;
use tocsin_sip::{Edits, Frame, Limits, Message, ReplyBuilder, frame};

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

fn main() {
    let limits = Limits::DEFAULT;
    let mut buffer = INVITE.as_bytes().to_vec();
    measure("frame", || {
        let found = frame(black_box(&buffer), &limits);
        assert_eq!(found, Ok(Frame::Message { length: buffer.len() }));
    });
    measure("parse", || buffer = read(std::mem::take(&mut buffer), &limits).into_buffer());
    measure("parse, via from to cseq route", || {
        let message = read(std::mem::take(&mut buffer), &limits);
        touch(&message);
        buffer = message.into_buffer();
    });
    measure("parse, validate", || {
        let message = read(std::mem::take(&mut buffer), &limits);
        assert!(message.validate().is_ok());
        buffer = message.into_buffer();
    });
    let message = read(buffer, &limits);
    measure("via from to cseq route, remembered", || touch(&message));
    let (mut edits, mut out) = (Edits::new(), Vec::new());
    measure("print with 4 edits", || {
        edits.clear();
        out.clear();
        edits.prepend_header(&message, b"Via", b"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKaaaabbbb");
        edits.remove_value(&message, 2, 0);
        edits.replace_request_uri(&message, b"sip:bob@192.0.2.7:5070;transport=udp");
        edits.decrement_max_forwards(&message);
        message.print_into(&edits, &mut out);
        black_box(&out);
    });
    let source = std::net::SocketAddr::from(([192, 0, 2, 101], 5060));
    measure("reply", || {
        out.clear();
        ReplyBuilder::new(&message, 180, b"Ringing")
            .to_tag(b"8321234356")
            .source(source, false)
            .write_into(&mut out);
        black_box(&out);
    });
}

fn read(buffer: Vec<u8>, limits: &Limits) -> Message {
    match Message::parse(black_box(buffer), limits) {
        Ok(message) => message,
        Err((error, _)) => panic!("{error}"),
    }
}

fn touch(message: &Message) {
    let message = black_box(message);
    black_box(message.via().is_ok_and(|via| via.branch().is_some()));
    black_box(message.from().is_ok_and(|from| from.tag().is_some()));
    black_box(message.to().is_ok_and(|to| to.tag().is_some()));
    black_box(message.cseq().is_ok_and(|cseq| cseq.number == 1));
    black_box(message.routes().next().is_some_and(|route| route.is_ok_and(|route| route.uri().is_ok())));
}

fn measure(what: &str, mut operation: impl FnMut()) {
    const TIMES: u32 = 200_000;
    let mut best = f64::MAX;
    for _ in 0..5 {
        let begin = Instant::now();
        for _ in 0..TIMES {
            operation();
        }
        best = best.min(begin.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES));
    }
    println!("{best:8.1} ns  {what}");
}
