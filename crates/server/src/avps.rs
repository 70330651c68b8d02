//! Attribute-value pairs: the variables that belong to a message and its transaction.
//!
//! One name may hold several values; the one assigned last comes first.

use tocsin_script::{Bytes, Value};

/// Values that one message may carry at the most; an assignment beyond it is refused.
pub const MAX_AVPS: usize = 1024;

/// Begins the names of values that belong to one branch; its number follows.
const OF_BRANCH: u8 = 0;

/// The pairs of one message, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Avps(Vec<(Bytes, Value)>);

impl Avps {
    /// Puts a value in front of the others of `name`. `false` when the limit is reached.
    pub fn push(&mut self, name: &[u8], value: Value) -> bool {
        let fits = self.0.len() < MAX_AVPS;
        if fits {
            self.0.push((Bytes::new(name), value));
        }
        fits
    }

    /// Puts a value behind the others of `name`. `false` when the limit is reached.
    pub fn append(&mut self, name: &[u8], value: Value) -> bool {
        let fits = self.0.len() < MAX_AVPS;
        if fits {
            self.0.insert(0, (Bytes::new(name), value));
        }
        fits
    }

    /// Replaces the value at `index`, counted from the newest. `false` when there is none.
    pub fn replace(&mut self, name: &[u8], index: usize, value: Value) -> bool {
        match self.0.iter_mut().rev().filter(|(n, _)| **n == *name).nth(index) {
            Some((_, old)) => {
                *old = value;
                true
            }
            None => false,
        }
    }

    /// Removes the newest value of `name`.
    pub fn pop(&mut self, name: &[u8]) {
        if let Some(at) = self.0.iter().rposition(|(n, _)| **n == *name) {
            self.0.remove(at);
        }
    }

    /// Removes the value at `index`, counted from the newest.
    pub fn remove(&mut self, name: &[u8], index: usize) {
        let found =
            self.0.iter().enumerate().rev().filter(|(_, (n, _))| **n == *name).nth(index).map(|(at, _)| at);
        if let Some(at) = found {
            self.0.remove(at);
        }
    }

    /// Removes every value of `name`.
    pub fn clear(&mut self, name: &[u8]) {
        self.0.retain(|(n, _)| **n != *name);
    }

    /// Removes values of any name: the newest that is wanted, or all. `false` when there is none. Those of branches stay.
    pub fn remove_where(&mut self, all: bool, wanted: impl Fn(&Value) -> bool) -> bool {
        let before = self.0.len();
        let is_wanted = |(name, value): &(Bytes, Value)| !is_of_branch(name) && wanted(value);
        if all {
            self.0.retain(|pair| !is_wanted(pair));
        } else if let Some(at) = self.0.iter().rposition(is_wanted) {
            self.0.remove(at);
        }
        self.0.len() < before
    }

    /// All pairs but those of branches, newest first.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Value)> {
        self.0.iter().rev().filter(|(name, _)| !is_of_branch(name)).map(|(name, value)| (name, value))
    }

    /// The name under which a value of one branch is kept.
    pub fn name_of_branch(branch: u8, name: &[u8]) -> Bytes {
        Bytes::from([&[OF_BRANCH, branch], name].concat())
    }

    /// Only the pairs of branches.
    #[must_use]
    pub fn of_branches(mut self) -> Self {
        self.0.retain(|(name, _)| is_of_branch(name));
        self
    }

    /// Takes the pairs of branches from `other` in place of its own.
    pub fn replace_branches(&mut self, other: &Self) {
        self.0.retain(|(name, _)| !is_of_branch(name));
        self.0.extend(other.0.iter().filter(|(name, _)| is_of_branch(name)).cloned());
    }

    /// The values of `name`, newest first.
    pub fn values<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a Value> {
        self.0.iter().rev().filter(move |(n, _)| **n == *name).map(|(_, value)| value)
    }

    /// Whether there is no pair at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs as bytes, for a record in shared memory.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in &self.0 {
            put(&mut out, name);
            match value {
                Value::Null => out.push(0),
                Value::Int(number) => {
                    out.push(1);
                    out.extend_from_slice(&number.to_ne_bytes());
                }
                Value::Str(text) => {
                    out.push(2);
                    put(&mut out, text);
                }
            }
        }
        out
    }

    /// Reads what [`Self::encode`] wrote; anything else ends the list early.
    pub fn decode(mut bytes: &[u8]) -> Self {
        let mut pairs = Vec::new();
        while let Some(pair) = decode_pair(&mut bytes) {
            pairs.push(pair);
        }
        Self(pairs)
    }
}

fn is_of_branch(name: &Bytes) -> bool {
    name.first() == Some(&OF_BRANCH)
}

fn put(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&(text.len() as u32).to_ne_bytes());
    out.extend_from_slice(text);
}

fn decode_pair(bytes: &mut &[u8]) -> Option<(Bytes, Value)> {
    let name = Bytes::new(take(bytes)?);
    let (&tag, rest) = bytes.split_first()?;
    *bytes = rest;
    let value = match tag {
        1 => {
            let (number, rest) = bytes.split_first_chunk::<8>()?;
            *bytes = rest;
            Value::Int(i64::from_ne_bytes(*number))
        }
        2 => Value::Str(Bytes::new(take(bytes)?)),
        _ => Value::Null,
    };
    Some((name, value))
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
    *bytes = rest;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(avps: &Avps, name: &str) -> Vec<i64> {
        let number = |v: &Value| match v {
            Value::Int(n) => *n,
            _ => panic!("{v:?}"),
        };
        avps.values(name.as_bytes()).map(number).collect()
    }

    #[test]
    fn the_newest_comes_first_and_append_goes_last() {
        let mut avps = Avps::default();
        for n in 1..=3 {
            avps.push(b"a", Value::Int(n));
        }
        avps.push(b"b", Value::Int(9));
        avps.append(b"a", Value::Int(0));
        assert_eq!(numbers(&avps, "a"), [3, 2, 1, 0]);
        avps.pop(b"a");
        avps.remove(b"a", 1);
        assert!(avps.replace(b"a", 1, Value::Int(7)));
        assert!(!avps.replace(b"a", 2, Value::Int(7)));
        assert_eq!(numbers(&avps, "a"), [2, 7]);
        avps.clear(b"a");
        assert_eq!(numbers(&avps, "a"), [0; 0]);
        assert_eq!(numbers(&avps, "b"), [9]);
    }

    #[test]
    fn encoding_keeps_all_and_survives_cuts() {
        let mut avps = Avps::default();
        avps.push(b"n", Value::Int(-5));
        avps.push(b"s", Value::Str(Bytes::new(b"caf\xe9 with more than twenty-two bytes")));
        avps.push(b"z", Value::Null);
        let bytes = avps.encode();
        assert_eq!(Avps::decode(&bytes).0, avps.0);
        for cut in 0..bytes.len() {
            assert!(Avps::decode(&bytes[..cut]).0.len() < 3);
        }
    }

    #[test]
    fn values_of_any_name_are_removed() {
        let mut avps = Avps::default();
        for (name, value) in [("a", Value::Int(1)), ("b", Value::str("x")), ("a", Value::Int(2))] {
            avps.push(name.as_bytes(), value);
        }
        let is_number = |value: &Value| matches!(value, Value::Int(_));
        assert!(avps.remove_where(false, is_number));
        assert_eq!(numbers(&avps, "a"), [1], "the newest goes first");
        assert!(avps.remove_where(true, is_number) && !avps.remove_where(true, is_number));
        assert_eq!(avps.iter().map(|(name, _)| name.lossy().into_owned()).collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn values_of_branches_stand_apart() {
        let mut avps = Avps::default();
        avps.push(b"a", Value::Int(1));
        avps.push(&Avps::name_of_branch(0, b"a"), Value::Int(2));
        assert_eq!((numbers(&avps, "a"), avps.iter().count()), (vec![1], 1));
        let mut branches = avps.clone().of_branches();
        assert!(branches.iter().next().is_none() && !branches.is_empty());
        branches.push(&Avps::name_of_branch(1, b"b"), Value::Int(3));
        avps.replace_branches(&branches);
        assert!(avps.remove_where(true, |_| true));
        assert_eq!(avps.0, branches.0);
    }

    #[test]
    fn there_is_a_limit() {
        let mut avps = Avps::default();
        assert!((0..MAX_AVPS).all(|_| avps.push(b"a", Value::Null)));
        assert!(!avps.push(b"a", Value::Null));
    }
}
