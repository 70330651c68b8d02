//! Bodies and their parts.

use std::rc::Rc;

use tocsin_script::{ArgError, Bytes, Call, Function, Outcome, Param, ParamKind, Routes, Store, Value};
use tocsin_server::Context;
use tocsin_sip::{ContentTypeRef, Edits, HeaderName, Message};

use super::function::{Arguments, MESSAGES, function, leaving};

/// What separates the parts of a body that a script gives its second part.
const BOUNDARY: &[u8] = b"OSS-unique-boundary-42";

pub(super) fn functions() -> Vec<Function<Context>> {
    const MIME: &[Param] = &[Param::optional("mime", ParamKind::Str)];
    const REMOVED: &[Param] =
        &[Param::optional("mime", ParamKind::Str), Param::optional("revert", ParamKind::Str)];
    const ADDED: &[Param] = &[
        Param::required("body", ParamKind::Str),
        Param::required("mime", ParamKind::Str),
        Param::optional("headers", ParamKind::Str),
    ];
    let routes = MESSAGES | Routes::LOCAL;
    const UPDATED: &[Param] =
        &[Param::optional("mime", ParamKind::Str), Param::required("variable", ParamKind::Output)];
    vec![
        // As in OpenSIPS 3.4.18, which is true for a message without a body, too.
        function("has_body_part", MIME, MESSAGES, |cx, arguments| {
            arguments.text(0).is_none_or(|mime| has_part(&cx.message, Some(&mime)))
        })
        .doc(
            "Checks whether the body, or a part of it, has this type. 1: it has, or no type is given; -1: it has not.",
        ),
        // The name of older versions.
        function("has_body", MIME, MESSAGES, |cx, arguments| has_part(&cx.message, arguments.text(0).as_deref()))
            .doc(
                "Checks whether the body, or a part of it, has this type; without a type, whether there is a \
                 body. 1: it has; -1: it has not.",
            ),
        Function::new("get_updated_body_part", UPDATED, routes, |site| {
            let variable = site.variable(1).ok_or_else(|| ArgError::at(1, "a variable is needed"))?;
            let call: Call<Context> = Rc::new(move |cx, arguments| {
                let Some(body) = updated(cx, Arguments(arguments).text(0).as_deref()) else {
                    return Outcome::FALSE;
                };
                let written = variable.write(cx, Value::Str(body), Store::Set);
                if let Err(cause) = &written {
                    tracing::error!("get_updated_body_part: {} cannot be set: {cause}", variable.text());
                }
                written.is_ok().into()
            });
            Ok(call)
        })
        .doc(
            "Writes the part of the body that has this type into a variable, or the whole body, with all changes so \
             far. 1: done; -1: there is no such part.",
        ),
        function("remove_body_part", REMOVED, routes, remove).doc(
            "Removes the parts of the body that have this type; with `revert`, those that do not have it; \
             without a type, all. 1: done; -1: there is none.",
        ),
        function("add_body_part", ADDED, routes, add)
            .doc("Adds a part to the body. 1: done; -1: the type holds control characters, or the message would be none."),
    ]
}

/// Whether there is a body, or a part of it, of this type; without a type, whether there is one at all.
fn has_part(message: &Message, mime: Option<&[u8]>) -> bool {
    let parts = parts(message);
    match mime {
        None => !parts.is_empty(),
        Some(mime) => parts.iter().any(|part| part.is(message, mime)),
    }
}

/// The part of this type, or the whole body, as it would be sent now.
fn updated(cx: &Context, mime: Option<&[u8]>) -> Option<Bytes> {
    let leaving = leaving(cx)?;
    let Some(mime) = mime else {
        return Some(Bytes::new(leaving.body())).filter(|body| !body.is_empty());
    };
    parts(&leaving).iter().find(|part| part.is(&leaving, mime)).map(|part| Bytes::new(part.body))
}

fn remove(cx: &mut Context, arguments: &Arguments<'_>) -> bool {
    let mime = arguments.text(0);
    let revert = arguments.text(1).is_some_and(|word| word.eq_ignore_ascii_case(b"revert"));
    let Some(leaving) = leaving(cx) else { return false };
    without(&cx.message, &mut cx.edits, &leaving, mime.as_deref(), revert)
}

fn without(
    message: &Message,
    edits: &mut Edits,
    leaving: &Message,
    mime: Option<&[u8]>,
    revert: bool,
) -> bool {
    let all = parts(leaving);
    let kept: Vec<Part<'_>> = all
        .iter()
        .filter(|part| mime.is_some_and(|mime| part.is(leaving, mime) == revert))
        .copied()
        .collect();
    if kept.len() == all.len() {
        // Nothing is left to be removed, as was asked for.
        return mime.is_none() && !message.body().is_empty();
    }
    match &kept[..] {
        [] => edits.replace_body(message, None, b""),
        // One part that has nothing but a type is the body itself.
        [Part { content_type: Some(kind), headers, body }] if one_line(headers) => {
            edits.replace_body(message, Some(kind), body);
        }
        _ => write_parts(message, edits, leaving, &kept),
    }
    true
}

fn add(cx: &mut Context, arguments: &Arguments<'_>) -> bool {
    let (body, mime, headers) =
        (arguments.required(0), arguments.required(1), arguments.text(2).unwrap_or_default());
    let Some(leaving) = leaving(cx) else { return false };
    with(&cx.message, &mut cx.edits, &leaving, &body, &mime, &headers)
}

fn with(
    message: &Message,
    edits: &mut Edits,
    leaving: &Message,
    body: &[u8],
    mime: &[u8],
    headers: &[u8],
) -> bool {
    if mime.is_empty()
        || mime.iter().any(u8::is_ascii_control)
        || headers.windows(4).any(|four| four == b"\r\n\r\n")
    {
        tracing::error!(
            "add_body_part: `{}` cannot be a content type, or the header fields end early",
            mime.escape_ascii()
        );
        return false;
    }
    let mut all = parts(leaving);
    if all.is_empty() && headers.trim_ascii().is_empty() {
        edits.replace_body(message, Some(mime), body);
        return true;
    }
    let mut lines = [b"Content-Type: ", mime, b"\r\n", headers.trim_ascii()].concat();
    if !lines.ends_with(b"\n") {
        lines.extend_from_slice(b"\r\n");
    }
    // What was the whole body becomes the first part.
    let whole = [
        b"Content-Type: ",
        leaving.header(HeaderName::ContentType).unwrap_or(b"application/octet-stream"),
        b"\r\n",
    ];
    let whole = whole.concat();
    if boundary(leaving).is_none()
        && let Some(first) = all.first_mut()
    {
        first.headers = &whole;
    }
    all.push(Part { content_type: Some(mime), headers: &lines, body });
    write_parts(message, edits, leaving, &all);
    true
}

/// A part of a body, or a body that has no parts.
#[derive(Clone, Copy)]
struct Part<'a> {
    content_type: Option<&'a [u8]>,
    /// Its header fields, each with its line end.
    headers: &'a [u8],
    body: &'a [u8],
}

impl Part<'_> {
    fn is(&self, message: &Message, mime: &[u8]) -> bool {
        let read = |text| ContentTypeRef::parse(text, message.limits()).ok();
        match (self.content_type.and_then(read), read(mime)) {
            (Some(has), Some(wanted)) => has.is(wanted.main_type(), wanted.subtype()),
            _ => false,
        }
    }
}

fn parts(message: &Message) -> Vec<Part<'_>> {
    if message.body().is_empty() {
        return Vec::new();
    }
    if boundary(message).is_some()
        && let Ok(parts) = message.parts()
        && let Ok(parts) = parts.collect::<Result<Vec<_>, _>>()
    {
        return parts
            .into_iter()
            .map(|part| Part {
                content_type: part.header(HeaderName::ContentType),
                headers: part.headers_text(),
                body: part.body(),
            })
            .collect();
    }
    vec![Part { content_type: message.header(HeaderName::ContentType), headers: b"", body: message.body() }]
}

fn boundary(message: &Message) -> Option<&[u8]> {
    let kind = message.content_type().ok()??;
    if kind.is_multipart() { kind.boundary().ok() } else { None }
}

fn one_line(lines: &[u8]) -> bool {
    lines.trim_ascii_end().iter().filter(|byte| **byte == b'\n').count() == 0
}

/// Writes a body of parts; the type it has stays if it is one of parts already.
fn write_parts(message: &Message, edits: &mut Edits, leaving: &Message, parts: &[Part<'_>]) {
    let old = boundary(leaving);
    let boundary = old.map_or_else(|| new_boundary(parts), <[u8]>::to_vec);
    let mut body = Vec::with_capacity(leaving.body().len() + 256);
    for part in parts {
        body.extend_from_slice(b"--");
        body.extend_from_slice(&boundary);
        body.extend_from_slice(b"\r\n");
        if !part.headers.is_empty() {
            body.extend_from_slice(part.headers.trim_ascii_end());
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"\r\n");
        body.extend_from_slice(part.body);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--");
    body.extend_from_slice(&boundary);
    body.extend_from_slice(b"--\r\n");
    let kind = old.is_none().then(|| [b"multipart/mixed;boundary=", &boundary[..]].concat());
    edits.replace_body(message, kind.as_deref(), &body);
}

/// A boundary that no part contains: the one of OpenSIPS, or with a number behind it.
fn new_boundary(parts: &[Part<'_>]) -> Vec<u8> {
    let mut boundary = BOUNDARY.to_vec();
    let mut number = 0_u64;
    loop {
        let taken = |part: &Part<'_>| part.body.windows(boundary.len()).any(|window| window == boundary);
        if !parts.iter().any(taken) {
            return boundary;
        }
        number += 1;
        boundary = [BOUNDARY, b"-", number.to_string().as_bytes()].concat();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_sip::Limits;

    const MIXED: &str = "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b\r\nContent-Type: application/isup\r\nX: y\r\n\r\n\x01\x02\r\n--b--\r\n";

    fn message(kind: &str, body: &str) -> Message {
        let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
        let text = format!("INVITE sip:a@b SIP/2.0\r\n{kind}Content-Length: {}\r\n\r\n{body}", body.len());
        Message::parse(text.into_bytes(), &Limits::DEFAULT).unwrap()
    }

    fn mixed() -> Message {
        message("multipart/mixed;boundary=b", MIXED)
    }

    fn printed(message: &Message, edits: &Edits) -> Message {
        let mut out = Vec::new();
        message.print_into(edits, &mut out);
        Message::parse(out, &Limits::DEFAULT).unwrap()
    }

    fn shown(message: &Message) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        parts(message)
            .iter()
            .map(|part| (text(part.content_type.unwrap_or_default()), text(part.body)))
            .collect()
    }

    #[test]
    fn bodies_and_parts_are_found() {
        assert!(!has_part(&message("", ""), None) && has_part(&message("", "x"), None));
        assert!(has_part(&message("Application/SDP;x=y", "v=0"), Some(b"application/sdp")));
        assert!(has_part(&mixed(), Some(b"application/isup")) && !has_part(&mixed(), Some(b"text/plain")));
        // A body that does not keep to its boundary is one body.
        let broken = message("multipart/mixed;boundary=b", "--b");
        assert!(has_part(&broken, None) && !has_part(&broken, Some(b"application/sdp")));
        assert!(!has_part(&mixed(), Some(b"nonsense")));
    }

    #[test]
    fn parts_are_removed() {
        let removed = |mime: Option<&str>, revert| {
            let (message, mut edits) = (mixed(), Edits::new());
            let done = without(&message, &mut edits, &mixed(), mime.map(str::as_bytes), revert);
            let left = printed(&message, &edits);
            (done, left.header(HeaderName::ContentType).map(<[u8]>::to_vec), shown(&left))
        };
        assert_eq!(removed(None, false), (true, None, vec![]));
        let sdp = ("application/sdp".to_owned(), "v=0\r\n".to_owned());
        assert_eq!(
            removed(Some("application/isup"), false),
            (true, Some(b"application/sdp".to_vec()), vec![sdp])
        );
        // Header fields beside the type keep their part a part.
        let isup = ("application/isup".to_owned(), "\x01\x02".to_owned());
        let kind = Some(b"multipart/mixed;boundary=b".to_vec());
        assert_eq!(removed(Some("application/isup"), true), (true, kind.clone(), vec![isup]));
        assert_eq!(removed(Some("text/plain"), false), (false, kind, shown(&mixed())));
    }

    #[test]
    fn parts_are_added_one_after_the_other() {
        let (message, mut edits) = (message("", ""), Edits::new());
        let mut add = |body: &str, kind: &str, headers: &str| {
            let leaving = printed(&message, &edits);
            let done =
                with(&message, &mut edits, &leaving, body.as_bytes(), kind.as_bytes(), headers.as_bytes());
            (done, shown(&printed(&message, &edits)))
        };
        let part = |kind: &str, body: &str| (kind.to_owned(), body.to_owned());
        let (one, two, three) =
            (part("text/plain", "one"), part("text/html", "two"), part("text/x", "three"));
        assert_eq!(add("one", "text/plain", ""), (true, vec![one.clone()]));
        assert_eq!(add("two", "text/html", "X: y\r\n"), (true, vec![one.clone(), two.clone()]));
        assert_eq!(add("three", "text/x", ""), (true, vec![one.clone(), two.clone(), three.clone()]));
        let all = vec![one, two, three];
        assert_eq!(add("x", "text/x\r\nX: y", ""), (false, all.clone()));
        assert_eq!(add("x", "nonsense", ""), (true, [all, vec![part("nonsense", "x")]].concat()));
    }

    #[test]
    fn a_boundary_is_in_no_part() {
        let part = |body| Part { content_type: None, headers: b"", body };
        assert_eq!(new_boundary(&[part(b"x")]), b"OSS-unique-boundary-42");
        let taken = [part(b"x"), part(b"OSS-unique-boundary-42 OSS-unique-boundary-42-1")];
        assert_eq!(new_boundary(&taken), b"OSS-unique-boundary-42-2");
    }
}
