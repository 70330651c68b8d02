//! What a transformation is declared as: one row says how it is written, what it is for and what it does.

use std::fmt;

use super::given::Given;
use crate::value::Value;

/// A transformation, `{class.name,arguments}` (manual, "Script Transformations").
pub struct Transformation {
    /// The full name, such as `s.substr`; letters of either case are taken.
    pub name: &'static str,
    /// What follows the commas.
    pub parameters: &'static [Parameter],
    /// What it gives, in a sentence or two.
    pub doc: &'static str,
    pub(super) effect: Effect,
}

/// What may follow one comma of a transformation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// For messages and documents.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// It may be left out.
    pub optional: bool,
}

/// What one argument of a transformation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number, or a variable that holds one.
    Number,
    /// A number that is written down.
    FixedNumber,
    /// A length: a number above 0 or 0, or a variable that holds one.
    Length,
    /// Text up to the next comma, or a variable.
    Text,
    /// Text that is written down.
    FixedText,
    /// The one byte after the comma, whatever it is.
    Separator,
    /// A number that counts, or text that names; or a variable that holds either.
    NumberOrText,
    /// `ADDRESS/BITS`, or a variable that holds it.
    Network,
    /// `/expression/replacement/flags`, or a variable that holds it.
    Substitution,
}

/// What a transformation does. A NULL goes through all of them as it is.
#[derive(Clone, Copy)]
pub(super) enum Effect {
    /// Makes something of the text.
    Text(fn(&[u8]) -> Value),
    /// Tells numbers from text.
    Value(fn(Value) -> Value),
    /// Makes something of the text and the arguments.
    With(fn(&[u8], &[Given]) -> Value),
    /// The same; a number may stand in the name, as in `{nameaddr.1.uri}`.
    Nth(fn(&[u8], i64, &[Given]) -> Value),
    /// The number that the text starts with, to calculate with; printed, it is the text.
    LeadingNumber,
    /// Reads the text as a format string.
    Format,
    /// Replaces what matches a regular expression.
    Substitute,
    /// Asks the host for the address of a name.
    Resolve,
}

impl Transformation {
    pub(super) const fn text(name: &'static str, make: fn(&[u8]) -> Value, doc: &'static str) -> Self {
        Self { name, parameters: &[], doc, effect: Effect::Text(make) }
    }

    pub(super) const fn value(name: &'static str, make: fn(Value) -> Value, doc: &'static str) -> Self {
        Self { name, parameters: &[], doc, effect: Effect::Value(make) }
    }

    pub(super) const fn with(
        name: &'static str,
        parameters: &'static [Parameter],
        make: fn(&[u8], &[Given]) -> Value,
        doc: &'static str,
    ) -> Self {
        Self { name, parameters, doc, effect: Effect::With(make) }
    }

    /// How it is written: `{s.substr,offset,length}`.
    pub fn usage(&self) -> impl fmt::Display + use<> {
        Usage { name: self.name, parameters: self.parameters, nth: self.takes_index() }
    }

    /// Whether a number may stand in its name.
    pub(super) fn takes_index(&self) -> bool {
        matches!(self.effect, Effect::Nth(_))
    }
}

impl fmt::Debug for Transformation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transformation").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Parameter {
    pub(super) const fn required(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, optional: false }
    }

    pub(super) const fn optional(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, optional: true }
    }
}

impl Kind {
    /// Whether a variable may stand there.
    pub fn takes_variables(self) -> bool {
        !matches!(self, Self::FixedNumber | Self::FixedText | Self::Separator)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "number",
            Self::FixedNumber => "number, no variable",
            Self::Length => "length",
            Self::Text => "text",
            Self::FixedText => "text, no variable",
            Self::Separator => "one character",
            Self::NumberOrText => "number or text",
            Self::Network => "ADDRESS/BITS",
            Self::Substitution => "/expression/replacement/flags",
        })
    }
}

struct Usage {
    name: &'static str,
    parameters: &'static [Parameter],
    nth: bool,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.split_once('.').filter(|_| self.nth) {
            Some((class, rest)) => write!(f, "{{{class}[.index].{rest}")?,
            None => write!(f, "{{{}", self.name)?,
        }
        for parameter in self.parameters {
            let (open, close) = if parameter.optional { ("[", "]") } else { ("", "") };
            write!(f, "{open},{}{close}", parameter.name)?;
        }
        f.write_str("}")
    }
}
