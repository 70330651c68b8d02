//! `{re.subst,/expression/replacement/flags}`, in the manner of `sed` (manual, "Regular Expression Transformations").

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use regex::bytes::{CaptureLocations, Match, Regex};

use super::row::{Effect, Kind, Parameter, Transformation};
use crate::bind::Names;
use crate::call::Host;
use crate::ere::{self, Flags};
use crate::format;
use crate::reference::begins_variable;
use crate::route::Routes;
use crate::value::{Bytes, MAX_STRING_BYTES, Value};
use crate::variable::Bound;

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

/// Replacing all matches of a text takes at most this long. Each match is found in time in proportion to the
/// rest of the text, but there may be as many as it has letters.
const MAX_SUBSTITUTION_TIME: Duration = Duration::from_millis(500);
/// Matches between two looks at the clock.
const LOOK_EVERY: u32 = 64;
/// What passes between two looks counts at most so much: the process may have been stopped.
const LONGEST_STEP_MS: u64 = 100;

/// What to replace, and by what: `/expression/replacement/flags`.
pub struct Substitution<C> {
    regex: Regex,
    replacement: Box<[Piece<C>]>,
    /// Groups are asked for: to find them takes longer than to find the match alone.
    captures: bool,
    global: bool,
}

/// A match, and the text that takes its place.
#[derive(Debug, PartialEq, Eq)]
pub struct Replacement {
    /// Where the match lies in the text that was looked at.
    pub place: Range<usize>,
    /// What is written there.
    pub text: Vec<u8>,
}

/// A piece of a replacement.
enum Piece<C> {
    Text(Bytes),
    Group(usize),
    Variable(Rc<Bound<C>>),
}

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
        Substitution::read(&written[..end], &self.names, self.routes)
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

/// The time that a substitution has taken.
#[derive(Default)]
struct Watch {
    matches: u32,
    looked_at: u64,
    ran_ms: u64,
}

impl Watch {
    /// One more match is to be replaced: whether that is too much. It is reported.
    fn is_over<C: Host>(&mut self, host: &mut C) -> bool {
        self.matches += 1;
        if !self.matches.is_multiple_of(LOOK_EVERY) {
            return false;
        }
        let now = host.now_ms();
        if self.matches > LOOK_EVERY {
            self.ran_ms += now.saturating_sub(self.looked_at).min(LONGEST_STEP_MS);
        }
        self.looked_at = now;
        if Duration::from_millis(self.ran_ms) <= MAX_SUBSTITUTION_TIME {
            return false;
        }
        let run = &host.vars().run;
        let (table, at) = (run.table.clone(), run.at);
        if let Some(table) = table {
            let most = MAX_SUBSTITUTION_TIME.as_millis();
            let message = format!("{{re.subst}} took more than {most} ms: the result is NULL");
            host.script_error(table.place(at), &message);
        }
        true
    }
}

impl<C: Host> Substitution<C> {
    /// Reads `/expression/replacement/flags`; `None` if it is none.
    pub(crate) fn read(text: &[u8], names: &Rc<Names<C>>, routes: Routes) -> Option<Self> {
        parse(text, ere::compile_with, names, routes)
    }

    pub(super) fn apply(&self, host: &mut C, text: &[u8]) -> Value {
        if text.is_empty() {
            return Value::Null;
        }
        let mut out = Vec::new();
        let walked = self.walk(host, text, |host, copied, found, groups| {
            out.extend_from_slice(&text[copied..found.start()]);
            self.replace(host, text, found, groups, &mut out);
            out.len()
        });
        match walked {
            None => Value::Null,
            Some(0) => Value::str(text),
            Some(copied) => {
                out.extend_from_slice(&text[copied..]);
                if out.len() > MAX_STRING_BYTES { Value::Null } else { Value::Str(Bytes::from(out)) }
            }
        }
    }

    /// What is to be replaced in `text`, in order: the first match, or all. Nothing if an empty text matches, or it takes
    /// too long.
    pub fn replacements(&self, host: &mut C, text: &[u8]) -> Vec<Replacement> {
        let (mut all, mut bytes) = (Vec::new(), 0);
        let walked = self.walk(host, text, |host, _, found, groups| {
            let mut out = Vec::new();
            self.replace(host, text, found, groups, &mut out);
            bytes += out.len();
            all.push(Replacement { place: found.range(), text: out });
            bytes
        });
        if walked.is_some() { all } else { Vec::new() }
    }

    /// `text` with the first match replaced, or all; `None` if nothing was, or the result is too long.
    pub fn replaced(&self, host: &mut C, text: &[u8]) -> Option<Bytes> {
        let replacements = self.replacements(host, text);
        let (mut out, mut copied) = (Vec::with_capacity(text.len()), 0);
        for replacement in &replacements {
            out.extend_from_slice(&text[copied..replacement.place.start]);
            out.extend_from_slice(&replacement.text);
            copied = replacement.place.end;
        }
        out.extend_from_slice(&text[copied..]);
        (!replacements.is_empty() && out.len() <= MAX_STRING_BYTES).then(|| Bytes::from(out))
    }

    /// Calls `each` for the first match, or for all, with the end of the one before; it tells how many bytes it has made.
    /// Where the last match ends; `None` if an empty text matches, or it is too much.
    fn walk(
        &self,
        host: &mut C,
        text: &[u8],
        mut each: impl FnMut(&mut C, usize, Match<'_>, Option<&CaptureLocations>) -> usize,
    ) -> Option<usize> {
        let mut groups = self.captures.then(|| self.regex.capture_locations());
        let (mut copied, mut made) = (0, 0);
        let mut watch = Watch::default();
        while copied < text.len() {
            let found = match &mut groups {
                Some(groups) => self.regex.captures_read_at(groups, text, copied),
                None => self.regex.find_at(text, copied),
            };
            let Some(found) = found else { break };
            if found.is_empty() || made > MAX_STRING_BYTES || watch.is_over(host) {
                return None;
            }
            made = each(host, copied, found, groups.as_ref());
            copied = found.end();
            if !self.global {
                break;
            }
        }
        Some(copied)
    }

    fn replace(
        &self,
        host: &mut C,
        text: &[u8],
        found: Match<'_>,
        groups: Option<&CaptureLocations>,
        out: &mut Vec<u8>,
    ) {
        for piece in &self.replacement {
            match piece {
                Piece::Text(literal) => out.extend_from_slice(literal),
                Piece::Group(0) => out.extend_from_slice(found.as_bytes()),
                Piece::Group(number) => {
                    if let Some((start, end)) = groups.and_then(|groups| groups.get(*number)) {
                        out.extend_from_slice(&text[start..end]);
                    }
                }
                Piece::Variable(bound) => bound.print(host, out),
            }
        }
    }
}
