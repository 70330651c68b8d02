//! What is known of one connection, what it waits for, and how it stops.

use std::rc::Rc;

use tocsin_net::Protocol;
use tocsin_net::connections::{View, marks};
use tocsin_net::tls::{Facts, Session};
use tocsin_sip::Limits;

use super::deadlines::{Deadlines, Stage, TimeLimits};
use super::input::Input;
use super::step::{Next, Step, Steps, Stop};
use crate::decoder::StreamDecoder;
use crate::end::End;
use crate::output::Output;
use crate::stream_options::StreamOptions;
use crate::tcp_profile::TcpProfile;

/// What is in force for one connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// How long each thing may take.
    pub(super) times: TimeLimits,
    /// How long sending takes is of interest.
    pub(super) is_timed: bool,
    /// The options of the protocol.
    pub(super) options: &'static StreamOptions,
    /// Bounds on messages.
    pub(super) limits: &'static Limits,
}

impl Policy {
    /// What the path of a connection, the options of its protocol and the bounds on messages say.
    pub(crate) fn new(
        profile: &TcpProfile,
        options: &'static StreamOptions,
        limits: &'static Limits,
    ) -> Self {
        Self {
            times: TimeLimits::new(profile, options),
            is_timed: profile.threshold_us != 0,
            options,
            limits,
        }
    }
}

/// One connection. See the [module](super).
#[derive(Debug)]
pub(crate) struct Machine {
    pub(super) policy: Policy,
    pub(super) protocol: Protocol,
    pub(super) deadlines: Deadlines,
    pub(super) decoder: StreamDecoder,
    /// TLS, where the protocol wants it.
    pub(super) session: Option<Box<Session>>,
    /// What TLS agreed on, once it has.
    pub(super) facts: Option<Rc<Facts>>,
    pub(super) input: Input,
    pub(super) output: Output,
    stop: Option<Stop>,
    /// The handshakes are done.
    pub(super) is_ready: bool,
    /// What the row says of it.
    is_movable: bool,
    /// There is something to write, and the process knows.
    pub(super) is_dirty: bool,
}

impl Machine {
    /// The connection that `view` shows, at `now` (milliseconds of the monotonic clock).
    pub(crate) fn new(policy: Policy, view: &View, now: u64) -> Self {
        let is_ready = view.marks & marks::READY != 0;
        Self {
            policy,
            protocol: view.protocol,
            deadlines: Deadlines::new(now, view.idle_until, &policy.times),
            decoder: match view.protocol {
                Protocol::Ws | Protocol::Wss if !is_ready => StreamDecoder::Accepting,
                Protocol::Ws | Protocol::Wss => {
                    StreamDecoder::web(view.marks & marks::OUTGOING != 0, policy.limits)
                }
                _ => StreamDecoder::sip(policy.limits),
            },
            session: None,
            facts: None,
            input: Input::default(),
            output: Output::default(),
            stop: None,
            is_ready,
            is_movable: view.marks & marks::MOVABLE != 0,
            is_dirty: false,
        }
    }

    /// What the connection's task does at `now`.
    pub(crate) fn next(&mut self, now: u64) -> Next {
        match self.stop.take() {
            // What was queued meanwhile has to leave first.
            Some(Stop::Move) if !self.can_move() => {}
            Some(stop) => return Next::Stop(stop),
            None => {}
        }
        let (until, end) = self.deadlines.due(self.stage(), self.output.stalled_since(), &self.policy.times);
        if until <= now {
            return Next::Stop(Stop::End(end));
        }
        Next::Wait { until, to_write: !self.output.unwritten().is_empty() }
    }

    /// Lets it live until `at` (milliseconds of the monotonic clock), whatever happens on it.
    pub(crate) fn keep(&mut self, at: u64, steps: &mut Steps) {
        self.deadlines.keep(at);
        steps.push(Step::LiveUntil(self.deadlines.lives_until()));
    }

    /// Stops the task; the first reason counts.
    pub(crate) fn stop(&mut self, stop: Stop, steps: &mut Steps) {
        self.stop.get_or_insert(stop);
        steps.push(Step::Wake);
    }

    /// Lets another worker go on with it, if that is possible.
    pub(crate) fn move_on(&mut self, steps: &mut Steps) {
        if self.can_move() {
            self.stop(Stop::Move, steps);
        }
    }

    /// Lets another worker go on with it, if that is possible; else it ends. `soon`: what only has to be written first is
    /// let go later, or ended by the next call.
    pub(crate) fn hand_over(&mut self, soon: bool, steps: &mut Steps) {
        if self.can_move() {
            self.stop(Stop::Move, steps);
        } else if !soon || self.protocol.is_secure() || self.output.is_empty() {
            self.stop(Stop::End(End::WorkerEnded), steps);
        }
    }

    /// The connection has ended by itself: what is at hand is not served any more.
    pub(crate) fn fail(&mut self, end: End) {
        self.stop = Some(Stop::End(end));
        self.input = Input::default();
    }

    /// Whether it has to stop, and nothing more may be read.
    pub(crate) fn stops(&self) -> bool {
        self.stop.is_some()
    }

    /// What TLS agreed on, once it has.
    pub(crate) fn facts(&self) -> Option<Rc<Facts>> {
        self.facts.clone()
    }

    /// Notes whether another process could go on from here.
    pub(super) fn settle(&mut self, steps: &mut Steps) {
        // A WebSocket is not ready while the request for it is answered and not taken: a successor would answer again.
        let is_movable = !self.protocol.is_secure()
            && self.is_ready
            && !self.input.holds_bytes()
            && self.decoder.is_between_messages()
            && self.output.unwritten().is_empty();
        self.set_movable(is_movable, steps);
    }

    /// Something of the connection lies, or will lie, in this process alone; or nothing does.
    pub(super) fn set_movable(&mut self, is_movable: bool, steps: &mut Steps) {
        if self.is_movable != is_movable {
            self.is_movable = is_movable;
            steps.push(Step::Movable(is_movable));
        }
    }

    /// Bytes came or went at `now`.
    pub(super) fn touch(&mut self, now: u64, steps: &mut Steps) {
        self.deadlines.touch(now, &self.policy.times);
        steps.push(Step::LiveUntil(self.deadlines.lives_until()));
    }

    fn stage(&self) -> Stage {
        match self.is_ready {
            true => Stage::Messages,
            false if self.protocol.is_secure() && self.facts.is_none() => Stage::TlsHandshake,
            false => Stage::WebSocketHandshake,
        }
    }

    /// Whether another worker could go on with it at this moment.
    fn can_move(&self) -> bool {
        self.is_movable && self.output.is_empty()
    }
}
