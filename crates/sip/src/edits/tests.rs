use crate::{Edits, HeaderName, Limits, Message};
use proptest::prelude::*;

const MESSAGE: &str = "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1;rport\r\nRoute: <sip:r0;lr>, <sip:r1;lr> ,<sip:r2;lr>\r\n\
    X: y\r\n folded\r\nMax-Forwards: 9\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi";

fn message() -> Message {
    Message::parse(MESSAGE.as_bytes().to_vec(), &Limits::DEFAULT).unwrap()
}

fn print(message: &Message, edits: &Edits) -> String {
    let mut out = Vec::new();
    message.print_into(edits, &mut out);
    String::from_utf8(out).unwrap()
}

/// The message with these replacements made in its text, to compare with.
fn with(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(MESSAGE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    })
}

#[test]
fn a_proxy_pushes_and_pops() {
    let message = message();
    let mut edits = Edits::new();
    assert!(edits.remove_value(&message, 1, 0));
    assert!(edits.decrement_max_forwards(&message));
    edits.prepend_header(&message, b"Record-Route", b"<sip:one>");
    edits.prepend_header(&message, b"Record-Route", b"<sip:two>");
    edits.prepend_header(&message, b"Via", b"SIP/2.0/UDP p");
    assert!(edits.replace_request_uri(&message, b"sip:c@d"));
    assert!(edits.receive(&message, "192.0.2.1:5".parse().unwrap(), false));
    let expected = with(&[
        (
            "sip:a@b SIP/2.0\r\n",
            "sip:c@d SIP/2.0\r\nRecord-Route: <sip:one>\r\nRecord-Route: <sip:two>\r\nVia: SIP/2.0/UDP p\r\n",
        ),
        ("h;branch=z9hG4bK1;rport", "h;received=192.0.2.1;branch=z9hG4bK1;rport=5"),
        ("<sip:r0;lr>, ", ""),
        ("Forwards: 9", "Forwards: 8"),
    ]);
    assert_eq!(print(&message, &edits), expected);
    edits.clear();
    assert!(edits.is_empty());
    assert_eq!(print(&message, &edits), MESSAGE);
}

#[test]
fn values_are_removed_in_any_order() {
    let message = message();
    let all = ["<sip:r0;lr>", "<sip:r1;lr>", "<sip:r2;lr>"];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut edits = Edits::new();
        let mut left: Vec<usize> = vec![0, 1, 2];
        for value in order {
            assert!(edits.remove_value(&message, 1, value));
            left.retain(|&kept| kept != value);
            let printed = Message::parse(print(&message, &edits).into_bytes(), &Limits::DEFAULT).unwrap();
            let routes: Vec<_> = printed.routes().map(|route| route.unwrap().text().to_vec()).collect();
            let expected: Vec<_> = left.iter().map(|&value| all[value].as_bytes().to_vec()).collect();
            assert_eq!(routes, expected, "{order:?}");
        }
        assert!(!print(&message, &edits).contains("Route"));
    }
    assert!(!Edits::new().remove_value(&message, 1, 3));
    assert!(!Edits::new().remove_value(&message, 9, 0));
}

#[test]
fn what_is_inside_of_something_removed_goes_with_it() {
    let message = message();
    let mut edits = Edits::new();
    edits.append_to_value(&message, 0, 0, b";x=y");
    edits.remove_header(&message, 0);
    edits.append_to_value(&message, 1, 2, b";gone");
    edits.remove_value(&message, 1, 2);
    edits.replace_header(&message, 2, b"gone");
    edits.remove_header(&message, 2);
    let expected = with(&[
        ("Via: SIP/2.0/UDP h;branch=z9hG4bK1;rport\r\n", ""),
        (" ,<sip:r2;lr>", ""),
        ("X: y\r\n folded\r\n", ""),
    ]);
    assert_eq!(print(&message, &edits), expected);
}

#[test]
fn what_is_appended_to_something_replaced_stays_and_the_last_replacement_counts() {
    let message = message();
    for append_first in [false, true] {
        let mut edits = Edits::new();
        if append_first {
            edits.append_to_value(&message, 1, 1, b";z");
        }
        edits.replace_value(&message, 1, 1, b"<sip:q>");
        edits.replace_value(&message, 1, 1, b"<sip:w>");
        if !append_first {
            edits.append_to_value(&message, 1, 1, b";z");
        }
        assert_eq!(print(&message, &edits), with(&[("<sip:r1;lr>", "<sip:w>;z")]));
    }
}

#[test]
fn lines_are_put_where_they_were_asked_for() {
    let message = message();
    let mut edits = Edits::new();
    edits.append_header(&message, b"One", b"1");
    edits.append_lines(&message, b"Two: 2\r\nThree: 3");
    assert!(edits.insert_after(&message, 0, b"Behind: Via\r\n"));
    assert!(edits.insert_before(&message, 2, b"Before: X"));
    assert!(!edits.insert_before(&message, 99, b"x"));
    let expected = with(&[
        ("rport\r\n", "rport\r\nBehind: Via\r\n"),
        ("X: y", "Before: X\r\nX: y"),
        ("Length: 2\r\n", "Length: 2\r\nOne: 1\r\nTwo: 2\r\nThree: 3\r\n"),
    ]);
    assert_eq!(print(&message, &edits), expected);
}

#[test]
fn a_leading_line_is_there_once() {
    let (message, mut edits) = (message(), Edits::new());
    assert_eq!(edits.leading(HeaderName::RecordRoute), None);
    edits.set_leading(&message, HeaderName::RecordRoute, b"<sip:one;lr>");
    edits.prepend_header(&message, b"New", b"y");
    edits.set_leading(&message, HeaderName::RecordRoute, b"<sip:two;lr>");
    assert_eq!(edits.leading(HeaderName::RecordRoute), Some(&b"<sip:two;lr>"[..]));
    let printed = print(&message, &edits);
    assert!(
        printed.contains("Record-Route: <sip:two;lr>\r\nNew: y\r\n") && !printed.contains("sip:one"),
        "{printed}"
    );
}

#[test]
fn routes_and_lines_stand_where_those_of_their_name_do() {
    let message = message();
    let mut edits = Edits::new();
    edits.push_route(&message, b"<sip:p;lr>");
    edits.push_or_append(&message, HeaderName::Path, b"<sip:q;lr>");
    edits.push_or_append(&message, HeaderName::MaxForwards, b"1");
    let expected = with(&[
        ("Route: <sip:r0", "Route: <sip:p;lr>\r\nRoute: <sip:r0"),
        ("Max-F", "Max-Forwards: 1\r\nMax-F"),
        ("Length: 2\r\n", "Length: 2\r\nPath: <sip:q;lr>\r\n"),
    ]);
    assert_eq!(print(&message, &edits), expected);
    let text = "BYE sip:a SIP/2.0\r\nVia: 1\r\nVia: 2\r\nTo: x\r\n\r\n";
    let bare = Message::parse(text.as_bytes().to_vec(), &Limits::DEFAULT).unwrap();
    let mut edits = Edits::new();
    edits.push_route(&bare, b"<sip:p;lr>");
    assert_eq!(print(&bare, &edits), text.replace("To", "Route: <sip:p;lr>\r\nTo"));
}

#[test]
fn a_new_body_takes_its_header_fields_along() {
    let message = message();
    let mut edits = Edits::new();
    edits.replace_body(&message, Some(b"application/sdp"), b"v=0\r\n");
    let expected = with(&[
        ("text/plain", "application/sdp"),
        ("Length: 2", "Length: 5"),
        ("\r\n\r\nhi", "\r\n\r\nv=0\r\n"),
    ]);
    assert_eq!(print(&message, &edits), expected);
    edits.replace_body(&message, None, b"");
    assert!(print(&message, &edits).ends_with("Max-Forwards: 9\r\nContent-Length: 0\r\n\r\n"));
}

#[test]
fn header_fields_that_were_missing_are_set_once() {
    let bare = Message::parse(b"BYE sip:a SIP/2.0\r\nTo: x\r\n".to_vec(), &Limits::DEFAULT).unwrap();
    let mut edits = Edits::new();
    assert!(edits.decrement_max_forwards(&bare));
    edits.set_max_forwards(&bare, 5);
    edits.replace_body(&bare, Some(b"a/b"), b"one");
    edits.replace_body(&bare, Some(b"a/c"), b"body");
    assert_eq!(
        print(&bare, &edits),
        "BYE sip:a SIP/2.0\r\nTo: x\r\nMax-Forwards: 5\r\nContent-Type: a/c\r\nContent-Length: 4\r\n\r\nbody"
    );
}

#[test]
fn what_was_set_is_taken_back() {
    let bare = Message::parse(b"BYE sip:a SIP/2.0\r\nX: y\r\n\r\n".to_vec(), &Limits::DEFAULT).unwrap();
    let mut edits = Edits::new();
    edits.append_header(&bare, b"A", b"b");
    edits.set_header(&bare, HeaderName::Subject, b"s");
    edits.set_header(&bare, HeaderName::Other, b"nothing");
    assert_eq!(edits.remove_headers(&bare, HeaderName::Subject), 0);
    edits.replace_body(&bare, Some(b"a/b"), b"body");
    edits.replace_body(&bare, None, b"");
    assert_eq!(print(&bare, &edits), "BYE sip:a SIP/2.0\r\nX: y\r\nA: b\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn what_leads_is_there_once_and_can_be_read() {
    let message = message();
    let mut edits = Edits::new();
    assert_eq!(edits.leading(HeaderName::Route), None);
    edits.set_leading(&message, HeaderName::Route, b"<sip:one>");
    edits.set_leading(&message, HeaderName::Route, b"<sip:two>");
    edits.set_leading(&message, HeaderName::Other, b"nothing");
    edits.prepend_header(&message, b"X-A", b"b");
    assert_eq!(edits.leading(HeaderName::Route), Some(&b"<sip:two>"[..]));
    assert_eq!(edits.leading(HeaderName::Other), None);
    let expected = with(&[("\r\nVia", "\r\nX-A: b\r\nVia"), ("\r\nRoute", "\r\nRoute: <sip:two>\r\nRoute")]);
    assert_eq!(print(&message, &edits), expected);
}

#[test]
fn no_hop_is_left_at_zero() {
    for value in ["0", "256", "x", ""] {
        let text = format!("BYE sip:a SIP/2.0\r\nMax-Forwards: {value}\r\n\r\n");
        let message = Message::parse(text.into_bytes(), &Limits::DEFAULT).unwrap();
        assert!(!Edits::new().decrement_max_forwards(&message), "{value}");
    }
}

#[test]
fn a_reply_gets_another_status() {
    let reply =
        Message::parse(b"\r\nSIP/2.0 200 All right\r\nVia: x\r\n\r\n".to_vec(), &Limits::DEFAULT).unwrap();
    let mut edits = Edits::new();
    assert_eq!(edits.replaced_status(&reply), None);
    assert!(edits.replace_status(&reply, 183, b"Session Progress"));
    assert_eq!(edits.replaced_status(&reply), Some(183));
    assert!(!edits.replace_request_uri(&reply, b"sip:x"));
    assert_eq!(print(&reply, &edits), "SIP/2.0 183 Session Progress\r\nVia: x\r\n\r\n");
    assert!(!edits.replace_status(&message(), 200, b"OK"));
    let short = Message::parse(b"SIP/2.0 200\r\n\r\n".to_vec(), &Limits::DEFAULT).unwrap();
    edits.clear();
    edits.replace_status(&short, 404, b"No");
    assert_eq!(print(&short, &edits), "SIP/2.0 404 No\r\n\r\n");
}

#[test]
fn empty_values_get_their_space() {
    let message =
        Message::parse(b"BYE sip:a SIP/2.0\r\ns:\r\nTo:x\r\n\r\n".to_vec(), &Limits::DEFAULT).unwrap();
    let mut edits = Edits::new();
    edits.replace_header(&message, 0, b"subject");
    edits.replace_header(&message, 1, b"y");
    assert_eq!(print(&message, &edits), "BYE sip:a SIP/2.0\r\ns: subject\r\nTo: y\r\n\r\n");
}

#[test]
fn every_header_field_of_a_name_goes() {
    let message = Message::parse(
        b"BYE sip:a SIP/2.0\r\nX: 1\r\nRoute: 1\r\n 2\r\nX: 2\r\nroute : 3\r\n\r\nbody".to_vec(),
        &Limits::DEFAULT,
    )
    .unwrap();
    let mut edits = Edits::new();
    assert_eq!(edits.remove_headers(&message, HeaderName::Route), 2);
    assert_eq!(edits.len(), 2);
    assert_eq!(print(&message, &edits), "BYE sip:a SIP/2.0\r\nX: 1\r\nX: 2\r\n\r\nbody");
}

/// A change to one header field, and the header fields it may alter.
fn change(edits: &mut Edits, message: &Message, kind: usize, header: usize) {
    match kind {
        0 => drop(edits.remove_header(message, header)),
        1 => drop(edits.replace_header(message, header, b"new")),
        2 => drop(edits.remove_value(message, header, 0)),
        3 => drop(edits.append_to_value(message, header, 0, b";p")),
        4 => drop(edits.replace_value(message, header, 1, b"q")),
        5 => drop(edits.remove_value(message, header, 1)),
        6 => drop(edits.insert_after(message, header, b"Ins: erted\r\n")),
        _ => drop(edits.insert_before(message, header, b"Ins: erted\r\n")),
    }
}

proptest! {
    #[test]
    fn edits_keep_what_they_do_not_touch(changes in proptest::collection::vec((0_usize..8, 0_usize..6), 0..12)) {
        let message = message();
        let mut edits = Edits::new();
        for &(kind, header) in &changes {
            change(&mut edits, &message, kind, header);
        }
        let printed = print(&message, &edits);
        let again = Message::parse(printed.clone().into_bytes(), &Limits::DEFAULT).unwrap();
        prop_assert!(again.defect().is_none() || changes.iter().any(|&(_, header)| header == 5), "{}", printed);
        let touched = |header: usize| changes.iter().any(|&(kind, touched)| touched == header && kind < 6);
        for (index, line) in MESSAGE.split("\r\n\r\n").next().unwrap().replace("\r\n ", "\n ").split("\r\n").skip(1).enumerate() {
            let line = format!("\r\n{}\r\n", line.replace("\n ", "\r\n "));
            prop_assert!(touched(index) || printed.contains(&line), "{} missing in {}", line, printed);
        }
        let inserted = changes.iter().filter(|(kind, _)| *kind >= 6).count();
        prop_assert_eq!(again.headers_by_text(b"Ins").count(), inserted);
        prop_assert!(printed.starts_with("INVITE sip:a@b SIP/2.0\r\n"));
        prop_assert!(printed.ends_with("\r\n\r\nhi") || again.defect().is_some() || changes.iter().any(|&(_, header)| header == 5));
    }

    #[test]
    fn the_order_of_independent_edits_does_not_matter(order in Just([0_usize, 1, 2, 3, 4, 5]).prop_shuffle()) {
        let message = message();
        let mut edits = Edits::new();
        for step in order {
            match step {
                0 => drop(edits.replace_request_uri(&message, b"sip:c@d")),
                1 => edits.prepend_header(&message, b"Via", b"SIP/2.0/UDP p"),
                2 => drop(edits.append_to_value(&message, 0, 0, b";received=x")),
                3 => drop(edits.remove_value(&message, 1, 0)),
                4 => drop(edits.remove_header(&message, 2)),
                _ => edits.replace_body(&message, None, b"longer"),
            }
        }
        let expected = with(&[
            ("sip:a@b SIP/2.0\r\n", "sip:c@d SIP/2.0\r\nVia: SIP/2.0/UDP p\r\n"),
            (";rport", ";rport;received=x"),
            ("<sip:r0;lr>, ", ""),
            ("X: y\r\n folded\r\n", ""),
            ("Length: 2", "Length: 6"),
            ("\r\n\r\nhi", "\r\n\r\nlonger"),
        ]);
        prop_assert_eq!(print(&message, &edits), expected);
    }
}
