//! The courier: takes events out of the log and brings them to their subscribers.

use std::time::Duration;

use tocsin_event::{Courier, CourierOptions};
use tocsin_process::Termination;

use super::{Stop, running, stopping};
use crate::logging;
use crate::worker::Worker;

/// How long the courier stays behind the other processes when the server ends.
const LAST_TO_LEAVE: Duration = Duration::from_secs(3);
/// Time between two looks at who is still there.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Time for what the last of them told.
const LAST_WORDS: Duration = Duration::from_millis(50);

pub(super) async fn serve(worker: &'static Worker, termination: &Termination) -> std::io::Result<Stop> {
    let server = worker.server;
    logging::tell_no_lines();
    let wake = server.wake.try_clone()?;
    let options = CourierOptions::for_process(server.settings.private_bytes);
    let courier = Courier::new(server.events, server.registered.transports.clone(), wake, options)?;
    running(worker);
    let mut delivery = std::pin::pin!(courier.run());
    let stop = tokio::select! {
        stop = stopping(worker, termination)? => stop,
        () = &mut delivery => Stop::Asked,
    };
    if server.is_ending() {
        // What others tell while they end is brought to subscribers too.
        tokio::select! {
            () = &mut delivery => {}
            _ = tokio::time::timeout(LAST_TO_LEAVE, others_leave(worker)) => {}
        }
    }
    Ok(stop)
}

/// Ends a moment after all processes but the supervisor and this one.
async fn others_leave(worker: &Worker) {
    let own = worker.member.slot;
    while worker.server.table.living().any(|(slot, _)| slot != 0 && slot != own) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    tokio::time::sleep(LAST_WORDS).await;
}
