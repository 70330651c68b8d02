//! What scripts do.

mod arguments;
mod loops;
mod stretches;

use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;
use crate::call::Waiting;
use crate::testing::{TestHost, check, evaluate, program, run};
use crate::value::Value;

fn log(text: &str) -> Vec<String> {
    run(text).0.log
}

/// Polls until it is there.
fn finish<C>(mut waiting: Waiting<C>) -> Resume<C> {
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(resume) = waiting.as_mut().poll(&mut context) {
            return resume;
        }
    }
}

#[test]
fn a_statement_waits_for_the_addresses_of_names_in_it() {
    let text = r#"route {
        $var(h) = "a.example";
        code(-1);
        $var(rc) = $rc;
        if ($(var(h){ip.resolve}{ip.isprivate}) == 1) note("private $(var(h){ip.resolve})");
        $var(h) = "b.example";
        note("$(var(h){ip.resolve}) $(ru{ip.resolve})");
        $var(h) = "10.0.0.1";
        keep($(var(h){ip.resolve}));
    }"#;
    let program = program(text);
    let mut host = TestHost::default();
    let mut execution = program.start(program.route(RouteKind::Request, b"").unwrap());
    let mut step = execution.run(&program, &mut host);
    let mut waits = 0;
    while let Step::Wait(pause) = step {
        waits += 1;
        assert_eq!(pause.kind, PauseKind::Call);
        step = execution.resume(finish(pause.waiting), &program, &mut host);
    }
    assert_eq!(waits, 3);
    let log: Vec<&str> = host.log.iter().map(String::as_str).collect();
    assert_eq!(log[1..3], ["looked up a.example", "note[Str(\"private 127.0.0.1\"), Null, Null]"]);
    assert_eq!(log[3..5], ["looked up b.example", "looked up sip:alice@example.org"]);
    assert_eq!(host.out, Value::from("10.0.0.1"));
}

#[test]
fn values_of_expressions() {
    let table: &[(&str, Value)] = &[
        ("1 + 2 * 3", Value::Int(9)),
        ("7 - 2 * 3", Value::Int(15)),
        ("1 | 2 ^ 3", Value::Int(0)),
        ("1 << 2 + 1", Value::Int(8)),
        ("010", Value::Int(8)),
        ("4294967295", Value::Int(-1)),
        ("1 / 0", Value::Int(0)),
        ("1 + code(3) + route(minus)", Value::Int(2)),
        ("(1 + 2) * 3", Value::Int(9)),
        ("4 + ( 7 & ( ~2 ) )", Value::Int(9)),
        ("7 / 2", Value::Int(3)),
        ("-7 / 2", Value::Int(-3)),
        ("-7 % 3", Value::Int(-1)),
        ("1 << 4 | 1", Value::Int(32)),
        ("6 ^ 3", Value::Int(5)),
        ("-16 >> 2", Value::Int(-4)),
        ("0x10", Value::Int(16)),
        ("10-5", Value::Int(5)),
        ("~$five", Value::Int(-6)),
        ("$five + 1", Value::Int(6)),
        ("\"a\" + $five", Value::from("a5")),
        ("\"a\" + $var(none) + \"b\"", Value::from("ab")),
        ("\"sip:\" + $five + \"@\" + $rm", Value::from("sip:5@INVITE")),
        ("\"<$ru> $$\"", Value::from("<$ru> $$")),
        ("'raw $five\\n'", Value::from("raw $five\\n")),
        ("2147483647 + 1", Value::Int(-2_147_483_648)),
        ("-2147483648 - $five", Value::Int(2_147_483_643)),
        ("65536 * 65536", Value::Int(0)),
        ("-2147483648 / -1", Value::Int(-2_147_483_648)),
        ("1 << 31", Value::Int(-2_147_483_648)),
        ("1 << 33", Value::Int(2)),
        ("NULL", Value::Null),
        ("yes", Value::Int(1)),
        ("off", Value::Int(0)),
        ("L_DBG", Value::Int(4)),
        ("$five == 5", Value::Int(1)),
        ("($five > 5)", Value::Int(0)),
    ];
    for (expr, expected) in table {
        let (host, _) =
            run(&format!("route {{ $var(out) = {expr}; keep($var(out)); }} route[minus] {{ return(-2); }}"));
        assert_eq!(host.out, *expected, "{expr}");
    }
}

#[test]
fn truths_of_conditions() {
    let table = [
        ("$five == 5", true),
        ("$five == \"5\"", true),
        ("$five == \"05\"", false),
        ("$five != 5", false),
        ("$rm == \"INVITE\"", true),
        ("$rm == \"invite\"", true),
        ("$rm =~ \"^inv\"", true),
        ("$rm !~ \"^inv\"", false),
        ("$ru =~ \"@example\\.org$\"", true),
        ("$var(p) =~ $rm", true),
        ("$five >= 5 && $five <= 5", true),
        ("$five < 10", true),
        ("$five >= \"12\"", true),
        ("$rm < 5", false),
        ("$rm >= 5", false),
        ("$var(none) == NULL", true),
        ("$var(none) == null", true),
        ("$rm != NULL", true),
        ("$var(none) != 1", true),
        ("$var(none) < 1", false),
        ("$var(none) =~ \".*\"", false),
        ("$var(none) !~ \".*\"", true),
        ("$var(none)", false),
        ("$rm", true),
        ("$var(empty)", false),
        ("[ $five & 4 ]", true),
        ("[ $five & 4 == 4 ]", true),
        ("[ $var(zero) ]", true),
        ("[ $var(none) ]", false),
        ("[ $five & 2 ]", false),
        ("!$five == 6", true),
        ("not $five == 5", false),
        ("$five == 6 or $five == 5 and $rm", true),
        ("1 or 1 and 0", false),
        ("$var(new) = 0", true),
        ("$var(new) = code(-1)", true),
        ("!($five == 5) || !$rm", false),
    ];
    for (condition, expected) in table {
        let script = format!(
            "$var(none) = NULL; $var(zero) = 0; $var(empty) = \"\"; $var(p) = \"the invite\";
             if ({condition}) $var(out) = 1; else $var(out) = 0;"
        );
        assert_eq!(evaluate(&script), Value::from(expected), "{condition}");
    }
}

#[test]
fn faults_are_reported_and_have_no_effect() {
    let table = [
        ("$var(out) = $var(none) + 1;", "x.cfg:1: $var(out) is not assigned: an operand is NULL"),
        (
            "$var(out) = 1 + $rm;",
            "x.cfg:1: $var(out) is not assigned: one operand is a number and the other a string",
        ),
        (
            "$var(out) = $rm * 2;",
            "x.cfg:1: $var(out) is not assigned: one operand is a number and the other a string",
        ),
        ("$avp(x) = \"refused\";", "x.cfg:1: $avp(x) is not assigned: it is refused"),
        ("if ($rm =~ $var(bad)) $var(out) = 1;", "x.cfg:1: bad regular expression, or one that is too large"),
        ("say($var(none));", "x.cfg:1: <say> is not called: Param [1] is NULL"),
        ("code($rm);", "x.cfg:1: <code> is not called: Param [1] is not a number"),
        ("route($var(bad));", "x.cfg:1: no route[(]"),
        ("t_on_failure($rm);", "x.cfg:1: no failure_route[INVITE]"),
    ];
    for (statement, error) in table {
        let script = format!(
            "route {{ $var(zero) = 0; $var(none) = NULL; $var(bad) = \"(\"; $var(out) = 7; {statement} keep($var(out)); }}"
        );
        let (host, _) = run(&script);
        assert_eq!(
            (host.errors.as_slice(), host.out),
            (&[error.to_owned()][..], Value::Int(7)),
            "{statement}"
        );
    }
}

#[test]
fn strings_stop_growing() {
    let (host, _) = run(
        "route { $var(s) = \"0123456789abcdef\"; while (1) { $var(s) = $var(s) + $var(s); if ($rc < 0) break; } keep($(var(s){s.len})); }",
    );
    assert_eq!(host.out, Value::Int(1 << 20));
    assert!(host.errors[0].contains("longer than"), "{:?}", host.errors[0]);
}

#[test]
fn assignments() {
    let table = [
        ("$var(x) = 7; $var(x) += 3; $var(x) -= 1; $var(x) *= 4; $var(x) /= 3; $var(x) %= 5;", Value::Int(2)),
        ("$var(x) = 12; $var(x) |= 3; $var(x) &= 6; $var(x) ^= 5;", Value::Int(3)),
        ("$var(x) = \"a\"; $var(x) += \"b\"; $var(x) += 1; $var(x) += $five;", Value::from("ab5")),
        (
            "$avp(l) = 1; $avp(l) = 2; $(avp(l)[append]) = 3; $var(x) = $(avp(l)[1]) + $(avp(l)[2]);",
            Value::Int(4),
        ),
        ("$avp(l) = 1; $avp(l) := 2; $avp(l) = NULL; $var(x) = $avp(l);", Value::Null),
        ("put($var(x));", Value::Int(42)),
    ];
    for (script, expected) in table {
        assert_eq!(evaluate(&format!("{script} $var(out) = $var(x);")), expected, "{script}");
    }
}

#[test]
fn only_lists_are_walked() {
    let script = "route { $var(x) = 7; for ($var(i) in $var(x)) note($var(i));
        $avp(l) = 2; $avp(l) = 1; for ($var(i) in $(avp(l)[*])) note($var(i)); }";
    let notes: Vec<_> = log(script).into_iter().filter(|line| line.starts_with("note")).collect();
    assert_eq!(notes, ["note[Int(1), Null, Null]", "note[Int(2), Null, Null]"]);
}

#[test]
fn one_arm_of_an_if_runs() {
    let script = "route { $var(x) = 2;
        if ($var(x) == 1) note(1); else if ($var(x) == 2) { note(2); } else note(3);
        if (code(-1)) { note(4); } else { note(5); };
        if (code(1) && !code(-2) && code(3)) note(6);
        if (code(-1) || code(-3) or $five == 5) note(7);
    }";
    let notes: Vec<_> = log(script).into_iter().filter(|line| line.starts_with("note")).collect();
    assert_eq!(
        notes,
        [
            "note[Int(2), Null, Null]",
            "note[Int(5), Null, Null]",
            "note[Int(6), Null, Null]",
            "note[Int(7), Null, Null]"
        ]
    );
}

#[test]
fn conditions_stop_early() {
    assert_eq!(log("route { if (code(-1) && code(2)) note(9); }"), ["code[Int(-1)]"]);
    assert_eq!(log("route { if (code(1) || code(2)) note(9); }").len(), 2);
}

#[test]
fn routes_take_and_return_values() {
    let script = "
        route { route(sum, 2, 3, $five); keep($rc); if (route(no)) note(1); else note(2);
            route(last); note($rc); $var(x) = \"12\"; route(given, $var(x)); note($rc);
            route(given, $var(none)); note($rc); route(unmet); note($rc); }
        route[sum] { $var(n) = 2; $var(s) = $param(1) + $param(2) + $param($var(n)) + $param(3) + 0; return($var(s)); }
        route[no] { if ($param(1) == NULL) return(-1); }
        route[last] { code(-7); }
        route[given] { return($param(1)); }
        route[unmet] { if ($five == 6) note(6); }";
    let (host, verdict) = run(script);
    assert_eq!(host.out, Value::Int(13));
    let codes: Vec<_> = host.log.iter().filter(|line| line.starts_with("note")).collect();
    assert_eq!(
        codes,
        [
            "note[Int(2), Null, Null]",
            "note[Int(-7), Null, Null]",
            "note[Int(1), Null, Null]",
            "note[Int(-1), Null, Null]",
            "note[Int(1), Null, Null]"
        ]
    );
    assert_eq!(verdict, Verdict { rc: 1, exit: false, drop: false, cut: false });
}

#[test]
fn parameters_belong_to_their_call() {
    let script = "route { route(a, 1); } route[a] { route(b, 2, 3); note($param(1), $param(2)); }
        route[b] { note($param(1), $param(2)); route(c); } route[c] { note($param(1)); }";
    assert_eq!(
        log(script),
        ["note[Int(2), Int(3), Null]", "note[Null, Null, Null]", "note[Int(1), Null, Null]"]
    );
}

#[test]
fn the_script_ends_early() {
    let verdict = |body: &str| {
        run(&format!("route {{ {body} note(1); }} route[x] {{ exit; }} route[z] {{ return(0); }}")).1
    };
    assert_eq!(verdict("exit;"), Verdict { rc: 1, exit: true, drop: false, cut: false });
    assert_eq!(verdict("exit();"), Verdict { rc: 1, exit: true, drop: false, cut: false });
    assert_eq!(verdict("drop;"), Verdict { rc: 1, exit: true, drop: true, cut: false });
    assert_eq!(verdict("route(x);"), Verdict { rc: 1, exit: true, drop: false, cut: false });
    assert_eq!(verdict("route(z);"), Verdict { rc: 0, exit: true, drop: false, cut: false });
    assert_eq!(verdict("code(0);"), Verdict { rc: 0, exit: true, drop: false, cut: false });
    assert_eq!(verdict("return(-5);"), Verdict { rc: -5, exit: false, drop: false, cut: false });
    assert_eq!(verdict("return;"), Verdict { rc: 1, exit: false, drop: false, cut: false });
}

#[test]
fn routes_without_end_are_stopped() {
    let (host, _) = run(
        "route { $var(n) = 0; route(a); keep($var(n)); } route[a] { $var(n) += 1; route(a); return(1); }",
    );
    assert_eq!(host.out, Value::Int(MAX_ROUTE_DEPTH as i64 - 1));
    assert_eq!(host.errors.len(), 1);
}

#[test]
fn a_script_that_multiplies_its_loops_is_ended() {
    let mut program = program("route { while (1) { route(a); } } route[a] { while (1) { route(a); } }");
    program.limit_operations(1000);
    let mut host = TestHost::default();
    let Step::Done(verdict) = program.start(program.routes().next().unwrap()).run(&program, &mut host) else {
        panic!("waits")
    };
    assert_eq!(verdict, Verdict { rc: -1, exit: true, drop: false, cut: true });
    let [.., ended, more] = &host.errors[..] else { panic!("{:?}", host.errors) };
    assert!(ended.contains("ended after 1000 operations") && more.contains("more errors of the same run"));
}

#[test]
fn names_of_routes_and_lines() {
    let script = "route {\n route(A); }\nroute[A] {\n route(B); }\nroute[B] {\n note($route, $(route[1]), $(route[-1]));
        note($(route[*]), $(route[3]), $(route[-4]));\n note($route.name, $route.type, $(route.type[-2]));\n note($cfg_line, $cfg_file); }";
    assert_eq!(
        log(script),
        [
            "note[Str(\"route[B]\"), Str(\"route[A]\"), Str(\"route\")]",
            "note[Str(\"route > route[A] > route[B]\"), Null, Null]",
            "note[Str(\"B\"), Str(\"route\"), Str(\"route\")]",
            "note[Int(9), Str(\"x.cfg\"), Null]",
        ]
    );
}

#[test]
fn script_variables_stay_with_the_process() {
    let first = program("route { $var(kept) = 1; }");
    let mut host = TestHost::default();
    let route = first.routes().next().unwrap();
    let mut execution = first.start(route);
    assert!(matches!(execution.run(&first, &mut host), Step::Done(_)));
    let second = program("route { keep($var(kept)); }");
    execution.restart(route, NamedParams::new());
    assert!(matches!(execution.run(&second, &mut host), Step::Done(_)));
    assert_eq!(host.out, Value::Int(1));
}

#[test]
fn an_event_route_finds_its_parameters() {
    let program = program(
        "event_route[E_X] { note($param(src), $param(2), $param(none)); route(sub); } route[sub] { note($param(src)); }",
    );
    let route = program.route(RouteKind::Event, b"E_X").unwrap();
    let mut execution = Execution::new();
    let params = vec![(Some("src".into()), Value::from("a")), (Some("n".into()), Value::Int(2))];
    execution.restart(route, params);
    let mut host = TestHost::default();
    assert!(matches!(execution.run(&program, &mut host), Step::Done(_)));
    assert_eq!(host.log, ["note[Str(\"a\"), Int(2), Null]", "note[Null, Null, Null]"]);
}

#[test]
fn a_call_that_waits_goes_on_behind_it() {
    let program = program(
        "route { route(sub, 9); note($rc); } route[sub] { if (!wait(-3) && $rc == -3) note($param(1), $rc); return(2); }",
    );
    let mut host = TestHost::default();
    let mut execution = program.start(program.route(RouteKind::Request, b"").unwrap());
    let Step::Wait(pause) = execution.run(&program, &mut host) else { panic!("no wait") };
    assert_eq!(pause.kind, PauseKind::Call);
    assert!(host.log.is_empty() && host.vars.route().is_none());

    // meanwhile, another script runs in the same process, and the one that waits cannot be begun again
    let mut other = program.start(program.route(RouteKind::Request, b"").unwrap());
    assert!(matches!(other.run(&program, &mut host), Step::Wait(_)));
    assert!(matches!(execution.run(&program, &mut host), Step::Done(Verdict { exit: true, .. })));

    let Step::Done(verdict) = execution.resume(finish(pause.waiting), &program, &mut host) else {
        panic!("waits")
    };
    assert_eq!(host.log, ["waited -3", "note[Int(9), Int(-3), Null]", "note[Int(2), Null, Null]"]);
    assert_eq!(verdict, Verdict { rc: 1, exit: false, drop: false, cut: false });
}

#[test]
fn a_wait_that_comes_to_nothing_ends_the_script() {
    let program = program("route { wait(0); note(1); }");
    let mut host = TestHost::default();
    let mut execution = program.start(program.route(RouteKind::Request, b"").unwrap());
    let Step::Wait(pause) = execution.run(&program, &mut host) else { panic!("no wait") };
    let Step::Done(verdict) = execution.resume(finish(pause.waiting), &program, &mut host) else {
        panic!("waits")
    };
    assert!(verdict.exit && host.log == ["waited 0"]);
}

#[test]
fn async_goes_on_in_its_route() {
    let program = program(
        "route { async(wait(-7), later, 3); note(1); } route[later] { note($rc); route(end); } route[end] { exit; }",
    );
    let mut host = TestHost::default();
    let mut execution = program.start(program.route(RouteKind::Request, b"").unwrap());
    let Step::Wait(pause) = execution.run(&program, &mut host) else { panic!("no wait") };
    assert_eq!(pause.kind, PauseKind::Async { timeout: Some(3) });
    let Step::Done(verdict) = execution.resume(finish(pause.waiting), &program, &mut host) else {
        panic!("waits")
    };
    assert_eq!(host.log, ["waited -7", "note[Int(-7), Null, Null]"]);
    assert!(verdict.exit);
}

#[test]
fn launch_leaves_the_script_to_run() {
    let program = program(
        "route { launch(wait(4), report, \"for $rm\"); note(1); } route[report] { note($rc, $param(1)); }",
    );
    let mut host = TestHost::default();
    let mut execution = program.start(program.route(RouteKind::Request, b"").unwrap());
    assert!(matches!(execution.run(&program, &mut host), Step::Done(_)));
    let launch = host.launched.pop().unwrap();
    let Outcome::Wait(waiting) = launch.outcome else { panic!("done at once") };
    let Outcome::Done(rc) = finish(waiting)(&mut host) else { panic!("not done") };
    execution.report(launch.report.unwrap(), rc, launch.text);
    assert!(matches!(execution.run(&program, &mut host), Step::Done(_)));
    assert_eq!(host.log, ["note[Int(1), Null, Null]", "waited 4", "note[Int(4), Str(\"for INVITE\"), Null]"]);
}

#[test]
fn arguments_are_what_parameters_say() {
    let script = "route { send_reply(200, \"OK $five\"); send_reply($five); say(\"7\" \"8\"); note(\"abc\", , \"1\");
        raise_event(\"E\", , $avp(v)); t_on_failure(\"f\"); t_on_failure(g); like(\"^a\"); note(sip:1.2.3.4:5060); say($five); }
        failure_route[f] { } failure_route[g] { }";
    let program = program(script);
    let armed = |name: &[u8]| {
        let route = program.route(RouteKind::Failure, name).unwrap();
        format!("t_on_failure[{:?}]", route.to_value())
    };
    let (f, g) = (armed(b"f"), armed(b"g"));
    assert_eq!(
        log(script),
        [
            "send_reply[Int(200), Str(\"OK 5\")]",
            "send_reply[Int(5), Null]",
            "say[Str(\"78\")]",
            "note[Str(\"abc\"), Null, Str(\"1\")]",
            "raise_event[Str(\"E\"), Null, Null]",
            &f,
            &g,
            "like[Str(\"^a\")]",
            "note[Str(\"sip:1.2.3.4:5060\"), Null, Null]",
            "say[Str(\"5\")]",
        ]
    );
}

#[test]
fn a_route_is_found_in_a_later_version_of_the_program() {
    let first = program("route { } failure_route[busy] { note(1); } failure_route[gone] { }");
    let mut second = program("route[new] { } failure_route[busy] { note(2); } route { }");
    second.set_version(2);
    let busy = first.route(RouteKind::Failure, b"busy").unwrap();
    assert_eq!(RouteId::from_value(&busy.to_value()), Some(busy));
    assert_eq!(second.route_from_bits(busy.to_bits()), second.route(RouteKind::Failure, b"busy"));
    let gone = first.route(RouteKind::Failure, b"gone").unwrap();
    assert_eq!(second.route_from_bits(gone.to_bits()), None);

    let mut host = TestHost::default();
    assert!(matches!(first.start(busy).run(&second, &mut host), Step::Done(_)));
    assert!(matches!(first.start(gone).run(&second, &mut host), Step::Done(_)));
    assert_eq!(host.log, ["note[Int(2), Null, Null]"]);
    assert_eq!((first.statement(2 << 24 | 1), second.statement(1)), (None, None), "of another version");
    assert!(second.statement(2 << 24 | 1).is_some());
}

#[test]
fn actions_are_traced_on_demand() {
    let mut program = program("route { note(1); code(2); }");
    program.trace_actions(true);
    let mut host = TestHost::default();
    let mut execution = program.start(program.routes().next().unwrap());
    assert!(matches!(execution.run(&program, &mut host), Step::Done(_)));
    assert_eq!(host.log, ["note[Int(1), Null, Null]", "took note 1", "code[Int(2)]", "took code 1"]);
}

#[test]
fn errors_of_a_run_are_counted_beyond_twenty() {
    let loops = "while (1) { while (1) { $var(i) = $var(none) + 1;\n } }";
    let text = format!("max_while_loops = 100\nroute {{ {loops} wait(1); {loops} }}");
    let program = program(&text);
    let mut host = TestHost::default();
    let mut execution = program.start(program.route(RouteKind::Request, b"").unwrap());
    let Step::Wait(pause) = execution.run(&program, &mut host) else { panic!("no wait") };
    assert_eq!(host.errors.len(), 20);
    assert!(matches!(execution.resume(finish(pause.waiting), &program, &mut host), Step::Done(_)));
    // 100 times 100 assignments, and 101 loops that end at their limit, before the wait and behind it.
    let last = format!("x.cfg:3: {} more errors of the same run, the last one here", 2 * 10_101 - 20);
    assert_eq!(host.errors[20..], [last]);
    // The next run counts anew.
    host.errors.clear();
    execution.restart(program.route(RouteKind::Request, b"").unwrap(), NamedParams::new());
    assert!(matches!(execution.run(&program, &mut host), Step::Wait(_)));
    assert_eq!(host.errors.len(), 20);
}

#[test]
fn who_watches_sees_the_statement_that_runs() {
    let text = "route {\n  note(1);\n  if (1)\n    route(sub);\n\n  note(3);\n}\nroute[sub] {\n  wait(5);\n  note(2);\n}";
    let mut program = program(text);
    program.trace_actions(true);
    let position: &'static AtomicU32 = Box::leak(Box::default());
    let mut host = TestHost { watched: Some(position), ..TestHost::default() };
    let mut execution = program.start(program.route(RouteKind::Request, b"").unwrap());
    let Step::Wait(pause) = execution.run(&program, &mut host) else { panic!("no wait") };
    assert_eq!(position.load(Relaxed), 0);
    // A script that runs within a function of another one.
    position.store(7, Relaxed);
    assert!(matches!(execution.resume(finish(pause.waiting), &program, &mut host), Step::Done(_)));
    assert_eq!(position.load(Relaxed), 7);

    let seen = host.positions.iter().map(|at| program.statement(*at).unwrap().to_string());
    let lines = ["2 in route", "9 in route[sub]", "10 in route[sub]", "6 in route"];
    assert_eq!(seen.collect::<Vec<_>>(), lines.map(|line| format!("x.cfg:{line}")));
    assert_eq!(program.statement(0), None);
    assert_eq!(program.statement(u32::MAX), None);
}

/// Any statements that parse also run to an end.
fn statements() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("$five"),
        Just("$var(a)"),
        Just("-1"),
        Just("\"x$var(b)\""),
        Just("NULL"),
        Just("$(var(a){s.len})"),
        Just("$avp(l)"),
        Just("$(avp(l)[1])"),
        Just("$rc"),
        Just("$param(1)"),
        Just("0"),
    ];
    let operator = prop_oneof![
        Just("+"),
        Just("-"),
        Just("*"),
        Just("/"),
        Just("%"),
        Just("<<"),
        Just("=="),
        Just("<"),
        Just("&&")
    ];
    let expr = (value.clone(), operator, value).prop_map(|(a, op, b)| format!("{a} {op} {b}"));
    let leaf = prop_oneof![
        expr.clone().prop_map(|e| format!("$var(a) = {e};")),
        expr.clone().prop_map(|e| format!("$avp(l) = {e};")),
        Just("route(r, $var(a));".to_owned()),
        Just("code($var(a));".to_owned()),
        Just("break;".to_owned()),
        Just("return(2);".to_owned()),
    ];
    let block = leaf.prop_recursive(4, 24, 4, move |inner| {
        let body = proptest::collection::vec(inner, 0..4).prop_map(|lines| lines.join(" "));
        prop_oneof![
            (expr.clone(), body.clone(), body.clone())
                .prop_map(|(e, a, b)| format!("if ({e}) {{ {a} }} else {{ {b} }}")),
            (expr.clone(), body.clone()).prop_map(|(e, b)| format!("while ({e}) {{ {b} }}")),
            body.clone().prop_map(|b| format!("for ($var(b) in $(avp(l)[*])) {{ {b} }}")),
            (body.clone(), body)
                .prop_map(|(a, b)| format!("switch ($var(a)) {{ case 1: {a} case \"x\": default: {b} }}")),
        ]
    });
    proptest::collection::vec(block, 0..4).prop_map(|blocks| blocks.join("\n"))
}

proptest! {
    #[test]
    fn every_script_ends(main in statements(), sub in statements()) {
        let text = format!("max_while_loops = 3\nroute {{ while (1) {{ {main} break; }} }} route[r] {{ while (1) {{ {sub} break; }} }}");
        let Ok(mut program) = check(&text) else { return Ok(()) };
        program.limit_operations(5_000);
        let mut host = TestHost::default();
        let route = program.route(RouteKind::Request, b"").unwrap();
        prop_assert!(matches!(program.start(route).run(&program, &mut host), Step::Done(_)));
        prop_assert!(host.vars.route().is_none());
    }
}
