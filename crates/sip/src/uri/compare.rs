//! Equivalence of URIs (RFC 3261 section 19.1.4, RFC 3966 section 4).

use super::escape::Unescaped;
use super::{Scheme, UriRef};
use crate::params::Param;

/// Parameters that make two URIs differ when only one of them has it. `transport` is not in the sentence of
/// the RFC but in its examples: a URI without one may lead elsewhere.
const NEVER_IGNORED: [&[u8]; 5] = [b"user", b"ttl", b"method", b"maddr", b"transport"];

/// Whether the two URIs are equivalent.
#[must_use]
pub fn equivalent(one: &UriRef<'_>, two: &UriRef<'_>) -> bool {
    if one.scheme() != two.scheme() {
        return false;
    }
    match one.scheme() {
        Scheme::Sip | Scheme::Sips => sip(one, two),
        Scheme::Tel => tel(one, two),
        Scheme::Urn => urn(one, two),
        Scheme::Other => {
            same_ignoring_case(one.scheme_text(), two.scheme_text()) && one.opaque() == two.opaque()
        }
    }
}

/// Punctuation in a telephone number that has no meaning (RFC 3966 section 5.1.1).
pub(super) fn is_visual_separator(byte: u8) -> bool {
    matches!(byte, b'-' | b'.' | b'(' | b')')
}

fn sip(one: &UriRef<'_>, two: &UriRef<'_>) -> bool {
    same_part(one.user(), two.user())
        && same_part(one.password(), two.password())
        && same_host(one, two)
        && one.port() == two.port()
        && params_agree(one, two)
        && params_agree(two, one)
        && headers_within(one, two)
        && headers_within(two, one)
}

fn tel(one: &UriRef<'_>, two: &UriRef<'_>) -> bool {
    let digits = |uri: &UriRef<'_>| {
        let number: Vec<u8> =
            uri.opaque().iter().filter(|&&byte| !is_visual_separator(byte)).copied().collect();
        number
    };
    let within = |one: &UriRef<'_>, two: &UriRef<'_>| {
        one.params()
            .all(|param| named(two, param.name).is_some_and(|twin| same_value(named(one, param.name), twin)))
    };
    same_ignoring_case(&digits(one), &digits(two)) && within(one, two) && within(two, one)
}

/// `urn:NID:NSS`: the namespace in any case, the rest as it is (RFC 8141 section 3).
fn urn(one: &UriRef<'_>, two: &UriRef<'_>) -> bool {
    let namespace = |text: &[u8]| text.iter().position(|&byte| byte == b':').unwrap_or(text.len());
    let (one, two) = (one.opaque(), two.opaque());
    let (first, second) = (namespace(one), namespace(two));
    same_ignoring_case(&one[..first], &two[..second]) && one[first..] == two[second..]
}

fn same_host(one: &UriRef<'_>, two: &UriRef<'_>) -> bool {
    one.host().eq_ignore_ascii_case(two.host())
        || matches!((one.host_address(), two.host_address()), (Some(first), Some(second)) if first == second)
}

/// User or password: case matters.
fn same_part(one: Option<&[u8]>, two: Option<&[u8]>) -> bool {
    match (one, two) {
        (Some(one), Some(two)) => one == two || Unescaped { text: one }.eq(Unescaped { text: two }),
        (None, None) => true,
        _ => false,
    }
}

fn params_agree(one: &UriRef<'_>, two: &UriRef<'_>) -> bool {
    one.params().all(|param| match named(two, param.name) {
        Some(twin) => same_value(named(one, param.name), twin),
        None => !NEVER_IGNORED.iter().any(|name| same_ignoring_case(param.name, name)),
    })
}

/// The first parameter of this name: of one given twice, against section 19.1.1, the first counts.
fn named<'a>(uri: &UriRef<'a>, name: &[u8]) -> Option<Param<'a>> {
    uri.params().find(|param| same_ignoring_case(param.name, name))
}

fn headers_within(one: &UriRef<'_>, two: &UriRef<'_>) -> bool {
    one.headers().all(|(name, value)| {
        two.headers().any(|(twin, twin_value)| {
            same_ignoring_case(name, twin) && Unescaped { text: value }.eq(Unescaped { text: twin_value })
        })
    })
}

fn same_value(one: Option<Param<'_>>, two: Param<'_>) -> bool {
    one.is_some_and(|one| same_ignoring_case(one.value.unwrap_or_default(), two.value.unwrap_or_default()))
}

fn same_ignoring_case(one: &[u8], two: &[u8]) -> bool {
    let lower = |(byte, reserved): (u8, bool)| (byte.to_ascii_lowercase(), reserved);
    Unescaped { text: one }.map(lower).eq(Unescaped { text: two }.map(lower))
}
