//! What a transformation is given as arguments: read out of what is written when the script is loaded, out of what a
//! variable holds when it runs.

use super::network::Network;
use super::row::Kind;
use crate::value::{Bytes, MAX_STRING_BYTES, Value, decimal};

/// One argument. What was left out is not there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Given {
    /// A variable holds nothing, or nothing of this kind.
    Unusable,
    Number(i64),
    Text(Bytes),
    Byte(u8),
    Network(Network),
}

impl Given {
    /// What is written, without the white space around it.
    ///
    /// # Errors
    /// What would be right.
    pub(super) fn written(kind: Kind, text: &[u8]) -> Result<Self, &'static str> {
        match kind {
            Kind::Number | Kind::FixedNumber => {
                decimal(text).map(Self::Number).ok_or("a number or a variable is needed")
            }
            Kind::Length => match decimal(text) {
                Some(length) if (0..=MAX_STRING_BYTES as i64).contains(&length) => Ok(Self::Number(length)),
                _ => Err("a length or a variable is needed"),
            },
            _ => Ok(Self::held(kind, Value::str(text))),
        }
    }

    /// What a variable holds: text is no number, not even the text `1`.
    pub(super) fn held(kind: Kind, value: Value) -> Self {
        match (kind, value) {
            (_, Value::Null) => Self::Unusable,
            (Kind::Number | Kind::FixedNumber | Kind::Length | Kind::NumberOrText, Value::Int(number)) => {
                Self::Number(number)
            }
            (Kind::Number | Kind::FixedNumber | Kind::Length, Value::Str(_)) => Self::Unusable,
            (Kind::NumberOrText, Value::Str(text)) => match decimal(&text) {
                Some(number) => Self::Number(number),
                None => Self::Text(text),
            },
            (Kind::Network, Value::Str(text)) => Network::parse(&text).map_or(Self::Unusable, Self::Network),
            (Kind::Network, Value::Int(_)) => Self::Unusable,
            (_, value) => value.to_bytes().map_or(Self::Unusable, Self::Text),
        }
    }
}

/// The argument at `position` if it is a number.
pub(super) fn number(given: &[Given], position: usize) -> Option<i64> {
    match given.get(position) {
        Some(Given::Number(number)) => Some(*number),
        _ => None,
    }
}

/// The argument at `position` if it is text.
pub(super) fn text(given: &[Given], position: usize) -> Option<&[u8]> {
    match given.get(position) {
        Some(Given::Text(text)) => Some(text),
        _ => None,
    }
}

/// The element at `index` of `count`: from 0, or from -1 backwards.
pub(super) fn position(index: i64, count: usize) -> Option<usize> {
    match usize::try_from(index) {
        Ok(index) => Some(index).filter(|index| *index < count),
        Err(_) => usize::try_from(index.unsigned_abs()).ok().and_then(|back| count.checked_sub(back)),
    }
}
