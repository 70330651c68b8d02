use super::*;
use proptest::prelude::*;

fn uri(text: &str) -> UriRef<'_> {
    UriRef::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> ParseError {
    UriRef::parse(text.as_bytes()).expect_err(text)
}

#[test]
fn every_part_is_found() {
    let uri = uri(
        "sips:alice;day=tuesday:secret@[2001:db8::1]:5070;transport=TCP;lr;maddr=239.255.255.1?to=a%40b&x=",
    );
    assert_eq!(uri.scheme(), Scheme::Sips);
    assert_eq!(uri.user(), Some(&b"alice;day=tuesday"[..]));
    assert_eq!(uri.password(), Some(&b"secret"[..]));
    assert_eq!(uri.host(), b"[2001:db8::1]");
    assert!(uri.host_address().is_some());
    assert_eq!(uri.port(), Some(5070));
    assert_eq!(uri.transport(), Some(Transport::Tcp));
    assert!(uri.is_loose());
    assert_eq!(uri.params().count(), 3);
    assert_eq!(uri.headers().collect::<Vec<_>>(), [(&b"to"[..], &b"a%40b"[..]), (b"x", b"")]);
}

#[test]
fn port_0_is_none() {
    assert_eq!(uri("sip:a@b:0").port(), None);
    assert_eq!(uri("sip:[::1]:000;lr").port(), None);
}

#[test]
fn other_schemes() {
    let number = uri("tel:+1-201-555-0123;phone-context=example.com");
    assert_eq!(number.scheme(), Scheme::Tel);
    assert_eq!(number.user(), Some(&b"+1-201-555-0123"[..]));
    assert_eq!(number.param(b"phone-context").and_then(|param| param.value), Some(&b"example.com"[..]));
    assert_eq!(uri("urn:service:sos").opaque(), b"service:sos");
    assert_eq!(uri("urn:service:sos").scheme(), Scheme::Urn);
    assert_eq!(uri("nobodyKnowsThisScheme:totallyopaquecontent").scheme(), Scheme::Other);
    assert_eq!(uri("soap.beep://192.0.2.103:3002").scheme_text(), b"soap.beep");
    assert_eq!(uri("http://www.example.com").opaque(), b"//www.example.com");
}

#[test]
fn what_is_no_uri() {
    assert_eq!(error(""), ParseError::UriScheme);
    assert_eq!(error("alice"), ParseError::UriScheme);
    assert_eq!(error(":x"), ParseError::UriScheme);
    assert_eq!(error("5sip:x"), ParseError::UriScheme);
    assert_eq!(error("<sip:a@b>"), ParseError::UriCharacter);
    assert_eq!(error("sip:a@b; lr"), ParseError::UriCharacter);
    assert_eq!(error("sip:a\r\n@b"), ParseError::UriCharacter);
    assert_eq!(error("sip:"), ParseError::UriHost);
    assert_eq!(error("sip:a@"), ParseError::UriHost);
    assert_eq!(error("sip:@b"), ParseError::UriUser);
    assert_eq!(error("sip:a@b@c"), ParseError::UriUser);
    assert_eq!(error("sip:a@[::1"), ParseError::UriHost);
    assert_eq!(error("sip:a@[zz]"), ParseError::UriHost);
    assert_eq!(error("sip:a@b:"), ParseError::UriPort);
    assert_eq!(error("sip:a@b:-5060"), ParseError::UriPort);
    assert_eq!(error("sip:a@b:65536"), ParseError::UriPort);
    assert_eq!(error("sip:a@b:50x"), ParseError::UriPort);
    assert_eq!(error("sip:a@b/c"), ParseError::UriHost);
    assert_eq!(error("sip:a@b;;lr"), ParseError::UriParameters);
    assert_eq!(error("sip:a@b;=x"), ParseError::UriParameters);
    assert_eq!(error("sip:a@b?"), ParseError::UriParameters);
    assert_eq!(error("tel:"), ParseError::UriUser);
    assert_eq!(error("urn:"), ParseError::UriHost);
    assert_eq!(error(&format!("sip:{}@b", "a".repeat(1100))), ParseError::UriTooLong);
    assert_eq!(error(&format!("sip:b{}", ";p".repeat(65))), ParseError::TooManyParameters);
}

/// The tables of RFC 3261 section 19.1.4.
#[test]
fn equivalence_by_the_examples_of_the_rfc() {
    let same = [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]"),
        ("tel:+1-201-555-0123", "tel:+12015550123"),
        ("urn:Service:sos", "URN:service:sos"),
    ];
    for (one, two) in same {
        assert!(uri(one).equivalent(&uri(two)), "{one} {two}");
        assert!(uri(two).equivalent(&uri(one)), "{two} {one}");
    }
    let different = [
        ("SIP:ALICE@AtlanTa.CoM;Transport=udp", "sip:alice@AtlanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
        ("sip:bob@biloxi.com", "sip:biloxi.com"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a%3Bb@x.com", "sip:a;b@x.com"),
        ("sip:x.com;maddr=1.2.3.4", "sip:x.com"),
        ("tel:+12015550123;phone-context=a", "tel:+12015550123"),
    ];
    for (one, two) in different {
        assert!(!uri(one).equivalent(&uri(two)), "{one} {two}");
        assert!(!uri(two).equivalent(&uri(one)), "{two} {one}");
    }
}

#[test]
fn a_uri_with_a_parameter_twice_is_equivalent_to_itself() {
    let twice = uri("sip:b;maddr=p:b;maddr=1.2.3.b");
    assert!(twice.equivalent(&twice));
    assert!(twice.equivalent(&uri("sip:b;maddr=p:b")));
    let twice = uri("tel:1;a=b;a=c");
    assert!(twice.equivalent(&twice));
}

#[test]
fn keys_of_addresses_of_record() {
    let key = |text: &str| {
        let mut out = Vec::new();
        uri(text).aor_key_into(&mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(key("sip:%61lice:pw@AtlanTa.CoM:5061;transport=tcp"), "alice@atlanta.com");
    assert_eq!(key("sip:Atlanta.com"), "atlanta.com");
    assert_eq!(key("tel:+1-201-555"), "+1201555");
    assert_eq!(key("urn:service:sos"), "urn:service:sos");
    assert_eq!(key("sip:a%40b@c"), "a@b@c");
}

#[test]
fn parts_print_what_was_read() {
    for text in [
        "sip:b",
        "sip:a@b",
        "sip:a:@b",
        "sip:a:p@b:5070;lr;x=y?h=1&g=2",
        "sips:[::1]:5061",
        "tel:+123;ext=4",
        "urn:service:sos",
        "mailto:x",
        "sip:b?h=1",
    ] {
        let mut out = Vec::new();
        UriParts::of(&uri(text)).print_into(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut sip = b"sip:".to_vec();
        sip.extend_from_slice(&text);
        for text in [&text, &sip] {
            let Ok(uri) = UriRef::parse(text) else { continue };
            let mut out = Vec::new();
            UriParts::of(&uri).print_into(&mut out);
            // A port may have been written with leading zeroes.
            let again = UriRef::parse(&out).unwrap();
            prop_assert_eq!(again.user(), uri.user());
            prop_assert_eq!(again.host(), uri.host());
            prop_assert!(uri.equivalent(&uri));
        }
    }

    #[test]
    fn a_uri_is_printed_as_it_was_read(
        text in "sips?:([a-z0-9%;=?/&+$,.]{1,9}(:[a-z0-9]{0,5})?@)?([a-z0-9.-]{1,12}|\\[::[0-9a-f]{1,4}\\])(:[1-9][0-9]{0,3})?(;[a-z]{1,5}(=[a-z0-9%]{0,5})?){0,3}(\\?[a-z]{1,3}=[a-z%]{0,4}(&[a-z]{1,3}=x){0,2})?"
    ) {
        let uri = UriRef::parse(text.as_bytes()).unwrap();
        let mut out = Vec::new();
        UriParts::of(&uri).print_into(&mut out);
        prop_assert_eq!(out, text.into_bytes());
    }
}
