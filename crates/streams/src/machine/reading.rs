//! Bytes that have come: through TLS where there is any, cut into messages, each served, then taken out of the kernel.

use super::input::{Arrival, Piece, Turn, Want};
use super::moment::Moment;
use super::state::Machine;
use super::step::{Step, Steps};
use crate::decoder::Cut;
use crate::end::End;

/// Bytes of an unfinished message from which on it is taken out of the kernel, whose queue may be no longer.
pub(super) const TAKE_FROM: usize = 16 * 1024;

/// Messages and keep-alives of one look that are served before other connections get their turn.
pub(super) const MAX_CUTS_IN_A_ROW: u32 = 64;

impl Machine {
    /// How bytes are read at this moment. Plain ones are looked at, and taken once they are served: a successor finds what
    /// was not.
    pub(crate) fn wants(&self) -> Want {
        if self.input.has_unserved {
            Want::Nothing
        } else if self.protocol.is_secure() || !self.input.bytes.is_empty() {
            Want::Take
        } else {
            Want::Look
        }
    }

    /// Bytes were read as [`wants`](Self::wants) said. They are served by [`proceed`](Self::proceed).
    pub(crate) fn received(&mut self, arrival: Arrival, now: Moment, steps: &mut Steps) {
        let Arrival { bytes, is_full, is_closed } = arrival;
        let is_queued = self.wants() == Want::Look;
        self.touch(now.ms(), steps);
        self.input.is_full = is_full;
        self.input.is_closed = is_closed;
        self.input.is_queued = is_queued;
        if is_queued {
            self.input.bytes = bytes;
        } else {
            if self.protocol.is_secure() {
                self.decrypt(&bytes, now, steps);
            } else {
                self.input.bytes.extend_from_slice(&bytes);
            }
            self.input.spent = bytes;
        }
        self.input.begin();
    }

    /// What was read before has its turn: there is more of it that is whole.
    pub(crate) fn resume(&mut self) {
        // There may be more behind it, whatever the last read said.
        self.input.is_full = true;
        self.input.begin();
    }

    /// The message of [`Step::Serve`].
    pub(crate) fn take_message(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input.message)
    }

    /// The buffer of the last read, once its bytes are served. Without a capacity if a message has taken it along.
    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input.spent)
    }

    /// The kernel had nothing, where bytes were expected. `is_closed`: nothing will come.
    pub(crate) fn nothing_came(&mut self, is_closed: bool) {
        if is_closed && self.wants() == Want::Take {
            self.fail(End::Closed);
        }
    }

    /// Goes on with the bytes at hand: what was served last is done, and the next message has its turn.
    pub(crate) fn proceed(&mut self, now: Moment, steps: &mut Steps) -> Turn {
        if let Some(piece) = self.input.piece.take() {
            self.finish(piece, now, steps);
        }
        if !self.input.is_serving {
            return Turn::Again;
        }
        if self.input.left() == 0 || self.stops() {
            return self.end_turn(false, now, steps);
        }
        // What came before the last word, or before a record that is broken, counts: it is served in the same turn.
        if self.input.pieces >= MAX_CUTS_IN_A_ROW && self.input.ends_as.is_none() {
            return self.end_turn(true, now, steps);
        }
        self.input.pieces += 1;
        match self.cut(steps) {
            Ok(true) => Turn::Serving,
            Ok(false) => self.end_turn(false, now, steps),
            Err(end) => {
                self.fail(end);
                Turn::Again
            }
        }
    }

    /// Cuts off the next piece, and serves it. `false`: there is none that is whole.
    fn cut(&mut self, steps: &mut Steps) -> Result<bool, End> {
        let input = &mut self.input;
        let (options, limits) = (self.policy.options, self.policy.limits);
        let is_rest = !self.decoder.is_between_messages();
        let cut = self.decoder.cut(&mut input.bytes[input.at..], options, limits, &mut input.answer);
        let is_queued = input.is_queued;
        let is_upgrade = matches!(cut, Ok(Cut::Upgraded(_)));
        if is_upgrade {
            // A process that answers and does not take the question leaves a successor that answers again.
            self.set_movable(false, steps);
        }
        // Answers to keep-alives in a row leave together: over TLS each would be a record.
        if is_queued || !matches!(cut, Ok(Cut::Skip(_))) {
            self.answer(steps);
        }
        let length = match cut? {
            Cut::Incomplete => return Ok(false),
            Cut::Skip(length) | Cut::Upgraded(length) => length,
            Cut::Message(length, place) => {
                let message = self.input.message(place);
                self.serve(message, steps);
                length
            }
            Cut::Joined(length, message) => {
                self.serve(message, steps);
                length
            }
            Cut::GoodBye => return Err(End::CloseFrame),
        };
        if is_queued {
            self.take_off(length, steps);
        }
        self.input.piece = Some(Piece { length, is_upgrade, is_rest });
        Ok(true)
    }

    fn serve(&mut self, message: Vec<u8>, steps: &mut Steps) {
        self.input.has_message = true;
        // A keep-alive in a frame of its own (RFC 7118 leaves room for it) is not a message.
        if !tocsin_sip::is_between_messages(&message) {
            self.input.message = message;
            steps.push(Step::Serve);
        }
    }

    /// Takes bytes that were served out of the kernel, once what came of them is on its way.
    fn take_off(&mut self, length: usize, steps: &mut Steps) {
        steps.push(Step::Flush);
        if !self.decoder.is_between_messages() {
            // What is taken now is the begin of a message.
            self.set_movable(false, steps);
        }
        steps.push(Step::NoteServed(length));
        steps.push(Step::Take(length));
    }

    /// A piece was served, and taken out of the kernel if it was still there.
    fn finish(&mut self, piece: Piece, now: Moment, steps: &mut Steps) {
        if self.input.is_queued {
            self.settle(steps);
        }
        if piece.is_upgrade {
            self.become_ready(now, steps);
        }
        steps.push(Step::Done);
        self.input.at += piece.length;
    }

    /// The turn is over; `is_enough`: there may be more that is whole, for the next one.
    fn end_turn(&mut self, is_enough: bool, now: Moment, steps: &mut Steps) -> Turn {
        self.answer(steps);
        self.input.answer = Vec::new();
        self.input.is_serving = false;
        if self.input.is_queued {
            self.end_look(is_enough, now, steps)
        } else {
            self.end_take(is_enough, now, steps)
        }
    }

    /// The end of a turn over bytes that are still in the kernel's queue.
    fn end_look(&mut self, is_enough: bool, now: Moment, steps: &mut Steps) -> Turn {
        if !is_enough {
            self.note_progress(false, now);
        }
        let left = self.input.left();
        let is_long = left >= TAKE_FROM && !is_enough;
        let held = if is_long { self.input.rest().to_vec() } else { Vec::new() };
        let bytes = std::mem::replace(&mut self.input.bytes, held);
        self.input.is_queued = false;
        if is_long {
            // From here on the begin of a message lies in this process.
            self.set_movable(false, steps);
            steps.push(Step::Take(left));
        }
        self.input.spent = bytes;
        if is_enough || is_long || self.input.is_full || (left == 0 && self.input.is_closed) {
            return Turn::Again;
        }
        if self.input.is_closed {
            self.fail(End::Closed);
            return Turn::Again;
        }
        // What there was is served, or stays queued: what comes behind it makes the stream readable again.
        Turn::Wait
    }

    /// The end of a turn over bytes that were taken out of the kernel.
    fn end_take(&mut self, is_enough: bool, now: Moment, steps: &mut Steps) -> Turn {
        // What was not looked at yet has come whole, or is noted when it is looked at.
        self.note_progress(is_enough, now);
        let served = self.input.at.min(self.input.bytes.len());
        self.input.bytes.drain(..served);
        self.input.has_unserved = is_enough;
        self.settle(steps);
        if let Some(end) = self.input.ends_as.take() {
            self.fail(*end);
            return Turn::Again;
        }
        let is_drained = !self.input.is_full && !self.input.is_closed && !is_enough;
        if is_drained { Turn::Wait } else { Turn::Again }
    }

    /// Notes whether a message is under way behind what was served. A TLS record that has begun counts as a message that has.
    /// `is_enough`: what is left was not looked at.
    fn note_progress(&mut self, is_enough: bool, now: Moment) {
        let rest = if is_enough { &[] } else { self.input.rest() };
        let is_begun =
            !rest.is_empty() && (self.decoder.frames().is_some() || !tocsin_sip::is_between_messages(rest));
        let is_between = self.decoder.is_between_messages();
        let is_in_record = self.session.as_ref().is_some_and(|session| session.is_in_record());
        if is_begun || !is_between || is_in_record {
            // What was under way before has come whole, and what is under way now came behind it.
            let anew = self.input.has_message || (self.input.at > 0 && is_between);
            self.deadlines.note_partial(now.ms(), anew);
        } else {
            self.deadlines.note_whole();
        }
    }

    /// Sends what there is to say about the bytes themselves, and empties it.
    fn answer(&mut self, steps: &mut Steps) {
        if self.input.answer.is_empty() {
            return;
        }
        let mut answer = std::mem::take(&mut self.input.answer);
        self.say(&answer, steps);
        self.mark_dirty(steps);
        answer.clear();
        self.input.answer = answer;
    }
}
