//! Scripts that go too far cost a bounded time and a bounded log, and the log names their line.

use serde_json::{Value, json};

use crate::harness::{Phone, Request, Server, Setup, Subscriber, until};

const CONFIG: &str = include_str!("../configs/script_limits.cfg");

fn start(globals: &str, subscriber: &Subscriber) -> Server {
    Setup::new(CONFIG).put("GLOBALS", globals).put("SUBSCRIBER", subscriber.name()).start()
}

fn send(server: &Server, phone: &Phone, user: &str) {
    let request = Request::new(phone, "OPTIONS", &format!("sip:{user}@{}", server.address()));
    phone.send(server.address(), request.text());
}

fn ask(server: &Server, user: &str) {
    let phone = Phone::new();
    send(server, &phone, user);
    phone.expect_status(200);
}

/// Where `text` stands in the configuration, as the log names it.
fn place(text: &str) -> String {
    let line = CONFIG.lines().position(|line| line.contains(text)).unwrap() + 1;
    format!("server.cfg:{line}: ")
}

/// The events that were told up to now.
fn told(server: &Server, subscriber: &Subscriber) -> Vec<Value> {
    server.mi().call("raise_event", json!(["E_MARK"]));
    subscriber.up_to("E_MARK").into_iter().map(|event| event["params"].clone()).collect()
}

/// The number in front of `words` in each line of `log` that has them.
fn numbers<'l>(log: &'l str, words: &'l str) -> impl Iterator<Item = usize> + use<'l> {
    log.lines().filter_map(move |line| line.split_once(words)?.0.rsplit(' ').next()?.parse().ok())
}

#[test]
fn a_script_without_an_end_is_ended_and_named() {
    for (user, line) in [("loops", "$var(none) + 1"), ("recursion", "route(twice);")] {
        let subscriber = Subscriber::new();
        let server = start("", &subscriber);
        let phone = Phone::new();
        send(&server, &phone, user);
        phone.expect_status(500);
        phone.ping(server.address());
        let more = " more errors of the same run, the last one here";
        let log = server.log();
        let ended = log.lines().find(|line| line.contains("script ended after 2 s without a wait")).unwrap();
        assert!(ended.contains("server.cfg:"), "{ended}");
        assert!(numbers(&log, more).all(|number| number > 1_000));
        let errors = log.lines().filter(|line| line.contains("ERROR:core: ")).count();
        assert_eq!(errors, 20 + 2, "{log}");
        if user == "loops" {
            assert!(log.contains(&place(line)), "{log}");
        }
        server.stop();
    }
}

#[test]
fn what_a_script_says_is_written_whole() {
    let subscriber = Subscriber::new();
    let server = start("", &subscriber);
    ask(&server, "words");
    let log = server.log();
    for number in 0..500 {
        assert!(log.contains(&format!("WARNING:word {number} of the script")), "{number}");
    }
    server.stop();
}

#[test]
fn control_characters_are_escaped_on_demand() {
    let said = "a\u{1b}[31mb\u{7f}c\u{9b}d";
    for (globals, heard) in [("", said), ("xlog_escape_control=yes", "a\\u{1b}[31mb\\u{7f}c\\u{9b}d")] {
        let subscriber = Subscriber::new();
        let server = start(globals, &subscriber);
        let phone = Phone::new();
        let request = Request::new(&phone, "OPTIONS", &format!("sip:control@{}", server.address()));
        phone.send(server.address(), request.header("X-Say", said).text());
        phone.expect_status(200);
        assert!(server.log().contains(&format!("WARNING:heard <{heard}>\n")), "{}", server.log());
        server.stop();
    }
}

#[test]
fn what_a_peer_says_is_printed_and_never_expanded() {
    let (subscriber, phone) = (Subscriber::new(), Phone::new());
    let server = start("", &subscriber);
    let said = "$fu %s%n$(hdr(To)) \\n{s.len}";
    let request = Request::new(&phone, "OPTIONS", &format!("sip:control@{}", server.address()));
    phone.send(server.address(), request.header("X-Say", said).text());
    phone.expect_status(200);
    assert!(server.log().contains(&format!("WARNING:heard <{said}>\n")), "{}", server.log());
    server.stop();
}

#[test]
fn lines_of_one_place_are_written_or_counted() {
    let subscriber = Subscriber::new();
    let server = start("", &subscriber);
    for _ in 0..200 {
        server.mi().answer("event_subscribe", json!(["E_XXX", subscriber.name()]));
    }
    let (wrong, more) = ("invalid event name <E_XXX>", " more such lines in the last second: ");
    let (written, counted) = until("each line is written or counted", || {
        let log = server.log();
        let written = log.lines().filter(|line| line.contains(wrong) && !line.contains(more)).count();
        let counted = numbers(&log, more).sum::<usize>();
        (written + counted == 200).then_some((written, counted))
    });
    assert!(counted > 0, "{written}");
    // The others may go on meanwhile.
    ask(&server, "anybody");
    // What is told is what is written.
    let lines = told(&server, &subscriber);
    let summed = lines.iter().filter(|line| line["message"].as_str().unwrap_or_default().contains(more));
    assert_eq!(summed.count(), numbers(&server.log(), more).count());
    server.stop();
}

#[test]
fn counted_lines_of_an_event_route_lead_to_no_event() {
    let subscriber = Subscriber::new();
    let server = start("", &subscriber);
    let phone = Phone::new();
    until("lines were counted", || {
        for _ in 0..3 {
            send(&server, &phone, "event");
            phone.expect_status(200);
        }
        server.log().contains(" more such lines in the last second: ").then_some(())
    });
    assert!(server.log().contains("more errors of the same run"));
    let lines = told(&server, &subscriber);
    assert!(!lines.iter().any(|line| line.to_string().contains("more")), "{lines:?}");
    server.stop();
}
