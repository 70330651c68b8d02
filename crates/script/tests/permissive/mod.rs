//! A host that does nothing, and a library that knows names without minding what they mean.

use std::collections::BTreeSet;
use std::rc::Rc;

use tocsin_script::{
    Accessor, Function, Global, GlobalKind, Host, Index, Launch, Library, ModParam, ModuleSpec, Outcome,
    Param, ParamKind, Place, RouteKind, Routes, ScriptVars, Store, Value, Variable, WriteError,
};

/// Keeps the script's variables and nothing else.
#[derive(Default)]
pub(crate) struct Idle {
    vars: ScriptVars,
}

impl Host for Idle {
    fn vars(&mut self) -> &mut ScriptVars {
        &mut self.vars
    }

    fn script_error(&mut self, _: Place<'_>, _: &str) {}

    fn launch(&mut self, _: Launch<Self>) {}
}

struct Nothing;

impl Accessor<Idle> for Nothing {
    fn read(&self, _: &mut Idle, _: Index) -> Value {
        Value::Null
    }

    fn write(&self, _: &mut Idle, _: Index, _: Value, _: Store) -> Result<(), WriteError> {
        Ok(())
    }

    fn writable(&self) -> bool {
        true
    }
}

struct ReadOnly;

impl Accessor<Idle> for ReadOnly {
    fn read(&self, _: &mut Idle, _: Index) -> Value {
        Value::Int(1)
    }
}

const GLOBALS: &[(&str, GlobalKind)] = &[
    ("alias", GlobalKind::Socket),
    ("auto_aliases", GlobalKind::Bool),
    ("auto_scaling_cycle", GlobalKind::Int),
    ("auto_scaling_profile", GlobalKind::Profile),
    ("dns_try_ipv6", GlobalKind::Bool),
    ("dst_blacklist", GlobalKind::Line),
    ("dns_try_naptr", GlobalKind::Bool),
    ("event_pkg_threshold", GlobalKind::Int),
    ("event_shm_threshold", GlobalKind::Int),
    ("exec_dns_threshold", GlobalKind::Int),
    ("exec_msg_threshold", GlobalKind::Int),
    ("log_event_enabled", GlobalKind::Bool),
    ("log_level", GlobalKind::Int),
    ("mem-group", GlobalKind::Line),
    ("mpath", GlobalKind::Str),
    ("socket", GlobalKind::Socket),
    ("stderror_enabled", GlobalKind::Bool),
    ("syslog_enabled", GlobalKind::Bool),
    ("tcp_connect_timeout", GlobalKind::Int),
    ("tcp_connection_lifetime", GlobalKind::Int),
    ("tcp_threshold", GlobalKind::Int),
    ("tcp_workers", GlobalKind::Workers),
    ("timer_workers", GlobalKind::Workers),
    ("tos", GlobalKind::Str),
    ("udp_workers", GlobalKind::Workers),
    ("wdir", GlobalKind::Str),
];

const FUNCTIONS: &[&str] = &[
    "avp_db_query",
    "create_dialog",
    "do_accounting",
    "forward",
    "has_totag",
    "is_method",
    "loose_route",
    "mf_process_maxfwd_header",
    "notify_on_event",
    "pike_check_req",
    "record_route",
    "save",
    "sl_send_reply",
    "sr_add_report",
    "sr_check_status",
    "sr_set_status",
    "t_check_trans",
    "t_newtran",
    "t_relay",
    "t_reply",
    "usleep",
    "wait_for_event",
    "xlog",
];

const VARIABLES: &[&str] = &["avp", "ci", "du", "rU", "rb", "rm", "ru", "shv", "si"];

const ANYTHING: &[Param] = &[Param::optional("argument", ParamKind::StrOrInt); 8];
const EVENT: &[Param] = &[
    Param::required("event", ParamKind::Str),
    Param::optional("names", ParamKind::Variable),
    Param::optional("values", ParamKind::Variable),
];
const SUBSCRIPTION: &[Param] = &[
    Param::required("event", ParamKind::Str),
    Param::required("socket", ParamKind::Str),
    Param::optional("expire", ParamKind::Int),
];
const REPLY: &[Param] = &[Param::required("code", ParamKind::Int), Param::required("reason", ParamKind::Str)];
const ROUTE: &[Param] = &[Param::required("route", ParamKind::Route(RouteKind::Failure))];

const DIALOG: &[ModParam] = &[
    ModParam::number("default_timeout", 0, ""),
    ModParam::number("db_mode", 0, ""),
    ModParam::text("db_url", "", ""),
];

fn function(name: &'static str, params: &'static [Param], routes: Routes) -> Function<Idle> {
    Function::new(name, params, routes, |_| Ok(Rc::new(|_: &mut Idle, _: &[Value]| Outcome::TRUE)))
}

/// A library with a few names of the core; modules and their parameters are those that `text` speaks of, but for
/// `dialog`, which has its own, and modules whose name begins with `no_`.
pub(crate) fn library(text: &str) -> Library<Idle> {
    let mut library = Library::new();
    for (name, kind) in GLOBALS {
        library.global(Global { name, kind: *kind, doc: "" });
    }
    for name in FUNCTIONS {
        library.function(function(name, ANYTHING, Routes::ANY).asynchronous());
    }
    library.function(function("raise_event", EVENT, Routes::ANY));
    library.function(function("subscribe_event", SUBSCRIPTION, Routes::ANY));
    library.function(function("send_reply", REPLY, Routes::REQUEST | Routes::FAILURE));
    library.function(function("t_on_failure", ROUTE, Routes::REQUEST));
    for name in VARIABLES {
        library.variable(Variable::new(name, |_| Ok(Rc::new(Nothing))));
    }
    library.variable(Variable::new("Ts", |site| {
        site.no_sub()?;
        Ok(Rc::new(ReadOnly))
    }));
    let mut provided = ModuleSpec::new("dialog");
    provided.functions.push(function("match_dialog", &[], Routes::REQUEST));
    provided.params = DIALOG;
    library.module(provided);
    for module in quoted_after(text, "loadmodule") {
        let name = module.strip_suffix(".so").filter(|name| !name.starts_with("no_") && *name != "dialog");
        let Some(name) = name else { continue };
        let name: &'static str = name.to_owned().leak();
        let params: Vec<_> = modparams(text, name)
            .into_iter()
            .map(|param| ModParam::number_or_text(param.leak(), ""))
            .collect();
        library.module(ModuleSpec { params: params.leak(), ..ModuleSpec::new(name) });
    }
    library
}

fn quoted_after(text: &str, word: &str) -> BTreeSet<String> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix(word));
    lines.filter_map(|line| line.split('"').nth(1).map(str::to_owned)).collect()
}

fn modparams(text: &str, module: &str) -> BTreeSet<String> {
    let start = format!("modparam(\"{module}\"");
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix(&start));
    lines.filter_map(|line| line.split('"').nth(1).map(str::to_owned)).collect()
}
