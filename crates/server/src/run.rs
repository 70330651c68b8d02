//! Running a route for a message, to its end, whether or not something in it waits.

use std::rc::Rc;
use std::time::Duration;

use tocsin_script::{
    Execution, Launch, Outcome, Pause, PauseKind, Resume, RouteId, RouteKind, Step, Verdict,
};

use crate::context::Context;
use crate::reply;
use crate::worker::Worker;

/// How the route of a request ends that has come before.
const ABSORBED: Verdict = Verdict { rc: 0, exit: true, drop: false, cut: false };
/// When a client may come back that was refused because too much waits.
const RETRY_AFTER: &[u8] = b"Retry-After: 5\r\n";

/// Runs `route` for `cx` and calls `then` when it has ended. A route that does not wait ends before this returns;
/// one that waits goes on as a task of this process, and the worker serves other messages meanwhile.
pub fn run(mut cx: Context, route: RouteId, then: impl FnOnce(Context, Verdict) + 'static) {
    let script = Rc::clone(&cx.script);
    let mut execution = Execution::new();
    execution.restart(route, std::mem::take(&mut cx.event));
    let depth = tocsin_event::nest(cx.event_depth);
    cx.worker.lend_vars(&mut cx.vars);
    let step = execution.run(&script.program, &mut cx);
    cx.worker.take_vars(&mut cx.vars);
    drop(depth);
    match step {
        Step::Done(verdict) => end(cx, verdict, then),
        // Other routes run for what is under way already: their number is bounded by that.
        Step::Wait(_) if cx.route == RouteKind::Request && !cx.worker.may_wait() => give_up(cx, then),
        Step::Wait(pause) if !keeps_transaction(&mut cx, &pause) => {
            drop(pause);
            then(cx, ABSORBED);
        }
        Step::Wait(pause) => resume(cx, execution, pause, then),
    }
}

/// A request has its transaction from `async()` on, which absorbs it when it comes again. False if this one has come before.
fn keeps_transaction(cx: &mut Context, pause: &Pause<Context>) -> bool {
    if pause.kind == PauseKind::Call || cx.route != RouteKind::Request || cx.transaction.is_some() {
        return true;
    }
    match &cx.server().registered.transactions {
        Some(layer) => layer.begin(cx),
        None => true,
    }
}

/// Goes on with an execution that waits. Its message keeps what it needs, and no receive buffer.
pub fn resume(
    mut cx: Context,
    mut execution: Execution,
    mut pause: Pause<Context>,
    then: impl FnOnce(Context, Verdict) + 'static,
) {
    let worker = cx.worker;
    if let Some(buffer) = cx.message.fit() {
        worker.recycle(buffer);
    }
    let script = Rc::clone(&cx.script);
    worker.spawn(async move {
        // Before it comes here for the first time, the process has left what it did.
        let mut is_first = true;
        loop {
            let (resume, has_waited) = tokio::select! {
                biased;
                outcome = noting(wait(worker, pause)) => outcome,
                () = worker.given_up() => return give_up(cx, then),
            };
            let program = &script.program;
            let depth = tocsin_event::nest(cx.event_depth);
            worker.lend_vars(&mut cx.vars);
            let step = if std::mem::take(&mut is_first) || has_waited {
                execution.resume(resume, program, &mut cx)
            } else {
                execution.resume_at_once(resume, program, &mut cx)
            };
            worker.take_vars(&mut cx.vars);
            drop(depth);
            match step {
                Step::Done(verdict) => break end(cx, verdict, then),
                Step::Wait(next) if !keeps_transaction(&mut cx, &next) => break then(cx, ABSORBED),
                Step::Wait(next) => pause = next,
            }
        }
    });
}

/// A route has ended. If it ran for too long, its request would be sent again and take as long each time: it gets 500.
fn end(mut cx: Context, verdict: Verdict, then: impl FnOnce(Context, Verdict)) {
    if verdict.cut {
        refuse(&mut cx, 500, b"Server Internal Error");
    }
    then(cx, verdict);
}

/// Ends a route in the middle: it may not wait, or not any longer. Its request gets 503.
fn give_up(mut cx: Context, then: impl FnOnce(Context, Verdict)) {
    let before = cx.reply_lines.len();
    cx.reply_lines.extend_from_slice(RETRY_AFTER);
    if !refuse(&mut cx, 503, b"Service Unavailable") {
        cx.reply_lines.truncate(before);
    }
    then(cx, Verdict { rc: -1, exit: true, drop: false, cut: false });
}

/// Answers the request of `cx` if nothing else will, and says whether.
fn refuse(cx: &mut Context, status: u16, reason: &[u8]) -> bool {
    if cx.route != RouteKind::Request || is_looked_after(cx) {
        return false;
    }
    let layer = cx.server().registered.transactions.as_ref();
    if layer.and_then(|layer| layer.reply(cx, status, reason)).is_none() {
        reply::stateless(cx, status, reason);
    }
    true
}

/// Whether the request of `cx` was answered, or will be without its script.
fn is_looked_after(cx: &Context) -> bool {
    let by_transaction =
        cx.server().registered.transactions.as_ref().and_then(|layer| layer.ends_by_itself(cx));
    by_transaction.unwrap_or(cx.served)
}

/// `launch()`: lets a function finish beside the script, then runs its report route for an empty message.
pub(crate) fn launch(cx: &Context, launch: Launch<Context>) {
    let worker = cx.worker;
    let Some(mut own) = worker.idle_context() else { return };
    own.event_depth = cx.event_depth;
    own.script = Rc::clone(&cx.script);
    worker.spawn(async move {
        let rc = return_code(&mut own, launch.outcome).await;
        if let Some(route) = launch.report {
            let script = Rc::clone(&own.script);
            let mut execution = Execution::new();
            execution.report(route, rc, launch.text);
            let depth = tocsin_event::nest(own.event_depth);
            worker.lend_vars(&mut own.vars);
            let step = execution.run(&script.program, &mut own);
            worker.take_vars(&mut own.vars);
            drop(depth);
            if let Step::Wait(pause) = step {
                resume(own, execution, pause, |_, _| {});
            }
        }
    });
}

/// Waits for a function that was called for `cx` outside of a script, and calls `then` with its return code: at once if it
/// does not wait.
pub fn finish(mut cx: Context, outcome: Outcome<Context>, then: impl FnOnce(Context, i64) + 'static) {
    if !matches!(outcome, Outcome::Wait(_)) {
        let code = code_of(&outcome);
        return then(cx, code);
    }
    cx.worker.spawn(async move {
        let code = return_code(&mut cx, outcome).await;
        then(cx, code);
    });
}

async fn return_code(cx: &mut Context, mut outcome: Outcome<Context>) -> i64 {
    let worker = cx.worker;
    while let Outcome::Wait(waiting) = outcome {
        let go_on = waiting.await;
        let depth = tocsin_event::nest(cx.event_depth);
        worker.lend_vars(&mut cx.vars);
        outcome = go_on(cx);
        worker.take_vars(&mut cx.vars);
        drop(depth);
    }
    code_of(&outcome)
}

/// A function that ended the script has no return code: 0.
fn code_of(outcome: &Outcome<Context>) -> i64 {
    if let Outcome::Done(code) = outcome { *code } else { 0 }
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

/// What `future` comes to, and whether it took any waiting: if not, the process has done nothing else meanwhile.
async fn noting<T>(future: impl Future<Output = T>) -> (T, bool) {
    let mut future = std::pin::pin!(future);
    let mut has_waited = false;
    let output = std::future::poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        has_waited |= polled.is_pending();
        polled
    });
    (output.await, has_waited)
}
