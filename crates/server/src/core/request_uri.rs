//! The Request-URI and the next hop: their variables, and the functions that rewrite them.

use tocsin_script::{
    Bytes, Call, Function, Outcome, Param, ParamKind, RouteKind, Routes, Value, Variable, WriteError,
};

use super::values::{Texts, as_text, readable, refused, settable, settable_texts, text, texts};
use crate::context::{Context, received_uri};
use crate::uri_text::UriText;
use std::rc::Rc;

/// The longest URI that a script may make (OpenSIPS's MAX_URI_SIZE).
const MAX_URI_BYTES: usize = 1024;

pub(super) fn variables() -> Vec<Variable<Context>> {
    [request_uri(), next_hop(), original()].into_iter().flatten().collect()
}

/// `$ru` and its parts.
fn request_uri() -> Vec<Variable<Context>> {
    vec![
        settable(
            "ru",
            "The Request-URI as it will be sent.",
            |cx| current(cx).map_or(Value::Null, |_| text(Some(cx.request_uri()))),
            set_uri,
        )
        .also(&["ruri"]),
        settable(
            "rU",
            "The user of the Request-URI.",
            |cx| text(current(cx).and_then(|uri| uri.user)),
            |cx, value| rewrite(cx, Part::User, unless_number(value)?.as_deref()),
        )
        .also(&["ruri.user"]),
        settable(
            "rd",
            "The host of the Request-URI.",
            |cx| text(current(cx).and_then(|uri| uri.host())),
            |cx, value| {
                let host = unless_number(value)?;
                rewrite(cx, Part::Host, Some(&host.ok_or_else(|| refused("a host cannot be NULL"))?))
            },
        )
        .also(&["ruri.domain"]),
        settable_texts(
            "rp",
            "The port of the Request-URI, 5060 or 5061 if it names none.",
            Texts { text: |cx| text(current(cx).map(|uri| uri.port())), number: port_number },
            |cx, value| rewrite(cx, Part::Port, as_text(value).as_deref()),
        ),
        texts(
            "rP",
            "The transport protocol of the Request-URI.",
            Texts { text: |cx| text(current(cx).map(|uri| uri.protocol())), number: |_| None },
        ),
        readable("path", "The Route fields that are added for the path of the contact.", |cx| {
            cx.targets.main.path.clone().map_or(Value::Null, Value::Str)
        }),
        settable(
            "ru_q",
            "The preference of the Request-URI among the branches, in thousandths; -1 if none is set.",
            |cx| match cx.route {
                // as recorded: the message that these routes run for has none
                RouteKind::Startup | RouteKind::Timer | RouteKind::Event | RouteKind::Local => Value::Int(0),
                _ if cx.message.is_request() => Value::Int(cx.targets.main.q.into()),
                _ => Value::Null,
            },
            |cx, value| match value {
                Value::Int(q @ -1..=1000) => {
                    cx.targets.main.q = *q as i32;
                    Ok(())
                }
                _ => Err(refused("the preference is a number from 0 to 1000")),
            },
        ),
    ]
}

/// `$du` and its parts.
fn next_hop() -> Vec<Variable<Context>> {
    vec![
        settable(
            "du",
            "The URI of the next hop, if the request is not to go to its Request-URI.",
            |cx| cx.targets.main.next_hop.clone().map_or(Value::Null, Value::Str),
            set_next_hop,
        )
        .also(&["duri"]),
        settable(
            "dd",
            "The host of the next hop.",
            |cx| text(hop(cx).and_then(|uri| uri.host())),
            |cx, value| {
                let host = unless_number(value)?.filter(|host| !host.is_empty());
                rewrite_hop(cx, Part::Host, Some(&host.ok_or_else(|| refused("a host cannot be empty"))?))
            },
        ),
        settable_texts(
            "dp",
            "The port of the next hop.",
            Texts { text: |cx| text(hop(cx).map(|uri| uri.port())), number: |cx| digits(hop(cx)?.port()) },
            |cx, value| rewrite_hop(cx, Part::Port, as_text(value).as_deref()),
        ),
        texts(
            "dP",
            "The transport protocol of the next hop.",
            Texts { text: |cx| text(hop(cx).map(|uri| uri.protocol())), number: |_| None },
        ),
    ]
}

/// `$ou` and its parts.
fn original() -> Vec<Variable<Context>> {
    let all: [(&str, &[&str], &str, Texts); 5] = [
        (
            "ou",
            &["ouri"],
            "The Request-URI as it came.",
            Texts { text: |cx| whole(received_uri(&cx.message)), number: |_| None },
        ),
        (
            "oU",
            &[],
            "The user of the Request-URI as it came.",
            Texts { text: |cx| text(came(cx).and_then(|uri| uri.user)), number: |_| None },
        ),
        (
            "od",
            &[],
            "The host of the Request-URI as it came.",
            Texts { text: |cx| text(came(cx).and_then(|uri| uri.host())), number: |_| None },
        ),
        (
            "op",
            &[],
            "The port of the Request-URI as it came.",
            Texts { text: |cx| text(came(cx).map(|uri| uri.port())), number: |cx| digits(came(cx)?.port()) },
        ),
        (
            "oP",
            &[],
            "The transport protocol of the Request-URI as it came.",
            Texts { text: |cx| text(came(cx).map(|uri| uri.protocol())), number: |_| None },
        ),
    ];
    all.into_iter().map(|(name, other, doc, read)| texts(name, doc, read).also(other)).collect()
}

pub(super) fn functions() -> Vec<Function<Context>> {
    const TEXT: &[Param] = &[Param::required("text", ParamKind::Str)];
    const COUNT: &[Param] = &[Param::required("count", ParamKind::Int)];
    vec![
        with_value("seturi", TEXT, set_uri).doc("Replaces the Request-URI. 1: done; -1: it is not a URI."),
        with_value("rewriteuri", TEXT, set_uri).doc("The same as seturi(). 1: done; -1: it is not a URI."),
        with_value("sethost", TEXT, |cx, value| rewrite(cx, Part::Host, as_text(value).as_deref()))
            .doc("Replaces the host of the Request-URI. 1: done; -1: it failed."),
        with_value("sethostport", TEXT, |cx, value| rewrite(cx, Part::HostPort, as_text(value).as_deref()))
            .doc("Replaces host and port of the Request-URI. 1: done; -1: it failed."),
        with_value("setport", TEXT, |cx, value| rewrite(cx, Part::Port, as_text(value).as_deref()))
            .doc("Replaces the port of the Request-URI. 1: done; -1: it failed."),
        with_value("setuser", TEXT, |cx, value| rewrite(cx, Part::User, as_text(value).as_deref()))
            .doc("Replaces the user of the Request-URI. 1: done; -1: it failed."),
        with_value("setuserpass", TEXT, |cx, value| {
            rewrite(cx, Part::UserAndPassword, as_text(value).as_deref())
        })
        .doc("Replaces user and password of the Request-URI, `user:password`. 1: done; -1: it failed."),
        with_value("prefix", TEXT, |cx, value| {
            let prefix = as_text(value).unwrap_or_default();
            let user = current(cx).and_then(|uri| uri.user).unwrap_or_default();
            let user = Bytes::from([&*prefix, user].concat());
            rewrite(cx, Part::Prefixed, Some(&user))
        })
        .doc("Puts a prefix before the user of the Request-URI. 1: done; -1: it failed."),
        with_value("strip", COUNT, |cx, value| strip(cx, value, |user, n| user.get(n..))).doc(
            "Removes characters from the beginning of the user of the Request-URI. 1: done; -1: it failed.",
        ),
        with_value("strip_tail", COUNT, |cx, value| {
            strip(cx, value, |user, n| user.get(..user.len().checked_sub(n)?))
        })
        .doc("Removes characters from the end of the user of the Request-URI. 1: done; -1: it failed."),
        with_value("setdsturi", TEXT, set_next_hop)
            .doc("Sets the URI that the request is sent to, `$du`. 1: done; -1: it is not a URI."),
        act("resetdsturi", |cx| {
            cx.targets.main.next_hop = None;
            true
        })
        .doc("Clears `$du`: the request is sent to its Request-URI. 1: always."),
        act("isdsturiset", |cx| cx.targets.main.next_hop.is_some())
            .doc("Whether `$du` is set. 1: it is; -1: it is not."),
        act("revert_uri", |cx| {
            cx.targets.main.uri = None;
            true
        })
        .doc("Restores the Request-URI that came. 1: always."),
    ]
}

fn with_value(
    name: &'static str,
    params: &'static [Param],
    act: fn(&mut Context, &Value) -> Result<(), WriteError>,
) -> Function<Context> {
    Function::new(name, params, Routes::ANY, move |_| {
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

fn act(name: &'static str, act: fn(&mut Context) -> bool) -> Function<Context> {
    Function::new(name, &[], Routes::ANY, move |_| {
        let call: Call<Context> = Rc::new(move |cx, _| act(cx).into());
        Ok(call)
    })
}

/// The text of a URI; NULL if it is none.
fn whole(uri: &[u8]) -> Value {
    text(UriText::of(uri).map(|_| uri))
}

fn current(cx: &Context) -> Option<UriText<'_>> {
    let uri = UriText::of(cx.request_uri());
    if uri.is_none() {
        cx.asked_in_vain.set(true);
    }
    uri
}

fn came(cx: &Context) -> Option<UriText<'_>> {
    UriText::of(received_uri(&cx.message))
}

fn hop(cx: &Context) -> Option<UriText<'_>> {
    UriText::of(cx.targets.main.next_hop.as_deref()?)
}

fn port_number(cx: &Context) -> Option<i64> {
    digits(current(cx)?.port())
}

fn digits(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A text or NULL; a number is refused where a text belongs.
fn unless_number(value: &Value) -> Result<Option<Bytes>, WriteError> {
    match value {
        Value::Int(_) => Err(refused("a string is needed, and not a number")),
        _ => Ok(as_text(value)),
    }
}

/// Sets the Request-URI, as `$ru` does. An empty text takes back what was set. The preference was that of the URI before.
///
/// # Errors
/// It is NULL, too long, or holds control characters.
pub fn set_uri(cx: &mut Context, value: &Value) -> Result<(), WriteError> {
    let uri = unless_number(value)?.ok_or_else(|| refused("the Request-URI cannot be NULL"))?;
    check(&uri)?;
    cx.targets.main.uri = Some(uri).filter(|uri| !uri.is_empty());
    cx.targets.main.q = -1;
    Ok(())
}

/// Sets the next hop, as `$du` does; NULL takes it away.
///
/// # Errors
/// As [`set_uri`].
pub fn set_next_hop(cx: &mut Context, value: &Value) -> Result<(), WriteError> {
    let hop = unless_number(value)?.filter(|hop| !hop.is_empty());
    if let Some(hop) = &hop {
        check(hop)?;
    }
    cx.targets.main.next_hop = hop;
    Ok(())
}

/// Whether it may become part of a message: whether it is a URI is seen when it is sent.
pub(crate) fn check(uri: &[u8]) -> Result<(), WriteError> {
    if uri.len() > MAX_URI_BYTES {
        return Err(refused("a URI has at most 1,024 bytes"));
    }
    if uri.iter().any(u8::is_ascii_control) {
        return Err(refused("a URI has no control characters"));
    }
    Ok(())
}

/// A part of a URI that is replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    User,
    /// The user, which may be empty: that makes it no URI.
    Prefixed,
    UserAndPassword,
    Host,
    HostPort,
    Port,
}

/// The text of `uri` with a part replaced, or taken out.
fn replaced(uri: UriText<'_>, part: Part, new: Option<&[u8]>) -> Vec<u8> {
    let given = new.filter(|new| !new.is_empty());
    let mut uri = uri;
    match part {
        Part::User => uri.user = given,
        Part::Prefixed => uri.user = new,
        Part::UserAndPassword => (uri.user, uri.password) = (given, None),
        Part::Host => uri.host = new.unwrap_or_default(),
        Part::HostPort => (uri.host, uri.port) = (new.unwrap_or_default(), None),
        Part::Port => uri.port = given,
    }
    uri.print()
}

/// Sets the user of the Request-URI, as `setuser()` does.
///
/// # Errors
/// The Request-URI cannot be read, or as [`set_uri`].
pub fn set_user(cx: &mut Context, user: &[u8]) -> Result<(), WriteError> {
    rewrite(cx, Part::User, Some(user))
}

/// Sets the host of the Request-URI, as `sethost()` does.
///
/// # Errors
/// As [`set_user`].
pub fn set_host(cx: &mut Context, host: &[u8]) -> Result<(), WriteError> {
    rewrite(cx, Part::Host, Some(host))
}

fn rewrite(cx: &mut Context, part: Part, new: Option<&[u8]>) -> Result<(), WriteError> {
    let uri = current(cx).ok_or_else(|| refused("the Request-URI cannot be read"))?;
    let new = replaced(uri, part, new);
    check(&new)?;
    cx.targets.main.uri = Some(Bytes::from(new));
    Ok(())
}

fn rewrite_hop(cx: &mut Context, part: Part, new: Option<&[u8]>) -> Result<(), WriteError> {
    let uri = hop(cx).ok_or_else(|| refused("there is no next hop that could be changed"))?;
    let new = replaced(uri, part, new);
    check(&new)?;
    cx.targets.main.next_hop = Some(Bytes::from(new));
    Ok(())
}

/// Takes so many characters off the user; all of them if it has not so many.
fn strip(cx: &mut Context, count: &Value, cut: fn(&[u8], usize) -> Option<&[u8]>) -> Result<(), WriteError> {
    let count = count.to_int().and_then(|n| usize::try_from(n).ok());
    let count = count.ok_or_else(|| refused("the count cannot be negative"))?;
    let user = current(cx).and_then(|uri| uri.user).unwrap_or_default();
    let user = Bytes::new(cut(user, count).unwrap_or_default());
    rewrite(cx, Part::User, Some(&user))
}
