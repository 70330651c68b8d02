//! Who gets through a TLS handshake, and with which certificate: OpenSSL is the client.

use crate::harness::{Authority, Gate, Line, Request, SecureClient};

const VERSIONS: [(&str, &str); 2] = [("tls1_2", "TLSv1.2"), ("tls1_3", "TLSv1.3")];

#[test]
fn both_versions_are_spoken_and_the_script_knows_which() {
    let gate = Gate::start();
    for (offered, agreed) in VERSIONS {
        let (mut line, tunnel) =
            gate.client().version(offered).trusting(&gate.authority, "usual.example").open();
        assert_eq!(tunnel.version(), agreed);
        assert_eq!(session(&mut line), format!("{agreed} <null> 0"));
    }
    gate.server.stop();
}

#[test]
fn a_version_that_is_withdrawn_is_refused() {
    let gate = Gate::start();
    let (port, said) = gate.client().version("tls1_1").with(&["-cipher", "ALL:@SECLEVEL=0"]).refused();
    assert!(said.contains("alert handshake failure"), "{said}");
    gate.told_once([(port, gate.tls, "tls")]);
    gate.server.stop();
}

#[test]
fn the_server_name_chooses_the_certificate() {
    let gate = Gate::start();
    for (name, subject, version) in [
        ("named.example", "CN = named.example", "TLSv1.2"),
        ("NAMED.example", "CN = named.example", "TLSv1.2"),
        ("a.named.example", "CN = named.example", "TLSv1.2"),
        ("other.example", "CN = usual.example", "TLSv1.3"),
    ] {
        let (mut line, tunnel) = gate.client().server_name(name).open();
        assert_eq!((tunnel.subject().as_str(), tunnel.version().as_str()), (subject, version), "{name}");
        line.ping();
    }
    let named = gate.client().server_name("a.named.example").trusting(&gate.authority, "a.named.example");
    named.open();
    let (_, said) = named.version("tls1_3").refused();
    assert!(said.contains("alert protocol version"), "the domain has TLS 1.2 only: {said}");
    gate.server.stop();
}

#[test]
fn a_certificate_of_a_trusted_authority_is_let_in() {
    let gate = Gate::start();
    gate.authority.issue("phone", ["phone.example"]);
    for (offered, agreed) in VERSIONS {
        let (mut line, _tunnel) =
            gate.mutual_client().version(offered).certificate(&gate.authority, "phone").open();
        assert_eq!(session(&mut line), format!("{agreed} phone.example 1"));
    }
    gate.server.stop();
}

#[test]
fn who_shows_no_certificate_is_refused() {
    let gate = Gate::start();
    for (offered, _) in VERSIONS {
        let (port, said) = gate.mutual_client().version(offered).refused();
        assert!(said.contains("alert certificate required"), "{said}");
        gate.told_once([(port, gate.mutual, "tls")]);
    }
    gate.server.stop();
}

#[test]
fn a_certificate_of_somebody_elses_authority_is_refused() {
    let gate = Gate::start();
    let (stranger, impostor) = (Authority::named("Authority of somebody else"), Authority::new());
    for (other, alert) in [(&stranger, "alert unknown ca"), (&impostor, "alert decrypt error")] {
        other.issue("phone", ["phone.example"]);
        for (offered, _) in VERSIONS {
            let (port, said) = gate.mutual_client().version(offered).certificate(other, "phone").refused();
            assert!(said.contains(alert), "{said}");
            gate.told_once([(port, gate.mutual, "tls")]);
        }
    }
    gate.server.stop();
}

#[test]
fn a_certificate_is_no_matter_where_none_is_asked_for() {
    let gate = Gate::start();
    let stranger = Authority::new();
    stranger.issue("phone", ["phone.example"]);
    let (mut line, tunnel) = gate.client().certificate(&stranger, "phone").open();
    assert_eq!(session(&mut line), format!("{} <null> 0", tunnel.version()));
    gate.server.stop();
}

#[test]
fn a_client_that_trusts_somebody_else_does_not_get_on() {
    let gate = Gate::start();
    let (port, said) = SecureClient::new(gate.tls).trusting(&Authority::new(), "usual.example").refused();
    assert!(said.contains("certificate verify failed"), "{said}");
    gate.told_once([(port, gate.tls, "tls")]);
    gate.server.stop();
}

#[test]
fn rfc_5923_section_4_an_alias_counts_from_a_peer_that_showed_its_certificate() {
    let gate = Gate::start_with("tcp_accept_aliases=yes");
    gate.authority.issue("phone", ["phone.example"]);
    let stranger = gate.client().open();
    let friend = gate.mutual_client().certificate(&gate.authority, "phone").open();
    for ((mut line, tunnel), port) in [(stranger, None), (friend, Some(5061))] {
        let request = Request::over("TLS", 5061, "OPTIONS", "sip:ping@localhost");
        line.send(request.text().replace(";branch=", ";alias;branch="));
        line.expect_status(200);
        let rows = gate.connections();
        let remote = format!("127.0.0.1:{}", tunnel.port());
        let row = rows.iter().find(|row| row["Remote"] == remote).unwrap();
        assert_eq!(row["Alias port"], port.unwrap_or(tunnel.port()), "{row}");
    }
    gate.server.stop();
}

/// What the script says about the session.
fn session(line: &mut Line) -> String {
    let request = Request::over("TLS", line.port(), "OPTIONS", "sip:ping@localhost");
    line.send(request.text());
    line.expect_status(200).header("X-Session").unwrap().to_owned()
}
