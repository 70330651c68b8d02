//! Everything that can be wrong with a message.

use crate::HeaderName;
use thiserror::Error;

/// Why a message, or a part of one, was refused.
///
/// Small and `Copy`: counted by variant, logged by its text. The text names the rule, never bytes of the
/// message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Nothing but white space, or nothing at all.
    #[error("empty message")]
    Empty,
    /// Longer than [`Limits::message`](crate::Limits::message).
    #[error("message too long")]
    MessageTooLong,
    /// The first line is neither a request line nor a status line (RFC 3261 section 7).
    #[error("malformed start line")]
    StartLine,
    /// A status code that is not three digits between 100 and 699.
    #[error("status code out of range")]
    StatusCode,
    /// A protocol version other than SIP/2.0.
    #[error("SIP version not supported")]
    Version,
    /// A header line without a colon, or a continuation of nothing.
    #[error("malformed header line")]
    HeaderLine,
    /// A header field name that is empty or not a token.
    #[error("malformed header name")]
    HeaderName,
    /// Longer than [`Limits::header_name`](crate::Limits::header_name).
    #[error("header name too long")]
    HeaderNameTooLong,
    /// Longer than [`Limits::header_value`](crate::Limits::header_value).
    #[error("header value too long")]
    HeaderValueTooLong,
    /// More than [`Limits::headers`](crate::Limits::headers).
    #[error("too many header fields")]
    TooManyHeaders,
    /// More than [`Limits::vias`](crate::Limits::vias).
    #[error("too many Via header fields")]
    TooManyVias,
    /// A carriage return without a line feed: others may read it as the end of a line.
    #[error("carriage return without line feed")]
    BareCarriageReturn,
    /// The bytes end before the empty line that ends the header fields: something was cut off.
    #[error("message ends within its header fields")]
    Unterminated,
    /// A Content-Length that is not a number, or is larger than any message may be.
    #[error("invalid Content-Length")]
    ContentLength,
    /// Several Content-Length fields that do not agree.
    #[error("conflicting Content-Length")]
    ContentLengthConflict,
    /// Fewer bytes of body than Content-Length says (RFC 3261 section 18.3).
    #[error("message body truncated")]
    Truncated,
    /// A header field that has to be there is not.
    #[error("missing {0} header field")]
    Missing(HeaderName),
    /// A header field that may be there once is there several times.
    #[error("duplicate {0} header field")]
    Duplicate(HeaderName),
    /// More values in one header field than [`Limits::values`](crate::Limits::values).
    #[error("too many values in a header field")]
    TooManyValues,
    /// More parameters than [`Limits::parameters`](crate::Limits::parameters).
    #[error("too many parameters")]
    TooManyParameters,
    /// A parameter without a name, or with characters that cannot be.
    #[error("malformed parameter")]
    Parameter,
    /// A parameter that may be there once is there twice (RFC 3261 section 7.3.1).
    #[error("duplicate parameter")]
    DuplicateParameter,
    /// A quoted string that does not end.
    #[error("unbalanced quotes")]
    Quotes,
    /// A number that is not digits.
    #[error("malformed number")]
    Number,
    /// A URI longer than [`Limits::uri`](crate::Limits::uri).
    #[error("URI too long")]
    UriTooLong,
    /// No scheme, or an impossible one.
    #[error("malformed URI scheme")]
    UriScheme,
    /// A byte that cannot be in a URI: white space, control, quote or angle bracket.
    #[error("character not allowed in a URI")]
    UriCharacter,
    /// An empty user part, or more than one `@`.
    #[error("malformed user part of a URI")]
    UriUser,
    /// A host that is no name, no IPv4 address and no IPv6 reference.
    #[error("malformed host of a URI")]
    UriHost,
    /// A port that is not a number from 1 to 65535.
    #[error("malformed port of a URI")]
    UriPort,
    /// URI parameters or headers without a name.
    #[error("malformed parameters of a URI")]
    UriParameters,
    /// Header fields within the Request-URI (RFC 3261 section 19.1.1, table 1).
    #[error("header fields in the Request-URI")]
    UriHeaders,
    /// A comma or question mark in a URI without angle brackets (RFC 3261 section 20).
    #[error("URI needs angle brackets")]
    UnbracketedUri,
    /// A `name-addr` or `addr-spec` that is none.
    #[error("malformed address")]
    Address,
    /// A Via value out of the grammar.
    #[error("malformed Via")]
    Via,
    /// A CSeq out of the grammar.
    #[error("malformed CSeq")]
    CSeq,
    /// A CSeq number of 2^31 or more (RFC 3261 section 8.1.1.5).
    #[error("CSeq number out of range")]
    CSeqRange,
    /// The method of CSeq is not the method of the request.
    #[error("CSeq method does not match the request")]
    CSeqMethod,
    /// A Call-ID that is empty or holds white space.
    #[error("malformed Call-ID")]
    CallId,
    /// A Max-Forwards that is not a number from 0 to 255.
    #[error("invalid Max-Forwards")]
    MaxForwards,
    /// Credentials or a challenge out of the grammar.
    #[error("malformed credentials")]
    Credentials,
    /// A Content-Type out of the grammar.
    #[error("malformed Content-Type")]
    ContentType,
    /// A multipart body without a usable boundary, or that does not keep to it.
    #[error("malformed multipart body")]
    Multipart,
    /// Multipart bodies nested deeper than [`Limits::multipart_depth`](crate::Limits::multipart_depth).
    #[error("multipart body nested too deep")]
    MultipartTooDeep,
    /// More parts than [`Limits::parts`](crate::Limits::parts).
    #[error("too many parts in a multipart body")]
    TooManyParts,
}

impl ParseError {
    /// The name of the limit that was reached, as in [`Limits`](crate::Limits), if it was one: what counters
    /// are kept by.
    #[must_use]
    pub const fn limit(self) -> Option<&'static str> {
        match self {
            Self::MessageTooLong => Some("message"),
            Self::TooManyHeaders => Some("headers"),
            Self::HeaderNameTooLong => Some("header_name"),
            Self::HeaderValueTooLong => Some("header_value"),
            Self::UriTooLong => Some("uri"),
            Self::TooManyParameters => Some("parameters"),
            Self::TooManyValues => Some("values"),
            Self::TooManyVias => Some("vias"),
            Self::MultipartTooDeep => Some("multipart_depth"),
            Self::TooManyParts => Some("parts"),
            _ => None,
        }
    }
}
