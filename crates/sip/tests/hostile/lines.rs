//! Lines, header names, Content-Length, and bytes in any place.

use super::{GOOD, read, refusal, rejection, touch_all, with};
use tocsin_sip::{Edits, HeaderName, Limits, Message, ParseError};

#[test]
fn cve_2023_28097_huge_content_length_with_crafted_uri() {
    for length in ["2147483647", "4294967295", "99999999999999999999"] {
        let text = with("Content-Length: 26", &format!("Content-Length: {length}")).replace("bob@", "[");
        assert!(rejection(&text).is_some());
        touch_all(&read(&text));
    }
}

#[test]
fn cve_2026_45103_content_length_that_wraps_is_no_smuggling() {
    // 2^32 and 2^64 above the true length.
    for length in ["4294967322", "18446744073709551642"] {
        let message = read(with("Content-Length: 26", &format!("l: {length}")));
        assert_eq!(message.defect(), Some(ParseError::ContentLength));
        assert_eq!(message.content_length(), None);
        assert_eq!(message.body().len(), 26);
    }
}

#[test]
fn cve_2026_23457_content_length_of_two_to_the_32_plus_32() {
    assert_eq!(
        rejection(with("Content-Length: 26", "Content-Length: 4294967328")),
        Some(ParseError::ContentLength)
    );
}

#[test]
fn content_length_at_the_edge_of_the_message() {
    assert_eq!(rejection(with("Content-Length: 26", "Content-Length: 27")), Some(ParseError::Truncated));
    assert_eq!(rejection(with("Content-Length: 26", "Content-Length: 25")), None);
    for bad in ["-1", "+26", "0x1a", "26 26", "26,26", "", "2 6", "\u{662}\u{666}"] {
        let text = with("Content-Length: 26", &format!("Content-Length: {bad}"));
        assert_eq!(rejection(&text), Some(ParseError::ContentLength), "{bad}");
    }
}

#[test]
fn audit_3_12_message_that_ends_anywhere() {
    for end in 0..GOOD.len() {
        if let Ok(message) = Message::parse(GOOD.as_bytes()[..end].to_vec(), &Limits::DEFAULT) {
            assert!(message.validate().is_err(), "{end}");
            touch_all(&message);
        }
    }
    assert_eq!(read(GOOD).validate(), Ok(()));
}

#[test]
fn cve_2026_45538_over_long_header_name() {
    let text = with("Contact:", &format!("{}:", "N".repeat(129)));
    assert_eq!(refusal(text), Some(ParseError::HeaderNameTooLong));
    let text = with("Contact:", &format!("{}:", "N".repeat(128)));
    assert_eq!(rejection(text), None);
}

#[test]
fn cve_2020_28361_space_before_the_colon_hides_nothing() {
    let message = read(with("Contact:", "P-Asserted-Identity : <sip:forged>\r\nx-trust\t :\t1\r\nContact:"));
    assert_eq!(message.header(HeaderName::PAssertedIdentity), Some(&b"<sip:forged>"[..]));
    assert_eq!(message.header_by_text(b"X-Trust"), Some(&b"1"[..]));
    let mut edits = Edits::new();
    assert_eq!(edits.remove_headers(&message, HeaderName::PAssertedIdentity), 1);
    let mut out = Vec::new();
    message.print_into(&edits, &mut out);
    assert_eq!(read(out).header(HeaderName::PAssertedIdentity), None);
}

#[test]
fn a_lone_carriage_return_does_not_end_a_line() {
    let text = with("Contact:", "Subject: x\rP-Asserted-Identity: <sip:forged>\r\nContact:");
    assert_eq!(read(&text).header(HeaderName::PAssertedIdentity), None);
    assert_eq!(rejection(&text), Some(ParseError::BareCarriageReturn));
}

#[test]
fn white_space_only() {
    for text in ["", " ", "\r\n", "\n\n\n\n", "\t\t\r\n \r\n", "\0"] {
        assert!(refusal(text).is_some(), "{text:?}");
    }
    assert_eq!(refusal("\r\n".repeat(20_000)), Some(ParseError::Empty));
}

#[test]
fn too_many_header_fields() {
    assert_eq!(
        refusal(with("Contact:", &format!("{}Contact:", "X: y\r\n".repeat(300)))),
        Some(ParseError::TooManyHeaders)
    );
    assert_eq!(
        refusal(with("Via:", &format!("{}Via:", "v: x\r\n".repeat(101)))),
        Some(ParseError::TooManyVias)
    );
}

#[test]
fn over_long_values_etags_and_identities() {
    for name in ["SIP-ETag", "Identity", "X-Long", "Event"] {
        let text = with("Contact:", &format!("{name}: {}\r\nContact:", "x".repeat(40_000)));
        assert_eq!(refusal(text), Some(ParseError::HeaderValueTooLong));
        let text = with("Contact:", &format!("{name}: {}\r\nContact:", "x".repeat(30_000)));
        touch_all(&read(text));
    }
}

#[test]
fn es2018_01_subscribe_with_many_accept_header_fields() {
    let text = with("Contact:", &format!("{}Contact:", "Accept: a/b\r\n".repeat(200)));
    assert_eq!(read(text).values(HeaderName::Accept).count(), 200);
    let text = with("Contact:", &format!("Accept: {}\r\nContact:", vec!["a/b"; 5000].join(",")));
    assert_eq!(read(text).values(HeaderName::Accept).last(), Some(Err(ParseError::TooManyValues)));
}

#[test]
fn ghsa_w522_many_content_types() {
    let message = read(with("Content-Type:", &format!("{}Content-Type:", "c: a/b\r\n".repeat(200))));
    assert_eq!(message.headers(HeaderName::ContentType).count(), 201);
    touch_all(&message);
}

#[test]
fn every_byte_in_every_place() {
    let good = GOOD.as_bytes();
    for at in 0..good.len() {
        for byte in [
            0, b'\n', b'\r', b' ', b'"', b'<', b'>', b',', b';', b':', b'=', b'%', b'\\', b'@', 0x7f, 0x80,
            0xff,
        ] {
            let mut bytes = good.to_vec();
            bytes[at] = byte;
            if let Ok(message) = Message::parse(bytes, &Limits::DEFAULT) {
                touch_all(&message);
            }
        }
    }
}
