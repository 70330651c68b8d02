//! Slow messages (`exec_msg_threshold`) and slow sending (`tcp_threshold`): the event, and the log lines that name the
//! culprits.

use crate::context::Context;
use crate::events;
use crate::server::Server;
use crate::time::now_ns;

/// Actions that a warning names.
const NAMED: usize = 5;

/// Keeps `name` if it is among the slowest so far.
pub(crate) fn note(slowest: &mut Vec<(String, u32, u64)>, name: &str, line: u32, micros: u64) {
    let at = slowest.partition_point(|(_, _, took)| *took >= micros);
    if at < NAMED {
        slowest.insert(at, (name.to_owned(), line, micros));
        slowest.truncate(NAMED);
    }
}

/// `message` was there to be sent at `since`, and the kernel has taken it: raises the event if that took longer than
/// `limit` microseconds.
pub(crate) fn sent(server: &Server, limit: u64, since: u64, message: &[u8]) {
    let took = now_ns().saturating_sub(since) / 1000;
    if took > limit {
        tracing::warn!(
            "threshold exceeded : tcp took too long : send={took}. Source : {}",
            String::from_utf8_lossy(first_line(message))
        );
        events::threshold(server, "tcp ops", took, message);
    }
}

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
    for (rank, (name, line, micros)) in cx.slowest.iter().enumerate() {
        tracing::warn!("#{} is a module action : {name} - {micros}us - line {line}", rank + 1);
    }
    events::threshold(server, "msg processing", took, text);
}

fn first_line(message: &[u8]) -> &[u8] {
    message.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_are_kept_in_order() {
        let mut slowest = vec![];
        for (line, micros) in [(1, 5), (2, 50), (3, 1), (4, 20), (5, 7), (6, 9)] {
            note(&mut slowest, "f", line, micros);
        }
        let lines: Vec<_> = slowest.iter().map(|(_, line, _)| *line).collect();
        assert_eq!(lines, [2, 4, 6, 5, 1]);
    }
}
