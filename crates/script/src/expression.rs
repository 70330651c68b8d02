//! Values, conditions and format strings as the machine evaluates them.

use std::borrow::Cow;
use std::rc::Rc;

use regex::bytes::Regex;

use crate::arithmetic::{Right, arithmetic, compare, complement, is_arithmetic};
use crate::call::Host;
use crate::fault::Fault;
use crate::operator::Binary;
use crate::value::{Bytes, MAX_STRING_BYTES, Value};
use crate::variable::Bound;

/// An expression whose names are resolved and whose constants are folded.
pub enum Expr<C> {
    /// Known when the script was loaded.
    Const(Value),
    /// A variable.
    Variable(Rc<Bound<C>>),
    /// A string with variables in it.
    Format(Box<[Part<C>]>),
    /// What the call gave that was made for this expression before it; counted from the last one.
    Kept(u32),
    /// `[ $variable ]`: whether there is a value.
    Present(Rc<Bound<C>>),
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

    /// What it is on the right of an operator.
    pub(crate) fn as_right(&self) -> Right {
        if matches!(self, Self::Variable(_)) { Right::Variable } else { Right::Other }
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
            Self::Kept(from_last) => Ok(Cow::Owned(Value::Int(host.vars().run.kept(*from_last)))),
            Self::Complement(inner) => complement(&*inner.value(host)?).map(Cow::Owned),
            Self::Binary(Operator(operator), sides) if is_arithmetic(*operator) => {
                let left = sides.0.value(host)?;
                let right = sides.1.value(host)?;
                arithmetic(*operator, &left, &right, sides.1.as_right()).map(Cow::Owned)
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
            Self::Present(bound) => Ok(!bound.read(host).is_null()),
            Self::Match { subject, pattern, negated } => {
                let subject = subject.value(host)?;
                Ok(matches(&subject, pattern, host)? != *negated)
            }
            Self::Binary(Operator(Binary::And), sides) => Ok(sides.0.truth(host)? && sides.1.truth(host)?),
            Self::Binary(Operator(Binary::Or), sides) => Ok(sides.0.truth(host)? || sides.1.truth(host)?),
            Self::Binary(Operator(operator), sides) if !is_arithmetic(*operator) => {
                let left = sides.0.value(host)?;
                let right = sides.1.value(host)?;
                if let (Self::Variable(bound), Value::Str(_), Value::Int(_)) = (&sides.0, &*left, &*right)
                    && let Some(number) = bound.number(host)
                {
                    return Ok(compare(*operator, &Value::Int(number), &right, Right::Other));
                }
                Ok(compare(*operator, &left, &right, sides.1.as_right()))
            }
            _ => Ok(self.value(host)?.is_true()),
        }
    }
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

/// No value matches no value, and nothing else.
fn matches<C: Host>(subject: &Value, pattern: &Pattern<C>, host: &mut C) -> Result<bool, Fault> {
    let mut digits = itoa::Buffer::new();
    let text = match subject {
        Value::Null => return absent(pattern, host),
        Value::Int(number) => digits.format(*number).as_bytes(),
        Value::Str(text) => text,
    };
    match pattern {
        Pattern::Fixed(regex) => Ok(regex.is_match(text)),
        Pattern::Dynamic(pattern) => {
            let Some(pattern) = pattern.value(host)?.to_bytes() else { return Ok(false) };
            let regex = host.vars().pattern(&pattern).ok_or(Fault::BadPattern)?;
            Ok(regex.is_match(text))
        }
    }
}

fn absent<C: Host>(pattern: &Pattern<C>, host: &mut C) -> Result<bool, Fault> {
    match pattern {
        Pattern::Fixed(_) => Ok(false),
        Pattern::Dynamic(pattern) => Ok(pattern.value(host)?.is_null()),
    }
}
