//! Header fields: whether they are there, putting them in, taking them out.

use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use tocsin_script::{
    ArgError, Bound, Call, Function, Param, ParamKind, Routes, Store, Value, compile_made_regex,
};
use tocsin_server::blocklist::pattern;
use tocsin_server::context::received_uri;
use tocsin_server::{Context, time};
use tocsin_sip::{Edits, HeaderName, HeaderRef, Message};

use super::function::{Arguments, MESSAGES, function};

/// The longest text of header lines that one message may keep for its answer.
const MAX_REPLY_LINES_BYTES: usize = 16 << 10;

pub(super) fn functions() -> Vec<Function<Context>> {
    const TEXT: &[Param] = &[Param::required("txt", ParamKind::Str)];
    const ANCHORED: &[Param] =
        &[Param::required("txt", ParamKind::Str), Param::optional("hdr", ParamKind::Str)];
    const AROUND: &[Param] =
        &[Param::required("prefix", ParamKind::Str), Param::required("suffix", ParamKind::Str)];
    const NAME: &[Param] = &[Param::required("hname", ParamKind::Str)];
    const GLOB: &[Param] = &[
        Param::required("hdr_name_glob", ParamKind::Str),
        Param::required("hdr_names_avp", ParamKind::Output),
        Param::required("hdr_vals_avp", ParamKind::Output),
    ];
    const EXPRESSION: &[Param] = &[Param::required("hname_expr", ParamKind::Regex)];
    let answers = Routes::REQUEST | Routes::FAILURE | Routes::BRANCH | Routes::ERROR;
    vec![
        function("append_hf", ANCHORED, MESSAGES, |cx, arguments| {
            append(&cx.message, &mut cx.edits, &arguments.required(0), arguments.text(1).as_deref())
        })
        .doc(
            "Adds header lines behind all others, or behind the first header field called `hdr`. 1: done; \
             -1: the text is no header field.",
        ),
        function("insert_hf", ANCHORED, MESSAGES, |cx, arguments| {
            insert(&cx.message, &mut cx.edits, &arguments.required(0), arguments.text(1).as_deref())
        })
        .doc(
            "Adds header lines before all others, or before the first header field called `hdr`. 1: done; \
             -1: the text is no header field.",
        ),
        function("append_urihf", AROUND, MESSAGES, append_uri).doc(
            "Adds a header line that is made of a prefix, the Request-URI as it was received, and a \
             suffix. 1: done; -1: that is no header field.",
        ),
        function("append_to_reply", TEXT, answers, |cx, arguments| {
            append_to_reply(&mut cx.reply_lines, &arguments.required(0))
        })
        .doc(
            "Adds header lines to the responses that this server makes for the request. 1: done; -1: the \
             text is no header field, or too long.",
        ),
        function("append_time", &[], answers, |cx, _| {
            let line = format!("Date: {}\r\n", date(time::unix_seconds()));
            append_to_reply(&mut cx.reply_lines, line.as_bytes())
        })
        .doc(
            "Adds a Date header field to the responses that this server makes for the request. 1: done; \
             -1: there is no room for it.",
        ),
        function("has_totag", &[], MESSAGES | Routes::LOCAL, |cx, _| {
            cx.message.to().is_ok_and(|to| to.tag().is_some())
        })
        .doc(
            "Checks whether the To header field has a tag: the request is within a dialog. 1: it has; -1: \
             it has none.",
        ),
        function("is_present_hf", NAME, MESSAGES, |cx, arguments| {
            cx.message.header_by_text(&arguments.required(0)).is_some()
        })
        .doc("Checks whether there is a header field of this name. 1: there is; -1: there is none."),
        function("remove_hf", NAME, MESSAGES, |cx, arguments| {
            let name = arguments.required(0);
            let known = HeaderName::of(&name);
            remove(&cx.message, &mut cx.edits, |each, text| {
                each == known && (known != HeaderName::Other || text.eq_ignore_ascii_case(&name))
            })
        })
        .doc("Removes all header fields of this name. 1: there were some; -1: there was none."),
        function("remove_hf_glob", NAME, MESSAGES, |cx, arguments| {
            let pattern = arguments.required(0).to_ascii_lowercase();
            remove(&cx.message, &mut cx.edits, |_, text| pattern::matches_in_any_case(&pattern, text))
        })
        .doc(
            "Removes all header fields whose name fits a pattern with `*`, `?` and `[...]`. 1: there were \
             some; -1: there was none.",
        ),
        Function::new("remove_hf_re", EXPRESSION, MESSAGES, |site| {
            let fixed = site.regex(0);
            let call: Call<Context> = Rc::new(move |cx, arguments| {
                let made = match (&fixed, &arguments[0]) {
                    (None, Value::Str(pattern)) => compile_made_regex(pattern).ok(),
                    _ => None,
                };
                let Some(expression) = fixed.as_ref().or(made.as_ref()) else {
                    tracing::error!("remove_hf_re: not a regular expression");
                    return false.into();
                };
                remove(&cx.message, &mut cx.edits, |_, text| expression.is_match(text)).into()
            });
            Ok(call)
        })
        .doc(
            "Removes all header fields whose name matches an expression. 1: there were some; -1: there \
             was none, or it is no expression.",
        ),
        Function::new("get_glob_headers_values", GLOB, MESSAGES, |site| {
            let variable = |at| site.variable(at).ok_or_else(|| ArgError::at(at, "a variable is needed"));
            let (names, values) = (variable(1)?, variable(2)?);
            let call: Call<Context> = Rc::new(move |cx, arguments| {
                let pattern = Arguments(arguments).required(0).to_ascii_lowercase();
                let fits =
                    |header: &HeaderRef<'_>| pattern::matches_in_any_case(&pattern, header.name_text);
                let found: Vec<(Value, Value)> = cx
                    .message
                    .all_headers()
                    .filter(fits)
                    .map(|header| (Value::str(header.name_text), Value::str(header.value)))
                    .collect();
                let any = !found.is_empty();
                let mut write = |variable: &Bound<Context>, value| {
                    if let Err(cause) = variable.write(cx, value, Store::Set) {
                        tracing::error!("get_glob_headers_values: {} cannot be set: {cause}", variable.text());
                    }
                };
                for (name, value) in found {
                    write(&names, name);
                    write(&values, value);
                }
                any.into()
            });
            Ok(call)
        })
        .doc(
            "Adds the names of all header fields that fit a pattern with `*`, `?` and `[...]` to an AVP, and their \
             bodies to another one. 1: there were some; -1: there was none.",
        ),
    ]
}

/// Behind the first header field called `anchor`, or behind all.
fn append(message: &Message, edits: &mut Edits, lines: &[u8], anchor: Option<&[u8]>) -> bool {
    if !are_lines(lines) {
        return false;
    }
    match anchor.and_then(|anchor| first(message, anchor)) {
        Some(header) => edits.insert_after(message, header, lines),
        None => {
            edits.append_lines(message, lines);
            true
        }
    }
}

/// Before the first header field called `anchor`, or before all.
fn insert(message: &Message, edits: &mut Edits, lines: &[u8], anchor: Option<&[u8]>) -> bool {
    let header = anchor.and_then(|anchor| first(message, anchor)).unwrap_or(0);
    are_lines(lines) && edits.insert_before(message, header, lines)
}

fn first(message: &Message, name: &[u8]) -> Option<usize> {
    message.headers_by_text(name).next().map(|header| header.index)
}

/// Text that begins with the name of a header field. An empty line would end the header fields.
fn are_lines(lines: &[u8]) -> bool {
    let fits = lines.contains(&b':')
        && !lines.starts_with(b"\r")
        && !lines.starts_with(b"\n")
        && !lines.windows(2).any(|pair| pair == b"\n\n")
        && !lines.windows(4).any(|four| four == b"\r\n\r\n");
    if !fits {
        tracing::error!("`{}` is no header field: write it as `Name: value`", lines.escape_ascii());
    }
    fits
}

fn append_uri(cx: &mut Context, arguments: &Arguments<'_>) -> bool {
    let line = [&*arguments.required(0), received_uri(&cx.message), &*arguments.required(1)].concat();
    append(&cx.message, &mut cx.edits, &line, None)
}

fn append_to_reply(lines: &mut Vec<u8>, text: &[u8]) -> bool {
    if !are_lines(text) || lines.len() + text.len() > MAX_REPLY_LINES_BYTES {
        return false;
    }
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    lines.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
    lines.extend_from_slice(b"\r\n");
    true
}

/// Takes out the header fields whose name is wanted. Whether there were any.
fn remove(message: &Message, edits: &mut Edits, mut wanted: impl FnMut(HeaderName, &[u8]) -> bool) -> bool {
    let mut any = false;
    for header in message.all_headers().filter(|header| wanted(header.name, header.name_text)) {
        any |= edits.remove_header(message, header.index);
    }
    any
}

/// A moment as RFC 3261 section 20.17 writes it: `Sat, 13 Nov 2010 23:29:00 GMT`, which is the date of HTTP.
fn date(unix_seconds: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(unix_seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_sip::Limits;

    const LINES: &str = "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nf: <sip:c@d>;tag=1\r\nX-Bill-1: a\r\nX-Price: b\r\nX-Bill-2: c\r\n";

    fn edited(edit: impl FnOnce(&Message, &mut Edits) -> bool) -> (bool, String) {
        let message = Message::parse(format!("{LINES}\r\n").into_bytes(), &Limits::DEFAULT).unwrap();
        let mut edits = Edits::new();
        let answer = edit(&message, &mut edits);
        let mut out = Vec::new();
        message.print_into(&edits, &mut out);
        (answer, String::from_utf8(out).unwrap())
    }

    #[test]
    fn lines_go_where_they_are_wanted() {
        let (done, text) = edited(|m, e| append(m, e, b"A: b\r\n", None));
        assert!(done && text == format!("{LINES}A: b\r\n\r\n"));
        let (done, text) = edited(|m, e| append(m, e, b"A: b", Some(b"From")));
        assert!(done && text.contains("tag=1\r\nA: b\r\nX-Bill-1"));
        let (done, text) = edited(|m, e| append(m, e, b"A: b", Some(b"Nosuch")));
        assert!(done && text.ends_with("X-Bill-2: c\r\nA: b\r\n\r\n"));
        let (done, text) = edited(|m, e| insert(m, e, b"A: b", None));
        assert!(done && text.contains("SIP/2.0\r\nA: b\r\nVia"));
        let (done, text) = edited(|m, e| insert(m, e, b"A: b", Some(b"X-Price")));
        assert!(done && text.contains("A: b\r\nX-Price"));
    }

    #[test]
    fn what_is_no_header_field_is_not_put_in() {
        for bad in ["", "nonsense", "\r\nA: b", "A: b\r\n\r\nbody", "A: b\n\nbody", "\nA: b"] {
            let (done, text) = edited(|m, e| append(m, e, bad.as_bytes(), None));
            assert!(!done && text == format!("{LINES}\r\n"), "{bad:?}");
        }
    }

    #[test]
    fn header_fields_are_removed_by_name_and_pattern() {
        let (done, text) =
            edited(|m, e| remove(m, e, |_, name| pattern::matches_in_any_case(b"x-bill*", name)));
        assert!(done && !text.contains("Bill") && text.contains("X-Price"));
        let (done, text) = edited(|m, e| remove(m, e, |name, _| name == HeaderName::From));
        assert!(done && !text.contains("tag=1"));
        assert!(!edited(|m, e| remove(m, e, |_, name| pattern::matches_in_any_case(b"y*", name))).0);
    }

    #[test]
    fn patterns() {
        for (pattern, text, fits) in [
            ("X-*", "x-y", true),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*b*d", "abcbd", true),
            ("*b*d", "abcb", false),
            ("x[0-9a]", "X7", true),
            ("x[!0-9]", "x7", false),
            ("x[!0-9]", "xy", true),
            ("x[]]", "x]", true),
            ("x[", "x[", true),
            ("a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            let found =
                pattern::matches_in_any_case(&pattern.as_bytes().to_ascii_lowercase(), text.as_bytes());
            assert_eq!(found, fits, "{pattern} {text}");
        }
    }

    #[test]
    fn lines_of_an_answer_end() {
        let mut lines = Vec::new();
        assert!(append_to_reply(&mut lines, b"A: b") && append_to_reply(&mut lines, b"C: d\n"));
        assert!(append_to_reply(&mut lines, b"E: f\r\n") && !append_to_reply(&mut lines, b"\r\n"));
        assert_eq!(lines, b"A: b\r\nC: d\r\nE: f\r\n");
        assert!(!append_to_reply(&mut lines, &[&b"A: "[..], &[b'x'; MAX_REPLY_LINES_BYTES]].concat()));
    }

    #[test]
    fn dates() {
        assert_eq!(date(1_289_690_940), "Sat, 13 Nov 2010 23:29:00 GMT");
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date(951_782_399), "Mon, 28 Feb 2000 23:59:59 GMT");
        assert_eq!(date(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(date(4_107_542_400), "Mon, 01 Mar 2100 00:00:00 GMT");
    }
}
