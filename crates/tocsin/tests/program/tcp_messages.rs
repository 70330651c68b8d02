//! How messages come over a stream: many at once, in pieces, with keep-alives between them, and as large as they may be.

use std::time::{Duration, Instant};

use crate::harness::{Line, Request, Streams, Web, pause, web_frame};

/// The longest message, in bytes.
const LONGEST: usize = 65_535;

/// An OPTIONS over `line`.
fn options(line: &Line) -> Request {
    Request::over("TCP", line.port(), "OPTIONS", &format!("sip:ping@{}", line.peer()))
}

/// An OPTIONS over `line` of `length` bytes.
fn options_of(line: &Line, length: usize) -> Request {
    let probe = options(line).body("x".repeat(length - 1_000));
    let missing = length - probe.text().len();
    let body = "x".repeat(length - 1_000 + missing);
    probe.body(body)
}

fn answers(line: &mut Line, request: &Request) {
    let answer = line.expect_status(200);
    assert_eq!(answer.header("Call-ID"), Some(request.call_id.as_str()), "{}", answer.text);
}

#[test]
fn a_server_without_udp_serves() {
    let streams = Streams::start("");
    assert!(streams.server.ps().iter().all(|process| !process.kind.contains("udp:")));
    Line::open(streams.tcp).ping();
    Web::open(streams.ws).ping();
    streams.server.stop();
}

#[test]
fn messages_in_one_segment_are_answered_in_their_order() {
    let streams = Streams::start("");
    let mut line = Line::open(streams.tcp);
    let requests: Vec<_> = (0..50).map(|_| options(&line)).collect();
    let all: String = requests.iter().map(Request::text).collect();
    line.send(&all);
    requests.iter().for_each(|request| answers(&mut line, request));
    assert!(line.is_quiet());
    streams.server.stop();
}

#[test]
fn more_messages_than_one_read_takes_are_all_answered() {
    let streams = Streams::start("");
    let mut line = Line::open(streams.tcp);
    let requests: Vec<_> = (0..1_000).map(|_| options(&line)).collect();
    let all: String = requests.iter().map(Request::text).collect();
    assert!(all.len() > 2 * LONGEST);
    line.send(&all);
    requests.iter().for_each(|request| answers(&mut line, request));
    streams.server.stop();
}

#[test]
fn a_connection_that_is_never_between_messages_lives() {
    let streams = Streams::start("tcp_max_msg_time=1\n");
    let mut line = Line::open(streams.tcp);
    let mut request = options(&line);
    let mut text = request.text();
    line.send(&text[..text.len() / 2]);
    let until = Instant::now() + Duration::from_millis(2_500);
    while Instant::now() < until {
        let next = options(&line);
        let following = next.text();
        line.send(text[text.len() / 2..].to_owned() + &following[..following.len() / 2]);
        answers(&mut line, &request);
        (request, text) = (next, following);
        pause(Duration::from_millis(50));
    }
    streams.server.stop();
}

#[test]
fn a_single_line_end_is_no_message_that_has_to_go_on() {
    let streams = Streams::start("tcp_max_msg_time=1\n");
    let mut line = Line::open(streams.tcp);
    line.send("\r\n");
    pause(Duration::from_millis(1_500));
    line.ping();
    streams.server.stop();
}

#[test]
fn a_lifetime_of_nothing_is_enough_for_a_message() {
    let streams = Streams::start("tcp_connection_lifetime=0\n");
    let mut line = Line::open(streams.tcp);
    line.ping();
    streams.told_once([streams.end_of_tcp(line.port())]);
    streams.server.stop();
}

#[test]
fn a_message_may_come_byte_by_byte() {
    let streams = Streams::start("");
    let mut line = Line::open(streams.tcp);
    let request = options(&line).body("v=0\r\n\r\n");
    for byte in request.text().bytes() {
        line.send([byte]);
    }
    answers(&mut line, &request);
    streams.server.stop();
}

#[test]
fn a_message_and_a_half_is_served_as_far_as_it_goes() {
    let streams = Streams::start("");
    let mut line = Line::open(streams.tcp);
    let (first, second) = (options(&line), options(&line).body("body"));
    let (text, at) = (second.text(), second.text().len() - 3);
    line.send(first.text() + &text[..at]);
    answers(&mut line, &first);
    assert!(line.is_quiet());
    line.send(&text[at..]);
    answers(&mut line, &second);
    streams.server.stop();
}

#[test]
fn keep_alives_are_answered_between_messages() {
    let streams = Streams::start("");
    let mut line = Line::open(streams.tcp);
    line.send("\r\n\r\n");
    assert_eq!(line.receive_bytes(2), b"\r\n");
    let request = options(&line);
    line.send(format!("\r\n\r\n{}\r\n\r\n", request.text()));
    assert_eq!(line.receive_bytes(2), b"\r\n");
    answers(&mut line, &request);
    assert_eq!(line.receive_bytes(2), b"\r\n");
    line.ping();
    streams.server.stop();
}

#[test]
fn a_message_of_the_greatest_length_is_served() {
    let streams = Streams::start("");
    let mut line = Line::open(streams.tcp);
    let request = options_of(&line, LONGEST);
    assert_eq!(request.text().len(), LONGEST);
    line.send(request.text());
    answers(&mut line, &request);
    line.ping();
    streams.server.stop();
}

#[test]
fn a_message_that_is_too_long_ends_the_connection() {
    let streams = Streams::start("");
    let mut ends = Vec::new();
    for length in ["65536", "4294967328", "18446744073709551648", "99999999999999999999999", "-1", "1e9"] {
        let mut line = Line::open(streams.tcp);
        let text = options(&line).text().replace("Content-Length: 0", &format!("Content-Length: {length}"));
        line.send(text);
        ends.push(streams.end_of_tcp(line.port()));
        line.read_to_end();
    }
    let mut line = Line::open(streams.tcp);
    ends.push(streams.end_of_tcp(line.port()));
    // No end of the head, for ever; the server may close while it still comes.
    let _ = line.try_send(format!("OPTIONS sip:h SIP/2.0\r\nX: {}", "x".repeat(200_000)));
    line.read_to_end();
    streams.told_once(ends);
    streams.server.stop();
}

#[test]
fn a_bare_carriage_return_ends_the_connection() {
    let streams = Streams::start("");
    let mut line = Line::open(streams.tcp);
    let hidden = options(&line);
    // A parser that ends a line at the carriage return takes the second request for the body of the first.
    let length = hidden.text().len();
    let outer = options(&line).header("X", format!("a\rContent-Length: {length}"));
    line.send(outer.text() + &hidden.text());
    let answers = line.read_to_end();
    assert!(answers.is_empty(), "{}", String::from_utf8_lossy(&answers));
    streams.server.stop();
}

#[test]
fn who_says_that_no_more_comes_still_gets_the_answers() {
    let streams = Streams::start("");
    let mut line = Line::open(streams.tcp);
    let requests: Vec<_> = (0..20).map(|_| options(&line)).collect();
    let all: String = requests.iter().map(Request::text).collect();
    let end = streams.end_of_tcp(line.port());
    line.send(all);
    line.finish_sending();
    requests.iter().for_each(|request| answers(&mut line, request));
    assert!(line.read_to_end().is_empty());
    streams.told_once([end]);
    streams.server.stop();
}

#[test]
fn a_websocket_carries_messages_in_fragments_and_answers_pings() {
    let streams = Streams::start("");
    let mut web = Web::open(streams.ws);
    web.ping();
    let request = Request::over("WS", web.port(), "OPTIONS", &format!("sip:ping@{}", streams.ws));
    let text = request.text();
    let (begin, end) = text.as_bytes().split_at(70);
    let (begin, middle) = begin.split_at(20);
    let mut frames = web_frame(0x01, begin);
    frames.extend(web_frame(0x00, middle));
    frames.extend(web_frame(0x89, b"are you there"));
    frames.extend(web_frame(0x80, end));
    web.line.send(frames);
    assert_eq!(web.receive_frame(), (0x8a, b"are you there".to_vec()));
    let answer = web.receive();
    assert_eq!(answer.header("Call-ID"), Some(request.call_id.as_str()), "{}", answer.text);
    streams.server.stop();
}

#[test]
fn a_websocket_carries_many_frames_at_once_and_one_byte_by_byte() {
    let streams = Streams::start("");
    let mut web = Web::open(streams.ws);
    let uri = format!("sip:ping@{}", streams.ws);
    let requests: Vec<_> = (0..30).map(|_| Request::over("WS", web.port(), "OPTIONS", &uri)).collect();
    let frames: Vec<u8> =
        requests.iter().flat_map(|request| web_frame(0x82, request.text().as_bytes())).collect();
    web.line.send(frames);
    for request in &requests {
        assert_eq!(web.receive().header("Call-ID"), Some(request.call_id.as_str()));
    }
    let request = Request::over("WS", web.port(), "OPTIONS", &uri);
    for byte in web_frame(0x81, request.text().as_bytes()) {
        web.line.send([byte]);
    }
    assert_eq!(web.receive().header("Call-ID"), Some(request.call_id.as_str()));
    streams.server.stop();
}

#[test]
fn a_frame_of_a_websocket_that_is_too_long_ends_it() {
    let streams = Streams::start("");
    let mut ends = Vec::new();
    for length in [65_536_u64, 1 << 32, u64::MAX >> 1, u64::MAX] {
        let mut web = Web::open(streams.ws);
        ends.push(streams.end_of_ws(web.port()));
        let mut head = vec![0x81, 0xff];
        head.extend(length.to_be_bytes());
        head.extend([1, 2, 3, 4]);
        web.line.send(head);
        web.line.read_to_end();
    }
    streams.told_once(ends);
    streams.server.stop();
}
