//! `{re.subst,/expression/replacement/flags}`, in the manner of `sed` (manual, "Regular Expression Transformations").

use std::cell::RefCell;
use std::rc::Rc;

use regex::bytes::Regex;

use super::row::{Effect, Kind, Parameter, Transformation};
use crate::bind::Names;
use crate::call::Host;
use crate::ere::{self, Flags};
use crate::format;
use crate::reference::begins_variable;
use crate::route::Routes;
use crate::substitution::{Piece, Substitution};
use crate::value::{Bytes, Value};

pub(super) const ROWS: &[Transformation] = &[Transformation {
    name: "re.subst",
    parameters: &[Parameter::required("substitution", Kind::Substitution)],
    doc: "The text with the first match replaced. Flags: `g` replaces all matches, `i` ignores case, `s` treats \
          the text as one line (without it, `^` and `$` match at every line, and neither a dot nor `[^x]` matches \
          a line feed). Any character may take the place of the slash. In the replacement, `\\0` to `\\9` stand \
          for the match and its groups, and variables are replaced by their values. A literal argument ends at the \
          first closing brace, so an expression that contains braces must be in a variable. NULL if the expression \
          is invalid or matches an empty text.",
    effect: Effect::Substitute,
}];

/// What a variable held, and what it means.
type Made<C> = (Bytes, Option<Rc<Substitution<C>>>);

/// Reads substitutions; keeps the one that a variable last held.
pub(super) struct Substitutions<C: Host> {
    names: Rc<Names<C>>,
    routes: Routes,
    last: RefCell<Option<Made<C>>>,
}

impl<C: Host> Substitutions<C> {
    pub(super) fn new(names: Rc<Names<C>>, routes: Routes) -> Self {
        Self { names, routes, last: RefCell::new(None) }
    }

    /// One that is written in the script. OpenSIPS ends it at the first brace that closes.
    pub(super) fn fixed(&self, written: &[u8]) -> Option<Substitution<C>> {
        let end = memchr::memchr(b'}', written).unwrap_or(written.len());
        read(&written[..end], &self.names, self.routes)
    }

    /// Applies one that is made at run time.
    pub(super) fn made(&self, host: &mut C, expression: &Bytes, text: &[u8]) -> Value {
        let kept = match &*self.last.borrow() {
            Some((last, substitution)) if last == expression => Some(substitution.clone()),
            _ => None,
        };
        let substitution = kept.unwrap_or_else(|| {
            let compile = ere::compile_made_flags;
            let read = parse(expression, compile, &self.names, self.routes).map(Rc::new);
            self.last.replace(Some((expression.clone(), read.clone())));
            read
        });
        let apply = || substitution.map_or(Value::Null, |substitution| substitution.apply(host, text));
        self.names.evaluate(apply).unwrap_or_default()
    }
}

/// Reads `/expression/replacement/flags`; `None` if it is none.
pub(crate) fn read<C: Host>(text: &[u8], names: &Rc<Names<C>>, routes: Routes) -> Option<Substitution<C>> {
    parse(text, ere::compile_with, names, routes)
}

fn parse<C: Host>(
    text: &[u8],
    compile: fn(&[u8], Flags) -> Result<Regex, String>,
    names: &Rc<Names<C>>,
    routes: Routes,
) -> Option<Substitution<C>> {
    let (&mark, rest) = text.split_first()?;
    let (expression, rest) = up_to(rest, mark)?;
    let (replacement, letters) = up_to(rest, mark)?;
    let mut flags = Flags { any_case: false, lines: true };
    let mut global = false;
    for letter in letters {
        match letter {
            b'i' => flags.any_case = true,
            b's' => flags.lines = false,
            b'g' => global = true,
            _ => return None,
        }
    }
    let regex = compile(expression, flags).ok().filter(|_| !expression.is_empty())?;
    let replacement = pieces(replacement, names, routes)?;
    let captures = replacement.iter().any(|piece| matches!(piece, Piece::Group(1..)));
    Some(Substitution { regex, replacement, captures, global })
}

fn pieces<C: Host>(text: &[u8], names: &Rc<Names<C>>, routes: Routes) -> Option<Box<[Piece<C>]>> {
    let mut pieces = Vec::new();
    let mut literal = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let mut piece = None;
        match (byte, text.get(at + 1)) {
            (b'\\', Some(digit @ b'0'..=b'9')) => {
                piece = Some(Piece::Group(usize::from(digit - b'0')));
                at += 2;
            }
            (b'\\', Some(escaped)) => {
                literal.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => *other,
                });
                at += 2;
            }
            (b'$', Some(b'$')) => {
                literal.push(b'$');
                at += 2;
            }
            (b'$', Some(_)) if begins_variable(&text[at + 1..]) => {
                let (bound, len) = format::variable(&text[at..], names, routes).ok()?;
                piece = Some(Piece::Variable(bound));
                at += len;
            }
            _ => {
                literal.push(byte);
                at += 1;
            }
        }
        if let Some(piece) = piece {
            if !literal.is_empty() {
                pieces.push(Piece::Text(Bytes::from(std::mem::take(&mut literal))));
            }
            pieces.push(piece);
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(Bytes::from(literal)));
    }
    Some(pieces.into())
}

/// What stands before the next mark that follows no backslash, and after it.
fn up_to(text: &[u8], mark: u8) -> Option<(&[u8], &[u8])> {
    let mut escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == mark && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })?;
    Some((&text[..end], &text[end + 1..]))
}
