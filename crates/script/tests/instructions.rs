//! What transformations cost a script, in instructions: a count that does not depend on what else the machine does.
//!
//! The test runs itself under callgrind, for many runs of a script and for twice as many, and compares.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::rc::Rc;

use tocsin_script::{
    Accessor, Host, Index, Launch, Library, Place, RouteKind, ScriptVars, SourceMap, Step, Value, Variable,
    compile,
};

/// Runs of the shorter measurement.
const RUNS: u64 = 500;
/// Instructions of a run, in a build for tests, and 3 % more. A quarter of them matches one regular expression with a group.
const MOST: u64 = 68_140;

/// Thirty transformations on values as messages bring them.
const SCRIPT: &str = r#"route {
    $var(x) = $(ru{uri.user});
    $var(x) = $(ru{uri.host}{s.tolower});
    $var(x) = $(ru{uri.port});
    $var(x) = $(ru{uri.param,transport});
    $var(x) = $(ru{uri.params}{param.value,user});
    $var(x) = $(ct{nameaddr.uri}{uri.host}{ip.isprivate});
    $var(x) = $(ct{nameaddr.name});
    $var(x) = $(ct{nameaddr.param,expires}{s.int});
    $var(x) = $(via{via.transport}{s.tolower});
    $var(x) = $(via{via.param,branch}{s.substr,7,0});
    $var(x) = $(ru{s.len});
    $var(x) = $(ru{s.select,1,@}{s.select,0,:});
    $var(x) = $(ru{s.index,@});
    $var(x) = $(ru{re.subst,/^sip:(.*)@.*$/\1/});
    $var(x) = $(ru{re.subst,/^sip:\+?/00/});
    $var(x) = $(ru{s.md5});
    $var(x) = $(ru{s.escape.user}{s.unescape.user});
    $var(x) = $(ru{csv.count});
    $var(x) = $(ru{s.fill.left,0,3}{s.trim}{s.reverse});
}"#;

#[test]
#[cfg_attr(not(debug_assertions), ignore = "the bound is that of a build for tests")]
fn thirty_transformations_cost_no_more_than_they_did() {
    let [short, long] =
        [RUNS, 2 * RUNS].map(|runs| tocsin_callgrind::instructions("transformations", "all", runs));
    let cost = (long - short) / RUNS;
    assert!((MOST / 2..=MOST).contains(&cost), "{cost} instructions, at most {MOST}");
}

#[test]
#[ignore = "the other runs it under callgrind"]
fn transformations() {
    let (_, runs) = tocsin_callgrind::asked_for();
    let mut library = Library::new();
    for (name, value) in [
        ("ru", "sip:+4930123456@Proxy.Example.ORG:5070;transport=tcp;user=phone"),
        ("ct", "\"Alice Liddell\" <sip:alice@192.168.1.20:5062;ob>;expires=3600;q=0.7"),
        ("via", "SIP/2.0/UDP 192.0.2.17:5060;branch=z9hG4bK776asdhds;rport"),
    ] {
        library.variable(Variable::new(name, move |_| Ok(Rc::new(Fixed(value.into())))));
    }
    let program =
        compile(SourceMap::from_text("x.cfg", SCRIPT), &library).unwrap_or_else(|errors| panic!("{errors}"));
    let mut execution = program.start(program.route(RouteKind::Request, b"").unwrap());
    let mut host = Message::default();
    for _ in 0..runs {
        execution.restart(program.route(RouteKind::Request, b"").unwrap(), Vec::new());
        assert!(matches!(execution.run(&program, &mut host), Step::Done(_)));
    }
}

#[derive(Default)]
struct Message {
    vars: ScriptVars,
}

impl Host for Message {
    fn vars(&mut self) -> &mut ScriptVars {
        &mut self.vars
    }

    fn script_error(&mut self, _: Place<'_>, message: &str) {
        panic!("{message}");
    }

    fn launch(&mut self, _: Launch<Self>) {}
}

struct Fixed(Value);

impl Accessor<Message> for Fixed {
    fn read(&self, _: &mut Message, _: Index) -> Value {
        self.0.clone()
    }
}
