//! Certificates change while the server runs: `tls_reload` and `tls_list`.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Gate, SecureClient};

#[test]
fn new_certificates_are_for_new_connections() {
    let gate = Gate::start();
    let (mut old, old_tunnel) = gate.client().open();
    old.ping();
    gate.authority.issue("usual", ["renewed.example"]);
    let (mut between, tunnel) = gate.client().open();
    assert_eq!(
        tunnel.subject(),
        "CN = usual.example",
        "a file that changed is not read before it is asked for"
    );
    assert_eq!(gate.server.mi().call("tls_reload", Value::Null), "OK");

    // Both workers take it up, on both listeners of the domain.
    for to in [gate.tls, gate.wss, gate.tls, gate.wss] {
        let (_, tunnel) = SecureClient::new(to).trusting(&gate.authority, "renewed.example").open();
        assert_eq!(tunnel.subject(), "CN = renewed.example");
    }
    let (_, tunnel) = gate.client().server_name("named.example").open();
    assert_eq!(tunnel.subject(), "CN = named.example");
    old.ping();
    between.ping();
    assert_eq!(old_tunnel.subject(), "CN = usual.example");
    gate.server.stop();
}

#[test]
fn nothing_changes_when_one_file_is_bad() {
    let gate = Gate::start();
    gate.authority.issue("other", ["other.example"]);
    let named = |extension| gate.authority.path(&format!("named.{extension}"));
    let good = ["pem", "key"].map(|extension| fs::read(named(extension)).unwrap());
    gate.authority.issue("usual", ["renewed.example"]);
    let refused = |problem: &str| {
        let answer = gate.server.mi().answer("tls_reload", Value::Null);
        let error = &answer["error"];
        assert_eq!(error["code"], 500, "{answer}");
        let text = error["message"].as_str().unwrap();
        assert!(text.contains("named") && text.contains(problem), "{answer}");
        for (name, subject) in
            [("any.example", "CN = usual.example"), ("named.example", "CN = named.example")]
        {
            let (mut line, tunnel) = gate.client().server_name(name).open();
            assert_eq!(tunnel.subject(), subject, "after: {problem}");
            line.ping();
        }
    };
    fs::write(named("pem"), "no certificate").unwrap();
    refused("no certificate in it");
    fs::write(named("pem"), "").unwrap();
    refused("the file is empty");
    fs::remove_file(named("pem")).unwrap();
    refused("No such file");
    fs::write(named("pem"), &good[0]).unwrap();
    fs::copy(gate.authority.path("other.key"), named("key")).unwrap();
    refused("this key is not the one of the certificate");
    fs::write(named("key"), &good[1]).unwrap();

    assert_eq!(gate.server.mi().call("tls_reload", Value::Null), "OK");
    let (_, tunnel) = gate.client().open();
    assert_eq!(tunnel.subject(), "CN = renewed.example");
    gate.server.stop();
}

#[test]
fn the_domains_are_listed() {
    let gate = Gate::start();
    let listed = gate.server.mi().call("tls_list", Value::Null);
    let rows = listed["Domains"].as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|row| (&row["name"], &row["type"])).collect();
    let server = json!("server");
    assert_eq!(names, [(&json!("usual"), &server), (&json!("named"), &server), (&json!("mutual"), &server)]);
    let (named, mutual) = (&rows[1], &rows[2]);
    assert_eq!(named["match_sip_domain"], "named.example, *.named.example");
    assert_eq!(named["tls_method"], "TLSv1_2");
    assert_eq!(named["certificate"], gate.authority.path("named.pem").to_str().unwrap());
    assert_eq!((&named["verify_cert"], &mutual["verify_cert"]), (&json!("0"), &json!("1")));
    assert_eq!(mutual["match_ip_address"], gate.mutual.to_string());
    assert_eq!(mutual["ca_list"], gate.authority.path("ca.pem").to_str().unwrap());
    gate.server.stop();
}
