//! The one pass that finds the lines of a message.

use super::{Header, INLINE_HEADERS, StartLine};
use crate::grammar::{LWS, TOKEN, all, is, number, trimmed};
use crate::lines::{HeaderLines, Place, line_end};
use crate::{HeaderName, Limits, Method, ParseError};
use memchr::{memchr, memrchr};
use smallvec::SmallVec;

/// Where everything lies in a buffer.
pub(super) struct Index {
    pub(super) start: StartLine,
    pub(super) headers_start: u32,
    pub(super) headers_end: u32,
    pub(super) headers: SmallVec<[Header; INLINE_HEADERS]>,
    pub(super) body: Place,
    pub(super) content_length: Option<u32>,
    /// Whether a Content-Length was met that makes all of them worthless.
    unbelievable: bool,
    pub(super) defect: Option<ParseError>,
}

pub(super) fn index(buffer: &[u8], limits: &Limits) -> Result<Index, ParseError> {
    if buffer.len() > limits.message as usize {
        return Err(ParseError::MessageTooLong);
    }
    let begin = buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let (line_end, headers_start, line_defect) = line_end(buffer, begin);
    let (start, start_defect) = start_line(buffer, begin, line_end)?;
    let mut index = Index {
        start,
        headers_start: narrow(headers_start),
        headers_end: 0,
        headers: SmallVec::new(),
        body: Place::new(0, 0),
        content_length: None,
        unbelievable: false,
        defect: start_defect.or(line_defect),
    };
    let headers_end = index.headers(buffer, headers_start, limits)?;
    index.headers_end = narrow(headers_end);
    index.place_body(buffer, headers_end);
    Ok(index)
}

impl Index {
    /// Finds the header lines; returns where the empty line begins.
    fn headers(&mut self, buffer: &[u8], from: usize, limits: &Limits) -> Result<usize, ParseError> {
        let mut vias = 0;
        let mut lines = HeaderLines::lenient(buffer, from, limits);
        for line in lines.by_ref() {
            let line = line?;
            self.defect = self.defect.or(line.defect);
            let (value_start, value_end) =
                trimmed(buffer, line.value.start as usize, line.value.end as usize);
            match line.name {
                HeaderName::Via if vias == limits.vias => return Err(ParseError::TooManyVias),
                HeaderName::Via => vias += 1,
                HeaderName::ContentLength => self.note_length(&buffer[value_start..value_end], limits),
                _ => {}
            }
            self.headers.push(Header {
                name_start: line.name_text.start,
                value_start: narrow(value_start),
                value_end: narrow(value_end),
                name_length: u16::try_from(line.name_text.end - line.name_text.start).unwrap_or(u16::MAX),
                name: line.name,
            });
        }
        Ok(lines.at())
    }

    fn note_length(&mut self, value: &[u8], limits: &Limits) {
        let length = number(value).and_then(|length| u32::try_from(length).ok());
        let length = length.filter(|&length| length <= limits.message);
        let defect = match (length, self.content_length) {
            (None, _) => ParseError::ContentLength,
            (Some(length), Some(before)) if length != before => ParseError::ContentLengthConflict,
            (Some(length), _) => {
                self.content_length = Some(length);
                return;
            }
        };
        self.unbelievable = true;
        self.defect = self.defect.or(Some(defect));
    }

    fn place_body(&mut self, buffer: &[u8], headers_end: usize) {
        let start = match buffer.get(headers_end..).unwrap_or_default() {
            [b'\r', b'\n', ..] => headers_end + 2,
            [b'\n', ..] => headers_end + 1,
            _ => {
                self.defect = self.defect.or(Some(ParseError::Unterminated));
                headers_end
            }
        };
        let present = buffer.len() - start;
        if self.unbelievable {
            self.content_length = None;
        }
        let length = match self.content_length.map(|length| length as usize) {
            Some(length) if length > present => {
                self.defect = self.defect.or(Some(ParseError::Truncated));
                present
            }
            Some(length) => length,
            None => present,
        };
        self.body = Place::new(start, start + length);
    }
}

fn start_line(
    buffer: &[u8],
    begin: usize,
    end: usize,
) -> Result<(StartLine, Option<ParseError>), ParseError> {
    let line = &buffer[begin..end];
    if line.len() >= 4 && line[..4].eq_ignore_ascii_case(b"SIP/") {
        return Ok((status_line(line, begin)?, None));
    }
    if buffer[begin..].iter().all(|&byte| is(byte, LWS)) {
        return Err(ParseError::Empty);
    }
    request_line(line, begin)
}

/// `Method SP Request-URI SP SIP-Version`. White space in excess is a defect: it stays with the URI, which is
/// refused for it.
fn request_line(line: &[u8], begin: usize) -> Result<(StartLine, Option<ParseError>), ParseError> {
    let method_end = memchr(b' ', line).ok_or(ParseError::StartLine)?;
    let (_, end) = trimmed(line, method_end, line.len());
    let version_start = memrchr(b' ', &line[..end]).ok_or(ParseError::StartLine)? + 1;
    let (method, version) = (&line[..method_end], &line[version_start..end]);
    if !all(method, TOKEN) || version_start <= method_end + 1 {
        return Err(ParseError::StartLine);
    }
    if version.len() < 4 || !version[..4].eq_ignore_ascii_case(b"SIP/") {
        return Err(ParseError::StartLine);
    }
    let defect = match version {
        version if !version.eq_ignore_ascii_case(b"SIP/2.0") => Some(ParseError::Version),
        _ => (end < line.len()).then_some(ParseError::StartLine),
    };
    let start = StartLine {
        status: 0,
        method: Method::of(method),
        first: Place::new(begin, begin + method_end),
        second: Place::new(begin + method_end + 1, begin + version_start - 1),
    };
    Ok((start, defect))
}

/// `SIP-Version SP Status-Code SP Reason-Phrase`; the second space may be missing when there is no phrase.
fn status_line(line: &[u8], begin: usize) -> Result<StartLine, ParseError> {
    let version_end = memchr(b' ', line).ok_or(ParseError::StartLine)?;
    if !line[..version_end].eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(ParseError::Version);
    }
    let rest = &line[version_end + 1..];
    let code_length = memchr(b' ', rest).unwrap_or(rest.len());
    let status = Some(&rest[..code_length]).filter(|code| code.len() == 3).and_then(number);
    let status =
        status.and_then(|status| u16::try_from(status).ok()).filter(|status| (100..700).contains(status));
    let reason = (version_end + 1 + code_length + 1).min(line.len());
    Ok(StartLine {
        status: status.ok_or(ParseError::StatusCode)?,
        method: Method::Other,
        first: Place::new(begin, begin + version_end),
        second: Place::new(begin + reason, begin + line.len()),
    })
}

fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}
