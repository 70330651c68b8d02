//! The begin of a connection, up to its first message: TLS, then the WebSocket that carries the messages.

use std::rc::Rc;
use std::sync::Arc;

use tocsin_net::tls::{Progress, ServerConfig, Session, TlsError};
use tocsin_net::websocket::Offer;

use super::moment::Moment;
use super::state::Machine;
use super::step::{Step, Steps, Stop};
use crate::decoder::StreamDecoder;
use crate::end::End;

impl Machine {
    /// Begins a connection that was accepted, or that another process had before. `left_behind`: bytes at the front of the
    /// kernel's queue that a predecessor has served and had no time to take out.
    pub(crate) fn begin(&mut self, left_behind: usize, now: Moment, steps: &mut Steps) {
        steps.push(Step::LiveUntil(self.deadlines.lives_until()));
        if self.protocol.is_secure() {
            self.session = Some(Box::new(Session::accepting()));
            // What TLS knows lies in this process: nobody else can go on.
            self.set_movable(false, steps);
        } else if !self.protocol.is_websocket() || self.is_ready {
            self.become_ready(now, steps);
        }
        if left_behind > 0 {
            steps.push(Step::Take(left_behind));
        }
    }

    /// Begins a connection that this server opened: with the TLS `session`, and the `offer` of a WebSocket to this host.
    pub(crate) fn open(
        &mut self,
        session: Option<Session>,
        offer: Option<(Offer, Box<str>)>,
        now: Moment,
        steps: &mut Steps,
    ) {
        steps.push(Step::LiveUntil(self.deadlines.lives_until()));
        if let Some((offer, host)) = offer {
            self.decoder = StreamDecoder::Offering(offer, host);
        }
        match session {
            Some(session) => {
                self.session = Some(Box::new(session));
                self.decrypt(&[], now, steps);
            }
            None => self.start_messages(now, steps),
        }
        if let Some(end) = self.input.ends_as.take() {
            self.stop(Stop::End(*end), steps);
        }
    }

    /// The name that the client asks for with its hello (RFC 6066 section 3).
    pub(crate) fn server_name(&self) -> Option<Box<str>> {
        self.session.as_ref().and_then(|session| session.facts().server_name)
    }

    /// The configuration for the client's hello, or why there is none.
    pub(crate) fn answer_hello(
        &mut self,
        config: Result<Arc<ServerConfig>, End>,
        now: Moment,
        steps: &mut Steps,
    ) {
        let Some(session) = self.session.as_mut() else { return };
        match config {
            Ok(config) => {
                let progress = session.answer(config, &mut self.input.bytes, self.output.bytes());
                self.advance(progress, now, steps);
            }
            Err(end) => {
                if matches!(end, End::NoDomain(_)) {
                    session.refuse(self.output.bytes());
                }
                self.end_as(end);
            }
        }
    }

    /// Decrypts `ciphertext` into the bytes at hand.
    pub(super) fn decrypt(&mut self, ciphertext: &[u8], now: Moment, steps: &mut Steps) {
        match self.session.as_mut() {
            Some(session) => {
                let progress = session.receive(ciphertext, &mut self.input.bytes, self.output.bytes());
                self.advance(progress, now, steps);
            }
            None => self.end_as(End::NoSecurity),
        }
    }

    /// Goes on from where the TLS session is; what it says goes out at the next flush.
    fn advance(&mut self, progress: Result<Progress, TlsError>, now: Moment, steps: &mut Steps) {
        self.mark_dirty(steps);
        match progress {
            Ok(Progress::Hello { .. }) => steps.push(Step::Hello),
            Ok(Progress::Opened) => self.become_secure(now, steps),
            Ok(Progress::Closed) => {
                let is_open = self.session.as_ref().is_some_and(|session| session.is_open());
                if is_open && self.facts.is_none() {
                    // It said all it had to say in one breath.
                    self.become_secure(now, steps);
                }
                self.end_as(End::Closed);
            }
            Ok(Progress::Handshaking | Progress::Open) => {}
            Err(cause) => self.end_as(cause.into()),
        }
    }

    /// TLS is done: what it agreed on is kept for scripts, and what it carries begins.
    fn become_secure(&mut self, now: Moment, steps: &mut Steps) {
        self.facts = self.session.as_ref().map(|session| Rc::new(session.facts()));
        self.deadlines.begin_handshake(now.ms());
        self.start_messages(now, steps);
    }

    /// What lies below the messages stands: they may begin, or the WebSocket that carries them.
    fn start_messages(&mut self, now: Moment, steps: &mut Steps) {
        if self.protocol.is_websocket() {
            self.ask_for_websocket(steps);
        } else {
            self.become_ready(now, steps);
        }
    }

    /// Asks for the WebSocket, where it is ours to ask.
    fn ask_for_websocket(&mut self, steps: &mut Steps) {
        let StreamDecoder::Offering(offer, host) = &self.decoder else { return };
        let mut request = Vec::new();
        match offer.request_into(host, &self.policy.options.resource, None, &mut request) {
            Ok(()) => {
                self.say(&request, steps);
                self.mark_dirty(steps);
            }
            Err(cause) => self.end_as(End::NoWebSocket(cause.to_string())),
        }
    }

    /// Handshakes are done: messages that waited for that go out.
    pub(super) fn become_ready(&mut self, now: Moment, steps: &mut Steps) {
        self.is_ready = true;
        steps.push(Step::Ready);
        self.settle(steps);
        let since = self.policy.is_timed.then(|| now.ns());
        while let Some((message, branch_ref)) = self.output.take_held() {
            self.append(&message, branch_ref, since, steps);
        }
        self.mark_dirty(steps);
    }

    /// The connection ends as `end` once the bytes at hand are served; the first reason counts.
    fn end_as(&mut self, end: End) {
        self.input.ends_as.get_or_insert_with(|| Box::new(end));
    }
}
