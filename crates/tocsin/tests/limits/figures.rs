//! The figures in a text: `10,000`, `64 KiB`, `2 s`, `1/32`, `a quarter`, `85 %`.

use crate::constants::{Constant, Value};

/// A figure, and how it is written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Figure {
    pub(crate) text: String,
    amount: Amount,
}

#[derive(Debug, PartialEq, Eq)]
enum Amount {
    Count(u128),
    Bytes(u128),
    Milliseconds(u128),
    /// One part of so many.
    Share(u128),
    Percent(u128),
}

/// What a number is with a unit.
type WithUnit = fn(u128) -> Amount;

/// The units that follow a figure.
const UNITS: [(&str, WithUnit); 10] = [
    ("bytes", Amount::Bytes),
    ("KiB", |n| Amount::Bytes(n << 10)),
    ("MiB", |n| Amount::Bytes(n << 20)),
    ("GiB", |n| Amount::Bytes(n << 30)),
    ("ms", Amount::Milliseconds),
    ("s", |n| Amount::Milliseconds(n * 1_000)),
    ("min", |n| Amount::Milliseconds(n * 60_000)),
    ("h", |n| Amount::Milliseconds(n * 3_600_000)),
    ("hour", |n| Amount::Milliseconds(n * 3_600_000)),
    ("%", Amount::Percent),
];

/// Shares that are said in a word.
const SHARES: [(&str, u128); 3] = [("half", 2), ("quarter", 4), ("sixteenth", 16)];

impl Figure {
    /// Whether it is what the constant says. What an integer counts is in its name or its documentation.
    pub(crate) fn is(&self, constant: &Constant) -> bool {
        let named = |part: &str| constant.name.split('_').any(|word| word == part);
        match (constant.value, &self.amount) {
            (Value::Milliseconds(value), Amount::Milliseconds(amount)) => value == *amount,
            (Value::Integer(value), Amount::Milliseconds(amount)) if named("MS") => value == *amount,
            (Value::Integer(value), Amount::Milliseconds(amount)) => match constant.unit() {
                Some(unit) => value * unit == *amount,
                None => false,
            },
            (Value::Integer(value), Amount::Bytes(amount)) if named("MIB") => value << 20 == *amount,
            (Value::Integer(value), Amount::Share(amount)) => named("SHARE") && value == *amount,
            (Value::Integer(value), Amount::Percent(amount)) => named("PERCENT") && value == *amount,
            (Value::Integer(value), Amount::Count(amount) | Amount::Bytes(amount)) => {
                !named("SHARE") && !named("PERCENT") && value == *amount
            }
            _ => false,
        }
    }
}

/// The figures of a text, in order. What stands in code marks is none: it is a setting that changes the figure.
pub(crate) fn figures(text: &str) -> Vec<Figure> {
    let plain: String = text.split('`').step_by(2).collect::<Vec<_>>().join("` ");
    let text = plain.replace("no limit", "0");
    let words: Vec<&str> =
        text.split_whitespace().map(|word| word.trim_end_matches([',', ';', '.', ')'])).collect();
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let word = word.trim_start_matches('(');
        let next = words.get(at + 1).copied().unwrap_or_default();
        found.extend(share(word).or_else(|| number(word, next)));
    }
    found
}

fn share(word: &str) -> Option<Figure> {
    let said = SHARES.iter().find(|(name, _)| *name == word).map(|(_, parts)| *parts);
    let parts = said.or_else(|| integer(word.strip_prefix("1/").or_else(|| word.strip_suffix("th"))?))?;
    Some(Figure { text: word.to_owned(), amount: Amount::Share(parts) })
}

/// A number with the unit that follows; `/64` is the length of a prefix.
fn number(word: &str, next: &str) -> Option<Figure> {
    let value = integer(word.strip_prefix('/').unwrap_or(word))?;
    let unit = UNITS.iter().find(|(unit, _)| *unit == next);
    let text = unit.map_or_else(|| word.to_owned(), |(unit, _)| format!("{word} {unit}"));
    Some(Figure { text, amount: unit.map_or(Amount::Count(value), |(_, amount)| amount(value)) })
}

/// `10000`, or with a comma before each three digits.
fn integer(text: &str) -> Option<u128> {
    let mut groups = text.split(',');
    let first = groups.next()?;
    let rest: Vec<&str> = groups.collect();
    let is_number = |group: &str| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit());
    let fits = is_number(first)
        && rest.iter().all(|group| is_number(group) && group.len() == 3)
        && (rest.is_empty() || first.len() <= 3);
    fits.then(|| format!("{first}{}", rest.concat()).parse().ok())?
}

#[test]
fn figures_are_found_with_their_units() {
    let amounts = |text: &str| figures(text).into_iter().map(|figure| figure.amount).collect::<Vec<_>>();
    use Amount::{Bytes, Count, Milliseconds, Percent, Share};
    assert_eq!(amounts("10,000; 64 KiB, 3"), [Count(10_000), Bytes(65_536), Count(3)]);
    assert_eq!(amounts("2 s, `x_5`, up to 250 ms; 1 hour"), [2_000, 250, 3_600_000].map(Milliseconds));
    assert_eq!(
        amounts("1/32 of it, a quarter of `-M`; a 64th; 85 %"),
        [Share(32), Share(4), Share(64), Percent(85)]
    );
    assert_eq!(amounts("no limit, `tcp`; /64 (32 at least)"), [0, 64, 32].map(Count));
    assert_eq!(amounts("three times; 1,00; -M; 12th-most; IPv6"), []);
}
