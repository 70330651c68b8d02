//! `{via.*}`: the parts of a Via header field (manual, "Via Transformations"). Of several values, the first is read.

use tocsin_sip::{Limits, Rport, ViaRef};

use super::given::{Given, text as text_of};
use super::row::{Kind, Parameter, Transformation};
use crate::value::{Bytes, Value};

/// A part of a Via, and its documentation.
macro_rules! part {
    ($name:literal, $part:expr, $doc:literal) => {
        Transformation::text($name, |text| of_via(text, $part), $doc)
    };
}

pub(super) const ROWS: &[Transformation] = &[
    part!("via.name", |via| slashed(via, 0), "The name of the protocol: SIP."),
    part!("via.version", |via| slashed(via, 1), "The version of the protocol: 2.0."),
    part!("via.transport", |via| Some(Value::str(via.via.transport_text())), "The transport, such as UDP."),
    part!("via.host", |via| Some(Value::str(via.via.host())), "The host; an IPv6 address is in brackets."),
    part!("via.domain", |via| Some(Value::str(via.via.host())), "The same as `{via.host}`."),
    part!(
        "via.port",
        |via| via.via.port().map(|port| Value::Int(port.into())),
        "The port, if one is written."
    ),
    part!("via.comment", |via| via.comment.map(Value::str), "The comment in parentheses at the end."),
    part!(
        "via.params",
        |via| via.via.params().text().strip_prefix(b";").map(Value::str),
        "All parameters, without the semicolon before the first."
    ),
    Transformation::with(
        "via.param",
        &[Parameter::required("name", Kind::Text)],
        param,
        "The value of the parameter of this name, without quotes; empty if it has none.",
    ),
    part!("via.branch", |via| via.via.branch().map(Value::str), "The value of the parameter `branch`."),
    part!("via.received", |via| via.via.received().map(Value::str), "The value of the parameter `received`."),
    part!(
        "via.rport",
        |via| match via.via.rport() {
            Rport::Port(port) => Some(Value::Str(Bytes::decimal(port.into()))),
            Rport::Asked | Rport::Absent => None,
        },
        "The value of the parameter `rport`. NULL if there is none, or it has no value."
    ),
];

struct Via<'a> {
    via: ViaRef<'a>,
    comment: Option<&'a [u8]>,
}

fn of_via(text: &[u8], part: fn(&Via<'_>) -> Option<Value>) -> Value {
    Via::parse(text).as_ref().and_then(part).unwrap_or_default()
}

fn param(text: &[u8], given: &[Given]) -> Value {
    let found = Via::parse(text).zip(text_of(given, 0)).and_then(|(via, name)| via.via.param(name));
    found.map_or(Value::Null, |param| Value::str(param.inside_quotes()))
}

/// What stands between the slashes of `SIP/2.0/UDP`.
fn slashed(via: &Via<'_>, position: usize) -> Option<Value> {
    via.via.text().split(|byte| *byte == b'/').nth(position).map(|part| Value::str(part.trim_ascii()))
}

impl<'a> Via<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let mut quoted = false;
        let end = text.iter().position(|byte| {
            quoted ^= *byte == b'"';
            !quoted && matches!(byte, b',' | b'(')
        });
        let (value, after) = text.split_at(end.unwrap_or(text.len()));
        let comment = match after {
            [b'(', inside @ ..] => Some(&inside[..memchr::memchr(b')', inside)?]),
            _ => None,
        };
        let via = ViaRef::parse(value.trim_ascii_start(), &Limits::DEFAULT).ok()?;
        Some(Self { via, comment })
    }
}
