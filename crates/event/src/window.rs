//! The documents of one connection, from their being given until nobody needs them: to be written, written and not
//! acknowledged, and the last ones that were.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;

use crate::own::OwnPorts;
use crate::passed::Passed;
use crate::transport::{Event, Receipts};

/// Bytes of acknowledged documents that are kept for the case that the connection is reset.
/// A system with the usual limits holds no more for a subscriber that has read nothing.
pub(crate) const KEPT_BYTES: usize = 128 << 10;

/// Bytes of acknowledged documents that are kept for all connections: where there are many, each keeps less.
pub(crate) const ALL_KEPT_BYTES: usize = 4 << 20;

/// A connection's share in [`ALL_KEPT_BYTES`]. Each connection has a copy of one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Share(Rc<()>);

impl Share {
    /// Bytes of acknowledged documents that a connection may keep now.
    fn bytes(&self) -> usize {
        // The first one is the transport's.
        let connections = Rc::strong_count(&self.0).saturating_sub(1).max(1);
        KEPT_BYTES.min(ALL_KEPT_BYTES / connections)
    }
}

/// Over how many connections a document is sent that was acknowledged each time, before a reset. A subscriber that takes
/// one document and resets its connection would else never come to the next.
pub(crate) const MAX_TRIES: u8 = 3;

/// One text for a subscriber.
pub(crate) struct Document {
    text: Text,
    /// What a request for its event is known by.
    id: i64,
    /// When its event was raised, in microseconds of the monotonic clock.
    raised: u64,
    /// Who wants to know what becomes of it.
    receipts: Rc<dyn Receipts>,
    /// That was said.
    reported: bool,
    /// Where it ends among the bytes of the connection.
    end: u64,
    /// Over how many connections it was acknowledged.
    tries: u8,
}

/// The id of a request for an event: its number, so that a subscriber knows one that comes twice.
pub(crate) fn request_id(event: &Event) -> i64 {
    // Not 0, which some take for none.
    i64::try_from(event.number).map_or(i64::MAX, |number| number.saturating_add(1))
}

enum Text {
    Event(Rc<Event>),
    Own(Box<[u8]>),
}

impl Document {
    /// The text of the event as it is.
    pub(crate) fn plain(event: &Rc<Event>, receipts: &Rc<dyn Receipts>) -> Self {
        Self::new(Text::Event(Rc::clone(event)), event, receipts)
    }

    /// Another text for the event.
    pub(crate) fn own(text: Vec<u8>, event: &Event, receipts: &Rc<dyn Receipts>) -> Self {
        Self::new(Text::Own(text.into()), event, receipts)
    }

    fn new(text: Text, event: &Event, receipts: &Rc<dyn Receipts>) -> Self {
        Self {
            text,
            id: request_id(event),
            raised: event.time,
            receipts: Rc::clone(receipts),
            reported: false,
            end: 0,
            tries: 0,
        }
    }

    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    pub(crate) fn raised(&self) -> u64 {
        self.raised
    }

    pub(crate) fn receipts(&self) -> &Rc<dyn Receipts> {
        &self.receipts
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.text {
            Text::Event(event) => event.json(),
            Text::Own(text) => text,
        }
    }

    fn is_closed(&self) -> bool {
        !self.reported && self.receipts.is_closed()
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The subscriber closed after it had read what had come until then, or nobody needs the connection any more.
    Orderly,
    /// Without that: what its system acknowledged may not have been read.
    Reset,
    /// One of the two, and nothing says which.
    Unclear,
}

/// What an acknowledgement brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Documents were delivered.
    pub(crate) any: bool,
    /// And many are not kept any more.
    pub(crate) step: bool,
}

/// What the end of a connection means for its documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Restart {
    /// Some that were written go again.
    pub(crate) repeats: bool,
    /// So many that were acknowledged may not have been read, and do not go again.
    pub(crate) unconfirmed: usize,
}

/// The documents, in the order in which they are written: acknowledged ones, written ones, and the others.
#[derive(Default)]
pub(crate) struct Window {
    documents: VecDeque<Document>,
    /// How many are acknowledged.
    acknowledged: usize,
    /// Their bytes.
    kept: usize,
    /// How many are written in whole.
    written: usize,
    /// How many bytes of the next one are written.
    part: usize,
    /// Bytes of those that are not acknowledged.
    bytes: usize,
    share: Share,
    /// Those that were kept.
    passed: Passed,
    /// How far the connection is acknowledged, in whole documents.
    end: u64,
}

impl Window {
    pub(crate) fn new(share: Share) -> Self {
        Self { share, ..Self::default() }
    }

    /// Takes documents at the end.
    pub(crate) fn take(&mut self, documents: Vec<Document>) {
        self.bytes += documents.iter().map(|document| document.bytes().len()).sum::<usize>();
        self.documents.extend(documents);
    }

    /// Bytes of the documents that are not acknowledged.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing to be written or acknowledged.
    pub(crate) fn is_idle(&self) -> bool {
        self.acknowledged == self.documents.len()
    }

    pub(crate) fn has_unwritten(&self) -> bool {
        self.written < self.documents.len()
    }

    pub(crate) fn awaits_acknowledgement(&self) -> bool {
        self.acknowledged < self.written || self.part > 0
    }

    /// Where the port of a connection for these documents is noted.
    pub(crate) fn own_ports(&self) -> Option<OwnPorts> {
        self.documents.iter().find_map(|document| document.receipts.own_ports())
    }

    /// Fills in what is to be written next. Returns how many slices that are.
    pub(crate) fn unwritten<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let rest = self.documents.iter().skip(self.written);
        let mut part = self.part;
        let pairs = slices.iter_mut().zip(rest);
        pairs
            .map(|(slice, document)| *slice = IoSlice::new(&document.bytes()[std::mem::take(&mut part)..]))
            .count()
    }

    /// So many bytes were written, which makes `total` over the whole connection.
    pub(crate) fn written(&mut self, bytes: usize, total: u64) {
        self.part += bytes;
        let mut end = total - self.part as u64;
        while let Some(document) = self.documents.get_mut(self.written) {
            let length = document.bytes().len();
            if length > self.part {
                break;
            }
            end += length as u64;
            document.end = end;
            self.part -= length;
            self.written += 1;
        }
    }

    /// The other end's system has acknowledged so many bytes of the connection. Reports the documents that this delivers.
    pub(crate) fn acknowledge(&mut self, total: u64) -> Progress {
        let mut progress = Progress::default();
        let mut told: Option<(Rc<dyn Receipts>, usize)> = None;
        while let Some(document) = self.documents.get_mut(self.acknowledged) {
            if self.acknowledged >= self.written || document.end > total {
                break;
            }
            progress.any = true;
            self.acknowledged += 1;
            self.end = document.end;
            document.tries = document.tries.saturating_add(1);
            self.bytes -= document.bytes().len();
            self.kept += document.bytes().len();
            if std::mem::replace(&mut document.reported, true) {
                continue;
            }
            let receipts = Rc::clone(&document.receipts);
            told = match told {
                Some((other, count)) if Rc::ptr_eq(&other, &receipts) => Some((other, count + 1)),
                Some((other, count)) => {
                    other.delivered(count);
                    Some((receipts, 1))
                }
                None => Some((receipts, 1)),
            };
        }
        if let Some((receipts, count)) = told {
            receipts.delivered(count);
        }
        let most = self.share.bytes();
        while self.kept > most {
            let Some(document) = self.drop_first_kept() else { break };
            progress.step |= self.passed.push(document.end, &document.receipts);
        }
        progress
    }

    /// The connection ended: what was not acknowledged is to be written again, and after a reset the last of what was. About
    /// so many bytes of that were `unread`.
    pub(crate) fn restart(&mut self, ending: Ending, unread: u64) -> Restart {
        let mut unconfirmed = match ending {
            Ending::Orderly => 0,
            Ending::Reset | Ending::Unclear => self.passed.doubt(self.end.saturating_sub(unread)),
        };
        self.passed.clear();
        self.end = 0;
        if ending != Ending::Reset {
            while self.acknowledged > 0 {
                unconfirmed += self.doubt(ending == Ending::Unclear, 0);
                self.drop_first_kept();
            }
        }
        let begun = self.written > 0 || self.part > 0;
        let kept = std::mem::take(&mut self.acknowledged);
        (self.written, self.part) = (0, 0);
        self.bytes += std::mem::take(&mut self.kept);
        // Those in front were sent as often or more often than those behind.
        for at in (0..kept).rev() {
            if self.documents[at].tries >= MAX_TRIES {
                unconfirmed += self.doubt(true, at);
                self.remove(at);
            }
        }
        Restart { repeats: begun && !self.is_idle(), unconfirmed }
    }

    /// Reports, if it `may` be, that a document was perhaps not read. Returns how many that are.
    fn doubt(&self, may: bool, at: usize) -> usize {
        let document = self.documents.get(at).filter(|_| may);
        document.map_or(0, |document| {
            document.receipts.unconfirmed(1);
            1
        })
    }

    /// Drops the documents that nobody waits for any more. True if a part of one was written.
    pub(crate) fn forget_closed(&mut self) -> bool {
        let mut begun = false;
        for at in (self.acknowledged..self.documents.len()).rev() {
            if self.documents[at].is_closed() {
                begun |= at == self.written && self.part > 0;
                self.remove(at);
            }
        }
        begun
    }

    /// Gives up what was raised before `attempt`.
    pub(crate) fn give_up(&mut self, attempt: u64, why: &io::Error) {
        if self.written > 0 || self.part > 0 {
            return;
        }
        while self.documents.front().is_some_and(|document| document.raised <= attempt) {
            let Some(document) = self.documents.pop_front() else { return };
            self.bytes -= document.bytes().len();
            if !document.reported {
                document.receipts.dropped(1, why);
            }
        }
    }

    fn drop_first_kept(&mut self) -> Option<Document> {
        let document = self.documents.pop_front()?;
        self.acknowledged -= 1;
        self.written -= 1;
        self.kept -= document.bytes().len();
        Some(document)
    }

    /// Takes out a document that is not acknowledged, or was and is to be written again.
    fn remove(&mut self, at: usize) {
        if let Some(document) = self.documents.remove(at) {
            self.bytes -= document.bytes().len();
            self.written -= usize::from(at < self.written);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::EventId;
    use crate::transport::Sent;

    fn window(lengths: &[usize], sent: &Rc<Sent>) -> Window {
        let receipts: Rc<dyn Receipts> = Rc::clone(sent) as _;
        let mut window = Window::default();
        let documents = lengths.iter().enumerate().map(|(at, length)| {
            let event = Event::new(EventId::THRESHOLD, (*b"E_X").into(), at as u64, at as u64, &[]);
            Document::own(vec![b'0'.wrapping_add(at as u8); *length], &event, &receipts)
        });
        window.take(documents.collect());
        window
    }

    fn next(window: &Window) -> String {
        let mut slices = [IoSlice::new(&[]); 16];
        let count = window.unwritten(&mut slices);
        slices[..count].iter().map(|slice| String::from_utf8_lossy(slice).into_owned()).collect()
    }

    #[test]
    fn what_is_acknowledged_in_whole_is_delivered() {
        let sent = Rc::new(Sent::default());
        let mut window = window(&[3, 3, 3], &sent);
        assert_eq!(next(&window), "000111222");
        window.written(4, 4);
        assert_eq!(
            (next(&window).as_str(), window.acknowledge(2).any, sent.counts()),
            ("11222", false, (0, 0))
        );
        assert!(window.acknowledge(4).any);
        assert_eq!(sent.counts(), (1, 0));
        window.written(5, 9);
        window.acknowledge(8);
        assert_eq!((sent.counts(), window.awaits_acknowledgement()), ((2, 0), true));
        window.acknowledge(9);
        assert_eq!((sent.counts(), window.is_idle(), window.bytes()), ((3, 0), true, 0));
    }

    #[test]
    fn after_an_orderly_end_what_was_not_acknowledged_goes_again() {
        let sent = Rc::new(Sent::default());
        let mut window = window(&[3, 3, 3], &sent);
        window.written(7, 7);
        window.acknowledge(5);
        assert!(window.restart(Ending::Orderly, 0).repeats);
        assert_eq!(next(&window), "111222");
        window.written(6, 6);
        window.acknowledge(6);
        assert_eq!(sent.counts(), (3, 0));
        assert_eq!((window.restart(Ending::Orderly, 0), window.is_idle()), (Restart::default(), true));
    }

    #[test]
    fn after_a_reset_the_last_ones_go_again_but_not_for_ever() {
        let sent = Rc::new(Sent::default());
        let mut window = window(&[3, 3, 3], &sent);
        for _ in 1..MAX_TRIES {
            window.written(9, 9);
            window.acknowledge(6);
            assert_eq!(window.restart(Ending::Reset, 0), Restart { repeats: true, unconfirmed: 0 });
            assert_eq!((next(&window).as_str(), sent.counts()), ("000111222", (2, 0)));
        }
        window.written(9, 9);
        window.acknowledge(6);
        assert_eq!(window.restart(Ending::Reset, 0), Restart { repeats: true, unconfirmed: 2 });
        assert_eq!(next(&window), "222", "it was never acknowledged");
        assert_eq!(sent.unconfirmed(), 2);
    }

    #[test]
    fn after_an_end_that_is_unclear_what_was_acknowledged_is_counted() {
        let sent = Rc::new(Sent::default());
        let mut window = window(&[3, 3, 3], &sent);
        window.written(9, 9);
        window.acknowledge(6);
        assert_eq!(window.restart(Ending::Unclear, 0), Restart { repeats: true, unconfirmed: 2 });
        assert_eq!((next(&window).as_str(), sent.counts(), sent.unconfirmed()), ("222", (2, 0), 2));
    }

    #[test]
    fn few_bytes_are_kept() {
        let sent = Rc::new(Sent::default());
        let mut window = window(&[KEPT_BYTES / 2; 8], &sent);
        let all = 8 * KEPT_BYTES / 2;
        window.written(all, all as u64);
        window.acknowledge(all as u64);
        assert_eq!((sent.counts(), window.documents.len()), ((8, 0), 2));
        // Those before the two, if there was so much that was not read.
        assert_eq!(window.restart(Ending::Reset, 3 * KEPT_BYTES as u64).unconfirmed, 4);
    }

    #[test]
    fn of_many_connections_each_keeps_less() {
        const MANY: usize = 1024;
        const LENGTH: usize = ALL_KEPT_BYTES / MANY / 4;
        let (sent, share) = (Rc::new(Sent::default()), Share::default());
        let mut others: Vec<_> = (1..MANY).map(|_| Window::new(share.clone())).collect();
        let kept = |share: &Share| {
            let mut window =
                Window { share: share.clone(), ..window(&[LENGTH; 2 * KEPT_BYTES / LENGTH], &sent) };
            let all = window.bytes();
            window.written(all, all as u64);
            window.acknowledge(all as u64);
            window.documents.len()
        };
        assert_eq!(kept(&share), 4);
        others.clear();
        assert_eq!(kept(&share), KEPT_BYTES / LENGTH);
    }

    #[test]
    fn what_is_given_up_is_reported_once() {
        let sent = Rc::new(Sent::default());
        let mut window = window(&[3, 3, 3], &sent);
        window.written(4, 4);
        window.acknowledge(3);
        window.restart(Ending::Reset, 0);
        window.give_up(1, &io::ErrorKind::ConnectionRefused.into());
        assert_eq!((sent.counts(), next(&window).as_str()), ((1, 1), "222"));
        sent.close();
        assert!(!window.forget_closed() && window.is_idle());
    }
}
