//! statistics: scripts make statistics and read all there are. Those that are counted ([`counted`]) and those over a while
//! ([`series`]) lie in shared memory, in groups, beside the ones of the server.
#![forbid(unsafe_code)]

mod counted;
mod iterators;
mod refusal;
mod series;

use std::rc::Rc;

use tocsin_script::{
    Accessor, ArgError, Bytes, Call, Function, Index, ModParam, ModuleSpec, Naming, Outcome, Param,
    ParamKind, Routes, Store, SubName, Value, Variable, WriteError,
};
use tocsin_server::Context;
use tocsin_server::core::refused;
use tocsin_server::module::{Management, Module, Setup, SetupError};

use tocsin_server::statistic_row::StatRow;
use tocsin_server::statistics::Kept;

use counted::Counted;
use iterators::Iterators;
use refusal::NotCounted;
use series::{Profile, Series};

const NAME: &str = "statistics";
/// The group of statistics that name none, if a parameter made them, and if they were made when they were counted first.
const SCRIPT: &str = "script";
const OF_SCRIPT: StatRow = StatRow::of_script(
    "<group>",
    "<name>",
    "A statistic of the script, of the group `script`, `dynamic`, or one of `stat_groups` or `stat_series_profile`.",
);
const DYNAMIC: &str = "dynamic";
/// How many groups and profiles there may be.
const MAX_GROUPS: usize = 64;

const VARIABLE: ModParam = ModParam::text(
    "variable",
    "",
    "The name of a statistic, perhaps with its group before it, as `group:name`. With `/no_reset` behind it, it is \
     never set back to 0. It may be given several times.",
)
.unset("statistics are made when they are first counted");
const STAT_GROUPS: ModParam = ModParam::text(
    "stat_groups",
    "",
    "The groups that statistics of the script may be in, separated by commas. It may be given several times.",
)
.unset("there are the groups `script`, of the parameter `variable`, and `dynamic`");
const STAT_SERIES_PROFILE: ModParam = ModParam::text(
    "stat_series_profile",
    "",
    "A profile for update_stat_series(), such as `asr: algorithm=percentage window=3600 slots=6`. It may be given \
     several times.",
)
.unset("there are no series")
.check(|value| profile(value).map(drop));

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct StatisticsModule;

/// What the functions find.
#[derive(Debug, Default)]
struct Groups {
    counted: Vec<(String, Counted)>,
    series: Vec<Series>,
    iterators: Iterators,
}

impl Module for StatisticsModule {
    fn spec(&self) -> ModuleSpec<Context> {
        const PARAMETERS: &[ModParam] = &[VARIABLE, STAT_GROUPS, STAT_SERIES_PROFILE];
        let mut functions = counting();
        functions.extend(walking());
        ModuleSpec { params: PARAMETERS, functions, variables: vec![variable()], ..ModuleSpec::new(NAME) }
    }

    fn management(&self) -> Management {
        Management { statistics: &[OF_SCRIPT], ..Management::default() }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        let mut groups = Groups::default();
        for group in group_names(setup)? {
            let counted = Counted::create(setup.arena)?;
            setup.tables.push(counted.sweeper());
            setup.statistics.kept(group.clone(), counted);
            groups.counted.push((group, counted));
        }
        for (nth, given) in setup.parameters.every(&STAT_SERIES_PROFILE).enumerate() {
            let wrong =
                |problem| SetupError::Value { module: NAME, name: STAT_SERIES_PROFILE.name, nth, problem };
            let series = Series::create(setup.arena, profile(given).map_err(wrong)?)?;
            setup.tables.push(series.sweeper());
            setup.statistics.kept(series.profile.group.clone(), series.clone());
            groups.series.push(series);
        }
        for (nth, given) in setup.parameters.every(&VARIABLE).filter_map(Value::to_bytes).enumerate() {
            let wrong = |problem: NotCounted| SetupError::Value {
                module: NAME,
                name: VARIABLE.name,
                nth,
                problem: problem.to_string(),
            };
            let given = given.lossy();
            let (name, flag) = given.split_once('/').unwrap_or((&given, ""));
            let (group, name) = groups.find(name, SCRIPT).map_err(wrong)?;
            group.declare(name, flag == "no_reset").map_err(wrong)?;
        }
        setup.registered.states.put(groups);
        Ok(())
    }
}

/// The groups of the parameter, each once, with the one that is always there.
fn group_names(setup: &Setup<'_>) -> Result<Vec<String>, SetupError> {
    let mut names = vec![SCRIPT.to_owned(), DYNAMIC.to_owned()];
    for (nth, given) in setup.parameters.every(&STAT_GROUPS).filter_map(Value::to_bytes).enumerate() {
        for name in given.lossy().split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        if names.len() > MAX_GROUPS {
            let problem = format!("more than {MAX_GROUPS} groups");
            return Err(SetupError::Value { module: NAME, name: STAT_GROUPS.name, nth, problem });
        }
    }
    Ok(names)
}

fn profile(value: &Value) -> Result<Profile, String> {
    let text = value.to_bytes().unwrap_or_default();
    Profile::read(&text.lossy())
}

impl Groups {
    /// The group that a statistic is in, and its name there.
    fn find<'a>(&self, name: &'a str, default: &str) -> Result<(Counted, &'a str), NotCounted> {
        let (group, name) = name.split_once(':').unwrap_or((default, name));
        let found = self.counted.iter().find(|(known, _)| known == group);
        found.map(|(_, counted)| (*counted, name)).ok_or(NotCounted::Group)
    }
}

/// `group:name` or `name`.
fn split(name: &str) -> (Option<&str>, &str) {
    name.split_once(':').map_or((None, name), |(group, name)| (Some(group), name))
}

fn counting() -> Vec<Function<Context>> {
    const UPDATE: &[Param] =
        &[Param::required("variable", ParamKind::Str), Param::required("value", ParamKind::Int)];
    const RESET: &[Param] = &[Param::required("variable", ParamKind::Str)];
    const SERIES: &[Param] = &[
        Param::required("profile", ParamKind::Str),
        Param::required("variable", ParamKind::Str),
        Param::required("value", ParamKind::Int),
    ];
    vec![
        function("update_stat", UPDATE, |cx, arguments| {
            let name = text(&arguments[0]);
            update(cx, &name, arguments[1].to_int().unwrap_or(0)).map_err(|cause| format!("`{name}`: {cause}"))
        })
        .doc(
            "Adds a number, which may be negative, to a statistic, and makes it if there is none. 1: done; -1: its \
             group is unknown, or there is no room.",
        ),
        function("reset_stat", RESET, |cx, arguments| {
            let name = text(&arguments[0]);
            let (group, of_group) = split(&name);
            let found = cx.server().statistics.reset_one(group, of_group);
            if found { Ok(()) } else { Err(format!("there is no statistic `{name}`")) }
        })
        .doc("Sets a statistic back to 0. 1: done; -1: there is none of this name."),
        function("update_stat_series", SERIES, |cx, arguments| {
            let (profile, name) = (text(&arguments[0]), text(&arguments[1]));
            let groups: &Groups = cx.server().state();
            let series = groups.series.iter().find(|series| series.profile.name == profile);
            let series = series.ok_or_else(|| format!("there is no profile `{profile}`"))?;
            let value = arguments[2].to_int().unwrap_or(0);
            series.add(&name, value).map_err(|cause| format!("`{name}`: {cause}"))
        })
        .doc(
            "Adds a value to a series, and makes it if there is none. Its profile says for how long the value counts. \
             1: done; -1: there is no such profile, or no room.",
        ),
    ]
}

/// Counters of the server can be counted, too.
fn update(cx: &Context, name: &str, by: i64) -> Result<(), NotCounted> {
    let statistics = &cx.server().statistics;
    let (group, of_group) = split(name);
    if let Some(counter) = statistics.find_counter(group, of_group) {
        // counters wrap: to add a number below 0 is to take it off
        statistics.add(counter, by as u64);
        return Ok(());
    }
    let groups: &Groups = cx.server().state();
    if group.is_none() && groups.find(name, SCRIPT).is_ok_and(|(group, name)| group.value(name).is_some()) {
        return groups.find(name, SCRIPT)?.0.add(name, by);
    }
    let (group, name) = groups.find(name, DYNAMIC)?;
    group.add(name, by)
}

fn walking() -> Vec<Function<Context>> {
    const BEGIN: &[Param] =
        &[Param::required("group", ParamKind::Str), Param::required("iter", ParamKind::Str)];
    const NEXT: &[Param] = &[
        Param::required("name", ParamKind::Output),
        Param::required("val", ParamKind::Output),
        Param::required("iter", ParamKind::Str),
    ];
    let next = Function::new("stat_iter_next", NEXT, Routes::ANY, |site| {
        let needed = |argument| ArgError::at(argument, "a variable is needed");
        let name = site.variable(0).ok_or_else(|| needed(0))?;
        let value = site.variable(1).ok_or_else(|| needed(1))?;
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            let server = cx.server();
            let iterator = arguments[2].to_bytes().unwrap_or_default();
            let found = server.state::<Groups>().iterators.next(&server.statistics, &iterator);
            let Some((next, number)) = found else { return Outcome::FALSE };
            let written = name.write(cx, Value::str(next), Store::Set);
            match written.and_then(|()| value.write(cx, Value::Int(number), Store::Set)) {
                Ok(()) => Outcome::TRUE,
                Err(cause) => failed("stat_iter_next", &cause.to_string()),
            }
        });
        Ok(call)
    });
    vec![
        function("stat_iter_init", BEGIN, |cx, arguments| {
            let server = cx.server();
            let (group, iterator) = (text(&arguments[0]), arguments[1].to_bytes().unwrap_or_default());
            let begun = server.state::<Groups>().iterators.begin(&server.statistics, &iterator, &group);
            if begun { Ok(()) } else { Err(format!("there is nothing in the group `{group}`")) }
        })
        .doc("Begins a walk through the statistics of a group. 1: done; -1: there are none."),
        next.doc(
            "Writes the name and the value of the next statistic into two variables. 1: done; -1: the walk is over.",
        ),
    ]
}

fn function(
    name: &'static str,
    params: &'static [Param],
    act: fn(&mut Context, &[Value]) -> Result<(), String>,
) -> Function<Context> {
    Function::new(name, params, Routes::ANY, move |_| {
        let call: Call<Context> = Rc::new(move |cx, arguments| match act(cx, arguments) {
            Ok(()) => Outcome::TRUE,
            Err(cause) => failed(name, &cause),
        });
        Ok(call)
    })
}

fn failed(name: &str, cause: &str) -> Outcome<Context> {
    tracing::error!("{name}: {cause}");
    Outcome::FALSE
}

fn text(argument: &Value) -> String {
    argument.to_bytes().unwrap_or_default().lossy().into_owned()
}

/// `$stat(name)`.
fn variable() -> Variable<Context> {
    struct Statistic(SubName<Context>);
    impl Statistic {
        fn name(&self, cx: &mut Context) -> Option<Bytes> {
            self.0.value(cx).to_bytes()
        }
    }
    impl Accessor<Context> for Statistic {
        fn read(&self, cx: &mut Context, _: Index) -> Value {
            let Some(name) = self.name(cx) else { return Value::Null };
            let name = name.lossy();
            let (group, name) = split(&name);
            cx.server().statistics.value(group, name).map_or(Value::Null, Value::Int)
        }

        fn write(&self, cx: &mut Context, _: Index, value: Value, _: Store) -> Result<(), WriteError> {
            if value.to_int() != Some(0) {
                tracing::debug!("a statistic can only be set to 0");
            }
            let name = self.name(cx).ok_or_else(|| refused("the name of the statistic is NULL"))?;
            let name = name.lossy();
            let (group, name) = split(&name);
            let found = cx.server().statistics.reset_one(group, name);
            if found { Ok(()) } else { Err(refused("there is no such statistic")) }
        }

        fn writable(&self) -> bool {
            true
        }
    }
    Variable::declared(
        "stat",
        "A statistic of the server, of a module or of the script, perhaps with its group before it. Whatever is \
         assigned, it is set back to 0.",
        |site| {
            let accessor: Rc<dyn Accessor<Context>> = Rc::new(Statistic(site.required_sub()?));
            Ok(accessor)
        },
    )
    .named(Naming::Required("name"))
    .settable()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_testbench::{TestBed, first_line, request};

    /// The modules that the configurations here load.
    const TEST_BED: TestBed = TestBed::with(|| vec![Rc::new(StatisticsModule), Rc::new(tocsin_sl::Sl)]);

    fn seen(parameters: &str, script: &str, shown: &str) -> String {
        let lines = format!("loadmodule \"sl.so\"\nloadmodule \"statistics.so\"\n{parameters}");
        let routes = format!("route {{ {script} sl_send_reply(200, \"{shown}\"); }}");
        let answer = TEST_BED.bench(&lines, &routes).serve(&request("OPTIONS", "", ""), 1).remove(0);
        first_line(&answer).trim_start_matches("SIP/2.0 200 ").to_owned()
    }

    fn parameter(name: &str, value: &str) -> String {
        format!("modparam(\"statistics\", \"{name}\", \"{value}\")\n")
    }

    #[test]
    fn statistics_are_counted_and_reset() {
        let mine = parameter("variable", "mine");
        for (script, shown, expected) in [
            (
                "update_stat(\"mine\", 6); update_stat(\"mine\", -2);",
                "$rc $stat(mine) $stat(script:mine)",
                "1 4 4",
            ),
            ("update_stat(\"fresh\", 1);", "$rc $stat(fresh) $stat(dynamic:fresh)", "1 1 1"),
            ("update_stat(\"mine\", 3); reset_stat(\"mine\");", "$rc $stat(mine)", "1 0"),
            ("update_stat(\"mine\", 3); $stat(mine) = 9;", "$stat(mine)", "0"),
            ("reset_stat(\"nope\");", "$rc $stat(nope)", "-1 <null>"),
            ("update_stat(\"nogroup:x\", 1);", "$rc", "-1"),
            ("update_stat(\"rcv_requests\", 5);", "$stat(rcv_requests) $stat(core:rcv_requests)", "6 6"),
        ] {
            assert_eq!(seen(&mine, script, shown), expected, "{script}");
        }
        let fixed = parameter("variable", "calls/no_reset");
        assert_eq!(seen(&fixed, "update_stat(\"calls\", 2); reset_stat(\"calls\");", "$stat(calls)"), "2");
    }

    #[test]
    fn groups_are_walked_through() {
        let groups = parameter("stat_groups", "method, packet");
        let script = "update_stat(\"packet:b\", 2); update_stat(\"packet:a\", 1); update_stat(\"x\", 9); $var(o) = \"\";
            stat_iter_init(\"packet\", \"i\");
            while (stat_iter_next($var(n), $var(v), \"i\")) { $var(o) = $var(o) + $var(n) + \"=\" + $var(v) + \" \"; }
            stat_iter_init(\"method\", \"i\");";
        assert_eq!(seen(&groups, script, "$var(o)$rc"), "a=1 b=2 -1");
    }

    #[test]
    fn series_have_the_group_of_their_profile() {
        let profiles = parameter("stat_series_profile", "asr: algorithm=percentage window=3600 slots=6")
            + &parameter("stat_series_profile", "sum: group=calls");
        let script = "update_stat_series(\"asr\", \"all\", 1); update_stat_series(\"asr\", \"all\", -1);
            update_stat_series(\"sum\", \"seconds\", 40); update_stat_series(\"sum\", \"seconds\", 2);";
        assert_eq!(seen(&profiles, script, "$rc $stat(asr:all) $stat(calls:seconds)"), "1 50 42");
        assert_eq!(seen(&profiles, "update_stat_series(\"none\", \"x\", 1);", "$rc"), "-1");
    }

    #[test]
    fn parameters_that_mean_nothing_are_refused() {
        for (name, value) in
            [("stat_series_profile", "a: window=0"), ("variable", "nogroup:x"), ("variable", "")]
        {
            let lines = format!("loadmodule \"statistics.so\"\n{}", parameter(name, value));
            let problem = TEST_BED.try_bench(&lines, "route { exit; }").err().unwrap();
            assert!(problem.contains("statistics"), "{problem}");
        }
    }
}
