//! What the server asks of a TLS layer. The module `tls_mgm` is one; without it there is no TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tocsin_net::connections::TlsIdentity;
use tocsin_net::tls::{ClientConfig, ServerConfig, ServerName};

/// A TLS layer: it knows the TLS domains, and which of them a connection belongs to.
pub trait Security {
    /// The configuration for a connection that arrived at the listener `local` and asks for `server_name`.
    ///
    /// # Errors
    /// [`NoDomain`] when no server domain is for it: the connection must be refused.
    fn server_config(
        &self,
        local: SocketAddr,
        server_name: Option<&str>,
    ) -> Result<Arc<ServerConfig>, NoDomain>;

    /// The configuration for a connection to be opened to `remote`, and the name to ask for there. `host` is the name
    /// that `remote` was found by.
    ///
    /// # Errors
    /// [`NoDomain`] when no client domain is for it: the connection is not to be opened.
    fn client_config(
        &self,
        remote: SocketAddr,
        tls_selection: &TlsSelection,
        host: Option<&str>,
    ) -> Result<(Arc<ClientConfig>, ServerName<'static>), NoDomain>;

    /// In which tls_identity a connection to `remote` would be opened: only one that was opened in the same may be used
    /// instead. [`TlsIdentity::NONE`] when none could be opened.
    fn tls_identity(
        &self,
        remote: SocketAddr,
        tls_selection: &TlsSelection,
        host: Option<&str>,
    ) -> TlsIdentity;
}

/// What a script wishes of a TLS connection. One that is open already is used if it was opened with the same tls_selection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSelection {
    /// The client domain of this name, whatever the others match.
    pub domain: Option<String>,
    /// The SIP domain that client domains are matched with.
    pub sip_domain: Option<String>,
}

/// Why a connection has no TLS configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoDomain {
    /// No server domain matches.
    #[error("no TLS server domain is for {local}{}", shown(.server_name))]
    Server {
        /// Where the connection arrived.
        local: SocketAddr,
        /// The name that it asks for.
        server_name: Option<String>,
    },
    /// No client domain matches.
    #[error("no TLS client domain is for {remote}{}", shown(.sip_domain))]
    Client {
        /// Where the connection was to go.
        remote: SocketAddr,
        /// The SIP domain that the script wished.
        sip_domain: Option<String>,
    },
    /// The script named a client domain that there is not.
    #[error("there is no TLS client domain `{0}`")]
    Unknown(String),
    /// None of those that are known; a database has more, which nobody could read yet.
    #[error("{0}; the TLS domains of the database have not been read yet")]
    Unread(Box<NoDomain>),
    /// The domain's files, as they were last loaded, cannot be used.
    #[error("TLS domain {domain}: {problem}")]
    Unusable {
        /// The domain.
        domain: String,
        /// What is wrong.
        problem: String,
    },
}

fn shown(name: &Option<String>) -> String {
    name.as_ref().map_or_else(String::new, |name| format!(" and the name {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_was_asked_for() {
        let local = SocketAddr::from(([10, 0, 0, 1], 5061));
        let refused = NoDomain::Server { local, server_name: Some("a.example".to_owned()) };
        assert_eq!(refused.to_string(), "no TLS server domain is for 10.0.0.1:5061 and the name a.example");
        let refused = NoDomain::Server { local, server_name: None };
        assert_eq!(refused.to_string(), "no TLS server domain is for 10.0.0.1:5061");
    }
}
