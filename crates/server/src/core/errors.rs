//! `$err.*`: what is wrong with the message, in an error route.

use tocsin_script::{Bytes, Value, Variable};

use super::values::readable;
use crate::context::Context;

pub(super) fn variables() -> Vec<Variable<Context>> {
    vec![
        readable(
            "err.class",
            "The class of the error: 1 if the message cannot be read, 4 if an assertion failed, 0 if there is none.",
            |cx| Value::Int(cx.error.as_ref().map_or(0, |error| error.class).into()),
        ),
        readable("err.level", "How grave the error is.", |cx| {
            Value::Int(cx.error.as_ref().map_or(0, |error| error.level).into())
        }),
        readable("err.info", "What is wrong, in words.", |cx| {
            Value::Str(cx.error.as_ref().map_or(Bytes::EMPTY, |error| error.info.clone()))
        }),
        readable("err.rcode", "The status of the reply that the error suggests.", |cx| {
            cx.error.as_ref().map_or(Value::Null, |error| Value::Str(Bytes::decimal(error.status.into())))
        }),
        readable("err.rreason", "The reason phrase of that reply.", |cx| {
            cx.error.as_ref().map_or(Value::Null, |error| Value::Str(error.reason.clone()))
        }),
    ]
}
