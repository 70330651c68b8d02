//! What a variable holds and a function takes: nothing, a number, or a string of bytes.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::rc::Rc;

/// A string made by a script has at most this many bytes.
pub const MAX_STRING_BYTES: usize = 1 << 20;

/// Strings up to this many bytes live in the value itself; longer ones are shared.
const INLINE_BYTES: usize = 22;

/// A byte string that is cheap to clone. It is not necessarily UTF-8: SIP bodies pass through scripts.
#[derive(Clone)]
pub struct Bytes(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE_BYTES] },
    Shared(Rc<[u8]>),
}

impl Bytes {
    /// The empty string.
    pub const EMPTY: Self = Self(Repr::Inline { len: 0, bytes: [0; INLINE_BYTES] });

    /// A copy of `text`; strings of up to 22 bytes take no allocation.
    pub fn new(text: &[u8]) -> Self {
        if text.len() > INLINE_BYTES {
            return Self(Repr::Shared(Rc::from(text)));
        }
        let mut bytes = [0; INLINE_BYTES];
        bytes[..text.len()].copy_from_slice(text);
        Self(Repr::Inline { len: text.len() as u8, bytes })
    }

    /// The decimal text of `number`.
    pub fn decimal(number: i64) -> Self {
        Self::new(itoa::Buffer::new().format(number).as_bytes())
    }

    /// The bytes themselves.
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Shared(bytes) => bytes,
        }
    }

    /// The text for a log line: bytes that are not UTF-8 are replaced.
    pub fn lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self)
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Borrow<[u8]> for Bytes {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl From<&[u8]> for Bytes {
    fn from(text: &[u8]) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes())
    }
}

impl From<String> for Bytes {
    fn from(text: String) -> Self {
        Self::from(text.into_bytes())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(text: Vec<u8>) -> Self {
        if text.len() > INLINE_BYTES { Self(Repr::Shared(Rc::from(text))) } else { Self::new(&text) }
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl PartialEq<[u8]> for Bytes {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Bytes {
    fn eq(&self, other: &&str) -> bool {
        **self == *other.as_bytes()
    }
}

impl PartialOrd for Bytes {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bytes {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for Bytes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

/// A value of the script: what variables hold, what operators combine, what functions are given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Value {
    /// No value: a variable that is not set, `NULL` in the script.
    #[default]
    Null,
    /// A number. Script arithmetic wraps at 32 bits as documented (manual, "Script Syntax", data types); a host
    /// may hand in larger ones.
    Int(i64),
    /// A string of bytes.
    Str(Bytes),
}

impl Value {
    /// A string value.
    pub fn str(text: impl Into<Bytes>) -> Self {
        Self::Str(text.into())
    }

    /// Whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// What a condition makes of it: a number other than 0, or a string that is not empty.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Int(number) => *number != 0,
            Self::Str(text) => !text.is_empty(),
        }
    }

    /// The number, also out of a string that is a decimal number as a whole.
    pub fn to_int(&self) -> Option<i64> {
        match self {
            Self::Null => None,
            Self::Int(number) => Some(*number),
            Self::Str(text) => decimal(text),
        }
    }

    /// The text, also of a number; nothing for [`Value::Null`].
    pub fn to_bytes(&self) -> Option<Bytes> {
        match self {
            Self::Null => None,
            Self::Int(number) => Some(Bytes::decimal(*number)),
            Self::Str(text) => Some(text.clone()),
        }
    }

    /// The bytes if this is a string.
    pub fn as_str(&self) -> Option<&[u8]> {
        match self {
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Appends what a format string prints for it: `<null>` when there is no value.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"<null>"),
            Self::Int(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
            Self::Str(text) => out.extend_from_slice(text),
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Int(i64::from(truth))
    }
}

impl From<Bytes> for Value {
    fn from(text: Bytes) -> Self {
        Self::Str(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}

/// Reads `[+-]digits` that take up all of `text`.
pub(crate) fn decimal(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut number: i64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        let digit = i64::from(digit - b'0');
        number = number.checked_mul(10)?;
        number = if negative { number.checked_sub(digit)? } else { number.checked_add(digit)? };
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_three_words() {
        assert_eq!(size_of::<Value>(), 24);
        assert_eq!(size_of::<Option<Value>>(), 24);
    }

    #[test]
    fn short_and_long_strings_read_back() {
        for len in [0, 1, 21, 22, 23, 1000] {
            let text = vec![b'x'; len];
            assert_eq!(Bytes::new(&text).as_slice(), &text[..]);
            assert_eq!(Bytes::from(text.clone()), Bytes::new(&text));
        }
    }

    #[test]
    fn decimals_are_whole_or_nothing() {
        assert_eq!(decimal(b"-12"), Some(-12));
        assert_eq!(decimal(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(decimal(b"-9223372036854775808"), Some(i64::MIN));
        for bad in ["", "-", "12a", " 1", "9223372036854775808"] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad}");
        }
    }
}
