//! What an operator reads when a configuration is wrong, word for word.
//!
//! With `WRITE_EXPECTED=1` in the environment the expectations are written anew, to be read before they are kept.

mod permissive;

use std::path::Path;

use permissive::library;
use proptest::prelude::*;
use tocsin_script::{Diagnostics, MAX_ERRORS, SourceMap, compile};

fn errors(name: &str, text: &str) -> Option<Diagnostics> {
    compile(
        SourceMap::from_text(name, text).with_file("more.cfg", "route[more] { nothing(); }\n"),
        &library(text),
    )
    .err()
}

#[test]
fn errors_read_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let write = std::env::var_os("WRITE_EXPECTED").is_some();
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "cfg") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let found = errors("x.cfg", &text).unwrap_or_else(|| panic!("{} is not wrong", path.display()));
        let found: String = found.lines().into_iter().map(|(_, line)| line + "\n").collect();
        let expected = path.with_extension("expected");
        if write {
            std::fs::write(&expected, &found).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != found {
            wrong.push(format!("{}:\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn errors_are_counted_and_capped() {
    let text = "route { nothing(); }\n".to_owned() + &"no_such = 1\n".repeat(50);
    let found = errors("x.cfg", &text).unwrap();
    assert_eq!(found.errors().len(), MAX_ERRORS);
    let text = "route {\n".to_owned() + &"nothing();\n".repeat(50) + "}";
    assert!(errors("x.cfg", &text).unwrap().errors().len() <= MAX_ERRORS);
}

#[test]
fn depth_is_limited() {
    for text in [
        "route { ".to_owned() + &"if (1) { ".repeat(100_000),
        "route { ".to_owned() + &"if (1) ".repeat(100_000),
        "route { if ".to_owned() + &"(".repeat(100_000),
        "route { if (".to_owned() + &"!".repeat(100_000),
        "route { $var(x) = ".to_owned() + &"-".repeat(100_000),
        "route { $var(x) = 1".to_owned() + &" + 1".repeat(100_000) + "; }",
        "route { $var(x) = ".to_owned() + &"$avp(".repeat(100_000),
        "route { $var(x) = ".to_owned() + &"$(avp(x)[".repeat(100_000) + &"])".repeat(100_000),
        "route { xlog(".to_owned() + &"xlog(".repeat(100_000),
        "route { switch (1) { case 1: ".to_owned() + &"switch (1) { case 1: ".repeat(100_000),
    ] {
        assert!(errors("x.cfg", &text).is_some());
    }
    let chain =
        "route { if (1) { } ".to_owned() + &"else if ($rU == \"x\") { t_relay(); } ".repeat(3000) + "}";
    assert!(errors("x.cfg", &chain).is_none(), "a long chain is no nesting");
}

const PIECES: &[&str] = &[
    "route",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    ";",
    ",",
    "=",
    "if",
    "else",
    "while",
    "switch",
    "case",
    "default",
    ":",
    "for",
    "in",
    "return",
    "exit",
    "break",
    "async",
    "launch",
    "loadmodule",
    "modparam",
    "socket",
    "udp:1.2.3.4:5060",
    "auto_scaling_profile",
    "scale",
    "up",
    "to",
    "timer_route",
    "log_level",
    "1",
    "-",
    "\"x $rU\"",
    "'y'",
    "$rU",
    "$(avp(x)[1]{s.len})",
    "$avp(x)",
    "xlog",
    "t_relay",
    "raise_event",
    "&&",
    "!",
    "==",
    "=~",
    "+",
    "include_file",
    "\"more.cfg\"",
    "\n",
    "# c\n",
    "/*",
    "*/",
    "NULL",
    "$(",
    "\"",
    "event_route",
    "startup_route",
    "wdir",
    "mem-group",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_answered(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        let source = SourceMap::from_text("x.cfg", text);
        if let Err(found) = compile(source, &library("")) {
            prop_assert!(!found.lines().is_empty() && !found.render(true).is_empty());
        }
    }

    #[test]
    fn any_tokens_are_answered(pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..60)) {
        let text = pieces.join(" ");
        if let Some(found) = errors("x.cfg", &text) {
            prop_assert!(found.lines().len() >= found.errors().len());
        }
    }

    #[test]
    fn a_config_cut_or_changed_anywhere_is_answered(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut text = include_bytes!("configs/bench__relay.cfg").to_vec();
        let at = at.index(text.len());
        if cut { text.truncate(at) } else { text[at] = byte }
        let names = include_str!("configs/bench__relay.cfg");
        if let Err(found) = compile(SourceMap::from_text("x.cfg", text), &library(names)) {
            prop_assert!(found.count() > 0 && !found.lines().is_empty());
        }
    }
}
