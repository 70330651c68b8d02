//! Letters to TCP main and to the TCP workers: posted at once where the mailbox has room, kept in their order where it has
//! none. Who is behind with reading costs others time, never a connection.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use tocsin_net::Mailbox;

use super::exchange::Exchange;
use super::ledger::Noted;
use crate::flow::Ticket;

/// Bytes of letters that may wait in a process for full mailboxes to empty.
const WAITING_BYTES: usize = 8 << 20;
/// Time between two tries to post them.
pub(super) const POST_AGAIN: Duration = Duration::from_millis(5);

/// Whose mailbox a letter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressee {
    /// The process that accepts.
    Main,
    /// The TCP worker of this index.
    Worker(u16),
}

impl fmt::Display for Addressee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Main => f.write_str("TCP main"),
            Self::Worker(index) => write!(f, "TCP worker {index}"),
        }
    }
}

impl Addressee {
    /// The mailbox; `None` for a worker that there is not.
    fn mailbox(self, exchange: &Exchange) -> Option<&Mailbox> {
        match self {
            Self::Main => Some(&exchange.main),
            Self::Worker(index) => exchange.workers.get(usize::from(index)),
        }
    }

    /// Where its letters wait.
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

/// A letter, and what goes with it.
pub struct Mail {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// A connection that is enclosed; held until the letter is posted.
    pub enclosed: Option<Rc<dyn AsFd>>,
    /// Who waits for what it carries.
    pub ticket: Option<Ticket>,
    /// The same, should this process die before it is posted.
    noted: Option<Noted>,
}

impl Mail {
    /// The message `bytes`, with what is enclosed, for the branch of the ticket.
    pub fn new(bytes: Vec<u8>, enclosed: Option<Rc<dyn AsFd>>, ticket: Option<Ticket>) -> Self {
        Self { bytes, enclosed, ticket, noted: None }
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mail({} bytes for {:?})", self.bytes.len(), self.ticket)
    }
}

/// What became of a letter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// It is in the mailbox.
    Done,
    /// It waits here. `first`: from now on [`PostOffice::post_again`] has to be called.
    Kept { first: bool },
    /// It was given up, and that was logged.
    Refused,
}

/// The letters of one process that found a full mailbox.
#[derive(Debug, Default)]
pub(crate) struct PostOffice {
    /// Letters by the place of their addressee.
    waiting: RefCell<Vec<VecDeque<Mail>>>,
    count: Cell<usize>,
    bytes: Cell<usize>,
}

impl PostOffice {
    /// Posts a letter, or keeps it behind those that wait for the same mailbox.
    pub(crate) fn post(&self, exchange: &Exchange, to: Addressee, letter: Mail) -> Posted {
        let Some(mailbox) = to.mailbox(exchange) else { return Posted::Refused };
        let ticket = letter.ticket;
        let posted = self.post_into(mailbox, to, letter);
        if let (Posted::Kept { .. }, Some(ticket)) = (&posted, ticket)
            && let Some(letter) = self.waiting.borrow_mut().get_mut(to.place()).and_then(VecDeque::back_mut)
        {
            letter.noted = Some(exchange.ledger.note(ticket));
        }
        posted
    }

    fn post_into(&self, mailbox: &Mailbox, to: Addressee, letter: Mail) -> Posted {
        // Letters keep their order.
        if self.waiting_for(to) > 0 {
            return self.keep(to, letter);
        }
        match post(mailbox, &letter) {
            Ok(()) => Posted::Done,
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => self.keep(to, letter),
            Err(cause) => {
                tracing::error!("{to} gets no letter: {cause}");
                Posted::Refused
            }
        }
    }

    fn keep(&self, to: Addressee, letter: Mail) -> Posted {
        let bytes = self.bytes.get() + letter.bytes.len();
        if bytes > WAITING_BYTES {
            tracing::error!("{to} does not read its letters: one is given up");
            return Posted::Refused;
        }
        self.bytes.set(bytes);
        let first = self.count.replace(self.count.get() + 1) == 0;
        let mut waiting = self.waiting.borrow_mut();
        let place = to.place();
        if waiting.len() <= place {
            waiting.resize_with(place + 1, VecDeque::new);
        }
        waiting[place].push_back(letter);
        Posted::Kept { first }
    }

    /// Posts what waits, as far as there is room. Gives those back who wait for a letter that cannot be posted at all.
    pub(crate) fn post_again(&self, exchange: &Exchange) -> Vec<Ticket> {
        let places = self.waiting.borrow().len();
        let mut failed = Vec::new();
        for to in (0..places).map(Addressee::at) {
            if let Some(mailbox) = to.mailbox(exchange) {
                self.post_waiting(mailbox, to, &mut failed);
            }
        }
        failed
    }

    fn post_waiting(&self, mailbox: &Mailbox, to: Addressee, failed: &mut Vec<Ticket>) {
        let mut waiting = self.waiting.borrow_mut();
        let Some(letters) = waiting.get_mut(to.place()) else { return };
        while let Some(letter) = letters.front() {
            match post(mailbox, letter) {
                Ok(()) => {}
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => break,
                Err(cause) => {
                    tracing::error!("{to} gets no letter: {cause}");
                    failed.extend(letter.ticket);
                }
            }
            if let Some(letter) = letters.pop_front() {
                self.bytes.set(self.bytes.get() - letter.bytes.len());
                self.count.set(self.count.get() - 1);
            }
        }
        // A large burst leaves no large queue behind.
        if letters.is_empty() {
            *letters = VecDeque::new();
        }
    }

    /// Letters that wait for the mailbox of `to`.
    pub(crate) fn waiting_for(&self, to: Addressee) -> usize {
        self.waiting.borrow().get(to.place()).map_or(0, VecDeque::len)
    }

    /// Whether no letter waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.get() == 0
    }
}

fn post(mailbox: &Mailbox, letter: &Mail) -> io::Result<()> {
    mailbox.post(&[&letter.bytes], letter.enclosed.as_ref().map(|stream| stream.as_fd()))
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::rc::Weak;

    use tocsin_net::{LETTER_MAX, TooLong};

    use super::*;

    const TO: Addressee = Addressee::Worker(1);

    fn letter(number: u32, enclosed: Option<Rc<dyn AsFd>>) -> Mail {
        let ticket = Some(Ticket { transaction: number.into(), branch: 0 });
        Mail::new(number.to_le_bytes().to_vec(), enclosed, ticket)
    }

    /// Takes what is in the box: the numbers, and how many connections were enclosed.
    fn empty(mailbox: &Mailbox, numbers: &mut Vec<u32>) -> usize {
        let mut enclosed = 0;
        let mut buffer = [0; 4];
        while let Some(letter) = mailbox.take(&mut buffer).unwrap() {
            numbers.push(u32::from_le_bytes(buffer));
            enclosed += usize::from(letter.enclosed.is_some());
        }
        enclosed
    }

    #[test]
    fn a_full_mailbox_loses_no_letter_no_connection_and_no_order() {
        let mailbox = Mailbox::with_room(1).unwrap();
        let post_office = PostOffice::default();
        let stream: Rc<OwnedFd> = Rc::new(std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into());
        let mut kept = Vec::new();
        for number in 0..100 {
            let posted = post_office.post_into(&mailbox, TO, letter(number, Some(Rc::clone(&stream) as _)));
            if posted != Posted::Done {
                kept.push(posted);
            }
        }
        assert!(kept.len() > 50, "{}", kept.len());
        assert_eq!(kept.iter().filter(|posted| **posted == Posted::Kept { first: true }).count(), 1);
        assert_eq!(post_office.waiting_for(TO), kept.len());
        assert_eq!(post_office.waiting_for(Addressee::Worker(0)), 0);
        let weak: Weak<OwnedFd> = Rc::downgrade(&stream);
        drop(stream);
        let (mut numbers, mut enclosed, mut failed) = (Vec::new(), 0, Vec::new());
        while !post_office.is_empty() {
            // Until its letter is posted a connection is held.
            assert!(weak.upgrade().is_some());
            enclosed += empty(&mailbox, &mut numbers);
            post_office.post_waiting(&mailbox, TO, &mut failed);
        }
        enclosed += empty(&mailbox, &mut numbers);
        assert!(weak.upgrade().is_none());
        assert_eq!((numbers, enclosed, failed), ((0..100).collect(), 100, vec![]));
        assert_eq!((post_office.bytes.get(), post_office.waiting_for(TO)), (0, 0));
    }

    #[test]
    fn letters_that_wait_are_bounded_in_bytes() {
        let mailbox = Mailbox::with_room(LETTER_MAX).unwrap();
        let post_office = PostOffice::default();
        let long = || Mail::new(vec![0; LETTER_MAX], None, None);
        let refused = (0..1000).find(|_| post_office.post_into(&mailbox, TO, long()) == Posted::Refused);
        let most = WAITING_BYTES / LETTER_MAX;
        assert!(refused.is_some_and(|count| (most..most + 10).contains(&count)), "{refused:?}");
    }

    #[test]
    fn a_letter_that_is_too_long_does_not_wait() {
        let mailbox = Mailbox::open().unwrap();
        let post_office = PostOffice::default();
        let long = Mail::new(vec![0; LETTER_MAX + 1], None, None);
        let cause = post(&mailbox, &long).unwrap_err();
        assert!(cause.downcast::<TooLong>().is_ok());
        assert_eq!(post_office.post_into(&mailbox, TO, long), Posted::Refused);
        assert!(post_office.is_empty() && mailbox.is_empty().unwrap());
    }

    #[test]
    fn each_addressee_has_a_place_of_its_own() {
        for to in [Addressee::Main, Addressee::Worker(0), Addressee::Worker(511)] {
            assert_eq!(Addressee::at(to.place()), to);
        }
        assert_eq!(Addressee::Worker(3).to_string(), "TCP worker 3");
    }
}
