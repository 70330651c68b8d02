//! Why a registration is refused, and what the response says.

use thiserror::Error;

use tocsin_usrloc::CommitError;

/// Seconds after which a device may try again that was refused because shared memory is full.
const FULL_RETRY_AFTER: u32 = 30;

/// Why a registration is refused. The text stands in the log and in the P-Registrar-Error of the response; where OpenSIPS
/// has one for the case, it is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    /// To, Call-ID or CSeq is missing or cannot be read.
    #[error("To, Call-ID or CSeq parse error")]
    Malformed,
    /// The address of record is none.
    #[error("Error while parsing AOR")]
    Aor,
    /// The address of record, or a part of it, is too long.
    #[error("Address Of Record too long")]
    AorTooLong,
    /// A Contact header field that cannot be read.
    #[error("Contact parse error")]
    Contact,
    /// A contact whose URI is none.
    #[error("usrloc_contact_insert failed")]
    ContactUri,
    /// The preference of a contact is no number between 0 and 1.
    #[error("Invalid q param in contact")]
    Preference,
    /// An Expires header field that cannot be read.
    #[error("Expires parse error")]
    Expires,
    /// `Contact: *` with an Expires other than 0.
    #[error("* used in contact and expires is not zero")]
    Star,
    /// `Contact: *` beside others.
    #[error("* used in contact beside other contacts")]
    StarAmongOthers,
    /// A Path that cannot be read.
    #[error("Path parse error")]
    Path,
    /// A Path from a device that does not know what that is.
    #[error("No support for found Path indicated")]
    PathUnsupported,
    /// An older request than the one that made a binding.
    #[error("Invalid CSeq number")]
    OldCSeq,
    /// More contacts than may be.
    #[error("Too many registered contacts")]
    TooManyContacts,
    /// There is no room for the bindings.
    #[error("{0}")]
    NotCommitted(CommitError),
}

impl Refusal {
    /// Status and reason of the response.
    pub(super) fn status(self) -> (u16, &'static str) {
        match self {
            Self::PathUnsupported => (420, "Bad Extension"),
            Self::NotCommitted(CommitError::TooLarge) => (413, "Request Entity Too Large"),
            Self::AorTooLong | Self::ContactUri => (500, "Server Internal Error"),
            Self::TooManyContacts | Self::NotCommitted(_) => (503, "Service Unavailable"),
            _ => (400, "Bad Request"),
        }
    }

    /// Whether the response lists the contacts that there are: the request was read that far.
    pub(super) fn lists_contacts(self) -> bool {
        !matches!(
            self,
            Self::Malformed
                | Self::Aor
                | Self::AorTooLong
                | Self::Contact
                | Self::Expires
                | Self::Star
                | Self::StarAmongOthers
        )
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
