//! A user agent server by RFC 3261 sections 13.3.1 and 17.2.

use proptest::prelude::*;

use super::link::Link;
use super::{Kind, Message, Party, Repeat, T2};

/// What a callee does with a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// It does not exist.
    silent: bool,
    /// Milliseconds from the request.
    ring_after: u64,
    final_after: u64,
    status: u16,
}

pub(super) fn plan() -> impl Strategy<Value = Plan> {
    let status = prop_oneof![3 => Just(200), 3 => Just(486), 1 => Just(404), 1 => Just(503), 1 => Just(603)];
    let final_after = prop_oneof![0..500_u64, 0..10_000_u64, 0..200_000_u64];
    (prop::bool::weighted(0.2), 0..3_000_u64, final_after, status).prop_map(
        |(silent, ring_after, final_after, status)| Plan { silent, ring_after, final_after, status },
    )
}

pub(super) struct Callee {
    pub(super) branch: usize,
    kind: Kind,
    reliable: bool,
    plan: Plan,
    ring_at: Option<u64>,
    final_at: Option<u64>,
    called: bool,
    last: Option<u16>,
    repeat: Option<Repeat>,
    acknowledged: bool,
}

impl Callee {
    pub(super) fn new(branch: usize, kind: Kind, reliable: bool, plan: Plan) -> Self {
        Callee {
            branch,
            kind,
            reliable,
            plan,
            ring_at: None,
            final_at: None,
            called: false,
            last: None,
            repeat: None,
            acknowledged: false,
        }
    }

    pub(super) fn receive(&mut self, message: Message, now: u64, link: &mut Link) {
        if self.plan.silent {
            return;
        }
        match message {
            Message::Request if !self.called => {
                self.called = true;
                self.final_at = Some(now + self.plan.final_after);
                if self.kind == Kind::Invite {
                    self.ring_at = Some(now + self.plan.ring_after);
                    self.reply(100, now, link);
                }
            }
            Message::Request => {
                if let Some(status) =
                    self.last.filter(|&status| self.kind == Kind::NonInvite || status != 200)
                {
                    self.send(status, now, link);
                }
            }
            Message::Ack => {
                assert!(self.sent().is_some_and(|status| status >= 300), "ACK for {:?}", self.last);
                self.end();
            }
            Message::AckAnswer(branch) => {
                assert!(self.sent() == Some(200) && branch == self.branch);
                self.end();
            }
            Message::Cancel => {
                assert!(self.called && self.kind == Kind::Invite, "a CANCEL before the provisional");
                link.send(self.address(), self.proxy(), Message::CancelReply, now);
                if self.sent().is_none() {
                    self.finish(487, now, link);
                }
            }
            Message::Reply(..) | Message::CancelReply => panic!("{message:?}"),
        }
    }

    pub(super) fn wake(&mut self, now: u64, link: &mut Link) {
        if self.final_at.is_some_and(|time| time <= now) {
            self.finish(self.plan.status, now, link);
        } else if self.ring_at.is_some_and(|time| time <= now) {
            self.ring_at = None;
            self.reply(180, now, link);
        }
        if self.repeat.as_mut().is_some_and(|repeat| repeat.wake(now) == Some(true)) {
            let status = self.last.unwrap();
            self.send(status, now, link);
        }
        self.repeat = self.repeat.filter(|repeat| now < repeat.end);
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        self.ring_at.into_iter().chain(self.final_at).chain(self.repeat.as_ref().map(Repeat::deadline)).min()
    }

    /// The final reply.
    pub(super) fn sent(&self) -> Option<u16> {
        self.last.filter(|&status| status >= 200)
    }

    pub(super) fn is_acknowledged(&self) -> bool {
        self.acknowledged
    }

    pub(super) fn is_silent(&self) -> bool {
        self.plan.silent
    }

    fn finish(&mut self, status: u16, now: u64, link: &mut Link) {
        self.ring_at = None;
        self.final_at = None;
        self.reply(status, now, link);
        // An answer is repeated on any transport, a failure only where it may be lost.
        if self.kind == Kind::Invite && (!self.reliable || status == 200) {
            self.repeat = Some(Repeat::start(now, T2));
        }
    }

    fn end(&mut self) {
        self.acknowledged = true;
        self.repeat = None;
    }

    fn reply(&mut self, status: u16, now: u64, link: &mut Link) {
        self.last = Some(status);
        self.send(status, now, link);
    }

    fn send(&self, status: u16, now: u64, link: &mut Link) {
        link.send(self.address(), self.proxy(), Message::Reply(status, Some(self.branch)), now);
    }

    fn address(&self) -> Party {
        Party::Callee(self.branch)
    }

    fn proxy(&self) -> Party {
        Party::Proxy(Some(self.branch))
    }
}
