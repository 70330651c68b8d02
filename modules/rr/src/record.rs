//! `record_route()` and its relatives: putting this server into the route set of a dialog (RFC 3261 section 16.6 step 4).

use std::rc::Rc;

use smallvec::SmallVec;
use thiserror::Error;
use tocsin_net::Protocol;
use tocsin_script::{Bytes, Call, Function, Param, ParamKind, Routes, Value};
use tocsin_server::Context;
use tocsin_server::core::as_text;
use tocsin_server::sockets::Listener;
use tocsin_sip::{Edits, HeaderName, Message, UriRef};

use super::settings::Settings;

/// Under this name the message keeps parameters that wait for a Record-Route to come. No script can write it.
const WAITING: &[u8] = b"\0rr";
/// The longest text of parameters that one Record-Route may carry.
const MAX_PARAMS_BYTES: usize = 512;

/// A header field under construction.
type Text = SmallVec<[u8; 160]>;

pub(super) fn functions() -> Vec<Function<Context>> {
    const PARAMS: &[Param] = &[Param::optional("params", ParamKind::Str)];
    const ADDED: &[Param] = &[Param::required("params", ParamKind::Str)];
    const PRESET: &[Param] =
        &[Param::required("outbound", ParamKind::Str), Param::optional("inbound", ParamKind::Str)];
    let requests = Routes::REQUEST | Routes::BRANCH | Routes::FAILURE;
    vec![
        function("record_route", PARAMS, requests, |cx, arguments| {
            let own = as_text(&arguments[0]).unwrap_or_default();
            record_route(cx, &own)
        })
        .doc(
            "Adds a Record-Route header field with this server and, if they are given, parameters. 1: \
             done; -1: the parameters cannot be part of a URI, or there is one already.",
        ),
        function("record_route_preset", PRESET, requests, |cx, arguments| {
            let outbound = as_text(&arguments[0]).unwrap_or_default();
            preset(cx, &outbound, as_text(&arguments[1]).as_deref())
        })
        .doc(
            "Adds Record-Route header fields with the given addresses in place of those of the sockets. \
             1: done; -1: they cannot be part of a URI, or there is a Record-Route already.",
        ),
        function("add_rr_param", ADDED, requests, |cx, arguments| {
            let params = as_text(&arguments[0]).unwrap_or_default();
            add_param(cx, &params)
        })
        .doc(
            "Adds parameters to the Record-Route header field, now or when it is added. 1: done; -1: they \
             cannot be part of a URI, or are too long.",
        ),
    ]
}

fn function(
    name: &'static str,
    params: &'static [Param],
    routes: Routes,
    act: fn(&mut Context, &[Value]) -> Result<(), NotAdded>,
) -> Function<Context> {
    Function::new(name, params, routes, move |_| {
        let call: Call<Context> = Rc::new(move |cx, arguments| match act(cx, arguments) {
            Ok(()) => true.into(),
            Err(problem) => {
                tracing::error!("{name}: {problem}");
                false.into()
            }
        });
        Ok(call)
    })
}

/// Why nothing was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
enum NotAdded {
    /// A text cannot be part of a URI between angle brackets, or is too long.
    #[error("what is to be added does not fit into the brackets of a Record-Route")]
    BadParams,
    /// There is one from an earlier call.
    #[error("this server is in Record-Route already")]
    Twice,
}

fn record_route(cx: &mut Context, own: &[u8]) -> Result<(), NotAdded> {
    let server = cx.server();
    let settings = server.state::<Settings>();
    if cx.edits.leading(HeaderName::RecordRoute).is_some() {
        return Err(NotAdded::Twice);
    }
    let params = gathered(cx, own)?;
    let entry = Entry {
        user: settings.username.then(|| user(cx)).flatten(),
        from_tag: settings.from_tag.then(|| from_tag(&cx.message)).flatten(),
        params: &params,
    };
    let mut value = Text::new();
    entry.write(&address(server.network.sockets.listener(cx.received.socket)), &mut value);
    cx.edits.set_leading(&cx.message, HeaderName::RecordRoute, &value);
    Ok(())
}

/// A request leaves by `outbound`: where it came by another socket, its Record-Route becomes a pair, one for each side;
/// without `enable_double_rr` it names the one that it leaves by.
pub(super) fn complete(cx: &Context, outbound: &Listener, edits: &mut Edits) {
    let inbound = cx.server().network.sockets.listener(cx.received.socket);
    if outbound.id == inbound.id {
        return;
    }
    let is_pair = cx.server().state::<Settings>().double;
    // In a failure route what was put there before is part of the request.
    let stored = cx.transaction.and_then(|_| cx.message.values(HeaderName::RecordRoute).next()?.ok());
    let Some(single) = edits.leading(HeaderName::RecordRoute).or(stored.as_ref().map(|value| value.text))
    else {
        return;
    };
    let Some(value) = for_both(single, &address(outbound), &address(inbound), is_pair) else { return };
    if edits.leading(HeaderName::RecordRoute).is_none()
        && let Some(stored) = stored
    {
        edits.remove_value(&cx.message, stored.header, stored.value);
    }
    edits.set_leading(&cx.message, HeaderName::RecordRoute, &value);
}

/// What becomes of an entry that names `inbound` alone: a pair, or one that names `outbound`; `None` for any other.
fn for_both(single: &[u8], outbound: &[u8], inbound: &[u8], is_pair: bool) -> Option<Text> {
    let inside = single.strip_prefix(b"<sip:")?;
    let at = memchr::memmem::find(inside, inbound)?;
    let (user, rest) = inside.split_at(at);
    let rest = &rest[inbound.len()..];
    if !(user.is_empty() || user.ends_with(b"@")) || !rest.starts_with(b";lr") {
        return None;
    }
    let mut value = Text::new();
    // The called side meets the first one first.
    let (mark, passages) = if is_pair { (&b";r2=on"[..], 2) } else { (&b""[..], 1) };
    for (address, before) in
        [(outbound, &b""[..]), (inbound, b"\r\nRecord-Route: ")].into_iter().take(passages)
    {
        for part in [before, b"<sip:", user, address, mark, rest] {
            value.extend_from_slice(part);
        }
    }
    Some(value)
}

fn preset(cx: &mut Context, outbound: &[u8], inbound: Option<&[u8]>) -> Result<(), NotAdded> {
    let settings = cx.server().state::<Settings>();
    if cx.edits.leading(HeaderName::RecordRoute).is_some() {
        return Err(NotAdded::Twice);
    }
    for preset in [Some(outbound), inbound].into_iter().flatten() {
        check(preset)?;
        if settings.mismatch_warning && !names_us(cx, preset) {
            let preset = String::from_utf8_lossy(preset);
            tracing::warn!("record_route_preset: `{preset}` is no address of this server");
        }
    }
    let params = gathered(cx, b"")?;
    let entry = Entry {
        user: settings.username.then(|| user(cx)).flatten(),
        from_tag: settings.from_tag.then(|| from_tag(&cx.message)).flatten(),
        params: &params,
    };
    let mut value = Text::new();
    entry.write_preset(outbound, &mut value);
    if let Some(inbound) = inbound {
        value.extend_from_slice(b"\r\nRecord-Route: ");
        entry.write_preset(inbound, &mut value);
    }
    cx.edits.set_leading(&cx.message, HeaderName::RecordRoute, &value);
    Ok(())
}

/// Adds to the Record-Route that is there, or to the one to come.
fn add_param(cx: &mut Context, params: &[u8]) -> Result<(), NotAdded> {
    check(params)?;
    if amend(&cx.message, &mut cx.edits, params) {
        return Ok(());
    }
    let all = gathered(cx, params)?;
    cx.avps.clear(WAITING);
    if cx.avps.push(WAITING, Value::Str(Bytes::new(&all))) { Ok(()) } else { Err(NotAdded::BadParams) }
}

/// Puts `params` into every URI of the Record-Route that was put there before. `false` when none was.
fn amend(message: &Message, edits: &mut Edits, params: &[u8]) -> bool {
    let Some(old) = edits.leading(HeaderName::RecordRoute) else { return false };
    let mut value = Text::new();
    for byte in old {
        if *byte == b'>' {
            value.extend_from_slice(params);
        }
        value.push(*byte);
    }
    edits.set_leading(message, HeaderName::RecordRoute, &value);
    true
}

/// The parameters that were added so far, and `own`.
fn gathered(cx: &Context, own: &[u8]) -> Result<Text, NotAdded> {
    check(own)?;
    let mut params = Text::new();
    if let Some(Value::Str(waiting)) = cx.avps.values(WAITING).next() {
        params.extend_from_slice(waiting);
    }
    params.extend_from_slice(own);
    if params.len() > MAX_PARAMS_BYTES { Err(NotAdded::BadParams) } else { Ok(params) }
}

/// Only what may stand in a URI, and does not end it.
fn check(text: &[u8]) -> Result<(), NotAdded> {
    let fits = |byte: &u8| (0x21..0x7f).contains(byte) && !matches!(byte, b'<' | b'>' | b'"' | b'?');
    if text.len() <= MAX_PARAMS_BYTES && text.iter().all(fits) { Ok(()) } else { Err(NotAdded::BadParams) }
}

fn names_us(cx: &Context, preset: &[u8]) -> bool {
    let uri = [b"sip:", preset].concat();
    UriRef::parse(&uri).is_ok_and(|uri| cx.server().network.sockets.is_myself(uri.host(), uri.port()))
}

/// The user of the Request-URI.
fn user(cx: &Context) -> Option<&[u8]> {
    UriRef::parse(cx.request_uri()).ok()?.user()
}

/// The From tag, if it can be the value of a URI parameter without escapes.
fn from_tag(message: &Message) -> Option<&[u8]> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~[]/:&$".contains(byte);
    message.from().ok()?.tag().filter(|tag| tag.iter().all(plain))
}

/// The host and port by which others reach a listener, and its protocol where that is not what is meant without one.
fn address(listener: &Listener) -> Text {
    let (host, port) = &listener.advertised;
    let mut text = Text::new();
    if host.contains(':') {
        text.push(b'[');
        text.extend_from_slice(host.as_bytes());
        text.push(b']');
    } else {
        text.extend_from_slice(host.as_bytes());
    }
    text.push(b':');
    let mut digits = [0; 5];
    text.extend_from_slice(decimal(*port, &mut digits));
    if listener.protocol != Protocol::Udp {
        text.extend_from_slice(b";transport=");
        text.extend_from_slice(listener.protocol.name().as_bytes());
    }
    text
}

fn decimal(mut number: u16, digits: &mut [u8; 5]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// What an entry holds beside the address.
struct Entry<'a> {
    user: Option<&'a [u8]>,
    from_tag: Option<&'a [u8]>,
    params: &'a [u8],
}

impl Entry<'_> {
    /// `<sip:host;lr;ftag=...>`.
    fn write(&self, host_port: &[u8], out: &mut Text) {
        self.write_address(host_port, out);
        out.extend_from_slice(b";lr");
        self.write_from_tag(out);
        out.extend_from_slice(self.params);
        out.push(b'>');
    }

    /// `<sip:host;ftag=...;lr>`, in the order in which OpenSIPS writes it.
    fn write_preset(&self, host_port: &[u8], out: &mut Text) {
        self.write_address(host_port, out);
        self.write_from_tag(out);
        out.extend_from_slice(b";lr");
        out.extend_from_slice(self.params);
        out.push(b'>');
    }

    fn write_address(&self, host_port: &[u8], out: &mut Text) {
        out.extend_from_slice(b"<sip:");
        if let Some(user) = self.user {
            out.extend_from_slice(user);
            out.push(b'@');
        }
        out.extend_from_slice(host_port);
    }

    fn write_from_tag(&self, out: &mut Text) {
        if let Some(tag) = self.from_tag {
            out.extend_from_slice(b";ftag=");
            out.extend_from_slice(tag);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_sip::Limits;

    fn invite(tag: &str) -> Message {
        let text = format!(
            "INVITE sip:c@d SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nRecord-Route: <sip:p;lr>\r\n\
             From: <sip:a@b>;tag={tag}\r\nTo: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n"
        );
        Message::parse(text.into_bytes(), &Limits::DEFAULT).unwrap()
    }

    #[test]
    fn a_pair_is_made_of_our_own_entry_alone() {
        let (out, inside) = (b"192.0.2.9:5061;transport=tls", b"192.0.2.9:5060");
        let single = b"<sip:u@192.0.2.9:5060;lr;ftag=1>";
        let pair = for_both(single, out, inside, true).unwrap();
        assert_eq!(
            text(&pair),
            "<sip:u@192.0.2.9:5061;transport=tls;r2=on;lr;ftag=1>\r\n\
             Record-Route: <sip:u@192.0.2.9:5060;r2=on;lr;ftag=1>"
        );
        for other in
            ["<sip:192.0.2.8:5060;lr>", "<sip:192.0.2.9:5060;r2=on;lr>", "<sip:192.0.2.9:50600;lr>", "x"]
        {
            assert!(for_both(other.as_bytes(), out, inside, true).is_none(), "{other}");
        }
        let moved = for_both(single, out, inside, false).unwrap();
        assert_eq!(text(&moved), "<sip:u@192.0.2.9:5061;transport=tls;lr;ftag=1>");
    }

    fn text(value: &[u8]) -> &str {
        std::str::from_utf8(value).unwrap()
    }

    #[test]
    fn an_entry_names_us_and_what_we_want_to_know_again() {
        let entry = Entry { user: Some(b"u"), from_tag: Some(b"abc"), params: b";nat=yes" };
        let mut value = Text::new();
        entry.write(b"192.0.2.9:5060", &mut value);
        assert_eq!(text(&value), "<sip:u@192.0.2.9:5060;lr;ftag=abc;nat=yes>");
        let mut value = Text::new();
        entry.write_preset(b"rr.example;p=1", &mut value);
        assert_eq!(text(&value), "<sip:u@rr.example;p=1;ftag=abc;lr;nat=yes>");
        let plain = Entry { user: None, from_tag: None, params: b"" };
        let mut value = Text::new();
        plain.write(b"out:5060", &mut value);
        assert_eq!(text(&value), "<sip:out:5060;lr>");
    }

    #[test]
    fn params_added_later_go_into_every_entry() {
        let (message, mut edits) = (invite("1"), Edits::new());
        assert!(!amend(&message, &mut edits, b";x"));
        let value = b"<sip:out;r2=on;lr>\r\nRecord-Route: <sip:in;r2=on;lr>";
        edits.set_leading(&message, HeaderName::RecordRoute, value);
        assert!(amend(&message, &mut edits, b";x=1") && amend(&message, &mut edits, b";y"));
        let mut printed = Vec::new();
        message.print_into(&edits, &mut printed);
        let printed = Message::parse(printed, &Limits::DEFAULT).unwrap();
        let values: Vec<_> =
            printed.values(HeaderName::RecordRoute).map(|v| text(v.unwrap().text).to_owned()).collect();
        assert_eq!(values, ["<sip:out;r2=on;lr;x=1;y>", "<sip:in;r2=on;lr;x=1;y>", "<sip:p;lr>"]);
    }

    #[test]
    fn what_would_leave_the_brackets_is_refused() {
        for bad in [";x>", ";x\r\ny: z", ";x y", ";\"", ";a?b", ";\u{e9}"] {
            assert_eq!(check(bad.as_bytes()), Err(NotAdded::BadParams), "{bad}");
        }
        assert_eq!(check(&[b'a'; MAX_PARAMS_BYTES + 1]), Err(NotAdded::BadParams));
        assert_eq!(check(b";nat=yes;did=1f2.a"), Ok(()));
    }

    #[test]
    fn a_tag_that_needs_escapes_is_left_out() {
        assert_eq!(from_tag(&invite("a-1.b~*")), Some(&b"a-1.b~*"[..]));
        assert_eq!(from_tag(&invite("a?b")), None);
    }

    #[test]
    fn ports_in_decimal() {
        assert_eq!(decimal(0, &mut [0; 5]), b"0");
        assert_eq!(decimal(65535, &mut [0; 5]), b"65535");
        assert_eq!(decimal(5060, &mut [0; 5]), b"5060");
    }
}
