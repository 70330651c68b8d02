//! A `tcp:` subscriber may end its connection at any moment, and the courier may be killed at any: each event arrives at
//! least once, whole, over this connection or the next one, and the accounts add up.

use std::io::Read as _;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::Range;

use serde_json::{Value, json};

use crate::harness::{Line, PATIENCE, Phone, Request, Server, Setup, until};

/// Events that are raised before something ends, and again behind that.
const BATCH: i64 = 4;

/// What events with numbers of four digits look like.
const TEXT: usize = r#"{"jsonrpc":"2.0","method":"E_TEST","params":{"b":"1000"}}"#.len();

/// How many bytes a subscriber reads of a batch before something ends.
const READ: [usize; 7] = [0, 1, TEXT - 1, TEXT, TEXT + 1, TEXT * 4 - 1, TEXT * 4];

struct Scene {
    server: Server,
    phone: Phone,
    listener: TcpListener,
    raised: Range<i64>,
}

impl Scene {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let startup = format!("    subscribe_event(\"E_TEST\", \"tcp:{}\");", listener.local_addr().unwrap());
        let server = Setup::new(include_str!("../configs/raised.cfg"))
            .put("MODULES", "loadmodule \"event_stream.so\"\nmodparam(\"event_stream\", \"timeout\", 20000)")
            .put("STARTUP", startup)
            .put("ROUTES", "")
            .start();
        listener.set_nonblocking(true).unwrap();
        Self { server, phone: Phone::new(), listener, raised: 1000..1000 }
    }

    fn raise_batch(&mut self) {
        for number in self.raised.end..self.raised.end + BATCH {
            let to = self.server.address();
            let request = Request::new(&self.phone, "MESSAGE", &format!("sip:body@{to}"));
            self.phone.send(to, request.body(number.to_string()).text());
            self.phone.expect_status(200);
        }
        self.raised.end += BATCH;
        self.waiting();
    }

    /// How many events wait, after a look at the account: none is dropped or lost.
    fn waiting(&self) -> i64 {
        let answer = self.server.mi().call("subscribers_statistics", Value::Null);
        let account = &answer["Subscribers"][0];
        let of = |name: &str| account[name].as_i64().unwrap();
        assert_eq!(of("raised"), self.raised.end - self.raised.start, "{answer}");
        assert_eq!(of("raised"), of("delivered") + of("waiting"), "{answer}");
        of("waiting")
    }

    fn accept(&self) -> TcpStream {
        let stream = until("the courier connects", || self.listener.accept().ok()).0;
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Reads until the last event that was raised, and adds to what was `seen`.
    fn read_all(&self, stream: &mut TcpStream, seen: &mut Vec<i64>) {
        while seen.last() != Some(&(self.raised.end - 1)) {
            let mut text = vec![0; TEXT];
            stream.read_exact(&mut text).unwrap();
            seen.extend(numbers(&text));
        }
    }

    /// Looks whether all events from `first` on were seen, and waits until the courier knows.
    fn check(&self, first: i64, seen: &[i64], what: &str) {
        let missing: Vec<_> = (first..self.raised.end).filter(|number| !seen.contains(number)).collect();
        assert!(missing.is_empty(), "{what}: {missing:?} did not arrive, {seen:?} did");
        until("no event waits", || (self.waiting() == 0).then_some(()));
    }
}

/// The numbers of the events in `bytes`, which begin with a whole one; what is cut off at the end does not count.
fn numbers(bytes: &[u8]) -> Vec<i64> {
    let number = |text: &[u8]| {
        let event: Value = serde_json::from_slice(text).unwrap();
        assert_eq!(event["method"], json!("E_TEST"));
        event["params"]["b"].as_str().unwrap().parse().unwrap()
    };
    bytes.chunks_exact(TEXT).map(number).collect()
}

fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_subscriber_ends_its_connection_at_any_moment() {
    let mut scene = Scene::start();
    for is_reset in [false, true] {
        for count in READ {
            for (before, after) in [(true, false), (false, true), (true, true)] {
                let first = scene.raised.end;
                scene.raise_batch();
                let mut stream = scene.accept();
                let mut seen = numbers(&read(&mut stream, count));
                if before {
                    scene.raise_batch();
                }
                // In order if nothing was left unread, else by a reset as well.
                match is_reset {
                    true => Line::new(stream).reset(),
                    false => drop(stream),
                }
                if after {
                    scene.raise_batch();
                }
                let what = format!("{count} bytes, {before} {after}, reset {is_reset}");
                let mut next = scene.accept();
                scene.read_all(&mut next, &mut seen);
                drop(next);
                scene.check(first, &seen, &what);
            }
        }
    }
    scene.server.stop();
}

/// Both directions one after the other, or the one to the server alone, and then the socket, whatever is left unread and
/// perhaps on its way.
#[test]
fn a_subscriber_shuts_its_connection_down_before_it_has_read_all() {
    let mut scene = Scene::start();
    let mut seen = Vec::new();
    for round in 0..6 {
        for count in READ {
            scene.raise_batch();
            let mut stream = scene.accept();
            seen.extend(numbers(&read(&mut stream, count)));
            scene.raise_batch();
            stream.shutdown(if round % 2 == 0 { Shutdown::Both } else { Shutdown::Write }).unwrap();
            drop(stream);
            let mut next = scene.accept();
            scene.read_all(&mut next, &mut seen);
            drop(next);
            until("no event waits", || (scene.waiting() == 0).then_some(()));
        }
    }
    let missing: Vec<_> = scene.raised.clone().filter(|number| !seen.contains(number)).collect();
    let unconfirmed = unconfirmed(&scene);
    assert!(missing.len() as i64 <= unconfirmed, "{missing:?} did not arrive, {unconfirmed} are counted");
    assert_eq!(unconfirmed > 0, scene.server.log().contains("may not have read"));
    scene.server.stop();
}

/// What its system had taken for it goes again; what does not, where a system takes more, is counted.
#[test]
fn a_subscriber_is_killed_before_it_has_read() {
    const REQUESTS: i64 = 5;
    const MANY: i64 = 2000;
    let mut scene = Scene::start();
    let to = scene.server.address();
    for _ in 0..REQUESTS {
        scene.phone.send(to, Request::new(&scene.phone, "OPTIONS", &format!("sip:many@{to}")).text());
        scene.phone.expect_status(200);
    }
    scene.raised.end += REQUESTS * MANY;
    let mut stream = scene.accept();
    read(&mut stream, TEXT);
    until("its system has no more room", || (scene.waiting() < REQUESTS * MANY - 500).then_some(()));
    // With something unread, as the end of its process: by a reset.
    drop(stream);
    let mut next = scene.accept();
    next.set_nonblocking(true).unwrap();
    let (mut text, mut bytes) = (String::new(), vec![0; 1 << 16]);
    let count = until("each event arrives or is counted", || {
        while let Ok(length @ 1..) = next.read(&mut bytes) {
            text.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
        }
        let count = text.matches("\"params\":[").count() as i64;
        let is_there = text.ends_with("[1999]}") && count >= REQUESTS * MANY - unconfirmed(&scene);
        (is_there && scene.waiting() == 0).then_some(count)
    });
    assert!(count <= REQUESTS * MANY, "each once");
    scene.server.stop();
}

fn unconfirmed(scene: &Scene) -> i64 {
    scene.server.statistic("events:unconfirmed")
}

#[test]
fn the_courier_is_killed_at_any_moment() {
    let mut scene = Scene::start();
    for count in READ {
        let first = scene.raised.end;
        scene.raise_batch();
        let mut stream = scene.accept();
        let mut bytes = read(&mut stream, count);
        scene.server.kill("event courier");
        // What its system had sent before is there.
        stream.read_to_end(&mut bytes).unwrap();
        let mut seen = numbers(&bytes);
        scene.raise_batch();
        let mut next = scene.accept();
        scene.read_all(&mut next, &mut seen);
        scene.check(first, &seen, &format!("{count} bytes"));
        drop(next);
    }
    scene.server.stop();
}
