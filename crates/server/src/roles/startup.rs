//! The startup route: run once in the life of the server, before the first message is served.

use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

use tocsin_process::Kind;
use tocsin_script::{RouteKind, Verdict};

use crate::run::run;
use crate::worker::Worker;

/// How long workers wait for the startup route to end.
const MAX_STARTUP_TIME: Duration = Duration::from_secs(30);

/// The first of all processes that serve messages runs the startup route; the others wait until it has ended.
pub(super) async fn run_or_await(worker: &'static Worker) {
    let started = worker.server.words.started;
    if started.load(Acquire) == 1 {
        return;
    }
    let Some(route) = worker.server.script().program.route(RouteKind::Startup, b"") else { return };
    let serving = |kind| matches!(kind, Kind::Udp | Kind::Tcp);
    let first = worker.server.plan.groups.iter().position(|group| serving(group.kind));
    if first == Some(worker.member.group)
        && worker.member.index == 0
        && let Some(cx) = worker.idle_context()
    {
        run(cx, route, |_, _: Verdict| started.store(1, Release));
    }
    let deadline = tokio::time::Instant::now() + MAX_STARTUP_TIME;
    while started.load(Acquire) == 0 {
        if tokio::time::Instant::now() > deadline {
            tracing::warn!(
                "the startup route has not ended within {} s: serving begins",
                MAX_STARTUP_TIME.as_secs()
            );
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
