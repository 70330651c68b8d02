//! `$log_level` and `$xlog_level`.

use tocsin_script::{Value, Variable, WriteError};

use super::values::{refused, settable};
use crate::context::Context;
use crate::logging;
use std::sync::atomic::Ordering::Relaxed;

pub(super) fn variables() -> Vec<Variable<Context>> {
    vec![
        settable(
            "log_level",
            "The level of the log. One that is assigned counts for this process until `xlog()` has written a line, or NULL is \
             assigned.",
            |_| Value::Int(logging::own_level().into()),
            |_, value| {
                logging::set_own_level(level(value)?);
                Ok(())
            },
        ),
        settable(
            "xlog_level",
            "The level of `xlog()`. One that is assigned counts until the script ends, or until NULL is.",
            |cx| {
                let shared = cx.server().words.xlog_level.load(Relaxed);
                Value::Int(cx.xlog_level.unwrap_or(shared).into())
            },
            |cx, value| {
                cx.xlog_level = level(value)?;
                Ok(())
            },
        ),
    ]
}

/// A level, or none.
fn level(value: &Value) -> Result<Option<i32>, WriteError> {
    match value {
        Value::Null => Ok(None),
        Value::Int(level) => i32::try_from(*level).map(Some).map_err(|_| refused("this is not a level")),
        Value::Str(_) => Err(refused("a level is a number from -3 to 4, or NULL")),
    }
}
