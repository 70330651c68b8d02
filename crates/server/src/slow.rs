//! Slow messages (`exec_msg_threshold`): the event, and the log lines that name the culprits.

use crate::context::Context;
use crate::events;
use crate::logging::first_line;
use crate::slowest::Action;
use crate::time::now_ns;

/// The message of `cx` is done: raises the event if that took longer than allowed.
pub(crate) fn check(cx: &Context) {
    let limit = cx.server().settings.exec_msg_threshold;
    if limit == 0 || cx.began_ns == 0 {
        return;
    }
    let took = now_ns().saturating_sub(cx.began_ns) / 1000;
    if took <= limit {
        return;
    }
    let server = cx.server();
    server.statistics.add(server.counters.slow_messages, 1);
    let text = cx.message.bytes();
    tracing::warn!(
        "threshold exceeded : msg processing took too long - {took} us.Source : {}",
        String::from_utf8_lossy(first_line(text))
    );
    for (rank, Action { name, line, micros }) in cx.slowest.actions().iter().enumerate() {
        tracing::warn!("#{} is a module action : {name} - {micros}us - line {line}", rank + 1);
    }
    events::threshold(&server.events, "msg processing", took, text);
}
