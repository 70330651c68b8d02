//! Bodies and their parts.

use super::{read, touch_all, touch_parts, with};
use tocsin_sip::{ContentTypeRef, Limits, ParseError, Parts};

#[test]
fn cve_2023_27601_body_without_a_last_line_end() {
    for body in ["v=0\r\nm=audio 1 RTP/AVP 0", "v", "\n", "\r", ""] {
        let text = format!(
            "MESSAGE sip:a SIP/2.0\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let message = read(text);
        assert_eq!(message.body(), body.as_bytes());
        touch_all(&message);
    }
}

#[test]
fn cve_2026_45705_boundaries_that_run_off() {
    let long = "b".repeat(71);
    for boundary in ["", "\"", "\"\"", "b\"", &long, "\"b", " ", "\"\\", "-", "--"] {
        let message = read(with("boundary=\"b\"", &format!("boundary={boundary}")));
        assert!(
            message.parts().is_err() || message.parts().is_ok_and(|parts| parts.flatten().count() == 0),
            "{boundary}"
        );
        touch_all(&message);
    }
}

#[test]
fn ghsa_wrjf_empty_parts_and_osv_2024_1210_mixed_content() {
    for body in [
        "--b",
        "--b\r",
        "--b\r\n",
        "--b--",
        "--b\r\n--b--",
        "--b\r\n\r\n--b--",
        "--b\r\n:\r\n--b--",
        "--b\r\n \r\n--b--",
        "--b\r\nA\r\n--b",
        "--b\r\nContent-Type:\r\n\r\n--b--",
        "--b\r\nContent-Type: multipart/x;boundary=b\r\n\r\n--b--",
        "-",
        "--",
        "--\r\n",
        "b--b--",
    ] {
        let kind = ContentTypeRef::parse(b"multipart/mixed;boundary=b", &Limits::DEFAULT).unwrap();
        touch_parts(Parts::new(body.as_bytes(), &kind, &Limits::DEFAULT));
        let text = format!("MESSAGE sip:a SIP/2.0\r\nc: multipart/mixed;boundary=b\r\n\r\n{body}");
        touch_all(&read(text));
    }
}

#[test]
fn es2017_02_multipart_nested_without_end() {
    let mut body = String::from("x");
    for level in (0..40).rev() {
        body = format!(
            "--b{level}\r\nContent-Type: multipart/mixed;boundary=b{}\r\n\r\n{body}\r\n--b{level}--",
            level + 1
        );
    }
    let message = read(format!("MESSAGE sip:a SIP/2.0\r\nc: multipart/mixed;boundary=b0\r\n\r\n{body}"));
    let mut parts = message.parts();
    let mut depth = 0;
    while let Ok(mut level) = parts {
        depth += 1;
        parts = level.next().unwrap().unwrap().parts();
    }
    assert_eq!((depth, parts.err()), (Limits::DEFAULT.multipart_depth, Some(ParseError::MultipartTooDeep)));
}

#[test]
fn ghsa_hx7p_multipart_with_more_parts_than_anyone_needs() {
    let body = format!("{}--b--", "--b\r\n\r\n\r\n".repeat(5_000));
    let message = read(format!("MESSAGE sip:a SIP/2.0\r\nc: multipart/mixed;boundary=b\r\n\r\n{body}"));
    assert_eq!(message.parts().unwrap().last().map(Result::err), Some(Some(ParseError::TooManyParts)));
}

#[test]
fn cve_2026_45084_publish_without_or_with_an_odd_content_type() {
    for kind in [
        "",
        "Content-Type:\r\n",
        "Content-Type: /\r\n",
        "Content-Type: application\r\n",
        "c: ;\r\n",
        "c: a/b;\r\n",
        "c: \0\r\n",
    ] {
        let message = read(format!("PUBLISH sip:a SIP/2.0\r\n{kind}\r\n<presence/>"));
        assert!(!matches!(message.content_type(), Ok(Some(_))), "{kind}");
        assert!(message.parts().is_err());
        touch_all(&message);
    }
}
