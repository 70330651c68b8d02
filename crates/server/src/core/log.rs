//! `xlog()` and `log()`.

use std::rc::Rc;

use tocsin_script::{ArgError, Bytes, Call, Function, Outcome, Param, ParamKind, RouteKind, Routes, Value};

use super::values::as_text;
use crate::context::Context;
use crate::logging::{self, Level};

pub(super) fn functions() -> Vec<Function<Context>> {
    const TEXT: &[Param] =
        &[Param::required("level or text", ParamKind::Str), Param::optional("text", ParamKind::Str)];
    ["xlog", "log"]
        .into_iter()
        .map(|name| {
            Function::new(name, TEXT, Routes::ANY, |site| {
                let fixed = match (site.is_absent(1), site.constant_str(0)) {
                    (true, _) => Some(Level::Notice),
                    (false, Some(level)) => Some(Level::parse(&level.lossy()).ok_or_else(|| {
                        ArgError::at(0, format!("`{}` is no log level", level.lossy())).suggest(
                            &level.lossy(),
                            ["L_ALERT", "L_CRIT", "L_ERR", "L_WARN", "L_NOTICE", "L_INFO", "L_DBG"],
                        )
                    })?),
                    (false, None) => None,
                };
                let call: Call<Context> = Rc::new(move |cx, arguments| {
                    let level = fixed
                        .or_else(|| Level::parse(&as_text(&arguments[0])?.lossy()))
                        .unwrap_or(Level::Notice);
                    let text =
                        if matches!(arguments[1], Value::Null) { &arguments[0] } else { &arguments[1] };
                    write_xlog(cx, level, as_text(text));
                    Outcome::TRUE
                });
                Ok(call)
            })
        })
        .collect()
}

/// Writes what a script wants logged.
pub fn write_xlog(cx: &Context, level: Level, text: Option<Bytes>) {
    use std::sync::atomic::Ordering::Relaxed;
    let most = cx.server().words.xlog_level.load(Relaxed);
    if level as i32 <= most {
        let text = text.unwrap_or_else(|| Bytes::from("<null>"));
        // An event route that logs must not be its own cause.
        let write = if cx.route == RouteKind::Event { logging::line_untold } else { logging::line };
        let text = text.lossy();
        if cx.server().settings.xlog_escape_control {
            write(level, &logging::escaped(text.trim_end_matches('\n')));
        } else {
            write(level, &text);
        }
    }
}
