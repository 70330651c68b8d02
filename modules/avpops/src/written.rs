//! How the arguments are written: an AVP with letters behind it, `$avp(x)/gd`, or with another AVP, `$avp(x)/$avp(y)/d`.

use std::rc::Rc;

use tocsin_script::{ArgError, Bound, Index, Part, Site, Store, Value};
use tocsin_server::Context;

/// The values of one AVP, the newest first.
#[derive(Clone)]
pub(super) struct Avp(Rc<Bound<Context>>);

impl Avp {
    /// The one at the beginning of an argument, and what follows.
    fn begin(argument: usize, parts: &[Part<Context>]) -> Result<(Self, &[Part<Context>]), ArgError> {
        match parts {
            [Part::Variable(bound), rest @ ..] if bound.name() == "avp" && bound.writable() => {
                Ok((Self(Rc::clone(bound)), rest))
            }
            _ => Err(ArgError::at(argument, "an AVP is needed, as in \"$avp(name)\"")),
        }
    }

    /// All values.
    pub(super) fn all(&self, cx: &mut Context) -> Vec<Value> {
        let read = |nth| self.0.read_at(cx, Index::Nth(nth));
        (0..).map(read).take_while(|value| !value.is_null()).collect()
    }

    /// The newest value, or all.
    pub(super) fn chosen(&self, cx: &mut Context, all: bool) -> Vec<Value> {
        let mut values = self.all(cx);
        if !all {
            values.truncate(1);
        }
        values
    }

    /// Puts a value in front of the others. `false` when there are too many.
    pub(super) fn push(&self, cx: &mut Context, value: Value) -> bool {
        self.0.write_at(cx, Index::Unset, value, Store::Set).is_ok()
    }

    /// Takes one value away, counted from the newest.
    pub(super) fn remove(&self, cx: &mut Context, nth: usize) {
        self.write(cx, Index::Nth(nth as i64), Value::Null, Store::Set);
    }

    /// Takes all values away.
    pub(super) fn clear(&self, cx: &mut Context) {
        self.write(cx, Index::Unset, Value::Null, Store::Replace);
    }

    /// Writes another value in the place of one.
    pub(super) fn replace(&self, cx: &mut Context, nth: usize, value: Value) {
        self.write(cx, Index::Nth(nth as i64), value, Store::Set);
    }

    fn write(&self, cx: &mut Context, index: Index, value: Value, store: Store) {
        if let Err(cause) = self.0.write_at(cx, index, value, store) {
            tracing::debug!("{}: {cause}", self.0.text());
        }
    }
}

/// Letters that say how something is done, in either case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Flags(Vec<u8>);

impl Flags {
    /// Reads `letters`, which must be among the `known` ones.
    pub(super) fn read(argument: usize, letters: &[u8], known: &[u8]) -> Result<Self, ArgError> {
        let letters = letters.to_ascii_lowercase();
        match letters.iter().find(|letter| !known.contains(letter)) {
            None => Ok(Self(letters)),
            Some(letter) => {
                let known = known.iter().map(|letter| char::from(*letter).to_string()).collect::<Vec<_>>();
                let letter = char::from(*letter);
                Err(ArgError::at(
                    argument,
                    format!("unknown flag `{letter}`: there are {}", known.join(", ")),
                ))
            }
        }
    }

    pub(super) fn has(&self, letter: u8) -> bool {
        self.0.contains(&letter)
    }
}

/// `$avp(x)` or `$avp(x)/flags`.
pub(super) fn avp_with_flags(
    site: &Site<'_, Context>,
    argument: usize,
    known: &[u8],
) -> Result<(Avp, Flags), ArgError> {
    let parts = site.parts(argument);
    let (avp, rest) = Avp::begin(argument, &parts)?;
    Ok((avp, flags(argument, rest, known)?))
}

/// `$avp(x)`, `$avp(x)/flags`, `$avp(x)/$avp(y)` or `$avp(x)/$avp(y)/flags`: the source, the destination and the flags.
pub(super) fn two_avps(
    site: &Site<'_, Context>,
    argument: usize,
    known: &[u8],
) -> Result<(Avp, Option<Avp>, Flags), ArgError> {
    let parts = site.parts(argument);
    let (source, rest) = Avp::begin(argument, &parts)?;
    match rest {
        [Part::Text(slash), rest @ ..] if &**slash == b"/" && !rest.is_empty() => {
            let (destination, rest) = Avp::begin(argument, rest)?;
            Ok((source, Some(destination), flags(argument, rest, known)?))
        }
        rest => Ok((source, None, flags(argument, rest, known)?)),
    }
}

/// `/flags`, or nothing.
fn flags(argument: usize, parts: &[Part<Context>], known: &[u8]) -> Result<Flags, ArgError> {
    match parts {
        [] => Ok(Flags::default()),
        [Part::Text(text)] if text.first() == Some(&b'/') => Flags::read(argument, &text[1..], known),
        _ => Err(ArgError::at(argument, "only flags can follow, as in \"$avp(name)/g\"")),
    }
}

/// `operator/value/flags`: what an AVP is compared or calculated with.
pub(super) struct Operation {
    pub(super) operator: String,
    pub(super) operand: Operand,
    pub(super) flags: Flags,
}

/// The value of an [`Operation`].
pub(super) enum Operand {
    Fixed(Value),
    Variable(Rc<Bound<Context>>),
}

impl Operation {
    pub(super) fn read(site: &Site<'_, Context>, argument: usize, known: &[u8]) -> Result<Self, ArgError> {
        let malformed = || ArgError::at(argument, "write it as `operator/value/flags`");
        let parts = site.parts(argument);
        let [Part::Text(first), rest @ ..] = &*parts else { return Err(malformed()) };
        let slash = first.iter().position(|byte| *byte == b'/').ok_or_else(malformed)?;
        let (operator, behind) = (first[..slash].to_ascii_lowercase(), &first[slash + 1..]);
        let operator = String::from_utf8(operator).map_err(|_| malformed())?;
        if let [Part::Variable(bound), rest @ ..] = rest {
            if !behind.is_empty() {
                return Err(malformed());
            }
            let flags = flags(argument, rest, known)?;
            return Ok(Self { operator, operand: Operand::Variable(Rc::clone(bound)), flags });
        }
        if !rest.is_empty() || behind.is_empty() {
            return Err(malformed());
        }
        // a value may hold slashes, as a URI does: flags are letters behind the last one
        let (value, letters) = match behind.iter().rposition(|byte| *byte == b'/') {
            Some(at) if behind[at + 1..].iter().all(u8::is_ascii_alphabetic) => {
                (&behind[..at], &behind[at + 1..])
            }
            _ => (behind, &b""[..]),
        };
        let flags = Flags::read(argument, letters, known)?;
        let value = fixed(value).ok_or_else(|| ArgError::at(argument, "`i:` is followed by a number"))?;
        Ok(Self { operator, operand: Operand::Fixed(value), flags })
    }
}

impl Operand {
    pub(super) fn now(&self, cx: &mut Context) -> Value {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::Variable(bound) => bound.read(cx),
        }
    }
}

/// `i:5`, `i:0x1f`, `s:text` or `text`.
fn fixed(text: &[u8]) -> Option<Value> {
    match text {
        [b'i' | b'I', b':', digits @ ..] => {
            let digits = std::str::from_utf8(digits).ok()?;
            let number = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
                Some(digits) => i64::from_str_radix(digits, 16).ok(),
                None => digits.parse().ok(),
            };
            number.map(Value::Int)
        }
        [b's' | b'S', b':', text @ ..] => Some(Value::str(text)),
        text => Some(Value::str(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_a_type() {
        assert_eq!(fixed(b"i:0x1F"), Some(Value::Int(31)));
        assert_eq!(fixed(b"i:-5"), Some(Value::Int(-5)));
        assert_eq!(fixed(b"10"), Some(Value::str("10")));
        assert_eq!(fixed(b"s:i:5"), Some(Value::str("i:5")));
        assert_eq!(fixed(b"i:five"), None);
    }

    #[test]
    fn flags_are_known_letters_of_either_case() {
        let flags = Flags::read(0, b"gD", b"gd").unwrap();
        assert!(flags.has(b'g') && flags.has(b'd'));
        assert!(Flags::read(0, b"x", b"gd").is_err());
    }
}
