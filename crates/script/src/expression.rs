//! Values, conditions and format strings as the machine evaluates them.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use regex::bytes::Regex;
use thiserror::Error;

use crate::call::Host;
use crate::operator::Binary;
use crate::value::{Bytes, MAX_STRING_BYTES, Value};
use crate::variable::Bound;

/// Why an expression has no value.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    /// `/` or `%` with 0 on the right.
    #[error("division by zero")]
    DivisionByZero,
    /// Arithmetic with something that has no value.
    #[error("an operand is NULL")]
    NullOperand,
    /// Arithmetic with a string that is no number.
    #[error("an operand is not a number")]
    NotANumber,
    /// A pattern made at run time that is no regular expression, or takes too much.
    #[error("bad regular expression, or one that is too large")]
    BadPattern,
    /// More than [`MAX_STRING_BYTES`].
    #[error("the string is longer than {MAX_STRING_BYTES} bytes")]
    TooLong,
}

/// An expression whose names are resolved and whose constants are folded.
pub enum Expr<C> {
    /// Known when the script was loaded.
    Const(Value),
    /// A variable.
    Variable(Rc<Bound<C>>),
    /// A string with variables in it.
    Format(Box<[Part<C>]>),
    /// `!`
    Not(Box<Self>),
    /// `~`
    Complement(Box<Self>),
    /// Any operator with two sides but the matches.
    Binary(Operator, Box<(Self, Self)>),
    /// `=~` and `!~`.
    Match {
        /// What is looked at.
        subject: Box<Self>,
        /// What it should look like.
        pattern: Pattern<C>,
        /// `!~`
        negated: bool,
    },
}

/// An operator of [`Expr::Binary`]; the language's own list is the parser's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator(pub(crate) Binary);

/// A piece of a format string.
pub enum Part<C> {
    /// Text as it stands.
    Text(Bytes),
    /// A variable to print; `<null>` if it has no value.
    Variable(Rc<Bound<C>>),
}

/// The right side of a match.
pub enum Pattern<C> {
    /// Compiled when the script was loaded.
    Fixed(Regex),
    /// Made at run time, and kept for a while.
    Dynamic(Box<Expr<C>>),
}

impl<C: Host> Expr<C> {
    /// The value if it is known when the script is loaded.
    pub(crate) fn constant(&self) -> Option<&Value> {
        match self {
            Self::Const(value) => Some(value),
            _ => None,
        }
    }

    /// The value now.
    ///
    /// # Errors
    /// A [`Fault`] of arithmetic or of a pattern.
    pub fn value(&self, host: &mut C) -> Result<Cow<'_, Value>, Fault> {
        match self {
            Self::Const(value) => Ok(Cow::Borrowed(value)),
            Self::Variable(bound) => Ok(Cow::Owned(bound.read(host))),
            Self::Format(parts) => print(parts, host).map(Cow::Owned),
            Self::Complement(inner) => complement(&*inner.value(host)?).map(Cow::Owned),
            Self::Binary(Operator(operator), sides) if is_arithmetic(*operator) => {
                let left = sides.0.value(host)?;
                let right = sides.1.value(host)?;
                arithmetic(*operator, &left, &right).map(Cow::Owned)
            }
            _ => Ok(Cow::Owned(Value::from(self.truth(host)?))),
        }
    }

    /// What a condition makes of it.
    ///
    /// # Errors
    /// A [`Fault`] of arithmetic or of a pattern.
    pub fn truth(&self, host: &mut C) -> Result<bool, Fault> {
        match self {
            Self::Not(inner) => Ok(!inner.truth(host)?),
            Self::Match { subject, pattern, negated } => {
                let subject = subject.value(host)?;
                Ok(matches(&subject, pattern, host)? != *negated)
            }
            Self::Binary(Operator(Binary::And), sides) => Ok(sides.0.truth(host)? && sides.1.truth(host)?),
            Self::Binary(Operator(Binary::Or), sides) => Ok(sides.0.truth(host)? || sides.1.truth(host)?),
            Self::Binary(Operator(operator), sides) if !is_arithmetic(*operator) => {
                let left = sides.0.value(host)?;
                let right = sides.1.value(host)?;
                Ok(compare(*operator, &left, &right))
            }
            _ => Ok(self.value(host)?.is_true()),
        }
    }
}

/// Whether an operator makes a value rather than a truth.
pub(crate) fn is_arithmetic(operator: Binary) -> bool {
    use Binary::{Add, BitAnd, BitOr, BitXor, Divide, Modulo, Multiply, ShiftLeft, ShiftRight, Subtract};
    matches!(
        operator,
        Add | Subtract | Multiply | Divide | Modulo | BitOr | BitAnd | BitXor | ShiftLeft | ShiftRight
    )
}

/// Joins strings, or calculates; results wrap at 32 bits, the size of a script's integers (manual, "Script Syntax").
pub(crate) fn arithmetic(operator: Binary, left: &Value, right: &Value) -> Result<Value, Fault> {
    if operator == Binary::Add && !matches!((left, right), (Value::Int(_), Value::Int(_))) {
        return join(left, right);
    }
    let left = number(left)?;
    let right = number(right)?;
    let result = match operator {
        Binary::Add => left.wrapping_add(right),
        Binary::Subtract => left.wrapping_sub(right),
        Binary::Multiply => left.wrapping_mul(right),
        Binary::Divide if right == 0 => return Err(Fault::DivisionByZero),
        Binary::Divide => left.wrapping_div(right),
        Binary::Modulo if right == 0 => return Err(Fault::DivisionByZero),
        Binary::Modulo => left.wrapping_rem(right),
        Binary::BitOr => left | right,
        Binary::BitAnd => left & right,
        Binary::BitXor => left ^ right,
        Binary::ShiftLeft => i64::from(narrow(left).wrapping_shl(right as u32)),
        Binary::ShiftRight => i64::from(narrow(left).wrapping_shr(right as u32)),
        _ => return Ok(Value::from(compare(operator, &Value::Int(left), &Value::Int(right)))),
    };
    Ok(Value::Int(i64::from(narrow(result))))
}

/// `~`
pub(crate) fn complement(value: &Value) -> Result<Value, Fault> {
    Ok(Value::Int(i64::from(narrow(!number(value)?))))
}

/// `==` and its kin. A number and a string are equal if the string is the number's decimal text; an order there is
/// between two numbers (or strings that are) and between two strings, and none with NULL.
pub(crate) fn compare(operator: Binary, left: &Value, right: &Value) -> bool {
    let order = match (left, right) {
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        (Value::Null, _) | (_, Value::Null) => None,
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Str(left), Value::Str(right)) if matches!(operator, Binary::Equal | Binary::Unequal) => {
            (left == right).then_some(Ordering::Equal)
        }
        (Value::Str(left), Value::Str(right)) => {
            match (crate::value::decimal(left), crate::value::decimal(right)) {
                (Some(left), Some(right)) => Some(left.cmp(&right)),
                _ => Some(left.cmp(right)),
            }
        }
        (Value::Int(number), Value::Str(text)) => crate::value::decimal(text).map(|other| number.cmp(&other)),
        (Value::Str(text), Value::Int(number)) => crate::value::decimal(text).map(|other| other.cmp(number)),
    };
    let equal_text = || match (left, right) {
        (Value::Int(number), Value::Str(text)) | (Value::Str(text), Value::Int(number)) => {
            itoa::Buffer::new().format(*number).as_bytes() == &**text
        }
        _ => order == Some(Ordering::Equal),
    };
    match operator {
        Binary::Equal => equal_text(),
        Binary::Unequal => !equal_text(),
        Binary::Less => order == Some(Ordering::Less),
        Binary::LessEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Binary::Greater => order == Some(Ordering::Greater),
        Binary::GreaterEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        _ => false,
    }
}

fn join(left: &Value, right: &Value) -> Result<Value, Fault> {
    if left.is_null() || right.is_null() {
        return Err(Fault::NullOperand);
    }
    let mut text = Vec::new();
    left.append_to(&mut text);
    right.append_to(&mut text);
    string(&text)
}

fn string(text: &[u8]) -> Result<Value, Fault> {
    if text.len() > MAX_STRING_BYTES { Err(Fault::TooLong) } else { Ok(Value::Str(Bytes::new(text))) }
}

fn number(value: &Value) -> Result<i64, Fault> {
    match value {
        Value::Null => Err(Fault::NullOperand),
        _ => value.to_int().ok_or(Fault::NotANumber),
    }
}

fn narrow(number: i64) -> i32 {
    number as i32
}

fn print<C: Host>(parts: &[Part<C>], host: &mut C) -> Result<Value, Fault> {
    let mut out = host.vars().take_scratch();
    let mut result = Ok(());
    for part in parts {
        match part {
            Part::Text(text) => out.extend_from_slice(text),
            Part::Variable(bound) => bound.print(host, &mut out),
        }
        if out.len() > MAX_STRING_BYTES {
            result = Err(Fault::TooLong);
            break;
        }
    }
    let value = result.map(|()| Value::Str(Bytes::new(&out)));
    host.vars().give_back(out);
    value
}

/// Nothing matches no value.
fn matches<C: Host>(subject: &Value, pattern: &Pattern<C>, host: &mut C) -> Result<bool, Fault> {
    let mut digits = itoa::Buffer::new();
    let text = match subject {
        Value::Null => return Ok(false),
        Value::Int(number) => digits.format(*number).as_bytes(),
        Value::Str(text) => text,
    };
    match pattern {
        Pattern::Fixed(regex) => Ok(regex.is_match(text)),
        Pattern::Dynamic(pattern) => {
            let pattern = pattern.value(host)?.to_bytes().ok_or(Fault::NullOperand)?;
            let regex = host.vars().pattern(&pattern).ok_or(Fault::BadPattern)?;
            Ok(regex.is_match(text))
        }
    }
}
