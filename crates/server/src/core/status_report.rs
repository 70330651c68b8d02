//! `sr_check_status()`: whether a part of the server is ready (manual, "Core Functions").

use std::rc::Rc;

use tocsin_script::{Call, Function, Outcome, Param, ParamKind, Routes, Value};

use super::values::as_text;
use crate::context::Context;
use crate::status_report::{ALL, StatusReports};

/// What is returned for an identifier that is not there.
const NO_IDENTIFIER: i64 = i32::MIN as i64;

pub(super) fn functions() -> Vec<Function<Context>> {
    const CHECK: &[Param] =
        &[Param::required("group", ParamKind::Str), Param::optional("identifier", ParamKind::Str)];
    vec![
        Function::new("sr_check_status", CHECK, Routes::ANY, |_| {
            let call: Call<Context> =
                Rc::new(|cx, arguments| check(&cx.server().registered.status, arguments));
            Ok(call)
        })
        .doc(
            "Gives the status of an identifier, or of the group as a whole, as the return code: \
             it is true if ready.",
        ),
    ]
}

/// Returns the status of the identifier, so that it is true when it is ready.
fn check(status: &StatusReports, arguments: &[Value]) -> Outcome<Context> {
    let (group, identifier) = (as_text(&arguments[0]).unwrap_or_default(), as_text(&arguments[1]));
    let Some(group) = status.find_group(&group) else {
        tracing::error!("sr_check_status: there is no status/report group `{}`", group.lossy());
        return Outcome::FALSE;
    };
    if identifier.as_deref() == Some(ALL) {
        return Outcome::Done(status.aggregated(group).into());
    }
    Outcome::Done(match status.find(group, identifier.as_deref()) {
        Some(identifier) => status.state(identifier).status.into(),
        None => NO_IDENTIFIER,
    })
}
