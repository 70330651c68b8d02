//! What an idle TLS session costs: phones stay connected for days, and there are many of them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells what it measured"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::AtomicIsize;
use std::sync::atomic::Ordering::Relaxed;

use rcgen::{CertificateParams, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tocsin_net::tls::{Progress, Session};

/// Sessions whose average is taken.
const SESSIONS: usize = 64;
/// Bytes that an idle server session may keep on the heap.
const IDLE_LIMIT: usize = 8 << 10;

/// Counts the bytes that are in use.
struct Counting;

static IN_USE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: the system's allocator does all the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size() as isize, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size() as isize, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test, so that nothing else takes memory meanwhile.
#[test]
fn an_idle_session_keeps_little() {
    for version in [&TLS12, &TLS13] {
        for tickets in [0, 1] {
            let bytes = idle_bytes(version, tickets);
            println!("{:?} with {tickets} tickets: {bytes} bytes for each idle session", version.version);
            assert!(bytes <= IDLE_LIMIT, "{:?}: {bytes} bytes", version.version);
        }
    }
}

fn idle_bytes(version: &'static SupportedProtocolVersion, tickets: usize) -> usize {
    let (server, client) = configs(version, tickets);
    let before = IN_USE.load(Relaxed);
    let sessions = (0..SESSIONS).map(|_| open(&server, &client)).collect::<Vec<_>>();
    let with_sessions = IN_USE.load(Relaxed);
    assert!(sessions.iter().all(Session::is_open));
    usize::try_from(with_sessions - before).unwrap() / SESSIONS
}

/// A server session that has taken in and sent one message each.
fn open(config: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> Session {
    let name = ServerName::try_from("sip.example").unwrap();
    let mut client = Session::connecting(Arc::clone(client), name).unwrap();
    let mut server = Session::accepting();
    let (mut to_server, mut to_client, mut read) = (vec![], vec![], vec![]);
    client.receive(&[], &mut read, &mut to_server).unwrap();
    while !(client.is_open() && to_server.is_empty() && to_client.is_empty()) {
        let bytes = std::mem::take(&mut to_server);
        let progress = server.receive(&bytes, &mut read, &mut to_client).unwrap();
        if let Progress::Hello { .. } = progress {
            server.answer(Arc::clone(config), &mut read, &mut to_client).unwrap();
        }
        client.receive(&std::mem::take(&mut to_client), &mut read, &mut to_server).unwrap();
    }
    client.send(&[b'x'; 2000], &mut to_server).unwrap();
    server.receive(&to_server, &mut read, &mut to_client).unwrap();
    server.send(&[b'y'; 2000], &mut to_client).unwrap();
    assert_eq!(read.len(), 2000);
    server
}

fn configs(
    version: &'static SupportedProtocolVersion,
    tickets: usize,
) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
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
    server.send_tls13_tickets = tickets;
    server.session_storage = match tickets {
        0 => Arc::new(NoServerSessionStorage {}),
        _ => ServerSessionMemoryCache::new(SESSIONS * 2),
    };
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    // Each is another client to the server, so what it keeps for them adds up.
    client.resumption = Resumption::disabled();
    (Arc::new(server), Arc::new(client))
}
