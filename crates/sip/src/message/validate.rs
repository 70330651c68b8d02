//! Whether a message may be worked on (RFC 3261 sections 8.1.1, 8.2 and 16.3, as RFC 4475 tests it).

use super::Message;
use crate::{HeaderName, Method, ParseError};

/// Why a message may not be worked on, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// A request to be answered.
    Answer {
        /// The status code: 400, 414 or 505.
        status: u16,
        /// The reason phrase to send.
        reason: &'static str,
        /// What is wrong.
        error: ParseError,
    },
    /// A reply, or an ACK: nothing may be sent back, the message is dropped.
    Drop {
        /// What is wrong.
        error: ParseError,
    },
}

impl Rejection {
    /// What is wrong.
    #[must_use]
    pub fn error(&self) -> ParseError {
        match *self {
            Self::Answer { error, .. } | Self::Drop { error } => error,
        }
    }
}

impl Message {
    /// Checks what every message must have before it is worked on: the defects of its lines, the version, the
    /// mandatory header fields once each and readable, CSeq agreeing with the request, Max-Forwards, the
    /// Request-URI, and the Contacts of a REGISTER.
    ///
    /// A missing Max-Forwards, a missing tag or a branch without cookie is let pass: RFC 2543 has them (RFC
    /// 4475 section 3.4.1). A scheme nobody knows is let pass too: that is for routing to refuse with 416.
    ///
    /// # Errors
    /// What to answer, or that the message must be dropped.
    pub fn validate(&self) -> Result<(), Rejection> {
        self.check_form().and_then(|()| self.check_values()).map_err(|error| self.rejection(error))
    }

    /// Checks only what nobody can do without: the form of the lines, the version, and the mandatory header fields that
    /// say which transaction and dialog a message belongs to. Whether its URIs and Max-Forwards can be read is for those
    /// to find out who read them.
    ///
    /// # Errors
    /// What to answer, or that the message must be dropped.
    pub fn validate_form(&self) -> Result<(), Rejection> {
        self.check_form().map_err(|error| self.rejection(error))
    }

    /// The same, but From and To need not be readable.
    ///
    /// # Errors
    /// What to answer, or that the message must be dropped.
    pub fn validate_apart_from_parties(&self) -> Result<(), Rejection> {
        self.check_lines().map_err(|error| self.rejection(error))
    }

    fn rejection(&self, error: ParseError) -> Rejection {
        if !self.is_request() || self.start.method == Method::Ack {
            return Rejection::Drop { error };
        }
        match error {
            ParseError::Version => Rejection::Answer { status: 505, reason: "Version Not Supported", error },
            ParseError::UriTooLong if self.ruri().is_err() => {
                Rejection::Answer { status: 414, reason: "Request-URI Too Long", error }
            }
            _ => Rejection::Answer { status: 400, reason: reason(error), error },
        }
    }

    fn check_form(&self) -> Result<(), ParseError> {
        self.check_lines()?;
        self.from()?;
        self.to()?;
        Ok(())
    }

    fn check_lines(&self) -> Result<(), ParseError> {
        if let Some(defect) = self.defect {
            return Err(defect);
        }
        self.check_single()?;
        self.via()?;
        self.call_id()?;
        let cseq = self.cseq()?;
        if self.is_request() && cseq.method_text != self.method_text() {
            return Err(ParseError::CSeqMethod);
        }
        Ok(())
    }

    fn check_values(&self) -> Result<(), ParseError> {
        if !self.is_request() {
            // The URIs in a reply are for the one it goes to: a proxy finds its way by Via alone.
            return Ok(());
        }
        self.from()?.uri()?;
        self.to()?.uri()?;
        self.max_forwards()?;
        if self.ruri()?.headers_text().is_some() {
            return Err(ParseError::UriHeaders);
        }
        if self.start.method == Method::Register {
            for contact in self.contacts() {
                contact?.uri()?;
            }
        }
        Ok(())
    }

    /// One look at every header field: which are there, and none twice that may not be.
    fn check_single(&self) -> Result<(), ParseError> {
        const SINGLE: [HeaderName; 5] =
            [HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq, HeaderName::MaxForwards];
        let mut seen = [false; SINGLE.len()];
        for header in &self.headers {
            if let Some(place) = SINGLE.iter().position(|&name| name == header.name)
                && std::mem::replace(&mut seen[place], true)
            {
                return Err(ParseError::Duplicate(header.name));
            }
        }
        Ok(())
    }
}

fn reason(error: ParseError) -> &'static str {
    match error {
        ParseError::Missing(HeaderName::Via) => "Missing Via Header Field",
        ParseError::Missing(HeaderName::From) => "Missing From Header Field",
        ParseError::Missing(HeaderName::To) => "Missing To Header Field",
        ParseError::Missing(HeaderName::CallId) => "Missing Call-ID Header Field",
        ParseError::Missing(_) => "Missing CSeq Header Field",
        ParseError::Duplicate(HeaderName::From) => "Multiple From Header Fields",
        ParseError::Duplicate(HeaderName::To) => "Multiple To Header Fields",
        ParseError::Duplicate(HeaderName::CallId) => "Multiple Call-ID Header Fields",
        ParseError::Duplicate(HeaderName::CSeq) => "Multiple CSeq Header Fields",
        ParseError::Duplicate(_) => "Multiple Max-Forwards Header Fields",
        ParseError::StartLine => "Malformed Request Line",
        ParseError::HeaderLine | ParseError::HeaderName => "Malformed Header Line",
        ParseError::BareCarriageReturn => "Carriage Return Without Line Feed",
        ParseError::Unterminated => "Message Ends Within Its Header Fields",
        ParseError::ContentLength => "Invalid Content-Length",
        ParseError::ContentLengthConflict => "Conflicting Content-Length",
        ParseError::Truncated => "Message Body Truncated",
        ParseError::Via => "Malformed Via",
        ParseError::CSeq | ParseError::CSeqRange => "Invalid CSeq",
        ParseError::CSeqMethod => "CSeq Method Does Not Match",
        ParseError::CallId => "Malformed Call-ID",
        ParseError::MaxForwards => "Invalid Max-Forwards",
        ParseError::UriHeaders => "Header Fields In Request-URI",
        ParseError::Address | ParseError::Quotes | ParseError::UnbracketedUri => "Malformed Address",
        ParseError::Parameter | ParseError::DuplicateParameter => "Malformed Parameter",
        ParseError::UriScheme
        | ParseError::UriCharacter
        | ParseError::UriUser
        | ParseError::UriHost
        | ParseError::UriPort
        | ParseError::UriParameters => "Malformed URI",
        _ => "Bad Request",
    }
}
