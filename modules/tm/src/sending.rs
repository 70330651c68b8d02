//! The functions that send requests whose replies nobody upstream gets: `t_new_request()` and `t_replicate()`.

use std::rc::Rc;

use tocsin_script::{Bytes, Call, Function, Outcome, Param, ParamKind, Routes, Value};
use tocsin_server::Context;
use tocsin_server::core::{as_text, destination_uri};

use super::own::{self, OwnRequest};
use super::prepared::relay_flags;
use super::relay;

pub(super) fn functions() -> Vec<Function<Context>> {
    const NEW: &[Param] = &[
        Param::required("method", ParamKind::Str),
        Param::required("ruri", ParamKind::Str),
        Param::required("from", ParamKind::Str),
        Param::required("to", ParamKind::Str),
        Param::optional("body", ParamKind::Str),
        Param::optional("ctx", ParamKind::Str),
    ];
    const REPLICATE: &[Param] =
        &[Param::required("uri", ParamKind::Str), Param::optional("flags", ParamKind::StrOrInt)];
    vec![
        Function::new("t_new_request", NEW, Routes::ANY, |_| {
            let call: Call<Context> = Rc::new(|cx, arguments| new_request(cx, arguments).into());
            Ok(call)
        })
        .doc(
            "Sends a request of the server's own, which the local_route sees. From and To are `[name ]URI`, the \
             body is `type content`; `ctx` is $avp(uac_ctx) there. 1: it is on its way; -1: what was given makes \
             no request.",
        ),
        Function::new("t_replicate", REPLICATE, Routes::REQUEST, |_| {
            let call: Call<Context> = Rc::new(replicate);
            Ok(call)
        })
        .doc(
            "Sends a copy of the request to a URI and to the branches, in a transaction whose responses go \
             nowhere. 1: done; -1: the request has a transaction already; others as of t_relay().",
        )
        .asynchronous(),
    ]
}

fn new_request(cx: &mut Context, arguments: &[Value]) -> bool {
    let text = |at: usize| as_text(&arguments[at]).unwrap_or_default();
    let (method, uri, from, to) = (text(0), text(1), text(2), text(3));
    if [&method, &uri, &from, &to].into_iter().any(|text| text.iter().any(u8::is_ascii_control)) {
        tracing::error!("t_new_request: a control character in the method, the URI, From or To");
        return false;
    }
    let body = text(4);
    let (content_type, body) = match memchr::memchr(b' ', &body) {
        Some(space) => (&body[..space], &body[space + 1..]),
        None => (&body[..], &b""[..]),
    };
    let lines = match content_type {
        b"" => Vec::new(),
        content_type => [b"Content-Type: ", content_type, b"\r\n"].concat(),
    };
    let request = OwnRequest {
        method: method.to_vec(),
        uri: uri.to_vec(),
        from: address(&from),
        to: address(&to),
        lines,
        body: body.to_vec(),
        context: as_text(&arguments[5]),
        ..OwnRequest::default()
    };
    let worker = cx.worker;
    // The local route has the variables of the process while it runs.
    worker.take_vars(&mut cx.vars);
    let sent = own::send(worker, request, |_, code| {
        if code < 0 {
            tracing::error!("t_new_request: the request could not be sent: {code}");
        }
    });
    worker.lend_vars(&mut cx.vars);
    match sent {
        Ok(_) => true,
        Err(cause) => {
            tracing::error!("t_new_request: {cause}");
            false
        }
    }
}

/// `[name ]URI` as the value of From or To.
fn address(text: &[u8]) -> Vec<u8> {
    match memchr::memrchr(b' ', text) {
        Some(space) if text[0] == b'"' => [&text[..space], b" <", &text[space + 1..], b">"].concat(),
        Some(space) => [b"\"", &text[..space], b"\" <", &text[space + 1..], b">"].concat(),
        None => [b"<", text, b">"].concat(),
    }
}

fn replicate(cx: &mut Context, arguments: &[Value]) -> Outcome<Context> {
    let Some(uri) = as_text(&arguments[0]) else { return Outcome::Done(relay::ERROR) };
    let next_hop: Bytes = destination_uri(&uri);
    relay::replicate(cx, next_hop, relay_flags(&arguments[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_name_in_quotes() {
        let written = |text: &str| String::from_utf8(address(text.as_bytes())).unwrap();
        assert_eq!(written("sip:a@b"), "<sip:a@b>");
        assert_eq!(written("Bob B. sip:a@b"), "\"Bob B.\" <sip:a@b>");
        assert_eq!(written("\"Bob\" sip:a@b"), "\"Bob\" <sip:a@b>");
    }
}
