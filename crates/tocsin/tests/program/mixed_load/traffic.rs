//! All clients of the load: how many of each there are, and what came of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::callers::{Calls, Phones};
use super::kills::Kills;
use super::pace::Run;
use super::{Scene, clients, events};
use crate::harness::{Caller, Kind, Sipp, Tally};

/// Time for the last calls of a load, some of which wait for a successor.
const LAST_CALLS: Duration = Duration::from_secs(60);

/// How much is done a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    /// Of full load, in percent.
    percent: u64,
}

impl Rates {
    pub(super) fn of_full(percent: u64) -> Self {
        Self { percent }
    }

    /// The rate of what is done `full` times a second at full load: at least once in two seconds.
    fn of(self, full: u32) -> f64 {
        (f64::from(full) * self.percent as f64 / 100.0).max(0.5)
    }

    fn of_calls(self, full: u32) -> u32 {
        (self.of(full).round() as u32).max(1)
    }
}

/// Calls of SIPp: its mode, and calls a second at full load.
const SIPP: [(&str, u32); 3] = [("u1", 60), ("t1", 20), ("tn", 10)];
/// Calls of the phones a second at full load.
const PHONES: [(Kind, u32); 3] = [(Kind::Tls, 5), (Kind::Ws, 5), (Kind::Wss, 1)];
const REGISTERS: u32 = 90;
const CONNECTIONS: u32 = 47;
const MANAGEMENT: u32 = 22;
/// Rounds of 100 events and 13 subscriptions, ten times as many.
const EVENT_ROUNDS: u32 = 57;

/// What a thread counted.
enum Counted {
    Calls(Calls),
    Done(u64),
}

/// A load that runs.
pub(super) struct Traffic {
    run: Arc<Run>,
    /// The number of its first event.
    first: u64,
    ends: Instant,
    sipp: Vec<(&'static str, u32, Sipp)>,
    threads: Vec<(String, JoinHandle<Counted>)>,
}

/// What came of a load.
pub(super) struct Counts {
    sipp: Vec<(&'static str, u32, Tally)>,
    phones: Vec<(String, Calls)>,
    done: Vec<(String, u64)>,
    /// Events, in this load.
    pub(super) raised: std::ops::Range<u64>,
    failures: Vec<String>,
}

impl Traffic {
    pub(super) fn start(scene: &Scene, rates: &Rates, time: Duration) -> Self {
        let run = Arc::new(Run::default());
        let first = scene.listener.next_number();
        run.raised.store(first, Relaxed);
        let mut traffic =
            Self { run, first, ends: Instant::now() + time, sipp: Vec::new(), threads: Vec::new() };
        for (mode, full) in SIPP {
            let rate = rates.of_calls(full);
            let calls = rate * u32::try_from(time.as_secs()).unwrap();
            let to = if mode == "u1" { scene.server.port() } else { scene.address(Kind::Tcp).port() };
            let caller = Caller { scenario: "routed_caller.xml", to, calls, rate };
            traffic.sipp.push((mode, calls, Sipp::caller_over(mode, caller)));
        }
        for (kind, full) in PHONES {
            let phones = Phones::new(kind, scene.address(kind), &scene.authority);
            for number in 0..phones.count() {
                let (phones, rate) = (phones.clone(), rates.of(full) / f64::from(phones.count()));
                let name = format!("{} {number}", kind.transport());
                traffic.spawn(name, move |run| Counted::Calls(phones.call(run, rate)));
            }
        }
        let rate = rates.of(REGISTERS);
        let server = scene.server.address();
        traffic.spawn("registers".to_owned(), move |run| Counted::Done(clients::register(run, server, rate)));
        let (rate, tcp) = (rates.of(CONNECTIONS), scene.address(Kind::Tcp));
        traffic.spawn("connections".to_owned(), move |run| Counted::Done(clients::connect(run, tcp, rate)));
        let (rate, http) = (rates.of(MANAGEMENT), scene.server.http_port());
        traffic.spawn("management".to_owned(), move |run| Counted::Done(clients::manage(run, http, rate)));
        let (rate, dir) = (rates.of(EVENT_ROUNDS) / 10.0, scene.server.path("."));
        traffic
            .spawn("event rounds".to_owned(), move |run| Counted::Done(events::raise(run, http, rate, &dir)));
        traffic
    }

    #[expect(clippy::disallowed_methods, reason = "a test forks nothing: it may have threads")]
    fn spawn(&mut self, name: String, client: impl FnOnce(&Run) -> Counted + Send + 'static) {
        let run = Arc::clone(&self.run);
        self.threads.push((name, std::thread::spawn(move || client(&run))));
    }

    pub(super) fn goes_on(&self) -> bool {
        Instant::now() < self.ends
    }

    /// Waits for the last call of each caller.
    pub(super) fn finish(mut self) -> Counts {
        let of_sipp = |(mode, calls, sipp): (_, _, Sipp)| (mode, calls, sipp.finish(LAST_CALLS));
        let sipp = std::mem::take(&mut self.sipp).into_iter().map(of_sipp).collect();
        self.run.end();
        let (mut phones, mut done) = (Vec::new(), Vec::new());
        for (name, thread) in std::mem::take(&mut self.threads) {
            match thread.join().unwrap_or_else(|_| panic!("the client {name} failed")) {
                Counted::Calls(calls) => phones.push((name, calls)),
                Counted::Done(count) => done.push((name, count)),
            }
        }
        let raised = self.first..self.run.raised.load(Relaxed);
        Counts { sipp, phones, done, raised, failures: self.run.failures() }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.run.end();
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (mode, calls, tally) in &self.sipp {
            let Tally { successful, failed, retransmissions } = tally;
            writeln!(
                out,
                "  calls {mode}: {successful} of {calls}, {failed} failed, {retransmissions} retransmissions"
            )?;
        }
        for (name, Calls { made, again, cuts }) in &self.phones {
            writeln!(out, "  calls {name}: {made}, {again} placed again, {cuts} connections cut")?;
        }
        for (name, count) in &self.done {
            writeln!(out, "  {name}: {count}")?;
        }
        writeln!(out, "  events: {}, failures: {}", self.raised.end - self.raised.start, self.failures.len())
    }
}

impl Counts {
    /// Every call was made to its end, every other client got its answers, and a connection was cut only where a process
    /// that had its state was killed.
    pub(super) fn no_call_failed(&self, kills: &Kills) {
        for (mode, calls, tally) in &self.sipp {
            assert_eq!((tally.successful, tally.failed), (*calls, 0), "calls of SIPp, {mode}");
        }
        assert!(self.failures.is_empty(), "{:#?}", self.failures);
        for (name, calls) in &self.phones {
            assert!(calls.made > 0, "no call of {name}");
            let may_be_cut = if name.starts_with("WS ") { 0 } else { kills.of("TCP receiver") };
            assert!(calls.cuts <= may_be_cut, "connections cut of {name}: {calls:?}");
        }
    }
}
