//! The worker that runs event routes: reads its mailbox, message by message.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tocsin_event::ParamValue;
use tocsin_net::{MAX_MAILBOX_MESSAGE_BYTES, Watch};
use tocsin_script::{Bytes, NamedParams, RouteKind, Value};
use tocsin_shm::SlotState;

use super::message::{EventMessage, Target};
use super::{ATTEMPTS, EventRoutes, Seat};
use crate::run::run;
use crate::worker::Worker;

/// Messages read before other tasks of the process get their turn.
const LETTERS_IN_A_ROW: usize = 32;
/// Time until the next look while as many routes wait for something as may.
const FULL: Duration = Duration::from_millis(5);

/// Runs the routes of the events that come to this worker, until its process ends. Ends at once where there are none.
///
/// # Errors
/// The mailbox cannot be waited for or read.
pub(crate) async fn serve(worker: &'static Worker) -> std::io::Result<()> {
    let seats = worker.server.registered.event_routes.as_ref().map(|routes| &routes.seats);
    let Some(seat) = seats.and_then(|seats| seats.get(worker.member.index)) else { return Ok(()) };
    while !seat.reader.hold(worker.server.table, worker.member.slot) {
        tokio::time::sleep(FULL).await;
    }
    let wake_fd = Watch::new(seat.mailbox.wake_fd())?;
    let mut buffer = vec![0; MAX_MAILBOX_MESSAGE_BYTES];
    loop {
        let readable = wake_fd.readable().await?;
        if read_some(worker, seat, &mut buffer)? {
            readable.drained();
        } else {
            readable.more();
        }
        worker.flush();
        worker.safe_point();
        if worker.has_room() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(FULL).await;
        }
    }
}

/// Gives the events that have come to this worker and were not served to another one: this one ends while the server
/// goes on. What finds no other place waits for the successor.
pub(crate) fn hand_over(worker: &'static Worker) {
    let server = worker.server;
    let Some(routes) = server.registered.event_routes.as_ref().filter(|_| !server.is_ending()) else {
        return;
    };
    let Some(own) = routes.seats.get(worker.member.index) else { return };
    // From here on nothing is posted to this one any more.
    server.table.slot(worker.member.slot).set_state(SlotState::Draining);
    forward(routes, own, worker.member.index);
}

/// Takes what lies in the mailboxes of workers that left: what found no other place, or came as they went.
pub(crate) fn take_over(worker: &'static Worker) {
    let server = worker.server;
    let Some(routes) = server.registered.event_routes.as_ref().filter(|_| !server.is_ending()) else {
        return;
    };
    for seat in routes.left() {
        if seat.reader.hold(server.table, worker.member.slot) {
            forward(routes, seat, worker.member.index);
            seat.reader.release(server.table, worker.member.slot);
        }
    }
}

/// Moves the messages of `from` to the first worker that serves, from `home` on, as far as there is room.
fn forward(routes: &EventRoutes, from: &Seat, home: usize) {
    // Mostly there is nothing: room for a message is taken only then.
    if !matches!(from.mailbox.is_empty(), Ok(false)) {
        return;
    }
    let mut buffer = vec![0; MAX_MAILBOX_MESSAGE_BYTES];
    while let Ok(Some(length)) = from.mailbox.look(&mut buffer) {
        let Some(other) = routes.serving(home) else { return };
        if other.mailbox.post(&[&buffer[..length]], None).is_err() || from.mailbox.discard().is_err() {
            return;
        }
    }
}

/// Reads messages. `true` when the box was emptied.
fn read_some(worker: &'static Worker, seat: &Seat, buffer: &mut [u8]) -> std::io::Result<bool> {
    for _ in 0..LETTERS_IN_A_ROW {
        if !worker.has_room() {
            return Ok(false);
        }
        let Some(length) = seat.mailbox.look(buffer)? else { return Ok(true) };
        // Who dies over it leaves it to the successor.
        if let Some(message) = EventMessage::read(&buffer[..length]) {
            serve_one(worker, seat, &message);
        }
        seat.mailbox.discard()?;
        seat.begun.done();
    }
    Ok(false)
}

fn serve_one(worker: &'static Worker, seat: &Seat, message: &EventMessage<'_>) {
    if seat.begun.begin(message.number) > ATTEMPTS {
        tracing::error!(
            "event {} of event_route[{}] is given up: {ATTEMPTS} processes died while they ran the route",
            message.number,
            message.name.escape_ascii()
        );
        return;
    }
    let kind = match message.target {
        Target::EventRoute => RouteKind::Event,
        Target::Notified => RouteKind::Request,
    };
    let Some(route) = worker.server.script().program.route(kind, message.name) else { return };
    let Some(mut cx) = worker.idle_context() else { return };
    cx.route = RouteKind::Event;
    cx.received.source = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    match message.target {
        Target::EventRoute => cx.event = parameters(message),
        Target::Notified => {
            for (name, value) in message.params.iter() {
                if let Some(name) = name {
                    cx.avps.push(name, to_value(value));
                }
            }
        }
    }
    cx.event_depth = message.depth.saturating_add(1);
    run(cx, route, |_, _| {});
}

fn parameters(message: &EventMessage<'_>) -> NamedParams {
    let read = |(name, value): (Option<&[u8]>, ParamValue<'_>)| (name.map(Bytes::new), to_value(value));
    message.params.iter().map(read).collect()
}

fn to_value(value: ParamValue<'_>) -> Value {
    match value {
        ParamValue::Null => Value::Null,
        ParamValue::Int(number) => Value::Int(number),
        ParamValue::Str(text) => Value::Str(Bytes::new(text)),
    }
}
