//! cfgutils: small things for scripts - waiting, chance, and variables that all processes share.
#![forbid(unsafe_code)]

mod chance;
mod shared;
mod variables;
mod waiting;

use std::rc::Rc;

use tocsin_mi::Registry;
use tocsin_script::{
    ArgError, Call, Function, ModParam, ModuleSpec, Outcome, Param, ParamKind, Routes, Store, Value,
};
use tocsin_server::module::{Module, Setup, SetupError};
use tocsin_server::{Context, Worker};

use chance::Probability;
use shared::SharedVariables;

const HASH_FILE: ModParam = ModParam::text(
    "hash_file",
    "",
    "A file whose hash is kept, to tell whether it changed. It is always refused.",
)
.unset("no hash is kept")
.check(|_| Err("hashes of the configuration are not kept: leave the parameter out".to_owned()));
const VARSET: ModParam = ModParam::text(
    "varset",
    "",
    "The first value of a $var, written as `name=i:5` or `name=s:text`. It may be given several times.",
)
.unset("a $var begins as 0")
.check(shared::is_setting);
const LOCK_POOL_SIZE: ModParam =
    ModParam::number("lock_pool_size", 32, "How many locks there are for scripts.")
        .without_effect("there are no script locks");

const PARAMETERS: &[ModParam] =
    &[chance::INITIAL_PROBABILITY, HASH_FILE, shared::SHVSET, VARSET, LOCK_POOL_SIZE];

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct Cfgutils;

impl Module for Cfgutils {
    fn spec(&self) -> ModuleSpec<Context> {
        let mut functions = waiting::functions();
        functions.extend(chance::functions());
        functions.extend(values());
        functions.extend(memory());
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
        setup.registered.states.put(probability);
        setup.registered.states.put(shared);
        Ok(())
    }

    fn commands(&self, worker: &'static Worker, registry: &mut Registry) {
        chance::add_commands(worker.server, registry);
        shared::add_commands(worker.server, registry);
    }
}

/// `set_count()` and `ts_usec_delta()`.
fn values() -> Vec<Function<Context>> {
    const COUNT: &[Param] =
        &[Param::required("variable", ParamKind::Variable), Param::required("result", ParamKind::Output)];
    const TIMES: &[Param] = &[
        Param::required("t1_sec", ParamKind::Int),
        Param::required("t1_usec", ParamKind::Int),
        Param::required("t2_sec", ParamKind::Int),
        Param::required("t2_usec", ParamKind::Int),
        Param::required("delta", ParamKind::Output),
    ];
    let result = |site: &tocsin_script::Site<'_, Context>, argument| {
        site.variable(argument).ok_or_else(|| ArgError::at(argument, "a variable for the result is needed"))
    };
    vec![
        Function::new("set_count", COUNT, Routes::ANY, move |site| {
            let counted = site.variable(0).ok_or_else(|| ArgError::at(0, "a variable to count is needed"))?;
            let result = result(site, 1)?;
            let call: Call<Context> = Rc::new(move |cx, _| {
                let is_there = |n: &i64| !counted.read_at(cx, tocsin_script::Index::Nth(*n)).is_null();
                let count = (0..).take_while(is_there).count() as i64;
                done(result.write(cx, Value::Int(count), Store::Set))
            });
            Ok(call)
        })
        .doc("Writes into `result` how many values `variable` has. 1: done; -1: `result` cannot be set."),
        Function::new("ts_usec_delta", TIMES, Routes::ANY, move |site| {
            let result = result(site, 4)?;
            let call: Call<Context> = Rc::new(move |cx, arguments| {
                let number = |at: usize| arguments.get(at).and_then(Value::to_int).unwrap_or(0);
                let delta = micros_between((number(0), number(1)), (number(2), number(3)));
                done(result.write(cx, Value::Int(delta), Store::Set))
            });
            Ok(call)
        })
        .doc(
            "Writes into `delta` how many microseconds lie between two times of seconds and microseconds. \
             1: done; -1: `delta` cannot be set.",
        ),
    ]
}

fn done(written: Result<(), tocsin_script::WriteError>) -> Outcome<Context> {
    match written {
        Ok(()) => Outcome::TRUE,
        Err(cause) => {
            tracing::error!("the result cannot be set: {cause}");
            Outcome::FALSE
        }
    }
}

/// Microseconds between two moments of seconds and microseconds.
fn micros_between(one: (i64, i64), two: (i64, i64)) -> i64 {
    let micros = |(seconds, micros): (i64, i64)| seconds.saturating_mul(1_000_000).saturating_add(micros);
    micros(one).saturating_sub(micros(two)).saturating_abs()
}

/// `pkg_status()` and `shm_status()`.
fn memory() -> Vec<Function<Context>> {
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
        for (name, value) in
            [("varset", "a"), ("hash_file", "/etc/x"), ("shvset", "a"), ("initial_probability", "101")]
        {
            let lines = format!("{LINES}modparam(\"cfgutils\", \"{name}\", \"{value}\")");
            let problem = TEST_BED.try_bench(&lines, "route { exit; }").err().unwrap();
            assert!(problem.contains(&format!("parameter <{name}> of module <cfgutils>: ")), "{problem}");
        }
    }

    #[test]
    fn times_apart() {
        assert_eq!(micros_between((10, 300), (10, 100)), 200);
        assert_eq!(micros_between((10, 0), (11, 5)), 1_000_005);
        assert_eq!(micros_between((i64::MAX, 0), (0, 0)), i64::MAX);
    }
}
