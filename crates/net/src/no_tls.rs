//! What stands for TLS in a build without it: a session that comes to nothing. Without the module `tls_mgm` no connection
//! asks for one.

use std::sync::Arc;

use thiserror::Error;

/// How a server accepts a session: not at all.
#[derive(Debug)]
pub enum ServerConfig {}

/// How a client opens a session: not at all.
#[derive(Debug)]
pub enum ClientConfig {}

/// The name that a client asks for.
#[derive(Debug)]
pub struct ServerName<'a>(std::marker::PhantomData<&'a str>);

/// Why there is no session.
#[derive(Debug, Error)]
#[error("this build has no TLS")]
pub struct TlsError;

/// How far a session is; none comes as far as this.
#[derive(Debug)]
pub enum Progress {
    /// The client's hello is there.
    Hello {
        /// The name it asks for.
        server_name: Option<String>,
    },
    /// The handshake goes on.
    Handshaking,
    /// The handshake is complete with these bytes.
    Opened,
    /// It is open.
    Open,
    /// The peer said that it will send nothing more.
    Closed,
}

/// What there is to know of a session.
#[derive(Debug, Default)]
pub struct Facts {
    /// The name that the client asked for.
    pub server_name: Option<Box<str>>,
}

impl Facts {
    /// Whether the peer showed a certificate that was checked and found good.
    pub fn is_verified(&self) -> bool {
        false
    }
}

/// A session that fails with the first bytes.
#[derive(Debug)]
pub struct Session;

impl Session {
    /// The server's side of a connection that came in.
    pub fn accepting() -> Self {
        Self
    }

    /// The client's side of a connection.
    ///
    /// # Errors
    /// Always.
    pub fn connecting(_: Arc<ClientConfig>, _: ServerName<'static>) -> Result<Self, TlsError> {
        Err(TlsError)
    }

    /// Takes bytes in.
    ///
    /// # Errors
    /// Always.
    pub fn receive(&mut self, _: &[u8], _: &mut Vec<u8>, _: &mut Vec<u8>) -> Result<Progress, TlsError> {
        Err(TlsError)
    }

    /// Goes on after the client's hello.
    ///
    /// # Errors
    /// Always.
    pub fn answer(
        &mut self,
        _: Arc<ServerConfig>,
        _: &mut Vec<u8>,
        _: &mut Vec<u8>,
    ) -> Result<Progress, TlsError> {
        Err(TlsError)
    }

    /// Ends it after the client's hello.
    pub fn refuse(&mut self, _: &mut Vec<u8>) {}

    /// Sends bytes.
    ///
    /// # Errors
    /// Always.
    pub fn send(&mut self, _: &[u8], _: &mut Vec<u8>) -> Result<(), TlsError> {
        Err(TlsError)
    }

    /// Says that nothing more will come.
    pub fn close_notify(&mut self, _: &mut Vec<u8>) {}

    /// Whether the handshake is complete.
    pub fn is_open(&self) -> bool {
        false
    }

    /// Whether it is open, and the begin of a record has come whose rest has not.
    pub fn is_in_record(&self) -> bool {
        false
    }

    /// What was agreed on so far.
    pub fn facts(&self) -> Facts {
        Facts::default()
    }
}
