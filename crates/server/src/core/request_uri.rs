//! The Request-URI and the next hop: their variables, and the functions that rewrite them.

use std::rc::Rc;

use tocsin_script::{Bytes, Call, Function, Outcome, Param, ParamKind, Routes, Value, Variable, WriteError};
use tocsin_sip::{UriParts, UriRef};

use super::values::{as_text, computed, refused, settable, text};
use crate::context::Context;

/// The longest URI that a script may make (OpenSIPS's MAX_URI_SIZE).
const URI_LIMIT: usize = 1024;

pub(super) fn variables() -> Vec<Variable<Context>> {
    vec![
        settable(
            "ru",
            |cx| text(Some(cx.request_uri()).filter(|u| !u.is_empty())),
            |cx, value| set_uri(cx, &value),
        ),
        settable(
            "rU",
            |cx| text(uri(cx).and_then(|u| u.user())),
            |cx, value| {
                let user = as_text(&value);
                rewrite(cx, &Change::User(user.as_deref()))
            },
        ),
        settable(
            "rd",
            |cx| text(uri(cx).map(|u| u.host())),
            |cx, value| {
                let host =
                    as_text(&value).ok_or_else(|| refused("the host of the Request-URI cannot be NULL"))?;
                rewrite(cx, &Change::Host(&host))
            },
        ),
        settable(
            "rp",
            |cx| Value::Int(uri(cx).and_then(|u| u.port()).map_or(5060, i64::from)),
            |cx, value| {
                let port = value.to_int().and_then(|n| u16::try_from(n).ok());
                rewrite(cx, &Change::Port(port))
            },
        ),
        settable(
            "du",
            |cx| cx.targets.main.next_hop.clone().map_or(Value::Null, Value::Str),
            |cx, value| set_next_hop(cx, &value),
        ),
        computed("dd", |cx| text(next_hop(cx).map(|u| u.host()))),
        computed("dp", |cx| {
            next_hop(cx).and_then(|u| u.port()).map_or(Value::Null, |p| Value::Int(p.into()))
        }),
        computed("ou", |cx| text(Some(crate::context::received_uri(&cx.message)).filter(|u| !u.is_empty()))),
        computed("oU", |cx| text(cx.message.ruri().ok().and_then(|u| u.user()))),
        computed("od", |cx| text(cx.message.ruri().ok().map(|u| u.host()))),
        computed("rq", |cx| Value::Int(cx.targets.main.q.into())),
    ]
}

pub(super) fn functions() -> Vec<Function<Context>> {
    const TEXT: &[Param] = &[Param::required("text", ParamKind::Str)];
    const COUNT: &[Param] = &[Param::required("count", ParamKind::Int)];
    let rewriting = Routes::REQUEST | Routes::FAILURE | Routes::BRANCH | Routes::LOCAL | Routes::REPLY;
    vec![
        with_text("seturi", TEXT, rewriting, set_uri),
        with_text("rewriteuri", TEXT, rewriting, set_uri),
        with_text("sethost", TEXT, rewriting, |cx, value| {
            let host = as_text(value).unwrap_or_default();
            rewrite(cx, &Change::HostPort(&host, None))
        }),
        with_text("sethostport", TEXT, rewriting, set_host_port),
        with_text("setuser", TEXT, rewriting, |cx, value| {
            let user = as_text(value);
            rewrite(cx, &Change::User(user.as_deref()))
        }),
        with_text("prefix", TEXT, rewriting, |cx, value| {
            change_user(cx, |user| [&as_text(value).unwrap_or_default(), user].concat())
        }),
        with_text("strip", COUNT, rewriting, |cx, value| {
            let n = count(value);
            change_user(cx, |user| user.get(n..).unwrap_or_default().to_vec())
        }),
        with_text("strip_tail", COUNT, rewriting, |cx, value| {
            let n = count(value);
            change_user(cx, |user| user.get(..user.len().saturating_sub(n)).unwrap_or_default().to_vec())
        }),
        with_text("setdsturi", TEXT, rewriting, set_next_hop),
        Function::new("resetdsturi", &[], rewriting, |_| {
            let call: Call<Context> = Rc::new(|cx, _| {
                cx.targets.main.next_hop = None;
                Outcome::TRUE
            });
            Ok(call)
        }),
        Function::new("isdsturiset", &[], rewriting, |_| {
            let call: Call<Context> = Rc::new(|cx, _| cx.targets.main.next_hop.is_some().into());
            Ok(call)
        }),
        Function::new("revert_uri", &[], rewriting, |_| {
            let call: Call<Context> = Rc::new(|cx, _| {
                cx.targets.main.uri = None;
                Outcome::TRUE
            });
            Ok(call)
        }),
    ]
}

fn with_text(
    name: &'static str,
    params: &'static [Param],
    routes: Routes,
    act: fn(&mut Context, &Value) -> Result<(), WriteError>,
) -> Function<Context> {
    Function::new(name, params, routes, move |_| {
        let call: Call<Context> = Rc::new(move |cx, arguments| match act(cx, &arguments[0]) {
            Ok(()) => Outcome::TRUE,
            Err(cause) => {
                tracing::error!("{name}: {cause}");
                Outcome::FALSE
            }
        });
        Ok(call)
    })
}

fn uri(cx: &Context) -> Option<UriRef<'_>> {
    match &cx.targets.main.uri {
        Some(uri) => UriRef::parse(uri).ok(),
        None => cx.message.ruri().ok(),
    }
}

fn next_hop(cx: &Context) -> Option<UriRef<'_>> {
    cx.targets.main.next_hop.as_deref().and_then(|hop| UriRef::parse(hop).ok())
}

fn count(value: &Value) -> usize {
    value.to_int().and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}

fn set_uri(cx: &mut Context, value: &Value) -> Result<(), WriteError> {
    let uri = as_text(value).ok_or_else(|| refused("the Request-URI cannot be NULL"))?;
    check(&uri)?;
    cx.targets.main.uri = Some(uri);
    Ok(())
}

fn set_next_hop(cx: &mut Context, value: &Value) -> Result<(), WriteError> {
    match as_text(value).filter(|hop| !hop.is_empty()) {
        None => cx.targets.main.next_hop = None,
        Some(hop) => {
            check(&hop)?;
            cx.targets.main.next_hop = Some(hop);
        }
    }
    Ok(())
}

fn check(uri: &[u8]) -> Result<(), WriteError> {
    if uri.len() > URI_LIMIT {
        return Err(refused("a URI has at most 1,024 bytes"));
    }
    UriRef::parse(uri).map(drop).map_err(|_| refused("not a URI"))
}

/// A change to one part of the Request-URI.
enum Change<'a> {
    User(Option<&'a [u8]>),
    Host(&'a [u8]),
    HostPort(&'a [u8], Option<u16>),
    Port(Option<u16>),
}

/// Prints the Request-URI anew with a part changed, and checks that it is still a URI.
fn rewrite(cx: &mut Context, change: &Change<'_>) -> Result<(), WriteError> {
    let old = UriRef::parse(cx.request_uri()).map_err(|_| refused("the Request-URI cannot be read"))?;
    let mut parts = UriParts::of(&old);
    match *change {
        Change::User(user) => parts.user = user.filter(|user| !user.is_empty()),
        Change::Host(host) => parts.host = host,
        Change::HostPort(host, port) => (parts.host, parts.port) = (host, port),
        Change::Port(port) => parts.port = port,
    }
    let mut out = Vec::with_capacity(old.text().len() + 32);
    parts.print_into(&mut out);
    check(&out)?;
    cx.targets.main.uri = Some(Bytes::from(out));
    Ok(())
}

fn set_host_port(cx: &mut Context, value: &Value) -> Result<(), WriteError> {
    let given = as_text(value).unwrap_or_default();
    let given = std::str::from_utf8(&given).map_err(|_| refused("not a host"))?;
    let (host, port) = tocsin_net::split_host_port(given).map_err(|_| refused("not a host and port"))?;
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    rewrite(cx, &Change::HostPort(host.as_bytes(), port))
}

fn change_user(cx: &mut Context, change: impl FnOnce(&[u8]) -> Vec<u8>) -> Result<(), WriteError> {
    let user = change(uri(cx).and_then(|u| u.user()).unwrap_or_default());
    rewrite(cx, &Change::User(Some(&user)))
}
