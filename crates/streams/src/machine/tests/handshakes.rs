//! Two machines, and nothing but memory between them.

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, RootCertStore};

use super::*;

fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["sip.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(default_provider());
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

/// A client and a server of `protocol`, whose bytes are still to be exchanged. The server has a configuration if `is_known`.
fn pair(protocol: Protocol, is_known: bool) -> (Run, Run) {
    let (config, client_config) = configs();
    let name = ServerName::try_from("sip.example").unwrap();
    let session = protocol.is_secure().then(|| Session::connecting(client_config, name).unwrap());
    let offer = protocol.is_websocket().then(|| Offer::new([7; 16]));
    let client = Run::opened(protocol, session, offer);
    let mut server = Run::with(protocol, |options| options.require_origin = false);
    server.config = is_known.then_some(config);
    (client, server)
}

#[test]
fn what_waits_for_the_handshakes_leaves_with_the_last_of_them() {
    for protocol in [Protocol::Tcp, Protocol::Tls, Protocol::Ws, Protocol::Wss] {
        let (mut client, mut server) = pair(protocol, true);
        client.push(&options(1), Some(1));
        client.push(&options(2), Some(2));
        client.flush();
        server.answers = true;
        exchange(&mut client, &mut server);
        assert_eq!(server.served(), [options_line(1), options_line(2)], "{protocol:?}");
        assert_eq!(client.served().len(), 2, "{protocol:?}");
        assert!(client.row.is_ready && server.row.is_ready);
        let movable = !protocol.is_secure();
        assert_eq!((client.row.is_movable, server.row.is_movable), (movable, movable), "{protocol:?}");
        let secure = protocol.is_secure();
        assert_eq!((client.machine.facts().is_some(), server.machine.facts().is_some()), (secure, secure));
    }
}

#[test]
fn each_handshake_has_its_own_time() {
    let (config, client_config) = configs();
    let session = Session::connecting(client_config, ServerName::try_from("sip.example").unwrap()).unwrap();
    let mut client = Run::opened(Protocol::Tls, Some(session), None);
    let mut server = Run::accepted(Protocol::Wss);
    server.config = Some(config);
    // TLS is agreed on, and the request for the WebSocket does not come.
    for run in [&mut client, &mut server] {
        run.until(3_000);
    }
    exchange(&mut client, &mut server);
    assert!(server.machine.facts().is_some() && !server.row.is_ready);
    let (at, how) = server.end();
    assert!(at == 7_000 && how.starts_with("handshake"), "{how} at {at}");
}

#[test]
fn a_record_that_has_begun_has_to_come_to_its_end() {
    let (mut client, mut server) = pair(Protocol::Tls, true);
    exchange(&mut client, &mut server);
    for run in [&mut client, &mut server] {
        run.until(1_000);
    }
    client.push(&options(1), None);
    client.flush();
    let record = client.sent();
    server.arrive(&record[..record.len() - 1]);
    assert_eq!(server.ask(), Some(5_000));
    server.until(2_000).arrive(&record[record.len() - 1..]);
    assert_eq!(server.served(), [options_line(1)]);
    assert_eq!(server.end(), (122_000, "idle".to_owned()));
}

#[test]
fn what_came_before_the_last_word_is_served() {
    let (mut client, mut server) = pair(Protocol::Tls, true);
    exchange(&mut client, &mut server);
    for n in 0..100 {
        client.push(&options(n), None);
    }
    client.feed(|machine, steps| machine.stop(Stop::End(End::Idle), steps));
    client.ask();
    server.arrive(client.sent());
    assert_eq!(server.served().len(), 100, "more than one turn");
    assert_eq!(server.outcome().unwrap().1, "closed by the peer");
}

#[test]
fn what_came_before_a_broken_record_is_served() {
    let (mut client, mut server) = pair(Protocol::Tls, true);
    exchange(&mut client, &mut server);
    client.push(&options(1), None);
    client.flush();
    let mut records = client.sent();
    records.extend([23, 3, 3, 0, 20]);
    records.extend([0; 20]);
    server.arrive(records);
    assert_eq!(server.served(), [options_line(1)]);
    assert!(server.outcome().unwrap().1.starts_with("TLS: "));
}

#[test]
fn a_name_that_nobody_has_is_refused_with_an_alert() {
    let (mut client, mut server) = pair(Protocol::Tls, false);
    client.push(&options(1), Some(1));
    server.arrive(client.sent());
    assert_eq!(server.sent(), [21, 3, 3, 0, 2, 2, 112]);
    assert!(server.outcome().unwrap().1.contains("sip.example"));
    client.arrive([21, 3, 3, 0, 2, 2, 112]);
    assert!(client.outcome().unwrap().1.starts_with("TLS: "));
    assert_eq!(client.steps().last(), Some(&Did::NotSent(1)));
}

#[test]
fn a_websocket_that_is_refused_ends() {
    let mut server = Run::accepted(Protocol::Ws);
    server.arrive(UPGRADE.replace("Origin: http://h\r\n", ""));
    assert!(server.sent().starts_with(b"HTTP/1.1 403 "));
    assert!(server.outcome().unwrap().1.starts_with("WebSocket refused: no Origin"));
    let mut client = Run::opened(Protocol::Ws, None, Some(Offer::new([7; 16])));
    assert!(client.sent().starts_with(b"GET / HTTP/1.1\r\nHost: h\r\n"));
    client.arrive("HTTP/1.1 404 Not Found\r\n\r\n");
    assert!(client.outcome().unwrap().1.starts_with("no WebSocket there"));
}

#[test]
fn a_socket_that_cannot_be_asked_for_is_given_up() {
    let mut run = Run::unborn(Protocol::Ws, marks::OPEN | marks::OUTGOING, |_| {});
    let offer = Some((Offer::new([7; 16]), "bad host".into()));
    run.feed(|machine, steps| machine.open(None, offer, moment(0), steps));
    run.ask();
    assert!(run.outcome().unwrap().1.starts_with("no WebSocket there"));
}
