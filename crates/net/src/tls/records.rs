//! The headers of records, looked at before rustls sees them.
//!
//! Protected records of TLS 1.3 have the outer type `application_data` (RFC 8446 section 5.2). The type is not part of what
//! the record's tag protects, and rustls opens a record of any type; so the rule is kept here.

use rustls::{CommonState, ProtocolVersion};

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
/// The outer type of every protected record of TLS 1.3.
pub(super) const APPLICATION_DATA: u8 = 23;

/// Type, version and length.
const HEADER: usize = 5;
/// The length of an alert that is not protected.
const PLAIN_ALERT: usize = 2;

/// What a session of TLS 1.3 may still receive without protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// Any record: the version is another or not agreed on yet, or the handshake has not come to its keys. (TLS 1.2 protects
    /// the type as well, and rustls checks it.)
    Any,
    /// `change_cipher_spec`, which middleboxes expect (RFC 8446 appendix D.4), and the alert of a peer that cannot use
    /// our keys.
    Handshake,
    /// Nothing: the peer's Finished has come.
    Protected,
}

impl Admission {
    /// What may come next. `keyed` says whether records have begun to be protected.
    ///
    /// A server protects what follows its ServerHello, and so knows at once. A client learns only from the first
    /// protected record that the server has changed to its keys: a plain one before it may be the ServerHello that
    /// follows a HelloRetryRequest.
    pub(super) fn of(common: &CommonState, keyed: bool) -> Self {
        match common.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) if !common.is_handshaking() => Self::Protected,
            Some(ProtocolVersion::TLSv1_3) if keyed => Self::Handshake,
            _ => Self::Any,
        }
    }

    /// Whether a record that begins like this may come. If the bytes so far do not show it, it may.
    pub(super) fn admits(self, record: &[u8]) -> bool {
        match (self, record.first()) {
            (Self::Any, _) | (_, None | Some(&APPLICATION_DATA)) => true,
            (Self::Handshake, Some(&CHANGE_CIPHER_SPEC)) => true,
            (Self::Handshake, Some(&ALERT)) => length(record).is_none_or(|length| length == PLAIN_ALERT),
            _ => false,
        }
    }

    /// A record that rustls answers with the alert `unexpected_message` where [`Self::admits`] said no: rustls has no
    /// call for sending an alert.
    pub(super) fn offence(self) -> [u8; HEADER + 1] {
        // During the handshake a well-formed one would be ignored.
        let value = if self == Self::Protected { 1 } else { 2 };
        [CHANGE_CIPHER_SPEC, 3, 3, 0, 1, value]
    }
}

/// Bytes of the record that `bytes` begin with: all of them if it is not complete.
pub(super) fn first_record(bytes: &[u8]) -> usize {
    length(bytes).map_or(bytes.len(), |length| bytes.len().min(HEADER + length))
}

fn length(record: &[u8]) -> Option<usize> {
    match record {
        [_, _, _, high, low, ..] => Some(usize::from(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}
