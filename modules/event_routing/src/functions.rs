//! `notify_on_event()` and `wait_for_event()`.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use tocsin_event::{Address, Endpoint, EventId};
use tocsin_script::{
    Bound, Bytes, Call, Function, Index, Outcome, Param, ParamKind, Resume, RouteKind, Routes, Site, Value,
};
use tocsin_server::{Context, Server};
use tocsin_shm::monotonic_millis;

use super::filters::Filters;
use super::notifications::Notifications;
use super::transport::SCHEME;
use super::waits::{Missing, Waits};

/// The longest that a script may wait, and be notified; more is cut to it.
const MAX_TIMEOUT: Duration = Duration::from_secs(3600);

/// What `wait_for_event()` gives when no event came in time.
const TIMED_OUT: i64 = -2;

/// Filters that are read of a variable.
const MAX_FILTERS_READ: i64 = 32;

pub(super) fn functions() -> Vec<Function<Context>> {
    const NOTIFY: &[Param] = &[
        Param::required("event", ParamKind::Str),
        Param::optional("filter", ParamKind::Variable),
        Param::required("route", ParamKind::Str),
        Param::required("timeout", ParamKind::Int),
    ];
    const WAIT: &[Param] = &[
        Param::required("event", ParamKind::Str),
        Param::optional("filter", ParamKind::Variable),
        Param::required("timeout", ParamKind::Int),
    ];
    vec![
        Function::new("notify_on_event", NOTIFY, Routes::REQUEST, |site| {
            let filter = site.variable(1);
            let call: Call<Context> =
                Rc::new(move |cx, arguments| notify(cx, arguments, filter.as_deref()).into());
            Ok(call)
        })
        .doc(
            "Has a route run for each event that all filters hold for, for `timeout` seconds. A filter is written `key=value`, \
             the value with the wildcards `*`, `?` and `[...]`; the AVP `filter` may have several. The route finds the \
             parameters of the event in AVPs, and nothing of the message. 1: done; -1: it failed.",
        ),
        Function::new("wait_for_event", WAIT, Routes::ANY, prepare_wait)
            .asynchronous()
            .doc(
                "Waits for the next event that all filters hold for, `timeout` seconds at most, and puts its parameters into \
                 AVPs. 1: it came; -2: none came; -1: it failed. In async() it is 1 as well if none came.",
            ),
    ]
}

fn notify(cx: &mut Context, arguments: &[Value], filter: Option<&Bound<Context>>) -> bool {
    let server = cx.server();
    let (Some(timeout), Value::Str(route)) = (timeout(&arguments[3]), &arguments[2]) else { return false };
    let Some((event, filters)) = subscribe(cx, "notify_on_event", &arguments[0], filter) else {
        return false;
    };
    if server.script().program.route(RouteKind::Request, route).is_none() {
        tracing::error!("notify_on_event: there is no route[{}]", route.lossy());
        return false;
    }
    let now = monotonic_millis();
    let until = now + u64::try_from(timeout.as_millis()).unwrap_or(0);
    let added = server.state::<Notifications>().add(event, &filters, route, now, until);
    if added.is_err() {
        tracing::error!("notify_on_event: too many notifications are ordered, or the shared memory is full");
    }
    added.is_ok()
}

fn prepare_wait(site: &Site<'_, Context>) -> Result<Call<Context>, tocsin_script::ArgError> {
    let (filter, in_async) = (site.variable(1), site.is_asynchronous());
    Ok(Rc::new(move |cx, arguments| {
        let Some(timeout) = timeout(&arguments[2]) else { return Outcome::FALSE };
        let Some((event, filters)) = subscribe(cx, "wait_for_event", &arguments[0], filter.as_deref()) else {
            return Outcome::FALSE;
        };
        let server = cx.server();
        Outcome::Wait(Box::pin(async move {
            let found = server.state::<Waits>().wait(server.events, event, filters, timeout).await;
            let rest: Resume<Context> = Box::new(move |cx: &mut Context| match found {
                Ok(named) => {
                    for (name, value) in named {
                        cx.avps.push(&name, value);
                    }
                    Outcome::TRUE
                }
                Err(Missing::TimedOut) if in_async => Outcome::TRUE,
                Err(Missing::TimedOut) => Outcome::Done(TIMED_OUT),
                Err(Missing::Full) => {
                    tracing::error!("wait_for_event: too many messages of this process wait for events");
                    Outcome::FALSE
                }
            });
            rest
        }))
    }))
}

/// The events that this process has subscribed, for good.
#[derive(Debug, Default)]
pub(crate) struct Subscribed(RefCell<HashSet<EventId>>);

/// Publishes and subscribes the event, if that was not done before, and reads the filters.
fn subscribe(
    cx: &mut Context,
    function: &str,
    event: &Value,
    filter: Option<&Bound<Context>>,
) -> Option<(EventId, Filters)> {
    let server = cx.server();
    let Value::Str(name) = event else { return None };
    let done = read_filters(cx, filter).and_then(|filters| Ok((subscribed(server, name)?, filters)));
    done.inspect_err(|why| tracing::error!("{function}: {}: {why}", name.lossy())).ok()
}

fn subscribed(server: &'static Server, name: &Bytes) -> Result<EventId, String> {
    let event = server.events.registry().publish(name).map_err(|why| why.to_string())?;
    let known = &server.state::<Subscribed>().0;
    if !known.borrow().contains(&event) {
        let address = Address::new(SCHEME, &name.lossy(), Endpoint::Text);
        // As a route of the script is: what a client does with that socket changes nothing.
        server.events.subscribe_route(event, &address).map_err(|why| why.to_string())?;
        known.borrow_mut().insert(event);
    }
    Ok(event)
}

/// Every value of the variable.
fn read_filters(cx: &mut Context, filter: Option<&Bound<Context>>) -> Result<Filters, String> {
    let Some(filter) = filter else { return Ok(Filters::default()) };
    let most = if filter.is_single(cx) { 1 } else { MAX_FILTERS_READ };
    let values: Vec<_> = (0..most)
        .map(|at| filter.read_at(cx, Index::Nth(at)))
        .take_while(|value| !matches!(value, Value::Null))
        .collect();
    let texts: Vec<Cow<'_, [u8]>> = values
        .iter()
        .map(|value| match value {
            Value::Str(text) => Cow::Borrowed(text.as_slice()),
            Value::Int(number) => Cow::Owned(number.to_string().into_bytes()),
            Value::Null => Cow::Borrowed(&b""[..]),
        })
        .collect();
    Filters::read(&texts)
}

/// A number of seconds, at least 1.
fn timeout(value: &Value) -> Option<Duration> {
    let seconds =
        value.to_int().and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    seconds.map(|seconds| Duration::from_secs(seconds).min(MAX_TIMEOUT))
}
