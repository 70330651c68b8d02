//! The time one run of the relay script takes, with functions that do nothing: what the machine itself costs.

use std::cell::OnceCell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

use tocsin_script::{
    Accessor, Function, Host, Index, Launch, Library, NamedParams, Outcome, Param, ParamKind, Place,
    RouteKind, Routes, ScriptVars, SourceMap, Step, Store, Value, Variable, WriteError, compile,
};

#[derive(Default)]
struct Bench {
    vars: ScriptVars,
    destination: Value,
    started: OnceCell<Instant>,
}

impl Host for Bench {
    fn vars(&mut self) -> &mut ScriptVars {
        &mut self.vars
    }

    fn script_error(&mut self, _: Place<'_>, _: &str) {}

    fn now_ms(&self) -> u64 {
        // A clock costs something.
        self.started.get_or_init(Instant::now).elapsed().as_millis() as u64
    }

    fn launch(&mut self, _: Launch<Self>) {}
}

struct Destination;

impl Accessor<Bench> for Destination {
    fn read(&self, host: &mut Bench, _: Index) -> Value {
        host.destination.clone()
    }

    fn write(&self, host: &mut Bench, _: Index, value: Value, _: Store) -> Result<(), WriteError> {
        host.destination = value;
        Ok(())
    }

    fn writable(&self) -> bool {
        true
    }
}

const RELAY: &str = r#"
route {
	if (!mf_process_maxfwd_header(10)) {
		send_reply(483, "Too Many Hops");
		exit;
	}
	if (has_totag()) {
		if (!loose_route()) {
			if (is_method("ACK") && t_check_trans())
				t_relay();
			exit;
		}
		t_relay();
		exit;
	}
	if (is_method("CANCEL")) {
		if (t_check_trans())
			t_relay();
		exit;
	}
	t_check_trans();
	if (is_method("INVITE"))
		record_route();
	$du = "sip:127.0.0.1:5070";
	if (!t_relay())
		send_reply(500, "Internal Error");
	exit;
}
route[loop] {
	$var(i) = 0;
	while ($var(i) < 100) {
		if ($du =~ "^sip:" && $var(i) != 50)
			$var(text) = "round " + $var(i);
		$var(i) = $var(i) + 1;
	}
}
"#;

const ANYTHING: &[Param] =
    &[Param::optional("a", ParamKind::StrOrInt), Param::optional("b", ParamKind::StrOrInt)];

fn library() -> Library<Bench> {
    let mut library = Library::new();
    let results = [
        ("mf_process_maxfwd_header", 1),
        ("has_totag", -1),
        ("loose_route", 1),
        ("t_check_trans", 1),
        ("record_route", 1),
        ("t_relay", 1),
        ("send_reply", 1),
    ];
    for (name, result) in results {
        library.function(Function::new(name, ANYTHING, Routes::ANY, move |_| {
            Ok(Rc::new(move |_: &mut Bench, values: &[Value]| {
                black_box(values);
                Outcome::Done(result)
            }))
        }));
    }
    library.function(Function::new("is_method", ANYTHING, Routes::ANY, |site| {
        let invite = site.constant_str(0).is_some_and(|method| *method == "INVITE");
        Ok(Rc::new(move |_: &mut Bench, _: &[Value]| invite.into()))
    }));
    library.variable(Variable::new("du", |_| Ok(Rc::new(Destination))));
    library
}

fn main() {
    let program =
        compile(SourceMap::from_text("relay.cfg", RELAY), &library()).unwrap_or_else(|e| panic!("{e}"));
    let mut host = Bench::default();
    for (name, per_run) in [("", 1), ("loop", 100)] {
        let Some(route) = program.route(RouteKind::Request, name.as_bytes()) else { return };
        let mut execution = program.start(route);
        let rounds = 1_000_000 / per_run;
        let mut best = f64::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            for _ in 0..rounds {
                execution.restart(route, NamedParams::new());
                assert!(matches!(execution.run(&program, &mut host), Step::Done(_)));
            }
            best = best.min(start.elapsed().as_nanos() as f64 / f64::from(rounds * per_run));
        }
        let what = if name.is_empty() {
            "relay script, a new INVITE"
        } else {
            "one round of a loop: match, format, add"
        };
        eprintln!("{what}: {best:.1} ns");
    }
}
