//! A UDP worker: takes a batch of datagrams, serves each to its end or to its first wait, sends what came of them.

use std::os::fd::AsFd;

use tocsin_net::{BATCH, UdpGroup, Watch};
use tocsin_process::Termination;

use super::{Stop, running};
use crate::receive;
use crate::sockets::Listener;
use crate::worker::Worker;

/// Batches served before other tasks of the process get their turn.
const BATCHES_IN_A_ROW: usize = 32;

pub(super) async fn serve(worker: &'static Worker, termination: &Termination) -> std::io::Result<Stop> {
    let Some((listener, group)) = listener_of(worker) else { return Ok(Stop::Asked) };
    super::startup::run_or_await(worker).await;
    let socket = group.socket(worker.member.index);
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
                leave(worker, listener, socket).await?;
                return Ok(stop);
            }
        }
    }
}

/// Without a successor, what still arrives is served as well: the kernel uses other sockets now, but may have been
/// about to use this one.
async fn leave(
    worker: &'static Worker,
    listener: &Listener,
    socket: &std::net::UdpSocket,
) -> std::io::Result<()> {
    let ending = super::Ending::new(worker);
    while super::leaves(worker) && !ending.is_over() {
        let waiting = worker.waiting() > 0;
        tokio::time::sleep(super::LOOK_EVERY).await;
        while !take_all(worker, listener, socket)? {}
        if !waiting && worker.waiting() == 0 {
            break;
        }
    }
    Ok(())
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

/// The listener that this process serves: UDP groups come in the order of the UDP listeners.
fn listener_of(worker: &Worker) -> Option<(&'static Listener, &'static UdpGroup)> {
    let plan = &worker.server.plan;
    let before =
        plan.groups[..worker.member.group].iter().filter(|g| g.kind == tocsin_process::Kind::Udp).count();
    worker.server.network.sockets.datagrams().nth(before)
}
