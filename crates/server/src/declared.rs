//! What a configuration can name, declared once: a row says how a parameter is written, what it takes, what holds without it,
//! what it is for and what it does. The language's names, the setters, the defaults, `tocsin doc` and the reference pages
//! come from these rows.

use std::borrow::Cow;
use std::fmt;

use tocsin_script::{Global, GlobalKind, GlobalValue};

/// A parameter of `T`, the settings that it is read into.
pub struct Declared<T: 'static> {
    /// As it is written.
    pub name: &'static str,
    /// Older spellings of the same.
    pub older: &'static [&'static str],
    /// What it takes.
    pub kind: Kind,
    /// What holds without it.
    pub default: DefaultValue,
    /// What it is for, in a sentence or two.
    pub doc: &'static str,
    /// What it does.
    pub effect: Effect<T>,
}

/// What a parameter does.
pub enum Effect<T: 'static> {
    /// It sets something. The value is of the declared kind and range; the error says what else is wrong with it.
    Sets(fn(&mut T, &GlobalValue) -> Result<(), String>),
    /// The language obeys it itself.
    Language,
    /// It is read and checked, and nothing comes of it. Says why.
    NoEffect(&'static str),
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number in a range. `unit` is what is counted.
    Number {
        /// The lowest.
        least: i64,
        /// The highest.
        most: i64,
        /// What is counted, such as `seconds`.
        unit: &'static str,
    },
    /// Any number.
    AnyNumber,
    /// A level of the log.
    LogLevel,
    /// Yes or no.
    Switch,
    /// A string.
    Text,
    /// The name or the number of a flag.
    Flag,
    /// An address to listen on, with options.
    Socket,
    /// A name of this server.
    Alias,
    /// How many processes, with an auto-scaling profile. The range is that of the number.
    Workers {
        /// The lowest number.
        least: u32,
        /// The highest number.
        most: u32,
    },
    /// An auto-scaling profile.
    Profile,
    /// The rest of the line, in the parameter's own grammar.
    Line,
}

/// What holds without a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// This number.
    Number(i64),
    /// Yes or no.
    Switch(bool),
    /// This text.
    Text(&'static str),
    /// No value. What happens then is said in words; empty if there is nothing to say.
    Unset(&'static str),
}

impl<T> Declared<T> {
    /// A parameter that does something.
    pub const fn new(
        name: &'static str,
        kind: Kind,
        default: DefaultValue,
        doc: &'static str,
        effect: Effect<T>,
    ) -> Self {
        Self { name, older: &[], kind, default, doc, effect }
    }

    /// A parameter that is read without effect, and why.
    pub const fn without_effect(
        name: &'static str,
        kind: Kind,
        doc: &'static str,
        why: &'static str,
    ) -> Self {
        Self::new(name, kind, DefaultValue::Unset(""), doc, Effect::NoEffect(why))
    }

    /// The same under `older` spellings, too.
    pub const fn older(mut self, older: &'static [&'static str]) -> Self {
        self.older = older;
        self
    }

    /// All its spellings, the current one first.
    pub fn spellings(&self) -> impl Iterator<Item = &'static str> + use<T> {
        std::iter::once(self.name).chain(self.older.iter().copied())
    }

    /// Whether it may be written as `name`.
    pub fn is_spelled(&self, name: &str) -> bool {
        self.spellings().any(|spelling| spelling == name)
    }

    /// As the language knows it, under each of its spellings.
    pub fn globals(&self) -> impl Iterator<Item = Global> + use<T> {
        let (kind, doc) = (self.kind.grammar(), self.doc);
        self.spellings().map(move |name| Global { name, kind, doc })
    }

    /// Puts `value` where it belongs.
    ///
    /// # Errors
    /// What is wrong with the value, and what would be right.
    pub fn apply(&self, settings: &mut T, value: &GlobalValue) -> Result<(), String> {
        match self.effect {
            Effect::Sets(set) => {
                self.kind.check(value)?;
                set(settings, value)
            }
            Effect::Language | Effect::NoEffect(_) => Ok(()),
        }
    }

    /// Why nothing comes of it; `None` if something does.
    pub fn idle_because(&self) -> Option<&'static str> {
        match self.effect {
            Effect::NoEffect(why) => Some(why),
            Effect::Sets(_) | Effect::Language => None,
        }
    }
}

impl<T> fmt::Debug for Declared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Declared").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Kind {
    /// A number from `least` to `most` of `unit`.
    pub const fn number(least: i64, most: i64, unit: &'static str) -> Self {
        Self::Number { least, most, unit }
    }

    /// How the language reads it.
    pub fn grammar(self) -> GlobalKind {
        match self {
            Self::Number { .. } | Self::AnyNumber | Self::LogLevel => GlobalKind::Int,
            Self::Switch => GlobalKind::Bool,
            Self::Text | Self::Flag => GlobalKind::Str,
            Self::Socket => GlobalKind::Socket,
            Self::Alias => GlobalKind::Alias,
            Self::Workers { .. } => GlobalKind::Workers,
            Self::Profile => GlobalKind::Profile,
            Self::Line => GlobalKind::Line,
        }
    }

    /// Checks the range of a number.
    fn check(self, value: &GlobalValue) -> Result<(), String> {
        let (number, least, most, unit) = match (self, value) {
            (Self::Number { least, most, unit }, GlobalValue::Int(number)) => (*number, least, most, unit),
            (Self::Workers { least, most }, GlobalValue::Workers { count, .. }) => {
                (i64::from(*count), i64::from(least), i64::from(most), "processes")
            }
            _ => return Ok(()),
        };
        match number {
            _ if (least..=most).contains(&number) => Ok(()),
            _ if most == i64::MAX => Err(format!("{number} is out of range: {unit} are {least} or more")),
            _ => Err(format!("{number} is out of range: {least} to {most} {unit} are possible")),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { least, most: i64::MAX, unit } => write!(f, "{unit}, {least} or more"),
            Self::Number { least, most, unit } => write!(f, "{unit}, {least} to {most}"),
            Self::Workers { least: 0, most: u32::MAX } => {
                f.write_str("processes [use_auto_scaling_profile NAME]")
            }
            Self::Workers { least, most } => {
                write!(f, "processes, {least} to {most} [use_auto_scaling_profile NAME]")
            }
            Self::AnyNumber => f.write_str("number"),
            Self::LogLevel => f.write_str("log level, -3 to 4"),
            Self::Switch => f.write_str("yes or no"),
            Self::Text => f.write_str("string"),
            Self::Flag => f.write_str("flag, by name or number"),
            Self::Socket => f.write_str("PROTOCOL:ADDRESS[:PORT[-PORT]] with options"),
            Self::Alias => f.write_str("[PROTOCOL:]NAME[:PORT] with options"),
            Self::Profile => f.write_str(
                "NAME scale up to N on P% for C cycles [within W] [scale down to N on P% for C cycles]",
            ),
            Self::Line => f.write_str("the rest of the line"),
        }
    }
}

impl DefaultValue {
    /// The value as a configuration would set it; `None` if there is none.
    pub fn value(self) -> Option<GlobalValue> {
        match self {
            Self::Number(number) => Some(GlobalValue::Int(number)),
            Self::Switch(truth) => Some(GlobalValue::Bool(truth)),
            Self::Text(text) => Some(GlobalValue::Str(text.into())),
            Self::Unset(_) => None,
        }
    }
}

impl fmt::Display for DefaultValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Switch(truth) => f.write_str(if *truth { "yes" } else { "no" }),
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Unset(words) => f.write_str(words),
        }
    }
}

/// Sets `place` to `value`, if there is one.
///
/// # Errors
/// That of `value`.
pub fn set<V>(place: &mut V, value: Result<V, String>) -> Result<(), String> {
    value.map(|value| *place = value)
}

/// The number that was given.
///
/// # Errors
/// It is none, or not one that `N` can hold.
pub fn number<N: TryFrom<i64>>(value: &GlobalValue) -> Result<N, String> {
    let given = match value {
        GlobalValue::Int(number) => *number,
        GlobalValue::Workers { count, .. } => i64::from(*count),
        _ => return Err("a number is needed".to_owned()),
    };
    N::try_from(given).map_err(|_| format!("{given} is out of range"))
}

/// Yes or no.
///
/// # Errors
/// It is neither.
pub fn truth(value: &GlobalValue) -> Result<bool, String> {
    match value {
        GlobalValue::Bool(truth) => Ok(*truth),
        _ => Err("yes or no is needed".to_owned()),
    }
}

/// The text that was given.
///
/// # Errors
/// It is none.
pub fn text(value: &GlobalValue) -> Result<Cow<'_, str>, String> {
    match value {
        GlobalValue::Str(text) => Ok(text.lossy()),
        _ => Err("a string is needed".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused_with_the_range() {
        let parameter = Declared::<i64>::new(
            "x",
            Kind::number(1, 5, "apples"),
            DefaultValue::Number(3),
            "",
            Effect::Sets(|place, value| set(place, number(value))),
        );
        let mut place = 3;
        assert_eq!(parameter.apply(&mut place, &GlobalValue::Int(5)), Ok(()));
        let problem = parameter.apply(&mut place, &GlobalValue::Int(6)).unwrap_err();
        assert_eq!(problem, "6 is out of range: 1 to 5 apples are possible");
        assert_eq!(place, 5);
        let open = Kind::number(0, i64::MAX, "microseconds").check(&GlobalValue::Int(-1));
        assert_eq!(open.unwrap_err(), "-1 is out of range: microseconds are 0 or more");
    }

    #[test]
    fn each_spelling_is_known_to_the_language() {
        let parameter = Declared::<()>::without_effect("new", Kind::Switch, "d", "w").older(&["old"]);
        let names: Vec<_> = parameter.globals().map(|global| (global.name, global.kind)).collect();
        assert_eq!(names, [("new", GlobalKind::Bool), ("old", GlobalKind::Bool)]);
        assert!(parameter.is_spelled("old") && !parameter.is_spelled("older"));
        assert_eq!(parameter.idle_because(), Some("w"));
    }
}
