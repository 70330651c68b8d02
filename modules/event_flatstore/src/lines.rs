//! The line that an event is in a file.

use std::io::Write as _;

use tocsin_event::{Event, ParamValue};

/// What a line looks like.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// Between two values.
    pub(super) delimiter: Vec<u8>,
    /// Whether the name of the event comes first.
    pub(super) with_name: bool,
    /// Whether what ends a line or a value, and a backslash, is escaped in values.
    pub(super) escape: bool,
}

impl Layout {
    /// Appends the line of `event`: its name and its values. Unless that is asked for, nothing in them is escaped, as readers
    /// of these files expect.
    pub(super) fn write(&self, event: &Event, out: &mut Vec<u8>) {
        let mut first = true;
        if self.with_name {
            self.write_text(&event.name, out);
            first = false;
        }
        for (_, value) in event.params().iter() {
            if !first {
                out.extend_from_slice(&self.delimiter);
            }
            first = false;
            match value {
                ParamValue::Null => {}
                ParamValue::Int(number) => {
                    // Writing into memory does not fail.
                    let _ = write!(out, "{number}");
                }
                ParamValue::Str(text) => self.write_text(text, out),
            }
        }
        out.push(b'\n');
    }

    fn write_text(&self, text: &[u8], out: &mut Vec<u8>) {
        if !self.escape {
            out.extend_from_slice(text);
            return;
        }
        // Without its first byte there is no delimiter, also not one that begins in a value and ends behind it.
        let first = self.delimiter.first();
        for byte in text {
            match byte {
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                // Writing into memory does not fail.
                _ if byte.is_ascii_control() || Some(byte) == first => drop(write!(out, "\\x{byte:02x}")),
                _ => out.push(*byte),
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::rc::Rc;

    use tocsin_event::{EventId, ParamsWriter};

    use super::*;

    pub(crate) fn event(build: impl FnOnce(&mut ParamsWriter<'_>)) -> Rc<Event> {
        let mut bytes = Vec::new();
        let mut params = ParamsWriter::new(&mut bytes);
        build(&mut params);
        Rc::new(Event::new(EventId::THRESHOLD, (*b"E_TEST").into(), 1, 0, params.finish().unwrap()))
    }

    fn line(layout: &Layout, build: impl FnOnce(&mut ParamsWriter<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        layout.write(&event(build), &mut out);
        out
    }

    /// As recorded.
    #[test]
    fn recorded_lines() {
        let plain = Layout { delimiter: b",".to_vec(), with_name: true, escape: false };
        assert_eq!(line(&plain, |_| {}), b"E_TEST\n");
        assert_eq!(
            line(&plain, |p| {
                p.int("n", 1).text("s", "two, \"q\" <x>&y").text("e", "");
            }),
            b"E_TEST,1,two, \"q\" <x>&y,\n"
        );
        assert_eq!(
            line(&plain, |p| {
                p.text("b", b"a,b;c\r\nd\"e\0f\xff");
            }),
            b"E_TEST,a,b;c\r\nd\"e\0f\xff\n"
        );
    }

    #[test]
    fn other_layouts() {
        let bare = Layout { delimiter: b"; ".to_vec(), with_name: false, escape: false };
        assert_eq!(
            line(&bare, |p| {
                p.int("n", -5).push(Some(b"null"), ParamValue::Null).text("s", "x");
            }),
            b"-5; ; x\n"
        );
        assert_eq!(line(&bare, |_| {}), b"\n");
    }

    #[test]
    fn no_value_forges_a_line_or_another_value() {
        let escaping = Layout { delimiter: b";;".to_vec(), with_name: true, escape: true };
        assert_eq!(
            line(&escaping, |p| {
                p.text("a", "x\nE_TEST;;1")
                    .text("b", "\\n \r\t\0\u{7f}")
                    .text("c", "end;")
                    .text("d", "\u{fc}");
            }),
            "E_TEST;;x\\nE_TEST\\x3b\\x3b1;;\\\\n \\r\\t\\x00\\x7f;;end\\x3b;;\u{fc}\n".as_bytes()
        );
    }
}
