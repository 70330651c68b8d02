//! `raise_event()`, `subscribe_event()` and `unsubscribe_event()`.

use std::cell::RefCell;
use std::rc::Rc;

use tocsin_event::{Address, EventId, ParamValue, Raised};
use tocsin_script::{
    ArgError, Bound, Bytes, Call, Function, Index, Outcome, Param, ParamKind, Resume, Routes, Site, Value,
};

use super::values::as_text;
use crate::context::Context;
use crate::server::Server;

/// Values that one event may carry.
const VALUES: i64 = 1024;

/// The names of events that a script writes out. They are published before the server starts, as with OpenSIPS, so that
/// clients can subscribe before the first one is raised.
pub(crate) type WrittenNames = Rc<RefCell<Vec<Bytes>>>;

pub(super) fn functions(written: &WrittenNames) -> Vec<Function<Context>> {
    const RAISE: &[Param] = &[
        Param::required("event", ParamKind::Str),
        Param::optional("names", ParamKind::Variable),
        Param::optional("values", ParamKind::Variable),
    ];
    const UNSUBSCRIBE: &[Param] =
        &[Param::required("event", ParamKind::Str), Param::required("socket", ParamKind::Str)];
    const SUBSCRIBE: &[Param] = &[
        Param::required("event", ParamKind::Str),
        Param::required("socket", ParamKind::Str),
        Param::optional("expire", ParamKind::Int),
    ];
    let (raised, subscribed) = (Rc::clone(written), Rc::clone(written));
    vec![
        Function::new("raise_event", RAISE, Routes::ANY, move |site| {
            note(&raised, site);
            prepare_raise(site)
        })
        .doc(
            "Raises an event; the AVP `values` gives its parameters, the AVP `names` their names. \
             1: done; -1: it failed.",
        ),
        Function::new("subscribe_event", SUBSCRIBE, Routes::ANY, move |site| {
            note(&subscribed, site);
            let call: Call<Context> = Rc::new(subscribe);
            Ok(call)
        })
        .doc("Subscribes `socket` to an event, for `expire` seconds or for good. 1: done; -1: it failed."),
        Function::new("unsubscribe_event", UNSUBSCRIBE, Routes::ANY, |_| {
            let call: Call<Context> = Rc::new(unsubscribe);
            Ok(call)
        })
        .doc(
            "Ends the subscription of `socket` to an event at once; what was raised before is still delivered. \
             1: done; -1: there is none. OpenSIPS does not have it.",
        ),
    ]
}

fn note(written: &WrittenNames, site: &Site<'_, Context>) {
    if let Some(name) = site.constant_str(0) {
        written.borrow_mut().push(name.clone());
    }
}

fn prepare_raise(site: &Site<'_, Context>) -> Result<Call<Context>, ArgError> {
    let (names, values) = (site.variable(1), site.variable(2));
    Ok(Rc::new(move |cx, arguments| {
        let Some(name) = as_text(&arguments[0]) else { return Outcome::FALSE };
        let events = cx.server().events;
        let id = match events.registry().publish(&name) {
            Ok(id) => id,
            Err(cause) => {
                tracing::error!("raise_event: {}: {cause}", name.lossy());
                return Outcome::FALSE;
            }
        };
        raise(cx, id, names.as_deref(), values.as_deref()).into()
    }))
}

fn raise(
    cx: &mut Context,
    id: EventId,
    names: Option<&Bound<Context>>,
    values: Option<&Bound<Context>>,
) -> bool {
    let events = cx.server().events;
    if !events.is_wanted(id) {
        return true;
    }
    let names = names.map(|bound| all_of(cx, bound));
    let values = values.map(|bound| all_of(cx, bound)).unwrap_or_default();
    let names = match names.map(|names| names_for(&values, names)).transpose() {
        Ok(names) => names,
        Err(cause) => {
            tracing::error!("raise_event: {cause}");
            return false;
        }
    };
    let raised = events.raise(id, |params| {
        for (at, value) in values.iter().enumerate() {
            let name = names.as_ref().and_then(|names| names.get(at)).map(|name| &**name);
            let value = match value {
                Value::Int(number) => ParamValue::Int(*number),
                Value::Str(text) => ParamValue::Str(text),
                Value::Null => ParamValue::Null,
            };
            params.push(name, value);
        }
    });
    matches!(raised, Raised::Logged(_) | Raised::Unheard)
}

/// The names of the values: every value needs one, and names without a value are left out.
fn names_for(values: &[Value], names: Vec<Value>) -> Result<Vec<Bytes>, String> {
    if names.len() < values.len() {
        return Err(format!("{} values have no name", values.len() - names.len()));
    }
    if names.len() > values.len() {
        tracing::error!("raise_event: {} names have no value: they are left out", names.len() - values.len());
    }
    let text = |name| match name {
        Value::Str(text) => Ok(text),
        Value::Int(_) | Value::Null => Err("the name of a parameter must be a string".to_owned()),
    };
    names.into_iter().take(values.len()).map(text).collect()
}

/// Every value of a variable, in its order.
fn all_of(cx: &mut Context, bound: &Bound<Context>) -> Vec<Value> {
    let most = if bound.is_single(cx) { 1 } else { VALUES };
    (0..most)
        .map(|at| bound.read_at(cx, Index::Nth(at)))
        .take_while(|value| !matches!(value, Value::Null))
        .collect()
}

/// A subscription made by a script never expires, unless it says so.
fn subscribe(cx: &mut Context, arguments: &[Value]) -> Outcome<Context> {
    let (Some(event), Some(socket)) = (as_text(&arguments[0]), as_text(&arguments[1])) else {
        return Outcome::FALSE;
    };
    let server = cx.server();
    let expire =
        arguments[2].to_int().and_then(|seconds| u32::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    let refused =
        |cause: &dyn std::fmt::Display| tracing::error!("subscribe_event: {}: {cause}", event.lossy());
    let id = match server.events.registry().publish(&event) {
        Ok(id) => id,
        Err(cause) => {
            refused(&cause);
            return Outcome::FALSE;
        }
    };
    let address = match server.registered.transports.parse(&socket) {
        Ok(address) => address,
        Err(cause) => {
            refused(&cause);
            return Outcome::FALSE;
        }
    };
    let Some((host, port)) = address.unresolved().map(|(host, port)| (host.to_owned(), port)) else {
        return finish(server, id, &address, expire);
    };
    let worker = cx.worker;
    Outcome::Wait(Box::pin(async move {
        let found = crate::resolve::address(worker, &host, port).await;
        let rest: Resume<Context> = Box::new(move |cx: &mut Context| match found {
            Some(found) => finish(cx.server(), id, &address.resolved(found), expire),
            None => Outcome::FALSE,
        });
        rest
    }))
}

fn unsubscribe(cx: &mut Context, arguments: &[Value]) -> Outcome<Context> {
    let (Some(event), Some(socket)) = (as_text(&arguments[0]), as_text(&arguments[1])) else {
        return Outcome::FALSE;
    };
    let server = cx.server();
    let event = server.events.registry().find(&event);
    let address = server.registered.transports.parse(&socket).ok();
    let is_ended =
        event.zip(address).is_some_and(|(event, address)| server.events.unsubscribe(event, &address.socket));
    if is_ended { Outcome::TRUE } else { Outcome::FALSE }
}

fn finish(server: &'static Server, id: EventId, address: &Address, expire: Option<u32>) -> Outcome<Context> {
    match server.events.subscribe(id, address, expire) {
        Ok(()) => Outcome::TRUE,
        Err(cause) => {
            tracing::error!("subscribe_event: {}: {cause}", address.shown);
            Outcome::FALSE
        }
    }
}
