//! A UDP worker: takes a batch of datagrams, serves each to its end or to its first wait, sends what came of them.

use std::os::fd::AsFd;
use std::time::Duration;

use tocsin_net::{BATCH, Watch};
use tocsin_process::Termination;
use tocsin_script::{RouteKind, Verdict};

use super::{Stop, running};
use crate::receive;
use crate::run::run;
use crate::sockets::{Listener, SocketId};
use crate::worker::Worker;

/// Batches served before other tasks of the process get their turn.
const BATCHES_IN_A_ROW: usize = 32;
/// How long workers wait for the startup route to end.
const STARTUP_LIMIT: Duration = Duration::from_secs(30);

pub(super) async fn serve(worker: &'static Worker, termination: &Termination) -> std::io::Result<Stop> {
    let Some(listener) = listener_of(worker) else { return Ok(Stop::Asked) };
    startup(worker, listener).await;
    let socket = listener.udp.socket(worker.member.index);
    let queue = Watch::new(socket.as_fd())?;
    let stop = super::stopping(worker, termination)?;
    let mut stop = std::pin::pin!(stop);
    running(worker);
    loop {
        tokio::select! {
            biased;
            readable = queue.readable() => {
                let readable = readable?;
                if take_all(worker, listener, socket)? { readable.drained() } else { readable.more() }
            }
            stop = &mut stop => {
                // What was queued before the request is still served.
                while !take_all(worker, listener, socket)? {}
                return Ok(stop);
            }
        }
    }
}

/// Serves what is queued. `true` when the queue was emptied.
fn take_all(
    worker: &'static Worker,
    listener: &Listener,
    socket: &std::net::UdpSocket,
) -> std::io::Result<bool> {
    for _ in 0..BATCHES_IN_A_ROW {
        let count = worker.inbox.borrow_mut().receive(socket.as_fd())?;
        loop {
            let next = worker.inbox.borrow_mut().take();
            let Some((buffer, source)) = next else { break };
            receive::datagram(worker, buffer, source, listener.id);
        }
        worker.flush();
        worker.safe_point();
        if count < BATCH {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The listener that this process serves: UDP groups come in the order of the listeners.
fn listener_of(worker: &Worker) -> Option<&'static Listener> {
    let plan = &worker.server.plan;
    let before =
        plan.groups[..worker.member.group].iter().filter(|g| g.kind == tocsin_process::Kind::Udp).count();
    worker.server.sockets.all().get(before)
}

/// The first worker of the first listener runs the startup route, once in the life of the server; the others wait.
async fn startup(worker: &'static Worker, listener: &Listener) {
    use std::sync::atomic::Ordering::{Acquire, Release};
    let started = worker.server.words.started;
    if started.load(Acquire) == 1 {
        return;
    }
    let Some(route) = worker.server.program.route(RouteKind::Startup, b"") else { return };
    if listener.id == SocketId(0)
        && worker.member.index == 0
        && let Some(cx) = worker.idle_context()
    {
        run(cx, route, |_, _: Verdict| started.store(1, Release));
    }
    let deadline = tokio::time::Instant::now() + STARTUP_LIMIT;
    while started.load(Acquire) == 0 {
        if tokio::time::Instant::now() > deadline {
            tracing::warn!(
                "the startup route has not ended within {} s: serving begins",
                STARTUP_LIMIT.as_secs()
            );
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
