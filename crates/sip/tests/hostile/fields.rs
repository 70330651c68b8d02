//! What stands in header fields, and replies made of it.

use super::{read, rejection, touch_all, with};
use std::net::SocketAddr;
use tocsin_sip::{
    ContentTypeRef, DigestRef, HeaderName, Limits, NameAddrRef, ParseError, Rejection, ReplyBuilder, UriRef,
    Values, ViaRef, unquote,
};

#[test]
fn cve_2023_28098_digest_with_a_name_and_no_value() {
    let message = read(with("Digest username=\"a\", realm=\"r\"", "Digest a a=\"\",real"));
    assert_eq!(message.authorization().next().map(Result::err), Some(Some(ParseError::Credentials)));
    touch_all(&message);
}

#[test]
fn audit_3_2_incomplete_credentials_are_challenged() {
    for value in [
        "Digest username=\"a\", realm=\"r\"",
        "Digest",
        "Digest ",
        "Digest nonce=",
        "Digest nonce=\"",
        "Digest =",
        "D",
    ] {
        let message = read(with("Digest username=\"a\", realm=\"r\"", value));
        assert!(!message.authorization().flatten().any(|found| found.is_complete()), "{value}");
        let mut out = Vec::new();
        ReplyBuilder::new(&message, 401, b"Unauthorized")
            .lines(b"WWW-Authenticate: Digest nonce=\"n\"\r\n")
            .write_into(&mut out);
        assert_eq!(read(out).status(), Some(401));
    }
}

#[test]
fn cve_2026_40892_digest_of_great_length_and_great_number() {
    let long = "x".repeat(30_000);
    let digest = format!("Digest username=\"{long}\",response=\"{long}\"");
    let text = with("Digest username=\"a\", realm=\"r\"", &digest[..30_000]);
    assert_eq!(read(text).authorization().next().map(Result::err), Some(Some(ParseError::Quotes)));
    let text = with("Digest username=\"a\", realm=\"r\"", &format!("Digest {}", vec!["a=b"; 5000].join(",")));
    assert_eq!(read(text).authorization().next().map(Result::err), Some(Some(ParseError::TooManyParameters)));
}

#[test]
fn cve_2023_27598_malformed_via_is_not_accepted_with_parts_unset() {
    for via in [
        "",
        ";",
        "SIP",
        "SIP/",
        "SIP/2.0",
        "SIP/2.0/",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ;branch=x",
        "SIP/2.0/UDP :5060",
        "/ /UDP x",
        "SIP/2.0/UDP h;branch",
        "SIP/2.0/UDP h:",
        "SIP/2.0/UDP h:x",
        "SIP/2.0/UDP \"h\"",
        "SIP/2.0/UDP h;received",
        ",",
        "\0",
    ] {
        let text = with("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport", via);
        assert!(rejection(&text).is_some(), "{via}");
        touch_all(&read(&text));
    }
}

#[test]
fn cve_2023_27599_malformed_to_parameters() {
    for params in [
        ";",
        ";;",
        ";tag",
        ";tag=",
        ";tag=\"",
        ";=x",
        ";tag=1;tag=2",
        ";x=\"\\",
        ";x=\"\\\"",
        " x",
        ";\0=1",
        ";tag=<",
    ] {
        let text = with("<sip:bob@example.com>\r\n", &format!("<sip:bob@example.com>{params}\r\n"));
        assert!(rejection(&text).is_some(), "{params}");
        touch_all(&read(&text));
    }
}

#[test]
fn cve_2021_33056_from_to_or_diversion_missing_or_empty() {
    for (from, to) in [
        ("From: \"A\" <sip:alice@example.com>;tag=1", "From:"),
        ("To: <sip:bob@example.com>", "To: "),
        ("To: <sip:bob@example.com>", "To: <>"),
        ("From: \"A\" <sip:alice@example.com>;tag=1", "X: y"),
    ] {
        assert!(rejection(with(from, to)).is_some(), "{to}");
        touch_all(&read(with(from, to)));
    }
    touch_all(&read(with("Contact:", "Diversion:\r\nDiversion: ,\r\nDiversion: <\r\nContact:")));
}

#[test]
fn cve_2018_8828_crafted_branch_and_tag() {
    let long = "z".repeat(20_000);
    let message = read(with("z9hG4bK1;rport", &format!("z9hG4bK{long}")));
    assert_eq!(message.via().map(|via| via.branch().map(<[u8]>::len)), Ok(Some(20_007)));
    touch_all(&message);
    let message = read(with(";tag=1", &format!(";tag={long}")));
    assert_eq!(message.from().map(|from| from.tag().map(<[u8]>::len)), Ok(Some(20_000)));
    touch_all(&message);
}

#[test]
fn cve_2020_27507_duplicated_header_fields_with_over_long_tag() {
    let text = with("To:", &format!("To: <sip:x>;tag={}\r\nTo:", "t".repeat(10_000)));
    assert_eq!(rejection(&text), Some(ParseError::Duplicate(HeaderName::To)));
    touch_all(&read(text));
}

#[test]
fn cve_2026_106803_ports_longer_than_a_port() {
    // As recorded, the port 0 of a URI counts as none.
    assert_eq!(UriRef::parse(b"sip:a@b:0").map(|uri| uri.port()), Ok(None));
    for port in ["65536", "123456", "99999999999", "-1", "0"] {
        assert!(port == "0" || UriRef::parse(format!("sip:a@b:{port}").as_bytes()).is_err(), "{port}");
        assert!(
            ViaRef::parse(format!("SIP/2.0/UDP b:{port}").as_bytes(), &Limits::DEFAULT).is_err(),
            "{port}"
        );
        assert!(
            ViaRef::parse(format!("SIP/2.0/UDP b;rport={port}").as_bytes(), &Limits::DEFAULT).is_err(),
            "{port}"
        );
    }
}

#[test]
fn audit_3_11_reply_without_cseq() {
    let reply = read(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: sip:a\r\nTo: sip:b\r\nCall-ID: 1\r\n\r\n",
    );
    assert_eq!(reply.validate(), Err(Rejection::Drop { error: ParseError::Missing(HeaderName::CSeq) }));
    assert_eq!(reply.method_text(), b"");
    touch_all(&reply);
}

#[test]
fn es2017_01_cseq_overflow() {
    for number in ["2147483648", "4294967297", "18446744073709551617", "99999999999999999999999999999"] {
        assert_eq!(rejection(with("CSeq: 1", &format!("CSeq: {number}"))), Some(ParseError::CSeqRange));
    }
    let text = with("1 INVITE", &format!("1 {}", "M".repeat(30_000)));
    assert_eq!(rejection(&text), Some(ParseError::CSeqMethod));
}

#[test]
fn contact_that_cannot_be_read() {
    for contact in
        ["", ",", "<", "\"", "\"\\", "<sip:a>,,<sip:b>", "<sip:a>;expires=", "sip:a?b", "*, *", "\0"]
    {
        let message = read(with("<sip:alice@192.0.2.1>", contact).replace("INVITE", "REGISTER"));
        touch_all(&message);
    }
    let text = with("<sip:alice@192.0.2.1>", "sip:a?b").replace("INVITE", "REGISTER");
    assert_eq!(rejection(text), Some(ParseError::UnbracketedUri));
}

#[test]
fn lists_of_nothing_but_separators() {
    for text in [
        ",".repeat(30_000),
        "\"".repeat(29_999),
        "<".repeat(30_000),
        "\\\"".repeat(15_000),
        ";".repeat(30_000),
    ] {
        assert!(
            Values::new(text.as_bytes(), Limits::DEFAULT.values).count()
                <= usize::from(Limits::DEFAULT.values) + 1
        );
        let message = read(with("<sip:p1;lr>, <sip:p2;lr>", &text));
        assert!(message.routes().all(|route| route.is_err()));
        touch_all(&message);
    }
}

#[test]
fn values_with_too_many_parameters() {
    let many = ";p=v".repeat(65);
    let limits = Limits::DEFAULT;
    assert_eq!(
        NameAddrRef::parse(format!("<sip:a>{many}").as_bytes(), &limits).err(),
        Some(ParseError::TooManyParameters)
    );
    assert_eq!(
        ViaRef::parse(format!("SIP/2.0/UDP h{many}").as_bytes(), &limits).err(),
        Some(ParseError::TooManyParameters)
    );
    assert_eq!(
        ContentTypeRef::parse(format!("a/b{many}").as_bytes(), &limits).err(),
        Some(ParseError::TooManyParameters)
    );
    assert_eq!(UriRef::parse(format!("sip:a{many}").as_bytes()).err(), Some(ParseError::TooManyParameters));
}

#[test]
fn cve_2023_28095_replies_to_requests_with_odd_header_fields() {
    for (from, to) in [
        ("Via:", "X:"),
        ("To:", "To:\r\nTo:"),
        ("From:", "f:\r\n f"),
        ("Call-ID:", "i :\r\ni:"),
        ("CSeq:", "CSeq\r\nCSeq:"),
    ] {
        let message = read(with(from, to));
        let mut out = Vec::new();
        ReplyBuilder::new(&message, 500, b"x")
            .to_tag(b"t")
            .source(SocketAddr::from(([1, 2, 3, 4], 5)), true)
            .write_into(&mut out);
        assert!(out.ends_with(b"Content-Length: 0\r\n\r\n"));
        touch_all(&message);
    }
}

#[test]
fn a_forged_received_parameter_is_not_kept() {
    let message = read(with("branch=z9hG4bK1;rport", "received=6.6.6.6;branch=z9hG4bK1;rport=6"));
    let mut out = Vec::new();
    ReplyBuilder::new(&message, 200, b"OK")
        .source(SocketAddr::from(([192, 0, 2, 7], 7)), false)
        .write_into(&mut out);
    let reply = read(out);
    assert_eq!(reply.via().unwrap().received(), Some(&b"192.0.2.7"[..]));
    assert!(!reply.bytes().windows(7).any(|bytes| bytes == b"6.6.6.6"));
}

#[test]
fn quoted_strings_that_end_in_a_backslash() {
    for text in ["\"", "\"\\", "\"\\\"", "\"a\\", "\"\\\\\\\""] {
        let _ = unquote(text.as_bytes());
        assert_eq!(
            NameAddrRef::parse(text.as_bytes(), &Limits::DEFAULT).err(),
            Some(ParseError::Quotes),
            "{text}"
        );
        let digest = format!("Digest a={text}");
        assert_eq!(
            DigestRef::parse(digest.as_bytes(), &Limits::DEFAULT).err(),
            Some(ParseError::Quotes),
            "{text}"
        );
    }
}

#[test]
fn values_longer_than_an_offset_can_tell() {
    let limits = Limits { header_value: u16::MAX, ..Limits::DEFAULT };
    let long = "x".repeat(65_500);
    let error = Some(ParseError::HeaderValueTooLong);
    assert_eq!(NameAddrRef::parse(format!("<sip:a>;{long};tag=1{long}").as_bytes(), &limits).err(), error);
    assert_eq!(ViaRef::parse(format!("SIP/2.0/UDP {long};branch={long}").as_bytes(), &limits).err(), error);
    assert_eq!(DigestRef::parse(format!("Digest a={long},b={long}").as_bytes(), &limits).err(), error);
    assert_eq!(ContentTypeRef::parse(format!("a/b;{long};{long}").as_bytes(), &limits).err(), error);
    let address = format!("<sip:a>;{long};tag=1");
    assert_eq!(NameAddrRef::parse(address.as_bytes(), &limits).unwrap().tag(), Some(&b"1"[..]));
}
