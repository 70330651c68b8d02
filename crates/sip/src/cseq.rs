//! CSeq (RFC 3261 section 20.16).

use crate::grammar::{Cursor, DIGIT, TOKEN, number};
use crate::{Method, ParseError};

/// One more than the largest CSeq number (RFC 3261 section 8.1.1.5).
pub const CSEQ_END: u32 = 1 << 31;

/// A CSeq value, read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeqRef<'a> {
    /// The sequence number, below [`CSEQ_END`].
    pub number: u32,
    /// The method.
    pub method: Method,
    /// The method as it came.
    pub method_text: &'a [u8],
}

impl<'a> CSeqRef<'a> {
    /// Reads `1*DIGIT LWS Method`.
    ///
    /// # Errors
    /// [`ParseError::CSeq`] or [`ParseError::CSeqRange`].
    pub fn parse(text: &'a [u8]) -> Result<Self, ParseError> {
        let mut cursor = Cursor::new(text);
        cursor.skip_lws();
        let digits = number(cursor.run(DIGIT).of(text)).ok_or(ParseError::CSeq)?;
        let gap = cursor.at;
        cursor.skip_lws();
        let method = cursor.run(TOKEN);
        if cursor.at == gap || usize::from(method.start) == gap || method.start == method.end {
            return Err(ParseError::CSeq);
        }
        cursor.skip_lws();
        if !cursor.at_end() {
            return Err(ParseError::CSeq);
        }
        let number =
            u32::try_from(digits).ok().filter(|&number| number < CSEQ_END).ok_or(ParseError::CSeqRange)?;
        Ok(Self { number, method: Method::of(method.of(text)), method_text: method.of(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_methods() {
        let read = |text: &'static str| CSeqRef::parse(text.as_bytes());
        assert_eq!(read("0009\r\n  INVITE").map(|cseq| (cseq.number, cseq.method)), Ok((9, Method::Invite)));
        assert_eq!(
            read("2147483647 X").map(|cseq| (cseq.number, cseq.method_text)),
            Ok((2_147_483_647, &b"X"[..]))
        );
        for text in ["2147483648 X", "4294967297 X", "36893488147419103232 REGISTER"] {
            assert_eq!(read(text), Err(ParseError::CSeqRange), "{text}");
        }
        for text in ["", "1", "INVITE", "1INVITE", "-1 INVITE", "1 INVITE x", "1 ", "1 (INVITE)"] {
            assert_eq!(read(text), Err(ParseError::CSeq), "{text}");
        }
    }
}
