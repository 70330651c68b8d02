//! The stream transport: `tcp:host:port[/method]`, JSON texts one after the other over a connection.
//!
//! All subscriptions to one host and port share one connection, whatever their methods. With a method in the address,
//! that is what the texts call, and not the name of the event. In reliable mode they are requests, and each is answered.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use crate::address::{Address, AddressError, Endpoint};
use crate::datagram::parse_host_port;
use crate::line::carry;
use crate::reliable;
use crate::render::{write_call, write_request};
use crate::transport::{Event, Outlet, Receipts, Sending, Transport};
use crate::window::{Document, Share, request_id};

/// How long a subscriber may take to be connected to, unless [`StreamOptions`] says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// How many batches may be on their way to one connection, beside what it has.
const BATCHES: usize = 2;

/// How events are sent to stream subscribers.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// How long one attempt to connect may take, and how long events wait for a connection before those that were raised
    /// before the last attempt are given up.
    pub patience: Duration,
    /// The name of a parameter that carries the name of the event, before the event's own; none if there is no name.
    pub event_param: Option<Vec<u8>>,
    /// Whether each event is a request, and delivered when the subscriber has answered it.
    pub reliable: bool,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self { patience: PATIENCE, event_param: None, reliable: false }
    }
}

/// Delivers to `tcp:` sockets.
#[derive(Debug, Default)]
pub struct Stream {
    options: Rc<StreamOptions>,
    /// The connections that have subscribers. Each is kept by those who can send over it.
    lines: RefCell<HashMap<SocketAddr, SharedLine>>,
    share: Share,
}

/// A connection that several subscribers may share.
#[derive(Debug)]
struct SharedLine {
    /// Where batches go; gone with the last subscriber.
    batches: mpsc::WeakSender<Vec<Document>>,
    /// Rings when a subscriber is gone.
    gone: Rc<Notify>,
}

impl Stream {
    /// A transport that sends as `options` say.
    pub fn new(options: StreamOptions) -> Self {
        Self { options: Rc::new(options), ..Self::default() }
    }

    /// The way to what carries texts to `to`, and its wake-up; one is set up where there is none.
    fn line(&self, to: SocketAddr) -> (mpsc::Sender<Vec<Document>>, Rc<Notify>) {
        let mut lines = self.lines.borrow_mut();
        if let Some(shared) = lines.get(&to)
            && let Some(line) = shared.batches.upgrade()
        {
            return (line, Rc::clone(&shared.gone));
        }
        lines.retain(|_, shared| shared.batches.strong_count() > 0);
        let (line, batches) = mpsc::channel(BATCHES);
        let gone = Rc::new(Notify::new());
        lines.insert(to, SharedLine { batches: line.downgrade(), gone: Rc::clone(&gone) });
        let patience = self.options.patience;
        if self.options.reliable {
            tokio::task::spawn_local(reliable::carry(to, patience, batches, Rc::clone(&gone)));
        } else {
            tokio::task::spawn_local(carry(to, patience, self.share.clone(), batches, Rc::clone(&gone)));
        }
        (line, gone)
    }
}

impl Transport for Stream {
    fn schemes(&self) -> &[&'static str] {
        &["tcp"]
    }

    fn parse(&self, scheme: &'static str, address: &str) -> Result<Address, AddressError> {
        let (place, method) = address.split_once('/').unwrap_or((address, ""));
        let place = parse_host_port(scheme, place)?;
        if method.is_empty() {
            return Ok(place);
        }
        let socket = format!("{}/{method}", place.socket);
        Ok(Address { shown: socket.clone(), socket, ..place })
    }

    fn open(&self, address: &Address, receipts: Rc<dyn Receipts>) -> io::Result<Box<dyn Outlet>> {
        let Endpoint::Socket(to) = address.endpoint else {
            return Err(io::Error::new(ErrorKind::InvalidInput, "host not resolved"));
        };
        let method = address.socket.split_once('/').map(|(_, method)| method.into());
        let (line, gone) = self.line(to);
        Ok(Box::new(StreamOutlet { line, gone, method, options: Rc::clone(&self.options), receipts }))
    }
}

/// One address's share in a connection.
struct StreamOutlet {
    line: mpsc::Sender<Vec<Document>>,
    gone: Rc<Notify>,
    method: Option<Box<str>>,
    options: Rc<StreamOptions>,
    receipts: Rc<dyn Receipts>,
}

impl Drop for StreamOutlet {
    fn drop(&mut self) {
        self.gone.notify_one();
    }
}

impl Outlet for StreamOutlet {
    fn send<'a>(&'a mut self, events: &'a [Rc<Event>]) -> Sending<'a> {
        Box::pin(async move {
            let documents = events.iter().map(|event| self.document(event)).collect();
            if self.line.send(documents).await.is_err() {
                self.receipts.dropped(events.len(), &ErrorKind::NotConnected.into());
            }
        })
    }
}

impl StreamOutlet {
    fn document(&self, event: &Rc<Event>) -> Document {
        let event_param = self.options.event_param.as_deref();
        if self.options.reliable {
            let method = self.method.as_deref().map_or(&*event.name, str::as_bytes);
            let first = event_param.map(|name| (name, &*event.name));
            let mut text = Vec::new();
            write_request(request_id(event), method, first, event.params(), &mut text);
            return Document::own(text, event, &self.receipts);
        }
        if self.method.is_none() && event_param.is_none() {
            return Document::plain(event, &self.receipts);
        }
        let method = self.method.as_deref().map_or(&*event.name, str::as_bytes);
        let mut text = Vec::new();
        write_call(method, event_param.map(|name| (name, &*event.name)), event.params(), &mut text);
        Document::own(text, event, &self.receipts)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::params::ParamsWriter;
    use crate::registry::EventId;
    use crate::transport::Sent;

    fn parse(address: &str) -> Result<Address, AddressError> {
        Stream::default().parse("tcp", address)
    }

    fn in_runtime(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let all = tokio::task::LocalSet::new();
        all.block_on(&runtime, async {
            tokio::time::timeout(Duration::from_secs(20), test).await.expect("an event was lost");
        });
    }

    /// An event raised now.
    fn event(number: i64) -> Rc<Event> {
        let mut bytes = Vec::new();
        let mut params = ParamsWriter::new(&mut bytes);
        params.int("number", number);
        let now = tocsin_shm::monotonic_micros();
        Rc::new(Event::new(EventId::THRESHOLD, (*b"E_TEST").into(), 1, now, params.finish().unwrap()))
    }

    fn text(method: &str, number: i64) -> String {
        format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"number":{number}}}}}"#)
    }

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap().to_string();
        (listener, place)
    }

    async fn expect(from: &mut TcpStream, text: &str) {
        let mut bytes = vec![0; text.len()];
        from.read_exact(&mut bytes).await.unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
    }

    /// An outlet, and what became of its events.
    struct Way {
        outlet: Box<dyn Outlet>,
        sent: Rc<Sent>,
    }

    impl Way {
        /// Sends events, and waits until all are reported. Returns how many were delivered, and how many given up.
        async fn send(&mut self, events: &[Rc<Event>]) -> (usize, usize) {
            let (delivered, dropped) = self.sent.counts();
            self.outlet.send(events).await;
            loop {
                let (now_delivered, now_dropped) = self.sent.counts();
                if now_delivered + now_dropped == delivered + dropped + events.len() {
                    return (now_delivered - delivered, now_dropped - dropped);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    fn outlet(stream: &Stream, place: &str) -> Way {
        let sent = Rc::new(Sent::default());
        let address = stream.parse("tcp", place).unwrap();
        Way { outlet: stream.open(&address, Rc::clone(&sent) as _).unwrap(), sent }
    }

    #[test]
    fn addresses() {
        for (text, socket) in [
            ("127.0.0.1:22101", "tcp:127.0.0.1:22101"),
            ("127.0.0.1:22101/", "tcp:127.0.0.1:22101"),
            ("127.0.0.1:22101/m", "tcp:127.0.0.1:22101/m"),
            ("127.0.0.1:22101/m/n", "tcp:127.0.0.1:22101/m/n"),
            ("127.0.0.1:22101/m m", "tcp:127.0.0.1:22101/m m"),
            ("127.0.0.1:22101/a:b", "tcp:127.0.0.1:22101/a:b"),
            ("localhost:22101", "tcp:localhost:22101"),
        ] {
            let address = parse(text).unwrap();
            assert_eq!((address.socket.as_str(), address.shown.as_str()), (socket, socket));
        }
        assert_eq!(parse("some.host:22101/m").unwrap().unresolved(), Some(("some.host", 22101)));
        for text in
            ["", "127.0.0.1", "127.0.0.1:", ":22101", "127.0.0.1:0", "127.0.0.1:70000", "127.0.0.1:abc"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        for text in ["127.0.0.1:22101x", "[::1]:22101", "127.0.0.1/m:22101"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn two_methods_share_a_connection() {
        in_runtime(async {
            let (listener, place) = listener().await;
            let stream = Stream::default();
            let mut plain = outlet(&stream, &place);
            let mut method = outlet(&stream, &format!("{place}/my_method"));
            let events = [event(1), event(2)];
            assert_eq!(plain.send(&events).await, (2, 0));
            assert_eq!(method.send(&events[..1]).await, (1, 0));
            let (mut subscriber, _) = listener.accept().await.unwrap();
            let texts = [text("E_TEST", 1), text("E_TEST", 2), text("my_method", 1)];
            expect(&mut subscriber, &texts.concat()).await;
        });
    }

    #[test]
    fn the_name_of_the_event_goes_first_if_asked() {
        in_runtime(async {
            let (listener, place) = listener().await;
            let options = StreamOptions { event_param: Some(b"name".into()), ..StreamOptions::default() };
            let stream = Stream::new(options);
            assert_eq!(outlet(&stream, &format!("{place}/m")).send(&[event(1)]).await, (1, 0));
            let (mut subscriber, _) = listener.accept().await.unwrap();
            let text = r#"{"jsonrpc":"2.0","method":"m","params":{"name":"E_TEST","number":1}}"#;
            expect(&mut subscriber, text).await;
        });
    }

    #[test]
    fn a_subscriber_that_closes_gets_the_next_event_over_a_new_connection() {
        in_runtime(async {
            let (listener, place) = listener().await;
            let stream = Stream::default();
            let mut outlet = outlet(&stream, &place);
            for number in 0..5 {
                assert_eq!(outlet.send(&[event(number)]).await, (1, 0));
                let (mut subscriber, _) = listener.accept().await.unwrap();
                expect(&mut subscriber, &text("E_TEST", number)).await;
            }
        });
    }

    #[test]
    fn its_answers_are_read_and_mean_nothing() {
        in_runtime(async {
            let (listener, place) = listener().await;
            let stream = Stream::default();
            let mut outlet = outlet(&stream, &place);
            assert_eq!(outlet.send(&[event(0)]).await, (1, 0));
            let (mut subscriber, _) = listener.accept().await.unwrap();
            // More than any socket holds: this ends only if it is read.
            subscriber.write_all(&vec![b'x'; 16 << 20]).await.unwrap();
            assert_eq!(outlet.send(&[event(1)]).await, (1, 0));
            expect(&mut subscriber, &[text("E_TEST", 0), text("E_TEST", 1)].concat()).await;
        });
    }

    #[test]
    fn events_wait_for_a_subscriber_that_comes_in_time() {
        in_runtime(async {
            let (first, place) = listener().await;
            drop(first);
            let stream =
                Stream::new(StreamOptions { patience: PATIENCE * 30, event_param: None, reliable: false });
            let mut outlet = outlet(&stream, &place);
            let events = [event(1), event(2)];
            let sending = outlet.send(&events);
            let arriving = async {
                // The first attempt finds nobody.
                tokio::task::yield_now().await;
                let listener = TcpListener::bind(&place).await.unwrap();
                let (mut subscriber, _) = listener.accept().await.unwrap();
                expect(&mut subscriber, &[text("E_TEST", 1), text("E_TEST", 2)].concat()).await;
            };
            let (sent, ()) = tokio::join!(sending, arriving);
            assert_eq!(sent, (2, 0));
        });
    }

    #[test]
    fn what_nobody_takes_is_given_up_and_what_comes_later_is_tried_again() {
        in_runtime(async {
            let (first, place) = listener().await;
            drop(first);
            let patience = Duration::from_millis(120);
            let stream = Stream::new(StreamOptions { patience, event_param: None, reliable: false });
            let mut outlet = outlet(&stream, &place);
            assert_eq!(outlet.send(&[event(1), event(2)]).await, (0, 2));
            let why = outlet.sent.error().unwrap();
            assert_eq!(why, format!("cannot send to {place}: Connection refused (os error 111)"));

            let listener = TcpListener::bind(&place).await.unwrap();
            assert_eq!(outlet.send(&[event(3)]).await, (1, 0));
            let (mut subscriber, _) = listener.accept().await.unwrap();
            expect(&mut subscriber, &text("E_TEST", 3)).await;
        });
    }

    #[test]
    fn a_subscriber_that_does_not_read_is_waited_for() {
        in_runtime(async {
            let (listener, place) = listener().await;
            let mut outlet = outlet(&Stream::default(), &place);
            let long = {
                let mut bytes = Vec::new();
                let mut params = ParamsWriter::new(&mut bytes);
                params.text("long", vec![b'x'; 60_000]);
                let params = params.finish().unwrap();
                Rc::new(Event::new(EventId::THRESHOLD, (*b"E_TEST").into(), 1, 0, params))
            };
            // More than any socket holds.
            let events = vec![Rc::clone(&long); 300];
            let mut sending = std::pin::pin!(outlet.send(&events));
            tokio::select! {
                biased;
                _ = &mut sending => panic!("16 MiB were taken by nobody"),
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
            let (mut subscriber, _) = listener.accept().await.unwrap();
            let mut all = vec![0; long.json().len() * events.len()];
            let (sent, read) = tokio::join!(sending, subscriber.read_exact(&mut all));
            assert_eq!(sent, (300, 0));
            assert_eq!(read.unwrap(), all.len());
            assert!(all.chunks(long.json().len()).all(|text| text == long.json()));
        });
    }

    #[test]
    fn a_connection_ends_when_nobody_waits_for_its_subscriber_any_more() {
        in_runtime(async {
            let (listener, place) = listener().await;
            let mut outlet = outlet(&Stream::default(), &place);
            // More than any socket holds.
            let events = vec![event(1); 300_000];
            let sending = tokio::task::spawn_local(async move { outlet.send(&events).await });
            let (mut subscriber, _) = listener.accept().await.unwrap();
            subscriber.read_exact(&mut [0; 1]).await.unwrap();
            sending.abort();
            let mut rest = Vec::new();
            subscriber.read_to_end(&mut rest).await.unwrap();
            assert!(rest.len() < 300_000 * text("E_TEST", 1).len() - 1, "cut short");
        });
    }

    #[test]
    fn a_text_cut_short_by_the_end_of_a_connection_goes_again() {
        in_runtime(async {
            let (listener, place) = listener().await;
            let mut outlet = outlet(&Stream::default(), &place);
            let events: Vec<_> = (0..200_000).map(event).collect();
            let sending = outlet.send(&events);
            let reading = async {
                // Reads a little and closes while most is unsent.
                let (mut first, _) = listener.accept().await.unwrap();
                first.read_exact(&mut [0; 100]).await.unwrap();
                drop(first);
                let (mut second, _) = listener.accept().await.unwrap();
                let mut rest = String::new();
                while !rest.ends_with(&text("E_TEST", 199_999)) {
                    let mut bytes = vec![0; 1 << 20];
                    let count = second.read(&mut bytes).await.unwrap();
                    rest.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
                }
                rest
            };
            let (sent, rest) = tokio::join!(sending, reading);
            assert_eq!(sent, (200_000, 0));
            let first = 200_000 - rest.matches("E_TEST").count() as i64;
            let expected: String = (first..200_000).map(|number| text("E_TEST", number)).collect();
            assert!(rest == expected, "the second connection begins with a whole text");
        });
    }

    #[test]
    fn in_reliable_mode_an_event_is_delivered_when_it_is_answered() {
        in_runtime(async {
            let (listener, place) = listener().await;
            let stream = Stream::new(StreamOptions { reliable: true, ..StreamOptions::default() });
            let mut way = outlet(&stream, &place);
            let request = |number: i64| text("E_TEST", number).replacen('{', r#"{"id":2,"#, 1);
            let answering = async {
                let (mut first, _) = listener.accept().await.unwrap();
                expect(&mut first, &request(1)).await;
                // It ends without an answer: the request goes again.
                drop(first);
                let (mut second, _) = listener.accept().await.unwrap();
                expect(&mut second, &request(1)).await;
                second.write_all(br#"{"id":7,"result":1}{"jsonrpc":"2.0","id":2,"error":{}}"#).await.unwrap();
                second
            };
            let events = [event(1)];
            let (sent, mut second) = tokio::join!(way.send(&events), answering);
            assert_eq!(sent, (1, 0));
            let answering = async {
                expect(&mut second, &request(2)).await;
                second.write_all(b"not json at all").await.unwrap();
                assert_eq!(second.read(&mut [0; 8]).await.unwrap(), 0, "that ends the connection");
            };
            let events = [event(2)];
            assert_eq!(tokio::join!(way.send(&events), answering).0, (0, 1));
        });
    }
}
