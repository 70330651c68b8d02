//! The text of a call.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use data_encoding::BASE64;
use quick_xml::escape::partial_escape;
use tocsin_event::{Event, ParamValue};

/// The call of `method` for an event: its name, then its parameters. A named one is a value beside its name or, with
/// structs, a struct with one member.
pub(crate) fn write_call(method: &str, event: &Event, with_structs: bool) -> String {
    let mut out = String::with_capacity(256);
    write(
        &mut out,
        &format_args!(
            "<?xml version=\"1.0\"?>\n<methodCall>\n<methodName>{}</methodName>\n",
            name(method.as_bytes())
        ),
    );
    out.push_str("<params>\n");
    write_param(&mut out, |out| write_value(out, ParamValue::Str(&event.name)));
    for (name_of, value) in event.params().iter() {
        write_param(&mut out, |out| match name_of.map(name) {
            Some(name) if with_structs => {
                write(out, &format_args!("<value><struct><member>\n<name>{name}</name>\n"));
                write_value(out, value);
                out.push_str("</member></struct></value>\n");
            }
            Some(name) => {
                write(out, &format_args!("<name>{name}</name>\n"));
                write_value(out, value);
            }
            None => write_value(out, value),
        });
    }
    out.push_str("</params>\n</methodCall>");
    out
}

fn write(out: &mut String, text: &impl Display) {
    // Writing to a string does not fail.
    let _ = write!(out, "{text}");
}

fn write_param(out: &mut String, inside: impl FnOnce(&mut String)) {
    out.push_str("<param>\n");
    inside(out);
    out.push_str("</param>\n");
}

/// A number that XML-RPC's 32 bits cannot hold has the type of the usual extension; a text that XML cannot hold is base64.
fn write_value(out: &mut String, value: ParamValue<'_>) {
    out.push_str("<value>");
    match value {
        ParamValue::Null => out.push_str("<nil/>"),
        ParamValue::Int(number) if i32::try_from(number).is_ok() => {
            write(out, &format_args!("<int>{number}</int>"));
        }
        ParamValue::Int(number) => write(out, &format_args!("<i8>{number}</i8>")),
        ParamValue::Str(bytes) => match std::str::from_utf8(bytes).ok().filter(|text| text.chars().all(fits))
        {
            Some(text) => write(out, &format_args!("<string>{}</string>", escaped(text))),
            None => write(out, &format_args!("<base64>{}</base64>", BASE64.encode(bytes))),
        },
    }
    out.push_str("</value>\n");
}

/// A name; what XML cannot hold of it is replaced.
fn name(bytes: &[u8]) -> String {
    let text: String =
        String::from_utf8_lossy(bytes).chars().map(|c| if fits(c) { c } else { '\u{fffd}' }).collect();
    escaped(&text).into_owned()
}

/// A line feed is all that would be read of a carriage return.
fn escaped(text: &str) -> Cow<'_, str> {
    let escaped = partial_escape(text);
    if escaped.contains('\r') { escaped.replace('\r', "&#13;").into() } else { escaped }
}

/// Whether a document may contain it (XML 1.0 section 2.2).
fn fits(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use tocsin_event::{EventId, ParamsWriter};

    use super::*;

    fn call(with_structs: bool, build: impl FnOnce(&mut ParamsWriter<'_>)) -> String {
        let mut bytes = Vec::new();
        let mut writer = ParamsWriter::new(&mut bytes);
        build(&mut writer);
        let event = Event::new(EventId::THRESHOLD, (*b"E_TEST").into(), 1, 0, writer.finish().unwrap());
        write_call("my_method", &event, with_structs)
    }

    fn around(params: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<methodCall>\n<methodName>my_method</methodName>\n<params>\n<param>\n\
             <value><string>E_TEST</string></value>\n</param>\n{params}</params>\n</methodCall>"
        )
    }

    #[test]
    fn recorded_calls() {
        assert_eq!(call(false, |_| {}), around(""));
        let named = |p: &mut ParamsWriter<'_>| {
            p.int("n", 1).text("s", "two, \"q\" <x>&y").text("e", "");
        };
        assert_eq!(
            call(false, named),
            around(
                "<param>\n<name>n</name>\n<value><int>1</int></value>\n</param>\n<param>\n<name>s</name>\n\
                 <value><string>two, \"q\" &lt;x&gt;&amp;y</string></value>\n</param>\n<param>\n<name>e</name>\n\
                 <value><string></string></value>\n</param>\n"
            )
        );
        assert_eq!(
            call(true, |p| {
                p.int("n", 1);
            }),
            around(
                "<param>\n<value><struct><member>\n<name>n</name>\n<value><int>1</int></value>\n\
                 </member></struct></value>\n</param>\n"
            )
        );
        let unnamed = |p: &mut ParamsWriter<'_>| {
            p.push(None, ParamValue::Int(7)).push(None, ParamValue::Str(b"seven"));
        };
        let params = "<param>\n<value><int>7</int></value>\n</param>\n<param>\n<value><string>seven</string></value>\n\
                      </param>\n";
        assert_eq!([call(false, unnamed), call(true, unnamed)], [around(params), around(params)]);
    }

    #[test]
    fn what_xml_cannot_hold() {
        let value = |value: ParamValue<'_>| {
            let text = call(false, |p| {
                p.push(Some(b"n"), value);
            });
            text.rsplit_once("<value>").unwrap().1.split_once("</value>").unwrap().0.to_owned()
        };
        let text = |text: &str| value(ParamValue::Str(text.as_bytes()));
        for (value, expected) in [
            (value(ParamValue::Int(-5)), "<int>-5</int>"),
            (value(ParamValue::Int(i64::from(i32::MAX) + 1)), "<i8>2147483648</i8>"),
            (value(ParamValue::Int(i64::MIN)), "<i8>-9223372036854775808</i8>"),
            (value(ParamValue::Null), "<nil/>"),
            (text("a\r\n\tb"), "<string>a&#13;\n\tb</string>"),
            (text("]]>\u{e9}\u{1f600}"), "<string>]]&gt;\u{e9}\u{1f600}</string>"),
            (text("a\u{1}"), "<base64>YQE=</base64>"),
            (text("\u{ffff}"), "<base64>77+/</base64>"),
            (value(ParamValue::Str(b"\xff")), "<base64>/w==</base64>"),
        ] {
            assert_eq!(value, expected);
        }
        let name = call(false, |p| {
            p.int("<\u{1}>", 1);
        });
        assert!(name.contains("<name>&lt;\u{fffd}&gt;</name>"), "{name}");
    }
}
