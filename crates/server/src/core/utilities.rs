//! Small functions of the core that write variables: `pv_printf()`, `get_timestamp()`, `construct_uri()`.

use std::rc::Rc;

use tocsin_script::{Bytes, Call, Function, Outcome, Param, ParamKind, Routes, Value};

use super::values::{as_text, put};
use crate::context::{Advertised, Context, MessageError};
use crate::logging::{self, Level};
use crate::time;

pub(super) fn functions() -> Vec<Function<Context>> {
    vec![
        pv_printf(),
        get_timestamp(),
        construct_uri(),
        advertised_address(),
        advertised_port(),
        cache_raw_query(),
        assertion_failed(),
        script_trace(),
    ]
}

fn pv_printf() -> Function<Context> {
    const PARAMS: &[Param] =
        &[Param::required("variable", ParamKind::Output), Param::required("text", ParamKind::Str)];
    Function::new("pv_printf", PARAMS, Routes::ANY, |site| {
        let to = site.variable(0);
        let call: Call<Context> =
            Rc::new(move |cx, arguments| put(cx, to.as_deref(), arguments[1].clone()).into());
        Ok(call)
    })
    .doc("Assigns a format string to a variable. 1: done; -1: the variable refuses the value.")
}

fn get_timestamp() -> Function<Context> {
    const PARAMS: &[Param] =
        &[Param::required("seconds", ParamKind::Output), Param::required("microseconds", ParamKind::Output)];
    Function::new("get_timestamp", PARAMS, Routes::ANY, |site| {
        let (seconds, micros) = (site.variable(0), site.variable(1));
        let call: Call<Context> = Rc::new(move |cx, _| {
            let (now, rest) = (time::unix_seconds() as i64, i64::from(time::microseconds()));
            let done = put(cx, seconds.as_deref(), Value::Int(now));
            (done && put(cx, micros.as_deref(), Value::Int(rest))).into()
        });
        Ok(call)
    })
    .doc(
        "Gives the time as seconds since 1970 and microseconds within the second. 1: done; \
             -1: a variable refuses the value.",
    )
}

/// Without a scheme or a host nothing is made; the answer is the same.
fn construct_uri() -> Function<Context> {
    const PARAMS: &[Param] = &[
        Param::required("scheme", ParamKind::Str),
        Param::optional("user", ParamKind::Str),
        Param::required("host", ParamKind::Str),
        Param::optional("port", ParamKind::Str),
        Param::optional("parameters", ParamKind::Str),
        Param::required("result", ParamKind::Output),
    ];
    Function::new("construct_uri", PARAMS, Routes::ANY, |site| {
        let result = site.variable(5);
        let call: Call<Context> = Rc::new(move |cx, arguments| {
            let part = |at: usize| as_text(&arguments[at]).unwrap_or_default();
            let (scheme, user, host, port, rest) = (part(0), part(1), part(2), part(3), part(4));
            if scheme.is_empty() || host.is_empty() {
                return Outcome::TRUE;
            }
            let mut uri = [&*scheme, b":"].concat();
            for (before, text, behind) in
                [("", &user, "@"), ("", &host, ""), (":", &port, ""), (";", &rest, "")]
            {
                if !text.is_empty() {
                    uri.extend_from_slice(&[before.as_bytes(), text, behind.as_bytes()].concat());
                }
            }
            put(cx, result.as_deref(), Value::Str(Bytes::from(uri))).into()
        });
        Ok(call)
    })
    .doc(
        "Builds a URI from its parts; without scheme or host, nothing is done. 1: done; -1: \
             the variable refuses the value.",
    )
}

fn advertised_address() -> Function<Context> {
    const PARAMS: &[Param] = &[Param::required("address", ParamKind::Str)];
    Function::new("set_advertised_address", PARAMS, Routes::ANY, |_| {
        let call: Call<Context> = Rc::new(|cx, arguments| {
            let host = as_text(&arguments[0]).filter(|host| is_host(host));
            let Some(host) = host else { return Outcome::FALSE };
            cx.advertised.get_or_insert_with(Box::<Advertised>::default).host = Some(host);
            Outcome::TRUE
        });
        Ok(call)
    })
    .doc(
        "Sets the address that this server writes into the Via and Record-Route of this \
             request. 1: done; -1: it is not a host.",
    )
}

/// Whether a text can stand as host in a Via.
fn is_host(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-[]:_".contains(byte))
}

fn advertised_port() -> Function<Context> {
    const PARAMS: &[Param] = &[Param::required("port", ParamKind::Str)];
    Function::new("set_advertised_port", PARAMS, Routes::ANY, |_| {
        let call: Call<Context> = Rc::new(|cx, arguments| {
            let port = as_text(&arguments[0]).and_then(|port| std::str::from_utf8(&port).ok()?.parse().ok());
            let Some(port) = port else { return Outcome::FALSE };
            cx.advertised.get_or_insert_with(Box::<Advertised>::default).port = Some(port);
            Outcome::TRUE
        });
        Ok(call)
    })
    .doc(
        "Sets the port that this server writes into the Via and Record-Route of this request. \
             1: done; -1: it is not a port.",
    )
}

/// Logs the statements that follow: their places, with a text before the first one. Without arguments that ends.
fn script_trace() -> Function<Context> {
    const PARAMS: &[Param] = &[
        Param::optional("level", ParamKind::Int),
        Param::optional("values", ParamKind::Str),
        Param::optional("info", ParamKind::Str),
    ];
    Function::new("script_trace", PARAMS, Routes::ANY, |_| {
        let call: Call<Context> = Rc::new(|cx, arguments| {
            let level = arguments[0].to_int().and_then(|level| Level::parse(&level.to_string()));
            if let (Some(level), Some(values)) = (level, as_text(&arguments[1])) {
                logging::script_line(level, &format!("[Script Trace] {}", values.lossy()));
            }
            cx.traced = level.map(|level| (level, as_text(&arguments[2]).unwrap_or_default()));
            Outcome::TRUE
        });
        Ok(call)
    })
    .doc(
        "Logs each statement from here on at `level`, with the format string `values`; \
             without a level, tracing ends. 1: always.",
    )
}

/// `assert()` calls it if its condition is false. The script ends, and the error route follows.
fn assertion_failed() -> Function<Context> {
    const PARAMS: &[Param] = &[Param::required("text", ParamKind::Str)];
    Function::new("assert", PARAMS, Routes::ANY, |_| {
        let call: Call<Context> = Rc::new(|cx, arguments| {
            if !cx.server().settings.enable_asserts {
                return Outcome::TRUE;
            }
            let text = as_text(&arguments[0]).unwrap_or_default();
            let (file, line) = cx.vars.place().unwrap_or(("", 0));
            tracing::error!("{file}:{line}: assertion failed: {}", text.lossy());
            cx.error = Some(MessageError {
                class: 4,
                level: 1,
                info: Bytes::from("assertion failed"),
                status: 500,
                reason: Bytes::from("server error"),
            });
            Outcome::Exit
        });
        Ok(call)
    })
    .doc(
        "Logs `text` and ends the script, if the condition in front of it is false and \
             `enable_asserts` is set.",
    )
}

/// No key-value store that is there has a language of its own for queries.
fn cache_raw_query() -> Function<Context> {
    const PARAMS: &[Param] = &[
        Param::required("storage_id", ParamKind::Str),
        Param::required("query", ParamKind::Str),
        Param::optional("results", ParamKind::Outputs),
    ];
    Function::new("cache_raw_query", PARAMS, Routes::ANY, |_| {
        let call: Call<Context> = Rc::new(|_, arguments| {
            let id = as_text(&arguments[0]).unwrap_or_default();
            tracing::error!("cache_raw_query: the key-value store `{}` takes no queries", id.lossy());
            Outcome::FALSE
        });
        Ok(call)
    })
    .doc("Sends a query in the language of a key-value store. -1: the stores there are take none.")
}
