//! What there is to know of an open session.

use rustls::ProtocolVersion;
use rustls::pki_types::CertificateDer;

use super::suite::Suite;
use super::verdict::Verdict;

/// What was agreed on, and with which peer.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The version: `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite.
    pub suite: Option<&'static Suite>,
    /// The name that the client asked for, or that this server asked for as a client (RFC 6066 section 3).
    pub server_name: Option<Box<str>>,
    /// The certificate of the peer and those it sent with it, DER; empty if it showed none.
    pub peer_chain: Vec<CertificateDer<'static>>,
    /// The certificate of this side, DER.
    pub own_certificate: Option<CertificateDer<'static>>,
    /// What the check of the peer's certificate came to.
    pub verdict: Verdict,
}

impl Facts {
    /// Whether the peer showed a certificate that was checked and found good.
    pub fn is_verified(&self) -> bool {
        self.verdict == Verdict::Verified
    }

    /// The OpenSSL name of the cipher suite; empty before there is one.
    pub fn cipher(&self) -> &'static str {
        self.suite.map_or("", |suite| suite.name)
    }

    /// Bits of the symmetric key; 0 before there is one.
    pub fn cipher_bits(&self) -> u16 {
        self.suite.map_or(0, |suite| suite.bits)
    }
}

pub(super) fn version_name(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "",
    }
}
