//! Why a connection to a broker ended.

use std::io::{self, ErrorKind};

use thiserror::Error;
use tocsin_net::tls::TlsError;
use tocsin_server::security::NoDomain;

/// Why a connection to a broker ended, or came to nothing.
#[derive(Debug, Error)]
pub(super) enum Ended {
    /// The broker ended it, or the channel.
    #[error("the broker answered {code}: {text}")]
    Refused { code: u16, text: String },
    /// The broker closed the connection without a word.
    #[error("the broker closed the connection")]
    Closed,
    /// What came is not what a publisher may get.
    #[error("{0}")]
    Protocol(&'static str),
    /// The broker does not say anything any more.
    #[error("{0}")]
    Silent(&'static str),
    /// The broker offers no way to log in that is known.
    #[error("the broker offers no login with a password (PLAIN)")]
    Login,
    #[error(transparent)]
    Domain(#[from] NoDomain),
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    #[error(transparent)]
    System(#[from] io::Error),
}

impl Ended {
    /// The kind of error that receipts show.
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::System(error) => error.kind(),
            Self::Silent(_) => ErrorKind::TimedOut,
            Self::Closed => ErrorKind::ConnectionReset,
            _ => ErrorKind::Other,
        }
    }
}
