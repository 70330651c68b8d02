//! What rustls needs to know of a domain, made of its parameters and of what its files say.

use std::rc::Rc;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::files::{BadFile, Material};
use super::parameters::{CRL_DIR, Domain, Side};
use super::verifier::{ClientVerifier, ServerVerifier, Trust};

/// Sessions of one server domain that one process keeps for clients to resume (RFC 8446 section 2.2).
const RESUMABLE_SESSIONS: usize = 512;

/// The configuration of one domain.
#[derive(Debug, Clone)]
pub(super) enum Config {
    Server(Arc<ServerConfig>),
    Client(Arc<ClientConfig>),
}

impl Config {
    /// Makes the configuration of `domain`.
    ///
    /// # Errors
    /// What is wrong with which of its files.
    pub(super) fn new(domain: &Domain, material: &Material) -> Result<Self, BadFile> {
        let provider = Arc::new(provider(domain));
        match domain.side {
            Side::Server => server(domain, material, &provider).map(|config| Self::Server(Arc::new(config))),
            Side::Client => client(domain, material, &provider).map(|config| Self::Client(Arc::new(config))),
        }
    }
}

fn provider(domain: &Domain) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if let Some(suites) = &domain.suites {
        provider.cipher_suites.clone_from(suites);
    }
    if let Some(curves) = &domain.curves {
        provider.kx_groups.clone_from(curves);
    }
    provider
}

fn server(
    domain: &Domain,
    material: &Material,
    provider: &Arc<CryptoProvider>,
) -> Result<ServerConfig, BadFile> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&domain.versions)
        .map_err(|cause| BadFile::new("ciphers_list", cause.to_string()))?;
    let builder = if domain.verify {
        let trust = trust(domain, material)?;
        let verifier = ClientVerifier::new(&trust, domain.require, provider);
        builder.with_client_cert_verifier(Arc::new(
            verifier.map_err(|cause| bad_lists(domain, cause.to_string()))?,
        ))
    } else {
        builder.with_no_client_auth()
    };
    let Some((chain, key)) = identity(domain, material)? else {
        return Err(BadFile::new(&domain.certificate.shown, "a server domain needs a certificate"));
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|cause| mismatch(domain, &cause))?;
    if domain.verify {
        // Each session checks the certificate of its client anew.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    } else {
        config.session_storage = ServerSessionMemoryCache::new(RESUMABLE_SESSIONS);
        config.send_tls13_tickets = 1;
    }
    Ok(config)
}

fn client(
    domain: &Domain,
    material: &Material,
    provider: &Arc<CryptoProvider>,
) -> Result<ClientConfig, BadFile> {
    let trust = trust(domain, material)?;
    let verifier = ServerVerifier::new(&trust, domain.verify, provider)
        .map_err(|cause| bad_lists(domain, cause.to_string()))?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&domain.versions)
        .map_err(|cause| BadFile::new("ciphers_list", cause.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity(domain, material)? {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            builder.with_client_auth_cert(chain, key).map_err(|cause| mismatch(domain, &cause))?
        }
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The own certificate with its chain, and its key.
fn identity(domain: &Domain, material: &Material) -> Result<Option<Identity>, BadFile> {
    let (Some(certificate), Some(key)) = (&material.certificate, &material.private_key) else {
        return Ok(None);
    };
    let chain =
        certificates(certificate).map_err(|problem| BadFile::new(&domain.certificate.shown, problem))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
        BadFile::new(&domain.private_key.shown, "no private key in it (one under a password cannot be read)")
    })?;
    Ok(Some((chain, key)))
}

/// Who is trusted by `domain`.
fn trust(domain: &Domain, material: &Material) -> Result<Trust, BadFile> {
    let shown = || domain.ca_list.as_ref().unwrap_or(&domain.ca_dir).shown.clone();
    let mut roots = RootCertStore::empty();
    for text in &material.trusted {
        let listed = certificates(text).map_err(|problem| BadFile::new(shown(), problem))?;
        roots.add_parsable_certificates(listed);
    }
    if roots.is_empty() && !material.trusted.is_empty() {
        return Err(BadFile::new(shown(), "none of its certificates can be used"));
    }
    let mut revoked = Vec::new();
    for text in &material.revoked {
        revoked.extend(revocation_lists(text).map_err(|problem| bad_lists(domain, problem))?);
    }
    Ok(Trust { roots: Arc::new(roots), revoked, check_all: domain.crl_check_all })
}

/// The certificates in a PEM text, of which there is at least one.
fn certificates(text: &Rc<[u8]>) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(all) if all.is_empty() => Err("no certificate in it".to_owned()),
        Ok(all) => Ok(all),
        Err(cause) => Err(format!("broken PEM: {cause}")),
    }
}

fn revocation_lists(text: &Rc<[u8]>) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let all = CertificateRevocationListDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(all) if all.is_empty() => Err("a file in it has no revocation list".to_owned()),
        Ok(all) => Ok(all),
        Err(cause) => Err(format!("broken PEM: {cause}")),
    }
}

fn bad_lists(domain: &Domain, problem: impl Into<String>) -> BadFile {
    BadFile::new(domain.crl_dir.as_ref().map_or(CRL_DIR.name, |place| place.shown.as_str()), problem)
}

fn mismatch(domain: &Domain, cause: &rustls::Error) -> BadFile {
    match cause {
        rustls::Error::InconsistentKeys(_) => BadFile::new(
            &domain.private_key.shown,
            format!("this key is not the one of the certificate {}", domain.certificate.shown),
        ),
        other => BadFile::new(&domain.certificate.shown, other.to_string()),
    }
}
