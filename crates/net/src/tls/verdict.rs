//! What the check of a peer's certificate came to.
//!
//! A verifier belongs to a configuration and serves every session of it, so it cannot keep what it found about one.
//! It is called while the session takes bytes in, in the same thread: what it notes meanwhile is the session's.

use std::cell::Cell;

/// What is known of the peer's certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verdict {
    /// It showed none, or nobody looked.
    #[default]
    Unchecked,
    /// Its chain ends at a certificate that is trusted, and all of it is valid now.
    Verified,
    /// It is over, or not yet valid.
    Expired,
    /// Its issuer revoked it.
    Revoked,
    /// It signed itself and is not trusted.
    SelfSigned,
    /// Nobody trusted vouches for it, or it cannot be used.
    Untrusted,
}

thread_local! {
    static NOTED: Cell<Verdict> = const { Cell::new(Verdict::Unchecked) };
}

impl Verdict {
    /// Notes it for the session that is taking bytes in. For verifiers.
    pub fn note(self) {
        NOTED.set(self);
    }

    /// What was noted since the last time.
    pub(super) fn take() -> Self {
        NOTED.take()
    }
}
