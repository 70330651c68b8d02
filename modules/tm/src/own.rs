//! Requests of this server's own: written here, seen by the `local_route`, and sent in a transaction whose replies stay
//! here. `t_uac_dlg`, `t_uac_cancel` and `t_new_request()` stand on it.

use thiserror::Error;
use tocsin_script::{Bytes, RouteKind, Value};
use tocsin_server::flow::Received;
use tocsin_server::reply::hex;
use tocsin_server::sockets::SocketId;
use tocsin_server::target::{NextHop, NoRoute};
use tocsin_server::{Context, Server, Worker, forward, run};
use tocsin_sip::{HeaderName, Message, NameAddrRef, ParseError, answer_ack_into};

use super::matching::{branch_text, of_own};
use super::record::TransactionId;
use super::relay;

/// The CSeq number of a request that brings none.
const CSEQ: u32 = 10;
/// The AVP in which the `local_route` finds what a request is for.
const CONTEXT_AVP: &[u8] = b"uac_ctx";

/// What to send. Method, URI and header values have no line ends in them.
#[derive(Debug, Default)]
pub(super) struct OwnRequest {
    pub(super) method: Vec<u8>,
    pub(super) uri: Vec<u8>,
    /// Where to send it, if not to the URI.
    pub(super) next_hop: Option<Vec<u8>>,
    /// The listener to send from, if the default will not do.
    pub(super) socket: Option<SocketId>,
    /// The value of From. It gets a tag if it has none.
    pub(super) from: Vec<u8>,
    /// The value of To.
    pub(super) to: Vec<u8>,
    /// A new one is made if there is none.
    pub(super) call_id: Option<Vec<u8>>,
    pub(super) cseq: Option<u32>,
    /// Other header lines, each with its line end.
    pub(super) lines: Vec<u8>,
    pub(super) body: Vec<u8>,
    /// `$avp(uac_ctx)` in the `local_route`.
    pub(super) context: Option<Bytes>,
}

/// Why a request cannot be sent.
#[derive(Debug, Error)]
pub(super) enum NotSent {
    #[error("the URI leads nowhere: {0}")]
    NoRoute(#[from] NoRoute),
    #[error("what was given makes no SIP request: {0}")]
    Unreadable(String),
}

/// Sends `request`: through the `local_route` if there is one, after a look-up if the destination is a name. `then` gets
/// the return code of `t_relay()`, at once or later.
///
/// # Errors
/// Nothing is sent, and `then` is not called.
pub(super) fn send(
    worker: &'static Worker,
    request: OwnRequest,
    then: impl FnOnce(&Context, i64) + 'static,
) -> Result<TransactionId, NotSent> {
    let server = worker.server;
    let sockets = &server.network.sockets;
    let uri = request.next_hop.as_ref().unwrap_or(&request.uri);
    let preferred = request.socket.unwrap_or(SocketId(0));
    let listener = match NextHop::of(uri, sockets.protocols())? {
        NextHop::Hop(hop) => sockets.outgoing(preferred, &hop).unwrap_or(sockets.listener(preferred)),
        NextHop::Name(_) => sockets.listener(preferred),
    };
    let host = listener.address.ip();
    let cseq = request.cseq.unwrap_or(CSEQ);
    let call_id = match &request.call_id {
        Some(given) => given.clone(),
        None => [&hex(worker.unique())[..], b"@", host.to_string().as_bytes()].concat(),
    };
    let id = of_own(server, &call_id, cseq);
    let mut bytes = Vec::with_capacity(512 + request.lines.len() + request.body.len());
    let (branch, length) = branch_text(id, 0);
    let via = [&listener.via_prefix[..], &branch[..length]].concat();
    write(server, &request, &via, &call_id, cseq, &hex(worker.unique()), &mut bytes);
    let message = Message::parse(bytes, &server.settings.limits)
        .map_err(|(cause, _)| NotSent::Unreadable(cause.to_string()))?;
    message.validate().map_err(|rejection| NotSent::Unreadable(rejection.error().to_string()))?;

    let received = Received::own(listener.id, listener.address);
    let mut cx = Context::new(worker, message, received, RouteKind::Local);
    cx.targets.main.next_hop = Some(Bytes::new(uri));
    cx.targets.main.socket = Some(listener.id);
    if let Some(context) = request.context {
        cx.avps.push(CONTEXT_AVP, Value::Str(context));
    }
    match cx.script.program.route(RouteKind::Local, b"") {
        Some(route) => run::run(cx, route, move |cx, verdict| match verdict.drop {
            true => then(&cx, relay::ERROR),
            false => leave(cx, id, then),
        }),
        None => leave(cx, id, then),
    }
    Ok(id)
}

fn leave(mut cx: Context, id: TransactionId, then: impl FnOnce(&Context, i64) + 'static) {
    cx.route = RouteKind::Local;
    let outcome = relay::originate(&mut cx, id);
    run::finish(cx, outcome, move |cx, code| {
        then(&cx, code);
        cx.worker.flush();
    });
}

/// Writes the request as OpenSIPS orders its header fields.
fn write(
    server: &Server,
    request: &OwnRequest,
    via: &[u8],
    call_id: &[u8],
    cseq: u32,
    tag: &[u8],
    out: &mut Vec<u8>,
) {
    let has_tag =
        NameAddrRef::parse(&request.from, &server.settings.limits).is_ok_and(|from| from.tag().is_some());
    let tag = if has_tag { Vec::new() } else { [b";tag=", tag].concat() };
    let cseq = [cseq.to_string().as_bytes(), b" ", &request.method].concat();
    out.extend_from_slice(&[&request.method[..], b" ", &request.uri, b" SIP/2.0\r\n"].concat());
    let mut line = |name: &str, parts: &[&[u8]]| {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.extend_from_slice(b"\r\n");
    };
    line("Via", &[via]);
    line("To", &[&request.to]);
    line("From", &[&request.from, &tag]);
    line("CSeq", &[&cseq]);
    line("Call-ID", &[call_id]);
    line("Max-Forwards", &[b"70"]);
    line("Content-Length", &[request.body.len().to_string().as_bytes()]);
    server.settings.write_user_agent(out);
    out.extend_from_slice(&request.lines);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&request.body);
}

/// Acknowledges the answer of `cx` to an INVITE of this server's own (RFC 3261 section 13.2.2.4), each time it comes.
pub(super) fn acknowledge(answer: &Context) {
    let is_invite = answer.message.cseq().is_ok_and(|cseq| cseq.method_text == b"INVITE");
    let Some(ack) = is_invite.then(|| ack_of(answer)) else { return };
    match ack {
        Ok(mut cx) => {
            let outcome = forward::stateless(&mut cx);
            run::finish(cx, outcome, |cx, _| cx.worker.flush());
        }
        Err(cause) => tracing::error!("an answer cannot be acknowledged: {cause}"),
    }
}

fn ack_of(answer: &Context) -> Result<Context, ParseError> {
    let server = answer.server();
    let mut lines = Vec::new();
    server.settings.write_user_agent(&mut lines);
    let mut bytes = Vec::new();
    answer_ack_into(&answer.message, &lines, &mut bytes)?;
    let message = Message::parse(bytes, &server.settings.limits).map_err(|(cause, _)| cause)?;
    let route = message.headers(HeaderName::Route).next().and_then(|route| {
        NameAddrRef::parse(route.value, &server.settings.limits)
            .ok()
            .map(|first| Bytes::new(first.uri_text()))
    });
    let mut cx = Context::new(answer.worker, message, answer.received, RouteKind::Local);
    cx.targets.main.next_hop = route;
    Ok(cx)
}
