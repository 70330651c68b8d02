//! One session of a publisher with a broker (AMQP 0-9-1), without its connection: bytes of the broker flow in, bytes for
//! it and confirmations flow out.
//!
//! The session logs in, opens one channel and asks for confirmations; then messages can be published.

use amq_protocol::frame::{AMQPFrame, ProtocolVersion};
use amq_protocol::protocol::{AMQPClass, basic, channel, confirm, connection};
use amq_protocol::types::{AMQPValue, FieldTable, LongString};

use super::ended::Ended;
use super::frames::{self, CHANNEL, Envelope, MAX_FRAME_BYTES, MIN_FRAME_BYTES, Received};
use super::socket::Target;

/// Code of an end that is nobody's fault.
const ORDERLY: u16 = 200;

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    stage: Stage,
    /// Bytes of a frame that is not complete.
    pending: Vec<u8>,
    /// The largest frame that the broker takes.
    frame_limit: usize,
    /// Seconds without anything after which either side counts as gone; 0 for no such limit.
    heartbeat: u16,
    /// The number of the message that was published last.
    tag: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Start,
    Tune,
    Connection,
    Channel,
    Confirm,
    Open,
}

/// What the broker says of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Confirmation {
    /// The number of the message.
    pub(super) tag: u64,
    /// All before it are meant, too.
    pub(super) multiple: bool,
    /// Whether the broker has taken them.
    pub(super) taken: bool,
}

impl Session {
    /// A session that begins: `out` is for the broker. `heartbeat` in seconds.
    pub(super) fn begin(heartbeat: u16, out: &mut Vec<u8>) -> Result<Self, Ended> {
        frames::write(&AMQPFrame::ProtocolHeader(ProtocolVersion::amqp_0_9_1()), out)?;
        Ok(Self { stage: Stage::Start, pending: Vec::new(), frame_limit: MIN_FRAME_BYTES, heartbeat, tag: 0 })
    }

    /// Whether messages can be published.
    pub(super) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Takes bytes of the broker; appends what is to be sent to `out` and what it says of messages to `confirmations`.
    ///
    /// # Errors
    /// The session is over. What `out` has then is still to be sent.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        target: &Target,
        out: &mut Vec<u8>,
        confirmations: &mut Vec<Confirmation>,
    ) -> Result<(), Ended> {
        self.pending.extend_from_slice(bytes);
        let mut taken = 0;
        let result = loop {
            match frames::read(&self.pending[taken..]) {
                Ok(None) => break Ok(()),
                Ok(Some((received, length))) => {
                    taken += length;
                    if let Err(ended) = self.serve(received, target, out, confirmations) {
                        break Err(ended);
                    }
                }
                Err(ended) => break Err(ended),
            }
        };
        self.pending.drain(..taken);
        result
    }

    fn serve(
        &mut self,
        received: Received,
        target: &Target,
        out: &mut Vec<u8>,
        confirmations: &mut Vec<Confirmation>,
    ) -> Result<(), Ended> {
        let (channel, class) = match received {
            Received::Heartbeat => return Ok(()),
            Received::Start { mechanisms } if self.stage == Stage::Start => {
                return self.log_in(&mechanisms, target, out);
            }
            Received::Start { .. } => return Err(out_of_turn()),
            Received::Method(channel, class) => (channel, class),
        };
        match (channel, class) {
            (0, AMQPClass::Connection(method)) => self.serve_connection(method, out),
            (CHANNEL, AMQPClass::Channel(method)) => self.serve_channel(method, out),
            (CHANNEL, AMQPClass::Confirm(_)) if self.stage == Stage::Confirm => {
                self.stage = Stage::Open;
                Ok(())
            }
            (CHANNEL, AMQPClass::Basic(method)) if self.stage == Stage::Open => {
                confirmations.push(self.confirmation(&method)?);
                Ok(())
            }
            _ => Err(out_of_turn()),
        }
    }

    fn confirmation(&self, method: &basic::AMQPMethod) -> Result<Confirmation, Ended> {
        let (tag, multiple, taken) = match method {
            basic::AMQPMethod::Ack(ack) => (ack.delivery_tag, ack.multiple, true),
            basic::AMQPMethod::Nack(nack) => (nack.delivery_tag, nack.multiple, false),
            _ => return Err(out_of_turn()),
        };
        match (tag, multiple) {
            // All messages so far.
            (0, true) => Ok(Confirmation { tag: self.tag, multiple, taken }),
            (tag, _) if tag <= self.tag => Ok(Confirmation { tag, multiple, taken }),
            _ => Err(out_of_turn()),
        }
    }

    fn log_in(&mut self, mechanisms: &[u8], target: &Target, out: &mut Vec<u8>) -> Result<(), Ended> {
        if !mechanisms.split(|byte| *byte == b' ').any(|name| name == b"PLAIN") {
            return Err(Ended::Login);
        }
        let response = format!("\0{}\0{}", target.user, target.password);
        let method = connection::StartOk {
            client_properties: properties(),
            mechanism: "PLAIN".into(),
            response: LongString::from(response.into_bytes()),
            locale: "en_US".into(),
        };
        self.stage = Stage::Tune;
        frames::write_method(0, AMQPClass::Connection(connection::AMQPMethod::StartOk(method)), out)
    }

    fn serve_connection(&mut self, method: connection::AMQPMethod, out: &mut Vec<u8>) -> Result<(), Ended> {
        use connection::AMQPMethod as Method;
        let mut answer = |method| frames::write_method(0, AMQPClass::Connection(method), out);
        match method {
            Method::Tune(tune) if self.stage == Stage::Tune => {
                // 0 is for no limit.
                let limit = Some(tune.frame_max as usize).filter(|limit| *limit > 0);
                self.frame_limit =
                    limit.map_or(MAX_FRAME_BYTES, |limit| limit.clamp(MIN_FRAME_BYTES, MAX_FRAME_BYTES));
                answer(Method::TuneOk(connection::TuneOk {
                    channel_max: tune.channel_max,
                    frame_max: self.frame_limit as u32,
                    heartbeat: self.heartbeat,
                }))?;
                self.stage = Stage::Connection;
                answer(Method::Open(connection::Open { virtual_host: "/".into() }))
            }
            Method::OpenOk(_) if self.stage == Stage::Connection => {
                self.stage = Stage::Channel;
                let open = channel::AMQPMethod::Open(channel::Open {});
                frames::write_method(CHANNEL, AMQPClass::Channel(open), out)
            }
            Method::Close(close) => {
                answer(Method::CloseOk(connection::CloseOk {}))?;
                Err(Ended::Refused { code: close.reply_code, text: close.reply_text.to_string() })
            }
            Method::CloseOk(_) => Err(Ended::Closed),
            _ => Err(out_of_turn()),
        }
    }

    fn serve_channel(&mut self, method: channel::AMQPMethod, out: &mut Vec<u8>) -> Result<(), Ended> {
        use channel::AMQPMethod as Method;
        match method {
            Method::OpenOk(_) if self.stage == Stage::Channel => {
                self.stage = Stage::Confirm;
                let select = confirm::AMQPMethod::Select(confirm::Select { nowait: false });
                frames::write_method(CHANNEL, AMQPClass::Confirm(select), out)
            }
            // No broker of today holds up a channel: they hold up the whole connection, and do not read.
            Method::Flow(flow) => {
                let answer = Method::FlowOk(channel::FlowOk { active: flow.active });
                frames::write_method(CHANNEL, AMQPClass::Channel(answer), out)
            }
            Method::Close(close) => {
                let answer = Method::CloseOk(channel::CloseOk {});
                frames::write_method(CHANNEL, AMQPClass::Channel(answer), out)?;
                self.end(out)?;
                Err(Ended::Refused { code: close.reply_code, text: close.reply_text.to_string() })
            }
            _ => Err(out_of_turn()),
        }
    }

    /// Appends a message to `out`; returns its number, which the broker's confirmation names.
    pub(super) fn publish(&mut self, envelope: &Envelope, body: &[u8], out: &mut Vec<u8>) -> u64 {
        envelope.write(body, self.frame_limit, out);
        self.tag += 1;
        self.tag
    }

    /// Appends a sign of life to `out`.
    pub(super) fn heartbeat(&self, out: &mut Vec<u8>) -> Result<(), Ended> {
        frames::write(&AMQPFrame::Heartbeat, out)
    }

    /// Appends the last word of an orderly end to `out`.
    pub(super) fn end(&self, out: &mut Vec<u8>) -> Result<(), Ended> {
        let close = connection::Close {
            reply_code: ORDERLY,
            reply_text: "no more events".into(),
            class_id: 0,
            method_id: 0,
        };
        frames::write_method(0, AMQPClass::Connection(connection::AMQPMethod::Close(close)), out)
    }
}

/// What the client says of itself.
fn properties() -> FieldTable {
    let mut capabilities = FieldTable::default();
    for name in ["authentication_failure_close", "basic.nack", "publisher_confirms"] {
        capabilities.insert(name.into(), AMQPValue::Boolean(true));
    }
    let mut table = FieldTable::default();
    table.insert("product".into(), AMQPValue::LongString("Tocsin".into()));
    table.insert("version".into(), AMQPValue::LongString(env!("CARGO_PKG_VERSION").into()));
    table.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    table
}

fn out_of_turn() -> Ended {
    Ended::Protocol("the broker sent a method out of its turn")
}

#[cfg(test)]
mod tests {
    use amq_protocol::frame::parse_frame;

    use super::super::socket::parse;
    use super::*;

    /// A session, and what a broker says to it.
    struct Talk {
        session: Session,
        target: Target,
        out: Vec<u8>,
        confirmations: Vec<Confirmation>,
    }

    impl Talk {
        fn begin() -> Self {
            let mut out = Vec::new();
            let session = Session::begin(0, &mut out).unwrap();
            assert_eq!(out, b"AMQP\x00\x00\x09\x01");
            let (_, target) = parse("rabbitmq", "u:p@127.0.0.1/q", false).unwrap();
            Self { session, target, out: Vec::new(), confirmations: Vec::new() }
        }

        fn say(&mut self, bytes: &[u8]) -> Result<(), Ended> {
            self.session.receive(bytes, &self.target, &mut self.out, &mut self.confirmations)
        }

        fn say_method(&mut self, channel: u16, class: AMQPClass) -> Result<(), Ended> {
            let mut bytes = Vec::new();
            frames::write_method(channel, class, &mut bytes).unwrap();
            self.say(&bytes)
        }

        /// The frames for the broker.
        fn said(&mut self) -> Vec<AMQPFrame> {
            let bytes = std::mem::take(&mut self.out);
            let (mut rest, mut frames) = (bytes.as_slice(), Vec::new());
            while !rest.is_empty() {
                let (left, frame) = parse_frame(rest).unwrap();
                frames.push(frame);
                rest = left;
            }
            frames
        }

        fn open() -> Self {
            let mut talk = Self::begin();
            talk.say(START).unwrap();
            talk.say(b"\x01\x00\x00\x00\x00\x00\x0c\x00\n\x00\x1e\x07\xff\x00\x02\x00\x00\x00<\xce").unwrap();
            talk.say(b"\x01\x00\x00\x00\x00\x00\x05\x00\n\x00)\x00\xce").unwrap();
            talk.say(b"\x01\x00\x01\x00\x00\x00\x08\x00\x14\x00\x0b\x00\x00\x00\x00\xce").unwrap();
            let select = confirm::AMQPMethod::SelectOk(confirm::SelectOk {});
            talk.say_method(1, AMQPClass::Confirm(select)).unwrap();
            assert!(talk.session.is_open());
            talk
        }
    }

    /// A broker's first word, with an empty table.
    const START: &[u8] =
        b"\x01\x00\x00\x00\x00\x00\x20\x00\x0a\x00\x0a\x00\x09\0\0\0\0\0\0\0\x0eAMQPLAIN PLAIN\0\0\0\0\xce";

    #[test]
    fn recorded_rabbitmq_raw_the_way_to_the_first_message() {
        let mut talk = Talk::begin();
        talk.say(START).unwrap();
        let frames = talk.said();
        let [AMQPFrame::Method(0, AMQPClass::Connection(connection::AMQPMethod::StartOk(start)))] =
            &frames[..]
        else {
            panic!("{frames:?}")
        };
        assert_eq!(start.response.as_bytes(), b"\0u\0p");
        assert_eq!((start.mechanism.as_str(), start.locale.as_str()), ("PLAIN", "en_US"));
        talk.say(b"\x01\x00\x00\x00\x00\x00\x0c\x00\n\x00\x1e\x07\xff\x00\x02\x00\x00\x00<\xce").unwrap();
        let recorded = [
            b"\x01\x00\x00\x00\x00\x00\x0c\x00\n\x00\x1f\x07\xff\x00\x02\x00\x00\x00\x00\xce".as_slice(),
            b"\x01\x00\x00\x00\x00\x00\x08\x00\n\x00(\x01/\x00",
        ];
        let said = std::mem::take(&mut talk.out);
        // What follows the virtual host is reserved: one octet and one bit, of which OpenSIPS sets the bit.
        assert_eq!(said[..said.len() - 2], recorded.concat());
        talk.say(b"\x01\x00\x00\x00\x00\x00\x05\x00\n\x00)\x00\xce").unwrap();
        assert_eq!(talk.out, b"\x01\x00\x01\x00\x00\x00\x05\x00\x14\x00\n\x00\xce");
    }

    #[test]
    fn confirmations_name_what_they_confirm() {
        let mut talk = Talk::open();
        let envelope = Envelope::new("", "q", false).unwrap();
        for tag in 1..=3 {
            assert_eq!(talk.session.publish(&envelope, b"{}", &mut talk.out), tag);
        }
        let ack = basic::AMQPMethod::Ack(basic::Ack { delivery_tag: 2, multiple: true });
        talk.say_method(1, AMQPClass::Basic(ack)).unwrap();
        let nack = basic::AMQPMethod::Nack(basic::Nack { delivery_tag: 3, multiple: false, requeue: false });
        talk.say_method(1, AMQPClass::Basic(nack)).unwrap();
        let all = basic::AMQPMethod::Ack(basic::Ack { delivery_tag: 0, multiple: true });
        talk.say_method(1, AMQPClass::Basic(all)).unwrap();
        let confirmation = |tag, multiple, taken| Confirmation { tag, multiple, taken };
        let said = [confirmation(2, true, true), confirmation(3, false, false), confirmation(3, true, true)];
        assert_eq!(talk.confirmations, said);
        let unknown = basic::AMQPMethod::Ack(basic::Ack { delivery_tag: 4, multiple: true });
        assert!(talk.say_method(1, AMQPClass::Basic(unknown)).is_err());
    }

    #[test]
    fn a_frame_may_come_in_pieces() {
        let mut talk = Talk::begin();
        for byte in START {
            talk.say(&[*byte]).unwrap();
        }
        assert_eq!(talk.said().len(), 1);
    }

    #[test]
    fn a_missing_exchange_ends_it_with_the_reason() {
        let mut talk = Talk::open();
        talk.said();
        let close = channel::AMQPMethod::Close(channel::Close {
            reply_code: 404,
            reply_text: "NOT_FOUND - no exchange 'ex'".into(),
            class_id: 60,
            method_id: 40,
        });
        let ended = talk.say_method(1, AMQPClass::Channel(close)).unwrap_err();
        assert_eq!(ended.to_string(), "the broker answered 404: NOT_FOUND - no exchange 'ex'");
        assert_eq!(talk.said().len(), 2, "both closes are answered or asked for");
    }

    #[test]
    fn a_broker_that_talks_out_of_turn_is_left() {
        let ack =
            || AMQPClass::Basic(basic::AMQPMethod::Ack(basic::Ack { delivery_tag: 1, multiple: false }));
        assert!(Talk::begin().say_method(1, ack()).is_err());
        assert!(Talk::open().say_method(2, ack()).is_err());
        assert!(Talk::open().say(START).is_err());
        let no_plain =
            b"\x01\x00\x00\x00\x00\x00\x1a\x00\x0a\x00\x0a\x00\x09\0\0\0\0\0\0\0\x08EXTERNAL\0\0\0\0\xce";
        assert_eq!(Talk::begin().say(no_plain).unwrap_err().to_string(), Ended::Login.to_string());
    }
}
