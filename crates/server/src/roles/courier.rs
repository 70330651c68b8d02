//! The courier: takes events out of the log and brings them to their subscribers.

use std::time::Duration;

use tocsin_event::{Courier, CourierOptions};
use tocsin_process::Termination;
use tokio::time::{sleep, timeout};

use super::{Stop, running, stopping};
use crate::logging;
use crate::worker::Worker;

/// How long the courier stays behind the other processes when the server ends.
const LAST_TO_LEAVE: Duration = Duration::from_secs(3);
/// Time between two looks at who is still there.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Time for what the last of them raised.
const LAST_EVENTS: Duration = Duration::from_millis(50);
/// How long subscribers may take for what waits for them then. With the others less than the supervisor waits for all.
const LAST_DELIVERIES: Duration = Duration::from_millis(800);
/// Subscribers that are named because they did not get their last events.
const MAX_NAMED: usize = 20;

pub(super) async fn serve(worker: &'static Worker, termination: &Termination) -> std::io::Result<Stop> {
    let server = worker.server;
    logging::raise_no_lines();
    let wake = server.wake.try_clone()?;
    let options = CourierOptions::for_process(server.settings.private_bytes);
    server.registered.transports.resolve_with(Box::new(move |host, port| {
        Box::pin(async move { crate::resolve::address(worker, &host, port).await })
    }));
    let courier = Courier::new(server.events, server.registered.transports.clone(), wake, options)?;
    running(worker);
    let mut delivery = std::pin::pin!(courier.run());
    let stop = tokio::select! {
        stop = stopping(worker, termination)? => stop,
        () = &mut delivery => Stop::Asked,
    };
    if server.is_ending() {
        tokio::select! {
            () = &mut delivery => {}
            () = last_deliveries(worker) => {}
        }
        name_those_left(server.events.waiting());
    }
    Ok(stop)
}

/// Ends when all processes but the supervisor and this one have ended and what they raised is delivered, or time is up.
async fn last_deliveries(worker: &Worker) {
    let _ = timeout(LAST_TO_LEAVE, others_leave(worker)).await;
    sleep(LAST_EVENTS).await;
    let none_waits = async {
        // There are no workers any more to run an event route.
        while worker.server.events.waiting().iter().any(|(socket, _)| !is_route(socket)) {
            sleep(LOOK_EVERY).await;
        }
    };
    let _ = timeout(LAST_DELIVERIES, none_waits).await;
}

/// Logs who does not get its last events. That event routes do not is no fault: their workers have ended.
fn name_those_left(waiting: Vec<(String, u64)>) {
    let (routes, mut others): (Vec<_>, Vec<_>) =
        waiting.into_iter().partition(|(socket, _)| is_route(socket));
    for (socket, count) in routes {
        tracing::info!("not delivered at the end: {} for {socket}", events(count));
    }
    let more = others.split_off(others.len().min(MAX_NAMED));
    for (socket, count) in others {
        tracing::error!("not delivered at the end: {} for {socket}", events(count));
    }
    if !more.is_empty() {
        tracing::error!("not delivered at the end: events for {} more subscriptions", more.len());
    }
}

fn is_route(socket: &str) -> bool {
    socket.starts_with("route:")
}

fn events(count: u64) -> String {
    if count == 1 { "1 event".to_owned() } else { format!("{count} events") }
}

/// Ends with the last process but the supervisor and this one.
async fn others_leave(worker: &Worker) {
    let own = worker.member.slot;
    while worker.server.table.living().any(|(slot, _)| slot != 0 && slot != own) {
        sleep(LOOK_EVERY).await;
    }
}
