//! The functions of the module as a script calls them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::rc::Rc;

use tocsin_testbench::{TestBed, request};

/// The modules that the configurations here load.
const TEST_BED: TestBed = TestBed::with(|| {
    vec![
        Rc::new(tocsin_path::Path),
        Rc::new(tocsin_proto_tcp::ProtoTcp),
        Rc::new(tocsin_rr::Rr),
        Rc::new(tocsin_sl::Sl),
    ]
});

const LOAD: &str = "loadmodule \"path.so\"\nloadmodule \"rr.so\"\nloadmodule \"sl.so\"\n";
const OTHER: &str = "socket=udp:127.0.0.1:0\nsocket=udp:127.0.0.1:0 as other.example:5099 tag out\n";

/// The Path lines of a request that a script has forwarded; `@S@` for the server's address, `@C@` for the client's.
fn paths(parameters: &str, script: &str, lines: &str) -> Vec<String> {
    let bench = TEST_BED.bench(&format!("{LOAD}{parameters}"), &format!("route {{ {script} forward(); }}"));
    let own = bench.worker.server.network.sockets.all()[0].address.to_string();
    let sent = bench.serve(&request("REGISTER", "", lines), 1).remove(0);
    let client = sent.lines().next().unwrap().split(' ').nth(1).unwrap().rsplit('@').next().unwrap();
    let lines = sent.lines().filter_map(|line| line.strip_prefix("Path: "));
    lines.map(|line| line.replace(&own, "@S@").replace(client, "@C@")).collect()
}

#[test]
fn the_server_puts_itself_into_the_path() {
    assert_eq!(paths("", "add_path();", ""), ["<sip:@S@;lr>"]);
    assert_eq!(paths("", "add_path(\"lb\");", ""), ["<sip:lb@@S@;lr>"]);
    assert_eq!(paths("", "add_path();", "Path: <sip:p1;lr>\r\n"), ["<sip:@S@;lr>", "<sip:p1;lr>"]);
    assert_eq!(paths("", "add_path_received();", ""), ["<sip:@S@;received=sip:@C@;lr>"]);
    assert_eq!(paths("", "add_path_received(\"in\");", ""), ["<sip:in@@S@;received=sip:@C@;lr>"]);
    let long = format!("if (!add_path(\"{}\")) {{ add_path(\"no\"); }}", "x".repeat(257));
    assert_eq!(paths("", &long, ""), ["<sip:no@@S@;lr>"]);
}

#[test]
fn two_sockets_make_two_entries() {
    let script = "force_send_socket(\"out\"); add_path();";
    assert_eq!(paths(OTHER, script, ""), ["<sip:other.example:5099;r2=on;lr>", "<sip:@S@;r2=on;lr>"]);
    let single = format!("{OTHER}modparam(\"path\", \"enable_double_path\", 0)");
    assert_eq!(paths(&single, script, ""), ["<sip:other.example:5099;lr>"]);
    assert_eq!(paths(OTHER, "add_path();", ""), ["<sip:@S@;lr>"]);
}

#[test]
fn two_protocols_make_two_entries() {
    let sockets =
        "loadmodule \"proto_tcp.so\"\nsocket=udp:127.0.0.1:0\nsocket=tcp:127.0.0.1:0 as t.example:5061\n";
    // The request itself goes to the client, which has no TCP.
    let script = "$du = \"sip:127.0.0.1;transport=tcp\"; add_path(); $du = NULL;";
    let both = ["<sip:t.example:5061;transport=tcp;r2=on;lr>", "<sip:@S@;r2=on;lr>"];
    assert_eq!(paths(sockets, script, ""), both);
    assert_eq!(paths(sockets, "$du = \"sip:192.0.2.1\"; add_path(); $du = NULL;", ""), ["<sip:@S@;lr>"]);
}

#[test]
fn a_device_that_manages_its_flows_is_told_that_they_are_kept() {
    let contact = "Contact: <sip:a@h>;reg-id=1;+sip.instance=\"<urn:uuid:1>\"\r\n";
    let asking = format!("Supported: path, outbound\r\n{contact}");
    assert_eq!(paths("", "add_path_received();", &asking), ["<sip:@S@;received=sip:@C@;lr;ob>"]);
    assert_eq!(paths("", "add_path();", &asking), ["<sip:@S@;lr>"]);
    assert_eq!(paths("", "add_path_received();", contact), ["<sip:@S@;received=sip:@C@;lr>"]);
    let behind = format!("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n{asking}");
    assert_eq!(paths("", "add_path_received();", &behind), ["<sip:@S@;received=sip:@C@;lr>"]);
}

/// What `$du` is once a request with this Route was routed.
fn next_hop(parameters: &str, route: &str) -> String {
    let script =
        "route { loose_route(); pv_printf($var(seen), \"$du\"); sl_send_reply(200, \"$var(seen)\"); }";
    let bench = TEST_BED.bench(&format!("{LOAD}{parameters}"), script);
    let own = bench.worker.server.network.sockets.all()[0].address.to_string();
    let lines = format!("Route: {}\r\n", route.replace("@S@", &own));
    let answer = bench.serve(&request("INVITE", "", &lines), 1).remove(0);
    answer.lines().next().unwrap().trim_start_matches("SIP/2.0 200 ").to_owned()
}

#[test]
fn what_was_noted_is_the_next_hop_where_that_is_wanted() {
    let used = "modparam(\"path\", \"use_received\", 1)";
    let noted = "<sip:@S@;received=sip:192.0.2.7:99%3Btransport%3Dws;lr>";
    assert_eq!(next_hop(used, noted), "sip:192.0.2.7:99;transport=ws");
    assert_eq!(next_hop("", noted), "<null>");
    assert_eq!(next_hop(used, "<sip:@S@;lr>"), "<null>");
    assert_eq!(next_hop(used, "<sip:@S@;received=nonsense;lr>"), "<null>");
    // The route set goes on: so does the request.
    assert_eq!(next_hop(used, &format!("{noted}, <sip:p2;lr>")), "sip:p2;lr");
    let pair = "<sip:@S@;received=sip:192.0.2.7:99;r2=on;lr>, <sip:@S@;received=sip:192.0.2.7:99;r2=on;lr>";
    assert_eq!(next_hop(used, pair), "sip:192.0.2.7:99");
    // Only what names this server is believed.
    assert_eq!(
        next_hop(used, "<sip:p9;received=sip:192.0.2.7:99;lr>"),
        "sip:p9;received=sip:192.0.2.7:99;lr"
    );
}
