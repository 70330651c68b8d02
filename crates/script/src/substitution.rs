//! Replacing what an expression matches, in the manner of `sed`: what `{re.subst}` and functions of modules do with a text.
//! How a substitution is written is read in `transformations/substitution.rs`.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use regex::bytes::{CaptureLocations, Match, Regex};

use crate::call::Host;
use crate::value::{Bytes, MAX_STRING_BYTES, Value};
use crate::variable::Bound;

/// Replacing all matches of a text takes at most this long. Each match is found in time in proportion to the
/// rest of the text, but there may be as many as it has letters.
const MAX_SUBSTITUTION_TIME: Duration = Duration::from_millis(500);
/// Matches between two looks at the clock.
const LOOK_EVERY: u32 = 64;
/// What passes between two looks counts at most so much: the process may have been stopped.
const MAX_STEP_MS: u64 = 100;

/// What to replace, and by what: `/expression/replacement/flags`.
pub struct Substitution<C> {
    pub(crate) regex: Regex,
    pub(crate) replacement: Box<[Piece<C>]>,
    /// Groups are asked for: to find them takes longer than to find the match alone.
    pub(crate) captures: bool,
    pub(crate) global: bool,
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
pub(crate) enum Piece<C> {
    Text(Bytes),
    Group(usize),
    Variable(Rc<Bound<C>>),
}

/// The time that a substitution has taken.
#[derive(Default)]
struct Watch {
    matches: u32,
    looked_at: u64,
    ran_ms: u64,
}

impl Watch {
    /// Counts one more match, and says whether the limit is passed. That is logged.
    fn is_over<C: Host>(&mut self, host: &mut C) -> bool {
        self.matches += 1;
        if !self.matches.is_multiple_of(LOOK_EVERY) {
            return false;
        }
        let now = host.now_ms();
        if self.matches > LOOK_EVERY {
            self.ran_ms += now.saturating_sub(self.looked_at).min(MAX_STEP_MS);
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
    /// `text` with the first match replaced, or all, as `{re.subst}` gives it: NULL if it fails.
    pub(crate) fn apply(&self, host: &mut C, text: &[u8]) -> Value {
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

    /// The replacements in `text`, in order: of the first match, or of all. None if an empty text matches, or it takes too
    /// long.
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

    /// Calls `each` for the first match, or for all, with the end of the one before; it returns how many bytes it has made.
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
