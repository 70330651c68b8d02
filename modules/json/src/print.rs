//! How values are printed: with blanks, without, or a member a line.

use tocsin_script::MAX_STRING_BYTES;

use super::node::{Node, Shared};

/// How deep values are printed. Links can make them deeper than any text that is read.
const MAX_PRINT_DEPTH: usize = 128;

/// The look of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// `{ "a": [ 1, 2 ] }`
    Spaced,
    /// `{"a":[1,2]}`
    Compact,
    /// A member a line, two blanks for each level.
    Pretty,
}

/// The text of a value; `None` if it is too deep or too long.
pub(super) fn print(node: &Node, style: Style) -> Option<Vec<u8>> {
    let mut printer = Printer { out: Vec::new(), style, depth: 0 };
    printer.node(node)?;
    Some(printer.out)
}

struct Printer {
    out: Vec<u8>,
    style: Style,
    depth: usize,
}

impl Printer {
    fn node(&mut self, node: &Node) -> Option<()> {
        match node {
            Node::Null => self.text(b"null"),
            Node::Bool(true) => self.text(b"true"),
            Node::Bool(false) => self.text(b"false"),
            Node::Int(number) => tocsin_json::write_integer(*number, &mut self.out),
            Node::Float(number) => self.text(format!("{number:?}").as_bytes()),
            Node::Str(text) => self.string(text),
            Node::Array(elements) => {
                self.members(b"[]", elements, |printer, element: &Shared| printer.node(&element.borrow()))?;
            }
            Node::Object(members) => self.members(b"{}", members, |printer, (key, value)| {
                printer.string(key);
                printer.text(if printer.style == Style::Spaced { b": " } else { b":" });
                printer.node(&value.borrow())
            })?,
        }
        (self.out.len() <= MAX_STRING_BYTES).then_some(())
    }

    fn members<T>(
        &mut self,
        brackets: &[u8; 2],
        members: &[T],
        mut print: impl FnMut(&mut Self, &T) -> Option<()>,
    ) -> Option<()> {
        if self.depth == MAX_PRINT_DEPTH {
            return None;
        }
        self.depth += 1;
        self.out.push(brackets[0]);
        for (at, member) in members.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            self.gap();
            print(self, member)?;
        }
        self.depth -= 1;
        if !members.is_empty() || self.style == Style::Spaced {
            self.gap();
        }
        self.out.push(brackets[1]);
        Some(())
    }

    /// What stands between the members.
    fn gap(&mut self) {
        match self.style {
            Style::Spaced => self.out.push(b' '),
            Style::Compact => {}
            Style::Pretty => {
                self.out.push(b'\n');
                self.out.resize(self.out.len() + 2 * self.depth, b' ');
            }
        }
    }

    fn text(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    /// A string with its escapes: a slash is escaped, too.
    fn string(&mut self, text: &[u8]) {
        let begin = self.out.len();
        tocsin_json::write_string(text, &mut self.out);
        if text.contains(&b'/') {
            let written = self.out.split_off(begin);
            for byte in written {
                if byte == b'/' {
                    self.out.push(b'\\');
                }
                self.out.push(byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::node::shared;
    use super::*;
    use std::rc::Rc;

    #[test]
    fn texts_look_as_recorded() {
        let text = br#"{"k":1,"s":"t","n":null,"b":true,"f":1.5,"arr":[1,2,[3]],"o":{"x":"y"}}"#;
        let node = Node::parse(text, false).unwrap();
        let printed = |style| String::from_utf8(print(&node, style).unwrap()).unwrap();
        assert_eq!(printed(Style::Compact).as_bytes(), text);
        assert_eq!(
            printed(Style::Spaced),
            r#"{ "k": 1, "s": "t", "n": null, "b": true, "f": 1.5, "arr": [ 1, 2, [ 3 ] ], "o": { "x": "y" } }"#
        );
        assert_eq!(printed(Style::Pretty).len(), 131);
        assert!(printed(Style::Pretty).starts_with("{\n  \"k\":1,\n  \"s\":\"t\","));
        for (text, spaced) in [("{}", "{ }"), ("[]", "[ ]"), (r#""a/b\\c\"""#, r#""a\/b\\c\"""#)] {
            let node = Node::parse(text.as_bytes(), false).unwrap();
            assert_eq!(print(&node, Style::Spaced).unwrap(), spaced.as_bytes());
        }
    }

    #[test]
    fn what_is_too_deep_or_too_long_has_no_text() {
        let mut chain = shared(Node::Null);
        for _ in 0..MAX_PRINT_DEPTH {
            chain = shared(Node::Array(vec![chain]));
        }
        assert!(print(&chain.borrow(), Style::Compact).is_some());
        let deeper = Node::Array(vec![chain]);
        assert!(print(&deeper, Style::Compact).is_none());
        let mut wide = shared(Node::Null);
        for _ in 0..40 {
            wide = shared(Node::Array(vec![Rc::clone(&wide), wide]));
        }
        assert!(print(&wide.borrow(), Style::Compact).is_none());
    }
}
