//! `{ip.*}`: addresses in text and in binary (manual, "IP Transformations").

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::given::Given;
use super::network::{address, v4, v6};
use super::row::{Effect, Kind, Parameter, Transformation};
use crate::value::{Bytes, Value};

pub(super) const ROWS: &[Transformation] = &[
    Transformation::text(
        "ip.pton",
        to_binary,
        "The address in binary, 4 or 16 bytes. IPv6 may be in brackets; an IPv4 address within it is not accepted.",
    ),
    Transformation::text(
        "ip.ntop",
        to_text,
        "The text of a binary address of 4 or 16 bytes. IPv6 is written as eight groups in upper case.",
    ),
    Transformation::text(
        "ip.isip",
        |text| yes_or_no(text, |text| address(text).is_some()),
        "1 if the text is an IPv4 or IPv6 address, 0 otherwise.",
    ),
    Transformation::text(
        "ip.isip4",
        |text| yes_or_no(text, |text| v4(text).is_some()),
        "1 if the text is an IPv4 address, 0 otherwise.",
    ),
    Transformation::text(
        "ip.isip6",
        |text| yes_or_no(text, |text| v6(text).is_some()),
        "1 if the text is an IPv6 address, 0 otherwise.",
    ),
    Transformation::text(
        "ip.family",
        family,
        "INET or INET6, for a binary address as `{ip.pton}` returns it.",
    ),
    Transformation {
        name: "ip.resolve",
        parameters: &[],
        doc: "The address of a host name, IPv4 if it has one; the statement waits for the answer. An address is \
              returned as it is.",
        effect: Effect::Resolve,
    },
    Transformation::with(
        "ip.matches",
        &[Parameter::required("network", Kind::Network)],
        matches,
        "1 if the address is in the network, 0 if not. NULL if either is invalid, or if one is IPv4 and the other \
         IPv6.",
    ),
    Transformation::text(
        "ip.isprivate",
        |text| yes_or_no(text, |text| v4(text).is_some_and(is_private)),
        "1 if the text is a private (RFC 1918), shared (RFC 6598) or loopback IPv4 address, 0 otherwise.",
    ),
];

/// An empty text is no answer.
fn yes_or_no(text: &[u8], is: fn(&[u8]) -> bool) -> Value {
    if text.is_empty() { Value::Null } else { Value::from(is(text)) }
}

fn is_private(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_private() || address.is_loopback() || (first == 100 && (64..128).contains(&second))
}

fn to_binary(text: &[u8]) -> Value {
    match address(text) {
        Some(IpAddr::V4(address)) => Value::str(&address.octets()[..]),
        Some(IpAddr::V6(address)) => Value::str(&address.octets()[..]),
        None => Value::Null,
    }
}

fn to_text(text: &[u8]) -> Value {
    binary(text).map_or(Value::Null, |address| Value::Str(written(address)))
}

fn family(text: &[u8]) -> Value {
    match binary(text) {
        Some(IpAddr::V4(_)) => Value::from("INET"),
        Some(IpAddr::V6(_)) => Value::from("INET6"),
        None => Value::Null,
    }
}

fn binary(text: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(text)
        .map(|octets| IpAddr::V4(Ipv4Addr::from(octets)))
        .or_else(|_| <[u8; 16]>::try_from(text).map(|octets| IpAddr::V6(Ipv6Addr::from(octets))))
        .ok()
}

/// Bytes of the longest address of IPv4.
const MAX_V4_BYTES: usize = 15;

/// The text OpenSIPS gives for an address.
pub(super) fn written(address: IpAddr) -> Bytes {
    match address {
        IpAddr::V4(_) => {
            let mut text = Vec::with_capacity(MAX_V4_BYTES);
            tocsin_sip::write_address(address, &mut text);
            Bytes::from(text)
        }
        IpAddr::V6(address) => {
            let groups = address.segments().map(|group| format!("{group:X}"));
            Bytes::from(groups.join(":"))
        }
    }
}

fn matches(text: &[u8], given: &[Given]) -> Value {
    let (Some(address), [Given::Network(network)]) = (address(text), given) else { return Value::Null };
    network.holds(address).map_or(Value::Null, Value::from)
}
