//! Why a registration is refused, and what the device is told.

use thiserror::Error;

use tocsin_usrloc::CommitError;

/// Seconds after which a device may try again that was refused because shared memory is full.
const FULL_RETRY_AFTER: u32 = 30;

/// Why a registration is refused. The text is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    /// To, Call-ID or CSeq is missing or cannot be read.
    #[error("To, Call-ID or CSeq is missing or malformed")]
    Malformed,
    /// The address of record is none, or too long.
    #[error("the address of record cannot be used")]
    Aor,
    /// A Contact or Expires cannot be read.
    #[error("a Contact or Expires is malformed")]
    Contact,
    /// A contact is longer than `max_contact_len`.
    #[error("a contact is longer than max_contact_len")]
    ContactTooLong,
    /// `Contact: *` beside others, or with an Expires other than 0.
    #[error("`Contact: *` is not alone, or without `Expires: 0`")]
    Star,
    /// A Path that cannot be read.
    #[error("a Path is malformed")]
    Path,
    /// A Path from a device that does not know what that is.
    #[error("a Path, but no support of it")]
    PathUnsupported,
    /// An older request than the one that made a binding.
    #[error("the CSeq is not higher than that of an earlier request")]
    OldCSeq,
    /// More contacts than may be.
    #[error("too many contacts for one address of record")]
    TooManyContacts,
    /// There is no room for the bindings.
    #[error("{0}")]
    NotCommitted(CommitError),
}

impl Refusal {
    /// Status and reason of the response.
    pub(super) fn status(self) -> (u16, &'static str) {
        match self {
            Self::Malformed => (400, "Missing or Malformed Header"),
            Self::Aor => (400, "Bad Address of Record"),
            Self::Contact => (400, "Bad Contact"),
            Self::ContactTooLong => (400, "Contact Too Long"),
            Self::Star => (400, "Bad Use of Contact *"),
            Self::Path => (400, "Bad Path"),
            Self::PathUnsupported => (420, "Bad Extension"),
            Self::OldCSeq => (400, "Invalid CSeq Number"),
            Self::TooManyContacts => (503, "Too Many Contacts"),
            Self::NotCommitted(CommitError::TooLarge) => (413, "Request Entity Too Large"),
            Self::NotCommitted(_) => (503, "Service Unavailable"),
        }
    }

    /// What the value of Retry-After is, where `configured` is the module's; 0 is none.
    pub(super) fn retry_after(self, configured: u32) -> u32 {
        match self {
            _ if self.status().0 < 500 => 0,
            Self::NotCommitted(_) if configured == 0 => FULL_RETRY_AFTER,
            _ => configured,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_memory_names_a_time_to_come_again() {
        let full = Refusal::NotCommitted(CommitError::Full);
        assert_eq!((full.status().0, full.retry_after(0), full.retry_after(5)), (503, 30, 5));
        assert_eq!(Refusal::TooManyContacts.retry_after(0), 0);
        assert_eq!(Refusal::TooManyContacts.retry_after(7), 7);
        assert_eq!(Refusal::OldCSeq.retry_after(7), 0);
        assert_eq!(Refusal::NotCommitted(CommitError::TooLarge).retry_after(7), 0);
    }
}
