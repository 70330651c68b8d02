//! Statistics as they are declared: rows, from which come the names that are registered, and the reference.

use std::fmt::Display;

/// A statistic, declared once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatRow {
    /// The group.
    pub group: &'static str,
    /// The name within the group. Angle brackets hold the place of what differs: `load-proc-<process>`.
    pub name: &'static str,
    /// What its value means.
    pub kind: StatKind,
    /// What it counts or measures, with its unit, in a sentence.
    pub doc: &'static str,
}

/// What the value of a statistic means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatKind {
    /// It only counts up, and can be reset.
    Counter,
    /// It is as large as what it measures at this moment, and cannot be reset.
    Value,
    /// The script makes it, of either kind.
    OfScript,
}

impl StatRow {
    /// A statistic that counts up.
    pub const fn counter(group: &'static str, name: &'static str, doc: &'static str) -> Self {
        Self { group, name, kind: StatKind::Counter, doc }
    }

    /// A statistic that is computed when it is asked for.
    pub const fn value(group: &'static str, name: &'static str, doc: &'static str) -> Self {
        Self { group, name, kind: StatKind::Value, doc }
    }

    /// A statistic that the script makes.
    pub const fn of_script(group: &'static str, name: &'static str, doc: &'static str) -> Self {
        Self { group, name, kind: StatKind::OfScript, doc }
    }

    /// The name with `what` in place of its angle brackets.
    pub fn of(&self, what: impl Display) -> String {
        let (head, rest) = self.name.split_once('<').unwrap_or((self.name, ""));
        let (_, tail) = rest.split_once('>').unwrap_or_default();
        format!("{head}{what}{tail}")
    }
}

impl Display for StatKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Value => "value",
            Self::OfScript => "as the script has it",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angle_brackets_are_filled() {
        let of = |name| StatRow::value("load", name, "").of(7);
        assert_eq!([of("load-proc-<process>"), of("<process>-used_size")], ["load-proc-7", "7-used_size"]);
    }
}
