//! The value tree and the ways to build one.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// One JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without fraction that fits 64 bits.
    Int(i64),
    /// Any other number. Printed as `null` when it is not finite.
    Float(f64),
    /// A string: bytes, not necessarily UTF-8.
    Str(Text),
    /// An array.
    Array(Vec<Value>),
    /// An object: its members in order. A key may occur twice; [`Value::member`] finds the first.
    Object(Vec<(Text, Value)>),
}

impl Value {
    /// An object of the given members, in the given order.
    pub fn object<K: Into<Text>>(members: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::Object(members.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// An array of the given elements.
    pub fn array<V: Into<Value>>(elements: impl IntoIterator<Item = V>) -> Self {
        Self::Array(elements.into_iter().map(Into::into).collect())
    }

    /// The first member called `key`; `None` also when this is not an object.
    pub fn member(&self, key: impl AsRef<[u8]>) -> Option<&Value> {
        let key = key.as_ref();
        match self {
            Self::Object(members) => {
                members.iter().find(|(name, _)| name.as_bytes() == key).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The bytes of a string; `None` for every other kind.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Str(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// The number with its fraction cut off and held within 64 bits; `None` when this is not a number.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            // `as` cuts the fraction, saturates, and makes NaN zero.
            Self::Float(number) => Some(*number as i64),
            _ => None,
        }
    }
}

macro_rules! value_from {
    ($($from:ty => $variant:ident),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from(from: $from) -> Self {
                Self::$variant(from.into())
            }
        })*
    };
}

value_from! {
    bool => Bool,
    i8 => Int, i16 => Int, i32 => Int, i64 => Int,
    u8 => Int, u16 => Int, u32 => Int,
    f32 => Float, f64 => Float,
    Text => Str, &'static str => Str, String => Str, &'static [u8] => Str, Vec<u8> => Str, Cow<'static, str> => Str,
}

/// Numbers beyond `i64::MAX` become floating point, as they do when parsed.
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or(Self::Float(number as f64), Self::Int)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::from(number as u64)
    }
}

impl From<Vec<Value>> for Value {
    fn from(elements: Vec<Value>) -> Self {
        Self::Array(elements)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(option: Option<T>) -> Self {
        option.map_or(Self::Null, Into::into)
    }
}

/// A byte string, either borrowed for ever or owned.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(Cow<'static, [u8]>);

impl Text {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        Self(Cow::Owned(bytes.to_vec()))
    }

    /// The bytes, owned.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_owned()
    }
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0[..] == *other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text.as_bytes()))
    }
}

impl From<&'static [u8]> for Text {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text.into_bytes()))
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Cow::Owned(bytes))
    }
}

impl From<Cow<'static, str>> for Text {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_two_members_counts() {
        let object = Value::object([("a", Value::from(1)), ("a", Value::from(2))]);
        assert_eq!(object.member("a"), Some(&Value::Int(1)));
        assert_eq!(object.member("b"), None);
        assert_eq!(Value::Null.member("a"), None);
    }

    #[test]
    fn integers_are_cut_and_held() {
        for (value, integer) in [
            (Value::Float(2.9), 2),
            (Value::Float(-2.9), -2),
            (Value::Float(1e300), i64::MAX),
            (Value::Float(f64::NAN), 0),
            (Value::Int(-5), -5),
        ] {
            assert_eq!(value.as_integer(), Some(integer));
        }
        assert_eq!(Value::from("5").as_integer(), None);
    }

    #[test]
    fn unsigned_numbers_beyond_the_signed_range_float() {
        assert_eq!(Value::from(u64::MAX), Value::Float(u64::MAX as f64));
        assert_eq!(Value::from(7_u64), Value::Int(7));
    }
}
