//! Header lines: where one ends, and where its name and value lie. Shared by messages and the parts of a
//! body.

use crate::grammar::{LWS, TOKEN, all, is};
use crate::{HeaderName, Limits, ParseError};
use memchr::{memchr, memchr2};

/// A piece of a message or a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Place {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self { start: narrow(start), end: narrow(end) }
    }

    pub(crate) fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// One header field: the line with its continuations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderLine {
    pub(crate) name: HeaderName,
    pub(crate) name_text: Place,
    /// Untrimmed: from behind the colon to the end of the line.
    pub(crate) value: Place,
    /// A rule the line breaks that does not keep the rest from being read.
    pub(crate) defect: Option<ParseError>,
}

/// The header lines of a text up to the empty line, or to its end.
pub(crate) fn header_lines<'a>(text: &'a [u8], limits: &Limits) -> HeaderLines<'a> {
    HeaderLines { text, at: 0, count: 0, limits: *limits, strict: true }
}

/// Walks header lines.
pub(crate) struct HeaderLines<'a> {
    text: &'a [u8],
    at: usize,
    count: u16,
    limits: Limits,
    /// Whether a defect of a line is an error of the walk. The missing end of the last line is not: in the
    /// part of a body it belongs to the delimiter behind it.
    strict: bool,
}

impl<'a> HeaderLines<'a> {
    /// Walks from `at` on; defects come with the line and do not stop the walk.
    pub(crate) fn lenient(text: &'a [u8], at: usize, limits: &Limits) -> Self {
        Self { text, at, count: 0, limits: *limits, strict: false }
    }

    /// Where the walk is: at the end, where the empty line begins.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn line(&mut self) -> Result<HeaderLine, ParseError> {
        if self.count == self.limits.headers {
            self.at = self.text.len();
            return Err(ParseError::TooManyHeaders);
        }
        self.count += 1;
        let start = self.at;
        let (end, next, mut defect) = field_end(self.text, start);
        self.at = next;
        let line = &self.text[start..end];
        let colon = memchr(b':', line);
        let Some(colon) = colon.filter(|_| !is(line[0], LWS)) else {
            let name_text = Place::new(start, start);
            let defect = defect.or(Some(ParseError::HeaderLine));
            return Ok(HeaderLine {
                name: HeaderName::Other,
                name_text,
                value: Place::new(start, end),
                defect,
            });
        };
        let mut name_end = colon;
        while name_end > 0 && is(line[name_end - 1], LWS) {
            name_end -= 1;
        }
        if name_end > usize::from(self.limits.header_name) {
            return Err(ParseError::HeaderNameTooLong);
        }
        if end - start - colon > usize::from(self.limits.header_value) {
            return Err(ParseError::HeaderValueTooLong);
        }
        let name = HeaderName::of(&line[..name_end]);
        if name == HeaderName::Other && !all(&line[..name_end], TOKEN) {
            defect = defect.or(Some(ParseError::HeaderName));
        }
        let value = Place::new(start + colon + 1, end);
        Ok(HeaderLine { name, name_text: Place::new(start, start + name_end), value, defect })
    }
}

impl Iterator for HeaderLines<'_> {
    type Item = Result<HeaderLine, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.text.get(self.at..)? {
            [] | [b'\n', ..] | [b'\r', b'\n', ..] => None,
            _ => Some(self.line().and_then(|line| match line.defect {
                Some(defect) if self.strict && defect != ParseError::Unterminated => Err(defect),
                _ => Ok(line),
            })),
        }
    }
}

/// Where the line that begins at `from` ends, where the next begins, and whether something is wrong with its
/// end.
pub(crate) fn line_end(text: &[u8], from: usize) -> (usize, usize, Option<ParseError>) {
    let mut at = from;
    let mut defect = None;
    while let Some(stop) = memchr2(b'\r', b'\n', text.get(at..).unwrap_or_default()) {
        let stop = at + stop;
        if text[stop] == b'\n' {
            return (stop, stop + 1, defect);
        }
        if text.get(stop + 1) == Some(&b'\n') {
            return (stop, stop + 2, defect);
        }
        defect = Some(ParseError::BareCarriageReturn);
        at = stop + 1;
    }
    (text.len(), text.len(), Some(ParseError::Unterminated))
}

/// As [`line_end`], continuations included.
fn field_end(text: &[u8], from: usize) -> (usize, usize, Option<ParseError>) {
    let (mut end, mut next, mut defect) = line_end(text, from);
    while matches!(text.get(next), Some(b' ' | b'\t')) {
        let (further, after, also) = line_end(text, next);
        (end, next, defect) = (further, after, defect.or(also));
    }
    (end, next, defect)
}

fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_belong_to_the_line() {
        let text = b"A: b\r\n\tc\r\nTo :\n d\n\r\nbody";
        let mut lines = header_lines(text, &Limits::DEFAULT);
        let all: Vec<_> = lines.by_ref().map(Result::unwrap).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].value.of(text), b" b\r\n\tc");
        assert_eq!((all[1].name, all[1].name_text.of(text)), (HeaderName::To, &b"To"[..]));
        assert_eq!(&text[lines.at()..], b"\r\nbody");
    }

    #[test]
    fn defects_of_lines() {
        let defect = |text: &[u8]| header_lines(text, &Limits::DEFAULT).find_map(Result::err);
        assert_eq!(defect(b"Foobar roobar\r\n\r\n"), Some(ParseError::HeaderLine));
        assert_eq!(defect(b" folded: nothing\r\n\r\n"), Some(ParseError::HeaderLine));
        assert_eq!(defect(b": x\r\n\r\n"), Some(ParseError::HeaderName));
        assert_eq!(defect(b"A B: x\r\n\r\n"), Some(ParseError::HeaderName));
        assert_eq!(defect(b"A: x\rB: y\r\n\r\n"), Some(ParseError::BareCarriageReturn));
        assert_eq!(defect(b"A: x\r\r\n\r\n"), Some(ParseError::BareCarriageReturn));
        assert_eq!(defect(b"A: x\r\n"), None);
        let mut open = HeaderLines::lenient(b"A: x", 0, &Limits::DEFAULT);
        assert_eq!(open.next().unwrap().unwrap().defect, Some(ParseError::Unterminated));
        let long = [b"n".repeat(129), b": x\r\n".to_vec()].concat();
        assert_eq!(defect(&long), Some(ParseError::HeaderNameTooLong));
        let long = [b"n: ".to_vec(), b"x".repeat(40_000), b"\r\n".to_vec()].concat();
        assert_eq!(defect(&long), Some(ParseError::HeaderValueTooLong));
        assert_eq!(defect(&b"A: x\r\n".repeat(257)), Some(ParseError::TooManyHeaders));
    }
}
