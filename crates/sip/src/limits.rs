//! The bounds on what one message may cost.

/// How large a message, and each thing in it, may be.
///
/// Every bound has its own [`ParseError`](crate::ParseError), so that a counter can tell which one was
/// reached. The value is small and copied into each [`Message`](crate::Message): what is parsed later obeys
/// the bounds it came in under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole message, body included. Default 65,535: one datagram.
    pub message: u32,
    /// Header field lines of a message (a folded line counts once). Default 256.
    pub headers: u16,
    /// Bytes of a header field's name. Default 128.
    pub header_name: u16,
    /// Bytes of a header field's value, folding included. Default 32,768.
    pub header_value: u16,
    /// Bytes of a URI. Default 1,024.
    pub uri: u16,
    /// Parameters of one value or one URI, and headers of one URI. Default 64.
    pub parameters: u16,
    /// Values of one comma-separated header field. Default 64.
    pub values: u16,
    /// `Via` header fields of a message, and `Via` values walked. Default 100.
    pub vias: u16,
    /// How deep a multipart body may lie in another. Default 4.
    pub multipart_depth: u8,
    /// Parts of one multipart body. Default 32.
    pub parts: u16,
}

impl Limits {
    /// The bounds used when nothing else is configured.
    pub const DEFAULT: Self = Self {
        message: 65_535,
        headers: 256,
        header_name: 128,
        header_value: 32_768,
        uri: 1_024,
        parameters: 64,
        values: 64,
        vias: 100,
        multipart_depth: 4,
        parts: 32,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
