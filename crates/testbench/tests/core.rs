//! What functions of the core do: `forward()`, blocklists.

use tocsin_testbench::{TestBed, first_line, request};

const TEST_BED: TestBed = TestBed::with(Vec::new);

/// The first line of what leaves for a request to this user and host.
fn forwarded(script: &str, rest: &str) -> String {
    let bench = TEST_BED.bench("", &format!("route {{ {script} forward(); }}"));
    let text = request("OPTIONS", "", "").replacen("sip:bob@@C@", &format!("sip:bob{rest}"), 1);
    let line = first_line(&bench.serve(&text, 1).remove(0)).to_owned();
    line.trim_start_matches("OPTIONS ").trim_end_matches(" SIP/2.0").to_owned()
}

#[test]
fn header_fields_of_the_request_uri_are_for_the_script_only() {
    let with_headers = forwarded("if ($ru !~ \"H1=v1\") exit;", "@@C@;x=1?H1=v1&H2=v2");
    assert!(with_headers.ends_with(";x=1"), "{with_headers}");
    let in_user = forwarded("", "?a@@C@;x=1");
    assert!(in_user.starts_with("sip:bob?a@127.0.0.1:"), "{in_user}");
    let set = forwarded("$ru = $ru;", "@@C@;x=1?H1=v1");
    assert!(set.ends_with(";x=1?H1=v1"), "what the script sets is sent: {set}");
}

#[test]
fn a_blocklist_that_is_not_defined_is_an_error_of_the_configuration() {
    for (call, list) in [
        ("use_blacklist(\"nope\")", "nope"),
        ("unuse_blacklist(\"dns\")", "dns"),
        ("check_blacklist_rule(\"nope\", \"127.0.0.1\")", "nope"),
    ] {
        let problem = TEST_BED.try_bench("disable_dns_blacklist=yes", &format!("route {{ {call}; }}"));
        let problem = problem.err().unwrap();
        assert!(problem.contains(&format!("there is no blocklist `{list}`")), "{problem}");
    }
    assert!(TEST_BED.try_bench("disable_dns_blacklist=no", "route { use_blacklist(\"dns\"); }").is_ok());
    let defined = "dst_blacklist = own: {( tcp, 192.168.0.0/255.255.0.0, 0, \"\")}";
    assert!(TEST_BED.try_bench(defined, "route { use_blacklist(\"own\"); }").is_ok());
}
