//! The management commands of the Event Interface, as plain functions; the server puts them into its registry.
//!
//! The replies are shaped as clients of OpenSIPS know them. Where that server answers with garbage (`raise_event` with
//! nested values), what the client meant is done.

use std::net::SocketAddr;

use tocsin_json::{Limits, Value, parse_prefix};
use tocsin_shm::{Millis, monotonic_millis};

use crate::address::Address;
use crate::events::{Events, Raised};
use crate::params::{ParamValue, ParamsWriter};
use crate::registry::EventId;
use crate::subscriptions::{DEFAULT_EXPIRE, Left, SubscribeError, Subscription};
use crate::transport::Transports;

/// Why a command is refused: code, message and data of its error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error's code.
    pub code: i64,
    /// The error's message.
    pub message: &'static str,
    /// What exactly was wrong, if there is more to say.
    pub data: Option<&'static str>,
}

impl Refusal {
    const fn new(code: i64, message: &'static str) -> Self {
        Self { code, message, data: None }
    }
}

const NO_EVENT: Refusal = Refusal::new(404, "Event not published");
const NO_SUBSCRIBER: Refusal = Refusal::new(404, "Subscriber does not exist");
const BAD_VALUE: Refusal = Refusal::new(400, "Bad parameter value");
const BAD_PARAMS: Refusal = Refusal::new(400, "Bad Params");
const NO_PARAMS: Refusal = Refusal::new(400, "No Params");

/// `events_list`: the published events and their ids.
pub fn events_list(events: &Events) -> Value {
    let list = events
        .registry()
        .iter()
        .map(|(id, name)| Value::object([("name", Value::from(name)), ("id", id.index().into())]));
    Value::object([("Events", Value::array(list))])
}

/// A subscription whose parameters are read; what is left is to resolve its host name.
#[derive(Debug)]
pub struct Subscribing {
    event: EventId,
    address: Address,
    /// In seconds; none if it stays.
    expire: Option<u32>,
}

impl Subscribing {
    /// `event_subscribe event socket [expire]`: reads the parameters; `expire` is in seconds.
    ///
    /// # Errors
    /// 400 for an event that is not published or a socket that no transport takes; -32602 for a negative `expire`.
    pub fn read(
        events: &Events,
        transports: &Transports,
        event: &[u8],
        socket: &[u8],
        expire: Option<i32>,
    ) -> Result<Self, Refusal> {
        let negative =
            Refusal { data: Some("Negative expire value"), ..Refusal::new(-32602, "Invalid params") };
        let expire = expire.map(u32::try_from).transpose().map_err(|_| negative)?;
        let event = events.registry().wanted(event).ok_or_else(|| {
            tracing::error!("event_subscribe: invalid event name <{}>", event.escape_ascii());
            BAD_VALUE
        })?;
        let address = transports.parse(socket).map_err(|error| {
            tracing::error!("event_subscribe to {}: {error}", socket.escape_ascii());
            BAD_VALUE
        })?;
        let usual = (!transports.keeps_subscriptions(&address)).then_some(DEFAULT_EXPIRE);
        Ok(Self { event, address, expire: expire.or(usual) })
    }

    /// The host name to resolve, if there is one.
    pub fn unresolved(&self) -> Option<(&str, u16)> {
        self.address.unresolved()
    }

    /// Subscribes, with what the host name was resolved to.
    ///
    /// # Errors
    /// 400 for a host name that was not resolved and for a place where the server itself listens; 500 when there is no room for a subscription.
    pub fn finish(self, events: &Events, resolved: Option<SocketAddr>) -> Result<Value, Refusal> {
        let address = match resolved {
            Some(to) if self.address.unresolved().is_some() => self.address.resolved(to),
            _ => self.address,
        };
        match events.subscribe(self.event, &address, self.expire) {
            Ok(()) => Ok("OK".into()),
            Err(error) => {
                tracing::error!("event_subscribe to {}: {error}", address.shown);
                Err(match error {
                    SubscribeError::Unresolved | SubscribeError::Own => BAD_VALUE,
                    SubscribeError::Limit | SubscribeError::Full => {
                        Refusal::new(500, "No room for a subscription")
                    }
                })
            }
        }
    }
}

/// `event_unsubscribe event socket`: ends a subscription at once.
///
/// # Errors
/// 404 for an event that is not published, and for a socket that is not subscribed to it.
pub fn event_unsubscribe(
    events: &Events,
    transports: &Transports,
    event: &[u8],
    socket: &[u8],
) -> Result<Value, Refusal> {
    let id = events.registry().find(event).ok_or(NO_EVENT)?;
    let address = transports.parse(socket).map_err(|_| NO_SUBSCRIBER)?;
    let is_ended = events.unsubscribe(id, &address.socket);
    is_ended.then(|| "OK".into()).ok_or(NO_SUBSCRIBER)
}

/// `subscribers_list [event [socket]]`
///
/// # Errors
/// 404 for an event that is not published, and for a socket that is not subscribed to it.
pub fn subscribers_list(
    events: &Events,
    transports: &Transports,
    event: Option<&[u8]>,
    socket: Option<&[u8]>,
) -> Result<Value, Refusal> {
    let now = monotonic_millis();
    let Some(event) = event else { return Ok(all_subscribers(events, now)) };
    let id = events.registry().find(event).ok_or(NO_EVENT)?;
    let Some(socket) = socket else {
        let list = events.subscriptions().list(now);
        let subscribers = list.iter().filter(|subscription| subscription.event == id).collect::<Vec<_>>();
        let members =
            if subscribers.is_empty() { Vec::new() } else { with_subscribers(id, event, &subscribers, now) };
        return Ok(Value::object([("Event", Value::object(members))]));
    };
    let address = transports.parse(socket).ok();
    let found = address.and_then(|address| events.subscriptions().find(id, &address.socket, now));
    let found = found.ok_or(NO_SUBSCRIBER)?;
    let members = [
        ("name", Value::from(event.to_vec())),
        ("id", id.index().into()),
        ("Subscriber", subscriber(&found, now)),
    ];
    Ok(Value::object([("Event", Value::object(members))]))
}

fn all_subscribers(events: &Events, now: Millis) -> Value {
    let list = events.subscriptions().list(now);
    let with_some = events.registry().iter().filter_map(|(id, name)| {
        let subscribers: Vec<_> = list.iter().filter(|subscription| subscription.event == id).collect();
        (!subscribers.is_empty()).then(|| Value::object(with_subscribers(id, &name, &subscribers, now)))
    });
    Value::object([("Events", Value::array(with_some))])
}

fn with_subscribers(
    id: EventId,
    name: &[u8],
    list: &[&Subscription],
    now: Millis,
) -> Vec<(&'static str, Value)> {
    let subscribers = Value::array(list.iter().map(|subscription| subscriber(subscription, now)));
    vec![("name", name.to_vec().into()), ("id", id.index().into()), ("Subscribers", subscribers)]
}

fn subscriber(subscription: &Subscription, now: Millis) -> Value {
    let mut members = vec![("socket", Value::from(subscription.shown.clone()))];
    let ttl = match subscription.left(now) {
        Left::Always => None,
        Left::Seconds(seconds) => Some(seconds.into()),
        Left::LastSecond | Left::Nothing => Some("expired".into()),
    };
    members.push(("expire", subscription.expire.map_or("never".into(), Value::from)));
    members.extend(ttl.map(|ttl| ("ttl", ttl)));
    Value::object(members)
}

/// `subscribers_statistics [event [socket]]`: what became of the events of each subscription, the newest first. `raised` is
/// the sum of the others.
///
/// # Errors
/// 404 for an event that is not published.
pub fn subscribers_statistics(
    events: &Events,
    event: Option<&[u8]>,
    socket: Option<&[u8]>,
) -> Result<Value, Refusal> {
    let find = |event| events.registry().find(event).ok_or(NO_EVENT);
    let id = event.map(find).transpose()?;
    let list = events.subscriptions().list(monotonic_millis());
    let wanted = list.iter().filter(|one| id.is_none_or(|id| one.event == id)).filter(|one| {
        socket.is_none_or(|socket| one.socket.as_bytes() == socket || one.shown.as_bytes() == socket)
    });
    let rows = wanted.map(|one| {
        let counts = events.counts_of(one);
        let number = |count| Value::from(i64::try_from(count).unwrap_or(i64::MAX));
        Value::object([
            ("event", Value::from(events.registry().name(one.event).unwrap_or_default())),
            ("socket", one.shown.clone().into()),
            ("raised", number(counts.raised)),
            ("delivered", number(counts.delivered)),
            ("dropped", number(counts.dropped)),
            ("lost", number(counts.lost)),
            ("waiting", number(counts.waiting)),
        ])
    });
    Ok(Value::object([("Subscribers", Value::array(rows))]))
}

/// `raise_event event [params]`, where `params` is an array of strings and numbers, or a string that holds a JSON object.
///
/// # Errors
/// 404 for an event that is not published, 480 when nobody is subscribed to it, 400 for parameters of another form.
pub fn raise_event(events: &Events, event: &[u8], params: Option<&Value>) -> Result<Value, Refusal> {
    let id = events.registry().find(event).ok_or(Refusal::new(404, "Event not registered"))?;
    if !events.subscriptions().any(id, monotonic_millis()) {
        return Err(Refusal::new(480, "Temporarily Unavailable"));
    }
    let params = match params {
        None => Vec::new(),
        Some(Value::Array(elements)) => elements.iter().map(element).collect::<Result<_, _>>()?,
        Some(Value::Str(text)) => match parse_prefix(text, Limits::default()) {
            Ok((Value::Object(members), _)) => {
                members.into_iter().map(|(key, value)| (Some(key.into_bytes()), member(value))).collect()
            }
            _ => return Err(BAD_PARAMS),
        },
        Some(Value::Int(_) | Value::Float(_)) => return Err(BAD_PARAMS),
        Some(Value::Object(_) | Value::Null | Value::Bool(_)) => return Err(NO_PARAMS),
    };
    let write = |writer: &mut ParamsWriter<'_>| {
        for (name, value) in &params {
            writer.push(name.as_deref(), value.borrowed());
        }
    };
    match events.raise(id, write) {
        Raised::Logged(_) => Ok("OK".into()),
        Raised::Unheard => Err(Refusal::new(480, "Temporarily Unavailable")),
        Raised::TooLarge | Raised::TooDeep => Err(BAD_PARAMS),
    }
}

type Named = (Option<Vec<u8>>, Given);

/// A parameter given by a client.
enum Given {
    Null,
    Int(i64),
    Text(Vec<u8>),
}

impl Given {
    fn borrowed(&self) -> ParamValue<'_> {
        match self {
            Self::Null => ParamValue::Null,
            Self::Int(number) => ParamValue::Int(*number),
            Self::Text(text) => ParamValue::Str(text),
        }
    }
}

/// Of an array: everything becomes a string, numbers without their fraction.
fn element(value: &Value) -> Result<Named, Refusal> {
    let text = match value {
        Value::Str(text) => text.to_vec(),
        Value::Int(_) | Value::Float(_) => value.as_integer().unwrap_or_default().to_string().into_bytes(),
        _ => return Err(BAD_PARAMS),
    };
    Ok((None, Given::Text(text)))
}

/// Of an object in a string: numbers are cut at the fraction and held within 32 bits, what is nested becomes its text.
fn member(value: Value) -> Given {
    match value {
        Value::Null => Given::Null,
        Value::Str(text) => Given::Text(text.into_bytes()),
        Value::Int(_) | Value::Float(_) => {
            Given::Int(value.as_integer().unwrap_or_default().clamp(i32::MIN.into(), i32::MAX.into()))
        }
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Given::Text(value.to_compact()),
    }
}
