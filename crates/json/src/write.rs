//! Printing, byte for byte as management clients and event subscribers know it.

use std::io::Write as _;

use crate::Value;

/// Appends `bytes` as a JSON string with its quotes.
///
/// `"` and `\` are escaped, bytes below 0x20 become `\b \t \n \f \r` or `\u00xx` in lower case; every other byte, `/`,
/// 0x7f and what is not valid UTF-8 included, is copied as it is.
pub fn write_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            _ => {
                let low = b"0123456789abcdef"[usize::from(byte & 0xf)];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), low]);
            }
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

/// Appends `number` in decimal.
pub fn write_integer(number: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

impl Value {
    /// Appends the value without any white space.
    pub fn write_compact(&self, out: &mut Vec<u8>) {
        match self {
            Self::Array(elements) => {
                out.push(b'[');
                for (n, element) in elements.iter().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    element.write_compact(out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (n, (key, value)) in members.iter().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    write_string(key, out);
                    out.push(b':');
                    value.write_compact(out);
                }
                out.push(b'}');
            }
            leaf => leaf.write_leaf(out),
        }
    }

    /// Appends the value as `pretty_printing` shows it: one member a line, indented by tabs, a tab after the colon;
    /// the elements of an array on one line. No newline at the end.
    pub fn write_pretty(&self, out: &mut Vec<u8>) {
        self.write_indented(0, out);
    }

    /// The value in compact form, for logs and tests.
    pub fn to_compact(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_compact(&mut out);
        out
    }

    /// An array counts as a level of its own, though its elements stay on its line.
    fn write_indented(&self, depth: usize, out: &mut Vec<u8>) {
        match self {
            Self::Array(elements) => {
                out.push(b'[');
                for (n, element) in elements.iter().enumerate() {
                    if n > 0 {
                        out.extend_from_slice(b", ");
                    }
                    element.write_indented(depth + 1, out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.extend_from_slice(b"{\n");
                for (n, (key, value)) in members.iter().enumerate() {
                    if n > 0 {
                        out.extend_from_slice(b",\n");
                    }
                    tabs(depth + 1, out);
                    write_string(key, out);
                    out.extend_from_slice(b":\t");
                    value.write_indented(depth + 1, out);
                }
                if !members.is_empty() {
                    out.push(b'\n');
                }
                tabs(depth, out);
                out.push(b'}');
            }
            leaf => leaf.write_leaf(out),
        }
    }

    fn write_leaf(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Int(number) => write_integer(*number, out),
            Self::Float(number) => write_float(*number, out),
            Self::Str(text) => write_string(text, out),
            Self::Null | Self::Array(_) | Self::Object(_) => out.extend_from_slice(b"null"),
        }
    }
}

/// The shortest text that reads back as the same number; with an exponent where plain digits would run long.
fn write_float(number: f64, out: &mut Vec<u8>) {
    let size = number.abs();
    let written = if !number.is_finite() {
        out.write_all(b"null")
    } else if size == 0.0 || (1e-5..1e17).contains(&size) {
        write!(out, "{number}")
    } else {
        write!(out, "{number:e}")
    };
    // Writing into a vector cannot fail.
    debug_assert!(written.is_ok());
}

fn tabs(count: usize, out: &mut Vec<u8>) {
    out.resize(out.len() + count, b'\t');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_string(bytes, &mut out);
        out
    }

    #[test]
    fn every_control_character() {
        let mut bytes: Vec<u8> = (1..0x20).collect();
        bytes.push(0x7f);
        let expected = b"\"\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e\\u000f\\u0010\
            \\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\\u0018\\u0019\\u001a\\u001b\\u001c\\u001d\\u001e\\u001f\x7f\"";
        assert_eq!(string(&bytes), expected);
        assert_eq!(string(b"\0"), b"\"\\u0000\"");
    }

    #[test]
    fn other_bytes_pass_as_they_are() {
        assert_eq!(string(b"a\xff\xfe\x80z\xc3("), b"\"a\xff\xfe\x80z\xc3(\"");
        assert_eq!(string(b"a\"b\\c/d"), b"\"a\\\"b\\\\c/d\"");
        assert_eq!(string(b""), b"\"\"");
    }

    #[test]
    fn pretty_form_of_a_subscriber_list() {
        let list = Value::object([
            ("jsonrpc", Value::from("2.0")),
            (
                "result",
                Value::object([(
                    "Events",
                    Value::array([Value::object([
                        ("name", Value::from("E_TEST")),
                        ("id", Value::from(6)),
                        (
                            "Subscribers",
                            Value::array([Value::object([
                                ("socket", Value::from("udp:127.0.0.1:22291")),
                                ("expire", Value::from("never")),
                            ])]),
                        ),
                    ])]),
                )]),
            ),
            ("id", Value::from(1)),
        ]);
        let mut out = Vec::new();
        list.write_pretty(&mut out);
        let expected = "{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"result\":\t{\n\t\t\"Events\":\t[{\n\t\t\t\t\"name\":\t\"E_TEST\",\n\
            \t\t\t\t\"id\":\t6,\n\t\t\t\t\"Subscribers\":\t[{\n\t\t\t\t\t\t\"socket\":\t\"udp:127.0.0.1:22291\",\n\
            \t\t\t\t\t\t\"expire\":\t\"never\"\n\t\t\t\t\t}]\n\t\t\t}]\n\t},\n\t\"id\":\t1\n}";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn numbers() {
        for (value, text) in [
            (Value::Int(i64::MIN), "-9223372036854775808"),
            (Value::Float(1.5), "1.5"),
            (Value::Float(0.0), "0"),
            (Value::Float(1e300), "1e300"),
            (Value::Float(-2.5e-9), "-2.5e-9"),
            (Value::Float(f64::INFINITY), "null"),
        ] {
            assert_eq!(value.to_compact(), text.as_bytes());
        }
    }
}
