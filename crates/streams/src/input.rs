//! Reading a connection: from the kernel, through TLS where there is any, cut into messages, and each served.

use std::io::ErrorKind;
use std::ops::Range;

use tocsin_net::connections::marks;
use tocsin_net::stream;
use tocsin_net::tls::Progress;
use tokio::io::Interest;

use super::connection::Connection;
use super::decoder::{Cut, StreamDecoder};
use super::end::End;
use tocsin_telemetry::time::now_ms;

/// Reads before other connections get their turn.
const READS_IN_A_ROW: usize = 8;
/// Bytes of an unfinished message from which on it is taken out of the kernel, whose queue may be no longer.
const TAKE_FROM: usize = 16 * 1024;

/// Messages and keep-alives of one look that are served before other connections get their turn.
const CUTS_IN_A_ROW: usize = 64;

/// What was served of the bytes at hand.
struct Served {
    bytes: usize,
    messages: usize,
    /// There may be more that is whole, for the next turn.
    is_enough: bool,
}

impl Connection {
    /// Reads and serves what has come. `true`: there may be more. `closed`: the peer sends no more.
    pub(super) fn take_in(&self, closed: bool) -> Result<bool, End> {
        for _ in 0..READS_IN_A_ROW {
            let drained = if self.reads_by_looking() { self.look(closed)? } else { self.take(closed)? };
            if drained || self.stops() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Plain bytes are looked at, and taken once they are served: a successor finds what was not.
    fn reads_by_looking(&self) -> bool {
        !self.protocol.is_secure() && self.held.borrow().is_empty()
    }

    /// Looks at what is queued and serves it. `true`: the queue is empty, or waits for the rest of a message.
    fn look(&self, closed: bool) -> Result<bool, End> {
        let mut bytes = self.local.owner.lend_buffer();
        let room = bytes.capacity();
        match self.stream.try_io(Interest::READABLE, || stream::peek(&self.stream, &mut bytes)) {
            Ok(true) => {}
            Ok(false) => return Err(End::Closed),
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => {
                self.local.owner.recycle(bytes);
                return Ok(true);
            }
            Err(cause) => return Err(End::Broken(cause)),
        }
        self.touch(now_ms());
        let seen = bytes.len();
        let (served, bytes) = self.serve_all(bytes, true)?;
        let rest = bytes.get(served.bytes..).unwrap_or_default();
        let left = rest.len();
        if served.is_enough {
            self.local.owner.recycle(bytes);
            return Ok(false);
        }
        self.note_progress(rest, &served);
        let take = left >= TAKE_FROM;
        if take {
            // From here on the begin of a message lies in this process.
            self.own.mark(0, marks::MOVABLE);
            self.held.borrow_mut().extend_from_slice(rest);
            self.discard(left)?;
        }
        self.local.owner.recycle(bytes);
        if take || seen == room || (left == 0 && closed) {
            return Ok(false);
        }
        if closed {
            return Err(End::Closed);
        }
        // What there was is served, or stays queued: what comes behind it makes the stream readable again.
        self.forget_readiness();
        Ok(true)
    }

    /// Notes whether a message is under way: `rest` is what is left of the bytes at hand, behind what was served. A TLS
    /// record that has begun counts as a message that has.
    fn note_progress(&self, rest: &[u8], served: &Served) {
        let decoder = self.decoder.borrow();
        let begun =
            !rest.is_empty() && (decoder.frames().is_some() || !tocsin_sip::is_between_messages(rest));
        let between = decoder.is_between_messages();
        let in_record = self.session.borrow().as_ref().is_some_and(|session| session.is_in_record());
        // What was under way before has come whole, and what is under way now came behind it.
        let anew = served.messages > 0 || (served.bytes > 0 && between);
        self.note_partial(begun || !between || in_record, anew);
    }

    /// Waits for the next arrival. One that came since the last wait is not missed: it is told at the next one.
    fn forget_readiness(&self) {
        let _ = self.stream.try_io::<()>(Interest::READABLE, || Err(ErrorKind::WouldBlock.into()));
    }

    /// Takes what is queued, through TLS if there is any, and serves it. What was taken before comes first. `true`: the
    /// queue is empty.
    fn take(&self, closed: bool) -> Result<bool, End> {
        if self.has_unserved.get() {
            self.serve_held()?;
            return Ok(false);
        }
        let mut bytes = self.local.owner.lend_buffer();
        let room = bytes.capacity();
        match self.stream.try_io(Interest::READABLE, || stream::read(&self.stream, &mut bytes)) {
            Ok(true) => {}
            Ok(false) => return Err(End::Closed),
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => {
                self.local.owner.recycle(bytes);
                return if closed { Err(End::Closed) } else { Ok(true) };
            }
            Err(cause) => return Err(End::Broken(cause)),
        }
        self.own.took(bytes.len());
        self.touch(now_ms());
        let decrypted = if self.protocol.is_secure() {
            self.decrypt(&bytes)
        } else {
            self.held.borrow_mut().extend_from_slice(&bytes);
            Ok(false)
        };
        let drained = bytes.len() < room && !closed;
        self.local.owner.recycle(bytes);
        self.serve_held()?;
        if !matches!(decrypted, Ok(false)) {
            // What came before the last word, or before a record that is broken, counts.
            while self.has_unserved.get() && !self.stops() {
                self.serve_held()?;
            }
        }
        if decrypted? {
            return Err(End::Closed);
        }
        if drained && !self.has_unserved.get() {
            self.forget_readiness();
            return Ok(true);
        }
        Ok(false)
    }

    /// Decrypts `ciphertext` into what is held. `true`: the peer said that no more will come.
    pub(super) fn decrypt(&self, ciphertext: &[u8]) -> Result<bool, End> {
        let mut progress = self.tls(|session, held, out| session.receive(ciphertext, held, out))?;
        loop {
            match progress {
                Progress::Hello { server_name } => {
                    progress = self.answer_hello(server_name.as_deref())?;
                }
                Progress::Opened => {
                    self.become_secure();
                    self.start_messages()?;
                    return Ok(false);
                }
                Progress::Closed => {
                    let opened = self.session.borrow().as_ref().is_some_and(|session| session.is_open());
                    if opened && self.facts().is_none() {
                        // It said all it had to say in one breath.
                        self.become_secure();
                        self.start_messages()?;
                    }
                    return Ok(true);
                }
                Progress::Handshaking | Progress::Open => return Ok(false),
            }
        }
    }

    fn answer_hello(&self, server_name: Option<&str>) -> Result<Progress, End> {
        let network = self.local.network;
        let security = network.security.as_ref().ok_or(End::NoSecurity)?;
        let local = network.sockets.listener(self.received.socket).address;
        match security.server_config(local, server_name) {
            Ok(config) => self.tls(|session, held, out| session.answer(config, held, out)),
            Err(cause) => {
                if let Some(session) = self.session.borrow_mut().as_mut() {
                    session.refuse(self.output.borrow_mut().bytes());
                }
                Err(End::NoDomain(cause))
            }
        }
    }

    /// Does `step` with the TLS session; what it says goes out at the next flush.
    fn tls(
        &self,
        step: impl FnOnce(
            &mut tocsin_net::tls::Session,
            &mut Vec<u8>,
            &mut Vec<u8>,
        ) -> Result<Progress, tocsin_net::tls::TlsError>,
    ) -> Result<Progress, End> {
        let mut session = self.session.borrow_mut();
        let session = session.as_mut().ok_or(End::NoSecurity)?;
        let stepped = step(session, &mut self.held.borrow_mut(), self.output.borrow_mut().bytes());
        self.mark_dirty();
        Ok(stepped?)
    }

    /// What lies below the messages stands: they may begin, or the WebSocket that carries them.
    pub(super) fn start_messages(&self) -> Result<(), End> {
        if self.protocol.is_websocket() {
            self.ask_for_websocket()
        } else {
            self.become_ready();
            Ok(())
        }
    }

    /// Serves the messages that are held whole, as many as one turn allows.
    fn serve_held(&self) -> Result<(), End> {
        let held = self.held.take();
        if held.is_empty() && !self.protocol.is_secure() {
            return Ok(());
        }
        let (served, mut rest) = self.serve_all(held, false)?;
        rest.drain(..served.bytes.min(rest.len()));
        // What was not looked at yet has come whole, or is noted when it is looked at.
        let begun = if served.is_enough { &[] } else { &rest[..] };
        self.note_progress(begun, &served);
        self.has_unserved.set(served.is_enough);
        if !rest.is_empty() {
            *self.held.borrow_mut() = rest;
        }
        self.settle();
        Ok(())
    }

    /// Serves what is whole in `bytes`, in order. Returns what was served, and the buffer with the rest in it; the buffer
    /// is empty when one message filled it. `queued`: the bytes are still in the kernel, and taken one by one.
    fn serve_all(&self, mut bytes: Vec<u8>, queued: bool) -> Result<(Served, Vec<u8>), End> {
        let (mut at, end) = (0, bytes.len());
        let mut messages = 0;
        let mut cuts = 0;
        let mut answer = Vec::new();
        while at < end && !self.stops() {
            cuts += 1;
            if cuts > CUTS_IN_A_ROW {
                self.answer(&mut answer);
                return Ok((Served { bytes: at, messages, is_enough: true }, bytes));
            }
            let limits = &self.local.network.limits;
            let cut = self.decoder.borrow_mut().cut(&mut bytes[at..], self.options(), limits, &mut answer);
            let upgrading = matches!(cut, Ok(Cut::Upgraded(_)));
            if upgrading {
                // Who answers and does not take the question leaves a successor that answers again.
                self.own.mark(0, marks::MOVABLE);
            }
            // Answers to keep-alives in a row leave together: over TLS each would be a record.
            if queued || !matches!(cut, Ok(Cut::Skip(_))) {
                self.answer(&mut answer);
            }
            let length = match cut? {
                Cut::Incomplete => break,
                Cut::Skip(length) | Cut::Upgraded(length) => length,
                Cut::Message(length, place) => {
                    messages += 1;
                    self.serve_message(taken_out(&mut bytes, at + place.start..at + place.end));
                    length
                }
                Cut::Joined(length, message) => {
                    messages += 1;
                    self.serve_message(message);
                    length
                }
                Cut::GoodBye => return Err(End::CloseFrame),
            };
            if queued {
                self.take_off(length)?;
            }
            if upgrading {
                self.become_ready();
            }
            self.own.served();
            at += length;
        }
        self.answer(&mut answer);
        Ok((Served { bytes: at, messages, is_enough: false }, bytes))
    }

    /// Takes bytes that were served out of the kernel, once what came of them is on its way.
    fn take_off(&self, length: usize) -> Result<(), End> {
        self.local.owner.flush();
        if !self.decoder.borrow().is_between_messages() {
            // What is taken now is the begin of a message.
            self.own.mark(0, marks::MOVABLE);
        }
        // A message goes out twice only if the process dies between the system call that writes it and this line.
        self.own.serves(length);
        self.discard(length)?;
        self.settle();
        Ok(())
    }

    /// Takes out what a predecessor has served and had no time to take out.
    pub(super) fn skip_served(&self) -> Result<(), End> {
        match self.own.left_behind(|| stream::consumed(&self.stream)) {
            0 => Ok(()),
            left => self.discard(left),
        }
    }

    /// Takes `length` bytes that were looked at out of the kernel's queue.
    fn discard(&self, length: usize) -> Result<(), End> {
        stream::discard(&self.stream, length).map_err(End::Broken)?;
        self.own.took(length);
        Ok(())
    }

    /// Sends what there is to say about the bytes themselves, and empties it.
    fn answer(&self, answer: &mut Vec<u8>) {
        if !answer.is_empty() {
            self.say(answer);
            answer.clear();
            self.mark_dirty();
        }
    }

    fn serve_message(&self, message: Vec<u8>) {
        // A keep-alive in a frame of its own (RFC 7118 leaves room for it).
        if tocsin_sip::is_between_messages(&message) {
            return;
        }
        self.own.mark(marks::SERVING, 0);
        self.local.owner.received(message, self.received);
    }

    /// Asks for the WebSocket, where it is ours to ask.
    fn ask_for_websocket(&self) -> Result<(), End> {
        let mut request = Vec::new();
        if let StreamDecoder::Offering(offer, host) = &*self.decoder.borrow() {
            offer
                .request_into(host, &self.options().resource, None, &mut request)
                .map_err(|cause| End::NoWebSocket(cause.to_string()))?;
        }
        if !request.is_empty() {
            self.say(&request);
            self.mark_dirty();
        }
        Ok(())
    }
}

/// The message at `place`. A buffer that it fills is given away with it.
fn taken_out(bytes: &mut Vec<u8>, place: Range<usize>) -> Vec<u8> {
    if place == (0..bytes.len()) { std::mem::take(bytes) } else { bytes[place].to_vec() }
}
