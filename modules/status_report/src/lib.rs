//! status_report: groups of the Status/Report Interface that belong to the script.
//!
//! Each `script_sr_group` makes a group with the identifier `main`; the script sets its status and adds reports. What
//! belongs to the core or to a module the script only reads, with the core's `sr_check_status()`.
#![forbid(unsafe_code)]

use std::rc::Rc;

use tocsin_script::{Call, Function, ModParam, ModuleSpec, Param, ParamKind, Routes, Value as ScriptValue};
use tocsin_server::Context;
use tocsin_server::core::as_text;
use tocsin_server::module::{Module, Setup, SetupError};
use tocsin_server::status_report::{Identifier, IdentifierId, Owner, StatusReports};

const NAME: &str = "status_report";
const GROUP: ModParam = ModParam::text(
    "script_sr_group",
    "",
    "The name of a status/report group that the script sets. It may be given several times.",
)
.unset("the script has no group");

/// The module.
#[derive(Debug, Clone, Copy)]
pub struct StatusReport;

impl Module for StatusReport {
    fn spec(&self) -> ModuleSpec<Context> {
        ModuleSpec { params: &[GROUP], functions: functions(), ..ModuleSpec::new(NAME) }
    }

    fn start(&self, setup: &mut Setup<'_>) -> Result<(), SetupError> {
        for (nth, value) in setup.parameters.every(&GROUP).enumerate() {
            let name = as_text(value).unwrap_or_default();
            let made = setup.registered.status.group(&name.lossy(), Owner::Script);
            made.and_then(|group| setup.registered.status.identifier(group, &Identifier::MAIN)).map_err(
                |cause| SetupError::Value { module: NAME, name: GROUP.name, nth, problem: cause.to_string() },
            )?;
        }
        Ok(())
    }
}

fn functions() -> Vec<Function<Context>> {
    const STATUS: &[Param] = &[
        Param::required("group", ParamKind::Str),
        Param::required("status", ParamKind::Int),
        Param::optional("details", ParamKind::Str),
    ];
    const REPORT: &[Param] =
        &[Param::required("group", ParamKind::Str), Param::required("report", ParamKind::Str)];
    vec![
        function("sr_set_status", STATUS, set_status).doc(
            "Sets the status of a group of the script, with details in words. 1: done; -1: there is no \
             such group, or it is not the script's.",
        ),
        function("sr_add_report", REPORT, add_report).doc(
            "Adds a report to a group of the script. 1: done; -1: there is no such group, it is not the \
             script's, or the shared memory is full.",
        ),
    ]
}

fn function(
    name: &'static str,
    params: &'static [Param],
    act: fn(&StatusReports, IdentifierId, &[ScriptValue]) -> bool,
) -> Function<Context> {
    Function::new(name, params, Routes::ANY, move |_| {
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            let status = &cx.server().registered.status;
            own(status, &arguments[0], name)
                .is_some_and(|identifier| act(status, identifier, &arguments[1..]))
                .into()
        });
        Ok(call)
    })
}

/// The identifier of the script's group of that name.
fn own(status: &StatusReports, name: &ScriptValue, function: &str) -> Option<IdentifierId> {
    let name = as_text(name).unwrap_or_default();
    let Some(group) = status.find_group(&name) else {
        tracing::error!("{function}: there is no status/report group `{}`", name.lossy());
        return None;
    };
    if status.owner(group) != Owner::Script {
        tracing::error!("{function}: the status/report group `{}` is not the script's", name.lossy());
        return None;
    }
    status.find(group, None)
}

fn set_status(status: &StatusReports, identifier: IdentifierId, arguments: &[ScriptValue]) -> bool {
    let number = arguments[0].to_int().unwrap_or(0).clamp(i32::MIN.into(), i32::MAX.into());
    let details = as_text(&arguments[1]);
    status.set(identifier, number as i32, details.as_deref());
    true
}

fn add_report(status: &StatusReports, identifier: IdentifierId, arguments: &[ScriptValue]) -> bool {
    let report = as_text(&arguments[0]).unwrap_or_default();
    let added = status.report(identifier, &report);
    if added.is_err() {
        tracing::error!("sr_add_report: the shared memory is full: the report is lost");
    }
    added.is_ok()
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use tocsin_testbench::{Bench, TestBed, request};

    /// The modules that the configurations here load.
    const TEST_BED: TestBed = TestBed::with(|| vec![Rc::new(tocsin_sl::Sl), Rc::new(crate::StatusReport)]);

    const GROUPS: &str = r#"
        loadmodule "status_report.so"
        modparam("status_report", "script_sr_group", "alarms")
        modparam("status_report", "script_sr_group", "Second Group")"#;

    /// A server that has run these statements.
    fn after(statements: &str) -> Bench {
        let script = format!("route {{ {statements} exit; }}");
        let bench = TEST_BED.bench(&format!("loadmodule \"sl.so\"\n{GROUPS}"), &script);
        bench.serve(&request("OPTIONS", "", ""), 0);
        bench
    }

    fn answer(bench: &Bench, command: &str, parameters: &[&str]) -> String {
        let registry = tocsin_server::commands::registry(bench.worker);
        let parameters = tocsin_json::Value::array(parameters.iter().map(|text| (*text).to_owned()));
        let reply = registry.call(command.as_bytes(), Some(parameters));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        match runtime.block_on(reply.outcome()) {
            Ok(value) => String::from_utf8(value.to_compact()).unwrap(),
            Err(cause) => format!("{} {}", cause.code, cause.message),
        }
    }

    #[test]
    fn the_script_sets_its_own_groups() {
        let bench = after(
            r#"sr_set_status("ALARMS", -3, "minus \"three\"");
               sr_set_status("Second Group", 2147483647);
               sr_add_report("alarms", "from $rm");"#,
        );
        let alarms = answer(&bench, "sr_get_status", &["alarms"]);
        assert_eq!(alarms, r#"{"Readiness":false,"Status":-3,"Details":"minus \"three\""}"#);
        let second = answer(&bench, "sr_get_status", &["second group", "main"]);
        assert_eq!(second, r#"{"Readiness":true,"Status":2147483647}"#);
        let whole = answer(&bench, "sr_get_status", &["alarms", "all"]);
        assert_eq!(whole, r#"{"Readiness":false,"Status":-1,"Details":"aggregated"}"#);
        let reports = answer(&bench, "sr_list_reports", &["alarms", "main"]);
        assert!(reports.ends_with(r#","Log":"from OPTIONS"}]"#), "{reports}");
    }

    #[test]
    fn empty_details_are_shown_and_none_are_left_out() {
        let bench = after(r#"sr_set_status("alarms", 8, ""); sr_set_status("Second Group", 7);"#);
        let shown = |group| answer(&bench, "sr_get_status", &[group]);
        assert_eq!(shown("alarms"), r#"{"Readiness":true,"Status":8,"Details":""}"#);
        assert_eq!(shown("Second Group"), r#"{"Readiness":true,"Status":7}"#);
        let bench = after(r#"sr_set_status("alarms", 8, "text"); sr_set_status("alarms", 8);"#);
        assert_eq!(answer(&bench, "sr_get_status", &["alarms"]), r#"{"Readiness":true,"Status":8}"#);
    }

    #[test]
    fn what_is_not_the_scripts_it_cannot_set() {
        let bench = after(
            r#"if (sr_set_status("core", 9, "try") || sr_add_report("core", "try") || sr_set_status("nosuch", 9))
                   sr_set_status("alarms", -1, "was allowed");"#,
        );
        assert_eq!(answer(&bench, "sr_get_status", &["alarms"]), r#"{"Readiness":true,"Status":1}"#);
        assert!(answer(&bench, "sr_get_status", &["core"]).contains("-1,\"Details\":\"initializing\""));
        assert_eq!(answer(&bench, "sr_get_status", &["nosuch"]), "404 Group not found");
    }

    #[test]
    fn a_check_returns_the_status() {
        let bench = after(
            r#"sr_set_status("alarms", 5);
               sr_check_status("alarms"); $var(one) = $retcode;
               sr_check_status("alarms", "nosuch"); $var(two) = $retcode;
               sr_check_status("core", "all"); $var(three) = $retcode;
               sr_check_status("nosuch"); $var(four) = $retcode;
               sr_add_report("alarms", "$var(one) $var(two) $var(three) $var(four)");"#,
        );
        let reports = answer(&bench, "sr_list_reports", &["alarms", "main"]);
        assert!(reports.ends_with(r#""Log":"5 -2147483648 -1 -1"}]"#), "{reports}");
    }

    #[test]
    fn a_group_has_a_name_of_its_own() {
        for name in ["core", "ALARMS", "", "all"] {
            let lines = format!("{GROUPS}\nmodparam(\"status_report\", \"script_sr_group\", \"{name}\")");
            let problem = TEST_BED.try_bench(&lines, "route { exit; }").err().unwrap();
            assert!(problem.contains("script_sr_group"), "{problem}");
        }
    }
}
