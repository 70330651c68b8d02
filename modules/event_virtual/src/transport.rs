//! The transport `virtual:`.

use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use tocsin_event::{Address, AddressError, Endpoint, Outlet, Receipts, Transport, Transports};

use super::failover::Failover;
use super::member::Member;
use super::socket::{Policy, read};
use super::together::Together;

/// Delivers to `virtual:` sockets, over the other transports.
pub(crate) struct Virtual {
    transports: Transports,
    failover_timeout: Duration,
}

impl Virtual {
    pub(crate) fn new(transports: Transports, failover_timeout: Duration) -> Self {
        Self { transports, failover_timeout }
    }
}

impl Transport for Virtual {
    fn schemes(&self) -> &[&'static str] {
        &["virtual"]
    }

    fn parse(&self, scheme: &'static str, address: &str) -> Result<Address, AddressError> {
        let (_, sockets) = read(address)?;
        let words: Vec<_> = address.split_ascii_whitespace().collect();
        // One that stands in another would find itself here.
        let plain = sockets.iter().filter(|socket| !Member::is_virtual(socket));
        let parts: Vec<_> = plain.filter_map(|one| self.transports.parse(one.as_bytes()).ok()).collect();
        let shown = |word: &&str| {
            // As it is unless that would show a password.
            let part = parts.iter().find(|part| part.socket == *word);
            part.map_or_else(|| (*word).to_owned(), |part| part.shown.clone())
        };
        let all: Vec<_> = words.iter().map(shown).collect();
        Ok(Address {
            scheme,
            socket: format!("{scheme}:{}", words.join(" ")),
            shown: format!("{scheme}:{}", all.join(" ")),
            endpoint: Endpoint::Several(parts),
        })
    }

    fn open(&self, address: &Address, receipts: Rc<dyn Receipts>) -> io::Result<Box<dyn Outlet>> {
        let text = address.socket.strip_prefix("virtual:").ok_or(ErrorKind::InvalidInput)?;
        let (policy, sockets) = read(text).map_err(io::Error::other)?;
        if sockets.is_empty() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "it names no subscriber"));
        }
        let members = sockets.into_iter().map(|socket| Member::new(socket, self.transports.clone()));
        Ok(match policy {
            Policy::Failover => Box::new(Failover::new(members, self.failover_timeout, receipts)),
            Policy::Parallel | Policy::RoundRobin => Box::new(Together::new(policy, members, &receipts)),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use tocsin_event::{Event, EventId, Sending};

    use super::*;

    /// A transport `test:NAME`: what becomes of the events of a name is what the test says.
    #[derive(Default)]
    pub(crate) struct Test {
        pub(crate) moods: RefCell<HashMap<String, Mood>>,
        /// The names and event numbers that were taken.
        pub(crate) taken: RefCell<Vec<(String, u64)>>,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Mood {
        Takes,
        Refuses,
        /// Takes the first of those given at once, and no other.
        TakesOne,
        Hangs,
    }

    impl Test {
        pub(crate) fn mood(&self, name: &str, mood: Mood) {
            self.moods.borrow_mut().insert(name.to_owned(), mood);
        }

        /// The event numbers that `name` took.
        pub(crate) fn of(&self, name: &str) -> Vec<u64> {
            self.taken.borrow().iter().filter(|(by, _)| by == name).map(|(_, number)| *number).collect()
        }
    }

    struct TestTransport(Rc<Test>);

    impl Transport for TestTransport {
        fn schemes(&self) -> &[&'static str] {
            &["test"]
        }

        fn parse(&self, scheme: &'static str, address: &str) -> Result<Address, AddressError> {
            let address = Address::new(scheme, address, Endpoint::Text);
            Ok(Address { shown: address.socket.replace("secret", "xxx"), ..address })
        }

        fn open(&self, address: &Address, receipts: Rc<dyn Receipts>) -> io::Result<Box<dyn Outlet>> {
            let name = address.socket.replace("test:", "");
            Ok(Box::new(TestOutlet { name, test: Rc::clone(&self.0), receipts }))
        }
    }

    struct TestOutlet {
        name: String,
        test: Rc<Test>,
        receipts: Rc<dyn Receipts>,
    }

    impl Outlet for TestOutlet {
        fn send<'a>(&'a mut self, events: &'a [Rc<Event>]) -> Sending<'a> {
            Box::pin(async move {
                let mood = self.test.moods.borrow().get(&self.name).copied().unwrap_or(Mood::Takes);
                let take = |count: usize| {
                    let numbers = events[..count].iter().map(|event| (self.name.clone(), event.number));
                    self.test.taken.borrow_mut().extend(numbers);
                    self.receipts.delivered(count);
                };
                match mood {
                    Mood::Takes => take(events.len()),
                    Mood::TakesOne => {
                        take(1);
                        self.receipts.dropped(events.len() - 1, &io::Error::other("one is enough"));
                    }
                    Mood::Refuses => self.receipts.dropped(events.len(), &io::Error::other("no")),
                    Mood::Hangs => std::future::pending().await,
                }
            })
        }
    }

    pub(crate) fn transports() -> (Transports, Rc<Test>) {
        let (transports, test) = (Transports::new(), Rc::new(Test::default()));
        transports.add(Rc::new(Virtual::new(transports.clone(), Duration::from_secs(4))));
        transports.add(Rc::new(TestTransport(Rc::clone(&test))));
        (transports, test)
    }

    /// The way to a virtual subscriber.
    pub(crate) fn outlet(transports: &Transports, text: &str, receipts: Rc<dyn Receipts>) -> Box<dyn Outlet> {
        let address = transports.parse(text.as_bytes()).unwrap();
        Virtual::new(transports.clone(), Duration::from_secs(4)).open(&address, receipts).unwrap()
    }

    pub(crate) fn event(number: u64) -> Rc<Event> {
        Rc::new(Event::new(EventId::THRESHOLD, (*b"E_TEST").into(), number, 0, &[]))
    }

    pub(crate) fn events(numbers: std::ops::Range<u64>) -> Vec<Rc<Event>> {
        numbers.map(event).collect()
    }

    pub(crate) fn in_runtime(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, test);
    }

    #[test]
    fn sockets_are_listed_as_they_are_but_for_passwords() {
        let (transports, _) = transports();
        let address =
            transports.parse(b"virtual: PARALLEL test:secret\tfoo:x   virtual:FAILOVER test:a").unwrap();
        assert_eq!(address.socket, "virtual:PARALLEL test:secret foo:x virtual:FAILOVER test:a");
        assert_eq!(address.shown, "virtual:PARALLEL test:xxx foo:x virtual:FAILOVER test:a");
        assert!(matches!(address.endpoint, Endpoint::Several(parts) if parts.len() == 2));
        assert_eq!(transports.parse(b"virtual:PARALLEL ").unwrap().socket, "virtual:PARALLEL");
        assert!(transports.parse(b"virtual:").is_err());
    }
}
