//! Any bytes as the value of each header field that has a grammar. The first byte chooses which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;
use tocsin_sip::{
    CSEQ_END, CSeqRef, ContentTypeRef, DigestRef, HeaderName, Limits, NameAddrRef, Parts, Values, ViaRef,
    Written, unfold, unquote,
};

const LIMITS: Limits = Limits::DEFAULT;

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, text)) = bytes.split_first() else { return };
    if text.len() > usize::from(LIMITS.header_value) {
        return;
    }
    match choice % 8 {
        0 => via(text),
        1 => address(text),
        2 => cseq(text),
        3 => digest(text),
        4 => content_type(text),
        5 => multipart(text),
        6 => list(text),
        _ => {
            let _ = (unfold(text), unquote(text), HeaderName::of(text));
        }
    }
});

fn via(text: &[u8]) {
    let Ok(via) = ViaRef::parse(text, &LIMITS) else { return };
    assert!(!via.host().is_empty() && !via.transport_text().is_empty());
    let _ = (via.transport(), via.host_address(), via.port(), via.received_address(), via.maddr(), via.ttl());
    for param in via.params() {
        assert!(!param.name.is_empty() && via.param(param.name).is_some());
    }
    let mut out = Vec::new();
    via.write_received(SocketAddr::from(([192, 0, 2, 1], 5060)), true, Written::InRequest, &mut out);
    let again = ViaRef::parse(&out, &Limits { parameters: u16::MAX, ..LIMITS });
    let again = again.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out)));
    assert_eq!((again.branch(), again.host(), again.port()), (via.branch(), via.host(), via.port()));
    assert_eq!(again.received(), Some(&b"192.0.2.1"[..]));
}

fn address(text: &[u8]) {
    let Ok(address) = NameAddrRef::parse(text, &LIMITS) else { return };
    assert!(!address.uri_text().is_empty());
    let _ =
        (address.display_plain(), address.uri().is_ok(), address.q(), address.expires(), address.reg_id());
    let _ = (address.instance(), address.is_bracketed());
    assert_eq!(address.tag().is_some(), address.param(b"tag").is_some());
    assert_eq!(address.to_name_addr().view().tag(), address.tag());
}

fn cseq(text: &[u8]) {
    if let Ok(cseq) = CSeqRef::parse(text) {
        assert!(cseq.number < CSEQ_END && !cseq.method_text.is_empty());
    }
}

fn digest(text: &[u8]) {
    let Ok(digest) = DigestRef::parse(text, &LIMITS) else { return };
    let _ = (
        digest.is_complete(),
        digest.username(),
        digest.realm(),
        digest.nonce(),
        digest.uri(),
        digest.response(),
    );
    let _ = (digest.qop(), digest.nc(), digest.cnonce(), digest.directive(b"opaque"), digest.stale());
    assert!(digest.is_digest() || digest.nonce().is_none());
}

fn content_type(text: &[u8]) {
    let Ok(kind) = ContentTypeRef::parse(text, &LIMITS) else { return };
    assert!(kind.is(kind.main_type(), kind.subtype()));
    if let Ok(boundary) = kind.boundary() {
        assert!((1..=70).contains(&boundary.len()));
    }
}

fn multipart(text: &[u8]) {
    let Ok(kind) = ContentTypeRef::parse(b"multipart/mixed;boundary=b", &LIMITS) else { return };
    let Ok(parts) = Parts::new(text, &kind, &LIMITS) else { return };
    for part in parts.flatten() {
        let _ = (
            part.body(),
            part.content_type().is_ok(),
            part.header_by_text(b"x"),
            part.parts().map(Iterator::count),
        );
    }
}

fn list(text: &[u8]) {
    let mut last = 0;
    for value in Values::new(text, LIMITS.values).flatten() {
        assert!(value.start >= last);
        assert_eq!(&text[value.start..value.start + value.text.len()], value.text);
        last = value.start + value.text.len();
    }
}
