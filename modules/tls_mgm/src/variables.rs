//! What scripts may ask about the session that a message came by: `$tls_...` and `is_peer_verified()` (manual, tls_mgm,
//! "Variables").

use std::rc::Rc;

use tocsin_net::tls::{Facts, Verdict};
use tocsin_script::{Accessor, Call, Function, Index, Indexes, Routes, Value, Variable};
use tocsin_server::Context;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::certificate::{Alternative, Part, alternative, moment, part, serial, version, whole_name};

type OfSession = fn(&Facts) -> Value;
type OfCertificate = fn(&X509Certificate<'_>) -> Value;

const SESSION: &[(&str, &str, OfSession)] = &[
    ("tls_version", "The version of TLS.", |facts| Value::from(facts.version)),
    ("tls_description", "The cipher suite and what it consists of.", |facts| match facts.suite {
        Some(suite) => Value::from(format!("{} {}", suite.name, suite.description).as_str()),
        None => Value::Null,
    }),
    ("tls_cipher_info", "The name of the cipher suite.", |facts| Value::from(facts.cipher())),
    ("tls_cipher_bits", "The length of the key, in bits.", |facts| Value::Int(facts.cipher_bits().into())),
    ("tls_peer_verified", "1 if the certificate of the peer was verified, else 0.", |facts| {
        flag(facts.is_verified())
    }),
    ("tls_peer_revoked", "1 if the certificate of the peer was revoked, else 0.", |facts| {
        flag(facts.verdict == Verdict::Revoked)
    }),
    ("tls_peer_expired", "1 if the certificate of the peer has expired, else 0.", |facts| {
        flag(facts.verdict == Verdict::Expired)
    }),
    ("tls_peer_selfsigned", "1 if the certificate of the peer is self-signed, else 0.", |facts| {
        flag(facts.verdict == Verdict::SelfSigned)
    }),
];

const PEER_ONLY: &[(&str, &str, OfCertificate)] = &[
    ("tls_peer_notBefore", "When the certificate of the peer begins to be valid.", |certificate| {
        moment(certificate.validity().not_before)
    }),
    ("tls_peer_notAfter", "When the certificate of the peer ends to be valid.", |certificate| {
        moment(certificate.validity().not_after)
    }),
];

/// Of the certificate of the peer, the same of the certificate of this server, and what it reads.
const BOTH: &[(&str, &str, &str, &str, OfCertificate)] = &[
    (
        "tls_peer_version",
        "The version of the certificate of the peer.",
        "tls_my_version",
        "The version of the certificate of this server.",
        version,
    ),
    (
        "tls_peer_serial",
        "The serial number of the certificate of the peer.",
        "tls_my_serial",
        "The serial number of the certificate of this server.",
        serial,
    ),
    (
        "tls_peer_subject",
        "The subject of the certificate of the peer.",
        "tls_my_subject",
        "The subject of the certificate of this server.",
        |c| whole_name(c.subject()),
    ),
    (
        "tls_peer_issuer",
        "The issuer of the certificate of the peer.",
        "tls_my_issuer",
        "The issuer of the certificate of this server.",
        |c| whole_name(c.issuer()),
    ),
    (
        "tls_peer_subject_cn",
        "The common name of the subject in the certificate of the peer.",
        "tls_my_subject_cn",
        "The common name of the subject in the certificate of this server.",
        |c| part(c.subject(), Part::CommonName),
    ),
    (
        "tls_peer_issuer_cn",
        "The common name of the issuer in the certificate of the peer.",
        "tls_my_issuer_cn",
        "The common name of the issuer in the certificate of this server.",
        |c| part(c.issuer(), Part::CommonName),
    ),
    (
        "tls_peer_subject_locality",
        "The locality of the subject in the certificate of the peer.",
        "tls_my_subject_locality",
        "The locality of the subject in the certificate of this server.",
        |c| part(c.subject(), Part::Locality),
    ),
    (
        "tls_peer_issuer_locality",
        "The locality of the issuer in the certificate of the peer.",
        "tls_my_issuer_locality",
        "The locality of the issuer in the certificate of this server.",
        |c| part(c.issuer(), Part::Locality),
    ),
    (
        "tls_peer_subject_country",
        "The country of the subject in the certificate of the peer.",
        "tls_my_subject_country",
        "The country of the subject in the certificate of this server.",
        |c| part(c.subject(), Part::Country),
    ),
    (
        "tls_peer_issuer_country",
        "The country of the issuer in the certificate of the peer.",
        "tls_my_issuer_country",
        "The country of the issuer in the certificate of this server.",
        |c| part(c.issuer(), Part::Country),
    ),
    (
        "tls_peer_subject_state",
        "The state of the subject in the certificate of the peer.",
        "tls_my_subject_state",
        "The state of the subject in the certificate of this server.",
        |c| part(c.subject(), Part::State),
    ),
    (
        "tls_peer_issuer_state",
        "The state of the issuer in the certificate of the peer.",
        "tls_my_issuer_state",
        "The state of the issuer in the certificate of this server.",
        |c| part(c.issuer(), Part::State),
    ),
    (
        "tls_peer_subject_organization",
        "The organization of the subject in the certificate of the peer.",
        "tls_my_subject_organization",
        "The organization of the subject in the certificate of this server.",
        |c| part(c.subject(), Part::Organization),
    ),
    (
        "tls_peer_issuer_organization",
        "The organization of the issuer in the certificate of the peer.",
        "tls_my_issuer_organization",
        "The organization of the issuer in the certificate of this server.",
        |c| part(c.issuer(), Part::Organization),
    ),
    (
        "tls_peer_subject_unit",
        "The organizational unit of the subject in the certificate of the peer.",
        "tls_my_subject_unit",
        "The organizational unit of the subject in the certificate of this server.",
        |c| part(c.subject(), Part::Unit),
    ),
    (
        "tls_peer_issuer_unit",
        "The organizational unit of the issuer in the certificate of the peer.",
        "tls_my_issuer_unit",
        "The organizational unit of the issuer in the certificate of this server.",
        |c| part(c.issuer(), Part::Unit),
    ),
    (
        "tls_peer_san_email",
        "The email addresses among the alternative names in the certificate of the peer.",
        "tls_my_san_email",
        "The email addresses among the alternative names in the certificate of this server.",
        |c| alternative(c, Alternative::Email),
    ),
    (
        "tls_peer_san_hostname",
        "The hosts among the alternative names in the certificate of the peer.",
        "tls_my_san_hostname",
        "The hosts among the alternative names in the certificate of this server.",
        |c| alternative(c, Alternative::Host),
    ),
    (
        "tls_peer_san_uri",
        "The URIs among the alternative names in the certificate of the peer.",
        "tls_my_san_uri",
        "The URIs among the alternative names in the certificate of this server.",
        |c| alternative(c, Alternative::Uri),
    ),
    (
        "tls_peer_san_ip",
        "The IP addresses among the alternative names in the certificate of the peer.",
        "tls_my_san_ip",
        "The IP addresses among the alternative names in the certificate of this server.",
        |c| alternative(c, Alternative::Ip),
    ),
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
        .map(|(name, doc, reads)| {
            Variable::declared(name, doc, move |_| {
                let accessor: Rc<dyn Accessor<Context>> = Rc::new(reads);
                Ok(accessor)
            })
            .indexed(Indexes::Unchecked)
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
            "Checks whether the message came over TLS from a far end with a certificate that was verified. \
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
/// Names, what they are, and what they read.
fn all() -> impl Iterator<Item = (&'static str, &'static str, Reads)> {
    let session = SESSION.iter().map(|(name, doc, read)| (*name, *doc, Reads::Session(*read)));
    let peer_only = PEER_ONLY.iter().map(|(name, doc, read)| (*name, *doc, Reads::Peer(*read)));
    let both = BOTH.iter().flat_map(|(peer, peer_doc, own, own_doc, read)| {
        [(*peer, *peer_doc, Reads::Peer(*read)), (*own, *own_doc, Reads::Own(*read))]
    });
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
    let found = all().find(|(known, ..)| *known == name);
    found.map_or(Value::Null, |(.., reads)| reads.of(facts))
}
