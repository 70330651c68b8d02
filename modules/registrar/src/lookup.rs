//! `lookup()`: from an address of record to where its devices are.

use smallvec::SmallVec;
use tocsin_script::{Bytes, Value};
use tocsin_server::Context;
use tocsin_server::target::Target;
use tocsin_server::time::unix_seconds;
use tocsin_sip::{Limits, NameAddrRef, Values};

use super::aor::{Aor, aor_of};
use super::flags::LookupFlags;
use super::gruu::{Gruu, bare_urn};
use super::state::State;
use tocsin_usrloc::{ALL_METHODS, Contact, Locations, method_bit};

/// Return codes of the manual.
pub(super) const FOUND: i64 = 1;
pub(super) const NO_CONTACT: i64 = -1;
pub(super) const NO_SUCH_METHOD: i64 = -2;
pub(super) const FAILED: i64 = -3;

/// A destination, and what the script attached to its contact.
type Found = (Target, Bytes);

/// Sends the request of `cx` to the contacts of the AOR that `aor`, or its Request-URI, names. Returns the code for the
/// script.
pub(super) fn lookup(cx: &mut Context, domain: usize, flags: &LookupFlags, aor: Option<&Bytes>) -> i64 {
    let mut found = SmallVec::<[Found; 4]>::new();
    let target = aor.map_or_else(|| cx.request_uri(), |uri| &uri[..]);
    let mut code = find(cx, domain, flags, target, &mut found);
    if flags.expand_branches {
        for branch in &cx.targets.others {
            let Some(uri) = &branch.uri else { continue };
            if find(cx, domain, flags, uri, &mut found) == FOUND {
                code = FOUND;
            }
        }
    }
    if code == FOUND {
        if flags.expand_branches {
            cx.targets.others.clear();
        }
        send_to(cx, flags, found);
    }
    code
}

/// Adds the contacts of the AOR that `uri` names.
fn find(
    cx: &Context,
    domain: usize,
    flags: &LookupFlags,
    uri: &[u8],
    found: &mut SmallVec<[Found; 4]>,
) -> i64 {
    let state = cx.server().state::<State>();
    let locations = cx.server().state::<Locations>();
    let gruu = state.settings.gruu.as_ref().and_then(|mint| mint.read(uri));
    let aor = match &gruu {
        Some(Gruu::Foreign) => return NO_CONTACT,
        Some(Gruu::Temporary(device)) => Ok(Aor::from_slice(&device.aor)),
        _ => aor_of(uri, locations.settings().use_domain, &state.settings),
    };
    let aor = match aor {
        Ok(aor) => aor,
        Err(cause) => {
            tracing::error!("lookup: `{}`: {cause}", uri.escape_ascii());
            return FAILED;
        }
    };
    let hash = |call_id: &[u8]| cx.server().keyed_hash(&[call_id]);
    let draft = locations.open(state.domains[domain], &aor);
    let (now, method) = (unix_seconds(), method_bit(cx.message.method_text()));
    let alive = draft.contacts().filter(|contact| !contact.is_expired(now));
    let meant = alive.filter(|contact| is_meant(contact, gruu.as_ref(), hash));
    match choose(meant, flags, method) {
        Ok(chosen) => {
            found.extend(chosen.iter().map(|contact| (target_of(contact), Bytes::new(contact.attr))));
            FOUND
        }
        Err(code) => code,
    }
}

/// Whether a GRUU means the device of this contact; without one, all are meant.
fn is_meant(contact: &Contact<'_>, gruu: Option<&Gruu>, hash: impl Fn(&[u8]) -> u64) -> bool {
    match gruu {
        None => true,
        Some(Gruu::Public(urn)) => bare_urn(contact.instance) == urn.as_slice(),
        Some(Gruu::Temporary(device)) => {
            contact.instance == device.instance && hash(contact.call_id) == device.call_id
        }
        Some(Gruu::Foreign) => false,
    }
}

/// The contacts that the flags let through, in the order in which they are tried; or the code that says why none is.
fn choose<'a>(
    contacts: impl Iterator<Item = Contact<'a>>,
    flags: &LookupFlags,
    method: u32,
) -> Result<SmallVec<[Contact<'a>; 4]>, i64> {
    let mut lacks_method = false;
    let mut chosen: SmallVec<[Contact<'a>; 4]> = contacts
        .filter(|contact| flags.user_agent.as_ref().is_none_or(|matches| matches(contact.user_agent)))
        .filter(|contact| flags.max_latency.is_none_or(|most| contact.latency <= most))
        .filter(|contact| {
            let serves = !flags.by_method || contact.methods == ALL_METHODS || contact.methods & method != 0;
            lacks_method |= !serves;
            serves
        })
        .collect();
    if chosen.is_empty() {
        return Err(if lacks_method { NO_SUCH_METHOD } else { NO_CONTACT });
    }
    if flags.by_latency {
        chosen.sort_by_key(|contact| contact.latency);
    }
    Ok(chosen)
}

/// Where a contact is: its URI, by way of its path or of the address that it registered from.
fn target_of(contact: &Contact<'_>) -> Target {
    let text = |bytes: &[u8]| (!bytes.is_empty()).then(|| Bytes::new(bytes));
    Target {
        uri: Some(Bytes::new(contact.uri)),
        next_hop: first_hop(contact.path).or_else(|| text(contact.received)),
        path: text(contact.path),
        socket: contact.socket,
        q: contact.q,
        flags: contact.cflags,
    }
}

/// The URI of the first hop of a path.
pub(super) fn first_hop(path: &[u8]) -> Option<Bytes> {
    let first = Values::new(path, 1).next()?.ok()?;
    NameAddrRef::parse(first.text, &Limits::DEFAULT).ok().map(|hop| Bytes::new(hop.uri_text()))
}

/// Puts the destinations in: the first as the Request-URI, the others as branches, as the flags allow.
fn send_to(cx: &mut Context, flags: &LookupFlags, found: SmallVec<[Found; 4]>) {
    let attr_avp = cx.server().state::<State>().settings.attr_avp.clone();
    if let Some(name) = &attr_avp {
        cx.avps.clear(name);
    }
    for (at, (target, attr)) in found.into_iter().enumerate() {
        if at == 0 && !flags.to_branches_only {
            cx.targets.main = Target { flags: cx.targets.main.flags | target.flags, ..target };
        } else if flags.no_branches {
            break;
        } else if !cx.targets.append(target) {
            tracing::warn!("lookup: more contacts than branches: the rest is not tried");
            break;
        }
        // The nth value belongs to the nth branch.
        if let Some(name) = &attr_avp
            && !cx.avps.append(name, Value::Str(attr))
        {
            tracing::warn!("lookup: too many AVPs in one message");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gruu::Device;
    use super::*;

    fn contact(uri: &'static str, user_agent: &'static str, methods: u32, latency: u32) -> Contact<'static> {
        Contact { uri: uri.as_bytes(), user_agent: user_agent.as_bytes(), methods, latency, ..Contact::EMPTY }
    }

    #[test]
    fn flags_choose_among_contacts() {
        let all = [
            contact("a", "Phone/1", 1, 30),
            contact("b", "Tablet", 1 | 256, 0),
            contact("c", "phone", ALL_METHODS, 10),
            contact("d", "Phone", ALL_METHODS, 20),
        ];
        let invite = method_bit(b"INVITE");
        let message = method_bit(b"MESSAGE");
        for (flags, method, expected) in [
            ("", message, Ok("abcd")),
            ("method-filtering", message, Ok("bcd")),
            ("method-filtering", 0, Ok("cd")),
            ("ua-filtering=/Phone/", invite, Ok("ad")),
            ("ua-filtering=/Phone/i", invite, Ok("acd")),
            ("ua-filtering=/Phone\\/1/,method-filtering", message, Err(NO_SUCH_METHOD)),
            ("ua-filtering=/nobody/", invite, Err(NO_CONTACT)),
            ("max-ping-latency=20", invite, Ok("bcd")),
            ("sort-by-latency", invite, Ok("bcda")),
        ] {
            let parsed = LookupFlags::parse(flags.as_bytes()).unwrap();
            let chosen = choose(all.into_iter(), &parsed, method);
            let chosen = chosen.map(|list| list.iter().map(|c| char::from(c.uri[0])).collect::<String>());
            assert_eq!(chosen, expected.map(str::to_owned), "{flags}");
        }
        assert_eq!(choose([].into_iter(), &LookupFlags::default(), invite).err(), Some(NO_CONTACT));
    }

    #[test]
    fn rfc5627_a_gruu_means_one_device_and_its_present_registration() {
        let contact = Contact { instance: b"<urn:uuid:1>", call_id: b"abc", ..Contact::EMPTY };
        let hash = |call_id: &[u8]| call_id.len() as u64;
        let device = |instance: &[u8], call_id| Device { aor: vec![], instance: instance.to_vec(), call_id };
        for (gruu, meant) in [
            (None, true),
            (Some(Gruu::Public(b"urn:uuid:1".to_vec())), true),
            (Some(Gruu::Public(b"urn:uuid:2".to_vec())), false),
            (Some(Gruu::Temporary(device(b"<urn:uuid:1>", 3))), true),
            (Some(Gruu::Temporary(device(b"<urn:uuid:1>", 4))), false),
            (Some(Gruu::Temporary(device(b"<urn:uuid:2>", 3))), false),
            (Some(Gruu::Foreign), false),
        ] {
            assert_eq!(is_meant(&contact, gruu.as_ref(), hash), meant, "{gruu:?}");
        }
    }

    #[test]
    fn a_contact_is_reached_by_its_path_or_where_it_came_from() {
        let plain = target_of(&Contact { uri: b"sip:a@h", q: 300, cflags: 4, ..Contact::EMPTY });
        assert_eq!(
            (plain.uri, plain.next_hop, plain.path, plain.q, plain.flags),
            (Some("sip:a@h".into()), None, None, 300, 4)
        );
        let behind_nat = Contact { uri: b"sip:a@h", received: b"sip:192.0.2.1:7", ..Contact::EMPTY };
        assert_eq!(target_of(&behind_nat).next_hop, Some("sip:192.0.2.1:7".into()));
        let path = target_of(&Contact { path: b"<sip:p1;lr>, <sip:p2;lr>", ..behind_nat });
        assert_eq!(path.next_hop, Some("sip:p1;lr".into()));
        assert_eq!(path.path, Some("<sip:p1;lr>, <sip:p2;lr>".into()));
    }
}
