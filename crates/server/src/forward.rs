//! Sending a request on: the next hop's address, our Via, and the rest as it came.

use std::net::SocketAddr;

use smallvec::SmallVec;
use tocsin_script::{Bytes, Outcome};
use tocsin_sip::HeaderName;

use crate::context::{Context, received_uri};
use crate::events;
use crate::sockets::Listener;
use crate::target::{NextHop, NoRoute, Target};

/// Addresses of one next hop, best first.
pub type Addresses = SmallVec<[SocketAddr; 2]>;

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

/// The addresses of a host name, timed against `exec_dns_threshold`. Empty when there are none; that is logged.
pub async fn resolve(worker: &'static crate::worker::Worker, host: String, port: u16) -> Addresses {
    let server = worker.server;
    let began = crate::time::now_ns();
    let answer = worker.resolver.addresses(&host).await;
    let took = crate::time::now_ns().saturating_sub(began) / 1000;
    server.statistics.add(server.counters.dns_total, 1);
    let limit = server.settings.exec_dns_threshold;
    if limit > 0 && took > limit {
        server.statistics.add(server.counters.dns_slow, 1);
        tracing::warn!("threshold exceeded : dns took too long - {took} us.Source : {host}");
        events::threshold(server, "dns", took, host.as_bytes());
    }
    match answer {
        Ok(ips) => ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect(),
        Err(cause) => {
            tracing::error!("could not resolve hostname: {cause}");
            Addresses::new()
        }
    }
}

/// Writes the request of `cx` as it leaves for `target` from `listener`: the script's edits, the target's URI and
/// path, and our Via with `branch` behind the magic cookie.
pub fn write(cx: &Context, target: &Target, listener: &Listener, branch: &[u8], out: &mut Vec<u8>) {
    let mut edits = cx.edits.clone();
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
        Ok(NextHop::Address(to)) => send(cx, &target, to).into(),
        Ok(NextHop::Name { host, port }) => {
            let worker = cx.worker;
            Outcome::Wait(Box::pin(async move {
                let addresses = resolve(worker, host, port).await;
                let rest: tocsin_script::Resume<Context> =
                    Box::new(move |cx: &mut Context| match cx.server().sockets.reachable(&addresses) {
                        Some(to) => send(cx, &target, to).into(),
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

fn send(cx: &mut Context, target: &Target, to: SocketAddr) -> bool {
    let server = cx.server();
    let preferred = target.socket.unwrap_or(cx.received.socket);
    let Some(listener) = server.sockets.outgoing(preferred, &to) else {
        tracing::error!("no listener can send to {to}: add a `socket=` of its address family");
        return false;
    };
    let branch = stateless_branch(cx);
    let mut bytes = Vec::with_capacity(cx.message.bytes().len() + 256);
    write(cx, target, listener, &branch, &mut bytes);
    cx.worker.send(listener, to, |out| out.extend_from_slice(&bytes));
    server.statistics.add(server.counters.fwd_requests, 1);
    cx.served = true;
    true
}

/// A branch that is the same for each retransmission (RFC 3261 section 16.11).
fn stateless_branch(cx: &Context) -> SmallVec<[u8; 24]> {
    let branch = cx.message.via().ok().and_then(|via| via.branch()).unwrap_or_default();
    let call_id = cx.message.call_id().unwrap_or_default();
    let cseq = cx.message.header(HeaderName::CSeq).unwrap_or_default();
    let mut text = SmallVec::from_slice(&crate::reply::hex(cx.server().keyed_hash(&[branch, call_id, cseq])));
    text.extend_from_slice(b".s");
    text
}
