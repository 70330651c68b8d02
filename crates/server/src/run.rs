//! Running a route for a message, to its end, whether or not something in it waits.

use std::time::Duration;

use tocsin_script::{Execution, Launch, Outcome, Pause, PauseKind, Resume, RouteId, Step, Verdict};

use crate::context::Context;
use crate::worker::Worker;

/// Runs `route` for `cx` and calls `then` when it has ended. A route that does not wait ends before this returns;
/// one that waits goes on as a task of this process, and the worker serves other messages meanwhile.
pub fn run(mut cx: Context, route: RouteId, then: impl FnOnce(Context, Verdict) + 'static) {
    let program = &cx.server().program;
    let mut execution = Execution::new();
    execution.restart(route, std::mem::take(&mut cx.event));
    let depth = tocsin_event::nest(cx.event_depth);
    cx.worker.lend_vars(&mut cx.vars);
    let step = execution.run(program, &mut cx);
    cx.worker.take_vars(&mut cx.vars);
    drop(depth);
    match step {
        Step::Done(verdict) => then(cx, verdict),
        Step::Wait(pause) => later(cx, execution, pause, then),
    }
}

/// Goes on with an execution that waits.
pub fn later(
    mut cx: Context,
    mut execution: Execution,
    mut pause: Pause<Context>,
    then: impl FnOnce(Context, Verdict) + 'static,
) {
    let worker = cx.worker;
    worker.spawn(async move {
        loop {
            let resume = wait(worker, pause).await;
            let program = &worker.server.program;
            let depth = tocsin_event::nest(cx.event_depth);
            worker.lend_vars(&mut cx.vars);
            let step = execution.resume(resume, program, &mut cx);
            worker.take_vars(&mut cx.vars);
            drop(depth);
            match step {
                Step::Done(verdict) => break then(cx, verdict),
                Step::Wait(next) => pause = next,
            }
        }
    });
}

/// `launch()`: lets a function finish beside the script, then runs its report route for an empty message.
pub(crate) fn beside(cx: &Context, launch: Launch<Context>) {
    let worker = cx.worker;
    let Some(mut own) = worker.idle_context() else { return };
    own.event_depth = cx.event_depth;
    worker.spawn(async move {
        let mut outcome = launch.outcome;
        while let Outcome::Wait(waiting) = outcome {
            let resume = waiting.await;
            let depth = tocsin_event::nest(own.event_depth);
            worker.lend_vars(&mut own.vars);
            outcome = resume(&mut own);
            worker.take_vars(&mut own.vars);
            drop(depth);
        }
        if let Some(route) = launch.report {
            let rc = match outcome {
                Outcome::Done(rc) => rc,
                _ => 0,
            };
            let program = &worker.server.program;
            let mut execution = Execution::new();
            execution.report(route, rc, launch.text);
            let depth = tocsin_event::nest(own.event_depth);
            worker.lend_vars(&mut own.vars);
            let step = execution.run(program, &mut own);
            worker.take_vars(&mut own.vars);
            drop(depth);
            if let Step::Wait(pause) = step {
                later(own, execution, pause, |_, _| {});
            }
        }
    });
}

/// Waits as long as the statement allows: `async()` may have a time limit. A plain call occupies its process meanwhile;
/// what the script said may wait elsewhere does not.
async fn wait(worker: &'static Worker, pause: Pause<Context>) -> Resume<Context> {
    let seconds = match pause.kind {
        PauseKind::Async { timeout: Some(seconds) } => seconds,
        PauseKind::Async { timeout: None } => return pause.waiting.await,
        PauseKind::Call => {
            let slot = worker.server.table.slot(worker.member.slot);
            slot.hold();
            let resume = pause.waiting.await;
            slot.release();
            return resume;
        }
    };
    match tokio::time::timeout(Duration::from_secs(seconds.into()), pause.waiting).await {
        Ok(resume) => resume,
        Err(_) => Box::new(|_| Outcome::Done(-2)),
    }
}
