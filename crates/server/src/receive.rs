//! The way of a message through the server, from the datagram to the script.

use std::net::SocketAddr;

use tocsin_net::connections::ConnectionId;
use tocsin_script::{Bytes, RouteId, RouteKind, Verdict};
use tocsin_sip::{HeaderName, Kind, Message, Method, Rejection};

use crate::context::{Context, MessageError};
use crate::flow::Received;
use crate::reply;
use crate::run::run;
use crate::slow;
use crate::sockets::SocketId;
use crate::worker::Worker;

/// What a request with a part that cannot be read is answered with.
const BAD_REQUEST: u16 = 400;

/// Serves one datagram that came from `source` to the listener `socket`.
pub fn datagram(worker: &'static Worker, buffer: Vec<u8>, source: SocketAddr, socket: SocketId) {
    if is_keep_alive(&buffer) {
        return worker.recycle(buffer);
    }
    message(worker, buffer, Received { source, socket, connection: ConnectionId::NONE });
}

/// Serves one message, alone in its buffer.
pub fn message(worker: &'static Worker, buffer: Vec<u8>, received: Received) {
    let server = worker.server;
    let source = received.source;
    let began_ns = if server.settings.exec_msg_threshold > 0 { crate::time::now_ns() } else { 0 };
    let message = match Message::parse(buffer, &server.settings.limits) {
        Ok(message) => message,
        Err((cause, buffer)) => {
            tracing::info!("{} bytes from {source} are no SIP message: {cause}", buffer.len());
            server.statistics.add(server.counters.bad_msg_hdr, 1);
            return worker.recycle(buffer);
        }
    };
    let mut cx = match message.kind() {
        Kind::Request { .. } => Context::new(worker, message, received, RouteKind::Request),
        Kind::Reply { .. } => Context::new(worker, message, received, RouteKind::Reply),
    };
    cx.began_ns = began_ns;
    match cx.route {
        RouteKind::Reply => response(cx),
        _ => request(cx),
    }
}

/// Empty datagrams and line ends hold NAT bindings open (RFC 5626 section 3.5.1); so do the four NULs of some phones.
fn is_keep_alive(bytes: &[u8]) -> bool {
    bytes.len() <= 4 && bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0))
}

fn request(mut cx: Context) {
    let server = cx.server();
    server.statistics.add(server.counters.rcv_requests, 1);
    cx.edits.receive(&cx.message, cx.received.source, false);
    // The error route runs when the main route comes to what cannot be read in a request.
    cx.unreadable = cx.script.error_route.and_then(|_| unreadable_part(&cx.message)).map(Box::new);
    let checked = match cx.unreadable {
        Some(_) => cx.message.validate_apart_from_parties(),
        None => cx.message.validate_form(),
    };
    if let Err(rejection) = checked {
        return refuse(cx, rejection);
    }
    if cx.received.connection.is_some() {
        cx.worker.serves_connections.set(true);
        crate::alias::note_alias(&cx);
    }
    if cx.message.method() == Method::Ack && server.registered.is_own_ack.is_some_and(|is_own| is_own(&cx)) {
        return done(cx);
    }
    match cx.script.main_route {
        Some(route) => run(cx, route, request_served),
        None => done(cx),
    }
}

fn request_served(mut cx: Context, _: Verdict) {
    let server = cx.server();
    if !cx.served && cx.message.method() != Method::Ack && cx.error.is_none() {
        // a function came to it, or nothing did: nobody else answers
        cx.error = cx.unreadable.take().map(|error| *error);
    }
    if let (Some(route), true) = (cx.script.error_route, cx.error.is_some() && cx.route == RouteKind::Request)
    {
        return run_error_route(cx, route);
    }
    if !cx.served && cx.message.method() != Method::Ack {
        server.statistics.add(server.counters.drop_requests, 1);
    }
    done(cx);
}

/// Answers a request that breaks the rules, if it may be answered.
fn refuse(mut cx: Context, rejection: Rejection) {
    let server = cx.server();
    tracing::info!("message from {} refused: {}", cx.received.source, rejection.error());
    if let (Rejection::Answer { status, .. }, Some(route)) = (rejection, cx.script.error_route)
        && let Some(error) = message_error(&cx.message, status)
    {
        server.statistics.add(server.counters.err_requests, 1);
        cx.error = Some(error);
        return run_error_route(cx, route);
    }
    match rejection {
        Rejection::Answer { status, reason, .. } => {
            server.statistics.add(server.counters.err_requests, 1);
            reply::stateless(&mut cx, status, reason.as_bytes());
        }
        Rejection::Drop { .. } => server.statistics.add(server.counters.bad_msg_hdr, 1),
    }
    done(cx);
}

/// The script decides what a request is answered with that cannot be served.
fn run_error_route(mut cx: Context, route: RouteId) {
    cx.route = RouteKind::Error;
    run(cx, route, |cx, _| done(cx));
}

/// What cannot be read in a request whose header fields are all there.
fn unreadable_part(message: &Message) -> Option<MessageError> {
    if message.header(HeaderName::From).is_none() || message.header(HeaderName::To).is_none() {
        return None;
    }
    message_error(message, BAD_REQUEST)
}

/// What is wrong with a request, in the words of OpenSIPS; `None` if it is not one of the parts that an error route is for.
fn message_error(message: &Message, status: u16) -> Option<MessageError> {
    let (part, reason) = match () {
        () if message.ruri().is_err() => ("r-uri", "bad r-uri"),
        () if message.from().and_then(|from| from.uri()).is_err() => ("From header", "bad header"),
        () if message.to().and_then(|to| to.uri()).is_err() => ("To header", "bad header"),
        () => return None,
    };
    Some(MessageError {
        class: 1,
        level: 3,
        info: Bytes::from(format!("error parsing {part}")),
        status,
        reason: Bytes::from(reason),
    })
}

fn response(cx: Context) {
    let server = cx.server();
    server.statistics.add(server.counters.rcv_replies, 1);
    if let Err(rejection) = cx.message.validate() {
        tracing::info!("reply from {} dropped: {}", cx.received.source, rejection.error());
        server.statistics.add(server.counters.err_replies, 1);
        return done(cx);
    }
    match cx.script.reply_route {
        Some(route) => run(cx, route, |cx, verdict| {
            let provisional = cx.message.status().is_some_and(|status| status < 200);
            if verdict.drop && provisional { drop_response(cx) } else { deliver_response(cx) }
        }),
        None => deliver_response(cx),
    }
}

/// To the transaction that waits for it; a response that none waits for goes upstream by its Via.
fn deliver_response(cx: Context) {
    let stray = match &cx.server().registered.transactions {
        Some(layer) => layer.reply_received(cx),
        None => Some(cx),
    };
    if let Some(cx) = stray {
        pass_response(cx);
    }
}

fn pass_response(mut cx: Context) {
    let server = cx.server();
    if reply::forward_response(&mut cx) {
        server.statistics.add(server.counters.fwd_replies, 1);
        done(cx);
    } else {
        drop_response(cx);
    }
}

/// The response is of no use to anyone.
pub fn drop_response(cx: Context) {
    let server = cx.server();
    server.statistics.add(server.counters.drop_replies, 1);
    done(cx);
}

/// The message is done: its time is checked and its buffer goes back to the receive path.
pub fn done(cx: Context) {
    slow::check(&cx);
    let worker = cx.worker;
    worker.recycle(cx.message.into_buffer());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alives_are_no_messages() {
        assert!(is_keep_alive(b""));
        assert!(is_keep_alive(b"\r\n\r\n"));
        assert!(is_keep_alive(b"\0\0\0\0"));
        assert!(!is_keep_alive(b"ACK"));
        assert!(!is_keep_alive(b"\r\n\r\n\r\n"));
    }
}
