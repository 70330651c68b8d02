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

/// The most names of issuers that are sent to a client; with more it has to choose without them.
const MAX_HINTS: usize = 64;

/// Who is trusted, and who no more.
#[derive(Debug)]
pub(super) struct Trust {
    pub(super) roots: Arc<RootCertStore>,
    pub(super) revoked: Vec<CertificateRevocationListDer<'static>>,
    /// Whether the issuers' certificates must not be revoked either.
    pub(super) check_all: bool,
}

/// Checks certificates. `Chain` is what checks their issuers.
#[derive(Debug)]
pub(super) struct Verifier<Chain: ?Sized> {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    /// `None` when nobody is trusted.
    chain: Option<Arc<Chain>>,
    /// Whether the handshake fails without a good certificate.
    enforced: bool,
    /// The issuers that clients may choose from.
    hints: Vec<DistinguishedName>,
}

/// Checks the certificates of clients.
pub(super) type ClientVerifier = Verifier<dyn ClientCertVerifier>;

/// Checks the certificates of servers.
pub(super) type ServerVerifier = Verifier<WebPkiServerVerifier>;

/// What checks the chain, of the type `$verifier`: both have the same builder under different names.
macro_rules! chain {
    ($verifier:ty, $trust:expr, $provider:expr) => {
        if $trust.roots.is_empty() {
            None
        } else {
            let builder =
                <$verifier>::builder_with_provider(Arc::clone(&$trust.roots), Arc::clone($provider))
                    .with_crls($trust.revoked.iter().cloned())
                    .enforce_revocation_expiration();
            let builder = match $trust.check_all {
                true => builder,
                false => builder.only_check_end_entity_revocation(),
            };
            Some(builder.build()?)
        }
    };
}

impl ClientVerifier {
    pub(super) fn new(
        trust: &Trust,
        required: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let hints = if trust.roots.len() > MAX_HINTS { Vec::new() } else { trust.roots.subjects() };
        let chain = chain!(WebPkiClientVerifier, trust, provider);
        Ok(Self { hints, ..Verifier::with(chain, trust, required, provider) })
    }
}

impl ServerVerifier {
    pub(super) fn new(
        trust: &Trust,
        enforced: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let chain = chain!(WebPkiServerVerifier, trust, provider);
        Ok(Self::with(chain, trust, enforced, provider))
    }
}

impl<Chain: ?Sized> Verifier<Chain> {
    fn with(chain: Option<Arc<Chain>>, trust: &Trust, enforced: bool, provider: &CryptoProvider) -> Self {
        let algorithms = provider.signature_verification_algorithms;
        Self { roots: Arc::clone(&trust.roots), algorithms, chain, enforced, hints: Vec::new() }
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

/// How signatures are checked, which is the same for both sides.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signed, &self.algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signed, &self.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.enforced
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
        self.judge(chain, end_entity, now).map(|()| ClientCertVerified::assertion())
    }

    signatures!();
}

impl ServerCertVerifier for ServerVerifier {
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
        match self.judge(chain, end_entity, now) {
            Err(cause) if self.enforced => Err(cause),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    signatures!();
}
