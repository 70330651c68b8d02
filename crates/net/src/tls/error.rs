//! Why a TLS session ends.

use thiserror::Error;

/// Bytes of records that wait for their rest, at the most. One record has at most 18,437 bytes (RFC 8446 section 5.2,
/// RFC 5246 section 6.2.3); a message of the handshake may stretch over several.
pub const MAX_PENDING_BYTES: usize = 64 << 10;
/// Plaintext that one [`Session::send`](super::Session::send) takes, in bytes.
pub const MAX_SEND_BYTES: usize = 1 << 20;

/// Why a session ended.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The peer broke the protocol, or nothing could be agreed on, or a certificate was not accepted.
    #[error("{0}")]
    Protocol(#[from] rustls::Error),
    /// A record came without the type of protected ones (RFC 8446 section 5.2).
    #[error("the peer sent a TLS record of type {0} where only protected ones may come")]
    UnexpectedRecord(u8),
    /// The peer sends a record or a message of the handshake that has no end.
    #[error("the peer sent more than {MAX_PENDING_BYTES} bytes of one TLS message")]
    PendingLimit,
    /// The session is not open for plaintext.
    #[error("the TLS session is not open")]
    NotOpen,
    /// More plaintext at once than [`MAX_SEND_BYTES`].
    #[error("more than {MAX_SEND_BYTES} bytes at once")]
    SendLimit,
    /// The keys may not be used for more (RFC 8446 section 5.5).
    #[error("the keys of the TLS session are used up")]
    Exhausted,
}
