//! Reading JSON text (RFC 8259) out of bytes, with a bounded depth.
//!
//! Two liberties are taken because management clients take them: a string may hold raw bytes that are not UTF-8 and raw
//! control characters, and [`parse_prefix`] stops after the first value, whatever follows.

use std::fmt;

use crate::{Text, Value};

/// How deep arrays and objects may nest, unless [`Limits`] says otherwise.
pub const MAX_DEPTH: usize = 32;

/// What a text may ask for before it is refused. Its length is limited by its reader.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How deep arrays and objects may nest.
    pub depth: usize,
    /// How many values there may be in all. One of three bytes takes ten times as much memory when it was read.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: MAX_DEPTH, values: usize::MAX }
    }
}

/// Reads one value that fills `text` but for white space.
///
/// # Errors
/// The place and the kind of the first thing that is not JSON, or that passes a limit.
pub fn parse(text: &[u8], limits: Limits) -> Result<Value, Error> {
    let mut reader = Reader::new(text, limits);
    let value = reader.value()?;
    reader.white_space();
    if reader.at < text.len() { Err(reader.error(ErrorKind::Trailing)) } else { Ok(value) }
}

/// Reads the value that `text` begins with, and returns how many bytes it took.
///
/// # Errors
/// As [`parse`]; [`ErrorKind::End`] means that more text could complete the value.
pub fn parse_prefix(text: &[u8], limits: Limits) -> Result<(Value, usize), Error> {
    let mut reader = Reader::new(text, limits);
    let value = reader.value()?;
    Ok((value, reader.at))
}

/// Where and why a text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// Bytes before the offending one.
    pub offset: usize,
    /// What is wrong there.
    pub kind: ErrorKind,
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text ends inside a value.
    End,
    /// A byte that cannot stand here.
    Unexpected,
    /// A number that is not one.
    Number,
    /// A `\` followed by something else than an escape, or half a surrogate pair.
    Escape,
    /// Arrays and objects nest deeper than the limit.
    Depth,
    /// There are more values than the limit.
    Values,
    /// Something follows the value.
    Trailing,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ErrorKind::End => "text ends inside a value",
            ErrorKind::Unexpected => "unexpected character",
            ErrorKind::Number => "malformed number",
            ErrorKind::Escape => "malformed escape sequence",
            ErrorKind::Depth => "nested too deeply",
            ErrorKind::Values => "too many values",
            ErrorKind::Trailing => "something follows the value",
        };
        write!(f, "{what} at byte {}", self.offset)
    }
}

impl std::error::Error for Error {}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    depth_left: usize,
    values_left: usize,
}

impl<'t> Reader<'t> {
    fn new(text: &'t [u8], limits: Limits) -> Self {
        Self { text, at: 0, depth_left: limits.depth, values_left: limits.values }
    }

    fn value(&mut self) -> Result<Value, Error> {
        self.white_space();
        self.values_left = self.values_left.checked_sub(1).ok_or_else(|| self.error(ErrorKind::Values))?;
        match self.peek()? {
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b'"' => Ok(Value::Str(self.string()?)),
            b'-' | b'0'..=b'9' => self.number(),
            b'n' => self.word(b"null", Value::Null),
            b't' => self.word(b"true", Value::Bool(true)),
            b'f' => self.word(b"false", Value::Bool(false)),
            _ => Err(self.error(ErrorKind::Unexpected)),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, Error>) -> Result<Value, Error> {
        self.depth_left = self.depth_left.checked_sub(1).ok_or_else(|| self.error(ErrorKind::Depth))?;
        self.at += 1;
        let value = read(self)?;
        self.depth_left += 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Value, Error> {
        let mut members = Vec::new();
        if self.closes(b'}')? {
            return Ok(Value::Object(members));
        }
        loop {
            self.white_space();
            if self.peek()? != b'"' {
                return Err(self.error(ErrorKind::Unexpected));
            }
            let key = self.string()?;
            self.white_space();
            if self.peek()? != b':' {
                return Err(self.error(ErrorKind::Unexpected));
            }
            self.at += 1;
            members.push((key, self.value()?));
            if !self.continues(b'}')? {
                return Ok(Value::Object(members));
            }
        }
    }

    fn array(&mut self) -> Result<Value, Error> {
        let mut elements = Vec::new();
        if self.closes(b']')? {
            return Ok(Value::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            if !self.continues(b']')? {
                return Ok(Value::Array(elements));
            }
        }
    }

    /// Right after the opening bracket: does the closing one follow?
    fn closes(&mut self, bracket: u8) -> Result<bool, Error> {
        self.white_space();
        let closes = self.peek()? == bracket;
        self.at += usize::from(closes);
        Ok(closes)
    }

    /// After an element: a comma (true) or the closing bracket (false).
    fn continues(&mut self, bracket: u8) -> Result<bool, Error> {
        self.white_space();
        let byte = self.peek()?;
        if byte != b',' && byte != bracket {
            return Err(self.error(ErrorKind::Unexpected));
        }
        self.at += 1;
        Ok(byte == b',')
    }

    fn string(&mut self) -> Result<Text, Error> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            let Some(plain) = rest.iter().position(|&byte| byte == b'"' || byte == b'\\') else {
                self.at = self.text.len();
                return Err(self.error(ErrorKind::End));
            };
            bytes.extend_from_slice(&rest[..plain]);
            self.at += plain + 1;
            if rest[plain] == b'"' {
                return Ok(bytes.into());
            }
            self.escape(&mut bytes)?;
        }
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), Error> {
        let byte = match self.peek()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                self.at += 1;
                let letter = self.letter()?;
                bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.error(ErrorKind::Escape)),
        };
        self.at += 1;
        bytes.push(byte);
        Ok(())
    }

    /// The four digits after `\u`, and those of the other half where they are half a surrogate pair.
    fn letter(&mut self) -> Result<char, Error> {
        let first = self.four_digits()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            for expected in [b'\\', b'u'] {
                if self.peek()? != expected {
                    return Err(self.error(ErrorKind::Escape));
                }
                self.at += 1;
            }
            let second = self.four_digits()?;
            if !(0xdc00..0xe000).contains(&second) {
                return Err(self.error(ErrorKind::Escape));
            }
            0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| self.error(ErrorKind::Escape))
    }

    fn four_digits(&mut self) -> Result<u32, Error> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = char::from(self.peek()?).to_digit(16).ok_or_else(|| self.error(ErrorKind::Escape))?;
            code = code << 4 | digit;
            self.at += 1;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<Value, Error> {
        let start = self.at;
        self.at += usize::from(self.text[start] == b'-');
        let first_digit = self.at;
        if self.digits()? > 1 && self.text[first_digit] == b'0' {
            return Err(self.error(ErrorKind::Number));
        }
        let mut whole = true;
        if self.text.get(self.at) == Some(&b'.') {
            whole = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            whole = false;
            self.at += 1;
            self.at += usize::from(matches!(self.text.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        // Only ASCII digits and signs were accepted.
        let text = std::str::from_utf8(&self.text[start..self.at]).unwrap_or_default();
        if whole && let Ok(number) = text.parse() {
            return Ok(Value::Int(number));
        }
        text.parse().map(Value::Float).map_err(|_| self.error(ErrorKind::Number))
    }

    /// Passes at least one digit and returns how many.
    fn digits(&mut self) -> Result<usize, Error> {
        let count = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            self.peek()?;
            return Err(self.error(ErrorKind::Number));
        }
        self.at += count;
        Ok(count)
    }

    fn word(&mut self, word: &[u8], value: Value) -> Result<Value, Error> {
        for &expected in word {
            if self.peek()? != expected {
                return Err(self.error(ErrorKind::Unexpected));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn white_space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    }

    fn peek(&self) -> Result<u8, Error> {
        self.text.get(self.at).copied().ok_or_else(|| self.error(ErrorKind::End))
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error { offset: self.at, kind }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8]) -> Result<Value, Error> {
        parse(text, Limits::default())
    }

    #[test]
    fn kinds_of_value() {
        for (text, value) in [
            (&b" null "[..], Value::Null),
            (b"true", Value::Bool(true)),
            (b"-0", Value::Int(0)),
            (b"9223372036854775807", Value::Int(i64::MAX)),
            (b"9223372036854775808", Value::Float(9_223_372_036_854_775_808.0)),
            (b"1.5e1", Value::Float(15.0)),
            (b"[]", Value::Array(vec![])),
            (b"{ }", Value::Object(vec![])),
            (b"[1 , \"x\"]", Value::array([Value::from(1), Value::from("x")])),
            (b"\"a\\\"b\\u00e9\\ud83d\\ude00\\/\"", Value::from("a\"b\u{e9}\u{1f600}/")),
            (b"\"\xff\n\"", Value::from(&b"\xff\n"[..])),
        ] {
            assert_eq!(read(text), Ok(value), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn what_is_not_json() {
        use ErrorKind::*;
        for (text, offset, kind) in [
            (&b""[..], 0, End),
            (b"not json", 1, Unexpected),
            (b"[1,", 3, End),
            (b"[1,]", 3, Unexpected),
            (b"{\"a\" 1}", 5, Unexpected),
            (b"{a:1}", 1, Unexpected),
            (b"{}x", 2, Trailing),
            (b"01", 2, Number),
            (b"1.x", 2, Number),
            (b"-", 1, End),
            (b"\"abc", 4, End),
            (b"\"\\x\"", 2, Escape),
            (b"\"\\udc00\"", 7, Escape),
            (b"\"\\ud800x\"", 7, Escape),
        ] {
            assert_eq!(read(text), Err(Error { offset, kind }), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn values_are_counted() {
        let limits = Limits { values: 4, ..Limits::default() };
        for fits in ["[1,2,3]", "[[],{\"a\":1}]", "{\"a\":{\"b\":{\"c\":0}}}"] {
            assert!(parse(fits.as_bytes(), limits).is_ok(), "{fits}");
        }
        assert_eq!(parse(b"[1,2,3,4]", limits), Err(Error { offset: 7, kind: ErrorKind::Values }));
        assert_eq!(parse_prefix(b"[1,2,3,4", limits).map_err(|cause| cause.kind), Err(ErrorKind::Values));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(read(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(read(&nested(MAX_DEPTH + 1)), Err(Error { offset: MAX_DEPTH, kind: ErrorKind::Depth }));
        // Brackets side by side are not deep.
        assert!(read(b"[[],[],[],{\"a\":[]},[[]]]").is_ok());
    }

    #[test]
    fn a_prefix_may_be_followed_by_anything() {
        assert_eq!(parse_prefix(b" {\"a\":1} tail", Limits::default()).map(|(_, used)| used), Ok(8));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<Vec<u8>>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::vec((any::<Vec<u8>>(), inner), 0..6).prop_map(Value::object),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(value in values()) {
            prop_assert_eq!(read(&value.to_compact()), Ok(value.clone()));
            let mut pretty = Vec::new();
            value.write_pretty(&mut pretty);
            prop_assert_eq!(read(&pretty), Ok(value));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
            if let Err(error) = read(&bytes) {
                prop_assert!(error.offset <= bytes.len());
            }
        }

        #[test]
        fn accepts_what_another_reader_accepts(text in "[\\[\\]{}\",:0-9eE.+\\-truefalsn\\\\ u]{0,24}") {
            if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
                prop_assert!(read(text.as_bytes()).is_ok(), "{}", text);
            } else if read(text.as_bytes()).is_ok() {
                // The only things refused there and taken here: numbers out of range.
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).unwrap_err().to_string().contains("range"));
            }
        }

        #[test]
        fn a_cut_text_wants_more(value in values(), cut in any::<prop::sample::Index>()) {
            let text = Value::Array(vec![value]).to_compact();
            let cut = cut.index(text.len());
            let error = read(&text[..cut]).unwrap_err();
            prop_assert_eq!(error.kind, ErrorKind::End);
        }
    }
}
