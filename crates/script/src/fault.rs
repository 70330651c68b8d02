//! Why an expression has no value.

use thiserror::Error;

use crate::value::MAX_STRING_BYTES;

/// Why an expression has no value.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    /// Arithmetic with something that has no value.
    #[error("an operand is NULL")]
    NullOperand,
    /// An operator for numbers between strings.
    #[error("an operand is not a number")]
    NotANumber,
    /// A number with a string.
    #[error("one operand is a number and the other a string")]
    MixedTypes,
    /// `&`, `|` or `^` of strings that are not equally long.
    #[error("the strings have different lengths")]
    Lengths,
    /// A pattern made at run time that is no regular expression, or takes too much.
    #[error("bad regular expression, or one that is too large")]
    BadPattern,
    /// More than [`MAX_STRING_BYTES`].
    #[error("the string is longer than {MAX_STRING_BYTES} bytes")]
    TooLong,
}
