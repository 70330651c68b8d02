//! Header fields that are lists of tokens (Supported, Require, Privacy and their like).

use std::rc::Rc;

use tocsin_script::{ArgError, Bytes, Call, Function, Param, ParamKind, Routes};
use tocsin_server::Context;
use tocsin_sip::{Edits, HeaderName, Message, Values};

use super::function::{MESSAGES, function, leaving};

/// What Privacy may say (RFC 3323 section 4.2, RFC 3325 section 9.3, RFC 7044 section 10.1).
const PRIVACY_KINDS: [&[u8]; 7] = [b"header", b"session", b"user", b"none", b"critical", b"id", b"history"];

pub(super) fn functions() -> Vec<Function<Context>> {
    const OPTION: &[Param] =
        &[Param::required("hdr_name", ParamKind::Str), Param::required("option", ParamKind::Str)];
    const PRIVACY: &[Param] = &[Param::required("privacy_type", ParamKind::Str)];
    let routes = MESSAGES | Routes::LOCAL;
    vec![
        function("list_hdr_has_option", OPTION, routes, |cx, arguments| {
            let (name, option) = (arguments.required(0), arguments.required(1));
            leaving(cx).is_some_and(|leaving| {
                options(&leaving, &name).iter().any(|each| each.eq_ignore_ascii_case(&option))
            })
        })
        .doc(
            "Checks whether a header field that is a list, such as Supported, has this option. 1: it has; \
             -1: it has not.",
        ),
        function("list_hdr_add_option", OPTION, routes, |cx, arguments| {
            let (name, option) = (arguments.required(0), arguments.required(1));
            let Some(leaving) = leaving(cx) else { return false };
            add(&cx.message, &mut cx.edits, &leaving, &name, &option)
        })
        .doc(
            "Adds an option to a header field that is a list. 1: done; -1: there is no such header field, \
             or it is no option.",
        ),
        function("list_hdr_remove_option", OPTION, routes, |cx, arguments| {
            let (name, option) = (arguments.required(0), arguments.required(1));
            let Some(leaving) = leaving(cx) else { return false };
            remove(&cx.message, &mut cx.edits, &leaving, &name, &option)
        })
        .doc(
            "Removes an option from the header fields of this name that are lists. 1: done; -1: none has \
             it.",
        ),
        Function::new("is_privacy", PRIVACY, MESSAGES, |site| {
            let is_kind = |kind: &Bytes| PRIVACY_KINDS.iter().any(|known| kind.eq_ignore_ascii_case(known));
            if site.constant_str(0).is_some_and(|kind| !is_kind(kind)) {
                let known = PRIVACY_KINDS.join(&b", "[..]);
                let known = String::from_utf8_lossy(&known);
                return Err(ArgError::at(0, format!("the kinds of privacy are {known}")));
            }
            let call: Call<Context> = Rc::new(|cx, arguments| {
                is_private(&cx.message, &arguments[0].to_bytes().unwrap_or_default()).into()
            });
            Ok(call)
        })
        .doc(
            "Checks whether the Privacy header field asks for this type of privacy. 1: it does; -1: it \
             does not.",
        ),
    ]
}

/// The options in all header fields of this name.
fn options<'a>(message: &'a Message, name: &'a [u8]) -> Vec<&'a [u8]> {
    let limit = message.limits().values;
    let values = message.headers_by_text(name).flat_map(|header| Values::new(header.value, limit));
    values.map_while(Result::ok).map(|value| value.text).filter(|text| !text.is_empty()).collect()
}

fn add(message: &Message, edits: &mut Edits, leaving: &Message, name: &[u8], option: &[u8]) -> bool {
    let is_option = |byte: &u8| !byte.is_ascii_control() && *byte != b',';
    if option.is_empty() || !option.iter().all(is_option) || message.header_by_text(name).is_none() {
        return false;
    }
    match (leaving.headers_by_text(name).next(), message.headers_by_text(name).next()) {
        (Some(shown), Some(first)) => {
            // Behind the options of the first of them; what an earlier change has made of it is in `shown`.
            let value =
                if shown.value.is_empty() { option.to_vec() } else { [shown.value, b",", option].concat() };
            edits.replace_header(message, first.index, &value)
        }
        _ => {
            edits.append_header(message, name, option);
            true
        }
    }
}

/// Takes the option out of every header field of this name, of each the last one that fits.
fn remove(message: &Message, edits: &mut Edits, leaving: &Message, name: &[u8], option: &[u8]) -> bool {
    let limit = leaving.limits().values;
    let (mut kept, mut found) = (Vec::new(), false);
    for header in leaving.headers_by_text(name) {
        let begin = kept.len();
        kept.extend(Values::new(header.value, limit).map_while(Result::ok).map(|value| value.text));
        if let Some(at) = kept[begin..].iter().rposition(|each| each.eq_ignore_ascii_case(option)) {
            kept.remove(begin + at);
            found = true;
        }
    }
    if found {
        kept.retain(|text| !text.is_empty());
        write(message, edits, leaving, name, &kept);
    }
    found
}

/// The list as one header field: the first of this name, or a new one where that has been taken out.
fn write(message: &Message, edits: &mut Edits, leaving: &Message, name: &[u8], options: &[&[u8]]) {
    let value = options.join(&b", "[..]);
    let mut headers = message.headers_by_text(name);
    if leaving.header_by_text(name).is_none() {
        edits.append_header(message, name, &value);
        return;
    }
    let Some(first) = headers.next() else { return };
    if options.is_empty() {
        edits.remove_header(message, first.index);
    } else {
        edits.replace_header(message, first.index, &value);
    }
    for other in headers {
        edits.remove_header(message, other.index);
    }
}

/// Whether a Privacy header field holds this kind (RFC 3323 section 4.2: kinds are set apart by semicolons).
fn is_private(message: &Message, kind: &[u8]) -> bool {
    message.headers(HeaderName::Privacy).any(|header| {
        let kinds = header.value.split(|byte| matches!(byte, b';' | b','));
        kinds.map(<[u8]>::trim_ascii).any(|each| each.eq_ignore_ascii_case(kind))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_sip::Limits;

    fn request(lines: &str) -> Message {
        let text = format!("INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n{lines}CSeq: 1 INVITE\r\n\r\n");
        Message::parse(text.into_bytes(), &Limits::DEFAULT).unwrap()
    }

    fn printed(message: &Message, edits: &Edits) -> Message {
        let mut out = Vec::new();
        message.print_into(edits, &mut out);
        Message::parse(out, &Limits::DEFAULT).unwrap()
    }

    /// What is in Supported after changes: `+x` adds, `-x` removes. And what each change came to.
    fn after(lines: &str, changes: &[&str]) -> (Vec<bool>, Vec<String>) {
        let (message, mut edits) = (request(lines), Edits::new());
        let mut answers = Vec::new();
        for change in changes {
            let leaving = printed(&message, &edits);
            let option = &change.as_bytes()[1..];
            answers.push(if change.starts_with('+') {
                add(&message, &mut edits, &leaving, b"Supported", option)
            } else {
                remove(&message, &mut edits, &leaving, b"Supported", option)
            });
        }
        let leaving = printed(&message, &edits);
        let left =
            leaving.headers_by_text(b"Supported").map(|h| String::from_utf8_lossy(h.value).into_owned());
        (answers, left.collect())
    }

    #[test]
    fn options_come_and_go() {
        let lines = "k: path, 100rel ,gruu\r\n";
        assert_eq!(after(lines, &["+outbound"]), (vec![true], vec!["path, 100rel ,gruu,outbound".into()]));
        assert_eq!(after(lines, &["-100REL"]), (vec![true], vec!["path, gruu".into()]));
        assert_eq!(after(lines, &["-nosuch"]), (vec![false], vec!["path, 100rel ,gruu".into()]));
        assert_eq!(after("k: 100rel\r\n", &["-100rel", "+x"]), (vec![true, true], vec!["x".into()]));
        assert_eq!(after("k: 100rel\r\n", &["-100rel"]), (vec![true], vec![]));
        assert_eq!(after("k: a\r\n", &["+b", "+c", "-a"]), (vec![true, true, true], vec!["b, c".into()]));
        let two = "Supported: timer, 100rel\r\nSupported: path\r\n";
        assert_eq!(after(two, &["+bell"]), (vec![true], vec!["timer, 100rel,bell".into(), "path".into()]));
        assert_eq!(after("k: a, b\r\nSupported: b, c, b\r\n", &["-b"]), (vec![true], vec!["a, b, c".into()]));
        assert_eq!(after("", &["+x", "-x"]), (vec![false, false], vec![]));
        assert_eq!(after("k: a\r\n", &["+b\r\nX: y", "+", "+b,c"]), (vec![false; 3], vec!["a".into()]));
    }

    #[test]
    fn kinds_of_privacy() {
        let message = request("Privacy: header; ID ,critical\r\n");
        assert!(
            is_private(&message, b"id")
                && is_private(&message, b"critical")
                && !is_private(&message, b"user")
        );
    }
}
