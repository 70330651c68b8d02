//! The module's functions.

use std::rc::Rc;

use tocsin_script::{ArgError, Bytes, Call, Function, Outcome, Param, ParamKind, Routes, Site, Value};
use tocsin_server::core::as_text;
use tocsin_server::{Context, notes};
use tocsin_sip::Method;

use super::account::{self, Backend, Backends, Flags, Unknown};
use super::report::{self, About, Report};
use super::state::State;

const ROUTES: Routes = Routes::REQUEST.union(Routes::FAILURE).union(Routes::BRANCH).union(Routes::LOCAL);

const NO_DIALOG: &str = "the module dialog is not there yet, so there is no dialog to load an account from";

pub(super) fn all() -> Vec<Function<Context>> {
    const DO: &[Param] = &[
        Param::required("type", ParamKind::Str),
        Param::optional("flags", ParamKind::Str),
        Param::optional("table", ParamKind::Str),
    ];
    const DROP: &[Param] =
        &[Param::optional("type", ParamKind::Str), Param::optional("flags", ParamKind::Str)];
    const COMMENT: &[Param] = &[Param::required("comment", ParamKind::Str)];
    const COMMENT_AND_TABLE: &[Param] =
        &[Param::required("comment", ParamKind::Str), Param::required("table", ParamKind::Str)];
    vec![
        Function::new("do_accounting", DO, ROUTES, |site| {
            let asked = Asked::prepare(site)?;
            let call: Call<Context> = Rc::new(move |cx, arguments| match asked.now(arguments) {
                Some((Some(backends), flags)) => do_accounting(cx, backends, flags.unwrap_or_default()),
                _ => Outcome::FALSE,
            });
            Ok(call)
        })
        .doc(
            "Has the transaction of the request accounted when it ends. `type`: `log` or `evi`, or both with `|` between \
             them. `flags`: `failed`, also if it ends with a status of 300 or more; `missed`, an INVITE also when all \
             its branches have failed, once; `cdr`, which needs the module dialog, and without it changes nothing. Further \
             calls add to what was asked for. 1: done; -1: type or flags are not known.",
        ),
        Function::new("drop_accounting", DROP, ROUTES, |site| {
            let asked = Asked::prepare(site)?;
            let call: Call<Context> = Rc::new(move |cx, arguments| match asked.now(arguments) {
                Some((backends, flags)) => {
                    notes::change(cx, |notes| account::drop(notes, backends, flags));
                    Outcome::TRUE
                }
                None => Outcome::FALSE,
            });
            Ok(call)
        })
        .doc(
            "Takes back what do_accounting() asked for: all of it, that of a type, or the flags of a type. 1: done; -1: type \
             or flags are not known.",
        ),
        Function::new("acc_log_request", COMMENT, ROUTES, |_| Ok(on_the_spot(Backend::Log))).doc(
            "Writes a line about the request into the log, now. `comment`: a status of three digits and a reason. 1: done.",
        ),
        Function::new("acc_evi_request", COMMENT, ROUTES, |_| Ok(on_the_spot(Backend::Events))).doc(
            "Raises E_ACC_EVENT for the request, now; E_ACC_MISSED_EVENT if `comment` begins with a status of 300 or more, or \
             with none. 1: done.",
        ),
        Function::new("acc_db_request", COMMENT_AND_TABLE, ROUTES, |_| {
            Err(ArgError::new(Unknown::Missing("db").to_string()))
        })
        .doc("Refused when the configuration is loaded: there is no accounting to databases yet."),
        Function::new("acc_aaa_request", COMMENT, ROUTES, |_| {
            Err(ArgError::new(Unknown::Missing("aaa").to_string()))
        })
        .doc("Refused when the configuration is loaded: there is no accounting to AAA servers yet."),
        Function::new("acc_new_leg", &[], ROUTES, |_| Ok(Rc::new(|cx, _| new_leg(cx)))).doc(
            "Adds a leg to the call, whose values are NULL. 1: done; -1: leg_fields names no fields, or the call has 32 legs.",
        ),
        Function::new("acc_load_ctx_from_dlg", &[], Routes::ANY, |_| Err(ArgError::new(NO_DIALOG)))
            .doc("Refused when the configuration is loaded: it needs the module dialog, which is not there yet."),
        Function::new("acc_unload_ctx_from_dlg", &[], Routes::ANY, |_| Err(ArgError::new(NO_DIALOG)))
            .doc("Refused when the configuration is loaded: it needs the module dialog, which is not there yet."),
    ]
}

/// Type and flags of a call, as far as they are known when the script is loaded.
struct Asked {
    backends: Option<Backends>,
    flags: Option<Flags>,
}

impl Asked {
    fn prepare(site: &Site<'_, Context>) -> Result<Self, ArgError> {
        let backends = site
            .constant_str(0)
            .map(|text| Backends::parse(text).map_err(|unknown| wrong(0, &unknown, &["log", "evi"])));
        let flags = site
            .constant_str(1)
            .map(|text| Flags::parse(text).map_err(|unknown| wrong(1, &unknown, &Flags::NAMES)));
        let asked = Self { backends: backends.transpose()?, flags: flags.transpose()? };
        if site.function() == "do_accounting" && asked.flags.is_some_and(Flags::has_cdr) {
            let place = site.place();
            tracing::warn!(
                "{}:{}: do_accounting: the flag cdr needs the module dialog, which is not there yet: instead of \
                 the call its first transaction is accounted",
                place.file,
                place.line
            );
        }
        Ok(asked)
    }

    /// The same with what variables give; `None`, and a line in the log, if that is not known.
    fn now(&self, arguments: &[Value]) -> Option<(Option<Backends>, Option<Flags>)> {
        let read = || -> Result<_, Unknown> {
            let backends = match (self.backends, as_text(&arguments[0])) {
                (None, Some(text)) => Some(Backends::parse(&text)?),
                (fixed, _) => fixed,
            };
            let flags = match (self.flags, as_text(&arguments[1])) {
                (None, Some(text)) => Some(Flags::parse(&text)?),
                (fixed, _) => fixed,
            };
            Ok((backends, flags))
        };
        read().inspect_err(|unknown| tracing::error!("{unknown}")).ok()
    }
}

fn wrong(argument: usize, unknown: &Unknown, known: &[&str]) -> ArgError {
    let error = ArgError::at(argument, unknown.to_string());
    match unknown {
        Unknown::Word(word) => error.suggest(word, known.iter().copied()),
        Unknown::Missing(_) => error,
    }
}

fn do_accounting(cx: &mut Context, backends: Backends, flags: Flags) -> Outcome<Context> {
    let settings = &cx.server().state::<State>().settings;
    if cx.message.method() == Method::Cancel && !settings.report_cancels {
        return Outcome::TRUE;
    }
    let upstream = settings.detect_direction && tocsin_rr::is_upstream(cx);
    notes::change(cx, |notes| account::begin(notes, backends, flags, upstream));
    Outcome::TRUE
}

fn new_leg(cx: &mut Context) -> Outcome<Context> {
    let legs = account::legs(&cx.notes);
    if cx.server().state::<State>().settings.legs.is_empty() || legs >= account::MAX_LEGS {
        return Outcome::FALSE;
    }
    notes::change(cx, account::add_leg);
    Outcome::TRUE
}

/// A report now, whatever becomes of the request.
fn on_the_spot(backend: Backend) -> Call<Context> {
    Rc::new(move |cx, arguments| {
        let state = cx.server().state::<State>();
        let comment = as_text(&arguments[0]).unwrap_or_else(|| Bytes::from("<null>"));
        let (code, reason) = report::split_comment(&comment);
        let is_answer = code.is_some_and(|code| code < 300);
        let upstream = state.settings.detect_direction && tocsin_rr::is_upstream(cx);
        let about = match backend {
            Backend::Events if !is_answer => About::Missed,
            _ => About::Requested,
        };
        let report = Report { about, request: &cx.message, response: None, code, reason: &reason, upstream };
        report::send(cx.server(), state, backend, &cx.notes, &report);
        Outcome::TRUE
    })
}
