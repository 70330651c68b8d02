//! The module in a server, with certificates of its own making; sessions run over memory.

mod database;

use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tempfile::TempDir;
use tocsin_json::Value as Json;
use tocsin_mi::{MiError, Reply};
use tocsin_net::tls::{Facts, Progress, Session, Verdict};
use tocsin_script::Value;
use tocsin_server::avps::Avps;
use tocsin_server::commands;
use tocsin_server::security::{NoDomain, TlsSelection};
use tocsin_server::tls_selections::TlsSelections;

use super::store::Store;
use super::variables::value_of;
use tocsin_testbench::{Bench, TestBed};

/// The modules that the configurations here load.
const TEST_BED: TestBed = TestBed::with(|| {
    vec![Rc::new(crate::TlsMgm), Rc::new(tocsin_db_sqlite::DbSqlite), Rc::new(tocsin_tls_openssl::TlsOpenssl)]
});

/// The configuration of OpenSIPS's recordings.
const RECORDED: &str = "loadmodule \"tls_mgm.so\"
modparam(\"tls_mgm\", \"tls_library\", \"openssl\")
modparam(\"tls_mgm\", \"server_domain\", \"sd\")
modparam(\"tls_mgm\", \"match_ip_address\", \"[sd]*\")
modparam(\"tls_mgm\", \"verify_cert\", \"[sd]0\")
modparam(\"tls_mgm\", \"require_cert\", \"[sd]0\")
modparam(\"tls_mgm\", \"tls_method\", \"[sd]SSLv23\")
modparam(\"tls_mgm\", \"certificate\", \"[sd]@DIR@/cert.pem\")
modparam(\"tls_mgm\", \"private_key\", \"[sd]@DIR@/key.pem\")
loadmodule \"tls_openssl.so\"
";

/// Certificates in a directory.
struct Pki {
    directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// How a certificate is to be.
type Shape = fn(&mut CertificateParams);

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "The CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pki = Self { directory: TempDir::new().unwrap(), issuer };
        pki.write("ca.pem", &pki.issuer.pem());
        pki
    }

    /// Writes `STEM.pem` and `STEM.key`, for a certificate with this common name.
    fn issue(&self, stem: &str, name: &str, shape: Shape) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        shape(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.write(&format!("{stem}.pem"), &certificate.pem());
        self.write(&format!("{stem}.key"), &key.serialize_pem());
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A server with these domains: `@DIR@` stands for the directory of the certificates.
    fn start(&self, lines: &str) -> Result<Bench, String> {
        TEST_BED.try_bench(&lines.replace("@DIR@", &self.path().display().to_string()), "route { exit; }")
    }

    fn store(&self, lines: &str) -> Rc<Store> {
        let bench = self.start(lines).unwrap();
        Rc::clone(bench.worker.server.state::<Rc<Store>>())
    }
}

/// `modparam` lines of one domain; a value that ends in `.pem` or `.key` is a file of the directory.
fn domain(side: &str, name: &str, parameters: &[(&str, &str)]) -> String {
    let mut lines = format!("modparam(\"tls_mgm\", \"{side}_domain\", \"{name}\")\n");
    for (parameter, value) in parameters {
        let file = value.ends_with(".pem") || value.ends_with(".key") || value.ends_with("_dir");
        let directory = if file { "@DIR@/" } else { "" };
        lines.push_str(&format!("modparam(\"tls_mgm\", \"{parameter}\", \"[{name}]{directory}{value}\")\n"));
    }
    lines
}

fn loaded(domains: &[String]) -> String {
    format!("loadmodule \"tls_mgm.so\"\n{}", domains.concat())
}

const IDENTITY: [(&str, &str); 2] = [("certificate", "server.pem"), ("private_key", "server.key")];

fn server(more: &[(&str, &str)]) -> String {
    domain("server", "s", &[&IDENTITY[..], more].concat())
}

fn client(more: &[(&str, &str)]) -> String {
    domain("client", "c", more)
}

/// The outcome of `tls_reload`.
fn reload(bench: &Bench) -> Result<Json, MiError> {
    let Reply::Later(outcome) = commands::registry(bench.worker).call(b"tls_reload", None) else {
        panic!("there is a tls_reload")
    };
    run(outcome)
}

/// Runs `work` to its end.
fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

fn address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 5061))
}

/// A handshake: what the client knows at its end and what the server does, or why there is none.
fn shake(store: &Store, host: &str) -> Result<(Facts, Facts), String> {
    let server = store.server(address(), Some(host)).map_err(|cause| cause.to_string())?;
    let (client, name) =
        store.client(address(), &TlsSelection::default(), Some(host)).map_err(|cause| cause.to_string())?;
    shake_with(&server, client, name)
}

fn shake_with(
    config: &Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<(Facts, Facts), String> {
    let mut client = Session::connecting(client, name).unwrap();
    let mut server = Session::accepting();
    let (mut to_server, mut to_client, mut nothing) = (vec![], vec![], vec![]);
    let of_client = |cause| format!("client: {cause}");
    let of_server = |cause| format!("server: {cause}");
    client.receive(&[], &mut nothing, &mut to_server).map_err(of_client)?;
    while !(to_server.is_empty() && to_client.is_empty()) {
        let bytes = std::mem::take(&mut to_server);
        let progress = server.receive(&bytes, &mut nothing, &mut to_client).map_err(of_server)?;
        if let Progress::Hello { .. } = progress {
            server.answer(Arc::clone(config), &mut nothing, &mut to_client).map_err(of_server)?;
        }
        let bytes = std::mem::take(&mut to_client);
        client.receive(&bytes, &mut nothing, &mut to_server).map_err(of_client)?;
    }
    assert!(client.is_open() && server.is_open());
    Ok((client.facts(), server.facts()))
}

#[test]
fn the_recorded_configuration_serves_both_versions() {
    let pki = Pki::new();
    pki.issue("cert", "sip.example", |_| {});
    std::fs::rename(pki.path().join("cert.key"), pki.path().join("key.pem")).unwrap();
    for method in ["TLSv1_2", "TLSv1_3", "-"] {
        let lines = format!("{RECORDED}{}", client(&[("tls_method", method), ("ca_list", "ca.pem")]));
        let (of_client, of_server) = shake(&pki.store(&lines), "sip.example").unwrap();
        let version = if method == "TLSv1_2" { "TLSv1.2" } else { "TLSv1.3" };
        assert_eq!((of_client.version, of_server.version), (version, version));
        assert_eq!((of_client.verdict, of_server.verdict), (Verdict::Verified, Verdict::Unchecked));
    }
}

#[test]
fn the_name_that_is_asked_for_chooses_the_certificate() {
    let pki = Pki::new();
    for stem in ["a", "b", "rest"] {
        pki.issue(stem, &format!("{stem}.example"), |_| {});
    }
    let of = |name: &str, names: &str| {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        let parameters = [
            ("certificate", certificate.as_str()),
            ("private_key", &key),
            ("match_sip_domain", names),
            ("verify_cert", "0"),
        ];
        domain("server", name, &parameters)
    };
    let trusting = client(&[("ca_list", "ca.pem")]);
    let store = pki.store(&loaded(&[
        of("a", "a.example"),
        of("b", "*.b.example, b.example"),
        of("rest", "none"),
        trusting,
    ]));
    for (host, shown) in
        [("a.example", "a.example"), ("x.b.example", "b.example"), ("B.example", "b.example")]
    {
        let (of_client, _) = shake(&store, host).unwrap();
        assert_eq!(value_of("tls_peer_subject_cn", &of_client), Value::from(shown), "{host}");
    }
    let refused = store.server(address(), Some("c.example")).unwrap_err();
    assert!(matches!(refused, NoDomain::Server { .. }));
    assert!(store.server(address(), None).is_ok());
}

#[test]
fn clients_must_show_a_certificate_that_is_trusted() {
    let pki = Pki::new();
    let stranger = Pki::new();
    pki.issue("server", "sip.example", |_| {});
    pki.issue("trunk", "trunk.example", |_| {});
    stranger.issue("stranger", "trunk.example", |_| {});
    for name in ["stranger.pem", "stranger.key"] {
        std::fs::copy(stranger.path().join(name), pki.path().join(name)).unwrap();
    }
    let own = |stem: &'static str| match stem {
        "trunk" => vec![("certificate", "trunk.pem"), ("private_key", "trunk.key")],
        "stranger" => vec![("certificate", "stranger.pem"), ("private_key", "stranger.key")],
        _ => vec![],
    };
    for method in ["TLSv1_2", "TLSv1_3"] {
        for (require, stem, verdict) in [
            ("1", "trunk", Some(Verdict::Verified)),
            ("0", "trunk", Some(Verdict::Verified)),
            ("1", "", None),
            ("0", "", Some(Verdict::Unchecked)),
            ("1", "stranger", None),
            ("0", "stranger", None),
        ] {
            let of_server =
                server(&[("ca_list", "ca.pem"), ("require_cert", require), ("tls_method", method)]);
            let of_client = client(&[&own(stem)[..], &[("ca_list", "ca.pem")]].concat());
            let shaken = shake(&pki.store(&loaded(&[of_server, of_client])), "sip.example");
            let seen = shaken.as_ref().ok().map(|(_, server)| server.verdict);
            assert_eq!(seen, verdict, "{method} {require} {stem} {shaken:?}");
        }
    }
}

#[test]
fn servers_are_checked_but_for_their_names() {
    let pki = Pki::new();
    pki.issue("server", "sip.example", |_| {});
    let of_client =
        |more: &[(&str, &str)]| pki.store(&loaded(&[server(&[("verify_cert", "0")]), client(more)]));
    let seen = |store: &Store| shake(store, "other.example").map(|(client, _)| client.verdict);
    assert_eq!(seen(&of_client(&[("ca_list", "ca.pem")])), Ok(Verdict::Verified));
    assert!(seen(&of_client(&[])).unwrap_err().starts_with("client: "));
    assert_eq!(seen(&of_client(&[("verify_cert", "0")])), Ok(Verdict::Untrusted));
    pki.issue("server", "sip.example", |params| params.not_after = date_time_ymd(2020, 1, 1));
    assert!(seen(&of_client(&[("ca_list", "ca.pem")])).unwrap_err().contains("xpired"));
    assert_eq!(seen(&of_client(&[("ca_list", "ca.pem"), ("verify_cert", "0")])), Ok(Verdict::Expired));
}

#[test]
fn a_certificate_that_is_trusted_itself_needs_no_issuer() {
    let pki = Pki::new();
    let own = |shape: Shape| {
        let mut params = CertificateParams::new(["sip.example".to_owned()]).unwrap();
        shape(&mut params);
        let key = KeyPair::generate().unwrap();
        pki.write("server.pem", &params.self_signed(&key).unwrap().pem());
        pki.write("server.key", &key.serialize_pem());
    };
    let shapes: [Shape; 2] = [|_| {}, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)];
    for shape in shapes {
        own(shape);
        let seen = |more: &[(&str, &str)]| {
            let store = pki.store(&loaded(&[server(&[("verify_cert", "0")]), client(more)]));
            shake(&store, "sip.example").map(|(client, _)| client.verdict)
        };
        assert_eq!(seen(&[("ca_list", "server.pem")]), Ok(Verdict::Verified));
        assert_eq!(seen(&[("ca_list", "ca.pem"), ("verify_cert", "0")]), Ok(Verdict::SelfSigned));
        assert!(seen(&[("ca_list", "ca.pem")]).is_err());
    }
    own(|params| params.not_after = date_time_ymd(2020, 1, 1));
    let store = pki.store(&loaded(&[server(&[("verify_cert", "0")]), client(&[("ca_list", "server.pem")])]));
    assert!(shake(&store, "sip.example").unwrap_err().contains("xpired"));
}

#[test]
fn revoked_certificates_are_refused() {
    let pki = Pki::new();
    pki.issue("server", "sip.example", |_| {});
    pki.issue("good", "good.example", |params| params.serial_number = Some(SerialNumber::from(1)));
    pki.issue("bad", "bad.example", |params| params.serial_number = Some(SerialNumber::from(2)));
    let revoked = RevokedCertParams {
        serial_number: SerialNumber::from(2),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(4000, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    std::fs::create_dir(pki.path().join("crl_dir")).unwrap();
    pki.write("crl_dir/ca.crl", &list.signed_by(&pki.issuer).unwrap().pem().unwrap());
    let of_server = server(&[("ca_list", "ca.pem"), ("crl_dir", "crl_dir")]);
    let of_client = |stem: &str| {
        let (certificate, key) = (format!("{stem}.pem"), format!("{stem}.key"));
        client(&[("ca_list", "ca.pem"), ("certificate", &certificate), ("private_key", &key)])
    };
    let shaken = |stem| shake(&pki.store(&loaded(&[of_server.clone(), of_client(stem)])), "sip.example");
    assert_eq!(shaken("good").unwrap().1.verdict, Verdict::Verified);
    assert!(shaken("bad").unwrap_err().contains("evoked"));
    // A server that connects sees the same list, and may look past it.
    pki.issue("server", "sip.example", |params| params.serial_number = Some(SerialNumber::from(2)));
    let lax = client(&[("ca_list", "ca.pem"), ("crl_dir", "crl_dir"), ("verify_cert", "0")]);
    let (of_client, _) =
        shake(&pki.store(&loaded(&[server(&[("verify_cert", "0")]), lax])), "sip.example").unwrap();
    assert_eq!(value_of("tls_peer_revoked", &of_client), Value::Int(1));
}

#[test]
fn a_reload_takes_all_files_or_none() {
    let pki = Pki::new();
    pki.issue("server", "one.example", |_| {});
    pki.issue("other", "other.example", |_| {});
    let other =
        [("certificate", "other.pem"), ("private_key", "other.key"), ("match_ip_address", "10.0.0.2")];
    let lines = loaded(&[
        server(&[("verify_cert", "0")]),
        client(&[("verify_cert", "0")]),
        domain("server", "o", &other),
    ]);
    let bench = pki.start(&lines).unwrap();
    let reload = || reload(&bench);
    let store = bench.worker.server.state::<Rc<Store>>();
    let shown = || value_of("tls_peer_subject_cn", &shake(store, "x.example").unwrap().0);
    assert_eq!(shown(), Value::from("one.example"));

    pki.issue("server", "two.example", |_| {});
    pki.write("other.pem", "-----BEGIN CERTIFICATE-----\nnonsense\n");
    let cause = reload().unwrap_err();
    assert_eq!(cause.code, 500);
    assert!(cause.message.starts_with("TLS domain o: ") && cause.message.contains("other.pem"), "{cause}");
    assert_eq!(shown(), Value::from("one.example"));

    pki.issue("other", "other.example", |_| {});
    assert_eq!(reload(), Ok(Json::from("OK")));
    assert_eq!(shown(), Value::from("two.example"));
    // Nobody needs the files between reloads.
    std::fs::remove_file(pki.path().join("server.key")).unwrap();
    assert_eq!(shown(), Value::from("two.example"));
    assert!(reload().unwrap_err().message.contains("server.key"));
    assert_eq!(shown(), Value::from("two.example"));
}

#[test]
fn a_domain_that_cannot_be_used_is_named_at_the_start() {
    let pki = Pki::new();
    pki.issue("server", "sip.example", |_| {});
    pki.issue("other", "sip.example", |_| {});
    pki.write("empty.pem", "");
    pki.write("text.pem", "no certificate");
    std::fs::create_dir(pki.path().join("ca_dir")).unwrap();
    for (more, problem) in [
        (&[("certificate", "gone.pem")][..], "gone.pem: No such file"),
        (&[("certificate", "empty.pem")], "empty.pem: the file is empty"),
        (&[("certificate", "text.pem")], "text.pem: no certificate in it"),
        (&[("private_key", "server.pem")], "server.pem: no private key in it"),
        (&[("private_key", "other.key")], "this key is not the one of the certificate"),
        (&[("ca_list", "text.pem")], "text.pem: no certificate in it"),
        (&[("ca_dir", "ca_dir")], "openssl rehash"),
        (&[("crl_dir", "no_dir")], "no_dir: No such file"),
        (&[("tls_method", "TLSv1_2"), ("ciphers_list", "ECDHE-RSA-AES128-GCM-SHA257")], "no cipher suite"),
    ] {
        let cause = pki.start(&loaded(&[server(more)])).err().unwrap();
        assert!(cause.contains(problem), "{cause}");
        assert!(cause.contains("TLS domain s: ") || cause.contains("[s]: "), "{cause}");
    }
    let cause = pki.start(&loaded(&[domain("server", "bare", &[])])).err().unwrap();
    assert!(cause.contains("TLS domain bare: /etc/opensips/tls/cert.pem: "), "{cause}");
}

#[test]
fn trusted_certificates_may_lie_in_a_directory() {
    let pki = Pki::new();
    pki.issue("server", "sip.example", |_| {});
    std::fs::create_dir(pki.path().join("ca_dir")).unwrap();
    pki.write("ca_dir/0a1b2c3d.0", &pki.issuer.pem());
    pki.write("ca_dir/README", "not a certificate");
    let store = pki.store(&loaded(&[server(&[("verify_cert", "0")]), client(&[("ca_dir", "ca_dir")])]));
    assert_eq!(shake(&store, "sip.example").unwrap().0.verdict, Verdict::Verified);
}

#[test]
fn client_domains_are_chosen_by_address_and_wish() {
    let pki = Pki::new();
    let lines = loaded(&[
        domain("client", "any", &[("verify_cert", "0")]),
        domain("client", "atlanta", &[("verify_cert", "0"), ("match_sip_domain", "atlanta.com")]),
        domain("client", "gw", &[("verify_cert", "0"), ("match_ip_address", "1.2.3.4:6677")]),
        "modparam(\"tls_mgm\", \"client_sip_domain_avp\", \"dom\")\n".to_owned(),
        "modparam(\"tls_mgm\", \"client_tls_domain_avp\", \"tls\")\n".to_owned(),
    ]);
    let store = pki.store(&lines);
    let config = |remote: &str, avps: &[(&str, &str)]| {
        let mut pairs = Avps::default();
        for (name, value) in avps {
            pairs.push(name.as_bytes(), Value::from(*value));
        }
        store
            .client(remote.parse().unwrap(), &store.tls_selection(&pairs), Some("h.example"))
            .map(|(config, _)| config)
    };
    let named = |name| config("9.9.9.9:1", &[("tls", name)]).unwrap();
    let same = |one: Arc<ClientConfig>, other| assert!(Arc::ptr_eq(&one, &other));
    same(config("9.9.9.9:5061", &[]).unwrap(), named("any"));
    same(config("9.9.9.9:5061", &[("dom", "Atlanta.com")]).unwrap(), named("atlanta"));
    same(config("1.2.3.4:6677", &[]).unwrap(), named("gw"));
    let unknown = config("1.2.3.4:6677", &[("tls", "biloxi")]).unwrap_err();
    assert_eq!(unknown, NoDomain::Unknown("biloxi".to_owned()));
    let name = |host| store.client(address(), &TlsSelection::default(), host).unwrap().1;
    assert_eq!(name(Some("h.example")), ServerName::try_from("h.example").unwrap());
    assert_eq!(name(None), ServerName::IpAddress(address().ip().into()));
}

#[test]
fn without_a_domain_there_is_no_session() {
    let store = Pki::new().store(&loaded(&[]));
    assert!(store.server(address(), None).is_err());
    let tls_selection = TlsSelection { sip_domain: Some("a.b".to_owned()), ..TlsSelection::default() };
    let cause = store.client(address(), &tls_selection, None).unwrap_err().to_string();
    assert_eq!(cause, "no TLS client domain is for 10.0.0.1:5061 and the name a.b");
}

#[test]
fn scripts_see_both_certificates() {
    let pki = Pki::new();
    pki.issue("server", "sip.example", |params| {
        for (kind, value) in [
            (DnType::CountryName, "AT"),
            (DnType::StateOrProvinceName, "Wien"),
            (DnType::LocalityName, "Vienna"),
            (DnType::OrganizationName, "enum.at"),
            (DnType::OrganizationalUnitName, "B\u{fc}ro"),
        ] {
            params.distinguished_name.push(kind, value);
        }
        params.serial_number = Some(SerialNumber::from(4711));
        params.subject_alt_names.extend([
            SanType::URI("sip:sip.example".try_into().unwrap()),
            SanType::Rfc822Name("a@sip.example".try_into().unwrap()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
        ]);
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 5), date_time_ymd(2996, 11, 30));
    });
    let lines = loaded(&[
        server(&[("verify_cert", "0"), ("tls_method", "TLSv1_2")]),
        client(&[("ca_list", "ca.pem")]),
    ]);
    let (of_client, of_server) = shake(&pki.store(&lines), "sip.example").unwrap();
    for (name, text) in [
        ("tls_version", "TLSv1.2"),
        ("tls_cipher_info", "ECDHE-ECDSA-AES256-GCM-SHA384"),
        (
            "tls_description",
            "ECDHE-ECDSA-AES256-GCM-SHA384 TLSv1.2 Kx=ECDH Au=ECDSA Enc=AESGCM(256) Mac=AEAD",
        ),
        ("tls_peer_subject_cn", "sip.example"),
        ("tls_peer_subject_country", "AT"),
        ("tls_peer_subject_state", "Wien"),
        ("tls_peer_subject_locality", "Vienna"),
        ("tls_peer_subject_organization", "enum.at"),
        ("tls_peer_subject_unit", "B\u{fc}ro"),
        ("tls_peer_issuer_cn", "The CA"),
        ("tls_peer_san_hostname", "sip.example"),
        ("tls_peer_san_uri", "sip:sip.example"),
        ("tls_peer_san_email", "a@sip.example"),
        ("tls_peer_san_ip", "2001:db8::1"),
        ("tls_peer_notBefore", "Jan  5 00:00:00 2026 GMT"),
        ("tls_peer_notAfter", "Nov 30 00:00:00 2996 GMT"),
        ("tls_peer_issuer", "/CN=The CA"),
    ] {
        assert_eq!(value_of(name, &of_client), Value::from(text), "{name}");
    }
    let subject = value_of("tls_peer_subject", &of_client).to_bytes().unwrap().lossy().into_owned();
    assert!(subject.contains("/C=AT/ST=Wien/L=Vienna/O=enum.at/OU=B\\xC3\\xBCro"), "{subject}");
    for (name, number) in [
        ("tls_cipher_bits", 256),
        ("tls_peer_version", 2),
        ("tls_peer_serial", 4711),
        ("tls_peer_verified", 1),
        ("tls_peer_expired", 0),
        ("tls_peer_selfsigned", 0),
    ] {
        assert_eq!(value_of(name, &of_client), Value::Int(number), "{name}");
    }
    assert_eq!(value_of("tls_my_subject_cn", &of_server), Value::from("sip.example"));
    assert_eq!(value_of("tls_my_subject_cn", &of_client), Value::Null);
    assert_eq!(value_of("tls_peer_subject_cn", &of_server), Value::Null);
    assert_eq!(value_of("tls_peer_verified", &of_server), Value::Int(0));
}

#[test]
fn scripts_may_ask_without_a_session() {
    let routes = "route { if (is_peer_verified()) { exit; }
        $var(a) = $(tls_peer_subject_cn); xlog(\"$tls_version $tls_my_serial\"); }";
    assert!(TEST_BED.try_bench("loadmodule \"tls_mgm.so\"", routes).is_ok());
}

#[test]
fn domains_are_listed() {
    let pki = Pki::new();
    pki.issue("server", "sip.example", |_| {});
    let bench = pki.start(&loaded(&[server(&[("verify_cert", "0")]), client(&[])])).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let list = runtime.block_on(commands::registry(bench.worker).call(b"tls_list", None).outcome()).unwrap();
    let Some(Json::Array(rows)) = list.member("Domains") else { panic!("{list:?}") };
    let shown = |row: &Json, name: &str| row.member(name).and_then(Json::as_bytes).map(<[u8]>::to_vec);
    assert_eq!(rows.len(), 2);
    assert_eq!(shown(&rows[0], "name"), Some(b"s".to_vec()));
    assert_eq!(shown(&rows[0], "verify_cert"), Some(b"0".to_vec()));
    assert_eq!(shown(&rows[1], "type"), Some(b"client".to_vec()));
    assert_eq!(shown(&rows[1], "verify_cert"), Some(b"1".to_vec()));
    assert_eq!(shown(&rows[1], "ca_dir"), Some(b"/etc/pki/CA/".to_vec()));
}
