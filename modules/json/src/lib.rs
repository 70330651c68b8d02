//! json: JSON values in variables of the script. A name leads to a value of the process ([`variable`]), the path behind it
//! into the value ([`path`]); values are changed in place ([`node`]) and printed in three styles ([`mod@print`]).
#![forbid(unsafe_code)]

mod node;
mod path;
mod print;
mod variable;

use tocsin_script::{ModParam, ModuleSpec};
use tocsin_server::Context;
use tocsin_server::module::{Module, Setup, SetupError};

use variable::Documents;

const ENABLE_LONG_QUOTING: ModParam = ModParam::switch(
    "enable_long_quoting",
    false,
    "Whether whole numbers beyond 32 bits are read as strings.",
);

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct JsonModule;

impl Module for JsonModule {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec {
            params: &[ENABLE_LONG_QUOTING],
            functions: variable::functions(),
            variables: variable::all(),
            ..ModuleSpec::new("json")
        }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        setup.registered.states.put(Documents::new(setup.parameters.on(&ENABLE_LONG_QUOTING)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;
    use tocsin_testbench::{TestBed, first_line, request};

    /// The modules that the configurations here load.
    const TEST_BED: TestBed = TestBed::with(|| vec![Rc::new(JsonModule), Rc::new(tocsin_sl::Sl)]);

    fn seen(script: &str, shown: &str) -> String {
        let lines = "loadmodule \"sl.so\"\nloadmodule \"json.so\"";
        let routes = format!("route {{ {script} sl_send_reply(200, \"{shown}\"); }}");
        let answer = TEST_BED.bench(lines, &routes).serve(&request("OPTIONS", "", ""), 1).remove(0);
        first_line(&answer).trim_start_matches("SIP/2.0 200 ").to_owned()
    }

    #[test]
    fn members_are_read_and_written() {
        let a = r#"$json(a) := "{\"k\":1,\"arr\":[1,2,[3]],\"o\":{\"x\":\"y\"},\"n\":null,\"b\":true}";"#;
        for (script, shown, expected) in [
            ("", "$json(a/k) $json(a/arr[-1]) $json(a/arr[2][0]) $json(a/o/x)", "1 [ 3 ] 3 y"),
            (
                "",
                "$json(a/n) $json(a/b) $json(a/nope/deep) $json(a/k/x) $(json(a/arr)[*])",
                "<null> true <null> <null> <null>",
            ),
            (r#"$var(k) = "o"; $var(i) = 1;"#, "$json(a/$var(k)) $json(a/arr[$var(i)])", r#"{ "x": "y" } 2"#),
            (r#"$json(a/arr[]) = 10; $json(a/arr[0]) = NULL;"#, "$json(a/arr)", "[ 2, [ 3 ], 10 ]"),
            (r#"$json(a/deep/er) = 1;"#, "$rc $json(a/deep)", "-1 <null>"),
            (r#"$json(a/arr[9]) = 1;"#, "$rc", "-1"),
            (r#"$json(a/o) := "broken";"#, "$rc $json(a/o)", "-1 <null>"),
            (r#"$json(a/o) = "[1,2]"; $json(a/k) := "[1,2]";"#, "$json(a/o) $json(a/k)", "[1,2] [ 1, 2 ]"),
            (
                r#"$json(a/arr[]) := "null"; $json(a/b) := "false";"#,
                "$json(a/arr) $json(a/b)",
                "[ 1, 2, [ 3 ] ] false",
            ),
            (r#"$json(a) = NULL;"#, "$json(a)", "<null>"),
            (r#"$var(r) = $json(a/k) + 1;"#, "$var(r) $json_compact(a/o)", r#"2 {"x":"y"}"#),
        ] {
            assert_eq!(seen(&format!("{a} {script}"), shown), expected, "{script}");
        }
    }

    #[test]
    fn loops_go_through_keys_and_values() {
        let go = |list: &str| {
            let script = format!(
                r#"$json(d) := "{{\"a\":1,\"b\":2}}"; $var(o) = ""; for ($var(x) in $(json({list})[*])) {{ $var(o) = $var(o) + $var(x); }}"#
            );
            seen(&script, "$var(o)")
        };
        assert_eq!([go("d.keys"), go("d.values"), go("d")], ["ab", "12", "12"]);
    }

    #[test]
    fn links_share_a_value() {
        let two = r#"$json(l) := "{}"; $json(m) := "{\"in\":{\"q\":1}}"; json_link($json(l), $json(m/in));"#;
        assert_eq!(seen(&format!("{two} $json(l/q) = 2;"), "$json(m)"), r#"{ "in": { "q": 2 } }"#);
        assert_eq!(seen(&format!("{two} json_link($json(m/in/q), $json(m));"), "$rc"), "-1", "not in itself");
        assert_eq!(seen(&format!("{two} json_link($json(l), $json(none));"), "$rc"), "-1");
    }

    #[test]
    fn elements_are_not_chosen_by_an_index_of_the_variable() {
        for (call, problem) in [
            ("xlog(\"$(json(a/arr)[0])\");", "inside of the parentheses"),
            ("xlog(\"$json(d.keys[1])\");", "name/key[index]"),
            ("json_link($json(a), $var(b));", "a $json variable is needed"),
        ] {
            let lines = "loadmodule \"json.so\"";
            let reported = TEST_BED.try_bench(lines, &format!("route {{ {call} }}")).err().unwrap();
            assert!(reported.contains(problem), "{reported}");
        }
    }
}
