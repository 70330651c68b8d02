//! Loops and switches.

use super::*;

#[test]
fn switches_fall_through_without_break() {
    let run = |value: &str| {
        evaluate(&format!(
            "$var(x) = {value}; switch ($var(x)) {{
                case -1: $var(out) = \"minus\"; break;
                case \"a\": case \"b\": $var(out) = \"ab\"; if ($five) {{ break; }} $var(out) = \"no\";
                case 7: $var(out) = \"seven\";
                default: $var(out) = $var(out) + \"+\";
            }}"
        ))
    };
    assert_eq!(run("-1"), Value::from("minus"));
    assert_eq!(run("\"b\""), Value::from("ab"));
    assert_eq!(run("7"), Value::from("seven+"));
    assert_eq!(evaluate("$var(x) = \"7\"; switch ($var(x)) { case 7: $var(out) = 1; }"), Value::Null);
    assert_eq!(evaluate("switch ($rm) { case \"x\": $var(out) = 1; }"), Value::Null);
}

#[test]
fn loops_count_and_break() {
    assert_eq!(
        evaluate(
            "$var(i) = 0; while ($var(i) < 10) { $var(i) += 1; if ($var(i) == 4) break; } $var(out) = $var(i);"
        ),
        Value::Int(4)
    );
    let nested = "$var(out) = 0; $var(i) = 0; while ($var(i) < 3) { $var(j) = 0; while ($var(j) < 4) { $var(j) += 1; $var(out) += 1; } $var(i) += 1; }";
    assert_eq!(evaluate(nested), Value::Int(12));
}

#[test]
fn a_loop_without_end_is_stopped() {
    let (host, verdict) =
        run("max_while_loops = 50\nroute { $var(i) = 0; while (1) { $var(i) += 1; } keep($var(i)); }");
    assert_eq!((host.out, verdict.rc), (Value::Int(50), 1));
    assert_eq!(host.errors, ["x.cfg:2: loop stopped after 50 rounds (max_while_loops)"]);
    let (host, _) = run(
        "max_while_loops = 50\nroute { $avp(l) = 1; for ($var(x) in $(avp(l)[*])) { $(avp(l)[append]) = 1; } }",
    );
    assert_eq!(host.errors.len(), 1);
}

#[test]
fn for_walks_a_list() {
    let script = "$avp(l) = 3; $avp(l) = 2; $avp(l) = 1; $var(out) = \"\"; for ($var(x) in $(avp(l)[*])) $var(out) += $var(x);";
    assert_eq!(evaluate(script), Value::from("123"));
    assert_eq!(evaluate("for ($var(x) in $(avp(l)[*])) { $var(out) = 1; }"), Value::Null);
}

#[test]
fn the_condition_that_ends_a_loop_leaves_no_code() {
    let script = "code(-7); while (code(-1)) { note(1); } keep($rc);";
    assert_eq!(run(&format!("route {{ {script} }}")).0.out, Value::Int(1));
    let broken = "while (1) { break; } keep($rc);";
    assert_eq!(run(&format!("route {{ {broken} }}")).0.out, Value::Int(-5), "as recorded");
}
