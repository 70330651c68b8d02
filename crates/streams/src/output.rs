//! What is on its way out of one connection: bounded, and each message with the branch that hears if it cannot be sent.

use std::collections::VecDeque;

use smallvec::SmallVec;

use super::pending::PendingGuard;
use crate::flow::BranchRef;

/// Bytes that may wait for the peer to take them, or for the connection to open.
pub(super) const MAX_WAITING_BYTES: usize = 512 * 1024;

/// Written bytes that are kept before the others are moved to the front.
const PAST_BYTES: usize = 64 * 1024;

/// A message whose sending is timed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Timed {
    /// When it was there to be sent, in nanoseconds of the monotonic clock.
    pub(super) since: u64,
    /// The message.
    pub(super) message: Vec<u8>,
}

/// Whose message it is that lies in the bytes.
#[derive(Debug)]
struct Unsent {
    /// Where it ends.
    end: usize,
    branch_ref: BranchRef,
    /// The same, should this process die while the peer takes nothing.
    guard: Option<PendingGuard>,
}

/// Messages and bytes that wait.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Messages that wait until the connection is open and its handshakes are done.
    held: VecDeque<(Vec<u8>, Option<BranchRef>)>,
    /// The same, should this process die.
    guard: Vec<PendingGuard>,
    /// Bytes for the kernel, of which the first `written` are gone.
    bytes: Vec<u8>,
    written: usize,
    /// Whose messages lie in `bytes`, and where each ends.
    branch_refs: VecDeque<Unsent>,
    /// Messages whose send time is measured, each with its end offset in `bytes`.
    timed: VecDeque<(usize, Timed)>,
    /// Those of them that the kernel has taken whole.
    sent: Vec<Timed>,
    /// Whose messages the kernel has taken whole since somebody asked.
    left: SmallVec<[BranchRef; 2]>,
    /// When bytes began to wait, in milliseconds of the monotonic clock; 0 when none do.
    since: u64,
}

impl Output {
    /// Lets a message wait for the handshakes. `false`: `most` wait already, or too many bytes.
    pub(super) fn hold(&mut self, message: Vec<u8>, branch_ref: Option<BranchRef>, most: u32) -> bool {
        let bytes: usize = self.held.iter().map(|(message, _)| message.len()).sum();
        let fits = self.held.len() < most as usize && bytes + message.len() <= MAX_WAITING_BYTES;
        if fits {
            self.held.push_back((message, branch_ref));
        }
        fits
    }

    /// Remembers that a message that waits for the handshakes stands in the pending.
    pub(super) fn keep_guard(&mut self, guard: PendingGuard) {
        self.guard.push(guard);
    }

    /// Has the requests that the peer does not take noted in shared memory, by `note`.
    pub(super) fn note_unsent(&mut self, note: impl Fn(BranchRef) -> PendingGuard) {
        for unsent in self.branch_refs.iter_mut().rev() {
            if unsent.guard.is_some() {
                break;
            }
            unsent.guard = Some(note(unsent.branch_ref));
        }
    }

    /// The next message that waited for the handshakes.
    pub(super) fn take_held(&mut self) -> Option<(Vec<u8>, Option<BranchRef>)> {
        self.held.pop_front()
    }

    /// Where bytes for the kernel are appended.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Notes whose message was appended last.
    pub(super) fn note(&mut self, branch_ref: Option<BranchRef>) {
        let end = self.bytes.len();
        self.branch_refs.extend(branch_ref.map(|branch_ref| Unsent { end, branch_ref, guard: None }));
    }

    /// Times the message that was appended last.
    pub(super) fn time(&mut self, timed: Timed) {
        self.timed.push_back((self.bytes.len(), timed));
    }

    /// The timed messages that have left since the last call.
    pub(super) fn take_sent(&mut self) -> Vec<Timed> {
        std::mem::take(&mut self.sent)
    }

    /// Whether messages have left since they were asked for.
    pub(super) fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// Whose messages have left since the last call.
    pub(super) fn take_left(&mut self) -> SmallVec<[BranchRef; 2]> {
        std::mem::take(&mut self.left)
    }

    /// Bytes that the kernel has not taken.
    pub(super) fn unwritten(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Whether nothing waits at all.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.unwritten().is_empty()
    }

    /// Whether more waits than may.
    pub(super) fn is_over(&self) -> bool {
        self.bytes.len() - self.written > MAX_WAITING_BYTES
    }

    /// The kernel took `count` bytes at `now`.
    pub(super) fn took(&mut self, count: usize, now: u64) {
        self.written += count;
        while let Some((_, timed)) = self.timed.pop_front_if(|(end, _)| *end <= self.written) {
            self.sent.push(timed);
        }
        if self.written == self.bytes.len() {
            // A large burst leaves no large buffer behind.
            if self.bytes.capacity() > 4096 {
                self.bytes = Vec::new();
            }
            self.bytes.clear();
            self.written = 0;
            if !self.branch_refs.is_empty() {
                let all = std::mem::take(&mut self.branch_refs);
                self.left.extend(all.into_iter().map(|unsent| unsent.branch_ref));
            }
            if self.held.is_empty() {
                self.guard = Vec::new();
            }
            self.since = 0;
            return;
        }
        if count > 0 || self.since == 0 {
            self.since = now;
        }
        while let Some(unsent) = self.branch_refs.pop_front_if(|unsent| unsent.end <= self.written) {
            self.left.push(unsent.branch_ref);
        }
        // A peer that is slow all the time leaves no ever growing past behind.
        if self.written >= PAST_BYTES {
            self.bytes.drain(..self.written);
            self.branch_refs.iter_mut().for_each(|unsent| unsent.end -= self.written);
            self.timed.iter_mut().for_each(|(end, _)| *end -= self.written);
            self.written = 0;
        }
    }

    /// Since when the peer has taken nothing of what waits; `None` when nothing waits.
    pub(super) fn stalled_since(&self) -> Option<u64> {
        (self.since != 0).then_some(self.since)
    }

    /// Whose messages have not left: asked at the end of the connection.
    pub(super) fn into_unsent(self) -> impl Iterator<Item = BranchRef> {
        self.held
            .into_iter()
            .filter_map(|(_, branch_ref)| branch_ref)
            .chain(self.branch_refs.into_iter().map(|unsent| unsent.branch_ref))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded() {
        let mut output = Output::default();
        assert!(output.hold(vec![0; 100], None, 2) && output.hold(vec![0; 100], None, 2));
        assert!(!output.hold(vec![0; 100], None, 2));
        let mut output = Output::default();
        assert!(!output.hold(vec![0; MAX_WAITING_BYTES + 1], None, 2));
        output.bytes().extend(vec![0; MAX_WAITING_BYTES + 1]);
        assert!(output.is_over());
        output.took(1, 5);
        assert!(!output.is_over());
    }

    #[test]
    fn a_stall_begins_anew_with_every_byte_taken() {
        let mut output = Output::default();
        output.bytes().extend(b"abcdef");
        output.note(Some(BranchRef { transaction: 1, branch: 0 }));
        output.took(0, 10);
        output.took(0, 20);
        assert_eq!(output.stalled_since(), Some(10));
        output.took(2, 30);
        assert!(output.take_left().is_empty());
        assert_eq!((output.stalled_since(), output.unwritten()), (Some(30), &b"cdef"[..]));
        output.took(4, 40);
        assert_eq!(output.take_left().as_slice(), [BranchRef { transaction: 1, branch: 0 }]);
        assert!(output.take_left().is_empty());
        assert_eq!((output.stalled_since(), output.unwritten()), (None, &b""[..]));
        assert_eq!(output.into_unsent().count(), 0);
    }

    #[test]
    fn what_a_slow_peer_took_is_forgotten() {
        let branch_ref = |n| Some(BranchRef { transaction: n, branch: 0 });
        let mut output = Output::default();
        for n in 0..100 {
            output.bytes().extend([0; 10_000]);
            output.note(branch_ref(n));
            output.took(9_900, n);
        }
        assert!(output.bytes.len() < 2 * PAST_BYTES, "{}", output.bytes.len());
        assert_eq!(output.unwritten().len(), 10_000);
        assert_eq!(output.into_unsent().map(|branch_ref| branch_ref.transaction).collect::<Vec<_>>(), [99]);
    }

    #[test]
    fn a_timed_message_is_sent_with_its_last_byte() {
        let timed = |since| Timed { since, message: vec![b'x'; since as usize] };
        let mut output = Output::default();
        for length in [3, 100_000, 2] {
            output.bytes().extend(vec![b'x'; length]);
            output.time(timed(length as u64));
        }
        output.took(2, 1);
        assert_eq!(output.take_sent(), []);
        output.took(90_000, 2);
        assert_eq!(output.take_sent(), [timed(3)]);
        output.took(10_000, 3);
        output.took(1, 4);
        assert_eq!(output.take_sent(), [timed(100_000)]);
        output.took(2, 5);
        assert_eq!((output.take_sent(), output.take_sent()), (vec![timed(2)], vec![]));
    }

    #[test]
    fn whoever_waits_is_known_at_the_end() {
        let branch_ref = |n| Some(BranchRef { transaction: n, branch: 0 });
        let mut output = Output::default();
        output.bytes().extend(b"abc");
        output.note(branch_ref(1));
        output.hold(vec![1], branch_ref(2), 9);
        let unsent: Vec<u64> = output.into_unsent().map(|branch_ref| branch_ref.transaction).collect();
        assert_eq!(unsent, [2, 1]);
    }
}
