//! The IPv6 messages of RFC 5118 section 4.

use std::net::IpAddr;
use tocsin_sip::{Limits, Message, ParseError, Rejection};

fn request(uri: &str, via: &str, rest: &str) -> Message {
    let text = format!(
        "REGISTER {uri} SIP/2.0\r\nTo: sip:user@example.com\r\nFrom: sip:user@example.com;tag=81x2\r\nVia: {via}\r\n\
         Call-ID: SSG9559905523997077@hlau_4100\r\nMax-Forwards: 70\r\nContact: \"Caller\" <sip:caller@[2001:db8::1]>\r\n\
         {rest}CSeq: 98176 REGISTER\r\nContent-Length: 0\r\n\r\n"
    );
    Message::parse(text.into_bytes(), &Limits::DEFAULT).unwrap_or_else(|(error, _)| panic!("{error}"))
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

const VIA: &str = "SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111";

#[test]
fn section_4_1_valid_message_with_an_ipv6_reference() {
    let message = request("sip:[2001:db8::10]", VIA, "");
    assert_eq!(message.validate(), Ok(()));
    assert_eq!(message.ruri().unwrap().host_address(), address("2001:db8::10"));
    assert_eq!(message.ruri().unwrap().port(), None);
    assert_eq!(message.via().unwrap().host_address(), address("2001:db8::9:1"));
    let contact = message.contacts().next().unwrap().unwrap();
    assert_eq!(contact.uri().unwrap().host_address(), address("2001:db8::1"));
}

#[test]
fn section_4_2_an_ipv6_reference_needs_its_brackets() {
    let rejection = request("sip:2001:db8::10", VIA, "").validate();
    assert!(
        matches!(rejection, Err(Rejection::Answer { status: 400, error: ParseError::UriPort, .. })),
        "{rejection:?}"
    );
}

#[test]
fn section_4_3_a_port_inside_of_the_brackets_is_part_of_the_address() {
    let message = request("sip:[2001:db8::10:5070]", VIA, "");
    assert_eq!(message.validate(), Ok(()));
    assert_eq!(message.ruri().unwrap().host_address(), address("2001:db8::10:5070"));
    assert_eq!(message.ruri().unwrap().port(), None);
}

#[test]
fn section_4_4_a_port_behind_the_brackets_is_a_port() {
    let message = request("sip:[2001:db8::10]:5070", VIA, "");
    assert_eq!(message.ruri().unwrap().host_address(), address("2001:db8::10"));
    assert_eq!(message.ruri().unwrap().port(), Some(5070));
}

#[test]
fn section_4_5_received_with_and_without_brackets() {
    for received in ["[2001:db8::9:255]", "2001:db8::9:255"] {
        let via = format!("SIP/2.0/UDP [2001:db8::9:1];received={received};branch=z9hG4bKas3-111");
        let message = request("sip:[2001:db8::10]", &via, "");
        assert_eq!(message.validate(), Ok(()));
        assert_eq!(message.via().unwrap().received_address(), address("2001:db8::9:255"));
        assert_eq!(message.via().unwrap().branch(), Some(&b"z9hG4bKas3-111"[..]));
    }
}

#[test]
fn section_4_6_an_ipv6_reference_in_call_id() {
    let text = "BYE sip:user@[2001:db8::10] SIP/2.0\r\nTo: sip:u@e;tag=bd76ya\r\nFrom: <sip:user@[2001:db8::9:1]>;tag=81x2\r\n\
        Via: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111\r\nCall-ID: SSG9559905523997077@[2001:db8::9:1]\r\n\
        CSeq: 98176 BYE\r\n\r\n";
    let message = Message::parse(text.as_bytes().to_vec(), &Limits::DEFAULT).unwrap();
    assert_eq!(message.validate(), Ok(()));
    assert_eq!(message.call_id(), Ok(&b"SSG9559905523997077@[2001:db8::9:1]"[..]));
    assert_eq!(message.via().unwrap().port(), Some(6050));
}

#[test]
fn section_4_8_vias_of_both_families() {
    let via = "SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111\r\n\
        Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144, SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200";
    let message = request("sip:[2001:db8::10]", via, "");
    let hosts: Vec<_> = message.vias().map(|via| via.unwrap().host_address()).collect();
    assert_eq!(hosts, [address("2001:db8::9:1"), address("192.0.2.1"), address("2001:db8::9:255")]);
    assert_eq!(message.vias().last().unwrap().unwrap().received_address(), address("192.0.2.200"));
}

#[test]
fn section_4_9_ipv4_mapped_addresses() {
    let message = request("sip:user@[::ffff:192.0.2.2]:5070", VIA, "Route: <sip:[::ffff:192.0.2.10];lr>\r\n");
    assert_eq!(message.validate(), Ok(()));
    assert_eq!(message.ruri().unwrap().host_address(), address("::ffff:192.0.2.2"));
    assert_eq!(
        message.routes().next().unwrap().unwrap().uri().unwrap().host_address(),
        address("::ffff:192.0.2.10")
    );
}

#[test]
fn section_4_10_three_colons_of_the_old_grammar() {
    for uri in ["sip:user@[2001:db8:::192.0.2.1]", "sip:user@[2001:db8::192.0.2.1]"] {
        let message = request(uri, VIA, "");
        assert_eq!(message.validate(), Ok(()));
        assert_eq!(message.ruri().unwrap().host_address(), address("2001:db8::192.0.2.1"));
        assert_eq!(message.ruri().unwrap().text(), uri.as_bytes());
    }
}
