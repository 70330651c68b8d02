//! `events_list`, `event_subscribe`, `subscribers_list`, `subscribers_statistics`, `raise_event`: what the Event Interface offers, as commands.

use tocsin_event::commands::{self, Refusal, Subscribing};
use tocsin_mi::{Command, MiError, Outcome, Params, Registry, Reply};

use crate::resolve;
use crate::worker::Worker;

pub(super) fn add(worker: &'static Worker, registry: &mut Registry) {
    let server = worker.server;
    registry.add(Command::new(
        "core",
        "event_subscribe",
        &[&["event", "socket"], &["event", "socket", "expire"]],
        "subscribes an event to the Event Interface",
        move |params: Params| subscribe(worker, &params).unwrap_or_else(Reply::from),
    ));
    registry.add(Command::new(
        "core",
        "events_list",
        &[&[]],
        "lists all the events advertised through the Event Interface",
        move |_| commands::events_list(&server.events),
    ));
    registry.add(Command::new(
        "core",
        "subscribers_list",
        &[&[], &["event"], &["event", "socket"]],
        "lists the subscribers of events",
        move |params: Params| -> Outcome {
            let (event, socket) = (params.optional_text("event")?, params.optional_text("socket")?);
            commands::subscribers_list(
                &server.events,
                &server.registered.transports,
                event.as_deref(),
                socket.as_deref(),
            )
            .map_err(refused)
        },
    ));
    registry.add(Command::new(
        "core",
        "raise_event",
        &[&["event"], &["event", "params"]],
        "raises an event through the Event Interface; Params: event [ params ]",
        move |params: Params| -> Outcome {
            commands::raise_event(&server.events, &params.text("event")?, params.value("params"))
                .map_err(refused)
        },
    ));
    registry.add(Command::new(
        "core",
        "subscribers_statistics",
        &[&[], &["event"], &["event", "socket"]],
        "tells what became of the events of each subscriber",
        move |params: Params| -> Outcome {
            let (event, socket) = (params.optional_text("event")?, params.optional_text("socket")?);
            commands::subscribers_statistics(&server.events, event.as_deref(), socket.as_deref())
                .map_err(refused)
        },
    ));
}

fn subscribe(worker: &'static Worker, params: &Params) -> Result<Reply, MiError> {
    let server = worker.server;
    let (event, socket) = (params.text("event")?, params.text("socket")?);
    let expire = params.optional_int("expire")?;
    let subscribing =
        Subscribing::read(&server.events, &server.registered.transports, &event, &socket, expire)
            .map_err(refused)?;
    let Some((host, port)) = subscribing.unresolved().map(|(host, port)| (host.to_owned(), port)) else {
        return Ok(Reply::Now(subscribing.finish(&server.events, None).map_err(refused)));
    };
    Ok(Reply::later(async move {
        let resolved = resolve::address(worker, &host, port).await;
        subscribing.finish(&server.events, resolved).map_err(refused)
    }))
}

fn refused(refusal: Refusal) -> MiError {
    MiError { code: refusal.code, message: refusal.message.into(), data: refusal.data.map(Into::into) }
}
