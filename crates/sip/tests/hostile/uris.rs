//! URIs and hosts.

use super::{read, rejection, touch_all, touch_uri, with};
use tocsin_sip::{ParseError, Rejection, UriParts, UriRef, escape_user, host_address, unescape};

#[test]
fn cve_2023_27597_rewriting_uris_that_lack_parts() {
    for text in
        ["sip:h", "sip:u@h", "tel:1", "urn:a", "x:y", "sip:h;p", "sips:[::1]", "sip:u:@h", "tel:1;a=b"]
    {
        let uri = UriRef::parse(text.as_bytes()).unwrap();
        let mut parts = UriParts::of(&uri);
        parts.user = None;
        parts.port = Some(5060);
        let mut out = Vec::new();
        parts.print_into(&mut out);
        parts.user = Some(b"new");
        parts.host = b"";
        parts.print_into(&mut out);
        assert!(!out.is_empty());
    }
    for text in [
        "",
        "sip",
        "sip:",
        "sip:@",
        "sip:@h",
        "sip:u@",
        "sip::@h",
        "sip:u@:5060",
        "sip:;",
        "sip:?",
        "sip:[",
        "sip:[]",
        ":",
    ] {
        assert!(UriRef::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn cve_2026_45537_over_long_uri_parts() {
    for part in
        ["sip:{}@h", "sip:u:{}@h", "sip:u@{}", "sip:u@h;{}", "sip:u@h?{}=1", "tel:{}", "urn:{}", "{}:x"]
    {
        let text = part.replace("{}", &"x".repeat(5_000));
        assert_eq!(UriRef::parse(text.as_bytes()).err(), Some(ParseError::UriTooLong), "{part}");
        let text = part.replace("{}", &"x".repeat(1_000));
        touch_uri(&UriRef::parse(text.as_bytes()).unwrap());
        let message = read(with("sip:bob@example.com SIP", &format!("{text} SIP")));
        touch_all(&message);
    }
}

#[test]
fn cve_2026_45809_oversized_watcher_uri() {
    let text = with("<sip:alice@example.com>", &format!("<sip:{}@example.com>", "w".repeat(20_000)));
    assert_eq!(rejection(text), Some(ParseError::UriTooLong));
}

#[test]
fn over_long_request_uri_is_told_so() {
    let text = with("sip:bob@example.com SIP", &format!("sip:{}@example.com SIP", "w".repeat(20_000)));
    assert!(matches!(read(text).validate(), Err(Rejection::Answer { status: 414, .. })));
}

#[test]
fn urn_uris() {
    for text in
        ["urn:service:sos", "urn:a", "urn:%", "urn:::::", "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6;x?y"]
    {
        touch_uri(&UriRef::parse(text.as_bytes()).unwrap());
    }
    assert!(UriRef::parse(b"urn:").is_err());
}

#[test]
fn escapes_cut_short() {
    for text in ["%", "%4", "%%", "%zz", "a%", "%00%0", "%e2%82"] {
        assert_eq!(unescape(&unescape(text.as_bytes())), unescape(text.as_bytes()));
        assert_eq!(&*unescape(&escape_user(text.as_bytes())), text.as_bytes());
    }
}

#[test]
fn cve_2023_28099_addresses_that_are_none() {
    let long = "1".repeat(5_000);
    for text in [
        "",
        ".",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "::1::",
        "[",
        "]",
        "[]",
        "[::1",
        "::1]",
        "[1.2.3.4]",
        "a:b",
        "1:",
        "%",
        &long,
    ] {
        assert_eq!(host_address(text.as_bytes()), None, "{text}");
    }
    assert_eq!(host_address(b"\xff\xfe"), None);
    assert_eq!(host_address(format!("[{long}:]").as_bytes()), None);
}
