//! A user agent client by RFC 3261 section 17.1 and RFC 6026.

use std::collections::BTreeSet;

use super::link::Link;
use super::{Kind, Message, Party, Repeat, T2};

pub(super) struct Caller {
    kind: Kind,
    reliable: bool,
    cancel_at: Option<u64>,
    request: Option<Repeat>,
    cancel: Option<Repeat>,
    /// A provisional reply has come.
    rings: bool,
    rejections: BTreeSet<u16>,
    answers: BTreeSet<usize>,
}

impl Caller {
    pub(super) fn new(kind: Kind, reliable: bool, cancel_at: Option<u64>) -> Self {
        Caller {
            kind,
            reliable,
            cancel_at: cancel_at.filter(|_| kind == Kind::Invite),
            request: None,
            cancel: None,
            rings: false,
            rejections: BTreeSet::new(),
            answers: BTreeSet::new(),
        }
    }

    pub(super) fn start(&mut self, link: &mut Link) {
        self.send(Message::Request, 0, link);
        let cap = if self.kind == Kind::Invite { u64::MAX } else { T2 };
        self.request = Some(Repeat::start(0, cap)).filter(|_| !self.reliable);
    }

    pub(super) fn receive(&mut self, message: Message, now: u64, link: &mut Link) {
        match message {
            Message::Reply(..200, _) => {
                self.rings = true;
                if self.kind == Kind::Invite {
                    self.request = None;
                }
            }
            Message::Reply(status, branch) => {
                self.request = None;
                self.cancel = None;
                if self.kind == Kind::NonInvite || status >= 300 {
                    self.rejections.insert(status);
                } else {
                    self.answers.insert(branch.unwrap());
                }
                match (self.kind, status) {
                    (Kind::NonInvite, _) => {}
                    (Kind::Invite, ..300) => self.send(Message::AckAnswer(branch.unwrap()), now, link),
                    (Kind::Invite, _) => self.send(Message::Ack, now, link),
                }
            }
            Message::CancelReply => self.cancel = None,
            Message::Request | Message::Ack | Message::AckAnswer(_) | Message::Cancel => {
                panic!("{message:?}")
            }
        }
    }

    pub(super) fn wake(&mut self, now: u64, link: &mut Link) {
        if self.request.as_mut().is_some_and(|request| request.wake(now) == Some(true)) {
            self.send(Message::Request, now, link);
        }
        self.request = self.request.filter(|request| now < request.end);
        if self.cancel.as_mut().is_some_and(|cancel| cancel.wake(now) == Some(true)) {
            self.send(Message::Cancel, now, link);
        }
        self.cancel = self.cancel.filter(|cancel| now < cancel.end);
        if self.cancel_at.is_some_and(|time| time <= now) && self.rings {
            self.cancel_at = None;
            if !self.has_final() {
                self.send(Message::Cancel, now, link);
                self.cancel = Some(Repeat::start(now, T2)).filter(|_| !self.reliable);
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        // Before it rings the CANCEL may not be sent: the provisional reply wakes us.
        let cancel_at = self.cancel_at.filter(|_| self.rings);
        let repeats = self.request.iter().chain(&self.cancel).map(Repeat::deadline);
        repeats.chain(cancel_at).min()
    }

    pub(super) fn has_final(&self) -> bool {
        !self.rejections.is_empty() || !self.answers.is_empty()
    }

    pub(super) fn has_answer_of(&self, branch: usize) -> bool {
        self.answers.contains(&branch)
    }

    pub(super) fn check(&self) {
        assert!(self.rejections.len() <= 1, "{:?}", self.rejections);
    }

    fn send(&self, message: Message, now: u64, link: &mut Link) {
        link.send(Party::Caller, Party::Proxy(None), message, now);
    }
}
