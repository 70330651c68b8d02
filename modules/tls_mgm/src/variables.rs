//! What scripts may ask about the session that a message came by: `$tls_...` and `is_peer_verified()` (manual, tls_mgm,
//! "Variables").

use std::rc::Rc;

use tocsin_net::tls::{Facts, Verdict};
use tocsin_script::{Accessor, Call, Function, Index, Routes, Value, Variable};
use tocsin_server::Context;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::certificate::{Alternative, Part, alternative, moment, part, serial, version, whole_name};

type OfSession = fn(&Facts) -> Value;
type OfCertificate = fn(&X509Certificate<'_>) -> Value;

const SESSION: &[(&str, OfSession)] = &[
    ("tls_version", |facts| Value::from(facts.version)),
    ("tls_description", |facts| match facts.suite {
        Some(suite) => Value::from(format!("{} {}", suite.name, suite.description).as_str()),
        None => Value::Null,
    }),
    ("tls_cipher_info", |facts| Value::from(facts.cipher())),
    ("tls_cipher_bits", |facts| Value::Int(facts.cipher_bits().into())),
    ("tls_peer_verified", |facts| flag(facts.is_verified())),
    ("tls_peer_revoked", |facts| flag(facts.verdict == Verdict::Revoked)),
    ("tls_peer_expired", |facts| flag(facts.verdict == Verdict::Expired)),
    ("tls_peer_selfsigned", |facts| flag(facts.verdict == Verdict::SelfSigned)),
];

const PEER_ONLY: &[(&str, OfCertificate)] = &[
    ("tls_peer_notBefore", |certificate| moment(certificate.validity().not_before)),
    ("tls_peer_notAfter", |certificate| moment(certificate.validity().not_after)),
];

/// Of the peer's certificate, of the own one, and what of it.
const BOTH: &[(&str, &str, OfCertificate)] = &[
    ("tls_peer_version", "tls_my_version", version),
    ("tls_peer_serial", "tls_my_serial", serial),
    ("tls_peer_subject", "tls_my_subject", |c| whole_name(c.subject())),
    ("tls_peer_issuer", "tls_my_issuer", |c| whole_name(c.issuer())),
    ("tls_peer_subject_cn", "tls_my_subject_cn", |c| part(c.subject(), Part::CommonName)),
    ("tls_peer_issuer_cn", "tls_my_issuer_cn", |c| part(c.issuer(), Part::CommonName)),
    ("tls_peer_subject_locality", "tls_my_subject_locality", |c| part(c.subject(), Part::Locality)),
    ("tls_peer_issuer_locality", "tls_my_issuer_locality", |c| part(c.issuer(), Part::Locality)),
    ("tls_peer_subject_country", "tls_my_subject_country", |c| part(c.subject(), Part::Country)),
    ("tls_peer_issuer_country", "tls_my_issuer_country", |c| part(c.issuer(), Part::Country)),
    ("tls_peer_subject_state", "tls_my_subject_state", |c| part(c.subject(), Part::State)),
    ("tls_peer_issuer_state", "tls_my_issuer_state", |c| part(c.issuer(), Part::State)),
    ("tls_peer_subject_organization", "tls_my_subject_organization", |c| {
        part(c.subject(), Part::Organization)
    }),
    ("tls_peer_issuer_organization", "tls_my_issuer_organization", |c| part(c.issuer(), Part::Organization)),
    ("tls_peer_subject_unit", "tls_my_subject_unit", |c| part(c.subject(), Part::Unit)),
    ("tls_peer_issuer_unit", "tls_my_issuer_unit", |c| part(c.issuer(), Part::Unit)),
    ("tls_peer_san_email", "tls_my_san_email", |c| alternative(c, Alternative::Email)),
    ("tls_peer_san_hostname", "tls_my_san_hostname", |c| alternative(c, Alternative::Host)),
    ("tls_peer_san_uri", "tls_my_san_uri", |c| alternative(c, Alternative::Uri)),
    ("tls_peer_san_ip", "tls_my_san_ip", |c| alternative(c, Alternative::Ip)),
];

/// What one variable reads.
#[derive(Clone, Copy)]
enum Reads {
    Session(OfSession),
    Peer(OfCertificate),
    Own(OfCertificate),
}

pub(super) fn variables() -> Vec<Variable<Context>> {
    all()
        .map(|(name, reads)| {
            Variable::new(name, move |site| {
                site.no_sub()?;
                let accessor: Rc<dyn Accessor<Context>> = Rc::new(reads);
                Ok(accessor)
            })
        })
        .collect()
}

pub(super) fn functions() -> Vec<Function<Context>> {
    vec![
        Function::new("is_peer_verified", &[], Routes::REQUEST, |_| {
            let call: Call<Context> =
                Rc::new(|cx, _| facts(cx).is_some_and(|facts| facts.is_verified()).into());
            Ok(call)
        })
        .doc(
            "Tells whether the message came over TLS from a far end with a certificate that was verified. \
             1: it did; -1: it did not.",
        ),
    ]
}

impl Accessor<Context> for Reads {
    fn read(&self, cx: &mut Context, _: Index) -> Value {
        facts(cx).map_or(Value::Null, |facts| self.of(&facts))
    }
}

impl Reads {
    fn of(self, facts: &Facts) -> Value {
        let (certificate, read) = match self {
            Self::Session(read) => return read(facts),
            Self::Peer(read) => (facts.peer_chain.first(), read),
            Self::Own(read) => (facts.own_certificate.as_ref(), read),
        };
        let parsed = certificate.and_then(|der| X509Certificate::from_der(der).ok());
        parsed.map_or(Value::Null, |(_, parsed)| read(&parsed))
    }
}

/// All variables by their names.
fn all() -> impl Iterator<Item = (&'static str, Reads)> {
    let session = SESSION.iter().map(|(name, read)| (*name, Reads::Session(*read)));
    let peer_only = PEER_ONLY.iter().map(|(name, read)| (*name, Reads::Peer(*read)));
    let both =
        BOTH.iter().flat_map(|(peer, own, read)| [(*peer, Reads::Peer(*read)), (*own, Reads::Own(*read))]);
    session.chain(peer_only).chain(both)
}

/// The session that the message of `cx` came by.
fn facts(cx: &Context) -> Option<Rc<Facts>> {
    cx.worker.streams().facts(cx.received.connection)
}

fn flag(is: bool) -> Value {
    Value::Int(is.into())
}

/// What the variable `name` reads of a session.
#[cfg(test)]
pub(super) fn value_of(name: &str, facts: &Facts) -> Value {
    let found = all().find(|(known, _)| *known == name);
    found.map_or(Value::Null, |(_, reads)| reads.of(facts))
}
