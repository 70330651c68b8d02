//! A caller, a machine and callees over a link that loses, repeats and reorders, in virtual time.

mod callee;
mod caller;
mod link;
mod proxy;

use proptest::prelude::*;

use super::{Kind, RFC, Timers};
use callee::{Callee, Plan};
use caller::Caller;
use link::{Link, Weather};
use proxy::Proxy;

const T1: u64 = 500;
const T2: u64 = 4_000;

/// Who a message goes to or comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Party {
    Caller,
    /// The machine's server side, or its branch of that number.
    Proxy(Option<usize>),
    Callee(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Message {
    Request,
    /// Hop by hop, for a non-2xx.
    Ack,
    /// End to end, for the 2xx of this branch.
    AckAnswer(usize),
    Cancel,
    /// A reply; a 2xx to an INVITE says which branch gave it, as its To tag would.
    Reply(u16, Option<usize>),
    CancelReply,
}

/// A client's repetition of one message.
#[derive(Clone, Copy, Debug)]
struct Repeat {
    at: u64,
    interval: u64,
    cap: u64,
    end: u64,
}

impl Repeat {
    fn start(now: u64, cap: u64) -> Self {
        Repeat { at: now + T1, interval: T1, cap, end: now + 64 * T1 }
    }

    /// Whether the message must be sent now; `None` at the end.
    fn wake(&mut self, now: u64) -> Option<bool> {
        if now >= self.end {
            return None;
        }
        let due = now >= self.at;
        if due {
            self.interval = (self.interval * 2).min(self.cap);
            self.at = now + self.interval;
        }
        Some(due)
    }

    fn deadline(&self) -> u64 {
        self.at.min(self.end)
    }
}

struct World {
    now: u64,
    link: Link,
    caller: Caller,
    proxy: Proxy,
    callees: Vec<Callee>,
}

impl World {
    fn new(call: &Call) -> Self {
        let reliable = call.weather.reliable;
        let mut plans = call.plans.clone();
        plans.reverse();
        World {
            now: 0,
            link: Link::new(call.weather, call.seed),
            caller: Caller::new(call.kind, reliable, call.cancel_at),
            proxy: Proxy::new(call.kind, reliable, call.timers, call.parallel, plans),
            callees: Vec::new(),
        }
    }

    fn run(&mut self) {
        self.caller.start(&mut self.link);
        for _ in 0..100_000 {
            let wakes = self.callees.iter().filter_map(Callee::deadline);
            let wakes = wakes.chain(self.caller.deadline()).chain(self.proxy.deadline());
            let Some(next) = wakes.chain(self.link.deadline()).min() else { return };
            assert!(next >= self.now, "{next} is in the past of {}", self.now);
            self.now = next;
            while let Some((from, to, message)) = self.link.arrival(next) {
                self.deliver(from, to, message);
            }
            self.caller.wake(next, &mut self.link);
            self.proxy.wake(next, &mut self.link, &mut self.callees);
            for callee in &mut self.callees {
                callee.wake(next, &mut self.link);
            }
        }
        panic!("no end at {}", self.now);
    }

    fn deliver(&mut self, from: Party, to: Party, message: Message) {
        let (now, link) = (self.now, &mut self.link);
        match to {
            Party::Caller => self.caller.receive(message, now, link),
            Party::Proxy(_) => self.proxy.receive(from, message, now, link, &mut self.callees),
            Party::Callee(branch) => self.callees[branch].receive(message, now, link),
        }
    }

    /// What must be true when all is quiet.
    fn check(&self, call: &Call) {
        self.proxy.check();
        self.caller.check();
        let rfc = call.timers.wait >= RFC.wait;
        match call.kind {
            Kind::Invite => {
                assert!(self.caller.has_final(), "the caller waits for ever");
                self.callees.iter().for_each(|callee| self.check_callee(callee, rfc));
            }
            Kind::NonInvite => {
                let soon = self.proxy.answered_at().is_some_and(|time| time <= 8_000);
                assert!(self.caller.has_final() || !soon || !rfc, "the reply is lost");
            }
        }
    }

    /// What must be true of a callee; `rfc` says whether the proxy keeps a transaction for as long as RFC 3261 asks.
    fn check_callee(&self, callee: &Callee, rfc: bool) {
        match callee.sent() {
            Some(200) => {
                let is_late = self.proxy.has_failed(callee.branch);
                assert!(is_late || self.caller.has_answer_of(callee.branch), "an answer is lost");
            }
            Some(_) => assert!(callee.is_acknowledged() || !rfc, "a failure is not acknowledged"),
            None => assert!(callee.is_silent(), "a callee rings for ever"),
        }
    }
}

/// A scenario.
#[derive(Clone, Debug)]
struct Call {
    kind: Kind,
    timers: Timers,
    weather: Weather,
    seed: u64,
    cancel_at: Option<u64>,
    /// How many of the plans are tried at once; the others follow one by one from the failure route.
    parallel: usize,
    plans: Vec<Plan>,
}

fn call() -> impl Strategy<Value = Call> {
    let kind = prop_oneof![3 => Just(Kind::Invite), 1 => Just(Kind::NonInvite)];
    let fr_inv = || prop_oneof![Just(10_000), Just(40_000), Just(120_000)];
    let timers =
        (prop_oneof![Just(RFC), Just(Timers::default())], prop_oneof![Just(5_000), Just(30_000)], fr_inv())
            .prop_map(|(timers, fr, fr_inv)| Timers { fr, fr_inv, ..timers });
    let plans = prop::collection::vec(callee::plan(), 1..5);
    let cancel_at = prop::option::of(0..60_000_u64);
    (kind, timers, link::weather(), any::<u64>(), cancel_at, 1..4_usize, plans).prop_map(
        |(kind, timers, weather, seed, cancel_at, parallel, plans)| Call {
            kind,
            timers,
            weather,
            seed,
            cancel_at,
            parallel,
            plans,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_call_ends_and_no_reply_is_lost_for_ever(call in call()) {
        let mut world = World::new(&call);
        world.run();
        world.check(&call);
    }
}
