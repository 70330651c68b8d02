//! Two sessions, and nothing but memory between them.

use std::sync::Arc;

use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::*;

type Version = &'static SupportedProtocolVersion;

fn configs(version: Version) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["sip.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(default_provider());
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

/// A client, a server, and what is on its way between them.
struct Pair {
    client: Session,
    server: Session,
    config: Arc<ServerConfig>,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    server_reads: Vec<u8>,
    client_reads: Vec<u8>,
    progress: Vec<Progress>,
}

impl Pair {
    fn new(version: Version) -> Self {
        let (config, client) = configs(version);
        let name = ServerName::try_from("sip.example").unwrap();
        Self {
            client: Session::connecting(client, name).unwrap(),
            server: Session::accepting(),
            config,
            to_server: vec![],
            to_client: vec![],
            server_reads: vec![],
            client_reads: vec![],
            progress: vec![],
        }
    }

    fn open(version: Version) -> Self {
        let mut pair = Self::new(version);
        pair.client.receive(&[], &mut pair.client_reads, &mut pair.to_server).unwrap();
        pair.settle(usize::MAX);
        assert!(pair.client.is_open() && pair.server.is_open());
        pair
    }

    /// Carries bytes, `step` at a time, until there are none.
    fn settle(&mut self, step: usize) {
        while !(self.to_server.is_empty() && self.to_client.is_empty()) {
            for part in take(&mut self.to_server).chunks(step) {
                let mut progress =
                    self.server.receive(part, &mut self.server_reads, &mut self.to_client).unwrap();
                if let Progress::Hello { .. } = progress {
                    self.progress.push(progress);
                    let config = Arc::clone(&self.config);
                    progress =
                        self.server.answer(config, &mut self.server_reads, &mut self.to_client).unwrap();
                }
                self.progress.push(progress);
            }
            for part in take(&mut self.to_client).chunks(step) {
                self.client.receive(part, &mut self.client_reads, &mut self.to_server).unwrap();
            }
        }
    }
}

fn take(bytes: &mut Vec<u8>) -> Vec<u8> {
    std::mem::take(bytes)
}

#[test]
fn both_versions_open_whole_and_byte_by_byte() {
    for (version, name) in [(&TLS12, "TLSv1.2"), (&TLS13, "TLSv1.3")] {
        for step in [1, 7, usize::MAX] {
            let mut pair = Pair::new(version);
            let first = pair.client.receive(&[], &mut pair.client_reads, &mut pair.to_server).unwrap();
            assert_eq!(first, Progress::Handshaking);
            pair.settle(step);
            let hellos =
                pair.progress.iter().filter(|p| matches!(p, Progress::Hello { .. })).collect::<Vec<_>>();
            assert_eq!(hellos, [&Progress::Hello { server_name: Some("sip.example".to_owned()) }]);
            assert_eq!(pair.progress.iter().filter(|p| **p == Progress::Opened).count(), 1);
            for facts in [pair.client.facts(), pair.server.facts()] {
                assert_eq!(facts.version, name);
                assert_eq!(facts.server_name.as_deref(), Some("sip.example"));
                assert!(facts.cipher().contains("AES") && facts.cipher_bits() >= 128, "{facts:?}");
            }
            let shown = pair.server.facts().own_certificate.unwrap();
            assert_eq!(pair.client.facts().peer_chain, [shown]);
        }
    }
}

#[test]
fn text_goes_both_ways_in_order() {
    for version in [&TLS12, &TLS13] {
        let mut pair = Pair::open(version);
        let long = (0..200_000_u32).map(|n| n as u8).collect::<Vec<_>>();
        pair.client.send(b"REGISTER ", &mut pair.to_server).unwrap();
        pair.client.send(&long, &mut pair.to_server).unwrap();
        pair.server.send(b"100", &mut pair.to_client).unwrap();
        pair.settle(1000);
        assert_eq!(pair.server_reads, [b"REGISTER ".as_slice(), &long].concat());
        assert_eq!(pair.client_reads, b"100");
    }
}

#[test]
fn a_last_word_closes() {
    for version in [&TLS12, &TLS13] {
        let mut pair = Pair::open(version);
        pair.client.send(b"bye", &mut pair.to_server).unwrap();
        pair.client.close_notify(&mut pair.to_server);
        pair.progress.clear();
        pair.settle(usize::MAX);
        assert_eq!(pair.progress, [Progress::Closed]);
        assert_eq!(pair.server_reads, b"bye");
        // This direction is still open (RFC 8446 section 6.1).
        pair.server.send(b"ok", &mut pair.to_client).unwrap();
        pair.server.close_notify(&mut pair.to_client);
        let said = pair.to_client.len();
        pair.server.close_notify(&mut pair.to_client);
        assert_eq!(pair.to_client.len(), said);
        let more = pair.server.receive(b"anything", &mut pair.server_reads, &mut Vec::new()).unwrap();
        assert_eq!(more, Progress::Closed);
        pair.to_server.clear();
        pair.settle(usize::MAX);
        assert_eq!(pair.client_reads, b"ok");
        assert!(pair.server.send(b"late", &mut Vec::new()).is_err());
    }
}

#[test]
fn nothing_is_said_before_the_session_is_open() {
    let mut out = vec![];
    let mut server = Session::accepting();
    assert!(matches!(server.send(b"x", &mut out), Err(TlsError::NotOpen)));
    let (config, client) = configs(&TLS13);
    assert!(matches!(server.answer(config, &mut vec![], &mut out), Err(TlsError::NotOpen)));
    let mut client = Session::connecting(client, ServerName::try_from("sip.example").unwrap()).unwrap();
    assert!(matches!(client.send(b"x", &mut out), Err(TlsError::NotOpen)));
    client.close_notify(&mut out);
    assert!(out.is_empty());
}

#[test]
fn too_much_at_once_is_refused() {
    let mut pair = Pair::open(&TLS13);
    let much = vec![0; MAX_SEND_BYTES + 1];
    assert!(matches!(pair.client.send(&much, &mut pair.to_server), Err(TlsError::SendLimit)));
    assert!(pair.to_server.is_empty());
    pair.client.send(&much[1..], &mut pair.to_server).unwrap();
    pair.settle(usize::MAX);
    assert_eq!(pair.server_reads.len(), MAX_SEND_BYTES);
}

#[test]
fn plain_text_at_a_tls_listener_is_answered_by_an_alert() {
    let mut out = vec![];
    let mut server = Session::accepting();
    let plain = b"OPTIONS sip:a@b SIP/2.0\r\n\r\n";
    assert!(matches!(server.receive(plain, &mut vec![], &mut out), Err(TlsError::Protocol(_))));
    assert_eq!(out.first(), Some(&21), "{out:?}");
    assert!(matches!(server.receive(plain, &mut vec![], &mut out), Err(TlsError::NotOpen)));
}

#[test]
fn a_name_that_nobody_has_is_refused_by_an_alert() {
    let mut pair = Pair::new(&TLS13);
    pair.client.receive(&[], &mut pair.client_reads, &mut pair.to_server).unwrap();
    let hello = take(&mut pair.to_server);
    pair.server.receive(&hello, &mut pair.server_reads, &mut pair.to_client).unwrap();
    pair.server.refuse(&mut pair.to_client);
    let refused = pair.client.receive(&pair.to_client, &mut pair.client_reads, &mut pair.to_server);
    assert!(refused.unwrap_err().to_string().contains("UnrecognisedName"));
}

#[test]
fn a_client_that_does_not_trust_says_why() {
    let mut pair = Pair::new(&TLS13);
    let (_, stranger) = configs(&TLS13);
    pair.client = Session::connecting(stranger, ServerName::try_from("sip.example").unwrap()).unwrap();
    pair.client.receive(&[], &mut pair.client_reads, &mut pair.to_server).unwrap();
    let hello = take(&mut pair.to_server);
    pair.server.receive(&hello, &mut pair.server_reads, &mut pair.to_client).unwrap();
    let config = Arc::clone(&pair.config);
    pair.server.answer(config, &mut pair.server_reads, &mut pair.to_client).unwrap();
    let answer = take(&mut pair.to_client);
    pair.client.receive(&answer, &mut pair.client_reads, &mut pair.to_server).unwrap_err();
    let reported = pair.server.receive(&pair.to_server, &mut pair.server_reads, &mut pair.to_client);
    assert!(matches!(reported, Err(TlsError::Protocol(rustls::Error::AlertReceived(_)))), "{reported:?}");
}

#[test]
fn a_message_without_an_end_is_not_waited_for() {
    let mut server = Session::accepting();
    // A hello of 16 MiB, in records of 1 KiB.
    let mut record = vec![22, 3, 1, 4, 0];
    record.resize(5 + 1024, 0);
    let mut first = record.clone();
    first[5..9].copy_from_slice(&[1, 0xff, 0xff, 0xff]);
    let mut fed = server.receive(&first, &mut vec![], &mut vec![]);
    for _ in 0..200 {
        if fed.is_err() {
            break;
        }
        fed = server.receive(&record, &mut vec![], &mut vec![]);
    }
    assert!(fed.is_err());
}

#[test]
fn a_verdict_belongs_to_the_session_that_was_served() {
    Verdict::Verified.note();
    let pair = Pair::open(&TLS13);
    assert_eq!(pair.server.facts().verdict, Verdict::Unchecked);
}

proptest! {
    #[test]
    fn garbage_is_an_error_or_waits(bytes in prop::collection::vec(any::<u8>(), 0..600), step in 1_usize..40) {
        let mut server = Session::accepting();
        let (mut plaintext, mut out) = (vec![], vec![]);
        for part in bytes.chunks(step) {
            if server.receive(part, &mut plaintext, &mut out).is_err() {
                break;
            }
        }
        prop_assert!(plaintext.is_empty() && !server.is_open());
    }

    #[test]
    fn a_damaged_hello_is_no_panic(at in 0_usize..2000, with in any::<u8>()) {
        let mut pair = Pair::new(&TLS12);
        pair.client.receive(&[], &mut pair.client_reads, &mut pair.to_server).unwrap();
        let at = at % pair.to_server.len();
        pair.to_server[at] ^= with;
        let hello = pair.server.receive(&pair.to_server, &mut vec![], &mut pair.to_client);
        if let Ok(Progress::Hello { .. }) = hello {
            let config = Arc::clone(&pair.config);
            let _ = pair.server.answer(config, &mut vec![], &mut pair.to_client);
        }
        prop_assert!(!pair.server.is_open());
    }

    #[test]
    fn damaged_text_ends_the_session(at in 0_usize..60, with in 1_u8.., tls13 in any::<bool>()) {
        damage_text(at, with, if tls13 { &TLS13 } else { &TLS12 });
    }
}

/// Damages one byte of a record with text: the text must not arrive.
fn damage_text(at: usize, with: u8, version: Version) {
    let mut pair = Pair::open(version);
    pair.client.send(b"INVITE sip:a@b SIP/2.0", &mut pair.to_server).unwrap();
    // The version in the header of a record is not looked at (RFC 8446 section 5.1).
    let at = match at % pair.to_server.len() {
        1 | 2 => 0,
        at => at,
    };
    pair.to_server[at] ^= with;
    let received = pair.server.receive(&pair.to_server, &mut pair.server_reads, &mut pair.to_client);
    assert!(pair.server_reads.is_empty(), "byte {at} changed by {with}");
    // Its header may now promise more than has come: then it waits.
    if let Ok(progress) = received {
        assert_eq!(progress, Progress::Open);
        assert!([3, 4].contains(&at), "byte {at} changed by {with}");
    } else {
        assert!(!pair.server.is_open());
    }
}

#[test]
fn text_in_a_record_of_another_type_ends_the_session() {
    // Found at random: 44 is the type again, behind a record of 44 bytes; 23 ^ 1 is a record of the handshake.
    damage_text(44, 1, &TLS13);
    for with in 1..=u8::MAX {
        for version in [&TLS12, &TLS13] {
            damage_text(0, with, version);
        }
    }
}

#[test]
fn the_peer_learns_that_a_record_was_unexpected() {
    for kind in [20, 21, 22, 24, 0, 255] {
        // Its type is enough.
        for part in [1, 6, usize::MAX] {
            let mut pair = Pair::open(&TLS13);
            pair.client.send(b"INVITE", &mut pair.to_server).unwrap();
            pair.to_server[0] = kind;
            pair.to_server.truncate(part);
            let received = pair.server.receive(&pair.to_server, &mut pair.server_reads, &mut pair.to_client);
            assert!(matches!(received, Err(TlsError::UnexpectedRecord(at)) if at == kind), "{received:?}");
            let reported =
                pair.client.receive(&pair.to_client, &mut pair.client_reads, &mut vec![]).unwrap_err();
            assert!(reported.to_string().contains("UnexpectedMessage"), "{reported}");
        }
    }
}

#[test]
fn a_protected_record_of_the_handshake_with_another_type_ends_it() {
    for kind in [21, 22, 24] {
        let mut pair = Pair::new(&TLS13);
        pair.client.receive(&[], &mut pair.client_reads, &mut pair.to_server).unwrap();
        pair.server.receive(&take(&mut pair.to_server), &mut vec![], &mut pair.to_client).unwrap();
        pair.server.answer(Arc::clone(&pair.config), &mut vec![], &mut pair.to_client).unwrap();
        pair.client.receive(&take(&mut pair.to_client), &mut vec![], &mut pair.to_server).unwrap();
        // A change_cipher_spec for middleboxes, and what ends the client's handshake.
        let kinds = starts(&pair.to_server).map(|start| pair.to_server[start]).collect::<Vec<_>>();
        assert_eq!(kinds, [20, 23]);
        let finished = starts(&pair.to_server).last().unwrap();
        pair.to_server[finished] = kind;
        let received = pair.server.receive(&pair.to_server, &mut vec![], &mut pair.to_client);
        assert!(matches!(received, Err(TlsError::UnexpectedRecord(at)) if at == kind), "{received:?}");
        assert!(!pair.to_client.is_empty() && !pair.server.is_open());
    }
}

#[test]
fn a_hello_retry_request_is_followed_by_a_hello_in_the_clear() {
    for step in [1, usize::MAX] {
        let mut pair = Pair::new(&TLS13);
        let mut provider = default_provider();
        // The client guesses the first group, and the server knows the other one only.
        provider.kx_groups.reverse();
        let group = provider.kx_groups[0];
        provider.kx_groups.truncate(1);
        assert_ne!(group.name(), default_provider().kx_groups[0].name());
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&pair.config.cert_resolver));
        config.send_tls13_tickets = 0;
        pair.config = Arc::new(config);
        pair.client.receive(&[], &mut pair.client_reads, &mut pair.to_server).unwrap();
        pair.settle(step);
        let common = pair.server.common().unwrap();
        assert_eq!(common.handshake_kind(), Some(rustls::HandshakeKind::FullWithHelloRetryRequest));
        assert!(pair.server.is_open() && pair.client.is_open());
    }
}

/// Where records begin.
fn starts(mut bytes: &[u8]) -> impl Iterator<Item = usize> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let length = records::first_record(bytes);
        bytes = bytes.get(length..)?;
        at += length;
        (length > 0).then_some(at - length)
    })
}
