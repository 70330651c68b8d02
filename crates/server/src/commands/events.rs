//! `events_list`, `event_subscribe`, `event_unsubscribe`, `subscribers_list`, `subscribers_statistics`, `raise_event`: what the Event Interface offers, as commands.

use tocsin_event::commands::{self, Refusal, Subscribing};
use tocsin_mi::{MiError, Params, Reply};

use crate::module::CommandRow;
use crate::resolve;
use crate::worker::Worker;

pub(super) const COMMANDS: &[CommandRow] = &[
    CommandRow::replying(
        "event_subscribe",
        &[&["event", "socket"], &["event", "socket", "expire"]],
        // As OpenSIPS says it.
        "Subscribes an event to the Event Interface.",
        |worker, params| subscribe(worker, &params).unwrap_or_else(Reply::from),
    ),
    CommandRow::new(
        "events_list",
        &[&[]],
        "Lists all the events advertised through the Event Interface.",
        |worker, _| Ok(commands::events_list(&worker.server.events)),
    ),
    CommandRow::new(
        "subscribers_list",
        &[&[], &["event"], &["event", "socket"]],
        "Lists the subscribers of events.",
        |worker, params| {
            let (event, socket) = (params.optional_text("event")?, params.optional_text("socket")?);
            let (events, transports) = (&worker.server.events, &worker.server.registered.transports);
            commands::subscribers_list(events, transports, event.as_deref(), socket.as_deref())
                .map_err(refused)
        },
    ),
    CommandRow::new(
        "raise_event",
        &[&["event"], &["event", "params"]],
        // As OpenSIPS says it.
        "Raises an event through the Event Interface; Params: event [ params ].",
        |worker, params| {
            let (event, given) = (params.text("event")?, params.value("params"));
            commands::raise_event(&worker.server.events, &event, given).map_err(refused)
        },
    ),
    CommandRow::new(
        "event_unsubscribe",
        &[&["event", "socket"]],
        "Ends a subscription at once. What was raised before is still delivered.",
        |worker, params| {
            let (event, socket) = (params.text("event")?, params.text("socket")?);
            let (events, transports) = (&worker.server.events, &worker.server.registered.transports);
            commands::event_unsubscribe(events, transports, &event, &socket).map_err(refused)
        },
    ),
    CommandRow::new(
        "subscribers_statistics",
        &[&[], &["event"], &["event", "socket"]],
        "Shows how many events were delivered to each subscriber, dropped, lost, and are waiting.",
        |worker, params| {
            let (event, socket) = (params.optional_text("event")?, params.optional_text("socket")?);
            commands::subscribers_statistics(&worker.server.events, event.as_deref(), socket.as_deref())
                .map_err(refused)
        },
    ),
];

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
