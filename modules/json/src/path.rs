//! What stands in the parentheses of `$json(name/key[index])`: a name and the way into its value. Keys and indices may be
//! variables; they are not read for slashes and brackets.

use std::rc::Rc;

use tocsin_script::{ArgError, Bound, Bytes, Expr, Part, SubName, Value};
use tocsin_server::Context;

use super::node::Place;

/// What a loop over the value goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    Keys,
    Values,
}

/// A way to a value, as it is written.
pub(super) struct Path {
    name: Vec<Piece>,
    steps: Vec<Step>,
    /// `.keys` or `.values` at the end.
    pub(super) listed: Option<Listed>,
}

enum Step {
    Key(Vec<Piece>),
    /// No piece for `[]`.
    Index(Vec<Piece>),
}

enum Piece {
    Text(Vec<u8>),
    Variable(Rc<Bound<Context>>),
}

/// A way to a value, as it is now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) name: Bytes,
    pub(super) steps: Vec<Place>,
}

impl Path {
    pub(super) fn new(sub: &SubName<Context>) -> Result<Self, ArgError> {
        let mut reader = Reader::default();
        match sub {
            SubName::Literal(text) => reader.text(text)?,
            SubName::Dynamic(bound) => reader.variable(bound)?,
            SubName::Format(format) => {
                let Expr::Format(parts) = &**format else { return Err(malformed()) };
                for part in parts {
                    match part {
                        Part::Text(text) => reader.text(text)?,
                        Part::Variable(bound) => reader.variable(bound)?,
                    }
                }
            }
        }
        reader.finish()
    }

    /// Where it leads now; `None` if a variable has no value, or one that is no index.
    pub(super) fn now(&self, cx: &mut Context) -> Option<Way> {
        let mut steps = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            steps.push(match step {
                Step::Key(pieces) => Place::Key(text(pieces, cx)?),
                Step::Index(pieces) if pieces.is_empty() => Place::End,
                Step::Index(pieces) => Place::At(Value::Str(text(pieces, cx)?).to_int()?),
            });
        }
        Some(Way { name: text(&self.name, cx)?, steps })
    }
}

fn text(pieces: &[Piece], cx: &mut Context) -> Option<Bytes> {
    let mut out = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text),
            Piece::Variable(bound) => out.extend_from_slice(&bound.read(cx).to_bytes()?),
        }
    }
    Some(Bytes::from(out))
}

/// Reads the text between variables, a byte at a time.
#[derive(Default)]
struct Reader {
    name: Vec<Piece>,
    steps: Vec<Step>,
    /// Inside of brackets.
    in_index: bool,
    /// Behind brackets: only another step may follow.
    closed: bool,
}

impl Reader {
    fn text(&mut self, text: &[u8]) -> Result<(), ArgError> {
        for &byte in text {
            match byte {
                b']' if self.in_index => (self.in_index, self.closed) = (false, true),
                _ if self.in_index => self.push(byte)?,
                b'/' => self.begin(Step::Key(Vec::new())),
                b'[' => {
                    self.begin(Step::Index(Vec::new()));
                    self.in_index = true;
                }
                b'.' if self.closed => self.begin_suffix(),
                _ if self.closed => return Err(malformed()),
                _ => self.push(byte)?,
            }
        }
        Ok(())
    }

    fn variable(&mut self, bound: &Rc<Bound<Context>>) -> Result<(), ArgError> {
        if self.closed {
            return Err(malformed());
        }
        self.pieces().push(Piece::Variable(Rc::clone(bound)));
        Ok(())
    }

    fn begin(&mut self, step: Step) {
        self.steps.push(step);
        self.closed = false;
    }

    /// `.keys` behind brackets is read as a key, which [`Self::finish`] finds.
    fn begin_suffix(&mut self) {
        self.begin(Step::Key(vec![Piece::Text(b".".to_vec())]));
    }

    fn push(&mut self, byte: u8) -> Result<(), ArgError> {
        if self.in_index && !byte.is_ascii_digit() && byte != b'-' {
            return Err(ArgError::new("an index is a number or a variable"));
        }
        let pieces = self.pieces();
        match pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(byte),
            _ => pieces.push(Piece::Text(vec![byte])),
        }
        Ok(())
    }

    fn pieces(&mut self) -> &mut Vec<Piece> {
        match self.steps.last_mut() {
            Some(Step::Key(pieces) | Step::Index(pieces)) => pieces,
            None => &mut self.name,
        }
    }

    fn finish(mut self) -> Result<Path, ArgError> {
        let listed = self.suffix();
        if matches!(self.steps.last(), Some(Step::Key(pieces)) if pieces.is_empty()) && listed.is_some() {
            self.steps.pop();
        }
        let is_listed =
            |pieces: &[Piece]| matches!(pieces.last(), Some(Piece::Text(text)) if suffix_of(text).is_some());
        let (mut before, mut has_listed) = (&self.name, false);
        for step in &self.steps {
            let (Step::Key(pieces) | Step::Index(pieces)) = step;
            has_listed |= matches!(step, Step::Index(_)) && is_listed(before);
            before = pieces;
        }
        let has_empty_key = self.steps.iter().any(|step| matches!(step, Step::Key(key) if key.is_empty()));
        if self.name.is_empty() || self.in_index || has_empty_key || has_listed {
            return Err(malformed());
        }
        Ok(Path { name: self.name, steps: self.steps, listed })
    }

    /// Takes `.keys` or `.values` off the end.
    fn suffix(&mut self) -> Option<Listed> {
        let pieces = self.pieces();
        let Some(Piece::Text(last)) = pieces.last_mut() else { return None };
        let (length, listed) = suffix_of(last)?;
        last.truncate(length);
        if last.is_empty() {
            pieces.pop();
        }
        Some(listed)
    }
}

/// What `.keys` or `.values` at the end asks for, and how much stands before it.
fn suffix_of(text: &[u8]) -> Option<(usize, Listed)> {
    let suffixes = [(&b".keys"[..], Listed::Keys), (b".values", Listed::Values)];
    suffixes.into_iter().find_map(|(suffix, listed)| Some((text.strip_suffix(suffix)?.len(), listed)))
}

fn malformed() -> ArgError {
    ArgError::new("a JSON value is named as `name/key[index]`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(Vec<String>, Option<Listed>)> {
        let path = Path::new(&SubName::Literal(Bytes::from(text))).ok()?;
        let show = |pieces: &[Piece]| {
            let text = |piece: &Piece| match piece {
                Piece::Text(text) => String::from_utf8_lossy(text).into_owned(),
                Piece::Variable(_) => "$".to_owned(),
            };
            pieces.iter().map(text).collect::<String>()
        };
        let mut steps = vec![show(&path.name)];
        steps.extend(path.steps.iter().map(|step| match step {
            Step::Key(pieces) => format!("/{}", show(pieces)),
            Step::Index(pieces) => format!("[{}]", show(pieces)),
        }));
        Some((steps, path.listed))
    }

    #[test]
    fn names_keys_and_indices() {
        for (text, steps) in [
            ("a", &["a"][..]),
            ("a/k", &["a", "/k"]),
            ("a/two words/x.y", &["a", "/two words", "/x.y"]),
            ("m[1][-2]/k[]", &["m", "[1]", "[-2]", "/k", "[]"]),
        ] {
            assert_eq!(read(text), Some((steps.iter().map(|&s| s.to_owned()).collect(), None)), "{text}");
        }
        for (text, steps, listed) in [
            ("a.keys", &["a"][..], Listed::Keys),
            ("a/k.values", &["a", "/k"], Listed::Values),
            ("a[0].keys", &["a", "[0]"], Listed::Keys),
        ] {
            assert_eq!(
                read(text),
                Some((steps.iter().map(|&s| s.to_owned()).collect(), Some(listed))),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_way_is_refused() {
        for text in ["", "/k", "a/", "a//b", "a[", "a[x]", "a[0]x", "a/k.keys[1]", ".keys"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
