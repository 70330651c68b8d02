//! Events for a subscriber that stays, and for many that come and go, some of which nobody can reach.

use std::collections::HashSet;
use std::io::BufReader;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use serde_json::{Deserializer, Value, json};

use super::kills::Kills;
use super::management::Management;
use super::pace::Run;
use crate::harness::{free_tcp_port, until};

/// Subscribers over UDP that are there, and then no more.
const VISITORS: usize = 10;
/// Events of a round.
const EVENTS: usize = 100;

/// Subscribes, raises events that carry numbers, and lets the subscriptions expire, so many times a second.
pub(super) fn raise(run: &Run, http: u16, rate: f64, dir: &Path) -> u64 {
    let mut management = Management::new(http);
    let visitors: Vec<_> = (0..VISITORS).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    // Nobody listens there.
    let silent = free_tcp_port();
    let ballast = "x".repeat(300);
    run.repeat(rate, |round| {
        let mut ask = |method: &str, params: Value| match management.ask(method, &params) {
            Ok(answer) if answer["result"] == "OK" => {}
            Ok(answer) => run.fails(format!("{method} {params}: {answer}")),
            Err(failure) => run.fails(format!("{method} {params}: {failure}")),
        };
        let mut subscribe = |event: &str, socket: String, expire: u32| {
            ask("event_subscribe", json!({"event": event, "socket": socket, "expire": expire}));
        };
        for visitor in &visitors {
            subscribe("E_LOAD", format!("udp:{}", visitor.local_addr().unwrap()), 2);
        }
        subscribe("E_LOAD", format!("tcp:127.0.0.1:{silent}"), 1);
        subscribe("E_LOAD", format!("flatstore:{}/events.{}", dir.display(), round % 50), 1);
        subscribe("E_CORE_TCP_DISCONNECT", format!("unix:{}/none.{round}", dir.display()), 1);
        for _ in 0..EVENTS {
            let number = run.raised.fetch_add(1, Relaxed);
            let params = json!({"n": number, "p": ballast}).to_string();
            ask("raise_event", json!({"event": "E_LOAD", "params": params}));
        }
    })
}

/// What the subscriber that stays has heard.
#[derive(Debug, Default)]
struct Heard {
    numbers: HashSet<u64>,
    /// The process and its signal, of each end of a process.
    ends: Vec<(i64, i64)>,
}

/// A subscriber over TCP that stays.
pub(super) struct Listener {
    name: String,
    heard: Arc<Mutex<Heard>>,
}

impl Listener {
    #[expect(clippy::disallowed_methods, reason = "a test forks nothing: it may have threads")]
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let name = format!("tcp:{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Heard::default()));
        let into = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let into = Arc::clone(&into);
                std::thread::spawn(move || listen(stream, &into));
            }
        });
        Self { name, heard }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The first number that was not heard yet.
    pub(super) fn next_number(&self) -> u64 {
        self.heard.lock().unwrap().numbers.iter().max().map_or(0, |last| last + 1)
    }

    /// Every event that was `raised` was heard, and of each death; nobody died but who was killed.
    pub(super) fn has_heard_all(&self, raised: std::ops::Range<u64>, kills: &Kills) {
        let missing = || {
            let heard = self.heard.lock().unwrap();
            raised.clone().filter(|number| !heard.numbers.contains(number)).collect::<Vec<_>>()
        };
        until(&format!("all {raised:?} are heard"), || missing().is_empty().then_some(()));
        let killed: HashSet<_> = kills.pids().map(|pid| (pid, 9)).collect();
        until("all deaths are heard", || {
            let ends: HashSet<_> = self.heard.lock().unwrap().ends.iter().copied().collect();
            assert!(
                ends.is_subset(&killed),
                "others ended: {:?}",
                ends.difference(&killed).collect::<Vec<_>>()
            );
            (ends == killed).then_some(())
        });
    }
}

/// Takes what comes over one connection.
fn listen(stream: TcpStream, into: &Mutex<Heard>) {
    // What a courier that is killed had sent in part is sent again over the next connection.
    for event in Deserializer::from_reader(BufReader::new(stream)).into_iter::<Value>().map_while(Result::ok)
    {
        let mut heard = into.lock().unwrap();
        let params = &event["params"];
        if let Some(number) = params["n"].as_u64() {
            heard.numbers.insert(number);
        } else if event["method"] == "E_CORE_PROC_EXIT" {
            heard.ends.push((params["pid"].as_i64().unwrap(), params["signal"].as_i64().unwrap_or(0)));
        }
    }
}
