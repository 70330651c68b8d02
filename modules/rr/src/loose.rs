//! `loose_route()`: where the route set of a request leads (RFC 3261 sections 16.4, 16.6 step 6 and 16.12).

use std::rc::Rc;

use smallvec::SmallVec;
use tocsin_net::Protocol;
use tocsin_script::{Bytes, Call, Function, Routes};
use tocsin_server::context::received_uri;
use tocsin_server::sockets::SocketId;
use tocsin_server::{Context, Server};
use tocsin_sip::{Edits, HeaderName, Limits, Message, NameAddrRef, Scheme, UriRef};

use super::settings::Settings;

pub(super) fn function() -> Function<Context> {
    Function::new("loose_route", &[], Routes::REQUEST, |_| {
        let call: Call<Context> = Rc::new(|cx, _| loose_route(cx).into());
        Ok(call)
    })
    .doc(
        "Follows the Route header fields of a request. 1: they determine where it goes; -1: there are \
         none, they cannot be read, or the only one names this server in a request that begins a \
         dialog.",
    )
}

fn loose_route(cx: &mut Context) -> bool {
    // Most requests that begin a dialog have no route set.
    if cx.message.header(HeaderName::Route).is_none() {
        return false;
    }
    let server = cx.server();
    let double = server.state::<Settings>().double;
    let own = |uri: &UriRef<'_>| is_own(server, uri);
    // That of an earlier call counts, too.
    let target = cx.targets.main.uri.as_deref().unwrap_or(received_uri(&cx.message));
    let Some(followed) = follow(&cx.message, target, &mut cx.edits, double, own) else {
        return false;
    };
    if let Some(uri) = followed.request_uri {
        cx.set_request_uri(uri);
    }
    let noted = || {
        let uri = followed.last_own.as_deref()?;
        tocsin_path::next_hop_noted(server, &UriRef::parse(uri).ok()?)
    };
    if let Some(hop) = followed.next_hop.or_else(noted) {
        cx.targets.main.next_hop = Some(hop);
    }
    if let Some(uri) = followed.leaves_by {
        cx.targets.main.socket = UriRef::parse(&uri).ok().and_then(|uri| socket_of(server, &uri));
    }
    followed.is_routed
}

/// The listener that a URI of this server names; one without a transport is UDP's, if UDP has one there.
fn socket_of(server: &Server, uri: &UriRef<'_>) -> Option<SocketId> {
    let host = std::str::from_utf8(uri.host()).ok()?.trim_matches(['[', ']']);
    let find = |protocol| server.network.sockets.find(protocol, host, uri.port());
    let named = uri.param(b"transport").and_then(|param| Protocol::parse(param.value?));
    find(Some(named.unwrap_or(Protocol::Udp))).or_else(|| find(None)).map(|listener| listener.id)
}

/// What following a route set comes to, beside the Route values that are taken out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Followed {
    /// The request is routed by its route set, so `loose_route()` is true.
    is_routed: bool,
    /// The new Request-URI.
    request_uri: Option<Bytes>,
    /// The next hop, if it is not the Request-URI's host.
    next_hop: Option<Bytes>,
    /// The own URI whose socket the request leaves by: the second of a pair.
    leaves_by: Option<Bytes>,
    /// The own URI that ends the route set, if it has `received`: nothing is left behind it.
    last_own: Option<Bytes>,
}

/// One Route value.
struct Entry<'a> {
    header: usize,
    value: usize,
    uri: UriRef<'a>,
}

/// Follows the route set of `message`, whose Request-URI is now `target`: `own` says which URIs name this server. `None`
/// when there is no route set, or it cannot be read: then the message is left as it is.
fn follow(
    message: &Message,
    target: &[u8],
    edits: &mut Edits,
    double: bool,
    own: impl Fn(&UriRef<'_>) -> bool,
) -> Option<Followed> {
    let entries = entries(message)?;
    let begins_dialog = message.to().ok()?.tag().is_none();
    let request_uri = UriRef::parse(target).ok()?;
    if came_strict(message, &request_uri, &own) {
        return Some(follow_strict(message, edits, &entries));
    }
    let mut followed = Followed::default();
    let mut rest = &entries[..];
    let mut had_own = false;
    let mut own_entry = None;
    if let Some((first, behind)) = rest.split_first().filter(|(first, _)| own(&first.uri)) {
        had_own = true;
        own_entry = Some(first.uri);
        edits.remove_value(message, first.header, first.value);
        rest = behind;
        // The two entries of one passage: the message came by the first and leaves by the second.
        if double
            && let Some((second, behind)) = rest.split_first()
            && first.uri.param(b"r2").is_some()
            && own(&second.uri)
        {
            edits.remove_value(message, second.header, second.value);
            followed.leaves_by = Some(Bytes::new(second.uri.text()));
            rest = behind;
        }
    }
    followed.is_routed = true;
    match rest.split_first() {
        // A request out of the blue whose route set held us alone is routed as if it had none.
        None => {
            followed.is_routed = !(begins_dialog && had_own);
            let noted = own_entry.filter(|uri| uri.param(b"received").is_some());
            followed.last_own = noted.map(|uri| Bytes::new(uri.text()));
        }
        Some((next, _)) if next.uri.is_loose() => followed.next_hop = Some(Bytes::new(next.uri.text())),
        Some((next, behind)) => {
            to_strict_router(message, edits, next, behind.last(), target);
            followed.request_uri = Some(Bytes::new(next.uri.text()));
        }
    }
    Some(followed)
}

/// Behind a strict router the true Request-URI is the last of the set, and the first is the next hop, even if it is ours.
fn follow_strict(message: &Message, edits: &mut Edits, entries: &[Entry<'_>]) -> Followed {
    let mut followed = Followed { is_routed: true, ..Followed::default() };
    let (Some(first), Some((last, before))) = (entries.first(), entries.split_last()) else {
        return followed;
    };
    edits.remove_value(message, last.header, last.value);
    followed.request_uri = Some(Bytes::new(last.uri.text()));
    if first.uri.is_loose() {
        followed.next_hop = Some(Bytes::new(first.uri.text()));
    } else if let Some((next, behind)) = before.split_first() {
        to_strict_router(message, edits, next, behind.last(), last.uri.text());
        followed.request_uri = Some(Bytes::new(next.uri.text()));
    }
    followed
}

/// All Route values; `None` when there is none or one cannot be read.
fn entries(message: &Message) -> Option<SmallVec<[Entry<'_>; 4]>> {
    let limits = message.limits();
    let entries = message.values(HeaderName::Route).map(|found| {
        let found = found.ok()?;
        Some(Entry { header: found.header, value: found.value, uri: route_uri(found.text, limits)? })
    });
    entries.collect::<Option<SmallVec<_>>>().filter(|entries| !entries.is_empty())
}

fn route_uri<'a>(text: &'a [u8], limits: &Limits) -> Option<UriRef<'a>> {
    NameAddrRef::parse(text, limits).ok()?.uri().ok()
}

/// Whether a strict router sent a request within a dialog here: the Request-URI is what this server once put into
/// Record-Route. As in OpenSIPS, any URI of this server counts as such.
pub(super) fn came_strict(
    message: &Message,
    request_uri: &UriRef<'_>,
    own: impl Fn(&UriRef<'_>) -> bool,
) -> bool {
    message.to().is_ok_and(|to| to.tag().is_some()) && own(request_uri)
}

/// The last Route URI, if it can be read.
pub(super) fn last_route(message: &Message) -> Option<UriRef<'_>> {
    let last = message.values(HeaderName::Route).last()?.ok()?;
    route_uri(last.text, message.limits())
}

/// The first Route URI, if it can be read.
pub(super) fn first_route(message: &Message) -> Option<UriRef<'_>> {
    let first = message.values(HeaderName::Route).next()?.ok()?;
    route_uri(first.text, message.limits())
}

/// RFC 3261 section 16.6 step 6: a strict router finds itself in the Request-URI, and the target at the end of the set.
fn to_strict_router(
    message: &Message,
    edits: &mut Edits,
    next: &Entry<'_>,
    last: Option<&Entry<'_>>,
    target: &[u8],
) {
    edits.remove_value(message, next.header, next.value);
    let mut value = Vec::with_capacity(target.len() + 4);
    match last {
        Some(last) => {
            value.extend_from_slice(b", <");
            value.extend_from_slice(target);
            value.push(b'>');
            edits.append_to_value(message, last.header, last.value, &value);
        }
        None => {
            value.push(b'<');
            value.extend_from_slice(target);
            value.push(b'>');
            edits.append_header(message, HeaderName::Route.text().as_bytes(), &value);
        }
    }
}

/// Whether a URI of a route set names this server.
pub(super) fn is_own(server: &Server, uri: &UriRef<'_>) -> bool {
    matches!(uri.scheme(), Scheme::Sip | Scheme::Sips)
        && server.network.sockets.is_myself(uri.host(), uri.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request with these Route lines, and what becomes of it: Followed, and the printed Route values in order.
    fn follow_text(request_uri: &str, to: &str, routes: &[&str]) -> (Option<Followed>, Vec<String>) {
        let routes: String = routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
        let text = format!(
            "BYE {request_uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n{routes}From: <sip:a@b>;tag=1\r\n\
             To: {to}\r\nCall-ID: x\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
        );
        let message = Message::parse(text.into_bytes(), &Limits::DEFAULT).unwrap();
        let mut edits = Edits::new();
        let own = |uri: &UriRef<'_>| uri.host() == b"me" || uri.host() == b"me2";
        let followed = follow(&message, request_uri.as_bytes(), &mut edits, true, own);
        let mut printed = Vec::new();
        message.print_into(&edits, &mut printed);
        let printed = Message::parse(printed, &Limits::DEFAULT).unwrap();
        let left =
            printed.values(HeaderName::Route).map(|v| String::from_utf8_lossy(v.unwrap().text).into_owned());
        (followed, left.collect())
    }

    const IN_DIALOG: &str = "<sip:c@d>;tag=2";
    const NEW: &str = "<sip:c@d>";

    fn routed(
        request_uri: Option<&str>,
        next_hop: Option<&str>,
        leaves_by: Option<&str>,
    ) -> Option<Followed> {
        let bytes = |text: Option<&str>| text.map(Bytes::from);
        Some(Followed {
            is_routed: true,
            request_uri: bytes(request_uri),
            next_hop: bytes(next_hop),
            leaves_by: bytes(leaves_by),
            last_own: None,
        })
    }

    #[test]
    fn the_request_uri_decides_behind_the_last_route() {
        let (followed, left) = follow_text("sip:c@d", IN_DIALOG, &["<sip:me;lr;ftag=1>"]);
        assert_eq!((followed, left), (routed(None, None, None), vec![]));
    }

    #[test]
    fn the_next_loose_route_is_the_next_hop() {
        let (followed, left) =
            follow_text("sip:c@d", IN_DIALOG, &["<sip:me;lr>, <sip:p2:5070;lr>", "<sip:p3;lr>"]);
        assert_eq!(followed, routed(None, Some("sip:p2:5070;lr"), None));
        assert_eq!(left, ["<sip:p2:5070;lr>", "<sip:p3;lr>"]);
        let (followed, left) = follow_text("sip:c@d", NEW, &["<sip:me;lr>", "<sip:p2;lr>"]);
        assert_eq!((followed, left.len()), (routed(None, Some("sip:p2;lr"), None), 1));
    }

    #[test]
    fn a_new_request_with_us_alone_is_not_routed_but_our_route_goes() {
        let (followed, left) = follow_text("sip:c@d", NEW, &["<sip:me;lr>"]);
        assert_eq!((followed, left), (Some(Followed::default()), vec![]));
    }

    #[test]
    fn a_route_to_another_server_is_followed_as_it_is() {
        let (followed, left) = follow_text("sip:c@d", IN_DIALOG, &["<sip:p2;lr>"]);
        assert_eq!((followed, left), (routed(None, Some("sip:p2;lr"), None), vec!["<sip:p2;lr>".to_owned()]));
    }

    #[test]
    fn both_entries_of_a_pair_go_and_the_second_names_the_socket() {
        let (followed, left) =
            follow_text("sip:c@d", IN_DIALOG, &["<sip:me;r2=on;lr>,<sip:me2;r2=on;lr>,<sip:p;lr>"]);
        assert_eq!(followed, routed(None, Some("sip:p;lr"), Some("sip:me2;r2=on;lr")));
        assert_eq!(left, ["<sip:p;lr>"]);
        // Without the mark a second own entry is a passage of its own.
        let (followed, left) = follow_text("sip:c@d", IN_DIALOG, &["<sip:me;lr>,<sip:me2;lr>"]);
        assert_eq!((followed, left.len()), (routed(None, Some("sip:me2;lr"), None), 1));
    }

    #[test]
    fn a_strict_router_before_us_left_our_uri_in_the_request_line() {
        let (followed, left) = follow_text("sip:me;lr", IN_DIALOG, &["<sip:p2;lr>", "<sip:c@d>"]);
        assert_eq!(followed, routed(Some("sip:c@d"), Some("sip:p2;lr"), None));
        assert_eq!(left, ["<sip:p2;lr>"]);
        let (followed, left) = follow_text("sip:me;lr;ftag=1", IN_DIALOG, &["<sip:c@d>"]);
        assert_eq!((followed, left), (routed(Some("sip:c@d"), None, None), vec![]));
        // Any URI of ours within a dialog counts as such, and the first Route leads on even if it is ours.
        let (followed, left) = follow_text("sip:bob@me", IN_DIALOG, &["<sip:me;lr;ftag=1>, <sip:p2;lr>"]);
        assert_eq!(followed, routed(Some("sip:p2;lr"), Some("sip:me;lr;ftag=1"), None));
        assert_eq!(left, ["<sip:me;lr;ftag=1>"]);
        let (followed, left) = follow_text("sip:bob@me", IN_DIALOG, &["<sip:p2;lr>"]);
        assert_eq!((followed, left), (routed(Some("sip:p2;lr"), Some("sip:p2;lr"), None), vec![]));
        let (followed, _) = follow_text("sip:bob@me", NEW, &["<sip:me;lr>, <sip:p2;lr>"]);
        assert_eq!(followed, routed(None, Some("sip:p2;lr"), None));
    }

    #[test]
    fn a_strict_router_behind_us_gets_the_target_at_the_end() {
        let (followed, left) = follow_text("sip:c@d", IN_DIALOG, &["<sip:me;lr>, <sip:strict>, <sip:p3;lr>"]);
        assert_eq!(followed, routed(Some("sip:strict"), None, None));
        assert_eq!(left, ["<sip:p3;lr>", "<sip:c@d>"]);
        for routes in [&["<sip:me;lr>,<sip:strict>"][..], &["<sip:me;lr>", "<sip:strict>"], &["<sip:strict>"]]
        {
            let (followed, left) = follow_text("sip:c@d", IN_DIALOG, routes);
            assert_eq!(
                (followed, left),
                (routed(Some("sip:strict"), None, None), vec!["<sip:c@d>".to_owned()])
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_routed() {
        for routes in [&["<sip:me;lr"][..], &["<sip:me;lr>, "], &["<sip:me;lr>, <sip:>"], &[""]] {
            let (followed, _) = follow_text("sip:c@d", IN_DIALOG, routes);
            assert_eq!(followed, None, "{routes:?}");
        }
        assert_eq!(follow_text("sip:c@d", IN_DIALOG, &[]).0, None);
        assert_eq!(follow_text("sip:c@d", "\"open <sip:c@d>", &["<sip:me;lr>"]).0, None);
    }
}
