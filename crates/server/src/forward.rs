//! Sending a request on: the next hop's address, our Via, and the rest as it came.

use std::net::SocketAddr;

use smallvec::SmallVec;
use tocsin_net::{Hop, Protocol};
use tocsin_script::{Bytes, Outcome};
use tocsin_sip::HeaderName;

use crate::context::{Context, received_uri};
use crate::events;
use crate::flow::{Envelope, Flow};
use crate::security::Wish;
use crate::sockets::Listener;
use crate::target::{NextHop, NoRoute, ServiceName, Target};
use crate::worker::Worker;

/// Where one next hop can be reached, best first.
pub type Hops = SmallVec<[Hop; 2]>;

/// The next hop of `cx`'s request when sent to `target` (RFC 3261 section 16.6, step 6): the one that the script
/// chose, else the first of the path, else the Request-URI.
pub fn next_hop(cx: &Context, target: &Target) -> Result<NextHop, NoRoute> {
    if let Some(hop) = &target.next_hop {
        return NextHop::of(hop);
    }
    if let Some(first) = target.path.as_deref().and_then(first_uri) {
        return NextHop::of(&first);
    }
    NextHop::of(target.uri.as_deref().unwrap_or_else(|| received_uri(&cx.message)))
}

fn first_uri(values: &[u8]) -> Option<Bytes> {
    let limits = tocsin_sip::Limits::default();
    let first = tocsin_sip::Values::new(values, 1).next()?.ok()?;
    tocsin_sip::NameAddrRef::parse(first.text, &limits).ok().map(|address| Bytes::new(address.uri_text()))
}

/// Where the service of a name is, each look-up timed against `exec_dns_threshold`. Empty when it is nowhere; that is
/// logged.
pub async fn resolve(worker: &'static Worker, name: &ServiceName) -> Hops {
    let server = worker.server;
    let began = crate::time::now_ns();
    let answer = worker.resolver.addresses(&name.host).await;
    let took = crate::time::now_ns().saturating_sub(began) / 1000;
    server.statistics.add(server.counters.dns_total, 1);
    let limit = server.settings.exec_dns_threshold;
    if limit > 0 && took > limit {
        server.statistics.add(server.counters.dns_slow, 1);
        tracing::warn!("threshold exceeded : dns took too long - {took} us.Source : {}", name.host);
        events::threshold(server, "dns", took, name.host.as_bytes());
    }
    let protocol = name.transport.unwrap_or(if name.secure { Protocol::Tls } else { Protocol::Udp });
    let port = name.port.unwrap_or(protocol.default_port());
    match answer {
        Ok(ips) => ips.into_iter().map(|ip| Hop { protocol, to: SocketAddr::new(ip, port) }).collect(),
        Err(cause) => {
            tracing::error!("could not resolve hostname: {cause}");
            Hops::new()
        }
    }
}

/// Writes the request of `cx` as it leaves for `target` from `listener`: the script's edits, the target's URI and
/// path, and our Via with `branch` behind the magic cookie.
pub fn write(cx: &Context, target: &Target, listener: &Listener, branch: &[u8], out: &mut Vec<u8>) {
    let mut edits = cx.edits.clone();
    for change in &cx.server().on_leaving {
        change(cx, listener, &mut edits);
    }
    if let Some(uri) = &target.uri {
        edits.replace_request_uri(&cx.message, uri);
    }
    if let Some(path) = &target.path {
        edits.prepend_header(&cx.message, HeaderName::Route.text().as_bytes(), path);
    }
    let mut via: SmallVec<[u8; 128]> = SmallVec::from_slice(&listener.via_prefix);
    via.extend_from_slice(branch);
    if cx.local_rport {
        via.extend_from_slice(b";rport");
    }
    edits.prepend_header(&cx.message, HeaderName::Via.text().as_bytes(), &via);
    cx.message.print_into(&edits, out);
}

/// `forward()`: sends the request on without a transaction.
pub fn stateless(cx: &mut Context) -> Outcome<Context> {
    let target = cx.targets.main.clone();
    match next_hop(cx, &target) {
        Ok(NextHop::Hop(hop)) => send(cx, &target, hop, "").into(),
        Ok(NextHop::Name(name)) => {
            let worker = cx.worker;
            Outcome::Wait(Box::pin(async move {
                let hops = resolve(worker, &name).await;
                let rest: tocsin_script::Resume<Context> =
                    Box::new(move |cx: &mut Context| match cx.server().sockets.reachable(&hops) {
                        Some(hop) => send(cx, &target, hop, &name.host).into(),
                        None => Outcome::FALSE,
                    });
                rest
            }))
        }
        Err(cause) => {
            tracing::error!("the request cannot be forwarded: {cause}");
            Outcome::FALSE
        }
    }
}

/// The listener to send from to `hop`; without one the reason is logged.
pub fn listener_for(cx: &Context, target: &Target, hop: &Hop) -> Option<&'static Listener> {
    let preferred = target.socket.unwrap_or(cx.received.socket);
    let found = cx.server().sockets.outgoing(preferred, hop);
    if found.is_none() {
        tracing::error!(
            "no listener can send to {hop}: add a `socket={}:...` of its address family",
            hop.protocol.name()
        );
    }
    found
}

/// What the script wishes of TLS on the way to `hop`.
pub fn wish(cx: &Context, hop: &Hop) -> Option<Wish> {
    let security = cx.server().security.as_ref().filter(|_| hop.protocol.is_secure())?;
    Some(security.wish(&cx.avps))
}

fn send(cx: &mut Context, target: &Target, hop: Hop, host: &str) -> bool {
    let server = cx.server();
    let Some(listener) = listener_for(cx, target, &hop) else { return false };
    let mut branch = stateless_branch(cx);
    if cx.received.connection.is_some() {
        // The response finds its way back by this: nothing else remembers the connection.
        branch.extend_from_slice(b";i=");
        branch.extend_from_slice(&crate::reply::hex(cx.received.connection.number()));
    }
    let mut bytes = Vec::with_capacity(cx.message.bytes().len() + 256);
    write(cx, target, listener, &branch, &mut bytes);
    let flow = Flow::new(listener.id, hop.to);
    let wish = wish(cx, &hop);
    let envelope = Envelope { flow, wish: wish.as_ref(), host, ticket: None };
    cx.worker.send(&envelope, |out| out.extend_from_slice(&bytes));
    server.statistics.add(server.counters.fwd_requests, 1);
    cx.served = true;
    true
}

/// A branch that is the same for each retransmission (RFC 3261 section 16.11).
fn stateless_branch(cx: &Context) -> SmallVec<[u8; 40]> {
    let branch = cx.message.via().ok().and_then(|via| via.branch()).unwrap_or_default();
    let call_id = cx.message.call_id().unwrap_or_default();
    let cseq = cx.message.header(HeaderName::CSeq).unwrap_or_default();
    let mut text = SmallVec::from_slice(&crate::reply::hex(cx.server().keyed_hash(&[branch, call_id, cseq])));
    text.extend_from_slice(b".s");
    text
}
