//! The functions of the module as a script calls them.

use std::rc::Rc;

use tocsin_testbench::{Bench, TestBed, first_line, header, request};

/// The modules that the configurations here load.
const TEST_BED: TestBed = TestBed::with(|| vec![Rc::new(crate::Rr), Rc::new(tocsin_sl::Sl)]);

const RR: &str = "loadmodule \"rr.so\"\nloadmodule \"sl.so\"\n";

fn bench(parameters: &str, script: &str) -> Bench {
    TEST_BED.bench(&format!("{RR}{parameters}"), &format!("route {{ {script} }}"))
}

/// All Record-Route values that a request leaves with, `@S@` for the server's address.
fn recorded(bench: &Bench, to_tag: &str) -> Vec<String> {
    let sent = bench.serve(&request("INVITE", to_tag, ""), 1).remove(0);
    let own = bench.worker.server.network.sockets.all()[0].address.to_string();
    let lines = sent.lines().filter_map(|line| line.strip_prefix("Record-Route: "));
    lines.map(|line| line.replace(&own, "@S@")).collect()
}

#[test]
fn the_server_records_itself() {
    let of =
        |parameters: &str, script: &str| recorded(&bench(parameters, &format!("{script} forward();")), "");
    assert_eq!(of("", "record_route();"), ["<sip:@S@;lr;ftag=abc>"]);
    assert_eq!(of("", "record_route(\";x=1\");"), ["<sip:@S@;lr;ftag=abc;x=1>"]);
    assert_eq!(of("", ""), [""; 0]);
    assert_eq!(of("modparam(\"rr\", \"append_fromtag\", 0)", "record_route();"), ["<sip:@S@;lr>"]);
    assert_eq!(of("modparam(\"rr\", \"add_username\", 1)", "record_route();"), ["<sip:bob@@S@;lr;ftag=abc>"]);
}

#[test]
fn parameters_may_be_added_before_and_after() {
    let of = |script: &str| recorded(&bench("", &format!("{script} forward();")), "");
    let expected = ["<sip:@S@;lr;ftag=abc;a=1;b=2;c=3>"];
    assert_eq!(of("add_rr_param(\";a=1\"); add_rr_param(\";b=2\"); record_route(\";c=3\");"), expected);
    assert_eq!(of("add_rr_param(\";a=1\"); record_route(\";b=2\"); add_rr_param(\";c=3\");"), expected);
    // A second one is refused.
    let once = ["<sip:@S@;lr;ftag=abc;a=1;c=3>"];
    let twice = "record_route(\";a=1\"); if (!record_route(\";b=2\") && !record_route_preset(\"h\")) add_rr_param(\";c=3\");";
    assert_eq!(of(twice), once);
    assert_eq!(of("if (!add_rr_param(\";a=$var(x) b\")) record_route();"), ["<sip:@S@;lr;ftag=abc>"]);
    assert_eq!(of("add_rr_param(\";a=1\");"), [""; 0]);
}

#[test]
fn presets_name_any_host() {
    let of = |script: &str| recorded(&bench("", &format!("{script} forward();")), "");
    assert_eq!(of("record_route_preset(\"h:5090\");"), ["<sip:h:5090;ftag=abc;lr>"]);
    assert_eq!(
        of("record_route_preset(\"out\", \"in:1\"); add_rr_param(\";x\");"),
        ["<sip:out;ftag=abc;lr;x>", "<sip:in:1;ftag=abc;lr;x>"]
    );
}

#[test]
fn two_sockets_make_two_entries() {
    let sockets = "socket=udp:127.0.0.1:0\nsocket=udp:127.0.0.1:0 as other.example:5099 tag out\n";
    let script = "force_send_socket(\"out\"); record_route(); forward();";
    let own = "<sip:@S@;r2=on;lr;ftag=abc>".to_owned();
    assert_eq!(
        recorded(&bench(sockets, script), ""),
        ["<sip:other.example:5099;r2=on;lr;ftag=abc>".to_owned(), own]
    );
    let single = format!("{sockets}modparam(\"rr\", \"enable_double_rr\", 0)");
    assert_eq!(recorded(&bench(&single, script), ""), ["<sip:other.example:5099;lr;ftag=abc>"]);
}

/// What a script sees of a request with a route set: it answers with a reason phrase.
fn seen(script: &str, to_tag: &str, route: &str) -> String {
    let bench = bench("", &format!("{script} sl_send_reply(200, \"$var(seen)\");"));
    let own = bench.worker.server.network.sockets.all()[0].address.to_string();
    let answer = bench.serve(&request("BYE", to_tag, &route.replace("@S@", &own)), 1).remove(0);
    first_line(&answer).strip_prefix("SIP/2.0 200 ").unwrap_or_default().replace(&own, "@S@")
}

#[test]
fn a_script_follows_the_route_set() {
    let of = |to_tag, route| seen("loose_route(); pv_printf($var(seen), \"$rc $du $ru\");", to_tag, route);
    let ours = "Route: <sip:@S@;lr;ftag=abc>\r\n";
    assert!(of(";tag=2", ours).starts_with("1 <null> sip:bob@"), "{}", of(";tag=2", ours));
    assert!(of("", ours).starts_with("-1 <null> sip:bob@"));
    assert!(of(";tag=2", "").starts_with("-1 <null> sip:bob@"));
    let both = "Route: <sip:@S@;lr;ftag=abc>, <sip:p2;lr>\r\n";
    assert!(of(";tag=2", both).starts_with("1 sip:p2;lr sip:bob@"));
}

#[test]
fn a_script_finds_what_was_noted() {
    let script = "$var(seen) = \"\";
        if (loose_route()) { $var(seen) = \"r\"; }
        if (check_route_param(\"nat=yes\")) { $var(seen) = $var(seen) + \"n\"; }
        if (is_direction(\"downstream\")) { $var(seen) = $var(seen) + \"d\"; }
        if (is_direction(\"upstream\")) { $var(seen) = $var(seen) + \"u\"; }
        pv_printf($var(seen), \"$var(seen) $rr_params\");";
    let of = |route| seen(script, ";tag=2", route);
    assert_eq!(of("Route: <sip:@S@;lr;ftag=abc;nat=yes>\r\n"), "rnd lr;ftag=abc;nat=yes");
    assert_eq!(of("Route: <sip:@S@;lr;ftag=x>\r\n"), "ru lr;ftag=x");
    assert_eq!(of("Route: <sip:@S@;lr>\r\n"), "rd lr");
    assert_eq!(of("Route: <sip:elsewhere;lr;ftag=abc;nat=yes>\r\n"), "rd <null>");
}

#[test]
fn what_is_no_direction_is_refused_at_the_start() {
    let problem = TEST_BED.try_bench(RR, "route { is_direction(\"upstraem\"); }").err().unwrap();
    assert!(problem.contains("no direction") && problem.contains("upstream"), "{problem}");
}

#[test]
fn a_request_leaves_without_our_route() {
    let bench = bench("", "loose_route(); forward();");
    let own = bench.worker.server.network.sockets.all()[0].address;
    let sent = bench
        .serve(&request("BYE", ";tag=2", &format!("Route: <sip:{own};lr>, <sip:@C@;lr>\r\n")), 1)
        .remove(0);
    assert!(
        header(&sent, "Route").unwrap().starts_with("<sip:127.0.0.1:") && sent.matches(";lr>").count() == 1,
        "{sent}"
    );
}
