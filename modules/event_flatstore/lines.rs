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
}

impl Default for Layout {
    fn default() -> Self {
        Self { delimiter: b",".to_vec(), with_name: true }
    }
}

impl Layout {
    /// Appends the line of `event`: its name and its values, as they are. Nothing in them is quoted, as readers of these
    /// files expect.
    pub(super) fn write(&self, event: &Event, out: &mut Vec<u8>) {
        let mut first = true;
        if self.with_name {
            out.extend_from_slice(&event.name);
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
                ParamValue::Str(text) => out.extend_from_slice(text),
            }
        }
        out.push(b'\n');
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
        let plain = Layout::default();
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
        let bare = Layout { delimiter: b"; ".to_vec(), with_name: false };
        assert_eq!(
            line(&bare, |p| {
                p.int("n", -5).push(Some(b"null"), ParamValue::Null).text("s", "x");
            }),
            b"-5; ; x\n"
        );
        assert_eq!(line(&bare, |_| {}), b"\n");
    }
}
