//! Functions that send, and that say where to.

use std::rc::Rc;

use tocsin_script::{ArgError, Bytes, Call, Function, Param, ParamKind, Routes, Site};
use tocsin_sip::UriRef;

use super::values::as_text;
use crate::context::Context;
use crate::forward;
use crate::server::Server;
use crate::sockets::Listener;

/// What a destination may begin with: also what no socket speaks here, which is found out when it is sent.
const PROTOCOLS: [&str; 6] = ["udp", "tcp", "tls", "sctp", "ws", "wss"];

pub(super) fn functions() -> Vec<Function<Context>> {
    const DESTINATION: &[Param] = &[Param::optional("destination", ParamKind::Str)];
    const SEND: &[Param] =
        &[Param::required("destination", ParamKind::Str), Param::optional("headers", ParamKind::Str)];
    const MYSELF: &[Param] =
        &[Param::required("host", ParamKind::Str), Param::optional("port", ParamKind::Int)];
    const PORT: &[Param] = &[Param::optional("port", ParamKind::Int)];
    const SOCKET: &[Param] = &[Param::required("socket", ParamKind::Str)];
    vec![
        Function::new("forward", DESTINATION, Routes::ANY, |site| {
            check_destination(site, 0)?;
            let call: Call<Context> = Rc::new(|cx, arguments| {
                if let Some(destination) = as_text(&arguments[0]) {
                    cx.targets.main.next_hop = Some(destination_uri(&destination));
                }
                forward::stateless(cx)
            });
            Ok(call)
        })
        .doc(
            "Forwards the message without a transaction: a request to `destination`, to `$du` or \
             to its Request-URI, a reply by its Via. 1: done; -1: it could not be sent.",
        )
        .asynchronous(),
        Function::new("send", SEND, Routes::ANY, |site| {
            check_destination(site, 0)?;
            let call: Call<Context> = Rc::new(|cx, arguments| {
                let destination = as_text(&arguments[0]).unwrap_or_default();
                let headers = as_text(&arguments[1]).unwrap_or_default();
                forward::as_it_came(cx, &destination_uri(&destination), &headers).into()
            });
            Ok(call)
        })
        .doc(
            "Sends the message to `destination` as it came, with `headers` added, and without a \
             Via of this server. 1: done; -1: it could not be sent.",
        ),
        Function::new("is_myself", MYSELF, Routes::ANY, |_| {
            let call: Call<Context> = Rc::new(|cx, arguments| {
                let host = as_text(&arguments[0]).unwrap_or_default();
                // 0 is any port, and so is none
                let port =
                    arguments[1].to_int().and_then(|n| u16::try_from(n).ok()).filter(|port| *port != 0);
                let sockets = &cx.server().network.sockets;
                let is_myself = match port {
                    Some(_) => sockets.is_myself(&host, port),
                    None => sockets.is_myself_at_any_port(&host),
                };
                (host.is_empty() || is_myself).into()
            });
            Ok(call)
        })
        .doc(
            "Whether `host`, with `port` if one is given, is a listener or an alias of this \
             server. 1: it is; -1: it is not.",
        ),
        Function::new("force_send_socket", SOCKET, Routes::ANY, |_| {
            let call: Call<Context> = Rc::new(|cx, arguments| {
                let name = as_text(&arguments[0]).unwrap_or_default();
                let found = listener_named(cx.server(), &name.lossy()).map(|listener| listener.id);
                cx.targets.main.socket = found;
                found.is_some().into()
            });
            Ok(call)
        })
        .doc("Selects the listener by which the request leaves. 1: done; -1: there is no such listener."),
        Function::new("force_tcp_alias", PORT, Routes::ANY, |_| {
            let call: Call<Context> = Rc::new(|cx, arguments| {
                let port = arguments[0].to_int().and_then(|n| u16::try_from(n).ok());
                let port = port.or_else(|| cx.message.via().ok().and_then(|via| via.port()));
                // of a message that came by no connection, there is nothing to do
                crate::alias::force_alias(cx, port);
                true.into()
            });
            Ok(call)
        })
        .doc(
            "Lets requests to `port`, or to the port of the Via, use the connection that the \
             message came by. 1: always.",
        ),
        plain("force_rport", |cx| {
            cx.symmetric = true;
            cx.edits.receive(&cx.message, cx.received.source, true);
            true
        })
        .doc(
            "Sends replies to the port that the request came from, as if its Via had `rport` (RFC \
             3581). 1: always.",
        ),
        plain("add_local_rport", |cx| {
            cx.local_rport = true;
            true
        })
        .doc(
            "Adds `rport` to the Via of this server, so that the next hop replies to the port the \
             request comes from. 1: always.",
        ),
    ]
}

fn plain(name: &'static str, act: fn(&mut Context) -> bool) -> Function<Context> {
    Function::new(name, &[], Routes::ANY, move |_| {
        let call: Call<Context> = Rc::new(move |cx, _| act(cx).into());
        Ok(call)
    })
}

/// Refuses a destination that is written in the script and begins with what is no protocol, such as `sip:`.
///
/// # Errors
/// Those protocols that there are.
pub fn check_destination(site: &Site<'_, Context>, at: usize) -> Result<(), ArgError> {
    let Some(text) = site.constant_str(at).map(|text| text.lossy().into_owned()) else { return Ok(()) };
    let is_name = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    match text.split_once(':') {
        Some((protocol, rest))
            if is_name(protocol) && !is_port(rest) && !PROTOCOLS.contains(&&*protocol.to_lowercase()) =>
        {
            Err(ArgError::at(
                at,
                format!("`{protocol}` is no protocol: write it as proto:host:port, such as udp:{rest}"),
            ))
        }
        _ => Ok(()),
    }
}

/// `[proto:]host[:port]` as a URI; a URI is taken as it is.
pub fn destination_uri(text: &Bytes) -> Bytes {
    if UriRef::parse(text).is_ok_and(|uri| !uri.host().is_empty()) {
        return text.clone();
    }
    let text = text.lossy();
    match text.split_once(':') {
        Some((protocol @ ("udp" | "tcp" | "tls" | "ws" | "wss"), rest)) => {
            Bytes::from(format!("sip:{rest};transport={protocol}"))
        }
        _ => Bytes::from(format!("sip:{text}")),
    }
}

/// The listener called `udp:127.0.0.1:5060`, or by its tag.
pub fn listener_named(server: &'static Server, name: &str) -> Option<&'static Listener> {
    let (protocol, rest) = match name.split_once(':') {
        Some((protocol, rest)) => match tocsin_net::Protocol::parse(protocol.as_bytes()) {
            Some(protocol) => (Some(protocol), rest),
            None => (None, name),
        },
        None => (None, name),
    };
    let (host, port) = tocsin_net::split_host_port(rest).ok()?;
    server.network.sockets.find(protocol, host, port)
}
