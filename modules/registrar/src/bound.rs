//! Questions about bindings, and their removal by the script: `is_registered()` and its relatives, `remove()`.

use std::net::IpAddr;

use tocsin_script::{Bound, Bytes, Index, Outcome, Resume, Value};
use tocsin_server::Context;
use tocsin_sip::{Method, NameAddrRef, Scheme, Transport, UriRef, host_address};

use super::aor::{Aor, aor_of};
use super::lookup::first_hop;
use super::state::State;
use tocsin_usrloc::{Contact, Locations, same_uri};

/// Values of an AVP that are looked at.
const VALUES: i64 = 1024;

/// Whether the AOR that `uri` names - or To of a REGISTER, or From of any other message - has a contact that `test`
/// approves. What the script attached to it goes into `attr_avp`.
pub(super) fn has_contact(
    cx: &mut Context,
    domain: usize,
    uri: Option<&Bytes>,
    test: impl FnMut(&Contact<'_>) -> bool,
) -> bool {
    aor_asked(cx, uri).is_some_and(|aor| has_bound(cx, domain, &aor, test))
}

fn has_bound(cx: &mut Context, domain: usize, aor: &Aor, mut test: impl FnMut(&Contact<'_>) -> bool) -> bool {
    let (state, locations) = (cx.server().state::<State>(), cx.server().state::<Locations>());
    let attr = locations
        .find(state.domains[domain], aor, |contact| test(&contact).then(|| Bytes::new(contact.attr)));
    let Some(attr) = attr else { return false };
    if let Some(name) = &state.settings.attr_avp {
        cx.avps.clear(name);
        // The only value of its name: it fits, unless the message has no room for any.
        cx.avps.push(name, Value::Str(attr));
    }
    true
}

/// `is_contact_registered()`: without contact and Call-ID, the Contact of the message is meant.
pub(super) fn has_this_contact(
    cx: &mut Context,
    domain: usize,
    uri: Option<&Bytes>,
    contact: Option<Bytes>,
    call_id: Option<&Bytes>,
) -> bool {
    let own =
        || cx.message.contacts().next().and_then(Result::ok).map(|contact| Bytes::new(contact.uri_text()));
    let contact = if contact.is_none() && call_id.is_none() { own() } else { contact };
    if contact.is_none() && call_id.is_none() {
        return false;
    }
    has_contact(cx, domain, uri, |known| {
        contact.as_ref().is_none_or(|uri| same_uri(uri, known.uri))
            && call_id.is_none_or(|id| **id == *known.call_id)
    })
}

/// `is_ip_registered()`: whether a contact was registered from one of the addresses in a variable, at the port that
/// `ports` holds at the same place.
pub(super) fn has_address(
    cx: &mut Context,
    domain: usize,
    uri: Option<&Bytes>,
    addresses: &Bound<Context>,
    ports: Option<&Bound<Context>>,
) -> i64 {
    /// There is no address of record to be asked about.
    const NOT_ASKED: i64 = -2;
    let Some(aor) = aor_asked(cx, uri) else { return NOT_ASKED };
    let hosts: Vec<Bytes> = values(cx, addresses).map_while(|value| value.to_bytes()).collect();
    // A port that is missing or no number is none that a contact could have.
    let ports: Option<Vec<i64>> = ports
        .map(|ports| values(cx, ports).take(hosts.len()).map(|port| port.to_int().unwrap_or(-1)).collect());
    let found = has_bound(cx, domain, &aor, |contact| {
        let from = if contact.received.is_empty() { contact.uri } else { contact.received };
        hosts.iter().enumerate().any(|(at, host)| match &ports {
            None => is_at(from, host),
            Some(ports) => {
                ports.get(at).is_some_and(|port| is_at(from, host) && port_of(from) == Some(*port))
            }
        })
    });
    if found { 1 } else { -1 }
}

/// The values of a variable, the newest first; one only if it is no AVP.
fn values<'a>(cx: &'a mut Context, variable: &'a Bound<Context>) -> impl Iterator<Item = Value> + 'a {
    let several = if variable.name() == "avp" { VALUES } else { 1 };
    (0..several).map(|at| variable.read_at(cx, Index::Nth(at)))
}

/// The port that a URI leads to.
fn port_of(uri: &[u8]) -> Option<i64> {
    let uri = UriRef::parse(uri).ok()?;
    let secure = uri.scheme() == Scheme::Sips || matches!(uri.transport(), Some(Transport::Tls));
    Some(uri.port().unwrap_or(if secure { 5061 } else { 5060 }).into())
}

/// Which contacts `remove()` is to remove; all of what is given must hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Doomed {
    /// The contact URI.
    pub(super) uri: Option<Bytes>,
    /// Host of the next hop towards it.
    pub(super) next_hop: Option<Bytes>,
    /// Its `+sip.instance`.
    pub(super) instance: Option<Bytes>,
}

/// `remove()`: whether the contacts are gone, also when there were none.
pub(super) fn remove(cx: &Context, domain: usize, uri: &Bytes, doomed: &Doomed) -> bool {
    let server = cx.server();
    let (state, locations) = (server.state::<State>(), server.state::<Locations>());
    let Some(aor) = aor(cx, Some(uri)) else { return false };
    let removed = locations.change(server, state.domains[domain], &aor, |bindings| {
        bindings.remove_where(|contact| doomed.includes(contact))
    });
    match removed {
        Ok(_) => true,
        Err(cause) => {
            tracing::error!("remove: {}: {cause}", uri.lossy());
            false
        }
    }
}

/// `remove_ip_port()`: removes the contacts at this address, of one AOR or of all.
pub(super) fn remove_at(
    cx: &Context,
    domain: usize,
    uri: Option<&Bytes>,
    host: Bytes,
    port: i64,
) -> Outcome<Context> {
    let server = cx.server();
    let (state, locations) = (server.state::<State>(), server.state::<Locations>());
    let is_there = move |contact: &Contact<'_>| {
        let hop = next_hop(contact);
        is_at(&hop, &host) && port_of(&hop) == Some(port)
    };
    let domain = state.domains[domain];
    let Some(uri) = uri else {
        return Outcome::Wait(Box::pin(async move {
            locations.remove_where(server, domain, is_there).await;
            let rest: Resume<Context> = Box::new(|_| Outcome::TRUE);
            rest
        }));
    };
    let Some(aor) = aor(cx, Some(uri)) else { return Outcome::FALSE };
    let removed = locations.change(server, domain, &aor, |bindings| bindings.remove_where(&is_there));
    if let Err(cause) = &removed {
        tracing::error!("remove_ip_port: {}: {cause}", uri.lossy());
    }
    removed.is_ok().into()
}

impl Doomed {
    fn includes(&self, contact: &Contact<'_>) -> bool {
        self.uri.as_ref().is_none_or(|uri| same_uri(uri, contact.uri))
            && self.instance.as_ref().is_none_or(|urn| **urn == *contact.instance)
            && self.next_hop.as_ref().is_none_or(|host| is_at(&next_hop(contact), host))
    }
}

/// The URI of the next hop towards a contact: the first of its path, else where it came from, else itself.
fn next_hop(contact: &Contact<'_>) -> Bytes {
    first_hop(contact.path).unwrap_or_else(|| {
        Bytes::new(if contact.received.is_empty() { contact.uri } else { contact.received })
    })
}

/// Whether a URI leads to this host: the same address however it is written, or the same name.
fn is_at(uri: &[u8], host: &[u8]) -> bool {
    let Ok(uri) = UriRef::parse(uri) else { return false };
    match (uri.host_address(), address(host)) {
        (Some(one), Some(two)) => one == two,
        _ => uri.host().eq_ignore_ascii_case(host),
    }
}

fn address(host: &[u8]) -> Option<IpAddr> {
    host_address(host).or_else(|| std::str::from_utf8(host).ok()?.parse().ok())
}

/// The address of record that a question is about. There is none, as in OpenSIPS, where a Contact of the message cannot
/// be read.
fn aor_asked(cx: &Context, uri: Option<&Bytes>) -> Option<Aor> {
    let is_readable = |contact: NameAddrRef<'_>| contact.is_bracketed() || contact.uri().is_ok();
    if !cx.message.contact_is_star() && !cx.message.contacts().all(|contact| contact.is_ok_and(is_readable)) {
        return None;
    }
    aor(cx, uri)
}

fn aor(cx: &Context, uri: Option<&Bytes>) -> Option<Aor> {
    let own = || {
        let party = if cx.message.method() == Method::Register { cx.message.to() } else { cx.message.from() };
        party.ok().map(|party| party.uri_text())
    };
    let uri = uri.map(|uri| &uri[..]).or_else(own)?;
    let (state, locations) = (cx.server().state::<State>(), cx.server().state::<Locations>());
    match aor_of(uri, locations.settings().use_domain, &state.settings) {
        Ok(aor) => Some(aor),
        Err(cause) => {
            tracing::error!("registrar: `{}`: {cause}", uri.escape_ascii());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_compared_as_addresses_or_names() {
        for (uri, host, same) in [
            ("sip:a@192.0.2.1:5060", "192.0.2.1", true),
            ("sip:a@192.0.2.1", "192.0.2.2", false),
            ("sip:a@[2001:db8::1]", "2001:DB8:0::1", true),
            ("sip:a@[2001:db8::1]", "[2001:db8::1]", true),
            ("sip:a@Example.com", "example.COM", true),
            ("sip:a@example.com", "192.0.2.1", false),
            ("nonsense", "nonsense", false),
        ] {
            assert_eq!(is_at(uri.as_bytes(), host.as_bytes()), same, "{uri} {host}");
        }
    }

    #[test]
    fn what_is_removed_matches_all_that_was_given() {
        let plain = Contact { uri: b"sip:a@192.0.2.1", instance: b"<urn:uuid:1>", ..Contact::EMPTY };
        let behind_nat = Contact { received: b"sip:192.0.2.2:7", ..plain };
        let behind_proxy = Contact { path: b"<sip:192.0.2.3;lr>", ..behind_nat };
        let by = |uri: Option<&str>, hop: Option<&str>, instance: Option<&str>| Doomed {
            uri: uri.map(Bytes::from),
            next_hop: hop.map(Bytes::from),
            instance: instance.map(Bytes::from),
        };
        for (doomed, expected) in [
            (by(None, None, None), [true, true, true]),
            (by(Some("sip:a@192.0.2.1"), None, None), [true, true, true]),
            (by(Some("sip:b@192.0.2.1"), None, None), [false, false, false]),
            (by(None, Some("192.0.2.1"), None), [true, false, false]),
            (by(None, Some("192.0.2.2"), None), [false, true, false]),
            (by(None, Some("192.0.2.3"), Some("<urn:uuid:1>")), [false, false, true]),
            (by(None, Some("192.0.2.3"), Some("<urn:uuid:2>")), [false, false, false]),
        ] {
            assert_eq!(
                [plain, behind_nat, behind_proxy].map(|c| doomed.includes(&c)),
                expected,
                "{doomed:?}"
            );
        }
    }
}
