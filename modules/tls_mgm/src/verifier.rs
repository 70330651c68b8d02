//! How the certificate of the other end is checked: the chain of its issuers, not the name in it, as OpenSIPS does. Who
//! holds the key of a trusted certificate is trusted, too, so that two servers may name each other's certificates.
//!
//! What comes of it is noted as a [`Verdict`] of the session, also where it is not enforced.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use tocsin_net::tls::Verdict;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// Names of issuers that a client is told at the most; with more it has to choose without.
const HINT_LIMIT: usize = 64;

/// Who is trusted, and who no more.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) revoked: Vec<CertificateRevocationListDer<'static>>,
    /// Whether the issuers' certificates must not be revoked either.
    pub(super) check_all: bool,
}

/// What both directions have in common.
#[derive(Debug)]
struct Judge {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Checks the certificates of clients.
#[derive(Debug)]
pub(super) struct OfClients {
    judge: Judge,
    /// None when nobody is trusted.
    chain: Option<Arc<dyn ClientCertVerifier>>,
    hints: Vec<DistinguishedName>,
    required: bool,
}

/// Checks the certificates of servers.
#[derive(Debug)]
pub(super) struct OfServers {
    judge: Judge,
    chain: Option<Arc<WebPkiServerVerifier>>,
    enforced: bool,
}

impl OfClients {
    pub(super) fn new(
        trust: &Trust,
        required: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let judge = Judge::new(trust, provider);
        let chain = match trust.roots.is_empty() {
            true => None,
            false => {
                let mut builder = WebPkiClientVerifier::builder_with_provider(
                    Arc::clone(&trust.roots),
                    Arc::clone(provider),
                )
                .with_crls(trust.revoked.iter().cloned())
                .enforce_revocation_expiration();
                if !trust.check_all {
                    builder = builder.only_check_end_entity_revocation();
                }
                Some(builder.build()?)
            }
        };
        let hints = if trust.roots.len() > HINT_LIMIT { Vec::new() } else { trust.roots.subjects() };
        Ok(Self { judge, chain, hints, required })
    }
}

impl OfServers {
    pub(super) fn new(
        trust: &Trust,
        enforced: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let judge = Judge::new(trust, provider);
        let chain = match trust.roots.is_empty() {
            true => None,
            false => {
                let mut builder = WebPkiServerVerifier::builder_with_provider(
                    Arc::clone(&trust.roots),
                    Arc::clone(provider),
                )
                .with_crls(trust.revoked.iter().cloned())
                .enforce_revocation_expiration();
                if !trust.check_all {
                    builder = builder.only_check_end_entity_revocation();
                }
                Some(builder.build()?)
            }
        };
        Ok(Self { judge, chain, enforced })
    }
}

impl Judge {
    fn new(trust: &Trust, provider: &CryptoProvider) -> Self {
        Self { roots: Arc::clone(&trust.roots), algorithms: provider.signature_verification_algorithms }
    }

    /// Notes what the check of a chain came to. The result that is left is what counts if the check is enforced.
    fn judge(&self, chain: Result<(), Error>, peer: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
        let parsed = X509Certificate::from_der(peer).ok().map(|(_, parsed)| parsed);
        let judged = match (chain, parsed) {
            (Err(Error::InvalidCertificate(problem)), Some(parsed))
                if !is_final(&problem) && self.is_anchor(&parsed) =>
            {
                within_validity(&parsed, now)
            }
            (judged, _) => judged,
        };
        verdict(&judged, peer).note();
        judged
    }

    /// Whether the key of a trusted certificate is in `certificate`. That its owner shows it, the handshake proves.
    fn is_anchor(&self, certificate: &X509Certificate<'_>) -> bool {
        let key = certificate.public_key().raw;
        // An anchor's key is without its outermost tag and length.
        self.roots.roots.iter().any(|anchor| {
            let own = anchor.subject_public_key_info.as_ref();
            key.ends_with(own) && key.len() - own.len() <= 4
        })
    }
}

/// A problem that trust in the key itself does not mend.
fn is_final(problem: &CertificateError) -> bool {
    matches!(problem, CertificateError::Revoked | CertificateError::BadEncoding)
}

fn within_validity(certificate: &X509Certificate<'_>, now: UnixTime) -> Result<(), Error> {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = certificate.validity();
    if now > validity.not_after.timestamp() {
        Err(CertificateError::Expired.into())
    } else if now < validity.not_before.timestamp() {
        Err(CertificateError::NotValidYet.into())
    } else {
        Ok(())
    }
}

fn verdict(judged: &Result<(), Error>, peer: &CertificateDer<'_>) -> Verdict {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext, Revoked};
    match judged {
        Ok(()) => Verdict::Verified,
        Err(Error::InvalidCertificate(Expired | NotValidYet)) => Verdict::Expired,
        Err(Error::InvalidCertificate(ExpiredContext { .. } | NotValidYetContext { .. })) => Verdict::Expired,
        Err(Error::InvalidCertificate(Revoked)) => Verdict::Revoked,
        Err(_) => match X509Certificate::from_der(peer) {
            Ok((_, parsed)) if parsed.subject() == parsed.issuer() => Verdict::SelfSigned,
            _ => Verdict::Untrusted,
        },
    }
}

impl ClientCertVerifier for OfClients {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = match &self.chain {
            None => Err(CertificateError::UnknownIssuer.into()),
            Some(chain) => chain.verify_client_cert(end_entity, intermediates, now).map(|_| ()),
        };
        self.judge.judge(chain, end_entity, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.judge.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.judge.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for OfServers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = match &self.chain {
            None => Err(CertificateError::UnknownIssuer.into()),
            // The name is looked at last: when it is what is wrong, the chain is right.
            Some(chain) => match chain.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
                Ok(_)
                | Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) => Ok(()),
                Err(cause) => Err(cause),
            },
        };
        match self.judge.judge(chain, end_entity, now) {
            Err(cause) if self.enforced => Err(cause),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.judge.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.judge.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.algorithms.supported_schemes()
    }
}
