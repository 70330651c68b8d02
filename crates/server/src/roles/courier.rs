//! The courier: takes events out of the log and brings them to their subscribers.

use tocsin_event::{Courier, CourierOptions};
use tocsin_process::Termination;

use super::{Stop, running, until_asked};
use crate::worker::Worker;

pub(super) async fn serve(worker: &'static Worker, termination: &Termination) -> std::io::Result<Stop> {
    let server = worker.server;
    let ears = server.ears.try_clone()?;
    let courier = Courier::new(server.events, server.transports.clone(), ears, CourierOptions::default())?;
    running(worker);
    until_asked(worker, termination, courier.run()).await
}
