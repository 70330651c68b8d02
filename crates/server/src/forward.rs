//! Sending a request on: the next hop's address, our Via, and the rest as it came.

use smallvec::SmallVec;
use tocsin_net::Hop;
use tocsin_script::{Bytes, Outcome};
use tocsin_sip::{COOKIE, HeaderName, Message};

use crate::avps::Avps;
use crate::context::{Advertised, Context, received_uri};
use crate::flow::{Envelope, Flow};
use crate::resolve;
use crate::security::TlsSelection;
use crate::server::Server;
use crate::sockets::Listener;
use crate::target::{NextHop, NoRoute, Target};

/// The next hop of `cx`'s request when sent to `target` (RFC 3261 section 16.6, step 6): the one that the script
/// chose, else the first of the path, else the Request-URI.
///
/// # Errors
/// [`NoRoute`] when the URI leads nowhere.
pub fn next_hop(cx: &Context, target: &Target) -> Result<NextHop, NoRoute> {
    let usable = cx.server().network.sockets.protocols();
    if let Some(hop) = &target.next_hop {
        return NextHop::of(hop, usable);
    }
    if let Some(first) = target.path.as_deref().and_then(first_uri) {
        return NextHop::of(&first, usable);
    }
    NextHop::of(target.uri.as_deref().unwrap_or_else(|| received_uri(&cx.message)), usable)
}

fn first_uri(values: &[u8]) -> Option<Bytes> {
    let limits = tocsin_sip::Limits::default();
    let first = tocsin_sip::Values::new(values, 1).next()?.ok()?;
    tocsin_sip::NameAddrRef::parse(first.text, &limits).ok().map(|address| Bytes::new(address.uri_text()))
}

/// Why a request cannot be sent to any of its hops. The reason has been logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoWay {
    /// There is no hop.
    Nowhere,
    /// No listener reaches one.
    NoListener,
    /// Those that can be reached are in a blocklist.
    Blocked,
}

/// The first of `hops` that a listener reaches and no blocklist names: its place, and the listener to send from. `out`
/// gets the request as it leaves for it, see [`write()`].
pub fn first_way(
    cx: &Context,
    target: &Target,
    hops: &[Hop],
    branch: &[u8],
    out: &mut Vec<u8>,
) -> Result<(usize, &'static Listener), NoWay> {
    let server = cx.server();
    let preferred = target.socket.unwrap_or(cx.received.socket);
    let mut cause = if hops.is_empty() { NoWay::Nowhere } else { NoWay::NoListener };
    for (at, hop) in hops.iter().enumerate() {
        let Some(listener) = server.network.sockets.outgoing(preferred, hop) else { continue };
        out.clear();
        write(cx, target, listener, branch, out);
        if !server.blocklists.is_blocked(cx.blocklists, hop, out) {
            return Ok((at, listener));
        }
        tracing::warn!("nothing is sent to {hop}: it is in a blocklist");
        cause = NoWay::Blocked;
    }
    if let (NoWay::NoListener, Some(hop)) = (cause, hops.first()) {
        tracing::error!(
            "no listener can send to {hop}: add a `socket={}:...` of its address family",
            hop.protocol.name()
        );
    }
    Err(cause)
}

/// Writes the request of `cx` as it leaves for `target` from `listener`: the script's edits, the target's URI and
/// path, and our Via with `branch` behind the magic cookie.
pub fn write(cx: &Context, target: &Target, listener: &Listener, branch: &[u8], out: &mut Vec<u8>) {
    let mut edits = cx.edits.clone();
    for change in &cx.server().registered.on_leaving {
        change(cx, listener, &mut edits);
    }
    if let Some(uri) = &target.uri {
        edits.replace_request_uri(&cx.message, uri);
    } else if let Some(uri) = without_headers(&cx.message) {
        edits.replace_request_uri(&cx.message, uri);
    }
    if let Some(path) = &target.path {
        edits.push_route(&cx.message, path);
    }
    let mut via: SmallVec<[u8; 128]> = match &cx.advertised {
        None => SmallVec::from_slice(&listener.via_prefix),
        Some(advertised) => via_prefix(listener, advertised).into(),
    };
    via.extend_from_slice(branch);
    if cx.local_rport {
        via.extend_from_slice(b";rport");
    }
    edits.prepend_header(&cx.message, HeaderName::Via.text().as_bytes(), &via);
    cx.message.print_into(&edits, out);
}

/// The Request-URI as it came, if it has header fields, without them: they are not for the next hop (RFC 4475 section
/// 3.1.2.11).
fn without_headers(message: &Message) -> Option<&[u8]> {
    let uri = received_uri(message);
    // the sign may stand in a user, too
    memchr::memchr(b'?', uri)?;
    let headers = message.ruri().ok()?.headers_text()?.len();
    uri.get(..uri.len().checked_sub(headers + 1)?)
}

/// The beginning of our Via, up to the branch, with what the script advertises.
fn via_prefix(listener: &Listener, advertised: &Advertised) -> Vec<u8> {
    let host = match &advertised.host {
        Some(host) => host.lossy().into_owned(),
        None if listener.advertised.0.contains(':') => format!("[{}]", listener.advertised.0),
        None => listener.advertised.0.clone(),
    };
    let port = advertised.port.unwrap_or(listener.advertised.1);
    format!("SIP/2.0/{} {host}:{port};branch=z9hG4bK", listener.protocol.via_name()).into_bytes()
}

/// The return code of `forward()` where the destination leads to no address: that of OpenSIPS 3.4.18.
const UNRESOLVABLE: i64 = -476;

/// `forward()`: sends the request on without a transaction.
pub fn stateless(cx: &mut Context) -> Outcome<Context> {
    let target = cx.targets.main.clone();
    match next_hop(cx, &target) {
        Ok(NextHop::Hop(hop)) => send(cx, &target, &[hop], ""),
        Ok(NextHop::Name(name)) => {
            let worker = cx.worker;
            let wanted = resolve::wanted_hops(cx, false);
            Outcome::Wait(Box::pin(async move {
                let hops = resolve::hops(worker, &name, wanted).await;
                let rest: tocsin_script::Resume<Context> =
                    Box::new(move |cx: &mut Context| send(cx, &target, &hops, &name.host));
                rest
            }))
        }
        Err(cause) => {
            tracing::error!("the request cannot be forwarded: {cause}");
            match cause {
                NoRoute::NoHop(_) | NoRoute::Sctp(_) => Outcome::FALSE,
                _ => Outcome::Done(UNRESOLVABLE),
            }
        }
    }
}

/// `send()`: sends the message as it came, with `headers` behind its first line. The destination is an address: nobody waits
/// for a name.
pub fn as_it_came(cx: &mut Context, destination: &[u8], headers: &[u8]) -> bool {
    let server = cx.server();
    let sockets = &server.network.sockets;
    let hop = match NextHop::of(destination, sockets.protocols()) {
        Ok(NextHop::Hop(hop)) => hop,
        Ok(NextHop::Name(name)) => {
            tracing::error!("send: `{}` is a name: give an address", name.host);
            return false;
        }
        Err(cause) => {
            tracing::error!("send: {cause}");
            return false;
        }
    };
    let preferred = cx.targets.main.socket.unwrap_or(cx.received.socket);
    let Some(listener) = sockets.outgoing(preferred, &hop) else {
        tracing::error!("send: no listener can send to {hop}");
        return false;
    };
    let bytes = cx.message.bytes();
    let first_line = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
    let out = [&bytes[..first_line], headers, &bytes[first_line..]].concat();
    if server.blocklists.is_blocked(cx.blocklists, &hop, &out) {
        tracing::warn!("nothing is sent to {hop}: it is in a blocklist");
        return false;
    }
    let tls_selection = tls_selection(cx, &hop);
    let envelope = Envelope {
        flow: Flow::new(listener.id, hop.to),
        tls_selection: tls_selection.as_ref(),
        host: "",
        branch_ref: None,
    };
    cx.worker.send(&envelope, |buffer| buffer.extend_from_slice(&out));
    cx.served = true;
    true
}

/// What the script selects of TLS on the way to `hop`.
pub fn tls_selection(cx: &Context, hop: &Hop) -> Option<TlsSelection> {
    tls_selection_for(cx.server(), hop, || &cx.avps)
}

/// The same by the variables that `avps` gives.
pub fn tls_selection_for<A: std::borrow::Borrow<Avps>>(
    server: &Server,
    hop: &Hop,
    avps: impl FnOnce() -> A,
) -> Option<TlsSelection> {
    let layer = server.registered.tls_selections.as_ref().filter(|_| hop.protocol.is_secure())?;
    Some(layer.tls_selection(avps().borrow()))
}

/// Sends the request to the first of `hops` that will do.
fn send(cx: &mut Context, target: &Target, hops: &[Hop], host: &str) -> Outcome<Context> {
    let server = cx.server();
    let mut branch = stateless_branch(cx);
    if cx.received.connection.is_some() {
        // The response finds its way back by this: nothing else remembers the connection.
        branch.extend_from_slice(b";i=");
        branch.extend_from_slice(&crate::reply::hex(cx.received.connection.number()));
    }
    let mut bytes = Vec::with_capacity(cx.message.bytes().len() + 256);
    let (at, listener) = match first_way(cx, target, hops, &branch, &mut bytes) {
        Ok(way) => way,
        Err(NoWay::Nowhere) => return Outcome::Done(UNRESOLVABLE),
        Err(NoWay::NoListener | NoWay::Blocked) => return Outcome::FALSE,
    };
    let hop = &hops[at];
    let tls_selection = tls_selection(cx, hop);
    let envelope = Envelope {
        flow: Flow::new(listener.id, hop.to),
        tls_selection: tls_selection.as_ref(),
        host,
        branch_ref: None,
    };
    cx.worker.send(&envelope, |out| out.extend_from_slice(&bytes));
    server.statistics.add(server.counters.fwd_requests, 1);
    cx.served = true;
    Outcome::TRUE
}

/// What the branch of a request ends with that is forwarded without a transaction.
const STATELESS: &[u8] = b".s";

/// Whether a branch parameter is one that [`stateless`] wrote.
pub fn is_stateless_branch(branch: &[u8]) -> bool {
    branch.starts_with(COOKIE) && branch.ends_with(STATELESS)
}

/// A branch that is the same for each retransmission (RFC 3261 section 16.11), and for the ACK and CANCEL of an INVITE.
fn stateless_branch(cx: &Context) -> SmallVec<[u8; 40]> {
    let branch = cx.message.via().ok().and_then(|via| via.branch()).unwrap_or_default();
    let call_id = cx.message.call_id().unwrap_or_default();
    let cseq = cx.message.cseq().map_or(0, |cseq| cseq.number).to_be_bytes();
    let mut text =
        SmallVec::from_slice(&crate::reply::hex(cx.server().keyed_hash(&[branch, call_id, &cseq])));
    text.extend_from_slice(STATELESS);
    text
}
