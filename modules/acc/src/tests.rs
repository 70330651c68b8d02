//! The module in a server: what the script notes and reads, and what is refused.

use std::rc::Rc;

use tocsin_testbench::{TestBed, first_line, request};

use super::Acc;

const TEST_BED: TestBed =
    TestBed::with(|| vec![Rc::new(Acc::default()), Rc::new(tocsin_tm::Tm), Rc::new(tocsin_sl::Sl)]);

const LINES: &str = "loadmodule \"sl.so\"\nloadmodule \"tm.so\"\nloadmodule \"acc.so\"";

fn lines(more: &str) -> String {
    format!("{LINES}\n{more}")
}

/// What the script answers with in its reason phrase.
fn said(more: &str, routes: &str) -> String {
    let bench = TEST_BED.bench(&lines(more), routes);
    let answers = bench.serve(&request("OPTIONS", "", ""), 1);
    first_line(&answers[0]).trim_start_matches("SIP/2.0 200 ").to_owned()
}

fn refused(more: &str, routes: &str) -> String {
    TEST_BED.try_bench(&lines(more), routes).err().unwrap()
}

#[test]
fn values_are_texts_until_they_are_taken_away() {
    let extra = r#"modparam("acc", "extra_fields", "log: a->A; evi: b")"#;
    let routes = r#"route {
        $acc_extra(a) = 12;
        $acc_extra(b) = "x";
        $acc_extra(b) = NULL;
        sl_send_reply(200, "$acc_extra(a) $acc_extra(b)");
    }"#;
    assert_eq!(said(extra, routes), "12 <null>");
}

#[test]
fn legs_are_counted_from_both_ends() {
    let legs = r#"modparam("acc", "leg_fields", "log: who; to")"#;
    let routes = r#"route {
        $acc_leg(who) = "a0";
        acc_new_leg();
        $acc_leg(who) = "a1";
        $(acc_leg(to)[0]) = "b0";
        $(acc_leg(to)[7]) = "nowhere";
        sl_send_reply(200, "$acc_current_leg $acc_leg(who) $(acc_leg(who)[-2]) $(acc_leg(to)[0]) $(acc_leg(to)[1]) $(acc_leg(to)[7])");
    }"#;
    assert_eq!(said(legs, routes), "1 a1 a0 b0 <null> <null>");
}

#[test]
fn a_call_has_legs_only_if_they_have_fields_and_not_without_end() {
    let routes = r#"route { $var(rc) = acc_new_leg(); sl_send_reply(200, "$var(rc) $acc_current_leg"); }"#;
    assert_eq!(said("", routes), "-1 0");
    let routes = r#"route {
        $var(n) = 0;
        while ($var(n) < 40) { $var(n) = $var(n) + 1; $var(rc) = acc_new_leg(); }
        sl_send_reply(200, "$var(rc) $acc_current_leg");
    }"#;
    assert_eq!(said(r#"modparam("acc", "leg_fields", "log: who")"#, routes), "-1 31");
}

#[test]
fn notes_are_there_in_the_routes_of_the_transaction() {
    let extra = r#"modparam("acc", "extra_fields", "log: a")"#;
    let routes = r#"
        route {
            if ($rU != "bob") exit;
            $acc_extra(a) = "before";
            t_on_failure("next");
            $du = "sip:@C@";
            t_newtran();
            $acc_extra(a) = $acc_extra(a) + " and after";
            do_accounting("log", "missed");
            t_relay();
        }
        failure_route[next] { t_reply(480, "$acc_extra(a)"); }"#;
    let bench = TEST_BED.bench(&lines(extra), routes);
    let relayed = bench.serve(&request("OPTIONS", "", ""), 1).remove(0);
    let via = relayed.lines().filter(|line| line.starts_with("Via: ")).collect::<Vec<_>>().join("\r\n");
    let busy = format!(
        "SIP/2.0 486 Busy\r\n{via}\r\nFrom: <sip:a@b>;tag=abc\r\nTo: <sip:bob@b>;tag=x\r\nCall-ID: x1\r\nCSeq: 1 \
         OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(first_line(&bench.serve(&busy, 1)[0]), "SIP/2.0 480 before and after");
}

#[test]
fn what_is_asked_for_must_be_known() {
    let problem = refused("", r#"route { do_accounting("lag"); }"#);
    assert!(
        problem.contains("`lag` is not known here") && problem.contains("did you mean `log`"),
        "{problem}"
    );
    let problem = refused("", r#"route { do_accounting("log", "mised"); }"#);
    assert!(problem.contains("`mised` is not known here") && problem.contains("missed"), "{problem}");
    let problem = refused("", r#"route { do_accounting("log|db"); }"#);
    assert!(problem.contains("accounting with `db` is not there yet: `log` and `evi` are"), "{problem}");
    let problem = refused("", r#"route { acc_db_request("200 ok", "acc"); }"#);
    assert!(problem.contains("accounting with `db` is not there yet"), "{problem}");
    let routes = r#"route {
        $var(type) = "paper";
        $var(a) = do_accounting($var(type));
        $var(type) = "LOG";
        $var(b) = do_accounting($var(type));
        sl_send_reply(200, "$var(a) $var(b)");
    }"#;
    assert_eq!(said("", routes), "-1 1");
}

#[test]
fn tags_that_no_parameter_names_are_refused() {
    let extra = r#"modparam("acc", "extra_fields", "log: src; who")"#;
    let problem = refused(extra, r#"route { $acc_extra(scr) = "x"; }"#);
    assert_eq!(problem, "module acc: $acc_extra(scr): extra_fields names no tag scr, but src, who");
    let problem = refused("", "route { $acc_leg(a) = 1; }");
    assert_eq!(problem, "module acc: $acc_leg(a): leg_fields names no tag a, but none");
}

#[test]
fn parameters_are_checked() {
    for (parameter, problem) in [
        (r#""log_level", 0"#, "0 is no level"),
        (r#""log_facility", "LOCAL0""#, "`LOCAL0` is no facility of the system's log: give one of LOG_KERN,"),
        (r#""extra_fields", "a->b""#, "`a->b` names no backend: write log: a->b or evi: a->b"),
    ] {
        let found = refused(&format!("modparam(\"acc\", {parameter})"), "route { exit; }");
        assert!(found.contains(problem), "{found}");
    }
}

#[test]
fn the_module_needs_tm() {
    let problem = TEST_BED.try_bench("loadmodule \"acc.so\"", "route { exit; }").err().unwrap();
    assert!(problem.contains("tm"), "{problem}");
}

#[test]
fn reports_need_no_subscriber() {
    let routes = r#"route {
        acc_evi_request("486 busy");
        $var(rc) = acc_log_request("200 fine");
        sl_send_reply(200, "$var(rc)");
    }"#;
    assert_eq!(said("", routes), "1");
}
