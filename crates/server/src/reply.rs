//! Answering a request: where a response goes, what it says, and answers without a transaction.

use std::borrow::Cow;
use std::net::SocketAddr;

use tocsin_net::connections::{ConnectionId, View};
use tocsin_net::{Hop, Protocol};
use tocsin_sip::{Edits, HeaderName, Message, Method, ReplyBuilder, Rport, ViaRef};

use crate::context::{Context, received_uri};
use crate::flow::Flow;
use crate::flow::Received;
use crate::sockets::host_port;

/// The way back for the response to a request that carried `via` on top (RFC 3261 section 18.2.2, RFC 3581 section 4):
/// over the connection it came by, and if that is gone over one to the Via's port. `symmetric`: to the source port even
/// if the sender did not ask (`force_rport`).
pub fn destination(via: &ViaRef<'_>, protocol: Protocol, received: &Received, symmetric: bool) -> Flow {
    let mut flow = received.flow();
    let to_source = symmetric || via.rport() != Rport::Absent;
    // Behind the source port of a stream nobody listens; a WebSocket client cannot be connected to at all.
    let listens = protocol.is_stream() || !to_source;
    if listens && !protocol.is_websocket() {
        flow.peer.set_port(via.port().unwrap_or(protocol.default_port()));
    }
    flow
}

/// Where a response to forward goes: what the topmost Via says once our own is gone (RFC 3261 section 18.2.2). Over a
/// stream that is where to connect if the connection is no more: at the port where the sender listens, not at the one that
/// it came from. A WebSocket client listens nowhere.
pub fn upstream(via: &ViaRef<'_>) -> Option<Hop> {
    let protocol = Protocol::parse(via.transport_text())?;
    let ip = via.received_address().or_else(|| via.host_address())?;
    let port = match via.rport() {
        Rport::Port(port) if !protocol.is_stream() => port,
        _ => via.port().unwrap_or(protocol.default_port()),
    };
    Some(Hop { protocol, to: SocketAddr::new(ip, port) })
}

/// What a response says.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    /// The status code.
    pub status: u16,
    /// The reason phrase, which may be empty; [`default_reason`] is that of the RFC.
    pub reason: &'a [u8],
    /// The tag for the To header, if the request has none there.
    pub tag: &'a [u8],
    /// Header lines to add, each with its line end.
    pub lines: &'a [u8],
    /// The body; its type stands in `lines`.
    pub body: &'a [u8],
}

/// Writes the response to `request`. `source` says where the request came from, unless its topmost Via says so already.
pub fn write(
    request: &Message,
    source: Option<(SocketAddr, bool)>,
    response: &Response<'_>,
    server_header: Option<&[u8]>,
    out: &mut Vec<u8>,
) {
    let mut builder = ReplyBuilder::new(request, response.status, response.reason)
        .to_tag(response.tag)
        .lines(response.lines)
        .body(b"", response.body)
        .server(server_header.unwrap_or_default());
    if let Some((source, symmetric)) = source {
        builder = builder.source(source, symmetric);
    }
    builder.write_into(out);
}

/// Answers the request of `cx` without a transaction. `false` when it cannot be answered: an ACK never is.
pub fn stateless(cx: &mut Context, status: u16, reason: &[u8]) -> bool {
    let tag = stateless_tag(cx);
    stateless_tagged(cx, status, reason, &tag)
}

/// As [`stateless`], with a To tag of the caller's choice.
pub fn stateless_tagged(cx: &mut Context, status: u16, reason: &[u8], tag: &[u8]) -> bool {
    if !cx.message.is_request() || cx.message.method() == Method::Ack {
        return false;
    }
    if cx.answered {
        tracing::debug!("the request has its final response already: {status} is not sent");
        return false;
    }
    let Ok(via) = cx.message.via() else { return false };
    let server = cx.server();
    let protocol = server.network.sockets.listener(cx.received.socket).protocol;
    let flow = destination(&via, protocol, &cx.received, cx.symmetric)
        .unless(cx.flags, server.settings.tcp.no_new_connection_rplflag);
    let lines = lines(cx, status);
    let response = Response { status, reason, tag, lines: &lines, body: b"" };
    cx.worker.send(&flow.into(), |out| {
        write(
            &cx.message,
            Some((cx.received.source, cx.symmetric)),
            &response,
            server.settings.server_header(),
            out,
        );
    });
    cx.served = true;
    cx.answered = status >= 200;
    true
}

/// The header lines of a response beside those that each has: what the script wants, where to go instead in a 3xx, and the
/// Warning of `sip_warning`.
pub fn lines(cx: &Context, status: u16) -> Cow<'_, [u8]> {
    let contacts = if (300..400).contains(&status) { cx.targets.contacts() } else { None };
    let has_warning = cx.server().settings.sip_warning;
    if contacts.is_none() && !has_warning {
        return Cow::Borrowed(&cx.reply_lines);
    }
    let mut lines = cx.reply_lines.clone();
    if let Some(contacts) = contacts {
        lines.extend_from_slice(&contacts);
        lines.extend_from_slice(b"\r\n");
    }
    if has_warning {
        write_warning(cx, &mut lines);
    }
    Cow::Owned(lines)
}

fn write_warning(cx: &Context, lines: &mut Vec<u8>) {
    let server = cx.server();
    let (host, port) = &server.network.sockets.listener(cx.received.socket).advertised;
    let (host, source, pid) = (host_port(host, *port), cx.received.source, tocsin_shm::identity::pid());
    let (address, port) = (source.ip().to_canonical(), source.port());
    let vias = cx.message.values(HeaderName::Via).count();
    let details = format!("tells:  pid={pid} req_src_ip={address} req_src_port={port} in_uri=");
    lines.extend_from_slice(format!("Warning: 392 {host} \"Noisy feedback {details}").as_bytes());
    quoted(received_uri(&cx.message), lines);
    lines.extend_from_slice(b" out_uri=");
    quoted(cx.request_uri(), lines);
    lines.extend_from_slice(format!(" via_cnt=={vias}\"\r\n").as_bytes());
}

/// A text within quotes, whatever is in it.
fn quoted(text: &[u8], out: &mut Vec<u8>) {
    let harmless = |byte: &u8| if byte.is_ascii_control() || b"\"\\".contains(byte) { b'?' } else { *byte };
    out.extend(text.iter().map(harmless));
}

/// The tag of stateless answers: the same for each retransmission of a request, different for others, and nobody
/// outside can make it.
pub fn stateless_tag(cx: &Context) -> [u8; 16] {
    let branch = cx.message.via().ok().and_then(|via| via.branch()).unwrap_or_default();
    let call_id = cx.message.call_id().unwrap_or_default();
    hex(cx.server().keyed_hash(&[branch, call_id, b"tag"]))
}

/// Sixteen lower-case hexadecimal digits.
pub fn hex(number: u64) -> [u8; 16] {
    std::array::from_fn(|i| b"0123456789abcdef"[(number >> (60 - 4 * i)) as usize & 15])
}

/// Forwards a response upstream without a transaction: our Via is taken off, the next one says where to.
/// `false` when it is not ours to forward.
pub fn forward_response(cx: &mut Context) -> bool {
    let Ok(top) = cx.message.via() else { return false };
    if !is_ours(cx, &top) {
        return false;
    }
    let noted = connection_of(&top);
    let mut vias = cx.message.vias();
    let Some(to) = vias.nth(1).and_then(Result::ok).and_then(|next| upstream(&next)) else { return false };
    drop(vias);
    remove_top_via(&cx.message, &mut cx.edits);
    let Some(listener) = cx.server().network.sockets.outgoing(cx.received.socket, &to) else { return false };
    // What is written in a Via anybody may write: it has to agree with where the response goes anyway.
    let agrees = |view: &View| view.protocol == to.protocol && view.remote.ip() == to.to.ip();
    let connection = cx
        .server()
        .network
        .shared
        .connections
        .view(noted)
        .filter(agrees)
        .map_or(ConnectionId::NONE, |view| view.id);
    let may_open = !to.protocol.is_websocket();
    let flow = Flow { connection, may_open, ..Flow::new(listener.id, to.to) };
    cx.worker.send(&flow.into(), |out| cx.message.print_into(&cx.edits, out));
    true
}

/// The connection that our Via remembers.
fn connection_of(own: &ViaRef<'_>) -> ConnectionId {
    let number = own.param(b"i").and_then(|p| p.value).and_then(|value| std::str::from_utf8(value).ok());
    number
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .map_or(ConnectionId::NONE, ConnectionId::from_number)
}

/// Takes the topmost Via value out.
pub fn remove_top_via(message: &Message, edits: &mut Edits) {
    let first = message.headers(HeaderName::Via).next().map(|header| header.index);
    if let Some(header) = first {
        edits.remove_value(message, header, 0);
    }
}

fn is_ours(cx: &Context, via: &ViaRef<'_>) -> bool {
    cx.server().network.sockets.is_myself(via.host(), via.port())
}

/// The reason phrase of a status code (RFC 3261 section 21 and its extensions).
pub fn default_reason(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        421 => "Extension Required",
        423 => "Interval Too Brief",
        477 => "Send failed",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        493 => "Undecipherable",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => match status / 100 {
            1 => "Trying",
            2 => "OK",
            3 => "Redirect",
            4 => "Request Failure",
            5 => "Server Failure",
            _ => "Global Failure",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_sip::Limits;

    use crate::sockets::SocketId;

    fn via(text: &str) -> ViaRef<'_> {
        ViaRef::parse(text.as_bytes(), &Limits::default()).unwrap()
    }

    #[test]
    fn responses_go_to_the_source_address_and_the_port_that_was_asked_for() {
        let received = Received {
            source: "192.0.2.9:7000".parse().unwrap(),
            socket: SocketId(0),
            connection: ConnectionId::NONE,
        };
        let to =
            |text, symmetric| destination(&via(text), Protocol::Udp, &received, symmetric).peer.to_string();
        assert_eq!(to("SIP/2.0/UDP h.example:5070;branch=z9hG4bK1", false), "192.0.2.9:5070");
        assert_eq!(to("SIP/2.0/UDP h.example;branch=z9hG4bK1", false), "192.0.2.9:5060");
        assert_eq!(to("SIP/2.0/UDP h.example:5070;rport;branch=z9hG4bK1", false), "192.0.2.9:7000");
        assert_eq!(to("SIP/2.0/UDP h.example:5070;branch=z9hG4bK1", true), "192.0.2.9:7000");
    }

    #[test]
    fn responses_go_upstream_by_what_we_wrote_into_the_via() {
        let to = |text| upstream(&via(text)).map(|hop| hop.to_string());
        assert_eq!(
            to("SIP/2.0/UDP h.example:5070;received=192.0.2.9;rport=7000").as_deref(),
            Some("udp:192.0.2.9:7000")
        );
        assert_eq!(to("SIP/2.0/UDP 192.0.2.1:5070").as_deref(), Some("udp:192.0.2.1:5070"));
        assert_eq!(to("SIP/2.0/UDP [2001:db8::1]").as_deref(), Some("udp:[2001:db8::1]:5060"));
        assert_eq!(to("SIP/2.0/UDP h.example:5070"), None);
        for (via, hop) in [
            ("SIP/2.0/TCP h.example:5070;received=192.0.2.9;rport=49152", "tcp:192.0.2.9:5070"),
            ("SIP/2.0/TCP 192.0.2.9;rport=49152", "tcp:192.0.2.9:5060"),
            ("SIP/2.0/TLS 192.0.2.9;rport=49152", "tls:192.0.2.9:5061"),
        ] {
            assert_eq!(
                to(via).as_deref(),
                Some(hop),
                "nobody listens at the port of a connection that is gone"
            );
        }
    }

    #[test]
    fn hexadecimal_has_sixteen_digits() {
        assert_eq!(&hex(0xdead_beef), b"00000000deadbeef");
    }
}
