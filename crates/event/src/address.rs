//! Where a subscriber is, and why a text is no such place.

use std::net::SocketAddr;
use std::path::PathBuf;

/// How many bytes the text of a subscriber's socket may have.
pub const MAX_SOCKET_BYTES: usize = 512;

/// Where a subscriber is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The scheme, without the colon.
    pub scheme: &'static str,
    /// The whole socket text, normalised: two subscriptions are the same when event and this text are.
    pub socket: String,
    /// What lists show in its place (a password is left out there).
    pub shown: String,
    /// Where that is.
    pub endpoint: Endpoint,
}

impl Address {
    /// The address `scheme:text`, listed as it is.
    pub fn new(scheme: &'static str, text: &str, endpoint: Endpoint) -> Self {
        let socket = format!("{scheme}:{text}");
        Self { scheme, shown: socket.clone(), socket, endpoint }
    }

    /// The host name that has to be resolved before subscribing, if any.
    pub fn unresolved(&self) -> Option<(&str, u16)> {
        match &self.endpoint {
            Endpoint::Name { host, port } => Some((host, *port)),
            _ => None,
        }
    }

    /// Whether it is a UNIX socket that does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(&self.endpoint, Endpoint::Path(path) if self.scheme == "unix" && !path.exists())
    }

    /// The same address with its host name resolved.
    #[must_use]
    pub fn resolved(self, to: SocketAddr) -> Self {
        Self { endpoint: Endpoint::Socket(to), ..self }
    }
}

/// The place an address stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An IP address and a port.
    Socket(SocketAddr),
    /// A host name that is not resolved yet, and a port.
    Name {
        /// The host name.
        host: String,
        /// The port, not 0.
        port: u16,
    },
    /// A path of the file system.
    Path(PathBuf),
    /// Several subscribers that are one: those whose addresses could be read.
    Several(Vec<Address>),
    /// Something that only the transport understands; it reads it from the socket text.
    Text,
}

/// Why a socket text is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no colon after the scheme.
    #[error("no address after the scheme; a socket is written as scheme:address")]
    NoAddress,
    /// The socket text is longer than [`MAX_SOCKET_BYTES`] or not UTF-8.
    #[error("socket text is longer than {MAX_SOCKET_BYTES} bytes or not UTF-8")]
    Text,
    /// No transport serves that scheme.
    #[error("no loaded module delivers to `{0}:`")]
    Scheme(String),
    /// The host is missing, malformed or of a kind that the transport does not serve.
    #[error("malformed or missing host in `{0}`")]
    Host(String),
    /// The port is missing or not a number from 1 to 65535.
    #[error("port missing or not within 1..65535 in `{0}`")]
    Port(String),
    /// The path is empty or too long for a socket.
    #[error("path of a unix socket must have 1 to 108 bytes")]
    Path,
    /// Anything else a transport does not like.
    #[error("{0}")]
    Other(String),
}
