//! One TLS session (RFC 8446, RFC 5246) without its connection: bytes of the network flow in, plaintext and bytes to
//! be sent flow out.
//!
//! Which certificate a server shows depends on the name that the client asks for, so an accepting session stops at
//! the client's hello and waits for its configuration ([`Progress::Hello`], [`Session::answer`]). A session keeps no buffers:
//! only what has come of a record that is not complete.

mod error;
mod facts;
mod flow;
mod records;
mod suite;
#[cfg(test)]
mod tests;
mod verdict;

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::server::{Accepted, Acceptor, UnbufferedServerConnection};
use rustls::sign::CertifiedKey;
use rustls::{CommonState, SignatureScheme};

use flow::{Flow, Word};

pub use rustls::pki_types::ServerName;
pub use rustls::{ClientConfig, ServerConfig};

pub use error::{MAX_PENDING_BYTES, MAX_SEND_BYTES, TlsError};
pub use facts::Facts;
pub use suite::{SUITES, Suite};
pub use verdict::Verdict;

/// The fatal alert `unrecognized_name` (RFC 6066 section 3) in a record of its own, as it is sent before the handshake.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
/// What a client's own certificate is looked up for: it is the same for all.
const SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA256,
];

/// A TLS session, of either side.
pub struct Session {
    stage: Stage,
    /// Bytes of records that are not complete.
    pending: Vec<u8>,
    server_name: Option<Box<str>>,
    own: Option<Arc<CertifiedKey>>,
    verdict: Verdict,
    open: bool,
    peer_closed: bool,
    /// Records have begun to be protected.
    keyed: bool,
}

enum Stage {
    /// A server that waits for the client's hello.
    Listening(Box<Acceptor>),
    /// A server that has read the hello and waits for its configuration.
    Greeted(Box<Accepted>),
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
    /// An error ended it.
    Failed,
}

/// How far a session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The client's hello is there: go on with [`Session::answer`] or end with [`Session::refuse`].
    Hello {
        /// The name it asks for (RFC 6066 section 3).
        server_name: Option<String>,
    },
    /// The handshake goes on.
    Handshaking,
    /// The handshake is complete with these bytes.
    Opened,
    /// It is open.
    Open,
    /// The peer said that it will send nothing more (`close_notify`).
    Closed,
}

impl Session {
    /// The server's side of a connection that came in.
    pub fn accepting() -> Self {
        Self::at(Stage::Listening(Box::default()))
    }

    /// The client's side of a connection to `name`. The first bytes to send come of [`Self::receive`] with none.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn connecting(config: Arc<ClientConfig>, name: ServerName<'static>) -> Result<Self, TlsError> {
        let asked = match &name {
            ServerName::DnsName(name) => Some(Box::from(name.as_ref())),
            _ => None,
        };
        let own = config.client_auth_cert_resolver.resolve(&[], SCHEMES);
        let connection = UnbufferedClientConnection::new(config, name)?;
        let stage = Stage::Client(Box::new(connection));
        Ok(Self { server_name: asked, own, ..Self::at(stage) })
    }

    /// Takes `ciphertext` in, appends what it says to `plaintext` and what must be sent to `out`.
    ///
    /// # Errors
    /// The session is over. What `out` has then must still be sent: the alert for the peer.
    pub fn receive(
        &mut self,
        ciphertext: &[u8],
        plaintext: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Progress, TlsError> {
        let taken = self.take_in(ciphertext, plaintext, out);
        if taken.is_err() {
            self.fail();
        }
        taken
    }

    /// Goes on after [`Progress::Hello`] with the configuration for the name that the client asks for.
    ///
    /// # Errors
    /// As [`Self::receive`]; [`TlsError::NotOpen`] when there is no hello to answer.
    pub fn answer(
        &mut self,
        config: Arc<ServerConfig>,
        plaintext: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Progress, TlsError> {
        let Stage::Greeted(accepted) = &self.stage else { return Err(TlsError::NotOpen) };
        self.own = config.cert_resolver.resolve(accepted.client_hello());
        let answered = match UnbufferedServerConnection::new(config) {
            Ok(connection) => {
                self.stage = Stage::Server(Box::new(connection));
                self.receive(&[], plaintext, out)
            }
            Err(cause) => Err(cause.into()),
        };
        if answered.is_err() {
            self.fail();
        }
        answered
    }

    /// Ends it after [`Progress::Hello`]: there is no configuration for what the client asks for.
    pub fn refuse(&mut self, out: &mut Vec<u8>) {
        if matches!(self.stage, Stage::Greeted(_)) {
            out.extend_from_slice(&UNRECOGNIZED_NAME);
        }
        self.fail();
    }

    /// Appends `plaintext`, encrypted, to `out`.
    ///
    /// # Errors
    /// The session is not open, or it is too much; nothing was appended.
    pub fn send(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        if plaintext.len() > MAX_SEND_BYTES {
            return Err(TlsError::SendLimit);
        }
        self.write(Word::Plaintext(plaintext), out)
    }

    /// Appends the word that nothing more will come (`close_notify`) to `out`, if the session is open.
    pub fn close_notify(&mut self, out: &mut Vec<u8>) {
        // A session that is not open, or has said so before, has nothing to say.
        let _ = self.write(Word::CloseNotify, out);
    }

    /// Whether the handshake is complete.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether it is open, and the begin of a record has come whose rest has not.
    pub fn is_in_record(&self) -> bool {
        self.open && !self.pending.is_empty()
    }

    /// What was agreed on so far, and with which peer.
    pub fn facts(&self) -> Facts {
        let common = self.common();
        let suite = common.and_then(CommonState::negotiated_cipher_suite);
        let peer = common.and_then(CommonState::peer_certificates).unwrap_or_default();
        Facts {
            version: facts::version_name(common.and_then(CommonState::protocol_version)),
            suite: suite.and_then(|suite| Suite::of(suite.suite())),
            server_name: self.server_name.clone(),
            peer_chain: peer.to_vec(),
            own_certificate: self.own.as_ref().and_then(|own| own.cert.first().cloned()),
            verdict: self.verdict,
        }
    }

    fn at(stage: Stage) -> Self {
        Self {
            stage,
            pending: Vec::new(),
            server_name: None,
            own: None,
            verdict: Verdict::Unchecked,
            open: false,
            peer_closed: false,
            keyed: false,
        }
    }

    fn common(&self) -> Option<&CommonState> {
        match &self.stage {
            Stage::Server(connection) => Some(connection),
            Stage::Client(connection) => Some(connection),
            _ => None,
        }
    }

    fn fail(&mut self) {
        self.stage = Stage::Failed;
        self.pending = Vec::new();
        self.open = false;
    }

    fn take_in(
        &mut self,
        ciphertext: &[u8],
        plaintext: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Progress, TlsError> {
        match &mut self.stage {
            Stage::Failed => Err(TlsError::NotOpen),
            Stage::Listening(acceptor) => {
                append(&mut self.pending, ciphertext)?;
                match read_hello(acceptor, ciphertext, out)? {
                    None => Ok(Progress::Handshaking),
                    Some(accepted) => {
                        self.server_name = accepted.client_hello().server_name().map(Box::from);
                        self.stage = Stage::Greeted(Box::new(accepted));
                        Ok(self.hello())
                    }
                }
            }
            Stage::Greeted(_) => {
                append(&mut self.pending, ciphertext)?;
                Ok(self.hello())
            }
            Stage::Server(_) | Stage::Client(_) => {
                // Bytes after the peer's last word are not for us (RFC 8446 section 6.1).
                if !self.peer_closed {
                    self.pending.extend_from_slice(ciphertext);
                }
                self.advance(plaintext, out)
            }
        }
    }

    fn hello(&self) -> Progress {
        Progress::Hello { server_name: self.server_name.as_deref().map(str::to_owned) }
    }

    /// Processes what is pending.
    fn advance(&mut self, plaintext: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<Progress, TlsError> {
        // What a verifier noted for a session that came to no end is not for this one.
        Verdict::take();
        let flowed = self.flow(&mut Flow::taking_in(plaintext, out));
        match Verdict::take() {
            Verdict::Unchecked => {}
            verdict => self.verdict = verdict,
        }
        flowed?;
        if self.pending.len() > MAX_PENDING_BYTES {
            return Err(TlsError::PendingLimit);
        }
        let was_open = self.open;
        self.open = self.common().is_some_and(|common| !common.is_handshaking());
        Ok(match (self.peer_closed, was_open, self.open) {
            (true, ..) => Progress::Closed,
            (_, _, false) => Progress::Handshaking,
            (_, false, true) => Progress::Opened,
            (_, true, true) => Progress::Open,
        })
    }

    fn write(&mut self, word: Word<'_>, out: &mut Vec<u8>) -> Result<(), TlsError> {
        if !self.open {
            return Err(TlsError::NotOpen);
        }
        let before = out.len();
        // Whole records were taken out when they came: nothing is pending that could be read.
        let mut nothing = Vec::new();
        let mut flow = Flow::saying(word, &mut nothing, out);
        let flowed = self.flow(&mut flow);
        let said = flow.is_said();
        match flowed {
            Ok(()) if said => Ok(()),
            Ok(()) => {
                out.truncate(before);
                Err(TlsError::NotOpen)
            }
            Err(cause) => Err(cause),
        }
    }

    fn flow(&mut self, flow: &mut Flow<'_>) -> Result<(), TlsError> {
        flow.keyed = self.keyed;
        match &mut self.stage {
            Stage::Server(connection) => flow.run(connection.as_mut(), &mut self.pending)?,
            Stage::Client(connection) => flow.run(connection.as_mut(), &mut self.pending)?,
            _ => return Err(TlsError::NotOpen),
        }
        self.peer_closed |= flow.peer_closed;
        self.keyed = flow.keyed;
        if self.pending.is_empty() || self.peer_closed {
            self.pending = Vec::new();
        }
        Ok(())
    }
}

/// Gives a server that listens the next bytes. What comes behind the hello stays with the caller.
fn read_hello(
    acceptor: &mut Acceptor,
    mut ciphertext: &[u8],
    out: &mut Vec<u8>,
) -> Result<Option<Accepted>, TlsError> {
    while !ciphertext.is_empty() {
        match acceptor.read_tls(&mut ciphertext) {
            Ok(1..) => {}
            _ => return Err(TlsError::PendingLimit),
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(accepted) => return Ok(accepted),
            Err((cause, mut alert)) => {
                // Writing to memory does not fail.
                let _ = alert.write_all(out);
                return Err(cause.into());
            }
        }
    }
    Ok(None)
}

fn append(pending: &mut Vec<u8>, bytes: &[u8]) -> Result<(), TlsError> {
    if pending.len() + bytes.len() > MAX_PENDING_BYTES {
        return Err(TlsError::PendingLimit);
    }
    pending.extend_from_slice(bytes);
    Ok(())
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("server_name", &self.server_name)
            .field("verdict", &self.verdict)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}
