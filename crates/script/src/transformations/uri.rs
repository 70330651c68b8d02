//! `{uri.*}`: the parts of a URI (manual, "URI Transformations").
//!
//! URIs are read here as OpenSIPS reads them for its transformations, which is more lenient than the grammar by which
//! messages are read: a user may hold blanks, a port may be empty, and so may parameters.

use super::given::{Given, text as text_of};
use super::params::named;
use super::row::{Kind, Parameter, Transformation};
use crate::value::Value;

/// A part of a URI, and its documentation.
macro_rules! part {
    ($name:literal, $part:expr, $doc:literal) => {
        Transformation::text($name, |text| of_uri(text, $part), $doc)
    };
}

pub(super) const ROWS: &[Transformation] = &[
    part!("uri.user", |uri| uri.user.map(Value::str), "The user; of a `tel` URI the number."),
    part!("uri.host", |uri| uri.host.map(Value::str), "The host; an IPv6 address is in brackets."),
    part!("uri.domain", |uri| uri.host.map(Value::str), "The same as `{uri.host}`."),
    part!("uri.passwd", |uri| uri.password.map(Value::str), "The password after the user."),
    part!("uri.port", |uri| uri.port.map(|port| Value::Int(port.into())), "The port, if one is written."),
    part!(
        "uri.params",
        |uri| uri.params.map(Value::str),
        "All parameters, without the semicolon before the first."
    ),
    Transformation::with(
        "uri.param",
        &[Parameter::required("name", Kind::Text)],
        param,
        "The value of the parameter of this name, without quotes; empty if it has none.",
    ),
    part!("uri.headers", |uri| uri.headers.map(Value::str), "The headers, without the question mark."),
    part!("uri.transport", |uri| uri.value(b"transport"), "The value of the parameter `transport`."),
    part!("uri.ttl", |uri| uri.value(b"ttl"), "The value of the parameter `ttl`."),
    part!("uri.uparam", |uri| uri.value(b"user"), "The value of the parameter `user`."),
    part!("uri.maddr", |uri| uri.value(b"maddr"), "The value of the parameter `maddr`."),
    part!("uri.method", |uri| uri.value(b"method"), "The value of the parameter `method`."),
    part!(
        "uri.lr",
        |uri| uri.value(b"lr"),
        "The value of the parameter `lr`. NULL if there is none, or it has no value."
    ),
    part!("uri.r2", |uri| uri.value(b"r2"), "The value of the parameter `r2`."),
    part!("uri.schema", |uri| Some(Value::str(uri.scheme)), "The scheme in lower case, without the colon."),
];

fn of_uri(text: &[u8], part: fn(&Uri<'_>) -> Option<Value>) -> Value {
    Uri::parse(text).as_ref().and_then(part).unwrap_or_default()
}

fn param(text: &[u8], given: &[Given]) -> Value {
    let params = Uri::parse(text).and_then(|uri| uri.params);
    let found = params.zip(text_of(given, 0)).and_then(|(params, name)| named(params, name));
    found.map_or(Value::Null, |param| Value::str(param.value))
}

/// A URI, read in place. What is not there or empty is nothing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Uri<'a> {
    scheme: &'static str,
    user: Option<&'a [u8]>,
    password: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
    port: Option<u16>,
    params: Option<&'a [u8]>,
    headers: Option<&'a [u8]>,
}

impl<'a> Uri<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        const SCHEMES: [&str; 4] = ["sip", "sips", "tel", "tels"];
        let colon = memchr::memchr(b':', text)?;
        let (name, rest) = (&text[..colon], &text[colon + 1..]);
        if name.eq_ignore_ascii_case(b"urn") {
            return Self::urn(rest);
        }
        let scheme = *SCHEMES.iter().find(|known| name.eq_ignore_ascii_case(known.as_bytes()))?;
        let uri = if scheme.starts_with("sip") { Self::sip(rest) } else { Self::tel(rest) };
        uri.map(|uri| Self { scheme, ..uri })
    }

    /// `service:sos` is a host to OpenSIPS; other names are no URI.
    fn urn(rest: &'a [u8]) -> Option<Self> {
        let prefix = [&b"service:"[..], b"nena:service:"].into_iter().find(|prefix| {
            rest.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
        })?;
        let host = Some(&rest[prefix.len()..]).filter(|name| !name.is_empty())?;
        Some(Self { scheme: "urn", host: Some(host), ..Self::default() })
    }

    fn tel(rest: &'a [u8]) -> Option<Self> {
        let (number, params) = cut(rest, b';');
        if number.is_empty() || memchr::memchr(b'@', number).is_some() {
            return None;
        }
        Some(Self { user: Some(number), params, ..Self::default() })
    }

    fn sip(rest: &'a [u8]) -> Option<Self> {
        let (before, after) = match memchr::memchr(b'@', rest) {
            Some(sign) => (Some(&rest[..sign]), &rest[sign + 1..]),
            None => (None, rest),
        };
        let (user, password) = match before.map(|userinfo| cut(userinfo, b':')) {
            Some(([], _)) => return None,
            Some((user, password)) => (Some(user), password),
            None => (None, None),
        };
        let (after, headers) = cut(after, b'?');
        let (host, params) = cut(after, b';');
        let (host, port) = host_and_port(host)?;
        Some(Self { user, password, host: Some(host), port, params, headers, ..Self::default() })
    }

    /// The value of a parameter that URIs are known for, if it is not empty. Whatever stands beside it does not matter.
    fn value(&self, name: &[u8]) -> Option<Value> {
        let mut params = self.params?.split(|byte| *byte == b';').map(|param| cut(param, b'='));
        let (_, value) = params.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        value.map(Value::str)
    }
}

/// What stands before the first `mark`, and after it if that is not empty.
fn cut(text: &[u8], mark: u8) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(mark, text) {
        Some(at) => (&text[..at], Some(&text[at + 1..]).filter(|after| !after.is_empty())),
        None => (text, None),
    }
}

/// `host`, `host:` or `host:port`
fn host_and_port(text: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let end = match text {
        [b'[', inside @ ..] => memchr::memchr(b']', inside)? + 2,
        _ => memchr::memchr(b':', text).unwrap_or(text.len()),
    };
    let (host, after) = text.split_at(end);
    let odd = |byte: &u8| matches!(byte, b'@' | b'<' | b'>' | b'"') || byte.is_ascii_whitespace();
    if host.is_empty() || host.iter().any(odd) {
        return None;
    }
    let port = match after {
        [] | [b':'] => None,
        [b':', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => {
            Some(std::str::from_utf8(digits).ok()?.parse().ok()?)
        }
        _ => return None,
    };
    Some((host, port))
}
