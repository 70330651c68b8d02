//! Bytes that go: messages that wait for the handshakes, then for the kernel; what leaves whole, and what never does.

use tocsin_net::websocket;

use super::state::Machine;
use super::step::{Step, Steps, Stop};
use crate::decoder::mask_to;
use crate::end::End;
use crate::flow::BranchRef;
use crate::output::Timed;
use crate::pending::PendingGuard;

impl Machine {
    /// Queues a message. It leaves at the next flush of the process, or once the handshakes are done. `since`: the present
    /// in nanoseconds of the monotonic clock, if it is of interest how long sending takes. `note` notes in shared memory that
    /// a request is queued in this process alone.
    pub(crate) fn push(
        &mut self,
        message: Vec<u8>,
        branch_ref: Option<BranchRef>,
        since: Option<u64>,
        note: impl Fn(BranchRef) -> PendingGuard,
        steps: &mut Steps,
    ) {
        if self.is_ready {
            self.append(&message, branch_ref, since, steps);
            self.mark_dirty(steps);
            return;
        }
        let is_held = self.output.hold(message, branch_ref, self.policy.options.max_postponed);
        match branch_ref {
            Some(branch_ref) if is_held => self.output.keep_guard(note(branch_ref)),
            Some(branch_ref) => steps.push(Step::NotSent(branch_ref)),
            None => {}
        }
    }

    /// The bytes that the kernel has not taken.
    pub(crate) fn unwritten(&self) -> &[u8] {
        self.output.unwritten()
    }

    /// The process writes what waits. Returns how many bytes that are.
    pub(crate) fn begin_write(&mut self) -> usize {
        self.is_dirty = false;
        self.output.unwritten().len()
    }

    /// The kernel may take only a part of what waits: a process that dies with half a message written leaves a stream that
    /// nobody can go on with.
    pub(crate) fn may_write_half(&mut self, steps: &mut Steps) {
        self.set_movable(false, steps);
    }

    /// The kernel took `count` bytes at `now` (milliseconds of the monotonic clock).
    pub(crate) fn wrote(&mut self, count: usize, now: u64, steps: &mut Steps) {
        self.output.took(count, now);
        if self.output.has_left() {
            steps.extend(self.output.take_left().into_iter().map(Step::NoteLeft));
        }
        self.touch(now, steps);
        if self.policy.is_timed {
            steps.push(Step::Measure);
        }
        self.settle(steps);
    }

    /// The kernel took nothing at `now` (milliseconds of the monotonic clock): the peer is slow. `note`: as in
    /// [`push`](Self::push).
    pub(crate) fn stuck(&mut self, now: u64, note: impl Fn(BranchRef) -> PendingGuard, steps: &mut Steps) {
        self.output.took(0, now);
        self.output.note_unsent(note);
        if self.output.is_over() {
            self.stop(Stop::End(End::Stalled), steps);
        } else {
            steps.push(Step::Wake);
        }
        self.settle(steps);
    }

    /// The kernel will take nothing more.
    pub(crate) fn write_failed(&mut self, cause: std::io::Error, steps: &mut Steps) {
        self.stop(Stop::End(End::Broken(cause)), steps);
    }

    /// Queues the last words of a connection that ends as `end`. `false`: nothing can be said any more.
    pub(crate) fn say_good_bye(&mut self, end: &End, steps: &mut Steps) -> bool {
        /// RFC 6455 section 7.4.1: the endpoint goes away.
        const GOING_AWAY: u16 = 1001;
        if matches!(end, End::Broken(_) | End::Stalled | End::Refused(_) | End::ConnectTimeout(_)) {
            return false;
        }
        if matches!(end, End::Idle | End::WorkerEnded)
            && let Some(peer) = self.decoder.frames()
        {
            let mut frame = Vec::new();
            websocket::write_close(&mut frame, GOING_AWAY, "", mask_to(peer));
            self.say(&frame, steps);
        }
        if let Some(session) = self.session.as_mut() {
            session.close_notify(self.output.bytes());
        }
        true
    }

    /// The messages of [`Step::Measure`].
    pub(crate) fn take_sent(&mut self) -> Vec<Timed> {
        self.output.take_sent()
    }

    /// The branches whose messages have not left: to be asked at the end of the connection.
    pub(crate) fn take_unsent(&mut self) -> impl Iterator<Item = BranchRef> + use<> {
        std::mem::take(&mut self.output).into_unsent()
    }

    /// Puts a message into frames and records as the protocol wants it, behind what waits to be written.
    pub(super) fn append(
        &mut self,
        message: &[u8],
        branch_ref: Option<BranchRef>,
        since: Option<u64>,
        steps: &mut Steps,
    ) {
        match self.decoder.frames() {
            None => self.say(message, steps),
            Some(peer) => {
                let mut framed = Vec::new();
                websocket::write_message(&mut framed, message, mask_to(peer));
                self.say(&framed, steps);
            }
        }
        self.output.note(branch_ref);
        if let Some(since) = since {
            self.output.time(Timed { since, message: message.to_vec() });
        }
    }

    /// Queues bytes, encrypted where the protocol wants it.
    pub(super) fn say(&mut self, bytes: &[u8], steps: &mut Steps) {
        let out = self.output.bytes();
        let said = match self.session.as_mut() {
            None => {
                out.extend_from_slice(bytes);
                Ok(())
            }
            Some(session) => session.send(bytes, out),
        };
        if let Err(cause) = said {
            self.stop(Stop::End(End::Tls(cause)), steps);
        }
    }

    /// There is something to write at the next flush of the process.
    pub(super) fn mark_dirty(&mut self, steps: &mut Steps) {
        if !self.is_dirty {
            self.is_dirty = true;
            steps.push(Step::MarkDirty);
        }
    }
}
