//! The script language as OpenSIPS 3.4.18 was recorded to run it, on the running server.

use crate::harness::{Phone, Request, Server, Setup};

const HEAD: &str = "log_level=3\nstderror_enabled=yes\nsyslog_enabled=no\nauto_aliases=no\nsocket=udp:127.0.0.1:@PORT@\n\
    udp_workers=1\nenable_asserts=yes\nloadmodule \"proto_udp.so\"\nloadmodule \"signaling.so\"\nloadmodule \"sl.so\"\n\
    loadmodule \"sipmsgops.so\"\nloadmodule \"cfgutils.so\"\n";

fn start(rest: &str) -> Server {
    Setup::new(&format!("{HEAD}{rest}")).start()
}

/// The status and the reason phrase that an OPTIONS is answered with.
fn answer(server: &Server, headers: &[(&str, &str)]) -> String {
    let phone = Phone::new();
    let mut request = Request::new(&phone, "OPTIONS", &format!("sip:bob@{}", server.address()));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    phone.send(server.address(), request.text());
    let reply = phone.receive();
    reply.start_line().trim_start_matches("SIP/2.0 ").to_owned()
}

/// What a route says that ends in `sl_send_reply(200, "$var(seen)")`.
fn seen(script: &str, headers: &[(&str, &str)]) -> String {
    let server = start(&format!(
        "route {{ {script} sl_send_reply(200, \"$var(seen)\"); }}\n\
         route[five] {{ return(5); }}\nroute[last] {{ is_method(\"INVITE\"); }}\n"
    ));
    let text = answer(&server, headers);
    server.stop();
    text.trim_start_matches("200 ").to_owned()
}

#[test]
fn operators_and_return_codes() {
    let script = "$var(a) = 7 - 2 * 3; $var(b) = \"z\" + $var(a) + $var(none); $var(c) = 7 / $var(a) % 0;
        $var(d) = 1 + route(five) + is_method(\"INVITE\"); route(last); $var(e) = $rc;
        if (1 or 1 and 0) $var(f) = 1; else $var(f) = 0;
        if ($rm == \"options\" && $si == 127.0.0.1) $var(g) = \"same\";
        $var(h) = 1; $var(h) = $var(h) + \"x\"; $var(i) = $rc;
        pv_printf($var(seen), \"$var(a) $var(b) $var(c) $var(d) $var(e) $var(f) $var(g) $var(h) $var(i)\");";
    assert_eq!(seen(script, &[]), "15 z15 0 5 -1 0 same 1 -1");
}

#[test]
fn lists_branches_and_flags() {
    let contacts = [("Contact", "\"A, b\" <sip:a@h>;q=0.5, <sip:c@h>"), ("Contact", "sip:d@h;x")];
    let script = "$avp(x) = 1; $avp(x) = \"two\"; $avp(x) = 3; $avp(y) = 1; $avp(y) := 2; setflag(\"F\");
        $branch = \"sip:b@h\"; $(branch(q)[0]) = 500; $msg.flag(G) = 1;
        pv_printf($var(seen), \"$(avp(x)[*]) | $(avp(y)[*]) | $(ct[-2]) | $(ct.fields(q)[1]) | $ds | $mf | $msg.flag(G)\");";
    assert_eq!(
        seen(script, &contacts),
        "3, two, 1 | 2 | <sip:c@h> | 0.5 | Contact: <sip:b@h>;q=0.5 | F G | true"
    );
}

#[test]
fn a_uri_is_judged_when_it_is_sent() {
    let script = "$ru = \"sip:bob:pw@h:5070;transport=TCP?x=1\"; $rU = \"al\"; $rd = \"new\"; $rp = NULL;
        pv_printf($var(a), \"$ru $rP $rp\"); $ru = \"nonsense\"; pv_printf($var(seen), \"$var(a) $ru\");";
    assert_eq!(seen(script, &[]), "sip:al:pw@new;transport=TCP?x=1 TCP 5060 <null>");
}

#[test]
fn a_control_character_never_gets_into_a_uri() {
    let script =
        "$var(x) = \"sip:a@h\\r\\nX: 1\"; $ru = $var(x); $var(a) = $rc; $du = $var(x); $var(b) = $rc;
        $branch = $var(x); pv_printf($var(seen), \"$var(a) $var(b) $rc $rU\");";
    assert_eq!(seen(script, &[]), "-1 -1 -1 bob");
}

#[test]
fn variables_begin_as_the_configuration_says() {
    let server = start(
        "modparam(\"cfgut.*|none\", \"varset\", \"first=s:text\")\n\
         route { xlog(\"begins with $var(first)\\n\"); sl_send_reply(200, \"$var(first)\"); $var(first) = 2; }",
    );
    assert_eq!(answer(&server, &[]), "200 text");
    server.stop();
}

#[test]
fn the_error_route_answers_what_cannot_be_served() {
    let server = start(
        "route { if ($hdr(X) == \"from\") { $var(seen) = \"at \" + $fd; sl_send_reply(200, \"OK\"); }
         if ($hdr(X) == \"not\") sl_send_reply(200, \"OK\");
         assert($rm == \"INVITE\", \"an INVITE\"); sl_send_reply(200, \"OK\"); }\n\
         error_route { send_reply($err.rcode, \"$err.class $err.info $(route[*])\"); }",
    );
    assert_eq!(answer(&server, &[]), "500 4 assertion failed route > error_route");
    let phone = Phone::new();
    let request = Request::new(&phone, "OPTIONS", &format!("sip:bob@{}", server.address())).text();
    let from = request.lines().find(|line| line.starts_with("From:")).unwrap();
    for (header, status_line) in [
        // the main route runs until it asks for what cannot be read
        ("X: from", "SIP/2.0 400 1 error parsing From header route > error_route"),
        ("X: not", "SIP/2.0 200 OK"),
    ] {
        phone.send(server.address(), request.replace(from, &format!("From: <sip:x\r\n{header}")));
        assert_eq!(phone.receive().start_line(), status_line);
    }
    server.stop();
}

#[test]
fn arguments_that_are_written_in_the_script_are_checked_at_the_start() {
    for (statement, complaint) in [
        ("forward(\"sip:192.0.2.1:5060\");", "`sip` is no protocol"),
        ("send(\"xyz:192.0.2.1\");", "`xyz` is no protocol"),
        ("is_privacy(\"nope\");", "the kinds of privacy are header"),
    ] {
        let rest = format!("route {{ {statement} }}");
        let ended = Setup::new(&format!("{HEAD}{rest}")).args(["-C"]).run_to_end();
        assert!(ended.status == 255 && ended.stderr.contains(complaint), "{statement}: {ended:?}");
    }
    let fine = "route { forward(\"localhost:5060\"); send(\"tls:192.0.2.1\"); is_privacy(\"ID\"); }";
    assert_eq!(Setup::new(&format!("{HEAD}{fine}")).args(["-C"]).run_to_end().status, 0);
}

#[test]
fn a_reading_that_is_not_the_usual_one_is_a_warning() {
    let rest = "route { $var(a) = 7 - 2 * 3; if (1 or 0 and 1) exit; if ($var(a) = 5) exit; $var(b) = (7 - 2) * 3; }";
    let ended = Setup::new(&format!("{HEAD}{rest}")).args(["-C"]).run_to_end();
    assert_eq!(ended.status, 0, "{ended:?}");
    let warnings: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("WARNING")).collect();
    assert_eq!(warnings.len(), 3, "{ended:?}");
    assert!(
        warnings[0].contains(":13:19: read from the left") && warnings[0].contains("`(7 - 2) * 3`"),
        "{warnings:?}"
    );
    assert!(warnings[2].contains("write `==` to compare"), "{warnings:?}");
}

#[test]
fn what_has_no_clear_meaning_is_refused() {
    for (statement, problem) in [
        ("if (\"a\") exit;", "a string is not a condition"),
        ("if (NULL) exit;", "NULL is not a condition"),
        ("if ($var(x) < NULL) exit;", "`<` cannot be used with NULL"),
        ("if ($var(x) + 1 == 2) exit;", "a calculation stands in brackets"),
        ("if (route(five) > 4) exit;", "assign it first"),
        ("$var(x) += NULL;", "NULL cannot be calculated with"),
        ("switch ($var(x)) { default: exit; }", "a switch needs at least one case"),
        ("return(1, 2);", "syntax error"),
        ("xlog($var(x));", "a text in quotes is needed"),
        ("setflag(A);", "write it in quotes"),
        ("strip(\"1\");", "without quotes"),
        ("xlog(\"$(ru[0])\");", "no values that this index could choose from"),
    ] {
        let ended = Setup::new(&format!("{HEAD}route {{ {statement} }}\nroute[five] {{ return(5); }}"))
            .args(["-C"])
            .run_to_end();
        assert_eq!(ended.status, 255, "{statement}: {ended:?}");
        assert!(ended.stderr.contains(problem), "{statement}: {ended:?}");
    }
}
