//! `xlog()` and `log()`.

use std::rc::Rc;

use tocsin_script::{
    ArgError, Bytes, Call, Function, Outcome, Param, ParamKind, RouteKind, Routes, Site, Value,
};

use super::values::as_text;
use crate::context::Context;
use crate::logging::{self, Level};

pub(super) fn functions() -> Vec<Function<Context>> {
    const XLOG: &[Param] =
        &[Param::required("level or text", ParamKind::Str), Param::optional("text", ParamKind::Str)];
    const LOG: &[Param] =
        &[Param::required("level or text", ParamKind::StrOrInt), Param::optional("text", ParamKind::Str)];
    vec![
        Function::new("xlog", XLOG, Routes::ANY, |site| {
            let level = match (site.is_absent(1), site.constant_str(0)) {
                (true, _) => Level::Notice,
                (false, Some(level)) => level_of(&level.lossy()),
                (false, None) => return Err(ArgError::at(0, "the level is a constant, such as \"L_INFO\"")),
            };
            let text = if site.is_absent(1) { 0 } else { 1 };
            if site.variable(text).is_some() {
                let error = ArgError::at(text, "a text in quotes is needed, which may hold variables");
                return Err(error.with_help("write xlog(\"$var(x)\")"));
            }
            let call: Call<Context> = Rc::new(move |cx, arguments| {
                write_xlog(cx, level, as_text(&arguments[text]));
                Outcome::TRUE
            });
            Ok(call)
        })
        .doc("Logs a format string, at `L_NOTICE` or the given level. 1: always."),
        Function::new("log", LOG, Routes::ANY, prepare_log)
            .doc("Logs a text, at the debug level or the given level, a number. 1: always."),
    ]
}

/// `log(TEXT)` or `log(NUMBER, TEXT)`
fn prepare_log(site: &Site<'_, Context>) -> Result<Call<Context>, ArgError> {
    let (level, text) = match (site.is_absent(1), site.constant(0)) {
        (true, Some(Value::Str(_)) | None) => (Level::Debug, 0),
        (false, Some(Value::Int(number))) => {
            let level = Level::parse(&number.to_string());
            (level.ok_or_else(|| ArgError::at(0, "a level is a number from -3 to 4"))?, 1)
        }
        _ => return Err(ArgError::at(0, "a level is a number here: xlog() takes names")),
    };
    Ok(Rc::new(move |_, arguments| {
        if logging::wanted(level)
            && let Some(text) = as_text(&arguments[text])
        {
            let text = text.lossy();
            logging::line(level, text.strip_suffix('\n').unwrap_or(&text));
        }
        Outcome::TRUE
    }))
}

/// The level that a name stands for: the letter behind `L_` decides, as in OpenSIPS.
fn level_of(name: &str) -> Level {
    if let Some(level) = Level::parse(name) {
        return level;
    }
    match name.strip_prefix("L_").and_then(|rest| rest.chars().next()) {
        Some('A') => Level::Alert,
        Some('C') => Level::Critical,
        Some('E') => Level::Error,
        Some('W') => Level::Warning,
        Some('I') => Level::Info,
        Some('D') => Level::Debug,
        _ => Level::Notice,
    }
}

/// Writes what a script wants logged.
pub fn write_xlog(cx: &Context, level: Level, text: Option<Bytes>) {
    use std::sync::atomic::Ordering::Relaxed;
    let most = cx.xlog_level.unwrap_or_else(|| cx.server().words.xlog_level.load(Relaxed));
    if level as i32 <= most {
        let text = text.unwrap_or_else(|| Bytes::from("<null>"));
        // An event route that logs must not be its own cause.
        let write =
            if cx.route == RouteKind::Event { logging::script_line_untold } else { logging::script_line };
        let text = text.lossy();
        if cx.server().settings.xlog_escape_control {
            write(level, &logging::escaped(text.trim_end_matches('\n')));
        } else {
            write(level, &text);
        }
        // as recorded: what `$log_level` set ends here
        logging::set_own_level(None);
    }
}
