//! A message: its bytes, and where its lines lie in them.

mod fields;
mod index;
mod validate;

pub use validate::Rejection;

use crate::cseq::CSeqRef;
use crate::grammar::same;
use crate::lines::Place;
use crate::list::Values;
use crate::name_addr::NameAddrSpans;
use crate::uri::UriSpans;
use crate::via::ViaSpans;
use crate::{Edits, HeaderName, Limits, Method, ParseError};
use smallvec::SmallVec;
use std::cell::OnceCell;

/// A SIP message that owns its bytes.
///
/// Made by [`Message::parse`]; gives its buffer back by [`Message::into_buffer`]. What was parsed on demand
/// is remembered, so asking twice costs once.
///
/// ```
/// use tocsin_sip::{Edits, HeaderName, Limits, Message, Method};
///
/// let bytes = b"OPTIONS sip:b@example.com SIP/2.0\r\n\
///     Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
///     From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\n\
///     Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n";
/// let message = Message::parse(bytes.to_vec(), &Limits::default()).map_err(|(error, _)| error)?;
/// assert_eq!(message.method(), Method::Options);
/// assert_eq!(message.header(HeaderName::CallId), Some(&b"1"[..]));
///
/// // A message never changes: what is sent are its bytes with edits applied.
/// let mut edits = Edits::new();
/// assert!(edits.decrement_max_forwards(&message));
/// let mut out = Vec::new();
/// message.print_into(&edits, &mut out);
/// assert!(out.windows(17).any(|text| text == b"Max-Forwards: 69\r"));
/// # Ok::<(), tocsin_sip::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Message {
    buffer: Vec<u8>,
    start: StartLine,
    /// Where the first header line begins.
    headers_start: u32,
    /// Where the empty line begins, or the end of the buffer when there is none.
    headers_end: u32,
    headers: SmallVec<[Header; INLINE_HEADERS]>,
    body: Place,
    content_length: Option<u32>,
    defect: Option<ParseError>,
    limits: Limits,
    remembered: Remembered,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A request.
    Request {
        /// The method; see [`Message::method_text`] for one not known.
        method: Method,
        /// The Request-URI as it came; see [`Message::ruri`] to have it read.
        uri: &'a [u8],
    },
    /// A response.
    Reply {
        /// The status code, 100 to 699.
        status: u16,
        /// The reason phrase, which may be empty.
        reason: &'a [u8],
    },
}

/// One header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderRef<'a> {
    /// Its place among the header fields of the message, from 0: what [`Edits`] takes.
    pub index: usize,
    /// Which it is.
    pub name: HeaderName,
    /// The name as it came.
    pub name_text: &'a [u8],
    /// The value without white space around it, folds as they came (see [`unfold`](crate::unfold)).
    pub value: &'a [u8],
}

/// One value of a header field that may hold several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueRef<'a> {
    /// The header field's place among those of the message, from 0.
    pub header: usize,
    /// The value's place in the header field, from 0.
    pub value: usize,
    /// The value without white space around it.
    pub text: &'a [u8],
}

impl Message {
    /// Takes over a buffer that holds one message and finds its lines.
    ///
    /// Line ends may be LF alone, and empty lines before the message are skipped (RFC 3261 section 7.5).
    /// Content-Length decides what is body (section 18.3): bytes behind it are not part of the message, and
    /// without it the body reaches to the end. A message that can be read but breaks a rule - a line without
    /// a colon, a body shorter than Content-Length - is returned with its [`defect`](Message::defect) noted:
    /// a request has to be answered, which takes its header fields. [`validate`](Message::validate) tells
    /// what to answer.
    ///
    /// # Errors
    /// The reason and the buffer, when there is no message to be read or a limit is reached:
    /// [`ParseError::Empty`], [`ParseError::StartLine`], [`ParseError::StatusCode`], [`ParseError::Version`]
    /// (of a reply), and those of [`Limits`].
    pub fn parse(buffer: Vec<u8>, limits: &Limits) -> Result<Self, (ParseError, Vec<u8>)> {
        match index::index(&buffer, limits) {
            Ok(index) => Ok(Self {
                buffer,
                start: index.start,
                headers_start: index.headers_start,
                headers_end: index.headers_end,
                headers: index.headers,
                body: index.body,
                content_length: index.content_length,
                defect: index.defect,
                limits: *limits,
                remembered: Remembered::default(),
            }),
            Err(error) => Err((error, buffer)),
        }
    }

    /// The buffer, to be used again. Its bytes are those that came.
    #[must_use]
    pub fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// Moves the message into a buffer of its own size and returns the buffer that it came in, which may be far larger:
    /// for a message that is kept. `None` when the buffer is of its size already.
    pub fn fit(&mut self) -> Option<Vec<u8>> {
        if self.buffer.capacity() <= 2 * self.buffer.len() {
            return None;
        }
        let own = self.buffer.as_slice().to_vec();
        Some(std::mem::replace(&mut self.buffer, own))
    }

    /// The bytes of the message: from its first line to the end of its body.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start.first.start as usize..self.body.end as usize).unwrap_or_default()
    }

    /// What the message is.
    #[must_use]
    pub fn kind(&self) -> Kind<'_> {
        let second = self.start.second.of(&self.buffer);
        match self.start.status {
            0 => Kind::Request { method: self.start.method, uri: second },
            status => Kind::Reply { status, reason: second },
        }
    }

    /// Whether it is a request.
    #[must_use]
    pub fn is_request(&self) -> bool {
        self.start.status == 0
    }

    /// The status code of a reply.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        (self.start.status != 0).then_some(self.start.status)
    }

    /// The method: of a request that of its first line, of a reply that of its CSeq.
    #[must_use]
    pub fn method(&self) -> Method {
        if self.is_request() {
            self.start.method
        } else {
            self.cseq().map_or(Method::Other, |cseq| cseq.method)
        }
    }

    /// The name of the [`method`](Message::method) as it came.
    #[must_use]
    pub fn method_text(&self) -> &[u8] {
        if self.is_request() {
            self.start.first.of(&self.buffer)
        } else {
            self.cseq().map_or(&[], |cseq| cseq.method_text)
        }
    }

    /// The bounds the message came in under.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The first rule found broken while the lines were found, if the message could be read nevertheless.
    #[must_use]
    pub fn defect(&self) -> Option<ParseError> {
        self.defect
    }

    /// The body; of a message whose Content-Length cannot be believed, all that follows the header fields.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.body.of(&self.buffer)
    }

    /// Where the header fields begin in [`Self::bytes`].
    #[must_use]
    pub fn headers_offset(&self) -> usize {
        self.headers_start() - self.start_offset()
    }

    /// Where the body lies in [`Self::bytes`].
    #[must_use]
    pub fn body_range(&self) -> std::ops::Range<usize> {
        let (start, end) = (self.body.start as usize, self.body.end as usize);
        start - self.start_offset()..end - self.start_offset()
    }

    /// How many header fields there are.
    #[must_use]
    pub fn header_count(&self) -> usize {
        self.headers.len()
    }

    /// The header field at this place.
    #[must_use]
    pub fn header_at(&self, index: usize) -> Option<HeaderRef<'_>> {
        self.headers.get(index).map(|header| self.reference(index, header))
    }

    /// All header fields in their order.
    pub fn all_headers(&self) -> impl DoubleEndedIterator<Item = HeaderRef<'_>> + ExactSizeIterator {
        self.headers.iter().enumerate().map(|(index, header)| self.reference(index, header))
    }

    /// The header fields of this name in their order; [`HeaderName::Other`] is all those not known.
    pub fn headers(&self, name: HeaderName) -> impl DoubleEndedIterator<Item = HeaderRef<'_>> {
        let named = self.headers.iter().enumerate().filter(move |(_, header)| header.name == name);
        named.map(|(index, header)| self.reference(index, header))
    }

    /// The value of the first header field of this name.
    #[must_use]
    pub fn header(&self, name: HeaderName) -> Option<&[u8]> {
        self.first(name).map(|header| header.value().of(&self.buffer))
    }

    /// The header fields of this name, in full or compact form and letters of either case.
    pub fn headers_by_text<'a>(&'a self, name: &'a [u8]) -> impl DoubleEndedIterator<Item = HeaderRef<'a>> {
        let known = HeaderName::of(name);
        self.headers(known).filter(move |header| known != HeaderName::Other || same(header.name_text, name))
    }

    /// The value of the first header field of this name, in full or compact form and letters of either case.
    #[must_use]
    pub fn header_by_text(&self, name: &[u8]) -> Option<&[u8]> {
        let known = HeaderName::of(name);
        let found = self.headers.iter().find(|header| {
            header.name == known
                && (known != HeaderName::Other || same(header.name_text().of(&self.buffer), name))
        });
        found.map(|header| header.value().of(&self.buffer))
    }

    /// The comma-separated values of all header fields of this name, in their order.
    pub fn values(&self, name: HeaderName) -> impl Iterator<Item = Result<ValueRef<'_>, ParseError>> {
        self.headers(name).flat_map(|header| {
            Values::new(header.value, self.limits.values).enumerate().map(move |(value, found)| {
                found.map(|found| ValueRef { header: header.index, value, text: found.text })
            })
        })
    }

    /// Appends the message with the edits applied; bytes no edit touches are written as they came. Bytes
    /// behind the body are not written.
    pub fn print_into(&self, edits: &Edits, out: &mut Vec<u8>) {
        edits.apply(&self.buffer, self.start.first.start as usize, self.body.end as usize, out);
    }

    fn first(&self, name: HeaderName) -> Option<&Header> {
        self.headers.iter().find(|header| header.name == name)
    }

    fn reference(&self, index: usize, header: &Header) -> HeaderRef<'_> {
        HeaderRef {
            index,
            name: header.name,
            name_text: header.name_text().of(&self.buffer),
            value: header.value().of(&self.buffer),
        }
    }
}

/// What the writers need to know: places in the buffer.
impl Message {
    pub(crate) fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// Where [`Self::bytes`] begins: behind blank lines that came before.
    pub(crate) fn start_offset(&self) -> usize {
        self.start.first.start as usize
    }

    /// Where the method or the version of a reply stands.
    pub(crate) fn first_place(&self) -> Place {
        self.start.first
    }

    /// Where the Request-URI or the reason phrase stands.
    pub(crate) fn second_place(&self) -> Place {
        self.start.second
    }

    pub(crate) fn headers_start(&self) -> usize {
        self.headers_start as usize
    }

    pub(crate) fn headers_end(&self) -> usize {
        self.headers_end as usize
    }

    pub(crate) fn body_place(&self) -> Place {
        self.body
    }

    /// The whole line of a header field, continuations and line end included.
    pub(crate) fn line_place(&self, index: usize) -> Option<Place> {
        let start = self.headers.get(index)?.name_start;
        let end = self.headers.get(index + 1).map_or(self.headers_end, |next| next.name_start);
        Some(Place { start, end })
    }

    pub(crate) fn value_place(&self, index: usize) -> Option<Place> {
        self.headers.get(index).map(Header::value)
    }
}

/// Header fields that fit without an allocation: more than most messages have.
const INLINE_HEADERS: usize = 24;

/// The first line.
#[derive(Clone, Copy, Debug)]
struct StartLine {
    /// 0 for a request.
    status: u16,
    method: Method,
    /// The method, or the version of a reply.
    first: Place,
    /// The Request-URI, or the reason phrase.
    second: Place,
}

/// Where a header field lies. Small: a scan over all of them stays within a few cache lines.
#[derive(Clone, Copy, Debug)]
struct Header {
    name_start: u32,
    value_start: u32,
    value_end: u32,
    name_length: u16,
    name: HeaderName,
}

impl Header {
    fn name_text(&self) -> Place {
        Place { start: self.name_start, end: self.name_start + u32::from(self.name_length) }
    }

    fn value(&self) -> Place {
        Place { start: self.value_start, end: self.value_end }
    }
}

/// What was read on demand, or why it could not be.
#[derive(Clone, Debug, Default)]
struct Remembered {
    ruri: OnceCell<Result<UriSpans, ParseError>>,
    via: OnceCell<Result<Found<ViaSpans>, ParseError>>,
    from: OnceCell<Result<Found<NameAddrSpans>, ParseError>>,
    to: OnceCell<Result<Found<NameAddrSpans>, ParseError>>,
    cseq: OnceCell<Result<Found<CSeqNumber>, ParseError>>,
}

/// Something read, and the text it was read from.
#[derive(Clone, Copy, Debug)]
struct Found<T> {
    place: Place,
    spans: T,
}

#[derive(Clone, Copy, Debug)]
struct CSeqNumber {
    number: u32,
    method: Method,
}

impl Found<CSeqNumber> {
    fn view(self, buffer: &[u8]) -> CSeqRef<'_> {
        CSeqRef { number: self.spans.number, method: self.spans.method, method_text: self.place.of(buffer) }
    }
}

#[cfg(test)]
mod tests;
