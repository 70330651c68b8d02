//! cfgutils: small things for scripts - waiting, chance, and variables that all processes share.
#![forbid(unsafe_code)]

mod chance;
mod config_hash;
mod locks;
mod recurrence;
mod shared;
mod values;
mod variables;
mod waiting;

use std::rc::Rc;

use tocsin_script::{Call, Function, ModParam, ModuleSpec, Outcome, Routes, Value};
use tocsin_server::Context;
use tocsin_server::module::{CommandRow, Management, Module, Setup, SetupError};

use chance::Probability;
use config_hash::ConfigHash;
use locks::Locks;
use shared::SharedVariables;

const VARSET: ModParam = ModParam::text(
    "varset",
    "",
    "The first value of a $var, written as `name=i:5` or `name=s:text`. It may be given several times.",
)
.unset("a $var begins as 0")
.check(shared::is_setting);
const LOCK_POOL_SIZE: ModParam =
    ModParam::number("lock_pool_size", 32, "How many locks there are for the keys of get_dynamic_lock().")
        .in_quotes_too()
        .without_effect("each key has a lock of its own");
const SHV_HASH_SIZE: ModParam =
    ModParam::number("shv_hash_size", 64, "The size of the table of shared variables.")
        .in_quotes_too()
        .without_effect("the table grows as it is needed");

const PARAMETERS: &[ModParam] = &[
    chance::INITIAL_PROBABILITY,
    config_hash::HASH_FILE,
    SHV_HASH_SIZE,
    shared::SHVSET,
    VARSET,
    LOCK_POOL_SIZE,
];

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct Cfgutils;

impl Module for Cfgutils {
    fn spec(&self) -> ModuleSpec<Context> {
        let mut functions = waiting::functions();
        functions.extend(chance::functions());
        functions.extend(values::functions());
        functions.extend(locks::functions());
        functions.push(recurrence::function());
        functions.extend(debugging());
        let variables =
            vec![shared::variable(), variables::random(), variables::environment(), variables::calendar()];
        ModuleSpec { params: PARAMETERS, functions, variables, ..ModuleSpec::new("cfgutils") }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        for (nth, line) in setup.parameters.every(&VARSET).filter_map(Value::to_bytes).enumerate() {
            let wrong = |problem| SetupError::Value { module: "cfgutils", name: VARSET.name, nth, problem };
            setup.registered.script_variables.push(shared::read_setting(&line).map_err(wrong)?);
        }
        let probability = Probability::create(setup)?;
        let shared = SharedVariables::create(setup)?;
        let locks = Locks::create(setup)?;
        let hash = ConfigHash::create(setup)?;
        setup.registered.states.put(probability);
        setup.registered.states.put(shared);
        setup.registered.states.put(locks);
        setup.registered.states.put(hash);
        Ok(())
    }

    fn management(&self) -> Management {
        Management { commands: COMMANDS, ..Management::default() }
    }
}

const COMMANDS: &[CommandRow] = &[
    chance::SET,
    chance::RESET,
    chance::GET,
    shared::SET,
    shared::GET,
    config_hash::CHECK,
    config_hash::SHOW,
];

/// `pkg_status()`, `shm_status()` and `abort()`.
fn debugging() -> Vec<Function<Context>> {
    let status = |name, tell: fn(&Context)| {
        Function::new(name, &[], Routes::ANY, move |_| {
            let call: Call<Context> = Rc::new(move |cx, _| {
                tell(cx);
                Outcome::TRUE
            });
            Ok(call)
        })
    };
    vec![
        status("pkg_status", |cx| {
            let used = tocsin_process::private_bytes();
            tracing::info!("private memory: {used} of {} bytes in use", cx.server().settings.private_bytes);
        })
        .doc("Logs how much of its private memory the process uses. 1: always."),
        status("shm_status", |cx| {
            let arena = cx.server().arena;
            let (used, most, size) = (arena.used_bytes(), arena.max_used_bytes(), arena.size_bytes());
            tracing::info!("shared memory: {used} of {size} bytes in use, {most} at the most");
        })
        .doc("Logs how much of the shared memory is in use. 1: always."),
        status("abort", |_| {
            tracing::error!("abort() ends this process");
            std::process::abort();
        })
        .doc("Ends the process at once, for a look at its memory; another takes its place. Never returns."),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_testbench::{TestBed, first_line, request};

    /// The modules that the configurations here load.
    const TEST_BED: TestBed = TestBed::with(|| vec![Rc::new(Cfgutils), Rc::new(tocsin_sl::Sl)]);

    const LINES: &str = "loadmodule \"sl.so\"\nloadmodule \"cfgutils.so\"\n";

    /// What a script puts into `$var(seen)`.
    fn seen(parameters: &str, script: &str) -> String {
        let routes = format!("route {{ {script} sl_send_reply(200, \"$var(seen)\"); }}");
        let bench = TEST_BED.bench(&format!("{LINES}{parameters}"), &routes);
        let answer = bench.serve(&request("OPTIONS", "", ""), 1).remove(0);
        first_line(&answer).strip_prefix("SIP/2.0 200 ").unwrap_or_default().to_owned()
    }

    #[test]
    fn shared_variables_begin_as_set_or_as_zero() {
        let parameters = "modparam(\"cfgutils\", \"shvset\", \"gw=s:sip:h;x\")\nmodparam(\"cfgutils\", \"shvset\", \"n=i:4\")";
        let script = "$shv(n) = $shv(n) + 1; $shv(m) = \"t\"; pv_printf($var(seen), \"$shv(gw) $shv(n) $shv(m) $shv(o)\");";
        assert_eq!(seen(parameters, script), "sip:h;x 5 t 0");
    }

    #[test]
    fn scripts_wait_and_go_on() {
        assert_eq!(seen("", "usleep(1000); sleep(0); pv_printf($var(seen), \"$rc\");"), "1");
    }

    #[test]
    fn the_time_has_parts() {
        let script = "if ($ctime(year) > 2020 && $ctime(mon) < 13 && $ctime(wday) > 0) $var(seen) = \"now\";";
        assert_eq!(seen("", script), "now");
    }

    #[test]
    fn chance_is_shared() {
        let script = "rand_event(100); $var(a) = $rc; rand_event(0); $var(b) = $rc;
            rand_set_prob(7); rand_get_prob(); $var(c) = $rc; rand_reset_prob(); rand_get_prob(); $var(d) = $rc;
            pv_printf($var(seen), \"$var(a) $var(b) $var(c) $var(d)\");";
        assert_eq!(seen("modparam(\"cfgutils\", \"initial_probability\", 15)", script), "1 -1 7 15");
        let number: i64 = seen("", "$var(seen) = $RANDOM;").parse().unwrap();
        assert!((0..1 << 31).contains(&number));
    }

    #[test]
    fn values_are_counted() {
        let script = "$avp(x) = 1; $avp(x) = 2; set_count($avp(x), $var(n)); set_count($avp(y), $var(m));
            ts_usec_delta(2, 5, 1, 3, $var(d)); pv_printf($var(seen), \"$var(n) $var(m) $var(d)\");";
        assert_eq!(seen("", script), "2 0 1000002");
    }

    #[test]
    fn parameters_that_cannot_be_kept_are_refused() {
        for (name, value) in [("varset", "a"), ("shvset", "a"), ("initial_probability", "101")] {
            let lines = format!("{LINES}modparam(\"cfgutils\", \"{name}\", \"{value}\")");
            let problem = TEST_BED.try_bench(&lines, "route { exit; }").err().unwrap();
            assert!(problem.contains(&format!("parameter <{name}> of module <cfgutils>: ")), "{problem}");
        }
    }

    #[test]
    fn times_apart_are_written_where_they_are_wanted() {
        for (call, expected) in [
            ("ts_usec_delta(10, 300, 12, 100, $var(s), $var(d))", "1 1999800 1999800"),
            ("ts_usec_delta(1, 2000000, 2, 0, , $var(d))", "1 <null> 1000000"),
            ("ts_usec_delta(1, 0, 1, 5, $var(s))", "1 5 <null>"),
        ] {
            let script = format!("{call}; pv_printf($var(seen), \"$rc $var(s) $var(d)\");");
            assert_eq!(seen("", &script), expected, "{call}");
        }
        let accurate = "get_accurate_time($var(a), $var(b), $var(c)); pv_printf($var(t), \"$var(a).\");
            if ($var(a) > 1600000000 && $var(b) < 1000000 && $(var(c){s.substr,0,11}) == $var(t)) $var(seen) = $rc;";
        assert_eq!(seen("", accurate), "1");
    }

    #[test]
    fn weights_choose_an_index() {
        let script = "$avp(w) = 0; $avp(w) = 10; $avp(w) = 0; $var(i) = set_select_weight($avp(w));
            $var(j) = set_select_weight($avp(none)); pv_printf($var(seen), \"$var(i) $var(j)\");";
        assert_eq!(seen("", script), "1 -1");
    }

    #[test]
    fn locks_are_taken_and_given_back() {
        let script = "get_static_lock(\"A\"); $var(a) = $rc; get_dynamic_lock($ci); $var(b) = $rc; \
            release_static_lock(\"A\"); release_dynamic_lock($ci); release_dynamic_lock(\"never\"); $var(c) = $rc; \
            get_static_lock(\"A\"); strings_share_lock($ci, $fu); pv_printf($var(seen), \"$var(a) $var(b) $var(c) $rc\");";
        assert_eq!(seen("", script), "1 1 1 -1");
        for call in ["get_static_lock($ci)", "strings_share_lock(\"a\", \"a\")"] {
            assert!(TEST_BED.try_bench(LINES, &format!("route {{ {call}; }}")).is_err(), "{call}");
        }
    }

    #[test]
    fn a_script_waits_for_a_lock_that_another_gives_back() {
        let script = "get_dynamic_lock($ci); launch(usleep(\"30000\"), free); get_dynamic_lock($ci); $var(seen) = $rc;";
        let routes = format!(
            "route {{ {script} sl_send_reply(200, \"$var(seen)\"); }} route[free] {{ release_dynamic_lock(\"x1\"); }}"
        );
        let answer = TEST_BED.bench(LINES, &routes).serve(&request("OPTIONS", "", ""), 1).remove(0);
        assert_eq!(first_line(&answer), "SIP/2.0 200 1");
    }

    #[test]
    fn times_that_come_again_have_the_recorded_codes() {
        for (arguments, code) in [
            ("\"20200101T000000|20200102T000000\"", -1),
            ("\"20200101T000000|20990102T000000\"", 1),
            ("\"\"", -1),
            ("\"nonsense\"", -2),
            ("\"20200101T000000|20200102T000000\", 1577880000", 1),
            ("\"Europe/Berlin|20200101T000000|20200102T000000\", 1577880000", 1),
            ("\"!20200101T000000|20200102T000000\", 1577880000", -1),
            ("\"20200101T080000|20200101T170000|||weekly|||MO,TU,WE\", 1577880000", -2),
        ] {
            assert_eq!(
                seen("", &format!("check_time_rec({arguments}); $var(seen) = $rc;")),
                code.to_string()
            );
        }
    }
}
