//! Messages to TCP main and to the TCP workers: posted at once where the mailbox has room, queued in their order where it has
//! none. Who is behind with reading costs others time, never a connection.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use tocsin_net::Mailbox;

use super::pending::PendingGuard;
use super::shared::SharedConnections;
use crate::flow::BranchRef;

/// Bytes of messages that may wait in a process for full mailboxes to empty.
const MAX_WAITING_BYTES: usize = 8 << 20;
/// Time between two tries to post them.
pub(super) const POST_AGAIN: Duration = Duration::from_millis(5);

/// Whose mailbox a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// The process that accepts.
    Main,
    /// The TCP worker of this index.
    Worker(u16),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Main => f.write_str("TCP main"),
            Self::Worker(index) => write!(f, "TCP worker {index}"),
        }
    }
}

impl Destination {
    /// The mailbox; `None` for a worker that there is not.
    fn mailbox(self, shared: &SharedConnections) -> Option<&Mailbox> {
        match self {
            Self::Main => Some(&shared.main),
            Self::Worker(index) => shared.workers.get(usize::from(index)),
        }
    }

    /// Where its messages wait.
    fn place(self) -> usize {
        match self {
            Self::Main => 0,
            Self::Worker(index) => 1 + usize::from(index),
        }
    }

    fn at(place: usize) -> Self {
        place.checked_sub(1).map_or(Self::Main, |index| Self::Worker(index as u16))
    }
}

/// A message, and what goes with it.
pub struct QueuedMessage {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// A connection that is enclosed; held until the message is posted.
    pub enclosed: Option<Rc<dyn AsFd>>,
    /// Who waits for what it carries.
    pub branch_ref: Option<BranchRef>,
    /// The same, should this process die before it is posted.
    guard: Option<PendingGuard>,
}

impl QueuedMessage {
    /// The message `bytes`, with what is enclosed, for a branch.
    pub fn new(bytes: Vec<u8>, enclosed: Option<Rc<dyn AsFd>>, branch_ref: Option<BranchRef>) -> Self {
        Self { bytes, enclosed, branch_ref, guard: None }
    }
}

impl fmt::Debug for QueuedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueuedMessage({} bytes for {:?})", self.bytes.len(), self.branch_ref)
    }
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// It is in the mailbox.
    Done,
    /// It waits here. `first`: from now on [`SendQueue::post_again`] has to be called.
    Kept { first: bool },
    /// It was given up, and that was logged.
    Refused,
}

/// The messages of one process that found a full mailbox.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    /// Messages by the place of their destination.
    waiting: RefCell<Vec<VecDeque<QueuedMessage>>>,
    count: Cell<usize>,
    bytes: Cell<usize>,
}

impl SendQueue {
    /// Posts a message, or keeps it behind those that wait for the same mailbox.
    pub(crate) fn post(&self, shared: &SharedConnections, to: Destination, message: QueuedMessage) -> Posted {
        let Some(mailbox) = to.mailbox(shared) else { return Posted::Refused };
        let branch_ref = message.branch_ref;
        let posted = self.post_into(mailbox, to, message);
        if let (Posted::Kept { .. }, Some(branch_ref)) = (&posted, branch_ref)
            && let Some(message) = self.waiting.borrow_mut().get_mut(to.place()).and_then(VecDeque::back_mut)
        {
            message.guard = Some(shared.pending.note(branch_ref));
        }
        posted
    }

    fn post_into(&self, mailbox: &Mailbox, to: Destination, message: QueuedMessage) -> Posted {
        // Messages keep their order.
        if self.waiting_for(to) > 0 {
            return self.keep(to, message);
        }
        match post(mailbox, &message) {
            Ok(()) => Posted::Done,
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => self.keep(to, message),
            Err(cause) => {
                tracing::error!("{to} gets no message: {cause}");
                Posted::Refused
            }
        }
    }

    fn keep(&self, to: Destination, message: QueuedMessage) -> Posted {
        let bytes = self.bytes.get() + message.bytes.len();
        if bytes > MAX_WAITING_BYTES {
            tracing::error!("{to} does not read its messages: one is given up");
            return Posted::Refused;
        }
        self.bytes.set(bytes);
        let first = self.count.replace(self.count.get() + 1) == 0;
        let mut waiting = self.waiting.borrow_mut();
        let place = to.place();
        if waiting.len() <= place {
            waiting.resize_with(place + 1, VecDeque::new);
        }
        waiting[place].push_back(message);
        Posted::Kept { first }
    }

    /// Posts what waits, as far as there is room. Returns the branches of messages that cannot be posted at all.
    pub(crate) fn post_again(&self, shared: &SharedConnections) -> Vec<BranchRef> {
        let places = self.waiting.borrow().len();
        let mut failed = Vec::new();
        for to in (0..places).map(Destination::at) {
            if let Some(mailbox) = to.mailbox(shared) {
                self.post_waiting(mailbox, to, &mut failed);
            }
        }
        failed
    }

    fn post_waiting(&self, mailbox: &Mailbox, to: Destination, failed: &mut Vec<BranchRef>) {
        let mut waiting = self.waiting.borrow_mut();
        let Some(messages) = waiting.get_mut(to.place()) else { return };
        while let Some(message) = messages.front() {
            match post(mailbox, message) {
                Ok(()) => {}
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => break,
                Err(cause) => {
                    tracing::error!("{to} gets no message: {cause}");
                    failed.extend(message.branch_ref);
                }
            }
            if let Some(message) = messages.pop_front() {
                self.bytes.set(self.bytes.get() - message.bytes.len());
                self.count.set(self.count.get() - 1);
            }
        }
        // A large burst leaves no large queue behind.
        if messages.is_empty() {
            *messages = VecDeque::new();
        }
    }

    /// Messages that wait for the mailbox of `to`.
    pub(crate) fn waiting_for(&self, to: Destination) -> usize {
        self.waiting.borrow().get(to.place()).map_or(0, VecDeque::len)
    }

    /// Whether no message waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.get() == 0
    }
}

fn post(mailbox: &Mailbox, message: &QueuedMessage) -> io::Result<()> {
    mailbox.post(&[&message.bytes], message.enclosed.as_ref().map(|stream| stream.as_fd()))
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::rc::Weak;

    use tocsin_net::{MAX_MAILBOX_MESSAGE_BYTES, TooLong};

    use super::*;

    const TO: Destination = Destination::Worker(1);

    fn message(number: u32, enclosed: Option<Rc<dyn AsFd>>) -> QueuedMessage {
        let branch_ref = Some(BranchRef { transaction: number.into(), branch: 0 });
        QueuedMessage::new(number.to_le_bytes().to_vec(), enclosed, branch_ref)
    }

    /// Takes what is in the box: the numbers, and how many connections were enclosed.
    fn empty(mailbox: &Mailbox, numbers: &mut Vec<u32>) -> usize {
        let mut enclosed = 0;
        let mut buffer = [0; 4];
        while let Some(message) = mailbox.take(&mut buffer).unwrap() {
            numbers.push(u32::from_le_bytes(buffer));
            enclosed += usize::from(message.enclosed.is_some());
        }
        enclosed
    }

    #[test]
    fn a_full_mailbox_loses_no_letter_no_connection_and_no_order() {
        let mailbox = Mailbox::with_room(1).unwrap();
        let send_queue = SendQueue::default();
        let stream: Rc<OwnedFd> = Rc::new(std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into());
        let mut kept = Vec::new();
        for number in 0..100 {
            let posted = send_queue.post_into(&mailbox, TO, message(number, Some(Rc::clone(&stream) as _)));
            if posted != Posted::Done {
                kept.push(posted);
            }
        }
        assert!(kept.len() > 50, "{}", kept.len());
        assert_eq!(kept.iter().filter(|posted| **posted == Posted::Kept { first: true }).count(), 1);
        assert_eq!(send_queue.waiting_for(TO), kept.len());
        assert_eq!(send_queue.waiting_for(Destination::Worker(0)), 0);
        let weak: Weak<OwnedFd> = Rc::downgrade(&stream);
        drop(stream);
        let (mut numbers, mut enclosed, mut failed) = (Vec::new(), 0, Vec::new());
        while !send_queue.is_empty() {
            // Until its message is posted a connection is held.
            assert!(weak.upgrade().is_some());
            enclosed += empty(&mailbox, &mut numbers);
            send_queue.post_waiting(&mailbox, TO, &mut failed);
        }
        enclosed += empty(&mailbox, &mut numbers);
        assert!(weak.upgrade().is_none());
        assert_eq!((numbers, enclosed, failed), ((0..100).collect(), 100, vec![]));
        assert_eq!((send_queue.bytes.get(), send_queue.waiting_for(TO)), (0, 0));
    }

    #[test]
    fn letters_that_wait_are_bounded_in_bytes() {
        let mailbox = Mailbox::with_room(MAX_MAILBOX_MESSAGE_BYTES).unwrap();
        let send_queue = SendQueue::default();
        let long = || QueuedMessage::new(vec![0; MAX_MAILBOX_MESSAGE_BYTES], None, None);
        let refused = (0..1000).find(|_| send_queue.post_into(&mailbox, TO, long()) == Posted::Refused);
        let most = MAX_WAITING_BYTES / MAX_MAILBOX_MESSAGE_BYTES;
        assert!(refused.is_some_and(|count| (most..most + 10).contains(&count)), "{refused:?}");
    }

    #[test]
    fn a_letter_that_is_too_long_does_not_wait() {
        let mailbox = Mailbox::open().unwrap();
        let send_queue = SendQueue::default();
        let long = QueuedMessage::new(vec![0; MAX_MAILBOX_MESSAGE_BYTES + 1], None, None);
        let cause = post(&mailbox, &long).unwrap_err();
        assert!(cause.downcast::<TooLong>().is_ok());
        assert_eq!(send_queue.post_into(&mailbox, TO, long), Posted::Refused);
        assert!(send_queue.is_empty() && mailbox.is_empty().unwrap());
    }

    #[test]
    fn each_addressee_has_a_place_of_its_own() {
        for to in [Destination::Main, Destination::Worker(0), Destination::Worker(511)] {
            assert_eq!(Destination::at(to.place()), to);
        }
        assert_eq!(Destination::Worker(3).to_string(), "TCP worker 3");
    }
}
