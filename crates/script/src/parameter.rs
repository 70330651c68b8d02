//! The parameters of modules, set by `modparam`: one row says how each is written, what it takes, what holds without it,
//! what it is for, and whether it does anything. The check of a configuration, the module that reads the value, and the
//! documentation use the same row.

use std::fmt;

use crate::value::{Bytes, Value};

/// What is wrong with a value, if anything is.
type Check = fn(&Value) -> Result<(), String>;

/// A parameter of a module.
#[derive(Clone, Copy, Debug)]
pub struct ModParam {
    /// As it is written.
    pub name: &'static str,
    /// What it takes.
    pub kind: ModParamKind,
    /// What holds without it.
    pub default: ModParamDefault,
    /// What it is for, in a sentence or two.
    pub doc: &'static str,
    /// Why it is read without effect; `None` if it does something.
    pub idle: Option<&'static str>,
    check: Option<Check>,
    in_quotes: bool,
}

/// What a module parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModParamKind {
    /// A number in a range. `unit` is what is counted.
    Number {
        /// The lowest.
        least: i64,
        /// The highest.
        most: i64,
        /// What is counted, such as `seconds`; empty if nothing is.
        unit: &'static str,
    },
    /// 0 or 1, or a word such as `"no"`.
    Switch,
    /// A string in quotes.
    Text,
    /// A string in quotes that belongs to something with a name, which stands before it: `[name]text`.
    Keyed {
        /// What has the name, such as `domain`.
        key: &'static str,
    },
    /// A number or a string.
    NumberOrText,
}

/// What holds without a module parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModParamDefault {
    /// This number.
    Number(i64),
    /// Yes or no.
    Switch(bool),
    /// This text.
    Text(&'static str),
    /// No value. What happens then is said in words; empty if there is nothing to say.
    Unset(&'static str),
}

impl ModParam {
    /// A parameter that takes any number.
    pub const fn number(name: &'static str, default: i64, doc: &'static str) -> Self {
        let kind = ModParamKind::Number { least: i64::MIN, most: i64::MAX, unit: "" };
        Self::new(name, kind, ModParamDefault::Number(default), doc)
    }

    /// A parameter that is on or off.
    pub const fn switch(name: &'static str, default: bool, doc: &'static str) -> Self {
        Self::new(name, ModParamKind::Switch, ModParamDefault::Switch(default), doc)
    }

    /// A parameter that takes a string.
    pub const fn text(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self::new(name, ModParamKind::Text, ModParamDefault::Text(default), doc)
    }

    /// A parameter that takes a string for each `key`, which is named before it in brackets.
    pub const fn keyed(
        name: &'static str,
        key: &'static str,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self::new(name, ModParamKind::Keyed { key }, ModParamDefault::Text(default), doc)
    }

    /// A parameter that takes a number or a string, and has no value unless it is given.
    pub const fn number_or_text(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, ModParamKind::NumberOrText, ModParamDefault::Unset(""), doc)
    }

    const fn new(
        name: &'static str,
        kind: ModParamKind,
        default: ModParamDefault,
        doc: &'static str,
    ) -> Self {
        Self { name, kind, default, doc, idle: None, check: None, in_quotes: false }
    }

    /// The numbers from `least` to `most` of `unit` are possible.
    #[must_use]
    pub const fn within(mut self, least: i64, most: i64, unit: &'static str) -> Self {
        self.kind = ModParamKind::Number { least, most, unit };
        self
    }

    /// The number may also be written as a string, as it was in older versions of OpenSIPS.
    #[must_use]
    pub const fn in_quotes_too(mut self) -> Self {
        self.in_quotes = true;
        self
    }

    /// Without it there is no value; `words` say what happens then.
    #[must_use]
    pub const fn unset(mut self, words: &'static str) -> Self {
        self.default = ModParamDefault::Unset(words);
        self
    }

    /// A further check of a value that is of the right kind and range: the error says what would be right.
    #[must_use]
    pub const fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }

    /// It is read and checked, and nothing comes of it, for this reason.
    #[must_use]
    pub const fn without_effect(mut self, why: &'static str) -> Self {
        self.idle = Some(why);
        self
    }

    /// The text that holds without it; empty if there is none.
    pub const fn default_text(&self) -> &'static str {
        match self.default {
            ModParamDefault::Text(text) => text,
            _ => "",
        }
    }

    /// Checks a value.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn accepts(&self, value: &Value) -> Result<(), String> {
        match (self.kind, value) {
            (ModParamKind::Number { least, most, unit }, _) => {
                let number = if self.in_quotes { value.to_int() } else { int(value) };
                in_range(number.ok_or("takes a number")?, least, most, unit)?;
            }
            (ModParamKind::Text | ModParamKind::Keyed { .. }, Value::Int(_)) => {
                return Err("takes a string".to_owned());
            }
            (ModParamKind::Keyed { key }, _) => return self.accepts_keyed(key, value),
            (ModParamKind::Switch, _) if is_on(value).is_none() => return Err("takes 1 or 0".to_owned()),
            _ => {}
        }
        self.check.map_or(Ok(()), |check| check(value))
    }

    fn accepts_keyed(&self, key: &str, value: &Value) -> Result<(), String> {
        let shown = |value: &Value| value.to_bytes().unwrap_or_default().lossy().into_owned();
        let Some((of, value)) = split_keyed(value) else {
            let text = shown(value);
            return Err(format!("`{text}` names no {key}: write [{key}]{text}"));
        };
        let checked = self.check.map_or(Ok(()), |check| check(&value));
        checked.map_err(|problem| format!("[{}]: {problem}", shown(&of)))
    }
}

/// The name and the text in `[name]text`, both without blanks around them.
pub fn split_keyed(value: &Value) -> Option<(Value, Value)> {
    let rest = value.as_str()?.strip_prefix(b"[")?;
    let end = rest.iter().position(|byte| *byte == b']')?;
    let part = |text: &[u8]| Value::Str(Bytes::new(text.trim_ascii()));
    Some((part(&rest[..end]), part(&rest[end + 1..])))
}

fn int(value: &Value) -> Option<i64> {
    if let Value::Int(number) = value { Some(*number) } else { None }
}

fn in_range(number: i64, least: i64, most: i64, unit: &str) -> Result<(), String> {
    let unit = if unit.is_empty() { "" } else { &format!(" {unit}") };
    match number {
        _ if (least..=most).contains(&number) => Ok(()),
        _ if most == i64::MAX => Err(format!("{number} is out of range: give {least}{unit} or more")),
        _ => Err(format!("{number} is out of range: give {least} to {most}{unit}")),
    }
}

/// What a value says to a switch: a number but 0 is on. `None` for a word that is neither.
pub fn is_on(value: &Value) -> Option<bool> {
    match value {
        Value::Int(number) => Some(*number != 0),
        Value::Str(word) => match word.to_ascii_lowercase().as_slice() {
            b"1" | b"yes" | b"true" | b"on" => Some(true),
            b"0" | b"no" | b"false" | b"off" => Some(false),
            _ => None,
        },
        Value::Null => None,
    }
}

impl fmt::Display for ModParamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { least: i64::MIN, most: i64::MAX, .. } => f.write_str("number"),
            Self::Number { least, most, unit } => {
                f.write_str(if unit.is_empty() { "number" } else { unit })?;
                match *most {
                    i64::MAX => write!(f, ", {least} or more"),
                    most => write!(f, ", {least} to {most}"),
                }
            }
            Self::Switch => f.write_str("1 or 0"),
            Self::Text => f.write_str("string"),
            Self::Keyed { key } => write!(f, "string with [{key}] before it"),
            Self::NumberOrText => f.write_str("number or string"),
        }
    }
}

impl fmt::Display for ModParamDefault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Switch(on) => f.write_str(if *on { "1" } else { "0" }),
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Unset(words) => f.write_str(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOPS: ModParam = ModParam::number("hops", 70, "Hops.").within(1, 256, "hops");

    #[test]
    fn values_out_of_range_are_refused_with_the_range() {
        assert_eq!(HOPS.accepts(&Value::Int(256)), Ok(()));
        assert_eq!(HOPS.accepts(&Value::Int(0)), Err("0 is out of range: give 1 to 256 hops".to_owned()));
        let open = ModParam::number("n", 0, "N.").within(0, i64::MAX, "");
        assert_eq!(open.accepts(&Value::Int(-1)), Err("-1 is out of range: give 0 or more".to_owned()));
        assert_eq!(
            (HOPS.kind.to_string().as_str(), open.kind.to_string().as_str()),
            ("hops, 1 to 256", "number, 0 or more")
        );
    }

    #[test]
    fn values_of_another_kind_are_refused() {
        assert_eq!(HOPS.accepts(&Value::str("7")), Err("takes a number".to_owned()));
        assert_eq!(ModParam::text("t", "", "T.").accepts(&Value::Int(7)), Err("takes a string".to_owned()));
        let quoted = HOPS.in_quotes_too();
        assert_eq!((quoted.accepts(&Value::str("7")), quoted.accepts(&Value::Int(7))), (Ok(()), Ok(())));
        assert!(quoted.accepts(&Value::str("0")).is_err() && quoted.accepts(&Value::str("x")).is_err());
        let odd = ModParam::text("t", "", "T.").check(|_| Err("is odd".to_owned()));
        assert_eq!(odd.accepts(&Value::str("x")), Err("is odd".to_owned()));
        let keyed = ModParam::keyed("k", "domain", "", "K.").check(|_| Err("is odd".to_owned()));
        assert_eq!(keyed.accepts(&Value::str("[ a ] x")), Err("[a]: is odd".to_owned()));
        assert_eq!(keyed.accepts(&Value::str("x")), Err("`x` names no domain: write [domain]x".to_owned()));
        assert_eq!(ModParam::number_or_text("e", "E.").accepts(&Value::Int(7)), Ok(()));
    }

    #[test]
    fn switches_are_numbers_or_words() {
        let switch = ModParam::switch("s", false, "S.");
        for (value, on) in [(Value::Int(0), false), (Value::Int(2), true), (Value::str("No"), false)] {
            assert_eq!((switch.accepts(&value), is_on(&value)), (Ok(()), Some(on)), "{value:?}");
        }
        assert_eq!(switch.accepts(&Value::str("maybe")), Err("takes 1 or 0".to_owned()));
    }
}
