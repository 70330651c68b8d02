//! The requests of one connection in reliable mode, from their being given until each is answered or given up. Pure: it
//! takes time and what was heard, and says what to write.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::own::OwnPorts;
use crate::transport::Receipts;
use crate::window::{Document, MAX_TRIES};

/// Requests that may wait for their answers over one connection.
const MAX_OPEN: usize = 256;

/// The requests, in the order in which they were given.
pub(crate) struct Requests {
    list: VecDeque<Request>,
    /// All requests before this one are written.
    next: usize,
    /// How many bytes of the next one are written.
    part: usize,
    /// How many wait for their answers.
    open: usize,
    /// Bytes of all.
    bytes: usize,
    /// How long an answer may take.
    patience: Duration,
    /// When the last answer came.
    heard: Option<Instant>,
}

struct Request {
    document: Document,
    state: State,
    /// Over how many connections it was sent.
    tries: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// It waits to be written.
    Waiting,
    /// Its last byte was written then.
    Sent(Instant),
    Answered,
    Dropped(ErrorKind, &'static str),
    /// Nobody wants to know any more.
    Forgotten,
}

impl Requests {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { list: VecDeque::new(), next: 0, part: 0, open: 0, bytes: 0, patience, heard: None }
    }

    /// Takes requests at the end.
    pub(crate) fn take(&mut self, documents: Vec<Document>) {
        self.bytes += documents.iter().map(|document| document.bytes().len()).sum::<usize>();
        let requests = documents.into_iter();
        self.list.extend(requests.map(|document| Request { document, state: State::Waiting, tries: 0 }));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where the port of a connection for them is noted.
    pub(crate) fn own_ports(&self) -> Option<OwnPorts> {
        self.list.iter().find_map(|request| request.document.receipts().own_ports())
    }

    /// What to write next, if there is anything.
    pub(crate) fn unwritten(&mut self) -> Option<&[u8]> {
        if self.open >= MAX_OPEN {
            return None;
        }
        while self.list.get(self.next).is_some_and(|request| request.state != State::Waiting) {
            self.next += 1;
        }
        self.list.get(self.next).map(|request| &request.document.bytes()[self.part..])
    }

    /// So many bytes of that were written.
    pub(crate) fn written(&mut self, bytes: usize, now: Instant) {
        let Some(request) = self.list.get_mut(self.next) else { return };
        self.part += bytes;
        if self.part >= request.document.bytes().len() {
            request.state = State::Sent(now);
            (self.next, self.part, self.open) = (self.next + 1, 0, self.open + 1);
        }
    }

    /// An answer came to the request `id`. One to no request that waits for it means nothing.
    pub(crate) fn answer(&mut self, id: i64, now: Instant) {
        let is_it =
            |request: &&mut Request| matches!(request.state, State::Sent(_)) && request.document.id() == id;
        if let Some(request) = self.list.iter_mut().find(is_it) {
            request.state = State::Answered;
            self.open -= 1;
            self.heard = Some(now);
            self.settle();
        }
    }

    /// What came is no answer to anything: the request that waits longest is given up.
    pub(crate) fn garbage(&mut self) {
        if let Some(request) = self.list.iter_mut().find(|request| matches!(request.state, State::Sent(_))) {
            request.state = State::Dropped(ErrorKind::InvalidData, "its answer is not JSON-RPC");
            self.open -= 1;
        }
        self.settle();
    }

    /// When the next request has waited long enough.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let sent = self.list.iter().find_map(|request| match request.state {
            State::Sent(at) => Some(at),
            _ => None,
        })?;
        // A subscriber that answers one after the other has time for each.
        Some(sent.max(self.heard.unwrap_or(sent)) + self.patience)
    }

    /// Gives up what has waited long enough.
    pub(crate) fn expire(&mut self, now: Instant) {
        while self.deadline().is_some_and(|deadline| deadline <= now) {
            let Some(request) = self.list.iter_mut().find(|request| matches!(request.state, State::Sent(_)))
            else {
                return;
            };
            request.state = State::Dropped(ErrorKind::TimedOut, "it did not answer in time");
            self.open -= 1;
        }
        self.settle();
    }

    /// The connection ended: writes again what was not answered, up to a few times. True if there is any.
    pub(crate) fn restart(&mut self) -> bool {
        let mut repeats = std::mem::take(&mut self.part) > 0;
        for request in &mut self.list {
            if matches!(request.state, State::Sent(_)) {
                request.tries += 1;
                request.state = match request.tries < MAX_TRIES {
                    true => State::Waiting,
                    false => State::Dropped(
                        ErrorKind::ConnectionAborted,
                        "its connections ended before it answered",
                    ),
                };
                repeats |= request.state == State::Waiting;
            }
        }
        (self.next, self.open) = (0, 0);
        self.settle();
        repeats
    }

    /// Gives up what was raised before `attempt` and is not sent.
    pub(crate) fn give_up(&mut self, attempt: u64, why: &io::Error) {
        for at in 0..self.list.len() {
            let request = &mut self.list[at];
            if request.state == State::Waiting && request.document.raised() <= attempt {
                request.state = State::Forgotten;
                request.document.receipts().dropped(1, why);
            }
        }
        self.settle();
    }

    /// Forgets what nobody waits for any more. What is written in part is written to its end.
    pub(crate) fn forget_closed(&mut self) {
        let begun = (self.part > 0).then_some(self.next);
        for (at, request) in self.list.iter_mut().enumerate() {
            let is_closed = || request.document.receipts().is_closed();
            match request.state {
                State::Waiting if begun != Some(at) && is_closed() => request.state = State::Forgotten,
                State::Sent(_) if is_closed() => {
                    request.state = State::Forgotten;
                    self.open -= 1;
                }
                _ => {}
            }
        }
        self.settle();
    }

    /// Reports what is known of the first ones, in their order.
    fn settle(&mut self) {
        let mut delivered: Option<(Rc<dyn Receipts>, usize)> = None;
        while self
            .list
            .front()
            .is_some_and(|request| !matches!(request.state, State::Waiting | State::Sent(_)))
        {
            let Some(Request { document, state, .. }) = self.list.pop_front() else { break };
            self.bytes -= document.bytes().len();
            self.next = self.next.saturating_sub(1);
            let receipts = Rc::clone(document.receipts());
            if state == State::Answered
                && let Some((same, count)) = &mut delivered
                && Rc::ptr_eq(same, &receipts)
            {
                *count += 1;
                continue;
            }
            if let Some((receipts, count)) = delivered.take() {
                receipts.delivered(count);
            }
            match state {
                State::Answered => delivered = Some((receipts, 1)),
                State::Dropped(kind, why) => receipts.dropped(1, &io::Error::new(kind, why)),
                State::Waiting | State::Sent(_) | State::Forgotten => {}
            }
        }
        if let Some((receipts, count)) = delivered {
            receipts.delivered(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::EventId;
    use crate::transport::{Event, Sent};

    const PATIENCE: Duration = Duration::from_millis(500);

    fn requests(count: u64, sent: &Rc<Sent>) -> Requests {
        let receipts: Rc<dyn Receipts> = Rc::clone(sent) as _;
        let mut requests = Requests::new(PATIENCE);
        let documents = (0..count).map(|number| {
            let event = Event::new(EventId::THRESHOLD, (*b"E_X").into(), number, number, &[]);
            Document::own(vec![b'0' + (number % 10) as u8; 3], &event, &receipts)
        });
        requests.take(documents.collect());
        requests
    }

    fn write_all(requests: &mut Requests, now: Instant) -> String {
        let mut all = String::new();
        while let Some(bytes) = requests.unwritten() {
            all.push_str(std::str::from_utf8(bytes).unwrap());
            let length = bytes.len();
            requests.written(length, now);
        }
        all
    }

    #[test]
    fn answers_in_any_order_are_reported_in_that_of_the_requests() {
        let (sent, now) = (Rc::new(Sent::default()), Instant::now());
        let mut requests = requests(3, &sent);
        assert_eq!(requests.unwritten().unwrap(), b"000");
        requests.written(2, now);
        assert_eq!(write_all(&mut requests, now), "0111222");
        requests.answer(2, now);
        assert_eq!(sent.counts(), (0, 0));
        requests.answer(77, now);
        requests.answer(1, now);
        assert_eq!(sent.counts(), (2, 0));
        requests.answer(1, now);
        requests.answer(3, now);
        assert_eq!((sent.counts(), requests.is_empty(), requests.bytes()), ((3, 0), true, 0));
    }

    #[test]
    fn what_is_not_answered_in_time_is_given_up() {
        let (sent, now) = (Rc::new(Sent::default()), Instant::now());
        let mut requests = requests(3, &sent);
        write_all(&mut requests, now);
        requests.answer(1, now + PATIENCE / 2);
        requests.expire(now + PATIENCE);
        assert_eq!(sent.counts(), (1, 0), "it answers one after the other");
        requests.expire(now + PATIENCE * 3 / 2);
        assert_eq!((sent.counts(), sent.error().unwrap()), ((1, 2), "it did not answer in time".into()));
        requests.answer(2, now + PATIENCE * 2);
        assert_eq!(sent.counts(), (1, 2), "too late");
    }

    #[test]
    fn what_was_not_answered_goes_again_but_not_for_ever() {
        let (sent, now) = (Rc::new(Sent::default()), Instant::now());
        let mut requests = requests(3, &sent);
        write_all(&mut requests, now);
        requests.answer(2, now);
        assert!(requests.restart());
        assert_eq!(write_all(&mut requests, now), "000222", "not what was answered");
        assert!(requests.restart());
        assert_eq!(write_all(&mut requests, now), "000222");
        requests.answer(1, now);
        assert_eq!(sent.counts(), (2, 0));
        assert!(!requests.restart());
        assert_eq!((sent.counts(), requests.is_empty()), ((2, 1), true));
    }

    #[test]
    fn garbage_costs_the_request_that_waits_longest() {
        let (sent, now) = (Rc::new(Sent::default()), Instant::now());
        let mut requests = requests(2, &sent);
        write_all(&mut requests, now);
        requests.garbage();
        assert!(requests.restart());
        assert_eq!((sent.counts(), write_all(&mut requests, now).as_str()), ((0, 1), "111"));
    }

    #[test]
    fn what_nobody_waits_for_is_forgotten_and_what_cannot_be_sent_given_up() {
        let (sent, other, now) = (Rc::new(Sent::default()), Rc::new(Sent::default()), Instant::now());
        let mut requests = requests(2, &sent);
        let receipts: Rc<dyn Receipts> = Rc::clone(&other) as _;
        let event = Event::new(EventId::THRESHOLD, (*b"E_X").into(), 7, 7, &[]);
        requests.take(vec![Document::own(b"777".to_vec(), &event, &receipts)]);
        requests.give_up(0, &ErrorKind::ConnectionRefused.into());
        assert_eq!(sent.counts(), (0, 1));
        sent.close();
        requests.written(1, now);
        requests.forget_closed();
        assert_eq!(write_all(&mut requests, now), "11777", "one was begun");
        requests.forget_closed();
        requests.answer(8, now);
        assert_eq!((other.counts(), sent.counts(), requests.is_empty()), ((1, 0), (0, 1), true));
    }

    #[test]
    fn few_wait_for_answers_at_once() {
        let (sent, now) = (Rc::new(Sent::default()), Instant::now());
        let mut requests = requests(MAX_OPEN as u64 + 5, &sent);
        assert_eq!(write_all(&mut requests, now).len(), 3 * MAX_OPEN);
        requests.answer(3, now);
        assert_eq!(write_all(&mut requests, now).len(), 3);
    }
}
