//! Any bytes as a URI: every part, printing, comparison, the key of the address of record.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tocsin_sip::{Scheme, Uri, UriParts, UriRef, escape_user, host_address, unescape};

fuzz_target!(|bytes: &[u8]| {
    let escaped = escape_user(bytes);
    assert_eq!(&*unescape(&escaped), bytes);
    let _ = host_address(bytes);
    let (one, two) = bytes.split_at(bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len()));
    let two = two.get(1..).unwrap_or_default();
    let one = UriRef::parse(one);
    let two = UriRef::parse(two);
    for uri in [one, two].into_iter().flatten() {
        check(&uri);
    }
    if let (Ok(one), Ok(two)) = (one, two) {
        assert_eq!(one.equivalent(&two), two.equivalent(&one));
    }
});

fn check(uri: &UriRef<'_>) {
    assert!(uri.equivalent(uri));
    let mut out = Vec::new();
    UriParts::of(uri).print_into(&mut out);
    let again = Uri::parse(out.clone());
    assert!(
        again.as_ref().is_ok_and(|again| again.view().equivalent(uri)),
        "{}",
        String::from_utf8_lossy(&out)
    );
    out.clear();
    uri.aor_key_into(&mut out);
    assert!(!out.is_empty() || uri.scheme() == Scheme::Tel);
    assert_eq!(uri.to_uri().view().text(), uri.text());
    assert_ne!(uri.user(), Some(&b""[..]));
    assert_ne!(uri.port(), Some(0));
    let _ = (uri.password(), uri.host_address(), uri.opaque(), uri.is_loose(), uri.transport());
    for param in uri.params() {
        assert!(!param.name.is_empty());
        assert!(uri.param(param.name).is_some());
        let _ = param.plain();
    }
    for (name, value) in uri.headers() {
        let _ = (unescape(name), unescape(value));
    }
}
