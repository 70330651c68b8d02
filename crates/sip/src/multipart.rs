//! Bodies made of parts (RFC 5621, RFC 2046 section 5.1).

use crate::grammar::{same, trim};
use crate::lines::{HeaderLine, header_lines};
use crate::{ContentTypeRef, HeaderName, Limits, ParseError};
use memchr::memmem;

/// The parts of a multipart body, in their order. What stands before the first and behind the last is
/// skipped.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    /// From behind the line end of the last delimiter on; `None` once the closing delimiter was met.
    rest: Option<&'a [u8]>,
    boundary: &'a [u8],
    left: u16,
    depth: u8,
    limits: Limits,
}

impl<'a> Parts<'a> {
    /// The parts of a body of this type.
    ///
    /// # Errors
    /// [`ParseError::Multipart`] if the type has no usable boundary, or the body does not begin with it.
    pub fn new(
        body: &'a [u8],
        content_type: &ContentTypeRef<'a>,
        limits: &Limits,
    ) -> Result<Self, ParseError> {
        Self::at_depth(body, content_type, limits, 1)
    }

    fn at_depth(
        body: &'a [u8],
        content_type: &ContentTypeRef<'a>,
        limits: &Limits,
        depth: u8,
    ) -> Result<Self, ParseError> {
        if !content_type.is_multipart() {
            return Err(ParseError::Multipart);
        }
        if depth > limits.multipart_depth {
            return Err(ParseError::MultipartTooDeep);
        }
        let boundary = content_type.boundary()?;
        let first = delimiter(body, boundary).ok_or(ParseError::Multipart)?;
        let rest = (!first.closing).then_some(first.after);
        Ok(Self { rest, boundary, left: limits.parts, depth, limits: *limits })
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let Some(left) = self.left.checked_sub(1) else { return Some(Err(ParseError::TooManyParts)) };
        self.left = left;
        let Some(end) = delimiter(rest, self.boundary) else { return Some(Err(ParseError::Multipart)) };
        self.rest = (!end.closing).then_some(end.after);
        Some(Part::split(end.before, self.depth, &self.limits))
    }
}

/// One part of a multipart body.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    headers: &'a [u8],
    body: &'a [u8],
    depth: u8,
    limits: Limits,
}

impl<'a> Part<'a> {
    fn split(text: &'a [u8], depth: u8, limits: &Limits) -> Result<Self, ParseError> {
        let mut lines = header_lines(text, limits);
        for line in lines.by_ref() {
            line?;
        }
        let (headers, body) = text.split_at(lines.at().min(text.len()));
        let body = body.strip_prefix(b"\r\n").or_else(|| body.strip_prefix(b"\n")).unwrap_or(body);
        Ok(Self { headers, body, depth, limits: *limits })
    }

    /// The bytes of the part's header fields; may be empty.
    #[must_use]
    pub fn headers_text(&self) -> &'a [u8] {
        self.headers
    }

    /// The bytes of the part; may be empty.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The value of the first header field of this name.
    #[must_use]
    pub fn header(&self, name: HeaderName) -> Option<&'a [u8]> {
        self.find(|line| line.name == name && name != HeaderName::Other)
    }

    /// The value of the first header field of this name, letters of either case.
    #[must_use]
    pub fn header_by_text(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.find(|line| same(line.name_text.of(self.headers), name))
    }

    /// The type of the part, if it says one; `text/plain` is meant otherwise.
    ///
    /// # Errors
    /// [`ParseError::ContentType`] or a parameter error.
    pub fn content_type(&self) -> Result<Option<ContentTypeRef<'a>>, ParseError> {
        self.header(HeaderName::ContentType)
            .map(|value| ContentTypeRef::parse(value, &self.limits))
            .transpose()
    }

    /// The parts of this part, if it is multipart itself.
    ///
    /// # Errors
    /// [`ParseError::MultipartTooDeep`], or as [`Parts::new`].
    pub fn parts(&self) -> Result<Parts<'a>, ParseError> {
        let content_type = self.content_type()?.ok_or(ParseError::Multipart)?;
        Parts::at_depth(self.body, &content_type, &self.limits, self.depth.saturating_add(1))
    }

    fn find(&self, wanted: impl Fn(&HeaderLine) -> bool) -> Option<&'a [u8]> {
        let line = header_lines(self.headers, &self.limits).filter_map(Result::ok).find(wanted)?;
        Some(trim(line.value.of(self.headers)))
    }
}

struct Delimiter<'a> {
    /// What stands before it, without the line end that belongs to the delimiter.
    before: &'a [u8],
    after: &'a [u8],
    closing: bool,
}

/// The next delimiter line: `--boundary` at the begin of a line, with nothing but white space behind it.
fn delimiter<'a>(text: &'a [u8], boundary: &[u8]) -> Option<Delimiter<'a>> {
    let finder = memmem::Finder::new(boundary);
    let mut from = 0;
    loop {
        let found = from + finder.find(text.get(from..)?)?;
        from = found + 1;
        let Some(dashes) = found.checked_sub(2).filter(|&at| text[at..found] == *b"--") else { continue };
        let before = &text[..dashes];
        if !before.is_empty() && before.last() != Some(&b'\n') {
            continue;
        }
        let mut behind = &text[found + boundary.len()..];
        let closing = behind.starts_with(b"--");
        if closing {
            behind = &behind[2..];
        }
        let padding = behind.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let behind = &behind[padding..];
        let after = behind.strip_prefix(b"\r\n").or_else(|| behind.strip_prefix(b"\n"));
        if let Some(after) = after.or((closing && behind.is_empty()).then_some(behind)) {
            let before = before.strip_suffix(b"\n").unwrap_or(before);
            return Some(Delimiter { before: before.strip_suffix(b"\r").unwrap_or(before), after, closing });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts<'a>(kind: &'a str, body: &'a [u8]) -> Result<Vec<Part<'a>>, ParseError> {
        let kind = ContentTypeRef::parse(kind.as_bytes(), &Limits::DEFAULT)?;
        Parts::new(body, &kind, &Limits::DEFAULT)?.collect()
    }

    const MIXED: &str = "multipart/mixed;boundary=b";

    #[test]
    fn parts_are_found_between_the_delimiters() {
        let body = b"preamble\r\n--b\r\nContent-Type: application/sdp\r\nX-Y:\r\n z\r\n\r\nv=0\r\n\r\n--b  \r\n\r\nplain --b--\r\n--bx\r\n--b--\r\nepilogue --b";
        let parts = parts(MIXED, body).unwrap();
        assert_eq!(parts.len(), 2);
        assert!(parts[0].content_type().unwrap().unwrap().is(b"application", b"sdp"));
        assert_eq!(parts[0].header_by_text(b"x-y"), Some(&b"z"[..]));
        assert_eq!(parts[0].body(), b"v=0\r\n");
        assert_eq!(parts[1].headers_text(), b"");
        assert_eq!(parts[1].body(), b"plain --b--\r\n--bx");
        assert_eq!(parts[1].header(HeaderName::Other), None);
    }

    #[test]
    fn empty_parts_are_empty_and_no_more() {
        let none = parts(MIXED, b"--b--").unwrap();
        assert!(none.is_empty());
        let parts = parts(MIXED, b"--b\r\n--b\r\n\r\n--b\r\nA: b\r\n--b\r\nA: b\r\n\r\n--b--").unwrap();
        assert_eq!(parts.iter().map(Part::body).collect::<Vec<_>>(), [&b""[..]; 4]);
    }

    #[test]
    fn bodies_that_do_not_keep_to_the_boundary() {
        for body in [
            &b""[..],
            b"x",
            b"--",
            b"--b",
            b"--b\r\n",
            b"--b\r\nA: b\r\n\r\nx",
            b"x--b--",
            b"--b\r\nno colon\r\n\r\n--b--",
        ] {
            assert!(parts(MIXED, body).is_err(), "{body:?}");
        }
        assert_eq!(parts("text/plain;boundary=b", b"--b--").err(), Some(ParseError::Multipart));
    }

    #[test]
    fn too_many_parts() {
        let body = [b"--b\r\n\r\nx\r\n".repeat(33), b"--b--".to_vec()].concat();
        assert_eq!(parts(MIXED, &body).err(), Some(ParseError::TooManyParts));
    }

    #[test]
    fn nesting_ends() {
        let mut body = b"x".to_vec();
        for _ in 0..5 {
            body = [b"--b\r\nContent-Type: multipart/mixed;boundary=b\r\n\r\n", &body[..], b"\r\n--b--"]
                .concat();
        }
        // Every level has the same boundary: the innermost text is what the first level holds, and levels are
        // still counted.
        let kind = ContentTypeRef::parse(MIXED.as_bytes(), &Limits::DEFAULT).unwrap();
        let mut depth = 0;
        let mut level = Parts::at_depth(&body, &kind, &Limits::DEFAULT, 4);
        while let Ok(mut parts) = level {
            depth += 1;
            let Some(Ok(part)) = parts.next() else { break };
            level = part.parts();
        }
        assert_eq!(depth, 1);
        let deep = Parts::at_depth(&body, &kind, &Limits::DEFAULT, 5);
        assert_eq!(deep.err(), Some(ParseError::MultipartTooDeep));
    }
}
