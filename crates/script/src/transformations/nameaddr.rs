//! `{nameaddr.*}`: the parts of an address, or of one in a list (manual, "Name-address Transformations").
//!
//! What stands in the brackets may be anything, and an address may do without them: nothing is read as a URI here.

use super::given::{Given, position, text as text_of};
use super::params::named;
use super::row::{Effect, Kind, Parameter, Transformation};
use crate::value::Value;

pub(super) const ROWS: &[Transformation] = &[
    part(
        "nameaddr.name",
        |text, index, _| found(text, index, |address| address.name),
        "The display name, with its quotes.",
    ),
    part(
        "nameaddr.uri",
        |text, index, _| found(text, index, |address| address.uri),
        "The URI, without its brackets.",
    ),
    part(
        "nameaddr.len",
        len,
        "The length of the address as OpenSIPS counts it: up to its parameters; if it has none, up to the end of \
         the text plus 2, or 0 if another address follows.",
    ),
    Transformation {
        name: "nameaddr.param",
        parameters: &[Parameter::required("name", Kind::Text)],
        doc: "The value of the header parameter of this name; empty if it has none.",
        effect: Effect::Nth(param),
    },
    part(
        "nameaddr.params",
        |text, index, _| found(text, index, |address| address.params),
        "All header parameters, without the semicolon before the first.",
    ),
];

type Part = fn(&[u8], i64, &[Given]) -> Value;

const fn part(name: &'static str, make: Part, doc: &'static str) -> Transformation {
    Transformation { name, parameters: &[], doc, effect: Effect::Nth(make) }
}

fn len(text: &[u8], index: i64, _: &[Given]) -> Value {
    at(text, index).map_or(Value::Null, |address| Value::Int(address.len as i64))
}

fn param(text: &[u8], index: i64, given: &[Given]) -> Value {
    let params = at(text, index).and_then(|address| address.params);
    let found = params.zip(text_of(given, 0)).and_then(|(params, name)| named(params, name));
    found.map_or(Value::Null, |param| Value::str(param.value))
}

fn found(text: &[u8], index: i64, part: for<'a> fn(&Address<'a>) -> Option<&'a [u8]>) -> Value {
    at(text, index).and_then(|address| part(&address)).map_or(Value::Null, Value::str)
}

/// The address at an index. Nothing if the text is no list of addresses as a whole.
fn at(text: &[u8], index: i64) -> Option<Address<'_>> {
    let mut found = None;
    let mut count = 0;
    for address in (Addresses { rest: Some(text) }) {
        let address = address?;
        if index == count as i64 {
            found = Some(address);
        }
        count += 1;
    }
    match index {
        0.. => found,
        _ => Addresses { rest: Some(text) }.nth(position(index, count)?)?,
    }
}

/// One address, read in place.
#[derive(Debug, PartialEq, Eq)]
struct Address<'a> {
    name: Option<&'a [u8]>,
    uri: Option<&'a [u8]>,
    params: Option<&'a [u8]>,
    len: usize,
}

/// The addresses of a list; `None` for what is none.
struct Addresses<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Addresses<'a> {
    type Item = Option<Address<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.rest.take()?.trim_ascii_start();
        let Some((name, uri, after)) = address(text) else { return Some(None) };
        let mut address = Address {
            name: Some(name).filter(|name| !name.is_empty()),
            uri: Some(uri),
            params: None,
            len: 0,
        };
        let before_params = text.len() - after.len();
        match after {
            [] => address.len = text.len() + "\r\n".len(),
            [b',', rest @ ..] => self.rest = Some(rest),
            [b';', rest @ ..] => {
                let end = comma(rest);
                address.params = Some(rest[..end].trim_ascii()).filter(|params| !params.is_empty());
                address.len = before_params;
                self.rest = rest.get(end + 1..);
            }
            _ => return Some(None),
        }
        Some(Some(address))
    }
}

/// Display name and URI that a text begins with, and what follows them and white space.
fn address(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    if let [b'"', inside @ ..] = text {
        let (name, rest) = text.split_at(closing_quote(inside)? + 2);
        let (uri, after) = bracketed(rest.trim_ascii_start())?;
        return Some((name, uri, after));
    }
    let end = memchr::memchr3(b'<', b',', b';', text).unwrap_or(text.len());
    let (before, after) = text.split_at(end);
    if after.first() == Some(&b'<') {
        let (uri, after) = bracketed(after)?;
        return Some((before.trim_ascii_end(), uri, after));
    }
    let uri = before.trim_ascii_end();
    let odd = |byte: &u8| matches!(byte, b'>' | b'"') || byte.is_ascii_whitespace();
    (!uri.is_empty() && !uri.iter().any(odd)).then_some((&[], uri, after))
}

/// `<uri>`, and what follows it and white space.
fn bracketed(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = text.strip_prefix(b"<")?;
    let end = memchr::memchr(b'>', inside).filter(|end| *end > 0)?;
    Some((&inside[..end], inside[end + 1..].trim_ascii_start()))
}

/// Where the quote is that closes; one after a backslash does not.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|byte| {
        let closes = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        closes
    })
}

/// The next comma that stands in no quotes, or the end of the text.
fn comma(text: &[u8]) -> usize {
    let mut quoted = false;
    let found = text.iter().position(|byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    });
    found.unwrap_or(text.len())
}
